"""EM-VAE beside Algorithm 1 done to the letter: first accuracy, then time.

    python -m tests.benchmarks.em_vae [--out FILE] [--points 10000] [--seeds 5] [--threads 2]

The other side is what one would write from the paper: K modules of their own, every network sees
every point with its weight, ten draws for all of them, Adam as torch has it by default.

Deep Generative Clustering with VAEs and Expectation-Maximization (2025), Algorithm 1 and Table 1.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tests.benchmarks._ratios import in_turns, ratio, write
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
        """Return the bound (2.4) of x (B, F), (B,), by Monte Carlo."""
        h = self.encoder(x)
        mean, log_variance = self.mean(h), self.log_variance(h)
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1)
        z = mean + (0.5 * log_variance).exp() * torch.randn(draws, *mean.shape)
        error = ((x - self.decoder(z)) ** 2).sum(-1).mean(0)
        return -0.5 * self.weight * error - kl


class Literal:
    """Algorithm 1 to the letter."""

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
        """Take the passes of one M-step."""
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
        """Return the responsibilities."""
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
    """Return hungarian accuracies of both sides, one per seed."""
    found: dict[str, list[float]] = {"literal": [], "ours": []}
    for seed in range(seeds):
        answers = {
            "literal": Literal(config, x.shape[1], seed).fit(x),
            "ours": ours(config, x, seed),
        }
        for side, u in answers.items():
            found[side].append(hungarian(contingency(u.argmax(1).numpy(), truth)))
        print(f"seed {seed}: {found['literal'][-1]:.3f} {found['ours'][-1]:.3f}", flush=True)
    return found


def main() -> None:
    """Compare accuracy on half of the points and a short schedule, then time on all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=2, help="of the timed side")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    data = load("mnist")
    assert data.train_labels is not None
    x = torch.from_numpy(data.train[: asked.points]).flatten(1)
    truth, half = data.train_labels[: asked.points], asked.points // 2
    brief = EMVAEConfig(n_components=10, iterations=6, m_step_epochs=4, decay_every=0)
    found = accuracies(brief, x[:half], truth[:half], asked.seeds)
    paper = EMVAEConfig(n_components=10, iterations=asked.iterations)
    literal, fast = in_turns(
        {
            "literal": lambda: Literal(paper, x.shape[1], 0).fit(x),
            "ours": lambda: ours(paper, x, 0),
        },
        turns=1,
    )
    facts = {
        side: f"{np.mean(each):.3f} ± {np.std(each, ddof=1):.3f}" for side, each in found.items()
    }
    write(
        asked.out,
        [literal, fast],
        accuracy=facts,
        each=found,
        faster=ratio(literal, fast),
    )


if __name__ == "__main__":
    main()
