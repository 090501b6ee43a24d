"""The Gaussian mixture VAE: a mixture prior whose components depend on a style variable.

Deep Unsupervised Clustering with Gaussian Mixture Variational Autoencoders (Dilokthanakul et al.,
2016). The notation is the paper's: data y, code x, style w, cluster z. Generative model (Eq. 1):

    w ~ N(0, I),  z ~ Cat(1/K),  x | z, w ~ N(mu_z(w), diag var_z(w)),  y | x ~ p(y | x).

Recognition: q(x | y) and q(w | y) are diagonal Gaussians, q(z | x, w) is exact (Eq. 3).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Self, final

import torch
from torch import Tensor

from ...methods.config import MetricInfo, setting
from ...methods.contract import Bounds, Decodes, Generates, Report, Traverses
from .._kit.assignments import AssignmentConfig, AssignmentPenalties, penalised_descent
from .._kit.distributions import diagonal_normal, log_prob, rsample
from .._kit.draws import Draws
from .._kit.layers import initialise
from .._kit.loop import adam, batch_indices, in_chunks, train_epoch
from .._kit.outputs import validate_and_flatten
from .._kit.stack import NetworkClusterer, StackedMethod
from .bound import Terms, lower_bound
from .networks import CHUNK_SIZE, GMVAENetwork, GMVAENetworkConfig

BOUND_SAMPLES = 16
"""Draws of x and w per point in `elbo`."""

STYLE_RANGE = 2.0
"""Half the length of a line of styles around E w, in standard deviations of p(w)."""


@final
@dataclass(frozen=True, kw_only=True)
class GMVAEConfig(AssignmentConfig, GMVAENetworkConfig):
    """The settings of section 4 and Appendix A of the paper, with fully connected layers.

    `warm_up` is the other remedy of section 3.4 against merging clusters. The reconstruction
    weight is not in the paper: above 1, it trades likelihood for clusters.
    """

    mc_samples: int = setting(1, "Monte Carlo draws M of x and w per point", low=1)
    information_threshold: float = setting(
        0.0, "lambda of Eq. 7 as a fraction of log K", low=0.0, high=1.0
    )
    warm_up: float = setting(
        0.0,
        "share of the epochs in which the weight of the divergences rises to 1",
        low=0.0,
        high=1.0,
    )
    reconstruction_weight: float = setting(
        1.0,
        "weight of the reconstruction term, 1 in the bound",
        low=0.0,
    )
    learning_rate: float = setting(1e-4, "step size of Adam", low=0.0)
    batch_size: int = setting(50, "points per step", low=1)
    epochs: int = setting(100, "passes over the data", low=1)

    @property
    def passes(self) -> int:
        """Epochs of the whole training."""
        return self.epochs

    def capped(self, epochs: int) -> Self:
        """Return this configuration with at most `epochs` epochs."""
        return replace(self, epochs=min(self.epochs, epochs))

    @property
    def threshold(self) -> float:
        """The lambda of Eq. 7, in nats."""
        return self.information_threshold * math.log(self.n_components)

    def metric_info(self) -> Mapping[str, MetricInfo]:
        """Return the unit of all terms and the reference levels of the z term."""
        levels = {"log K": math.log(self.n_components)}
        if self.threshold > 0:
            levels["threshold λ"] = self.threshold
        info = {
            name: MetricInfo(unit="nats")
            for name in ("loss", "elbo", *(f.name for f in fields(Terms)))
        }
        return info | {"z_prior": MetricInfo(unit="nats", levels=levels)}


@final
class GMVAEClusterer(NetworkClusterer, Decodes, Generates, Traverses, Bounds):
    """One trained Gaussian mixture VAE."""

    network_type = GMVAENetwork
    network: GMVAENetwork

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the mean of p(y | x) at the mean code, shape (N, *shape)."""
        codes = self.embed(x)
        flat = in_chunks(lambda chunk: self.network.decode(chunk.unsqueeze(0)).mean[0], codes)
        return flat.unflatten(1, self.shape)

    @torch.no_grad()
    def sample(self, cluster: int, n: int, seed: int, *, style: Tensor | None = None) -> Tensor:
        """Return n means of p(y | x), x from component `cluster`, shape (n, *shape).

        Each point has its own style w ~ p(w), unless `style` (n, W) is given: zeros as in Figure
        5a of the paper, or a line as in Figure 5b.
        """
        draws = Draws([seed], self.network.heads.weight.device)
        w = self.network.style_prior.sample(n, draws) if style is None else style[None]
        component = self.network.components(w).base_dist
        x = rsample(
            diagonal_normal(component.mean[:, :, cluster], component.stddev[:, :, cluster]), draws
        )
        return self.network.decode(x).mean[0].unflatten(1, self.shape)

    @torch.no_grad()
    def traverse(self, cluster: int, steps: int) -> Tensor:
        """Return means of p(y | x) at x = mu_z(w), w on a line through E w, (steps, *shape).

        As in Figure 5b and section 4.2.1 of the paper, the cluster is fixed and the style varies.
        The paper does not specify the line. Here it is `style_axis`, the same for every cluster.
        """
        axis = self.network.style_axis()
        prior, line = self.network.style_prior, torch.linspace(-STYLE_RANGE, STYLE_RANGE, steps)
        w = prior.add_to_mean((line.to(axis)[:, None] * prior.std_along(axis) * axis).unsqueeze(0))
        x = self.network.components(w).mean[:, :, cluster]
        return self.network.decode(x).mean[0].unflatten(1, self.shape)

    @torch.no_grad()
    def elbo(self, x: Tensor) -> Tensor:
        """Return E log p(y|x) + log sum_k p(x|w,k)/K - log q(x|y) - KL(q(w|y) || p(w)), (N,).

        Eq. 4 with z summed out, at least as tight as Eq. 5. The expectation is a mean over draws
        that are the same for every point, so a point's bound does not depend on other points.
        """
        return in_chunks(lambda y: self._elbo(y.flatten(1)[None]).T, x, size=CHUNK_SIZE)[:, 0]

    def _elbo(self, y: Tensor) -> Tensor:
        network, draws = self.network, Draws([0], y.device)
        code, style = network.encode(y)
        bound = code.entropy() - math.log(self.config.n_components)
        for _ in range(BOUND_SAMPLES):
            x = code.mean + code.stddev * draws.normal(1, code.mean.shape[2])
            w = style.mean + style.stddev * draws.normal(1, style.mean.shape[2])
            mixture = log_prob(network.components(w), x.unsqueeze(2)).logsumexp(dim=2)
            term = log_prob(network.decode(x), y) + mixture
            bound = bound + (term - network.style_prior.divergence(style, w)) / BOUND_SAMPLES
        return bound


@final
class GMVAE(StackedMethod):
    """Trains R Gaussian mixture VAEs on the lower bound of Eq. 4 with the constraint of Eq. 7.

    Penalties on p(z | x, w) at the means, which are not in the paper, can be added to it.

    With `style_components` above 1 the prior on w is a mixture too, as the paper's conclusion
    proposes for a deep GMVAE. The paper has no results for it.
    """

    config_type = GMVAEConfig
    clusterer_type = GMVAEClusterer
    source = (
        "Deep Unsupervised Clustering with Gaussian Mixture Variational Autoencoders "
        "(Dilokthanakul et al., 2016), sections 3 and 4, Appendix A"
    )
    config: GMVAEConfig
    network: GMVAENetwork

    def build(self) -> None:
        """Create the network and its optimiser."""
        self.network = self.stacked(GMVAENetwork)
        initialise(self.network, self.draws)
        self.network.style_prior.scatter(self.draws)
        self.optimiser = adam(self.network.parameters(), self.config.learning_rate)
        self.penalties = AssignmentPenalties(self.config, self.shape)

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Train on x, shape (N, *shape). Reported metrics are means over the epoch, in nats."""
        points = validate_and_flatten(x, self.config)
        radius = self.config.radius(points)
        step = penalised_descent(points, self.losses, self.penalties, self.optimiser, self.draws)
        for epoch in self.clock.count("train", self.config.epochs):
            batches = batch_indices(len(points), self.config.batch_size, self.draws)
            metrics = train_epoch(
                step, batches, self.scalar(self._divergence_weight(epoch)), radius
            )
            yield Report(stage="train", epoch=self.clock.epoch, metrics=metrics)

    def losses(self, y: Tensor, both: Tensor, weight: Tensor, radius: Tensor) -> dict[str, Tensor]:
        """Return the loss of points y (R, B, Y), divergences times `weight`, and all terms, (R,).

        `both` are the points and their copies, and `radius` is the length of the small changes of
        virtual adversarial training.
        """
        network, draws = self.network, self.draws
        terms = lower_bound(network, y, draws, self.config.mc_samples).means()
        metrics = {"loss": self._objective(terms, weight), **terms.metrics()}
        if not self.penalties.any:
            return metrics
        log_q = network.assign(both)
        penalty, penalties = self.penalties(network.assign, y, log_q, radius, draws)
        return {**metrics, "loss": metrics["loss"] + penalty, **penalties}

    def _objective(self, terms: Terms, weight: Tensor | float) -> Tensor:
        """Return minus the bound of mean terms (R,), the z term raised to at least lambda (Eq. 7).

        The maximum is taken on each network's own mean, not point by point.
        """
        z_prior = terms.z_prior.clamp(min=self.config.threshold)
        divergence = terms.conditional_prior + terms.w_prior + z_prior
        return weight * divergence - self.config.reconstruction_weight * terms.reconstruction

    def _divergence_weight(self, epoch: int) -> float:
        """Return the weight of the divergences in an epoch, counted from 1: a ramp, then 1.

        It is never 0. Without divergences, the gradient of the bias of q(x | y) is a rounding
        error, since the decoder's batch norm cancels that bias, and Adam makes whole steps of it.
        """
        return min(1.0, epoch / max(self.config.warm_up * self.config.epochs, 1.0))
