"""One variational autoencoder per cluster, trained by expectation maximisation.

Deep Generative Clustering with VAEs and Expectation-Maximization (Adipoetra, Martin, 2025):
Algorithm 1, objective (3.4), the settings of Table 1.

The paper does not specify these choices: a sigmoid at the output (data in [0, 1]), the mean over a
batch as the M-step's loss, Adam's moments kept between iterations, the E-step in evaluation mode,
starts other than the random one, averages over neighbourhoods, a temperature, and what happens to
a cluster that loses its points (`revive_clusters`). The module `steps` explains how both steps use
fewer points and draws than Algorithm 1.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Self, final

import torch
from torch import Tensor

from ...methods.config import setting
from ...methods.contract import Bounds, Decodes, Generates, Pretrains, Report
from .._kit.diffusion import Diffusion
from .._kit.distributions import rsample
from .._kit.draws import Draws
from .._kit.latent_mixture import LatentMixture
from .._kit.layers import initialise
from .._kit.loop import adam, gradient_step, in_chunks, set_learning_rate, train_epoch
from .._kit.outputs import validate_and_flatten
from .._kit.precision import mixed_precision
from .._kit.pretraining import NetworkPretraining, NoPretraining
from .._kit.recording import Step
from .._kit.stack import NetworkClusterer, StackedMethod
from .._kit.starts import initial_responsibilities
from .networks import CHUNK_SIZE, EMVAENetwork, expand_to_stack, mean_entropy, unstack_clusters
from .start import StartConfig
from .steps import (
    Responsibilities,
    adaptive_elbo,
    effective_share,
    revive_clusters,
    systematic_resample,
)


@final
@dataclass(frozen=True, kw_only=True)
class EMVAEConfig(StartConfig):
    """The settings of Table 1 for MNIST, and some that are not in the paper."""

    iterations: int = setting(300, "EM iterations", low=1)
    m_step_epochs: int = setting(20, "passes over the data in an M-step", low=1)
    learning_rate: float = setting(1e-3, "step size of Adam", low=0.0)
    decay: float = setting(0.9, "factor of the learning rate at a decay", low=0.0, high=1.0)
    decay_every: int = setting(20, "EM iterations between decays, 0 for none", low=0)
    batch_size: int = setting(256, "points per step", low=1)
    mc_samples: int = setting(10, "Monte Carlo draws of a code in the E-step", low=1)
    revive_below: float = setting(
        0.02, "mass, as a share of N/K, below which a cluster is reinitialised", low=0.0, high=1.0
    )

    @property
    def em_passes(self) -> int:
        """Epochs of EM: epochs per M-step times iterations."""
        return self.iterations * self.m_step_epochs

    @property
    def passes(self) -> int:
        """Epochs of a pretrained start and of EM."""
        return self.em_passes + self.start_passes

    def capped(self, epochs: int) -> Self:
        """Return this configuration with at most `epochs` epochs.

        A pretrained start gets at most half of them, unless EM needs less than the other half.
        M-steps shrink to at most √(epochs of EM), so that a short run still has iterations, and
        the learning rate decays as often as in the full schedule.
        """
        if self.passes <= epochs:
            return self
        em = min(self.em_passes, max(epochs - self.start_passes, -(-epochs // 2)))
        short = self if em == self.em_passes else self._with_em_passes(em)
        return replace(short, pretraining_epochs=epochs - em) if self.start_passes else short

    def _with_em_passes(self, em: int) -> Self:
        m_step_epochs = min(self.m_step_epochs, max(1, math.isqrt(em)))
        iterations = max(1, em // m_step_epochs)
        every = max(1, round(self.decay_every * iterations / self.iterations))
        return replace(
            self,
            iterations=iterations,
            m_step_epochs=m_step_epochs,
            decay_every=every if self.decay_every else 0,
        )


@final
class EMVAEClusterer(NetworkClusterer, Decodes, Generates, Bounds):
    """K trained autoencoders and the softmax of their bounds."""

    network_type = EMVAENetwork
    network: EMVAENetwork

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Return sum_k p(k | x) D_k(mean code of x), (N, *shape)."""
        network = self.network

        def mean_decoded(part: Tensor) -> Tensor:
            codes, log_p = network.codes_and_log_proba(part)
            decoded = unstack_clusters(network.vaes.decode(codes), network.K)
            return (log_p.exp().unsqueeze(-1) * decoded).sum(2)

        return in_chunks(mean_decoded, x.flatten(1), size=CHUNK_SIZE)[0].unflatten(1, self.shape)

    @torch.no_grad()
    def sample(self, cluster: int, n: int, seed: int) -> Tensor:
        """Return D_k(z) of the cluster's decoder for n codes z ~ N(0, I) (section 4.3)."""
        vae = self.network.vaes.extract(cluster)
        z = Draws([seed], vae.output.weight.device).normal(n, self.config.latent_size)
        return vae.decode(z)[0].unflatten(1, self.shape)

    @torch.no_grad()
    def elbo(self, x: Tensor) -> Tensor:
        """Return logsumexp_k ELBO_k - log K + F/2 log(w/2π), (N,), in nats.

        The expectation over codes is the mean over the 2D points μ ± √D σ_j e_j, which is exact to
        third order in z. Cubature Kalman Filters (Arasaratnam, Haykin, 2009).
        """
        vaes, D = self.network.vaes, self.config.latent_size
        axes = math.sqrt(D) * torch.eye(D, device=x.device)
        steps = torch.cat([axes, -axes]).unsqueeze(1)

        def bound(part: Tensor) -> Tensor:
            batch = expand_to_stack(part, vaes.stack)
            q = vaes.encode(batch)
            mean, scale = q.base_dist.mean.unsqueeze(1), q.base_dist.stddev.unsqueeze(1)
            reconstruction, kl = vaes.loss_terms(batch, q, (mean + scale * steps).flatten(1, 2))
            return (-reconstruction - kl).logsumexp(0).unsqueeze(1)

        bounds = in_chunks(bound, x.flatten(1), size=max(1, CHUNK_SIZE // (2 * D)))
        return self.config.nats(bounds[:, 0], vaes.features)


@final
class EMVAE(StackedMethod, Pretrains):
    """Trains the K autoencoders of R replicas as one stack of R·K networks.

    Reports of the first M-step come before any E-step, so they have no clusters yet. Results with
    start=pretrained are not the paper's and should be labelled "pretrained".
    """

    config_type = EMVAEConfig
    clusterer_type = EMVAEClusterer
    source = (
        "Deep Generative Clustering with VAEs and Expectation-Maximization (Adipoetra, Martin, "
        "2025), Algorithm 1 and Table 1"
    )
    config: EMVAEConfig
    network: EMVAENetwork

    def build(self) -> None:
        """Create the K autoencoders, their optimiser and the autoencoder of a pretrained start."""
        self.network = self.stacked(partial(EMVAENetwork, draws=self.draws))
        initialise(self.network, self.draws)
        self.optimiser = adam(self.network.parameters(), self.config.learning_rate)
        self.shares = Responsibilities(self.draws.device)
        self.start: LatentMixture | None = None
        self.pretraining: NetworkPretraining | NoPretraining = NoPretraining()
        if self.config.start == "pretrained":  # kept, since it is small next to K autoencoders
            start = LatentMixture(len(self.seeds), self.shape, self.config.vae_gmm)
            self.start = start.to(self.draws.device)
            self.pretraining = self.pretraining_of(
                start.vae, start.vae.standard_bound, self.config
            )

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Train on x (N, *shape) by Algorithm 1, with a report after every epoch.

        The epochs of a pretrained start come first.
        """
        x, per_m_step = validate_and_flatten(x, self.config), self.config.m_step_epochs
        yield from self.pretraining.fit(x)
        diffusion = self.config.diffusion(x)
        u = self.shares.u
        if u is None:
            u = self._initial_responsibilities(x, diffusion)
        step = Step(lambda index, share: self._step(x[index], share), self.draws)
        for epoch in self.clock.count("em", self.config.em_passes):
            iteration, done = divmod(epoch - 1, per_m_step)
            if done == 0:
                self._set_learning_rate(iteration)
                self._revive(x, u)
            metrics = self._m_step(step, u)
            if done == per_m_step - 1:
                u, bound = self._e_step(x, diffusion, iteration)
                metrics |= self._objective(bound)
            self.shares.u = u
            yield Report(
                stage="em", epoch=self.clock.epoch, metrics=metrics, clusters=epoch >= per_m_step
            )

    def _initial_responsibilities(self, x: Tensor, diffusion: Diffusion) -> Tensor:
        if self.start is not None:
            self.start.fit_mixture(x, self.draws)
            return in_chunks(self.start.predict_log_proba, x).exp()
        K = self.config.n_components
        u = initial_responsibilities(self.config.start, x, K, self.seeds, self.draws)
        return diffusion.start(u) if self.config.start == "random" else u

    def _set_learning_rate(self, iteration: int) -> None:
        decays = iteration // self.config.decay_every if self.config.decay_every else 0
        rate = self.config.learning_rate * self.config.decay**decays
        set_learning_rate(self.optimiser, rate)

    def _revive(self, x: Tensor, u: Tensor) -> None:
        def codes(index: int) -> Tensor:
            return self.network.vaes.extract(index).encode(x.unsqueeze(0)).base_dist.mean[0]

        revive_clusters(u, self.config.revive_below, codes, self.network, self.optimiser)

    def _m_step(self, step: Step, u: Tensor) -> dict[str, Tensor]:
        """Train for one epoch on -sum_ik u_ik ELBO_k(x_i), with one draw of each code.

        In the paper a network sees a whole batch with weights. Here it sees `effective_share` of
        a batch without weights.
        """
        points, K = u.shape[1:]
        steps = -(-points // self.config.batch_size)
        is_first = self.clock.passes["em"] <= self.config.m_step_epochs
        part = effective_share(self.config.start if is_first else "", K)
        size = math.ceil(part * points / steps)
        batches = systematic_resample(u, steps * size, self.draws).split(size, dim=1)
        metrics = train_epoch(step, batches, u.mean(1))
        return metrics | self._objective(mean_entropy(u) - metrics["loss"])

    def _step(self, batch: Tensor, share: Tensor) -> dict[str, Tensor]:
        """Update every network on its batch (R·K, B, F), with its share (R, K) as weight."""
        vaes = self.network.vaes
        with mixed_precision(batch.device, batch.shape[2]):
            q = vaes.encode(batch)
            terms = vaes.loss_terms(batch, q, rsample(q, self.draws))
        reconstruction, kl = ((share * cost.mean(-1).view_as(share)).sum(-1) for cost in terms)
        loss = gradient_step(self.optimiser, reconstruction + kl)
        return {"loss": loss, "reconstruction": reconstruction, "kl": kl}

    @torch.no_grad()
    def _e_step(self, x: Tensor, diffusion: Diffusion, iteration: int) -> tuple[Tensor, Tensor]:
        """Return u = softmax_k(ELBO_k / T), (R, N, K), and -(3.4) per point, (R,).

        With diffusion each bound in u is the mean over a neighbourhood.
        """
        network, M = self.network.eval(), self.config.mc_samples
        with mixed_precision(x.device, x.shape[1]):
            elbo = in_chunks(
                lambda part: adaptive_elbo(network, part, M, self.draws), x, size=CHUNK_SIZE // 4
            )
        network.train()
        u = (diffusion.average(elbo, iteration) / self.config.temperature).softmax(-1)
        return u, (u * elbo).sum(-1).mean(-1) + mean_entropy(u)

    def _objective(self, bound: Tensor) -> dict[str, Tensor]:
        """Return -(3.4) per point, logsumexp_k ELBO_k after an E-step at T = 1, also in nats."""
        return {"objective": bound, "elbo": self.config.nats(bound, math.prod(self.shape))}
