"""Deep embedded clustering: self-training that sharpens the clusters of an autoencoder's codes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self, final

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from ..methods.config import Scalar, setting
from ..methods.contract import Clusterer, Decodes, Pretrains, Report, Shape, State
from ._kit.autoencoder import Autoencoder, AutoencoderConfig
from ._kit.loop import adam, batch_indices, gradient_step, in_chunks
from ._kit.mixtures import fit_kmeans, random_subset
from ._kit.parts import rows
from ._kit.precision import mixed_precision
from ._kit.pretraining import NetworkPretraining
from ._kit.recording import Step
from ._kit.stack import NetworkClusterer, StackedMethod, StackedNetwork

STAGE = "clustering"

# optimiser state that moves parameters even where the gradient is zero
_MOMENTS = ("momentum_buffer", "exp_avg")


@final
@dataclass(frozen=True, kw_only=True)
class DECConfig(AutoencoderConfig):
    """Settings of the autoencoder and of the self-training that follows."""

    scaled = True
    output: str = setting(
        "identity", "output of the decoder; scaled data are unbounded", choices=("identity",)
    )
    keep_decoder: bool = setting(
        False, "keep the decoder and its error in training (improved DEC)"
    )
    cluster_weight: float = setting(
        0.1, "weight of KL(P‖Q), with keep_decoder; the reconstruction error has 1", low=0.0
    )
    learning_rate: float = setting(0.01, "learning rate of stochastic gradient descent", low=0.0)
    momentum: float = setting(0.9, "momentum of stochastic gradient descent", low=0.0, high=0.999)
    joint_learning_rate: float = setting(1e-3, "Adam's learning rate, with keep_decoder", low=0.0)
    batch_size: int = setting(256, "points per step of self-training", low=1)
    update_interval: int = setting(140, "steps between target updates", low=1)
    tolerance: float = setting(
        1e-3, "fraction of changed labels between targets below which training stops", low=0.0
    )
    epochs: int = setting(80, "maximum epochs of self-training", low=1)
    starts: int = setting(20, "k-means++ starts, the best of which is kept", low=1, high=100)

    @property
    def passes(self) -> int:
        """Epochs of pretraining and of self-training."""
        return self.pretraining_epochs + self.epochs

    def capped(self, epochs: int) -> Self:
        """Return this configuration with both stages shortened, at least half for the second."""
        first = min(self.pretraining_epochs, max(epochs // 2, epochs - self.epochs))
        second = max(1, min(self.epochs, epochs - first))
        return replace(self, pretraining_epochs=first, epochs=second)


@final
class DECNetwork(StackedNetwork):
    """S autoencoders with K centres (S, K, D) among their codes.

    The Student kernel has a fixed width, so data are first scaled to a mean ‖x‖² / F of 1.
    """

    scale: Tensor

    def __init__(self, stack: int, shape: Shape, config: DECConfig) -> None:
        super().__init__(stack, shape, config)
        self.autoencoder = Autoencoder(stack, torch.Size(shape).numel(), config)
        self.centres = nn.Parameter(torch.zeros(stack, config.n_components, config.latent_size))
        self.register_buffer("scale", torch.ones(stack, 1, 1))

    @torch.no_grad()
    def take_scale(self, x: Tensor) -> None:
        """Set the scaling factor to 1 / √(mean of x²) of x (N, F)."""
        size = x.square().mean().sqrt()
        self.scale.copy_(torch.where(size > 0, 1 / size, 1.0))

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes, shape (S, B, D), of x (B, F) or (S, B, F)."""
        return self.autoencoder.encode(self.scale * x)

    def assignments(self, z: Tensor) -> Categorical:
        """Return q(cluster | z) of codes z (S, B, D): q_ij ∝ (1 + ‖z_i - μ_j‖²)⁻¹ (Eq. 1)."""
        squares = (z.unsqueeze(2) - self.centres.unsqueeze(1)).square().sum(dim=-1)
        return Categorical(logits=-squares.log1p(), validate_args=False)

    def embed(self, x: Tensor) -> Tensor:
        """Return the codes, shape (S, N, D), of x (N, F)."""
        return in_chunks(self.encode, x)

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log q at the codes, shape (S, N, K), of x (N, F)."""
        return in_chunks(lambda part: self.assignments(self.encode(part)).logits, x)

    def decode(self, z: Tensor) -> Tensor:
        """Return points in the unit of the data, shape (S, B, F), of codes z (S, B, D)."""
        return self.autoencoder.decode(z) / self.scale

    def clustering_loss(self, x: Tensor, target: Categorical) -> dict[str, Tensor]:
        """Return KL(P‖Q) (Eq. 2) and the spread of the codes of points x (S, B, F), each (S,).

        KL is a mean over points. The spread is √(mean ‖z - mean z‖²), in units of the Student
        kernel's width.
        """
        return self._clustering_terms(self.encode(x), target)

    def joint_loss(self, x: Tensor, target: Categorical, weight: float) -> dict[str, Tensor]:
        """Return the loss L_r + γ KL(P‖Q) and the terms of `clustering_loss`, each (S,).

        Improved Deep Embedded Clustering (Guo et al., 2017), Eq. 8. L_r is the squared error on
        scaled data, averaged over points and features.
        """
        scaled = self.scale * x
        z = self.autoencoder.encode(scaled)
        error = (self.autoencoder.decode(z) - scaled).square().mean(dim=(1, 2))
        terms = self._clustering_terms(z, target)
        return {**terms, "loss": error + weight * terms["loss"], "reconstruction_error": error}

    def _clustering_terms(self, z: Tensor, target: Categorical) -> dict[str, Tensor]:
        log_ratio = target.logits - self.assignments(z).logits
        kl = (target.probs * log_ratio).sum(dim=-1).mean(dim=1)
        spread = z.detach().var(dim=1, correction=0).sum(dim=-1).sqrt()
        return {"loss": kl, "kl": kl, "spread": spread}


@final
class DECClusterer(NetworkClusterer):
    """One encoder with its centres; the decoder is not trained after pretraining."""

    network_type = DECNetwork


@final
class IDECClusterer(NetworkClusterer, Decodes):
    """One autoencoder with its centres."""

    network_type = DECNetwork
    network: DECNetwork

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the decoded codes of x, shape (N, *shape)."""
        return self.decode_codes(x, self.network.decode)


@final
class Target:
    """The target distribution P of each replica, fixed between updates.

    p_ij ∝ q_ij² / f_j, f_j = Σ_i q_ij over all points (Eq. 3), with the q (R, N, K) of the last
    update. `following` (R,) becomes false, permanently, once too few labels change in an update.
    Updates are in place, since recorded steps read the same tensors again.
    """

    def __init__(self, replicas: int, device: torch.device | str) -> None:
        self.log_q: Tensor | None = None
        self.changed = torch.ones(replicas, device=device)
        self.following = torch.ones(replicas, dtype=torch.bool, device=device)

    def update(self, log_q: Tensor, tolerance: float) -> None:
        """Compute P from log q (R, N, K) and compare the labels with those of the last update."""
        if self.log_q is not None:
            changed = log_q.argmax(dim=2) != self.log_q.argmax(dim=2)
            self.changed.copy_(changed.float().mean(dim=1))
            self.following.logical_and_(self.changed >= tolerance)
        self._set(log_q)

    def of(self, index: Tensor) -> Categorical:
        """Return P of the points with indices (R, B)."""
        assert self.log_q is not None
        log_q = self.log_q.take_along_dim(index.unsqueeze(2), dim=1)
        return Categorical(logits=2 * log_q - self.log_frequency, validate_args=False)

    def metrics(self) -> dict[str, Tensor]:
        """Return the fraction of labels changed by the last update, and convergence as 0 or 1."""
        return {"changed": self.changed.clone(), "converged": (~self.following).float()}

    def state(self) -> State:
        """Return `changed`, `following` and, after the first update, log q."""
        state: State = {"changed": self.changed, "following": self.following}
        return state if self.log_q is None else {**state, "log_q": self.log_q}

    def selected(self, replicas: Sequence[int]) -> State:
        """Return the state of these replicas."""
        return {
            name: rows(value, replicas, len(value))
            for name, value in self.state().items()
            if isinstance(value, Tensor)
        }

    def restore(self, state: Mapping[str, Tensor | Scalar]) -> None:
        """Restore a state."""
        saved = {name: torch.as_tensor(v, device=self.changed.device) for name, v in state.items()}
        self.changed, self.following = saved["changed"].clone(), saved["following"].clone()
        if "log_q" in saved:
            self._set(saved["log_q"].clone())

    def _set(self, log_q: Tensor) -> None:
        log_frequency = log_q.logsumexp(dim=1, keepdim=True)
        if self.log_q is None or self.log_q.shape != log_q.shape:
            self.log_q, self.log_frequency = log_q, log_frequency
        else:
            self.log_q.copy_(log_q)
            self.log_frequency.copy_(log_frequency)


@final
class DEC(StackedMethod, Pretrains):
    """Pretrain an autoencoder, place centres by k-means, then minimise KL(P‖Q) with P from Q.

    Unsupervised Deep Embedding for Clustering Analysis (Xie, Girshick & Farhadi, 2016), sections
    3 and 4.3. `keep_decoder` selects Improved Deep Embedded Clustering (Guo et al., 2017),
    Algorithm 1, with Adam. The autoencoder is pretrained end to end, not layer by layer.
    """

    config_type = DECConfig
    clusterer_type = DECClusterer
    clusterer_with: ClassVar[Mapping[str, type[Clusterer]]] = {"keep_decoder": IDECClusterer}
    source = (
        "Unsupervised Deep Embedding for Clustering Analysis (Xie, Girshick, Farhadi, 2016), "
        "section 3; Improved Deep Embedded Clustering (Guo et al., 2017) with keep_decoder"
    )
    config: DECConfig
    network: DECNetwork
    pretraining: NetworkPretraining

    def build(self) -> None:
        """Create the network, its pretraining, the self-training optimiser and the target."""
        self.network = self.stacked(DECNetwork)
        coder = self.network.autoencoder
        self.pretraining = self.pretraining_of(coder, coder.squared_error, self.config)
        self.optimiser = _optimiser(self.network, self.config)
        self.target = Target(len(self.seeds), self.draws.device)

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Pretrain, place the centres, then self-train until few labels change."""
        points = x.flatten(1)
        self.network.take_scale(points)
        yield from self.pretraining.fit(points * self.network.scale[0])
        step = Step(lambda index: self._step(points[index], self.target.of(index)), self.draws)
        for epoch in self.clock.count(STAGE, self.config.epochs):
            if epoch == 1:
                self._place_centres(points)
            training = bool(self.target.following.any())
            metrics = self._train_epoch(points, step, epoch) if training else {}
            yield Report(
                stage=STAGE,
                epoch=self.clock.epoch,
                metrics={**metrics, **self.target.metrics()},
            )

    def _train_epoch(self, points: Tensor, step: Step, epoch: int) -> dict[str, Tensor]:
        """Train for one epoch, update the target when due, and return mean metrics."""
        batches = batch_indices(len(points), self.config.batch_size, self.draws)
        for number, index in enumerate(batches, start=(epoch - 1) * len(batches)):
            if number % self.config.update_interval == 0:
                self._update_target(points)
            step(index)
        return step.mean()

    def _step(self, batch: Tensor, target: Categorical) -> dict[str, Tensor]:
        with mixed_precision(batch.device, batch.shape[2]):
            metrics = self._loss(batch, target)
        gradient_step(self.optimiser, metrics["loss"] * self.target.following)
        return metrics

    def _loss(self, batch: Tensor, target: Categorical) -> dict[str, Tensor]:
        if self.config.keep_decoder:
            return self.network.joint_loss(batch, target, self.config.cluster_weight)
        return self.network.clustering_loss(batch, target)

    @torch.no_grad()
    def _place_centres(self, points: Tensor) -> None:
        index = random_subset(len(points), self.draws)
        codes = [self.network.encode(points[part]) for part in index.split(4096, dim=1)]
        K, starts = self.config.n_components, self.config.starts
        centres = fit_kmeans(torch.cat(codes, dim=1), K, self.draws, starts=starts)
        self.network.centres.copy_(centres)

    @torch.no_grad()
    def _update_target(self, points: Tensor) -> None:
        with mixed_precision(points.device, points.shape[1]):
            log_q = self.network.predict_log_proba(points)
        self.target.update(log_q, self.config.tolerance)
        _clear_momentum(self.optimiser, ~self.target.following)


def _optimiser(network: DECNetwork, config: DECConfig) -> torch.optim.Optimizer:
    if config.keep_decoder:
        return adam(network.parameters(), config.joint_learning_rate)
    coder = network.autoencoder
    trained = [*coder.encoder.parameters(), *coder.code.parameters(), network.centres]
    return torch.optim.SGD(trained, config.learning_rate, config.momentum, fused=True)


@torch.no_grad()
def _clear_momentum(optimiser: torch.optim.Optimizer, stopped: Tensor) -> None:
    """Zero the momentum of stopped replicas (R,), so that zero gradients leave them unchanged."""
    for moments in optimiser.state.values():
        for name in _MOMENTS:
            if (momentum := moments.get(name)) is not None:
                momentum.masked_fill_(stopped.view(-1, *[1] * (momentum.dim() - 1)), 0.0)
