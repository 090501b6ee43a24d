"""The one object between raw data and a method, recorded with every model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np

from ..errors import DataError
from .encoding import ArrayEncoder, Encoder
from .scaling import Array, Floats, Scaling, Shape
from .table.encoding import TableEncoder


@final
@dataclass(frozen=True, eq=False)
class Preprocessor:
    """Encodes raw points, scales them, and inverts both: scaled = scaling(encoder(raw))."""

    encoder: Encoder
    scaling: Scaling

    def __post_init__(self) -> None:
        try:
            np.broadcast_shapes(self.scaling.shift.shape, self.scaling.scale.shape, self.shape)
        except ValueError:
            raise DataError(
                f"a scaling of shape {self.scaling.shift.shape} does not fit points of shape "
                f"{self.shape}: train the model again"
            ) from None

    @property
    def shape(self) -> Shape:
        """The shape of one scaled point."""
        return self.encoder.shape

    def encode(self, raw: Any) -> Array:
        """Return raw points as numbers (N, *shape), not scaled yet, or raise DataError.

        A sparse matrix of SciPy is taken as well: what a search reads, its model reads.
        """
        if hasattr(raw, "toarray") and hasattr(raw, "dtype"):
            raw = _dense(raw)
        return self.encoder.encode(raw)

    def apply(self, raw: Any) -> Floats:
        """Return raw points as a method sees them, (N, *shape)."""
        return self.scaling.apply(self.encode(raw))

    def invert(self, scaled: Array) -> Any:
        """Return scaled points (N, *shape) in the form and the units of raw ones."""
        return self.encoder.decode(self.scaling.invert(scaled))

    def to_mapping(self) -> dict[str, Any]:
        """Return what `from_parts` needs besides the arrays of the scaling, as JSON values."""
        return json.loads(json.dumps(self.encoder.to_mapping()))  # type: ignore[no-any-return]

    @classmethod
    def from_parts(
        cls, encoder: Mapping[str, Any] | None, arrays: Mapping[str, Array], shape: Shape
    ) -> Self:
        """Return the preprocessor of a saved model, whose points have this shape once scaled.

        Models of earlier versions have no encoder: their points are arrays. Raises DataError.
        """
        try:
            found = ArrayEncoder(shape) if encoder is None else encoder_from(encoder)
        except (
            AttributeError,
            DataError,
            KeyError,
            OverflowError,
            TypeError,
            ValueError,
        ) as error:
            raise DataError(f"a stored encoder is damaged ({error}): fetch it again") from error
        if found.shape != shape:
            raise DataError(
                f"a stored encoder makes points of shape {found.shape}, not {shape}: fetch it "
                "again"
            )
        return cls(found, Scaling.from_arrays(arrays))


def _dense(raw: Any) -> Any:
    try:
        return raw.toarray()
    except MemoryError:
        raise DataError(
            f"a sparse matrix of shape {raw.shape} does not fit into memory as an array: give its "
            "rows in parts"
        ) from None


def encoder_from(values: Mapping[str, Any]) -> Encoder:
    """Return the encoder from the values of its `to_mapping`."""
    if values["kind"] == "table":
        return TableEncoder.from_mapping(values)
    return ArrayEncoder(tuple(map(int, values["point"])), values["channels_last"] is True)
