"""The Gaussian mixture VAE: a mixture prior whose components a style variable moves and bends.

Deep Unsupervised Clustering with Gaussian Mixture Variational Autoencoders (Dilokthanakul et al.,
2016). The paper's letters: data y, code x, style w, cluster z. Generative model (Eq. 1):

    w ~ N(0, I),  z ~ Cat(1/K),  x | z, w ~ N(mu_z(w), diag var_z(w)),  y | x ~ p(y | x).

Recognition: q(x | y) and q(w | y) are diagonal Gaussians, q(z | x, w) is exact (Eq. 3).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Self, final

import torch
from torch import Tensor

from ...methods.config import MetricInfo, setting
from ...methods.contract import Bounds, Decodes, Generates, Report, Shape, Traverses
from .._kit.loop import Clock, adam, descend_pass, in_chunks
from .._kit.networks import Draws, diagonal_normal, initialise, log_prob, rsample
from .._kit.outputs import flattened
from .._kit.stack import NetworkClusterer, StackedMethod
from .bound import Terms, constrained, lower_bound
from .networks import CHUNK, GMVAENetwork, GMVAENetworkConfig

BOUND_DRAWS = 16
"""Draws of x and w behind a bound."""

STYLE_REACH = 2.0
"""How far a line of styles reaches to either side of E w, in standard deviations of p(w)."""


@final
@dataclass(frozen=True, kw_only=True)
class GMVAEConfig(GMVAENetworkConfig):
    """The settings of section 4 and Appendix A of the paper, with fully connected layers.

    `warm_up` is the other remedy against merging clusters that section 3.4 names; the weight of
    the reconstruction is this project's own: above 1 it trades likelihood for clusters.
    """

    mc_samples: int = setting(1, "Monte Carlo draws M of x and w per point", low=1)
    information_threshold: float = setting(
        0.0, "lambda of Eq. 7 as a fraction of log K", low=0.0, high=1.0
    )
    warm_up: float = setting(
        0.0,
        "share of the passes in which the weight of the divergences rises from 0 to 1",
        low=0.0,
        high=1.0,
    )
    reconstruction_weight: float = setting(
        1.0,
        "weight of the reconstruction term; the bound has 1",
        low=0.0,
    )
    learning_rate: float = setting(1e-4, "step size of Adam", low=0.0)
    batch_size: int = setting(50, "points per step", low=1)
    epochs: int = setting(100, "passes over the data", low=1)

    @property
    def passes(self) -> int:
        """Passes over the data that a whole training makes."""
        return self.epochs

    def capped(self, epochs: int) -> Self:
        """Return this configuration with at most `epochs` passes."""
        return replace(self, epochs=min(self.epochs, epochs))

    @property
    def threshold(self) -> float:
        """The lambda of Eq. 7, in nats."""
        return self.information_threshold * math.log(self.n_components)

    def metric_info(self) -> Mapping[str, MetricInfo]:
        """Return the unit of all terms, and the levels that the z term is held against."""
        levels = {"log K": math.log(self.n_components)}
        if self.threshold > 0:
            levels["threshold λ"] = self.threshold
        read = {
            name: MetricInfo(unit="nats")
            for name in ("loss", "elbo", *(f.name for f in fields(Terms)))
        }
        return read | {"z_prior": MetricInfo(unit="nats", levels=levels)}


@final
class GMVAEClusterer(NetworkClusterer, Decodes, Generates, Traverses, Bounds):
    """One trained Gaussian mixture VAE."""

    network_type = GMVAENetwork
    network: GMVAENetwork

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the mean of p(y | x) at the mean code, shape (N, *shape)."""
        codes = self.embed(x)
        flat = in_chunks(lambda chunk: self.network.observe(chunk.unsqueeze(0)).mean[0], codes)
        return flat.unflatten(1, self.shape)

    @torch.no_grad()
    def sample(self, cluster: int, n: int, seed: int, *, style: Tensor | None = None) -> Tensor:
        """Return n means of p(y | x), x from component `cluster`, shape (n, *shape).

        Each point has a style of its own, w ~ p(w), unless `style` gives them, shape (n, W):
        zeros are the paper's Figure 5a, a line its Figure 5b.
        """
        draws = Draws([seed], self.network.heads.weight.device)
        w = self.network.style_prior.sample(n, draws) if style is None else style[None]
        component = self.network.components(w).base_dist
        x = rsample(
            diagonal_normal(component.mean[:, :, cluster], component.stddev[:, :, cluster]), draws
        )
        return self.network.observe(x).mean[0].unflatten(1, self.shape)

    @torch.no_grad()
    def traverse(self, cluster: int, steps: int) -> Tensor:
        """Return means of p(y | x) at x = mu_z(w), w on a line through E w, (steps, *shape).

        The paper's Figure 5b and section 4.2.1: the cluster fixed, the style moved. The paper
        does not name its line; here it is `style_axis`, the same for every cluster.
        """
        axis = self.network.style_axis()
        prior, line = self.network.style_prior, torch.linspace(-STYLE_REACH, STYLE_REACH, steps)
        w = prior.around((line.to(axis)[:, None] * prior.scale_along(axis) * axis).unsqueeze(0))
        x = self.network.components(w).mean[:, :, cluster]
        return self.network.observe(x).mean[0].unflatten(1, self.shape)

    @torch.no_grad()
    def elbo(self, x: Tensor) -> Tensor:
        """Return E log p(y|x) + log sum_k p(x|w,k)/K - log q(x|y) - KL(q(w|y) || p(w)), (N,).

        Eq. 4 with z summed out, no looser than Eq. 5. The expectation is a mean over draws that
        are the same for every point, so that a point's bound does not depend on its company.
        """
        return in_chunks(lambda y: self._elbo(y.flatten(1)[None]).T, x, size=CHUNK)[:, 0]

    def _elbo(self, y: Tensor) -> Tensor:
        network, draws = self.network, Draws([0], y.device)
        code, style = network.recognise(y)
        bound = code.entropy() - math.log(self.config.n_components)
        for _ in range(BOUND_DRAWS):
            x = code.mean + code.stddev * draws.normal(1, code.mean.shape[2])
            w = style.mean + style.stddev * draws.normal(1, style.mean.shape[2])
            mixture = log_prob(network.components(w), x.unsqueeze(2)).logsumexp(dim=2)
            term = log_prob(network.observe(x), y) + mixture
            bound = bound + (term - network.style_prior.divergence(style, w)) / BOUND_DRAWS
        return bound


@final
class GMVAE(StackedMethod):
    """Trains R Gaussian mixture VAEs on the lower bound of Eq. 4 with the constraint of Eq. 7.

    `style_components` above 1 makes the prior on w a mixture too, as the paper's conclusion
    proposes for a deep GMVAE; such a result is not the paper's.
    """

    config_type = GMVAEConfig
    clusterer_type = GMVAEClusterer
    source = (
        "Deep Unsupervised Clustering with Gaussian Mixture Variational Autoencoders "
        "(Dilokthanakul et al., 2016), sections 3 and 4, Appendix A"
    )
    config: GMVAEConfig
    network: GMVAENetwork

    def __init__(
        self,
        config: GMVAEConfig,
        shape: Shape,
        seeds: Sequence[int],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.shape = config, tuple(shape)
        self.draws, self.clock = Draws(seeds, device), Clock()
        self.network = GMVAENetwork(len(seeds), self.shape, config).to(device)
        initialise(self.network, self.draws)
        self.network.style_prior.scatter(self.draws)
        self.optimiser = adam(self.network.parameters(), config.learning_rate)

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Train on x, shape (N, *shape); a report's metrics are means over the pass, in nats."""
        points = flattened(x, self.config)
        for epoch in self.clock.count("train", self.config.epochs):
            metrics = descend_pass(
                points,
                partial(self._loss, weight=self._divergence_weight(epoch)),
                self.optimiser,
                batch_size=self.config.batch_size,
                draws=self.draws,
            )
            yield Report(stage="train", epoch=self.clock.epoch, metrics=metrics)

    def _loss(self, y: Tensor, weight: float) -> dict[str, Tensor]:
        terms = lower_bound(self.network, y, self.draws, self.config.mc_samples)
        return {"loss": self._objective(terms, weight), **terms.means()}

    def _objective(self, terms: Terms, weight: float) -> Tensor:
        """Return minus the bound with the z term held at lambda until it exceeds it, (R,)."""
        divergence = (terms.conditional_prior + terms.w_prior).mean(dim=1)
        divergence = divergence + constrained(terms.z_prior, self.config.threshold)
        reconstruction = self.config.reconstruction_weight * terms.reconstruction.mean(dim=1)
        return weight * divergence - reconstruction

    def _divergence_weight(self, epoch: int) -> float:
        """Return the weight of the divergences in a pass, counted from 1: a ramp, then 1."""
        rising = self.config.warm_up * self.config.epochs
        return min(1.0, (epoch - 1) / rising) if rising > 0 else 1.0
