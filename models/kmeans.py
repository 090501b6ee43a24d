"""k-means on the input space, the baseline for every method."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from sklearn.cluster import KMeans as ScikitKMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from ..methods.config import setting
from ..methods.contract import Clusterer, Shape
from ._kit.fitted import FitConfig, FittedMethod


@final
@dataclass(frozen=True, kw_only=True)
class KMeansConfig(FitConfig):
    """Settings of k-means; the defaults are scikit-learn's except for the number of starts."""

    starts: int = setting(10, "k-means++ starts, the best of which is kept", low=1, high=1000)
    iterations: int = setting(300, "maximum iterations per start", low=1, high=100_000)


@final
class KMeansClusterer(Clusterer):
    """K centres and the variance of the spherical mixture around them."""

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
        """Return the points themselves, flattened: k-means has no other code."""
        return x.flatten(1)


@final
class KMeans(FittedMethod):
    """Lloyd's algorithm from k-means++ starts, one fit per seed.

    Some Methods for Classification and Analysis of Multivariate Observations (MacQueen, 1967);
    k-means++: The Advantages of Careful Seeding (Arthur & Vassilvitskii, 2007). k-means is the
    limit s² → 0 of the mixture Σ_k N(μ_k, s² I) / K. For probabilities, s² is set to its
    maximum-likelihood value, the mean squared distance to the nearest centre per feature, which
    changes no assignment.
    """

    config_type = KMeansConfig
    clusterer_type = KMeansClusterer
    source = "k-means on the input space (scikit-learn)"
    stage, metric = "kmeans", "inertia"
    config: KMeansConfig

    def build(self, replicas: int, features: int) -> None:
        """Create the centres, shape (R, K, F), and the variances, shape (R,)."""
        K = self.config.n_components
        self.centres = torch.zeros(replicas, K, features, device=self.device)
        self.variance = torch.ones(replicas, device=self.device)

    def fit_replica(self, r: int, points: Tensor) -> Tensor:
        """Fit replica r and return its inertia per point."""
        k, seed = self.config.n_components, self.seeds[r] % 2**32
        estimator = ScikitKMeans(
            k, n_init=self.config.starts, max_iter=self.config.iterations, random_state=seed
        )
        with warnings.catch_warnings():  # fewer distinct points than clusters are allowed
            warnings.simplefilter("ignore", ConvergenceWarning)
            estimator.fit(points.cpu().numpy())
        self.centres[r] = torch.as_tensor(estimator.cluster_centers_)
        inertia = points.new_tensor(estimator.inertia_ / len(points))
        least = 1e-6 * points.var(dim=0, correction=0).mean() + 1e-12
        self.variance[r] = torch.maximum(inertia / points.shape[1], least)
        return inertia

    def tensors(self) -> Mapping[str, Tensor]:
        """Return the centres and variances."""
        return {"centres": self.centres, "variance": self.variance}

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return the log-responsibilities, shape (R, N, K)."""
        return _log_responsibilities(x.flatten(1), self.centres, self.variance)


def _log_responsibilities(points: Tensor, centres: Tensor, variance: Tensor) -> Tensor:
    """Return log_softmax_k(-‖x - μ_k‖² / 2s²), (R, N, K); the term in ‖x‖² cancels."""
    inner = points @ centres.transpose(1, 2) - 0.5 * centres.square().sum(dim=2).unsqueeze(1)
    return (inner / variance.view(-1, 1, 1)).log_softmax(dim=2)
