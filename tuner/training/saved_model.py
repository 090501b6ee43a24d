"""A trained model that takes raw data, saved without pickle.

This module is copied into registered models together with what it imports, so its imports stay
relative and need only numpy, torch and safetensors.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.preprocessor import Preprocessor
from ..errors import DataError, TunerError, UsageError
from ..methods import catalog
from ..methods.config import Config
from ..methods.contract import Bounds, Clusterer, Decodes, Generates, Method, Shape, Traverses
from .checkpoint import (
    WEIGHTS,
    CheckpointError,
    check_schema,
    from_json,
    pack,
    read_files,
    to_json,
    unpack,
    write_files,
)

if TYPE_CHECKING:
    from .places import Place

DOCUMENT = "model.json"
_ALWAYS_BUILT = 10_000  # clusters or features
_SCHEMA = 1
_BATCH_SIZE = 4096

Raw = Any  # arrays and data frames, of several libraries


@final
class Model:
    """A clusterer with the preprocessor of its data and the settings it was trained with.

    Raw data are like the training data and in their units: arrays (N, *shape) or flat, (N, F), or
    tables such as data frames, whose columns are found by name if the training data had names.

    Attributes
    ----------
    method, config
        The name of the method and its settings.
    clusterer
        What the method trained, for points that are encoded and scaled.
    preprocessor
        What encodes and scales raw data.
    labels_used
        Whether labels influenced the choice of this model.

    Raises
    ------
    DataError
        By all methods that take raw data, if these are not like the training data.
    UsageError
        By methods that this clusterer does not have: kmeans cannot `sample`.

    Examples
    --------
    >>> import tuner
    >>> clusterer = tuner.load("models:/data@champion")
    >>> clusterer
    Model('gmm', n_components=3, shape=(2,))
    >>> clusterer.predict(x).shape, clusterer.predict_proba(x).shape
    ((200,), (200, 3))
    >>> clusterer.sample(cluster=0, n=4).shape
    (4, 2)
    >>> clusterer.predict([[1.0, 2.0, 3.0]])
    Traceback (most recent call last):
    tuner.errors.DataError: ...
    """

    def __init__(
        self,
        method: str,
        config: Config,
        clusterer: Clusterer,
        preprocessor: Preprocessor,
        labels_used: bool = False,
    ) -> None:
        self.method = method
        self.config = config
        self.clusterer = clusterer
        self.preprocessor = preprocessor
        self.labels_used = labels_used
        self._device = next(iter(clusterer.weights().values())).device

    def __repr__(self) -> str:
        return f"Model({self.method!r}, n_components={self.n_components}, shape={self.shape})"

    @property
    def shape(self) -> Shape:
        """The shape of one point as the clusterer sees it."""
        return self.preprocessor.shape

    @property
    def n_components(self) -> int:
        """Number of clusters K."""
        return self.config.n_components

    def predict(self, raw: Raw) -> NDArray[np.int64]:
        """Return the most probable cluster of each point, shape (N,)."""
        return self._apply(raw, self.clusterer.predict)

    def predict_proba(self, raw: Raw) -> NDArray[np.float32]:
        """Return p(cluster | x), shape (N, K)."""
        return self._apply(raw, self.clusterer.predict_proba)

    def embed(self, raw: Raw) -> NDArray[np.float32]:
        """Return the codes of the points, shape (N, D)."""
        return self._apply(raw, self.clusterer.embed)

    def reconstruct(self, raw: Raw) -> Any:
        """Return the points decoded from their codes, in the form and units of raw data."""
        if not isinstance(self.clusterer, Decodes):
            raise self._unsupported("reconstruct points", Decodes)
        scaled = self._apply(raw, self.clusterer.reconstruct)
        return self.preprocessor.invert(scaled.reshape(-1, *self.shape))

    def sample(self, cluster: int, n: int, seed: int = 0) -> Any:
        """Return new points of one cluster, in the form and units of raw data.

        These are a data frame if the training data had names of columns, else (n, *shape).

        Parameters
        ----------
        cluster
            The cluster, from 0 to K - 1.
        n
            The number of points.
        seed
            The same seed draws the same points.
        """
        if not isinstance(self.clusterer, Generates):
            raise self._unsupported("draw new points", Generates)
        self._check_cluster(cluster)
        if n < 1:
            raise UsageError(f"cannot draw {n} points: give a number of at least 1")
        with torch.inference_mode():
            scaled = self.clusterer.sample(cluster, n, seed).cpu().numpy()
        return self.preprocessor.invert(scaled.reshape(n, *self.shape))

    def traverse(self, cluster: int, steps: int) -> Any:
        """Return points of one cluster with varying style, in the form and units of raw data.

        Parameters
        ----------
        cluster
            The cluster, from 0 to K - 1.
        steps
            The number of points, at least 2.
        """
        if not isinstance(self.clusterer, Traverses):
            raise self._unsupported("vary the style of points", Traverses)
        self._check_cluster(cluster)
        if steps < 2:
            raise UsageError(f"cannot traverse in {steps} steps: give a number of at least 2")
        with torch.inference_mode():
            scaled = self.clusterer.traverse(cluster, steps).cpu().numpy()
        return self.preprocessor.invert(scaled.reshape(steps, *self.shape))

    def elbo(self, raw: Raw) -> NDArray[np.float32]:
        """Return a lower bound of log p(scaled x) in nats, shape (N,)."""
        if not isinstance(self.clusterer, Bounds):
            raise self._unsupported("bound the likelihood", Bounds)
        return self._apply(raw, self.clusterer.elbo)

    def save(self, folder: "Place | str") -> None:
        """Write the model as a folder with safetensors, JSON and a manifest."""
        arrays = self.preprocessor.scaling.to_arrays()
        tensors = {f"weights/{name}": t for name, t in self.clusterer.weights().items()}
        tensors |= {f"scaling/{name}": torch.as_tensor(a) for name, a in arrays.items()}
        document = {
            "schema": _SCHEMA,
            "method": self.method,
            "distribution": catalog.distribution(self.method),
            "config": self.config.to_mapping(),
            "shape": list(self.shape),
            "encoder": self.preprocessor.to_mapping(),
            "scaling": sorted(arrays),
            "n_components": self.n_components,
            "labels_used": self.labels_used,
        }
        write_files(_folder(folder), {WEIGHTS: pack(tensors), DOCUMENT: to_json(document)})

    @classmethod
    def load(cls, folder: "Place | str", *, device: torch.device | str = "cpu") -> Self:
        """Verify a saved model and build it with the installed code, or raise CheckpointError."""
        path = _folder(folder)
        files = read_files(path, (WEIGHTS, DOCUMENT))
        tensors = unpack(files[WEIGHTS], where=path / WEIGHTS)
        document = from_json(files[DOCUMENT], where=path / DOCUMENT)
        return _build(cls, document, tensors, where=path / DOCUMENT, device=device)

    def _apply(self, raw: Raw, function: Callable[[Tensor], Tensor]) -> NDArray[Any]:
        """Return the result of a function of scaled points (N, *shape), computed in batches."""
        points = self.preprocessor.encode(raw)
        with torch.inference_mode():
            batches = [
                function(self._scaled(points, start).to(self._device)).cpu()
                for start in range(0, len(points), _BATCH_SIZE)
            ]
        return torch.cat(batches).numpy()

    def _check_cluster(self, cluster: int) -> None:
        if not 0 <= cluster < self.n_components:
            raise UsageError(
                f"there is no cluster {cluster}: choose one from 0 to {self.n_components - 1}"
            )

    def _scaled(self, points: NDArray[Any], start: int) -> Tensor:
        """Return the batch of points that begins at `start`, scaled, or raise DataError."""
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = self.preprocessor.scaling.apply(points[start : start + _BATCH_SIZE])
        finite = np.isfinite(scaled).reshape(len(scaled), -1).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise DataError(
                f"row {row} has a value that is not finite: fill it in or drop the row"
            )
        return torch.from_numpy(np.ascontiguousarray(scaled, dtype=np.float32))

    def _unsupported(self, task: str, capability: type) -> UsageError:
        switches = catalog.method(self.method).clusterer_with.items()
        remedies = [
            f"train it with {name}=true" for name, kind in switches if issubclass(kind, capability)
        ]
        remedy = " or ".join([*remedies, "use another method"])
        return UsageError(f"this model of method {self.method!r} cannot {task}: {remedy}")


def _folder(folder: "Place | str") -> "Place":
    return Path(folder) if isinstance(folder, str) else folder


def _build(
    cls: type[Model],
    document: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    *,
    where: "Place",
    device: torch.device | str,
) -> Model:
    check_schema(document.get("schema"), _SCHEMA, where=where)
    shape = _checked_shape(document.get("shape"), where=where)
    arrays = {name: t.numpy() for name, t in _with_prefix(tensors, "scaling/").items()}
    weights = _with_prefix(tensors, "weights/")
    try:
        method = _installed_method(str(document.get("method")), document.get("distribution"))
        config = method.config_type.from_mapping(dict(document["config"]))
        _check_size(config.n_components, math.prod(shape), weights)
        expected = method(config, shape, (0,)).clusterers()[0].weights()
        _check_tensors(weights, expected)
        preprocessor = Preprocessor.from_parts(document.get("encoder"), arrays, shape)
        clusterer = method.clusterer_of(config)(config, shape, weights, device=device)
    except (TunerError, LookupError, TypeError, ValueError, RuntimeError, MemoryError) as error:
        raise CheckpointError(f"{where} does not describe a usable model: {error}") from error
    labels_used = document.get("labels_used") is True
    return cls(str(document["method"]), config, clusterer, preprocessor, labels_used)


def _installed_method(name: str, distribution: object) -> type[Method]:
    """Return a method, or raise UsageError with the distribution that must be installed."""
    if isinstance(distribution, str) and name not in catalog.names():
        raise UsageError(
            f"its method {name!r} comes from the distribution {distribution!r}, which is not "
            "installed: install it"
        )
    return catalog.method(name)


def _with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose name has a prefix, by the rest of their name."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _checked_shape(value: object, *, where: "Place") -> Shape:
    if isinstance(value, list) and value and all(type(n) is int and n > 0 for n in value):
        return tuple(value)
    raise CheckpointError(
        f"{where} has shape {value!r}, which is not a list of sizes: fetch it again"
    )


def _check_size(components: int, features: int, weights: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError before a huge network is built for what a few weights cannot hold.

    A method may have fewer weights than features; a few more features cost little.
    """
    stored = sum(tensor.numel() for tensor in weights.values())
    if max(components, features) > max(stored, _ALWAYS_BUILT):
        raise CheckpointError(
            f"{components} clusters of {features} features cannot have {stored} weights; fetch it "
            "again"
        )


def _check_tensors(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError unless names, shapes and types are those that the method expects."""
    if found.keys() != expected.keys():
        names = ", ".join(sorted(found.keys() ^ expected.keys()))
        raise CheckpointError(f"the tensors {names} are missing or unknown; fetch it again")
    for name, tensor in expected.items():
        actual, wanted = _type_and_shape(found[name]), _type_and_shape(tensor)
        if actual != wanted:
            raise CheckpointError(f"tensor {name!r} is {actual}, not {wanted}; fetch it again")


def _type_and_shape(tensor: Tensor) -> str:
    return f"{tensor.dtype} {tuple(tensor.shape)}"
