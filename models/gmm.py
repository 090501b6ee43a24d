"""A Gaussian mixture on the input space, the baseline with a likelihood."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self, final

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as ScikitMixture
from torch import Tensor

from ..methods.config import Config, Scalar, setting
from ..methods.contract import Bounds, Clusterer, Generates, Method, Random, Report, Shape, State
from ._kit.loop import Clock, in_chunks, pack, unpack
from ._kit.mixtures import GaussianMixture
from ._kit.networks import Draws, replica


@final
@dataclass(frozen=True, kw_only=True)
class GMMConfig(Config):
    """Settings of the mixture; the defaults are scikit-learn's but for the regularisation."""

    covariance: str = setting(
        "full", "shape of the covariances", choices=("full", "diag", "spherical")
    )
    regularisation: float = setting(
        1e-3, "added to every variance", unit="of the mean variance of the data", low=1e-9, high=10
    )
    starts: int = setting(1, "k-means starts, of which the likeliest is kept", low=1, high=1000)
    iterations: int = setting(100, "most iterations of one start", low=1, high=100_000)

    @property
    def passes(self) -> int:
        """One: a fit is not told in passes."""
        return 1

    def capped(self, epochs: int) -> Self:
        """Return the configuration as it is: there is nothing to shorten."""
        del epochs
        return self


@final
class GMMClusterer(Clusterer, Generates, Bounds):
    """One mixture; its bound is the log-likelihood itself."""

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
        """Return the points themselves, flat: the mixture has no other code."""
        return x.flatten(1)

    def sample(self, cluster: int, n: int, seed: int) -> Tensor:
        """Return n draws of N(μ_c, S_c), shape (n, *shape)."""
        draws = Draws([seed], self.mixture.means.device)
        noise = draws.normal(n, self.mixture.means.shape[-1])
        return self.mixture.place(cluster, noise)[0].view(n, *self.shape)

    def elbo(self, x: Tensor) -> Tensor:
        """Return log p(x), shape (N,)."""
        return in_chunks(self.mixture.log_joint, x.flatten(1))[0].logsumexp(dim=1)


@final
class GMM(Method, Random):
    """Expectation-maximisation from k-means starts, one fit per seed.

    Maximum Likelihood from Incomplete Data via the EM Algorithm (Dempster, Laird & Rubin, 1977).
    A share of the data's mean variance is added to every variance, so that constant features
    and components of few points keep a proper density.
    """

    config_type = GMMConfig
    clusterer_type = GMMClusterer
    source = "Gaussian mixture on the input space (scikit-learn)"

    def __init__(
        self,
        config: GMMConfig,
        shape: Shape,
        seeds: Sequence[int],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.shape, self.seeds = config, shape, list(seeds)
        features = torch.Size(shape).numel()
        self.mixture = GaussianMixture(len(seeds), config.n_components, features).to(device)
        self.clock = Clock()

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Fit every seed and report once."""
        points = x.flatten(1)
        for _ in self.clock.count("em", 1):
            likelihood = torch.stack([self._fit_one(r, points) for r in range(len(self.seeds))])
            yield Report(stage="em", epoch=self.clock.epoch, metrics={"elbo": likelihood})

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return the log-responsibilities, shape (R, N, K)."""
        return in_chunks(self.mixture.log_responsibilities, x.flatten(1))

    def clusterers(self) -> list[Clusterer]:
        """Return one clusterer per seed."""
        tensors, count = self.mixture.state_dict(), len(self.seeds)
        device = self.mixture.means.device
        return [
            GMMClusterer(
                self.config,
                self.shape,
                replica(tensors, r, count),
                device=device,
            )
            for r in range(count)
        ]

    def state(self) -> State:
        """Return the mixtures and the clock."""
        return pack(mixture=self.mixture, clock=self.clock)

    def restore(self, state: Mapping[str, Tensor | Scalar]) -> None:
        """Take up a state."""
        unpack(state, mixture=self.mixture, clock=self.clock)

    def _fit_one(self, r: int, points: Tensor) -> Tensor:
        config, spread = self.config, points.var(dim=0, correction=0).mean().item()
        estimator = ScikitMixture(
            config.n_components,
            covariance_type=config.covariance,
            reg_covar=config.regularisation * spread + 1e-12,
            n_init=config.starts,
            max_iter=config.iterations,
            random_state=self.seeds[r] % 2**32,
        )
        with warnings.catch_warnings():  # not converged, or fewer distinct points: an outcome
            warnings.simplefilter("ignore", ConvergenceWarning)
            estimator.fit(points.cpu().double().numpy())
        self.mixture.log_weights[r] = torch.as_tensor(estimator.weights_).log()
        self.mixture.means[r] = torch.as_tensor(estimator.means_)
        self.mixture.scale_tril[r] = self._scale_tril(torch.as_tensor(estimator.covariances_))
        return points.new_tensor(estimator.lower_bound_)

    def _scale_tril(self, covariances: Tensor) -> Tensor:
        """Return Cholesky factors (K, F, F) of covariances (K, F, F), (K, F) or (K,)."""
        if self.config.covariance == "full":
            return torch.linalg.cholesky(covariances)
        features = self.mixture.means.shape[-1]
        return covariances.sqrt().view(len(covariances), -1).expand(-1, features).diag_embed()
