"""The Gaussian mixture VAE: a mixture prior whose components a style variable moves and bends.

Deep Unsupervised Clustering with Gaussian Mixture Variational Autoencoders (Dilokthanakul et al.,
2016). The paper's letters: data y, code x, style w, cluster z. Generative model (Eq. 1):

    w ~ N(0, I),  z ~ Cat(1/K),  x | z, w ~ N(mu_z(w), diag var_z(w)),  y | x ~ p(y | x).

Recognition: q(x | y) and q(w | y) are diagonal Gaussians, q(z | x, w) is exact (Eq. 3).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self, final

import torch
from torch import Tensor

from ..errors import DataError
from ..method import (
    Bounds,
    Clusterer,
    Config,
    Curve,
    Decodes,
    Generates,
    Method,
    Random,
    Report,
    Scalar,
    Shape,
    State,
    Trains,
    Traverses,
    setting,
)
from ._gmvae_bound import Terms, constrained, kl_to_standard_normal, lower_bound
from ._gmvae_nets import CONVOLUTIONS, GMVAENetwork
from ._loop import Clock, Mean, adam, descend, fast_products, in_chunks, minibatches, pack, unpack
from ._nets import (
    Draws,
    diagonal_normal,
    initialise,
    log_prob,
    replica,
    rsample,
)

BOUND_DRAWS = 16
"""Draws of x and w behind a bound."""

STYLE_REACH = 2.0
"""How far a line of styles reaches to either side of 0, in standard deviations of p(w)."""

CHUNK = 1024
"""Points answered at once: each takes K times the code size several times over."""


@final
@dataclass(frozen=True, kw_only=True)
class GMVAEConfig(Config):
    """The settings of section 4 and Appendix A of the paper, with fully connected layers.

    `warm_up` is the other remedy against merging clusters that section 3.4 names; the weight of
    the reconstruction is this project's own: above 1 it trades likelihood for clusters.
    """

    code_size: int = setting(200, "dimensions of the code x", low=1)
    style_size: int = setting(150, "dimensions of the style w", low=1)
    hidden_size: int = setting(500, "width of the hidden layers", low=1)
    hidden_layers: int = setting(2, "hidden layers of a perceptron, each way", low=1)
    prior_hidden_size: int = setting(500, "width of the prior's tanh layer", low=1)
    architecture: str = setting(
        "perceptron",
        "layers between data and heads: fully connected, or the convolutions of Tables A.1-A.3",
        choices=("perceptron", *CONVOLUTIONS),
    )
    batch_norm: bool = setting(True, "normalise the hidden layers of encoder and decoder")
    likelihood: str = setting("bernoulli", "p(y | x), Eq. 1d", choices=("bernoulli", "gaussian"))
    variance_floor: float = setting(1e-3, "least variance of a Gaussian p(y | x)", low=0.0)
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

    def curves(self) -> Mapping[str, Curve]:
        """Return the unit of all terms, and the levels that the z term is held against."""
        levels = {"log K": math.log(self.n_components)}
        if self.threshold > 0:
            levels["threshold λ"] = self.threshold
        read = {
            name: Curve(unit="nats") for name in ("loss", "elbo", *(f.name for f in fields(Terms)))
        }
        return read | {"z_prior": Curve(unit="nats", levels=levels)}

    @classmethod
    def implied_by(cls, *, unit_interval: bool) -> dict[str, Scalar]:
        """Return a Gaussian likelihood for data outside [0, 1]."""
        return {} if unit_interval else {"likelihood": "gaussian"}


@final
class GMVAEClusterer(Clusterer, Decodes, Generates, Traverses, Bounds):
    """One trained Gaussian mixture VAE."""

    def __init__(
        self,
        config: GMVAEConfig,
        shape: Shape,
        weights: Mapping[str, Tensor],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.shape, self.device = shape, torch.device(device)
        network = GMVAENetwork(1, config, shape).to(self.device)
        self.network = network.eval().requires_grad_(False)
        self.network.load_state_dict(dict(weights))

    def weights(self) -> dict[str, Tensor]:
        """Return parameters and running moments, each with a leading axis of one."""
        return {name: t.detach().clone() for name, t in self.network.state_dict().items()}

    @torch.no_grad()
    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log p(z | code, style) at the recognised means, shape (N, K)."""
        answer = self.network.log_responsibilities
        return in_chunks(lambda chunk: answer(_flat(chunk, 1))[0], x, size=CHUNK)

    @torch.no_grad()
    def embed(self, x: Tensor) -> Tensor:
        """Return the means of q(x | y), shape (N, D)."""
        return in_chunks(lambda chunk: self.network.recognise(_flat(chunk, 1))[0].mean[0], x)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the mean of p(y | x) at the mean code, shape (N, *shape)."""
        codes = self.embed(x)
        flat = in_chunks(lambda chunk: self.network.observe(chunk.unsqueeze(0)).mean[0], codes)
        return flat.unflatten(1, self.shape)

    @torch.no_grad()
    def sample(self, cluster: int, n: int, seed: int, *, style: Tensor | None = None) -> Tensor:
        """Return n means of p(y | x), x from component `cluster`, shape (n, *shape).

        Each point has a style of its own, w ~ N(0, I), unless `style` gives them, shape (n, W):
        zeros are the paper's Figure 5a, a line its Figure 5b.
        """
        draws = Draws([seed], self.device)
        w = draws.normal(n, self.network.config.style_size) if style is None else style[None]
        component = self.network.components(w).base_dist
        x = rsample(
            diagonal_normal(component.mean[:, :, cluster], component.stddev[:, :, cluster]), draws
        )
        return self.network.observe(x).mean[0].unflatten(1, self.shape)

    @torch.no_grad()
    def traverse(self, cluster: int, steps: int) -> Tensor:
        """Return means of p(y | x) at x = mu_z(w), w on a line through 0, (steps, *shape).

        The paper's Figure 5b and section 4.2.1: the cluster fixed, the style moved. The paper
        does not name its line; here it is `style_axis`, the same for every cluster.
        """
        axis = self.network.style_axis()
        w = torch.linspace(-STYLE_REACH, STYLE_REACH, steps, device=self.device)[:, None] * axis
        x = self.network.components(w.unsqueeze(0)).mean[:, :, cluster]
        return self.network.observe(x).mean[0].unflatten(1, self.shape)

    @torch.no_grad()
    def elbo(self, x: Tensor) -> Tensor:
        """Return E log p(y|x) + log sum_k p(x|w,k)/K - log q(x|y) - KL(q(w|y) || p(w)), (N,).

        Eq. 4 with z summed out, no looser than Eq. 5. The expectation is a mean over draws that
        are the same for every point, so that a point's bound does not depend on its company.
        """
        return in_chunks(lambda chunk: self._elbo(_flat(chunk, 1)).T, x, size=CHUNK)[:, 0]

    def _elbo(self, y: Tensor) -> Tensor:
        code, style = self.network.recognise(y)
        draws = Draws([0], self.device)
        bound = code.entropy() - kl_to_standard_normal(style)
        for _ in range(BOUND_DRAWS):
            x = code.mean + code.stddev * draws.normal(1, code.mean.shape[2])
            w = style.mean + style.stddev * draws.normal(1, style.mean.shape[2])
            mixture = log_prob(self.network.components(w), x.unsqueeze(2)).logsumexp(dim=2)
            bound = bound + (log_prob(self.network.observe(x), y) + mixture) / BOUND_DRAWS
        return bound - math.log(self.network.config.n_components)


@final
class GMVAE(Method, Trains, Random):
    """Trains R Gaussian mixture VAEs on the lower bound of Eq. 4 with the constraint of Eq. 7."""

    config_type = GMVAEConfig
    clusterer_type = GMVAEClusterer
    source = (
        "Deep Unsupervised Clustering with Gaussian Mixture Variational Autoencoders "
        "(Dilokthanakul et al., 2016), sections 3 and 4, Appendix A"
    )

    def __init__(
        self,
        config: GMVAEConfig,
        shape: Shape,
        seeds: Sequence[int],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.shape, self.device = config, shape, torch.device(device)
        self.draws, self.clock = Draws(seeds, device), Clock()
        self.network = GMVAENetwork(len(seeds), config, shape).to(self.device)
        initialise(self.network, self.draws)
        self.optimiser = adam(self.network.parameters(), config.learning_rate)

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Train on x, shape (N, *shape); a report's metrics are means over the pass, in nats."""
        points = self._checked(x)
        for epoch in self.clock.count("train", self.config.epochs):
            self.network.train()
            mean, weight = Mean(), self._divergence_weight(epoch)
            for batch in minibatches(points, self.config.batch_size, self.draws):
                with fast_products(self.device, points.shape[1]):
                    terms = lower_bound(self.network, batch, self.draws)
                loss = self._loss(terms, weight)
                descend(self.optimiser, loss)
                mean.add({"loss": loss.detach()} | terms.means())
            yield Report(stage="train", epoch=self.clock.epoch, metrics=mean.result())

    def _loss(self, terms: Terms, weight: float) -> Tensor:
        """Return minus the bound with the z term held at lambda until it exceeds it, (R,)."""
        divergence = (terms.conditional_prior + terms.w_prior).mean(dim=1)
        divergence = divergence + constrained(terms.z_prior, self.config.threshold)
        reconstruction = self.config.reconstruction_weight * terms.reconstruction.mean(dim=1)
        return weight * divergence - reconstruction

    def _divergence_weight(self, epoch: int) -> float:
        """Return the weight of the divergences in a pass, counted from 1: a ramp, then 1."""
        rising = self.config.warm_up * self.config.epochs
        return min(1.0, (epoch - 1) / rising) if rising > 0 else 1.0

    def _checked(self, x: Tensor) -> Tensor:
        """Return x flat, (N, Y), or raise if the likelihood cannot have made it."""
        if self.config.likelihood == "bernoulli" and (x.min() < 0 or x.max() > 1):
            raise DataError(
                f"the data lie in [{x.min():g}, {x.max():g}] and a Bernoulli likelihood needs "
                "[0, 1]: scale them to the unit interval or set likelihood=gaussian"
            )
        return x.flatten(1)

    @torch.no_grad()
    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log p(z | code, style) at the recognised means, shape (R, N, K)."""
        training = self.network.training
        self.network.eval()
        answer, R = self.network.log_responsibilities, len(self.draws)
        log_p = in_chunks(lambda chunk: answer(_flat(chunk, R)), x, size=CHUNK)
        self.network.train(training)
        return log_p

    def parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the name and tensor of every parameter that gradients must reach."""
        yield from self.network.named_parameters()

    def clusterers(self) -> list[Clusterer]:
        """Return the R replicas as they stand, detached from training."""
        tensors, R = self.network.state_dict(), len(self.draws)
        return [
            GMVAEClusterer(self.config, self.shape, replica(tensors, r, R), device=self.device)
            for r in range(R)
        ]

    def state(self) -> State:
        """Return all that is needed to go on exactly; valid at yields."""
        return pack(**self._parts())

    def restore(self, state: Mapping[str, Tensor | Scalar]) -> None:
        """Take up a state; a new `fit` goes on at the next epoch."""
        unpack(state, **self._parts())

    def _parts(self) -> dict[str, object]:
        return {
            "network": self.network,
            "optimiser": self.optimiser,
            "draws": self.draws,
            "clock": self.clock,
        }


def _flat(x: Tensor, replicas: int) -> Tensor:
    """Return points (N, *shape) as the input of every replica, (R, N, Y)."""
    return x.flatten(1).expand(replicas, -1, -1)
