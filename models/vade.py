"""Variational deep embedding: an autoencoder trained jointly with its mixture prior."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self, final

import torch
from torch import Tensor
from torch.distributions import Independent

from ..methods.config import setting
from ..methods.contract import Bounds, Decodes, Generates, Pretrains, Report, Shape
from ._kit.assignments import AssignmentConfig, AssignmentPenalties, penalised_descent
from ._kit.autoencoder import Autoencoder, AutoencoderConfig
from ._kit.bounds import antithetic_bound, antithetic_noise
from ._kit.distributions import (
    diagonal_normal,
    independent_bernoulli,
    log_prob,
    log_scale_normal,
    rsample,
)
from ._kit.draws import Draws
from ._kit.layers import Head, initialise, joined
from ._kit.loop import (
    adam,
    batch_indices,
    in_chunks,
    set_learning_rate,
    train_epoch,
)
from ._kit.mixtures import GaussianMixture, random_subset
from ._kit.outputs import validate_and_flatten
from ._kit.pretraining import NetworkPretraining
from ._kit.stack import NetworkClusterer, StackedMethod, StackedNetwork
from ._kit.starts import fit_best_mixture
from ._kit.trainable_mixture import TrainableMixture


@final
@dataclass(frozen=True, kw_only=True)
class VaDEConfig(AssignmentConfig, AutoencoderConfig):
    """Settings of the autoencoder and of its joint training with the mixture."""

    scale: float = setting(
        0.2,
        "standard deviation of a point given its code, with output=identity",
        unit="of the scaled data",
        low=1e-3,
        high=10.0,
    )
    start_covariance: str = setting(
        "full",
        "covariances of the mixture that starts the prior, which keeps their diagonals",
        choices=("full", "diag"),
    )
    starts: int = setting(10, "starts of that mixture, the best of which is kept", low=1, high=100)
    joint_epochs: int = setting(300, "epochs of joint training", low=1)
    learning_rate: float = setting(2e-3, "Adam's initial learning rate in joint training", low=0.0)
    decay: float = setting(0.9, "factor of each learning rate decay", low=0.0, high=1.0)
    decay_every: int = setting(10, "epochs between decays", low=1)
    decay_floor: float = setting(
        0.1, "minimum learning rate", unit="of the initial one", low=0.0, high=1.0
    )
    batch_size: int = setting(100, "points per step of joint training", low=1)
    temperature: float = setting(
        0.5, "variance of sampled codes", unit="of their component's variance", low=0.0, high=1.0
    )

    @property
    def passes(self) -> int:
        """Epochs of pretraining and of joint training."""
        return self.pretraining_epochs + self.joint_epochs

    def capped(self, epochs: int) -> Self:
        """Return this configuration with at most `epochs` epochs.

        At least half of them are joint, unless all joint epochs are kept anyway. The
        learning rate decays as often as in the full schedule.
        """
        if self.passes <= epochs:
            return self
        first = min(self.pretraining_epochs, epochs - min(self.joint_epochs, -(-epochs // 2)))
        joint = min(self.joint_epochs, epochs - first)
        every = max(1, round(self.decay_every * joint / self.joint_epochs))
        return replace(self, pretraining_epochs=first, joint_epochs=joint, decay_every=every)

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch of joint training, counted from 1."""
        share = self.decay ** ((epoch - 1) // self.decay_every)
        return self.learning_rate * max(share, self.decay_floor)


@final
class VaDENetwork(StackedNetwork):
    """S autoencoders with a diagonal Gaussian posterior and a mixture prior over codes.

    q(z | x) = N(m(x), diag s²(x)) with the autoencoder's code as mean; p(z) = Σ_c π_c
    N(z; μ_c, σ²_c); p(x | z) is Bernoulli with output=sigmoid and N(·, scale² I) otherwise.
    """

    def __init__(self, stack: int, shape: Shape, config: VaDEConfig) -> None:
        super().__init__(stack, shape, config)
        code = config.latent_size
        self.scale = config.scale
        self.autoencoder = Autoencoder(stack, torch.Size(shape).numel(), config)
        self.log_variance = Head(stack, config.layers[-1], code)
        self.mixture = TrainableMixture(stack, config.n_components, code)

    def encode(self, x: Tensor) -> Independent:
        """Return q(z | x) of x (S, B, F)."""
        h = self.autoencoder.encoder(x)
        return log_scale_normal(*joined(h, self.autoencoder.code, self.log_variance))

    def decode(self, z: Tensor) -> Independent:
        """Return p(x | z) of z (S, B, D)."""
        outputs = self.autoencoder.outputs(z)
        if self.autoencoder.bounded:
            return independent_bernoulli(outputs)
        return diagonal_normal(outputs, outputs.new_full((), self.scale).expand_as(outputs))

    def bound(self, x: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Return the evidence lower bound of x (S, B, F) and its terms, each (S,).

        E_q log p(x | z) - KL(q(z | x) γ ‖ p(z, c)) with γ_c = p(c | z), from one draw of z,
        averaged over the batch (section 3.2). KL = -Σ_c γ_c (log π_c + E_q log N(z; μ_c, σ²_c)
        - log γ_c) - H(q). It is a lower bound for any γ.
        """
        q = self.encode(x)
        z = rsample(q, draws)
        log_joint, expected = self.mixture.log_joint_and_expectation(z, q)
        log_r = log_joint.log_softmax(dim=-1)
        kl = (log_r.exp() * (log_r - expected)).sum(dim=-1) - q.entropy()
        reconstruction, kl = log_prob(self.decode(z), x).mean(dim=1), kl.mean(dim=1)
        elbo = reconstruction - kl
        return {"loss": -elbo, "elbo": elbo, "reconstruction": reconstruction, "kl": kl}

    def assign(self, x: Tensor) -> Tensor:
        """Return the log-responsibilities of the means, (S, B, K), of x (S, B, F)."""
        return self.mixture.log_responsibilities(self.autoencoder.encode(x))

    def embed(self, x: Tensor) -> Tensor:
        """Return the means of q(z | x), shape (S, N, D), of x (N, F)."""
        return in_chunks(lambda part: self.autoencoder.encode(self.expand(part)), x)

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return the log-responsibilities of the means, shape (S, N, K), of x (N, F)."""
        return self.mixture.log_responsibilities(self.embed(x))

    def elbo(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return E_q[log p(x | z) + log p(z)] + H(q), shape (S, N), of x (N, F).

        The mean is over z = m ± s ε with the given ε (M, D). With log p(z) in place of the terms
        in c, this is the bound above at the best γ for each z.
        """
        return antithetic_bound(
            self.encode,
            self.decode,
            self.mixture.log_prob,
            x,
            noise,
            stack=self.stack,
        )


@final
class VaDEClusterer(NetworkClusterer, Decodes, Generates, Bounds):
    """One autoencoder with a mixture prior over its codes."""

    network_type = VaDENetwork
    network: VaDENetwork

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the mean of p(x | z) at the mean of q(z | x), shape (N, *shape)."""
        return self.decode_codes(x, self.network.autoencoder.decode)

    @torch.no_grad()
    def sample(self, cluster: int, n: int, seed: int) -> Tensor:
        """Return the means of p(x | z), z ~ N(μ_c, temperature · σ²_c), shape (n, *shape)."""
        z = self.draw_codes(self.network.mixture.sample_component, cluster, n, seed)
        return self.unflatten(self.network.autoencoder.decode(z))

    @torch.no_grad()
    def elbo(self, x: Tensor) -> Tensor:
        """Return E_q[log p(x | z) + log p(z) - log q(z | x)] with the mixture as p(z), (N,).

        The mean is over 16 codes, made of eight fixed draws and their negatives.
        """
        noise = antithetic_noise(self.config.latent_size, x)
        return self.network.elbo(x.flatten(1), noise)[0]


@final
class VaDE(StackedMethod, Pretrains):
    """Pretrain an autoencoder, fit a mixture on its codes, then maximise the bound over both.

    Variational Deep Embedding: An Unsupervised and Generative Approach to Clustering (Jiang et
    al., 2017), sections 3.2 and 4.3. This implementation differs in four ways. The autoencoder is
    pretrained end to end, not layer by layer. The mixture that starts the prior has full
    covariances, and a neighbour graph selects one of its starts: on MNIST this is as accurate on
    average as a diagonal mixture, with less than half its spread over seeds. A Gaussian likelihood
    has a fixed scale. Penalties on the responsibilities of the means can be added to the bound,
    which otherwise hardly moves the partition that it starts from.
    """

    config_type = VaDEConfig
    clusterer_type = VaDEClusterer
    source = (
        "Variational Deep Embedding: An Unsupervised and Generative Approach to Clustering (2017)"
        ", sections 3 and 4.3"
    )
    config: VaDEConfig
    network: VaDENetwork
    pretraining: NetworkPretraining

    def build(self) -> None:
        """Create the network, its pretraining and the joint optimiser."""
        self.network = self.stacked(VaDENetwork)
        initialise(self.network.log_variance, self.draws)
        coder = self.network.autoencoder
        self.pretraining = self.pretraining_of(coder, coder.squared_error, self.config)
        self.optimiser = adam(self.network.parameters(), self.config.learning_rate, eps=1e-4)
        self.penalties = AssignmentPenalties(self.config, self.shape)

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Train the autoencoder, start the mixture on its codes, then train both jointly."""
        points = validate_and_flatten(x, self.config)
        yield from self.pretraining.fit(points)
        radius = self.config.radius(points)
        step = penalised_descent(points, self.losses, self.penalties, self.optimiser, self.draws)
        for epoch in self.clock.count("joint", self.config.joint_epochs):
            if epoch == 1:
                self._start_mixture(points)
            set_learning_rate(self.optimiser, self.config.rate(epoch))
            batches = batch_indices(len(points), self.config.batch_size, self.draws)
            metrics = train_epoch(step, batches, radius)
            yield Report(stage="joint", epoch=self.clock.epoch, metrics=metrics)

    def losses(self, x: Tensor, both: Tensor, radius: Tensor) -> dict[str, Tensor]:
        """Return minus the bound of points x (R, B, F), plus the penalties, and all terms, (R,).

        `both` are the points and their copies, and `radius` is the length of the small changes of
        virtual adversarial training.
        """
        network = self.network
        terms = network.bound(x, self.draws)
        if not self.penalties.any:
            return terms
        log_r = network.assign(both)
        penalty, penalties = self.penalties(network.assign, x, log_r, radius, self.draws)
        return {**terms, "loss": terms["loss"] + penalty, **penalties}

    @torch.no_grad()
    def _start_mixture(self, points: Tensor) -> None:
        network, config = self.network, self.config
        fitted = GaussianMixture(*network.mixture.means.shape).to(points.device)
        index = random_subset(len(points), self.draws).unsqueeze(-1)
        fit_best_mixture(
            fitted,
            network.embed(points).take_along_dim(index, dim=1),
            network.embed,
            points,
            self.draws,
            starts=config.starts,
            covariance=config.start_covariance,
        )
        network.mixture.copy_from(fitted)
