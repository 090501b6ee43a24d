"""k-means on the input space, the baseline that every method has to beat."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self, final

import torch
from sklearn.cluster import KMeans as ScikitKMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from ..methods.config import Config, Scalar, setting
from ..methods.contract import Clusterer, Method, Random, Report, Shape, State
from ._kit.loop import Clock, pack, unpack
from ._kit.networks import replica


@final
@dataclass(frozen=True, kw_only=True)
class KMeansConfig(Config):
    """Settings of k-means; the defaults are scikit-learn's but for the number of starts."""

    starts: int = setting(10, "k-means++ starts, of which the tightest is kept", low=1, high=1000)
    iterations: int = setting(300, "most iterations of one start", low=1, high=100_000)

    @property
    def passes(self) -> int:
        """One: a fit is not told in passes."""
        return 1

    def capped(self, epochs: int) -> Self:
        """Return the configuration as it is: there is nothing to shorten."""
        del epochs
        return self


@final
class KMeansClusterer(Clusterer):
    """The K centres and the variance of the spherical mixture around them."""

    def __init__(
        self,
        config: KMeansConfig,
        shape: Shape,
        weights: Mapping[str, Tensor],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        del config, shape
        self.centres = weights["centres"].to(device)
        self.variance = weights["variance"].to(device)

    def weights(self) -> dict[str, Tensor]:
        """Return the centres (1, K, F) and the variance (1,)."""
        return {"centres": self.centres, "variance": self.variance}

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return the log-responsibilities, shape (N, K)."""
        return _log_responsibilities(x.flatten(1), self.centres, self.variance)[0]

    def embed(self, x: Tensor) -> Tensor:
        """Return the points themselves, flat: k-means has no other code."""
        return x.flatten(1)


@final
class KMeans(Method, Random):
    """Lloyd's algorithm from k-means++ starts, one fit per seed.

    Some Methods for Classification and Analysis of Multivariate Observations (MacQueen, 1967);
    k-means++: The Advantages of Careful Seeding (Arthur & Vassilvitskii, 2007). As a mixture it
    is the limit s² → 0 of Σ_k N(μ_k, s² I) / K; for probabilities s² takes its maximum-likelihood
    value, the mean squared distance to the own centre per feature, which moves no assignment.
    """

    config_type = KMeansConfig
    clusterer_type = KMeansClusterer
    source = "k-means on the input space (scikit-learn)"

    def __init__(
        self,
        config: KMeansConfig,
        shape: Shape,
        seeds: Sequence[int],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.shape, self.seeds = config, shape, list(seeds)
        features = torch.Size(shape).numel()
        self.centres = torch.zeros(len(seeds), config.n_components, features, device=device)
        self.variance = torch.ones(len(seeds), device=device)
        self.clock = Clock()

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Fit every seed and report once."""
        points = x.flatten(1)
        for _ in self.clock.count("kmeans", 1):
            inertia = torch.stack([self._fit_one(r, points) for r in range(len(self.seeds))])
            yield Report(stage="kmeans", epoch=self.clock.epoch, metrics={"inertia": inertia})

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return the log-responsibilities, shape (R, N, K)."""
        return _log_responsibilities(x.flatten(1), self.centres, self.variance)

    def clusterers(self) -> list[Clusterer]:
        """Return one clusterer per seed."""
        tensors, count = {"centres": self.centres, "variance": self.variance}, len(self.seeds)
        return [
            KMeansClusterer(
                self.config, self.shape, replica(tensors, r, count), device=self.centres.device
            )
            for r in range(count)
        ]

    def state(self) -> State:
        """Return the centres, the variances and the clock."""
        return pack(centres=self.centres, variance=self.variance, clock=self.clock)

    def restore(self, state: Mapping[str, Tensor | Scalar]) -> None:
        """Take up a state."""
        unpack(state, centres=self.centres, variance=self.variance, clock=self.clock)

    def _fit_one(self, r: int, points: Tensor) -> Tensor:
        k, seed = self.config.n_components, self.seeds[r] % 2**32
        estimator = ScikitKMeans(
            k, n_init=self.config.starts, max_iter=self.config.iterations, random_state=seed
        )
        with warnings.catch_warnings():  # fewer distinct points than clusters is an outcome
            warnings.simplefilter("ignore", ConvergenceWarning)
            estimator.fit(points.cpu().numpy())
        self.centres[r] = torch.as_tensor(estimator.cluster_centers_)
        inertia = points.new_tensor(estimator.inertia_ / len(points))
        least = 1e-6 * points.var(dim=0, correction=0).mean() + 1e-12
        self.variance[r] = torch.maximum(inertia / points.shape[1], least)
        return inertia


def _log_responsibilities(points: Tensor, centres: Tensor, variance: Tensor) -> Tensor:
    """Return log_softmax_k(-‖x - μ_k‖² / 2s²), (R, N, K); the term in ‖x‖² cancels."""
    inner = points @ centres.transpose(1, 2) - 0.5 * centres.square().sum(dim=2).unsqueeze(1)
    return (inner / variance.view(-1, 1, 1)).log_softmax(dim=2)
