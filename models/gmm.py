"""A Gaussian mixture on the input space, the baseline with a likelihood."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as ScikitMixture
from torch import Tensor

from ..methods.config import setting
from ..methods.contract import Bounds, Clusterer, Generates, Shape
from ._kit.draws import Draws
from ._kit.fitted import FitConfig, FittedMethod
from ._kit.loop import in_chunks
from ._kit.mixtures import GaussianMixture


@final
@dataclass(frozen=True, kw_only=True)
class GMMConfig(FitConfig):
    """Settings of the mixture; the defaults are scikit-learn's except for the regularisation."""

    covariance: str = setting(
        "full", "covariances of the components", choices=("full", "diag", "spherical")
    )
    regularisation: float = setting(
        1e-3, "added to every variance", unit="of the mean variance of the data", low=1e-9, high=10
    )
    starts: int = setting(1, "k-means starts, the likeliest of which is kept", low=1, high=1000)
    iterations: int = setting(100, "maximum iterations per start", low=1, high=100_000)


@final
class GMMClusterer(Clusterer, Generates, Bounds):
    """One Gaussian mixture; its bound is the exact log-likelihood."""

    def __init__(
        self,
        config: GMMConfig,
        shape: Shape,
        weights: Mapping[str, Tensor],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.shape = tuple(shape)
        features = torch.Size(self.shape).numel()
        self.mixture = GaussianMixture(1, config.n_components, features).to(device)
        self.mixture.load_state_dict(dict(weights))

    def weights(self) -> dict[str, Tensor]:
        """Return log π (1, K), means (1, K, F) and Cholesky factors (1, K, F, F)."""
        return dict(self.mixture.state_dict())

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return the log-responsibilities, shape (N, K)."""
        return in_chunks(self.mixture.log_responsibilities, x.flatten(1))[0]

    def embed(self, x: Tensor) -> Tensor:
        """Return the points themselves, flattened: the mixture has no other code."""
        return x.flatten(1)

    def sample(self, cluster: int, n: int, seed: int) -> Tensor:
        """Return n draws from N(μ_c, S_c), shape (n, *shape)."""
        draws = Draws([seed], self.mixture.means.device)
        noise = draws.normal(n, self.mixture.means.shape[-1])
        return self.mixture.sample_component(cluster, noise)[0].view(n, *self.shape)

    def elbo(self, x: Tensor) -> Tensor:
        """Return log p(x), shape (N,)."""
        return in_chunks(self.mixture.log_joint, x.flatten(1))[0].logsumexp(dim=1)


@final
class GMM(FittedMethod):
    """Expectation-maximisation from k-means starts, one fit per seed.

    Maximum Likelihood from Incomplete Data via the EM Algorithm (Dempster, Laird & Rubin, 1977).
    A fraction of the data's mean variance is added to every variance, so that constant features
    and components with few points keep a proper density.
    """

    config_type = GMMConfig
    clusterer_type = GMMClusterer
    source = "Gaussian mixture on the input space (scikit-learn)"
    stage, metric = "em", "elbo"
    config: GMMConfig

    def build(self, replicas: int, features: int) -> None:
        """Create the mixtures."""
        mixture = GaussianMixture(replicas, self.config.n_components, features)
        self.mixture = mixture.to(self.device)

    def fit_replica(self, r: int, points: Tensor) -> Tensor:
        """Fit replica r and return its mean log-likelihood."""
        config, spread = self.config, points.var(dim=0, correction=0).mean().item()
        estimator = ScikitMixture(
            config.n_components,
            covariance_type=config.covariance,
            reg_covar=config.regularisation * spread + 1e-12,
            n_init=config.starts,
            max_iter=config.iterations,
            random_state=self.seeds[r] % 2**32,
        )
        with warnings.catch_warnings():  # no convergence or fewer distinct points are allowed
            warnings.simplefilter("ignore", ConvergenceWarning)
            estimator.fit(points.cpu().double().numpy())
        self.mixture.log_weights[r] = torch.as_tensor(estimator.weights_).log()
        self.mixture.means[r] = torch.as_tensor(estimator.means_)
        self.mixture.scale_tril[r] = self._scale_tril(torch.as_tensor(estimator.covariances_))
        return points.new_tensor(estimator.lower_bound_)

    def tensors(self) -> Mapping[str, Tensor]:
        """Return log π, means and Cholesky factors."""
        return self.mixture.state_dict()

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return the log-responsibilities, shape (R, N, K)."""
        return in_chunks(self.mixture.log_responsibilities, x.flatten(1))

    def _scale_tril(self, covariances: Tensor) -> Tensor:
        """Return Cholesky factors (K, F, F) of covariances (K, F, F), (K, F) or (K,)."""
        if self.config.covariance == "full":
            return torch.linalg.cholesky(covariances)
        features = self.mixture.means.shape[-1]
        return covariances.sqrt().view(len(covariances), -1).expand(-1, features).diag_embed()
