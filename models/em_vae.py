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

from ..errors import DataError, UsageError
from ..method import (
    Bounds,
    Clusterer,
    Config,
    Decodes,
    Generates,
    Method,
    Random,
    Report,
    Scalar,
    Shape,
    State,
    Trains,
    setting,
)
from ._em_vae_nets import ROWS, VAEStack, by_point, entropy, for_stack
from ._em_vae_steps import owned, refined, weighted_share
from ._loop import Clock, Mean, adam, descend, fast_products, in_chunks, pack, unpack
from ._nets import Draws, initialise, replica, rsample
from ._starts import first_responsibilities


@final
@dataclass(frozen=True, kw_only=True)
class EMVAEConfig(Config):
    """The settings of Table 1 for MNIST, and this project's own."""

    iterations: int = setting(300, "EM iterations", low=1)
    m_step_epochs: int = setting(20, "passes over the data in an M-step", low=1)
    latent_size: int = setting(20, "dimensions D of a code z", low=1)
    hidden_size: int = setting(500, "width of the hidden layers", low=1)
    dropout: float = setting(0.2, "share of the hidden units dropped", low=0.0, high=0.95)
    reconstruction_weight: float = setting(
        1.0, "w in w/2 ‖x - D(z)‖²: the inverse variance of x given z", low=1e-6
    )
    learning_rate: float = setting(1e-3, "step size of Adam", low=0.0)
    decay: float = setting(0.9, "factor of the learning rate at a decay", low=0.0, high=1.0)
    decay_every: int = setting(20, "EM iterations from decay to decay; 0 for none", low=0)
    batch_size: int = setting(256, "points per step", low=1)
    mc_samples: int = setting(10, "Monte Carlo draws of a code in the E-step", low=1)
    temperature: float = setting(1.0, "T in u = softmax(ELBO / T); 1 in the paper", low=1e-3)
    start: str = setting(
        "random",
        "first u: Dirichlet(1), 1/K for all, or a k-means partition",
        choices=("random", "uniform", "kmeans"),
    )
    output: str = setting("sigmoid", "end of the decoders", choices=("sigmoid", "identity"))
    revive_below: float = setting(
        0.02, "mass, in parts of N/K, below which a cluster is seeded again", low=0.0, high=1.0
    )

    @property
    def passes(self) -> int:
        """Passes over the data: those of an M-step times the iterations."""
        return self.iterations * self.m_step_epochs

    def capped(self, epochs: int) -> Self:
        """Return this configuration with at most `epochs` passes.

        M-steps shrink to at most √epochs passes, so that a short run still has iterations, and the
        learning rate decays as often as in the whole schedule.
        """
        if self.passes <= epochs:
            return self
        m_step_epochs = min(self.m_step_epochs, max(1, math.isqrt(epochs)))
        iterations = max(1, epochs // m_step_epochs)
        every = max(1, round(self.decay_every * iterations / self.iterations))
        return replace(
            self,
            iterations=iterations,
            m_step_epochs=m_step_epochs,
            decay_every=every if self.decay_every else 0,
        )

    @classmethod
    def implied_by(cls, *, unit_interval: bool) -> dict[str, Scalar]:
        """Return the end of the decoders that the data force: a sigmoid reaches [0, 1] alone."""
        return {} if unit_interval else {"output": "identity"}

    def nats(self, bound: Tensor, features: int) -> Tensor:
        """Return logsumexp_k ELBO_k as a bound of log p(x): with -log K + F/2 log(w/2π) added."""
        normaliser = features / 2 * math.log(self.reconstruction_weight / (2 * math.pi))
        return bound + normaliser - math.log(self.n_components)


def _networks(
    stack: int, config: EMVAEConfig, features: int, draws: Draws | None = None
) -> VAEStack:
    return VAEStack(
        stack,
        features=features,
        hidden=config.hidden_size,
        code=config.latent_size,
        weight=config.reconstruction_weight,
        sigmoid=config.output == "sigmoid",
        dropout=config.dropout,
        draws=draws,
    )


def _trained(
    stack: int, config: EMVAEConfig, features: int, weights: Mapping[str, Tensor]
) -> VAEStack:
    network = _networks(stack, config, features)
    network.load_state_dict(dict(weights))
    return network.requires_grad_(False).eval().to(next(iter(weights.values())).device)


@torch.no_grad()
def _log_responsibilities(network: VAEStack, config: EMVAEConfig, x: Tensor) -> Tensor:
    """Return log softmax_k(ELBO_k / T) at the mean codes, (R, N, K), of x (N, F)."""

    def answer(chunk: Tensor) -> Tensor:
        elbo = network.elbo_at_mean(for_stack(chunk, len(network.output.weight)))
        return (by_point(elbo, config.n_components) / config.temperature).log_softmax(-1)

    return in_chunks(answer, x, size=ROWS)


@final
class EMVAEClusterer(Clusterer, Decodes, Generates, Bounds):
    """K trained autoencoders, and the softmax of their bounds.

    p(k | x) is an E-step with the mean of the code in place of its draws. It needs no random
    numbers and follows the weights as they are, also those since the last E-step.
    """

    def __init__(
        self,
        config: EMVAEConfig,
        shape: Shape,
        weights: Mapping[str, Tensor],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.shape, self.features = config, shape, math.prod(shape)
        own = {name: tensor.to(device) for name, tensor in weights.items()}
        self.network = _trained(config.n_components, config, self.features, own)

    def weights(self) -> dict[str, Tensor]:
        """Return the parameters of the K networks."""
        return dict(self.network.state_dict())

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log softmax_k(ELBO_k / T) at the mean codes, (N, K)."""
        return _log_responsibilities(self.network, self.config, x.flatten(1))[0]

    def _codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean codes (K, N, D) and p(k | x) (K, N, 1) of x (N, F)."""
        codes = self.network.encode(for_stack(x, self.config.n_components)).base_dist.mean
        return codes, self.predict_proba(x).T.unsqueeze(-1)

    @torch.no_grad()
    def embed(self, x: Tensor) -> Tensor:
        """Return the K mean codes side by side, each times p(k | x): (N, K·D).

        The axes of different autoencoders have nothing to do with one another, so each has its
        own: a point lies on those of its cluster, or between where its cluster is in doubt.
        """

        def answer(chunk: Tensor) -> Tensor:
            codes, p = self._codes(chunk)
            return (p * codes).transpose(0, 1).flatten(1)

        return in_chunks(answer, x.flatten(1), size=ROWS)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Return sum_k p(k | x) D_k(mean code of x), (N, *shape)."""

        def answer(chunk: Tensor) -> Tensor:
            codes, p = self._codes(chunk)
            return (p * self.network.decode(codes)).sum(0)

        return in_chunks(answer, x.flatten(1), size=ROWS).unflatten(1, self.shape)

    @torch.no_grad()
    def sample(self, cluster: int, n: int, seed: int) -> Tensor:
        """Return D_k(z) for n codes z ~ N(0, I): the cluster's own decoder (section 4.3)."""
        K = self.config.n_components
        if not 0 <= cluster < K:
            raise UsageError(f"there is no cluster {cluster}: give a number from 0 to {K - 1}")
        weights = replica(self.network.state_dict(), cluster, K)
        network = _trained(1, self.config, self.features, weights)
        z = Draws([seed], network.output.weight.device).normal(n, self.config.latent_size)
        return network.decode(z)[0].unflatten(1, self.shape)

    @torch.no_grad()
    def elbo(self, x: Tensor) -> Tensor:
        """Return logsumexp_k ELBO_k - log K + F/2 log(w/2π), (N,), in nats.

        The mean over codes is that over the 2D points μ ± √D σ_j e_j, exact to third order in z:
        Cubature Kalman Filters (Arasaratnam, Haykin, 2009).
        """
        D = self.config.latent_size
        axes = math.sqrt(D) * torch.eye(D, device=x.device)
        steps = torch.cat([axes, -axes]).unsqueeze(1)

        def answer(chunk: Tensor) -> Tensor:
            batch = for_stack(chunk, self.config.n_components)
            q = self.network.encode(batch)
            mean, scale = q.base_dist.mean.unsqueeze(1), q.base_dist.stddev.unsqueeze(1)
            reconstruction, kl = self.network.costs(batch, q, (mean + scale * steps).flatten(1, 2))
            return (-reconstruction - kl).logsumexp(0).unsqueeze(1)

        bound = in_chunks(answer, x.flatten(1), size=max(1, ROWS // (2 * D)))
        return self.config.nats(bound[:, 0], self.features)


@final
class EMVAE(Method, Trains, Random):
    """Trains the K autoencoders of R replicas as one stack of R·K networks.

    Reports of the first M-step come before any E-step: they have no clusters yet.
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
        self.network = _networks(self.stack, config, self.features, self.draws).to(device)
        initialise(self.network, self.draws)
        self.optimiser = adam(self.network.parameters(), config.learning_rate)
        self.clock = Clock()
        self.responsibilities: Tensor | None = None  # u (R, N, K), once there are data

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Train on x (N, *shape) by Algorithm 1, with a report after every pass of an M-step."""
        x = self._flat(x)
        per_m_step = self.config.m_step_epochs
        if self.responsibilities is None:
            K = self.config.n_components
            self.responsibilities = first_responsibilities(
                self.config.start, x, K, self.seeds, self.draws
            )
        for epoch in self.clock.count("em", self.config.passes):
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
            network = _trained(1, self.config, self.features, own)
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
        is_first = self.clock.epoch <= self.config.m_step_epochs
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
        answer = _log_responsibilities(self.network, self.config, x.flatten(1))
        self.network.train(training)
        return answer

    def clusterers(self) -> list[Clusterer]:
        """Return the R replicas, K networks each."""
        R, tensors = len(self.seeds), self.network.state_dict()
        own = [replica(tensors, r, R) for r in range(R)]
        return [EMVAEClusterer(self.config, self.shape, w, device=self.device) for w in own]

    def parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the parameters, whose first axis are the R·K networks."""
        yield from self.network.named_parameters()

    def state(self) -> State:
        """Return networks, Adam, random states, passes and, once there, u."""
        state = pack(network=self.network, adam=self.optimiser, draws=self.draws, clock=self.clock)
        if self.responsibilities is not None:
            state["responsibilities"] = self.responsibilities.clone()
        return state

    def restore(self, state: Mapping[str, Tensor | Scalar]) -> None:
        """Take up a state; `fit` on the same data goes on with the next pass."""
        unpack(
            state, network=self.network, adam=self.optimiser, draws=self.draws, clock=self.clock
        )
        u = state.get("responsibilities")
        self.responsibilities = u.to(self.device).clone() if isinstance(u, Tensor) else None
