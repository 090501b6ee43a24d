"""One variational autoencoder per cluster, trained by expectation maximisation.

Deep Generative Clustering with VAEs and Expectation-Maximization (Adipoetra, Martin, 2025):
Algorithm 1, objective (3.4), the settings of Table 1.

What the paper leaves open is this project's choice: a sigmoid at the output (data in [0, 1]), the
M-step's loss as the mean over a batch, Adam's moments kept from one iteration to the next, the
E-step in evaluation mode, starts other than a random one, a temperature, and what becomes of a
cluster that has lost its points (`EMVAE._revive`). `_em_vae_steps` says how the two steps
do with fewer points and draws than the letter of the algorithm.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self, final

import torch
from torch import Tensor

from ..errors import DataError
from ..method import (
    Clusterer,
    Method,
    Pretraining,
    Pretrains,
    Random,
    Report,
    Scalar,
    Shape,
    State,
    Trains,
    setting,
)
from ._em_vae_clusterer import EMVAEClusterer, log_responsibilities
from ._em_vae_nets import ROWS, VAEStack, entropy
from ._em_vae_start import PretrainedStart, StartConfig
from ._em_vae_steps import owned, refined, weighted_share
from ._loop import Clock, Mean, adam, descend, fast_products, in_chunks, pack, unpack
from ._nets import Draws, initialise, replica, rsample
from ._pretraining import NoPretraining
from ._starts import first_responsibilities


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
class EMVAE(Method, Trains, Random, Pretrains):
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

    def __init__(
        self,
        config: EMVAEConfig,
        shape: Shape,
        seeds: Sequence[int],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.shape, self.seeds = config, shape, tuple(seeds)
        self.features, self.stack = math.prod(shape), len(seeds) * config.n_components
        self.device = torch.device(device)
        self.draws = Draws(seeds, device)
        self.network = VAEStack(self.stack, self.features, config, self.draws).to(device)
        initialise(self.network, self.draws)
        self.optimiser = adam(self.network.parameters(), config.learning_rate)
        self.clock = Clock()
        self.start: PretrainedStart | None = None
        self.pretraining: Pretraining = NoPretraining()
        if config.start == "pretrained":
            self.start = PretrainedStart(
                config, self.features, seeds, clock=self.clock, device=device
            )
            self.pretraining = self.start.pretraining
        self.responsibilities: Tensor | None = None  # u (R, N, K), once there are data

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Train on x (N, *shape) by Algorithm 1, with a report after every pass of an M-step.

        A pretrained start's passes come first, with a report of their own after each.
        """
        x = self._flat(x)
        if self.start is not None:
            yield from self.start.pretraining.descend(x)
        if self.responsibilities is None:
            self.responsibilities = self._first_responsibilities(x)
        per_m_step = self.config.m_step_epochs
        for epoch in self.clock.count("em", self.config.em_passes):
            iteration, step = divmod(epoch - 1, per_m_step)
            if step == 0:
                self._decay(iteration)
                self._revive(x, self.responsibilities)
            metrics = self._m_step(x, self.responsibilities)
            if step == per_m_step - 1:
                self.responsibilities, bound = self._e_step(x)
                metrics |= self._objective(bound)
            yield Report(
                stage="em", epoch=self.clock.epoch, metrics=metrics, clusters=epoch >= per_m_step
            )

    def _flat(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        low, high = float(x.min()), float(x.max())
        if self.config.output == "sigmoid" and not (low >= 0 and high <= 1):
            raise DataError(
                f"data from {low:g} to {high:g} leave [0, 1], all that output=sigmoid reaches: "
                "set output=identity"
            )
        return x

    def _first_responsibilities(self, x: Tensor) -> Tensor:
        if self.start is not None:
            return self.start.responsibilities(x, self.draws)
        K = self.config.n_components
        return first_responsibilities(self.config.start, x, K, self.seeds, self.draws)

    def _decay(self, iteration: int) -> None:
        decays = iteration // self.config.decay_every if self.config.decay_every else 0
        rate = self.config.learning_rate * self.config.decay**decays
        self.optimiser.param_groups[0]["lr"] = rate

    @torch.no_grad()
    def _revive(self, x: Tensor, u: Tensor) -> None:
        """Give every cluster that has lost its points half of the heaviest one.

        Its network becomes a copy of the heaviest's, Adam's moments included, and it takes over,
        in u, the points beyond the mean of the code's widest axis: the M-step drives the two
        apart.
        """
        K = self.config.n_components
        for r, k in (u.mean(1) < self.config.revive_below / K).nonzero().tolist():
            heaviest = int(u[r].mean(0).argmax())
            own = replica(self.network.state_dict(), r * K + heaviest, self.stack)
            network = VAEStack.trained(1, self.features, self.config, own)
            codes = network.encode(x.unsqueeze(0)).base_dist.mean[0]
            mass = u[r, :, heaviest, None]
            away = codes - (mass * codes).sum(0) / mass.sum()
            axis = (mass * away.square()).sum(0).argmax()
            moved = torch.where(away[:, axis] > 0, u[r, :, heaviest], 0)
            u[r, :, k] += moved
            u[r, :, heaviest] -= moved
            for weight in self.network.parameters():
                moments = self.optimiser.state[weight].values()
                for tensor in (weight, *(m for m in moments if m.shape == weight.shape)):
                    tensor[r * K + k] = tensor[r * K + heaviest]

    def _m_step(self, x: Tensor, u: Tensor) -> dict[str, Tensor]:
        """Make one pass of Adam on -sum_ik u_ik ELBO_k(x_i), with one draw of each code.

        In a step `weighted_share` says how many points a network gets of the `batch_size` that it
        would see, with their weights, in the paper.
        """
        mean, K = Mean(), self.config.n_components
        share = u.mean(1)
        steps = -(-len(x) // self.config.batch_size)
        is_first = self.clock.passes["em"] <= self.config.m_step_epochs
        part = weighted_share(self.config.start if is_first else "", K)
        each = math.ceil(part * len(x) / steps)
        for index in owned(u, steps * each, self.draws).split(each, dim=1):
            batch = x[index]
            with fast_products(self.device, self.features):
                q = self.network.encode(batch)
                costs = self.network.costs(batch, q, rsample(q, self.draws))
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
        M, K, T = self.config.mc_samples, self.config.n_components, self.config.temperature
        self.network.eval()
        with fast_products(self.device, self.features):
            elbo = in_chunks(
                lambda chunk: refined(self.network, chunk, K, M, T, self.draws), x, size=ROWS // 4
            )
        self.network.train()
        u = (elbo / T).softmax(-1)
        return u, (u * elbo).sum(-1).mean(-1) + entropy(u)

    def _objective(self, bound: Tensor) -> dict[str, Tensor]:
        """Return -(3.4) per point, logsumexp_k ELBO_k after an E-step at T = 1; also in nats."""
        return {"objective": bound, "elbo": self.config.nats(bound, self.features)}

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log p(k | x) of every replica, (R, N, K), as its clusterer would."""
        training = self.network.training
        self.network.eval()
        answer = log_responsibilities(self.network, self.config, x.flatten(1))
        self.network.train(training)
        return answer

    def clusterers(self) -> list[Clusterer]:
        """Return the R replicas, K networks each."""
        R, tensors = len(self.seeds), self.network.state_dict()
        own = [replica(tensors, r, R) for r in range(R)]
        return [EMVAEClusterer(self.config, self.shape, w, device=self.device) for w in own]

    def parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the parameters: first axis R·K, or R those of a pretrained start."""
        yield from self.network.named_parameters()
        if self.start is not None:
            yield from self.start.vae.named_parameters("start")

    def state(self) -> State:
        """Return networks, Adam, random states, passes and, once there, u."""
        u = self.responsibilities
        state = pack(**self._parts(started=u is not None))
        return state if u is None else {**state, "responsibilities": u.clone()}

    def restore(self, state: Mapping[str, Tensor | Scalar]) -> None:
        """Take up a state; `fit` on the same data goes on with the next pass."""
        u = state.get("responsibilities")
        self.responsibilities = u.to(self.device).clone() if isinstance(u, Tensor) else None
        unpack(state, **self._parts(started=self.responsibilities is not None))

    def _parts(self, *, started: bool) -> dict[str, object]:
        """Return what training moves; a pretrained start serves until there is u."""
        parts = {
            "network": self.network,
            "adam": self.optimiser,
            "draws": self.draws,
            "clock": self.clock,
        }
        if self.start is None or started:
            return parts
        return {**parts, "start": self.start.vae, "pretraining": self.start.pretraining}
