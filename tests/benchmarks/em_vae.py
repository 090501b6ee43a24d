"""EM-VAE and a literal implementation of its Algorithm 1: accuracy, then time.

    python -m tests.benchmarks.em_vae [--out FILE] [--points 10000] [--seeds 5] [--threads 2]

The literal implementation follows the paper: K separate modules, each of which sees every point
with its weight, ten draws for all of them, and the default Adam of torch.

Deep Generative Clustering with VAEs and Expectation-Maximization (2025), Algorithm 1 and Table 1.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tests.benchmarks._common import argument_parser, in_turns, mean_and_sd, ratio, write
from tuner.data import load
from tuner.evaluation.metrics import contingency, hungarian
from tuner.models.em_vae.method import EMVAE, EMVAEConfig

CHUNK = 1000


class Network(nn.Module):
    """One autoencoder of Table 1."""

    def __init__(self, features: int, config: EMVAEConfig) -> None:
        super().__init__()
        H, D = config.hidden_size, config.latent_size
        self.encoder = nn.Sequential(
            nn.Linear(features, H), nn.LeakyReLU(0.2), nn.Dropout(config.dropout)
        )
        self.mean, self.log_variance = nn.Linear(H, D), nn.Linear(H, D)
        self.decoder = nn.Sequential(
            nn.Linear(D, H),
            nn.LeakyReLU(0.2),
            nn.Dropout(config.dropout),
            nn.Linear(H, features),
            nn.Sigmoid(),
        )
        self.weight = config.reconstruction_weight

    def elbo(self, x: Tensor, draws: int) -> Tensor:
        """Return a Monte Carlo estimate of the bound (2.4) of x (B, F), shape (B,)."""
        h = self.encoder(x)
        mean, log_variance = self.mean(h), self.log_variance(h)
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1)
        z = mean + (0.5 * log_variance).exp() * torch.randn(draws, *mean.shape)
        error = ((x - self.decoder(z)) ** 2).sum(-1).mean(0)
        return -0.5 * self.weight * error - kl


class Literal:
    """A literal implementation of Algorithm 1."""

    def __init__(self, config: EMVAEConfig, features: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.config = config
        self.networks = nn.ModuleList(
            Network(features, config) for _ in range(config.n_components)
        )
        self.optimiser = torch.optim.Adam(self.networks.parameters(), lr=config.learning_rate)

    def fit(self, x: Tensor) -> Tensor:
        """Return the responsibilities (N, K) after all iterations."""
        K = self.config.n_components
        u = torch.distributions.Dirichlet(torch.ones(K)).sample((len(x),))
        for _ in range(self.config.iterations):
            self.m_step(x, u)
            u = self.e_step(x)
        return u

    def m_step(self, x: Tensor, u: Tensor) -> None:
        """Make the passes of one M-step."""
        self.networks.train()
        for _ in range(self.config.m_step_epochs):
            for index in torch.randperm(len(x)).split(self.config.batch_size):
                elbo = torch.stack([network.elbo(x[index], 1) for network in self.networks], 1)
                loss = -(u[index] * elbo).sum(1).mean()
                self.optimiser.zero_grad()
                loss.backward()
                self.optimiser.step()

    @torch.no_grad()
    def e_step(self, x: Tensor) -> Tensor:
        """Return the responsibilities (N, K)."""
        self.networks.eval()
        draws = self.config.mc_samples
        elbo = [
            torch.stack([network.elbo(part, draws) for network in self.networks], 1)
            for part in x.split(CHUNK)
        ]
        return torch.cat(elbo).softmax(1)


def ours(config: EMVAEConfig, x: Tensor, seed: int) -> Tensor:
    """Return the responsibilities (N, K) of this package's method."""
    method = EMVAE(config, x.shape[1:], [seed])
    for _ in method.fit(x):
        pass
    assert method.shares.u is not None
    return method.shares.u[0]


def accuracies(
    config: EMVAEConfig, x: Tensor, truth: np.ndarray, seeds: int
) -> dict[str, list[float]]:
    """Return the hungarian accuracies of both implementations, one per seed."""
    found: dict[str, list[float]] = {"literal": [], "ours": []}
    for seed in range(seeds):
        responsibilities = {
            "literal": Literal(config, x.shape[1], seed).fit(x),
            "ours": ours(config, x, seed),
        }
        for name, u in responsibilities.items():
            found[name].append(hungarian(contingency(u.argmax(1).numpy(), truth)))
        print(f"seed {seed}: {found['literal'][-1]:.3f} {found['ours'][-1]:.3f}", flush=True)
    return found


def main() -> None:
    """Compare accuracy on half of the points with a short schedule, then time on all points."""
    parser = argument_parser(__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=2, help="of the timed runs")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    data = load("mnist")
    assert data.train_labels is not None
    x = torch.from_numpy(data.train[: args.points]).flatten(1)
    truth, half = data.train_labels[: args.points], args.points // 2
    paper = EMVAEConfig(n_components=10, iterations=args.iterations, diffusion_steps=0)
    short = replace(paper, iterations=6, m_step_epochs=4, decay_every=0)
    found = accuracies(short, x[:half], truth[:half], args.seeds)
    literal, fast = in_turns(
        {
            "literal": lambda: Literal(paper, x.shape[1], 0).fit(x),
            "ours": lambda: ours(paper, x, 0),
        },
        turns=1,
    )
    write(
        args.out,
        [literal, fast],
        accuracy={name: mean_and_sd(each) for name, each in found.items()},
        each=found,
        faster=ratio(literal, fast),
    )


if __name__ == "__main__":
    main()
