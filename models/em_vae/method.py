"""One variational autoencoder per cluster, trained by expectation maximisation.

Deep Generative Clustering with VAEs and Expectation-Maximization (Adipoetra, Martin, 2025):
Algorithm 1, objective (3.4), the settings of Table 1.

What the paper leaves open is this project's choice: a sigmoid at the output (data in [0, 1]), the
M-step's loss as the mean over a batch, Adam's moments kept from one iteration to the next, the
E-step in evaluation mode, starts other than a random one, a temperature, and what becomes of a
cluster that has lost its points (`revive`). `_em_vae_steps` says how the two steps do with fewer
points and draws than the letter of the algorithm.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self, final

import torch
from torch import Tensor

from ...methods.config import setting
from ...methods.contract import Bounds, Decodes, Generates, Pretrains, Report, Shape
from .._kit.latent_mixture import LatentMixture
from .._kit.loop import Clock, Mean, adam, descend, fast_products, in_chunks
from .._kit.networks import Draws, initialise, rsample
from .._kit.outputs import flattened
from .._kit.pretraining import NetworkPretraining, NoPretraining
from .._kit.stack import NetworkClusterer, StackedMethod
from .._kit.starts import first_responsibilities
from .networks import ROWS, EMVAENetwork, by_point, entropy, for_stack
from .start import StartConfig
from .steps import Responsibilities, owned, refined, revive, weighted_share


@final
@dataclass(frozen=True, kw_only=True)
class EMVAEConfig(StartConfig):
    """The settings of Table 1 for MNIST, and this project's own."""

    iterations: int = setting(300, "EM iterations", low=1)
    m_step_epochs: int = setting(20, "passes over the data in an M-step", low=1)
    learning_rate: float = setting(1e-3, "step size of Adam", low=0.0)
    decay: float = setting(0.9, "factor of the learning rate at a decay", low=0.0, high=1.0)
    decay_every: int = setting(20, "EM iterations from decay to decay; 0 for none", low=0)
    batch_size: int = setting(256, "points per step", low=1)
    mc_samples: int = setting(10, "Monte Carlo draws of a code in the E-step", low=1)
    revive_below: float = setting(
        0.02, "mass, in parts of N/K, below which a cluster is seeded again", low=0.0, high=1.0
    )

    @property
    def em_passes(self) -> int:
        """Passes of EM: those of an M-step times the iterations."""
        return self.iterations * self.m_step_epochs

    @property
    def passes(self) -> int:
        """Passes over the data: those of EM and, before them, of a pretrained start."""
        return self.em_passes + self.start_passes

    def capped(self, epochs: int) -> Self:
        """Return this configuration with at most `epochs` passes.

        Of a pretrained start at most half of them are its autoencoder's, unless EM needs less.
        M-steps shrink to at most √(passes of EM), so that a short run still has iterations, and
        the learning rate decays as often as in the whole schedule.
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
    """K trained autoencoders, and the softmax of their bounds."""

    network_type = EMVAENetwork
    network: EMVAENetwork

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Return sum_k p(k | x) D_k(mean code of x), (N, *shape)."""
        network = self.network

        def answer(part: Tensor) -> Tensor:
            codes, log_p = network.at_mean(part)
            drawn = by_point(network.vaes.decode(codes), network.K)
            return (log_p.exp().unsqueeze(-1) * drawn).sum(2)

        return in_chunks(answer, x.flatten(1), size=ROWS)[0].unflatten(1, self.shape)

    @torch.no_grad()
    def sample(self, cluster: int, n: int, seed: int) -> Tensor:
        """Return D_k(z) for n codes z ~ N(0, I): the cluster's own decoder (section 4.3)."""
        vae = self.network.vaes.alone(cluster)
        z = Draws([seed], vae.output.weight.device).normal(n, self.config.latent_size)
        return vae.decode(z)[0].unflatten(1, self.shape)

    @torch.no_grad()
    def elbo(self, x: Tensor) -> Tensor:
        """Return logsumexp_k ELBO_k - log K + F/2 log(w/2π), (N,), in nats.

        The mean over codes is that over the 2D points μ ± √D σ_j e_j, exact to third order in z:
        Cubature Kalman Filters (Arasaratnam, Haykin, 2009).
        """
        vaes, D = self.network.vaes, self.config.latent_size
        axes = math.sqrt(D) * torch.eye(D, device=x.device)
        steps = torch.cat([axes, -axes]).unsqueeze(1)

        def answer(part: Tensor) -> Tensor:
            batch = for_stack(part, vaes.stack)
            q = vaes.encode(batch)
            mean, scale = q.base_dist.mean.unsqueeze(1), q.base_dist.stddev.unsqueeze(1)
            reconstruction, kl = vaes.costs(batch, q, (mean + scale * steps).flatten(1, 2))
            return (-reconstruction - kl).logsumexp(0).unsqueeze(1)

        bound = in_chunks(answer, x.flatten(1), size=max(1, ROWS // (2 * D)))
        return self.config.nats(bound[:, 0], vaes.features)


@final
class EMVAE(StackedMethod, Pretrains):
    """Trains the K autoencoders of R replicas as one stack of R·K networks.

    Reports of the first M-step come before any E-step: they have no clusters yet. Results with
    start=pretrained are not the paper's and are to be labelled "pretrained".
    """

    config_type = EMVAEConfig
    clusterer_type = EMVAEClusterer
    source = (
        "Deep Generative Clustering with VAEs and Expectation-Maximization (Adipoetra, Martin, "
        "2025), Algorithm 1 and Table 1"
    )
    config: EMVAEConfig
    network: EMVAENetwork

    def __init__(
        self,
        config: EMVAEConfig,
        shape: Shape,
        seeds: Sequence[int],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.shape, self.seeds = config, tuple(shape), tuple(seeds)
        self.draws, self.clock = Draws(seeds, device), Clock()
        self.network = EMVAENetwork(len(seeds), self.shape, config, self.draws).to(device)
        initialise(self.network, self.draws)
        self.optimiser = adam(self.network.parameters(), config.learning_rate)
        self.shares = Responsibilities(self.draws.device)
        self.start: LatentMixture | None = None
        self.pretraining: NetworkPretraining | NoPretraining = NoPretraining()
        if config.start == "pretrained":  # kept to the end: small beside the K autoencoders
            self.start = LatentMixture(len(seeds), self.shape, config.vae_gmm).to(device)
            vae = self.start.vae
            self.pretraining = NetworkPretraining(
                vae, vae.standard_bound, config, clock=self.clock, seeds=seeds, device=device
            )

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Train on x (N, *shape) by Algorithm 1, with a report after every pass of an M-step.

        A pretrained start's passes come first, with a report of their own after each.
        """
        x, per_m_step = flattened(x, self.config), self.config.m_step_epochs
        yield from self.pretraining.descend(x)
        u = self.shares.u if self.shares.u is not None else self._first_responsibilities(x)
        for epoch in self.clock.count("em", self.config.em_passes):
            iteration, step = divmod(epoch - 1, per_m_step)
            if step == 0:
                self._decay(iteration)
                self._revive(x, u)
            metrics = self._m_step(x, u)
            if step == per_m_step - 1:
                u, bound = self._e_step(x)
                metrics |= self._objective(bound)
            self.shares.u = u
            yield Report(
                stage="em", epoch=self.clock.epoch, metrics=metrics, clusters=epoch >= per_m_step
            )

    def _first_responsibilities(self, x: Tensor) -> Tensor:
        if self.start is not None:
            self.start.fit_mixture(x, self.draws)
            return in_chunks(self.start.predict_log_proba, x).exp()
        K = self.config.n_components
        return first_responsibilities(self.config.start, x, K, self.seeds, self.draws)

    def _decay(self, iteration: int) -> None:
        decays = iteration // self.config.decay_every if self.config.decay_every else 0
        rate = self.config.learning_rate * self.config.decay**decays
        self.optimiser.param_groups[0]["lr"] = rate

    def _revive(self, x: Tensor, u: Tensor) -> None:
        def codes(index: int) -> Tensor:
            return self.network.vaes.alone(index).encode(x.unsqueeze(0)).base_dist.mean[0]

        revive(u, self.config.revive_below, codes, self.network, self.optimiser)

    def _m_step(self, x: Tensor, u: Tensor) -> dict[str, Tensor]:
        """Make one pass of Adam on -sum_ik u_ik ELBO_k(x_i), with one draw of each code.

        In a step `weighted_share` says how many points a network gets of the `batch_size` that it
        would see, with their weights, in the paper.
        """
        vaes, mean, K = self.network.vaes, Mean(), self.config.n_components
        share = u.mean(1)
        steps = -(-len(x) // self.config.batch_size)
        is_first = self.clock.passes["em"] <= self.config.m_step_epochs
        part = weighted_share(self.config.start if is_first else "", K)
        each = math.ceil(part * len(x) / steps)
        for index in owned(u, steps * each, self.draws).split(each, dim=1):
            batch = x[index]
            with fast_products(x.device, x.shape[1]):
                q = vaes.encode(batch)
                costs = vaes.costs(batch, q, rsample(q, self.draws))
            reconstruction, kl = (
                (share * cost.mean(-1).unflatten(0, (-1, K))).sum(-1) for cost in costs
            )
            loss = descend(self.optimiser, reconstruction + kl)
            mean.add({"loss": loss, "reconstruction": reconstruction, "kl": kl})
        metrics = mean.result()
        return metrics | self._objective(entropy(u) - metrics["loss"])

    @torch.no_grad()
    def _e_step(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return u = softmax_k(ELBO_k / T), (R, N, K), and -(3.4) per point, (R,)."""
        network, M = self.network.eval(), self.config.mc_samples
        with fast_products(x.device, x.shape[1]):
            elbo = in_chunks(lambda part: refined(network, part, M, self.draws), x, size=ROWS // 4)
        network.train()
        u = (elbo / self.config.temperature).softmax(-1)
        return u, (u * elbo).sum(-1).mean(-1) + entropy(u)

    def _objective(self, bound: Tensor) -> dict[str, Tensor]:
        """Return -(3.4) per point, logsumexp_k ELBO_k after an E-step at T = 1; also in nats."""
        return {"objective": bound, "elbo": self.config.nats(bound, math.prod(self.shape))}
