"""One normalizing flow per cluster, trained by expectation maximisation on exact likelihoods.

The open question that closes Deep Generative Clustering with VAEs and Expectation-Maximization
(Adipoetra, Martin, 2025): its Algorithm 1 with flows in place of the autoencoders, so that the
E-step needs neither a bound nor draws. Flows, sizes and schedule are this project's choice.

Flows overfit: on digits their shares of the training points are right for them alone, unless the
points of an M-step have noise, as in Noise Regularization for Conditional Density Estimation
(Rothfuss et al., 2019). It is off where there are many points for few features.

Wide data are first turned to their principal axes. What is left outside of those is Gaussian of
one variance for all clusters, as in Probabilistic Principal Component Analysis (Tipping, Bishop,
1999): a density of x itself, of which the clusters' shares depend on the principal axes alone.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self, final

import torch
from torch import Tensor

from ...errors import UsageError
from ...methods.config import Config, setting
from ...methods.contract import Bounds, Generates, Report, Shape
from .._kit.loop import Clock, Mean, adam, descend, in_chunks
from .._kit.networks import Draws
from .._kit.stack import NetworkClusterer, StackedMethod, StackedNetwork
from .._kit.starts import first_responsibilities
from ..em_vae.networks import by_point, entropy, for_stack
from ..em_vae.steps import Responsibilities, owned, revive, weighted_share
from .flows import FlowStack
from .principal_axes import PrincipalAxes, moments

ROWS = 2**17
"""Numbers of points that all networks take at a time: a spline holds some hundred times that."""


@final
@dataclass(frozen=True, kw_only=True)
class EMFlowConfig(Config):
    """Settings of the flows and of the two steps of EM."""

    iterations: int = setting(100, "EM iterations", low=1)
    m_step_epochs: int = setting(2, "passes over the data in an M-step", low=1)
    principal_axes: int = setting(
        32, "principal axes that the flows see; data of fewer features stay as they are", low=1
    )
    coupling: str = setting(
        "spline", "what a transform does to a feature", choices=("spline", "affine")
    )
    transforms: int = setting(
        3, "transforms of a flow after its affine map; 0 leaves Gaussians", low=0, high=32
    )
    hidden_size: int = setting(64, "width of the two hidden layers of a transform", low=1)
    bins: int = setting(8, "pieces of a spline", low=2, high=64)
    learning_rate: float = setting(3e-3, "step size of Adam", low=0.0)
    decay: float = setting(
        0.1, "learning rate of the last EM iteration, in parts of the first's", low=1e-6, high=1.0
    )
    batch_size: int = setting(256, "points per step", low=1)
    temperature: float = setting(
        1.0, "T in u = softmax((log π + log p) / T); 1 is plain EM", low=1e-3
    )
    noise: float = setting(
        0.0,
        "standard deviation of the noise on the points of an M-step",
        unit="of the points' own, over all features",
        low=0.0,
        high=1.0,
    )
    weights: str = setting(
        "uniform", "weights π of the clusters: fitted, or 1/K", choices=("fitted", "uniform")
    )
    start: str = setting(
        "kmeans",
        "first u: Dirichlet(1), 1/K for all, or a k-means partition",
        choices=("random", "uniform", "kmeans"),
    )
    revive_below: float = setting(
        0.02, "mass, in parts of N/K, below which a cluster is seeded again", low=0.0, high=1.0
    )

    @property
    def passes(self) -> int:
        """Passes over the data: those of an M-step times the iterations."""
        return self.iterations * self.m_step_epochs

    def capped(self, epochs: int) -> Self:
        """Return this configuration with at most `epochs` passes, at most √epochs an M-step."""
        if self.passes <= epochs:
            return self
        m_step_epochs = min(self.m_step_epochs, max(1, math.isqrt(epochs)))
        return replace(
            self, iterations=max(1, epochs // m_step_epochs), m_step_epochs=m_step_epochs
        )


@final
class EMFlowNetwork(StackedNetwork):
    """S mixtures of K flows: p(x) = Σ_k π_k p_k(z) N(ε; 0, σ² I)."""

    log_weights: Tensor

    def __init__(self, stack: int, shape: Shape, config: EMFlowConfig) -> None:
        super().__init__(stack, shape, config)
        K, features = config.n_components, math.prod(shape)
        self.K, size = K, min(config.principal_axes, features)
        self.principal = PrincipalAxes(stack, features, size) if size < features else None
        self.flows = FlowStack(
            stack * K,
            size,
            coupling=config.coupling,
            transforms=config.transforms,
            hidden=config.hidden_size,
            bins=config.bins,
        )
        self.register_buffer("log_weights", torch.full((stack, K), -math.log(K)))

    def points(self, x: Tensor) -> Tensor:
        """Return what the flows see, (S, N, D), of x (N, F)."""
        if self.principal is None:
            return x.expand(len(self.log_weights), -1, -1)
        return self.principal.points(x)

    def log_prob_across(self, x: Tensor) -> Tensor:
        """Return what log p(x) has beside the flows, (S, N), of x (N, F)."""
        if self.principal is None:
            return x.new_zeros(len(self.log_weights), len(x))
        return self.principal.log_prob_across(x)

    def log_joint(self, points: Tensor) -> Tensor:
        """Return log π_k + log p_k(z), (S, N, K), of points (S, N, D)."""
        log_prob = self.flows.log_prob(for_stack(points, len(self.log_weights) * self.K))
        return self.log_weights.unsqueeze(1) + by_point(log_prob, self.K)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x), (S, N), of x (N, F)."""
        log_joint = self.chunked(lambda part: self.log_joint(self.points(part)), x)
        return log_joint.logsumexp(-1) + self.log_prob_across(x)

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log π_k p_k(x) / p(x), (S, N, K), of x (N, F)."""
        log_joint = self.chunked(lambda part: self.log_joint(self.points(part)), x)
        return log_joint.log_softmax(-1)

    def embed(self, x: Tensor) -> Tensor:
        """Return the noise z_k of all flows side by side, each times p(k | x), (S, N, K·D).

        The axes of different flows have nothing to do with one another, so each has its own.
        """

        def answer(part: Tensor) -> Tensor:
            points = self.points(part)
            noise, _ = self.flows(for_stack(points, len(points) * self.K))
            p = self.log_joint(points).softmax(-1).unsqueeze(-1)
            return (p * noise.unflatten(0, (-1, self.K)).transpose(1, 2)).flatten(2)

        return self.chunked(answer, x)

    def chunked(self, answer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Return `answer` of x (…, N, F), as few points at a time as memory asks for."""
        each = len(self.log_weights) * self.K * self.flows.features
        return in_chunks(answer, x, size=max(1, ROWS // each))


@final
class EMFlowClusterer(NetworkClusterer, Generates, Bounds):
    """One mixture of flows."""

    network_type = EMFlowNetwork
    network: EMFlowNetwork

    @torch.no_grad()
    def sample(self, cluster: int, n: int, seed: int) -> Tensor:
        """Return n points of p_k, by its flow run backwards from noise, (n, *shape)."""
        K = self.config.n_components
        if not 0 <= cluster < K:
            raise UsageError(f"there is no cluster {cluster}: give a number from 0 to {K - 1}")
        draws = Draws([seed], self.network.log_weights.device)
        noise = for_stack(draws.normal(n, self.network.flows.features), K)
        points = self.network.flows.inverse(noise)[[cluster]]
        if self.network.principal is not None:
            across = draws.normal(n, math.prod(self.shape))
            points = self.network.principal.place(points, across)
        return points[0].unflatten(1, self.shape)

    @torch.no_grad()
    def elbo(self, x: Tensor) -> Tensor:
        """Return log Σ_k π_k p_k(x), (N,), in nats: the log-likelihood itself."""
        return self.network.log_prob(x.flatten(1))[0]


@final
class EMFlow(StackedMethod):
    """Trains the K flows of R replicas as one stack of R·K.

    Reports of the first M-step come before any E-step: they have no clusters yet.
    """

    config: EMFlowConfig
    network: EMFlowNetwork

    config_type = EMFlowConfig
    clusterer_type = EMFlowClusterer
    source = (
        "Deep Generative Clustering with VAEs and Expectation-Maximization (Adipoetra, Martin, "
        "2025), Algorithm 1 and section 5, with flows"
    )

    def __init__(
        self,
        config: EMFlowConfig,
        shape: Shape,
        seeds: Sequence[int],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.shape, self.seeds = config, tuple(shape), tuple(seeds)
        self.draws, self.clock = Draws(seeds, device), Clock()
        self.network = EMFlowNetwork(len(seeds), self.shape, config).to(device)
        self.network.flows.initialise(self.draws)
        self.optimiser = adam(self.network.parameters(), config.learning_rate)
        self.shares = Responsibilities(self.draws.device)

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Train on x (N, *shape) by Algorithm 1, with a report after every pass of an M-step."""
        x, per_m_step = x.flatten(1), self.config.m_step_epochs
        u = self.shares.u if self.shares.u is not None else self._start(x)
        points, across = self._seen(x)
        for epoch in self.clock.count("em", self.config.passes):
            iteration, step = divmod(epoch - 1, per_m_step)
            if step == 0:
                self._decay(iteration)
                below = self.config.revive_below
                revive(u, below, lambda _: points, self.network, self.optimiser)
                self._weigh(u)
            metrics = {"elbo": self._m_step(points, u) + across}
            if step == per_m_step - 1:
                u, log_likelihood = self._e_step(points)
                metrics["log_likelihood"] = log_likelihood + across
            self.shares.u = u
            yield Report(
                stage="em", epoch=self.clock.epoch, metrics=metrics, clusters=epoch >= per_m_step
            )

    @torch.no_grad()
    def _start(self, x: Tensor) -> Tensor:
        """Find the axes, return the first u and let each flow begin as the Gaussian of its u.

        Features that are no principal axes may have units of their own, which flows do not care
        for: k-means sees them in parts of their standard deviation.
        """
        network, K = self.network, self.config.n_components
        if network.principal is not None:
            network.principal.fit(x)
        points = network.points(x)[0]
        spread = points.std(0, correction=0)
        own_units = (spread > 0) & (network.principal is None)
        seen = points / torch.where(own_units, spread, 1.0)
        u = first_responsibilities(self.config.start, seen, K, self.seeds, self.draws)
        network.flows.whiten(*moments(points, u.transpose(1, 2).flatten(0, 1)))
        return u

    @torch.no_grad()
    def _seen(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the flows see of x, (N, D), and the mean of log p(x) across, (R,)."""
        return self.network.points(x)[0], self.network.log_prob_across(x).mean(-1)

    def _decay(self, iteration: int) -> None:
        done = iteration / max(1, self.config.iterations - 1)
        rate = self.config.learning_rate * self.config.decay**done
        self.optimiser.param_groups[0]["lr"] = rate

    @torch.no_grad()
    def _weigh(self, u: Tensor) -> None:
        """Set π to the clusters' masses, each with one point more than it has."""
        if self.config.weights == "fitted":
            self.network.log_weights.copy_((u.sum(1) + 1).log().log_softmax(-1))

    def _m_step(self, points: Tensor, u: Tensor) -> Tensor:
        """Make one pass of Adam on -Σ_ik u_ik log p_k(x_i) / N; return the bound of EM, (R,).

        It is Σ_ik u_ik (log π_k + log p_k(x_i) - log u_ik) / N, at points with noise if any is
        set. `weighted_share` says how many
        points a flow gets in a step of the `batch_size` that it would see in the paper.
        """
        config, mean = self.config, Mean()
        K, share = config.n_components, u.mean(1)
        steps = -(-len(points) // config.batch_size)
        is_first = self.clock.epoch <= config.m_step_epochs
        part = weighted_share(config.start if is_first else "", K)
        each = math.ceil(part * len(points) / steps)
        scale = config.noise * points.var(0, correction=0).mean().sqrt()
        # no product is wide enough to be made faster, and densities want float32
        for index in owned(u, steps * each, self.draws).split(each, dim=1):
            noise = scale * self.draws.normal(K, each, points.shape[1]).flatten(0, 1)
            log_prob = self.network.flows.log_prob(points[index] + noise)
            cost = -log_prob.mean(-1).unflatten(0, (-1, K))
            mean.add({"loss": descend(self.optimiser, (share * cost).sum(-1))})
        prior = (share * self.network.log_weights).sum(-1)
        return prior + entropy(u) - mean.result()["loss"]

    @torch.no_grad()
    def _e_step(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return u = softmax_k((log π_k + log p_k) / T), (R, N, K), and the mean log p(z)."""
        R, network = len(self.seeds), self.network
        log_joint = network.chunked(lambda part: network.log_joint(part.expand(R, -1, -1)), points)
        u = (log_joint / self.config.temperature).softmax(-1)
        return u, log_joint.logsumexp(-1).mean(-1)
