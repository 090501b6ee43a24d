"""One normalizing flow per cluster, trained by expectation maximisation on exact likelihoods.

Algorithm 1 of Deep Generative Clustering with VAEs and Expectation-Maximization (Adipoetra,
Martin, 2025) with flows instead of autoencoders, which the paper leaves as an open question. The
E-step then needs neither a bound nor draws. Flows, sizes, schedule and averages over
neighbourhoods are not from the paper.

Flows overfit. On digits the responsibilities of the training points do not generalise, unless the
M-step adds noise to the points, as in Noise Regularization for Conditional Density Estimation
(Rothfuss et al., 2019). Data with many points and few features do not need it.

Wide data are first projected on their principal axes. The residual is Gaussian with one variance
for all clusters, as in Probabilistic Principal Component Analysis (Tipping, Bishop, 1999). This is
a density of x itself, whose responsibilities depend on the principal axes alone.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Self, final

import torch
from torch import Tensor

from ...errors import UsageError
from ...methods.config import Config, setting
from ...methods.contract import Bounds, Generates, Report, Shape
from .._kit.diffusion import Diffusion, DiffusionConfig
from .._kit.draws import Draws
from .._kit.loop import adam, gradient_step, in_chunks, set_learning_rate, train_epoch
from .._kit.recording import Step
from .._kit.stack import NetworkClusterer, StackedMethod, StackedNetwork
from .._kit.starts import initial_responsibilities
from ..em_vae.networks import expand_to_stack, mean_entropy, unstack_clusters
from ..em_vae.steps import Responsibilities, effective_share, revive_clusters, systematic_resample
from .flows import FlowStack
from .principal_axes import PrincipalAxes, weighted_moments

MAX_CHUNK_VALUES = 2**17
"""Most values in a chunk on a CPU, over all flows. A spline stores some hundred for each."""


@final
@dataclass(frozen=True, kw_only=True)
class EMFlowConfig(DiffusionConfig, Config):
    """Settings of the flows and of the two steps of EM."""

    iterations: int = setting(100, "EM iterations", low=1)
    m_step_epochs: int = setting(2, "passes over the data in an M-step", low=1)
    principal_axes: int = setting(
        32,
        "principal axes that the flows model; data with fewer features are not projected",
        low=1,
    )
    coupling: str = setting(
        "spline", "transform of a single feature", choices=("spline", "affine")
    )
    transforms: int = setting(
        3, "transforms of a flow after its affine map; 0 for Gaussians", low=0, high=32
    )
    hidden_size: int = setting(64, "width of the two hidden layers of a transform", low=1)
    bins: int = setting(8, "bins of a spline", low=2, high=64)
    learning_rate: float = setting(3e-3, "step size of Adam", low=0.0)
    decay: float = setting(
        0.1,
        "learning rate of the last EM iteration, as a share of the first's",
        low=1e-6,
        high=1.0,
    )
    batch_size: int = setting(256, "points per step", low=1)
    temperature: float = setting(
        1.0, "T in u = softmax((log π + log p) / T); 1 is plain EM", low=1e-3
    )
    noise: float = setting(
        0.0,
        "standard deviation of the noise added to points in the M-step",
        unit="of the points' own, over all features",
        low=0.0,
        high=1.0,
    )
    weights: str = setting(
        "uniform", "weights π of the clusters: fitted or 1/K", choices=("fitted", "uniform")
    )
    start: str = setting(
        "kmeans",
        "initial u: Dirichlet(1), 1/K for all, or a k-means partition",
        choices=("random", "uniform", "kmeans"),
    )
    revive_below: float = setting(
        0.02, "mass, as a share of N/K, below which a cluster is reinitialised", low=0.0, high=1.0
    )

    @property
    def passes(self) -> int:
        """Epochs of the whole training: epochs per M-step times iterations."""
        return self.iterations * self.m_step_epochs

    def capped(self, epochs: int) -> Self:
        """Return this configuration with at most `epochs` epochs, at most √epochs per M-step."""
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

    def project(self, x: Tensor) -> Tensor:
        """Return the input of the flows, (S, N, D), for x (N, F)."""
        if self.principal is None:
            return x.expand(len(self.log_weights), -1, -1)
        return self.principal.transform(x)

    def residual_log_prob(self, x: Tensor) -> Tensor:
        """Return the part of log p(x) outside of the flows, (S, N), of x (N, F)."""
        if self.principal is None:
            return x.new_zeros(len(self.log_weights), len(x))
        return self.principal.residual_log_prob(x)

    def log_joint(self, points: Tensor) -> Tensor:
        """Return log π_k + log p_k(z), (S, N, K), of points (S, N, D)."""
        log_prob = self.flows.log_prob(expand_to_stack(points, len(self.log_weights) * self.K))
        return self.log_weights.unsqueeze(1) + unstack_clusters(log_prob, self.K)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x), (S, N), of x (N, F)."""
        log_joint = self.apply_in_chunks(lambda part: self.log_joint(self.project(part)), x)
        return log_joint.logsumexp(-1) + self.residual_log_prob(x)

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log π_k p_k(x) / p(x), (S, N, K), of x (N, F)."""
        log_joint = self.apply_in_chunks(lambda part: self.log_joint(self.project(part)), x)
        return log_joint.log_softmax(-1)

    def embed(self, x: Tensor) -> Tensor:
        """Return the noise z_k of all flows side by side, each times p(k | x), (S, N, K·D).

        The noises of different flows are unrelated, so each has its own axes.
        """

        def embedding(part: Tensor) -> Tensor:
            points = self.project(part)
            noise, _ = self.flows(expand_to_stack(points, len(points) * self.K))
            p = self.log_joint(points).softmax(-1).unsqueeze(-1)
            return (p * noise.unflatten(0, (-1, self.K)).transpose(1, 2)).flatten(2)

        return self.apply_in_chunks(embedding, x)

    def apply_in_chunks(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Apply a function to x (…, N, F) in chunks small enough for memory."""
        per_point = len(self.log_weights) * self.K * self.flows.features
        return in_chunks(function, x, size=max(1, MAX_CHUNK_VALUES // per_point))


@final
class EMFlowClusterer(NetworkClusterer, Generates, Bounds):
    """One mixture of flows."""

    network_type = EMFlowNetwork
    network: EMFlowNetwork

    @torch.no_grad()
    def sample(self, cluster: int, n: int, seed: int) -> Tensor:
        """Return n points of p_k, (n, *shape), by inverting its flow on noise."""
        K = self.config.n_components
        if not 0 <= cluster < K:
            raise UsageError(f"there is no cluster {cluster}: choose a number from 0 to {K - 1}")
        draws = Draws([seed], self.network.log_weights.device)
        noise = expand_to_stack(draws.normal(n, self.network.flows.features), K)
        points = self.network.flows.inverse(noise)[[cluster]]
        if self.network.principal is not None:
            noise = draws.normal(n, math.prod(self.shape))
            points = self.network.principal.inverse_transform(points, noise)
        return points[0].unflatten(1, self.shape)

    @torch.no_grad()
    def elbo(self, x: Tensor) -> Tensor:
        """Return the log-likelihood log Σ_k π_k p_k(x), (N,), in nats."""
        return self.network.log_prob(x.flatten(1))[0]


@final
class EMFlow(StackedMethod):
    """Trains the K flows of R replicas as one stack of R·K.

    Reports of the first M-step come before any E-step, so they have no clusters yet.
    """

    config: EMFlowConfig
    network: EMFlowNetwork

    config_type = EMFlowConfig
    clusterer_type = EMFlowClusterer
    source = (
        "Deep Generative Clustering with VAEs and Expectation-Maximization (Adipoetra, Martin, "
        "2025), Algorithm 1 and section 5, with flows"
    )

    def build(self) -> None:
        """Create the flows, their optimiser and the responsibilities."""
        self.network = self.stacked(EMFlowNetwork)
        self.network.flows.initialise(self.draws)
        self.optimiser = adam(self.network.parameters(), self.config.learning_rate)
        self.shares = Responsibilities(self.draws.device)

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Train on x (N, *shape) by Algorithm 1, with a report after every epoch."""
        x, per_m_step = x.flatten(1), self.config.m_step_epochs
        u, points, residual, diffusion = self._prepare(x)
        scale = self.config.noise * points.var(0, correction=0).mean().sqrt()
        step = Step(lambda index, share: self._step(points[index], share, scale), self.draws)
        for epoch in self.clock.count("em", self.config.passes):
            iteration, done = divmod(epoch - 1, per_m_step)
            if done == 0:
                self._set_learning_rate(iteration)
                below = self.config.revive_below
                revive_clusters(u, below, lambda _: points, self.network, self.optimiser)
                self._update_weights(u)
            metrics = {"elbo": self._m_step(step, u) + residual}
            if done == per_m_step - 1:
                u, log_likelihood = self._e_step(points, diffusion, iteration)
                metrics["log_likelihood"] = log_likelihood + residual
            self.shares.u = u
            yield Report(
                stage="em", epoch=self.clock.epoch, metrics=metrics, clusters=epoch >= per_m_step
            )

    @torch.no_grad()
    def _prepare(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Diffusion]:
        """Return u, the input of the flows (N, D), the mean residual log-density (R,), and steps.

        Without principal axes, features may have different units. Flows do not depend on them, but
        distances do, so those are between standardised features.
        """
        network, u = self.network, self.shares.u
        if u is None and network.principal is not None:
            network.principal.fit(x)
        points = network.project(x)[0]
        spread = points.std(0, correction=0)
        standardise = (spread > 0) & (network.principal is None)
        scaled = points / torch.where(standardise, spread, 1.0)
        diffusion = self.config.diffusion(scaled)
        if u is None:
            u = self._start(points, scaled, diffusion)
        return u, points, network.residual_log_prob(x).mean(-1), diffusion

    def _start(self, points: Tensor, scaled: Tensor, diffusion: Diffusion) -> Tensor:
        """Return the initial u and initialise each flow as the Gaussian of its u."""
        K, start = self.config.n_components, self.config.start
        u = initial_responsibilities(start, scaled, K, self.seeds, self.draws)
        if start == "random":
            u = diffusion.start(u)
        moments = weighted_moments(points, u.transpose(1, 2).flatten(0, 1))
        self.network.flows.set_whitening(*moments)
        return u

    def _set_learning_rate(self, iteration: int) -> None:
        done = iteration / max(1, self.config.iterations - 1)
        rate = self.config.learning_rate * self.config.decay**done
        set_learning_rate(self.optimiser, rate)

    @torch.no_grad()
    def _update_weights(self, u: Tensor) -> None:
        """Set π to the clusters' masses, with one point added to each."""
        if self.config.weights == "fitted":
            self.network.log_weights.copy_((u.sum(1) + 1).log().log_softmax(-1))

    def _m_step(self, step: Step, u: Tensor) -> Tensor:
        """Train for one epoch on -Σ_ik u_ik log p_k(x_i) / N and return the bound of EM, (R,).

        The bound is Σ_ik u_ik (log π_k + log p_k(x_i) - log u_ik) / N, at the points with noise.
        In the paper a network sees a whole batch with weights. Here a flow sees `effective_share`
        of a batch without weights.
        """
        config, share = self.config, u.mean(1)
        points, K = u.shape[1:]
        steps = -(-points // config.batch_size)
        is_first = self.clock.epoch <= config.m_step_epochs
        part = effective_share(config.start if is_first else "", K)
        size = math.ceil(part * points / steps)
        batches = systematic_resample(u, steps * size, self.draws).split(size, dim=1)
        loss = train_epoch(step, batches, share)["loss"]
        return (share * self.network.log_weights).sum(-1) + mean_entropy(u) - loss

    def _step(self, batch: Tensor, share: Tensor, scale: Tensor) -> dict[str, Tensor]:
        """Update every flow on its batch (R·K, B, D) plus noise, with its share (R, K) as weight.

        All products are too narrow for mixed precision, and densities need float32.
        """
        K = self.config.n_components
        noise = self.draws.normal(K, *batch.shape[1:]).flatten(0, 1)
        log_prob = self.network.flows.log_prob(batch + scale * noise)
        cost = -log_prob.mean(-1).view_as(share)
        return {"loss": gradient_step(self.optimiser, (share * cost).sum(-1))}

    @torch.no_grad()
    def _e_step(
        self, points: Tensor, diffusion: Diffusion, iteration: int
    ) -> tuple[Tensor, Tensor]:
        """Return u = softmax_k((log π_k + log p_k) / T), (R, N, K), and mean log p(z), (R,).

        With diffusion each log-likelihood in u is the mean over a neighbourhood.
        """
        R, network = len(self.seeds), self.network
        log_joint = network.apply_in_chunks(
            lambda part: network.log_joint(part.expand(R, -1, -1)), points
        )
        evidence = diffusion.average(log_joint, iteration)
        u = (evidence / self.config.temperature).softmax(-1)
        return u, log_joint.logsumexp(-1).mean(-1)
