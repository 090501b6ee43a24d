"""A variational autoencoder with a Gaussian mixture on its codes, and its clusterer."""

from abc import ABC
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, kl_divergence

from ..errors import DataError
from ..method import Bounds, Clusterer, Config, Decodes, Generates, Scalar, Shape, setting
from ._bounds import antithetic_bound, antithetic_noise
from ._loop import Mean, descend, fast_products, in_chunks, minibatches
from ._mixture import GaussianMixture, refit_mixture
from ._nets import (
    BernoulliHead,
    Draws,
    GaussianHead,
    Head,
    Perceptron,
    diagonal_normal,
    log_prob,
    rsample,
)
from ._starts import fit_best_mixture

Bound = Callable[[Tensor], dict[str, Tensor]]

# a mixture of K · D² numbers is known well enough from this many codes
_CODES = 20_000


@dataclass(frozen=True, kw_only=True)
class VAEConfig(Config, ABC):
    """What every VAE has to be told of its networks."""

    latent_size: int = setting(10, "size of the code", low=1, high=256)
    hidden_size: int = setting(256, "units of a hidden layer", low=1, high=8192)
    hidden_layers: int = setting(2, "hidden layers, each side", low=1, high=8)
    likelihood: str = setting(
        "bernoulli", "of a point given its code", choices=("bernoulli", "gaussian")
    )
    scale: float = setting(
        0.2,
        "standard deviation of a point given its code, where the likelihood is Gaussian",
        unit="of the scaled data",
        low=1e-3,
        high=10.0,
    )

    @classmethod
    def implied_by(cls, *, unit_interval: bool) -> dict[str, Scalar]:
        """Return a Gaussian likelihood for data that leave [0, 1]."""
        return {} if unit_interval else {"likelihood": "gaussian"}


@dataclass(frozen=True, kw_only=True)
class VAEMixtureConfig(VAEConfig, ABC):
    """What every VAE with a Gaussian mixture on its codes has to be told."""

    learning_rate: float = setting(1e-3, "Adam's learning rate", low=0.0)
    batch_size: int = setting(128, "points of a training step", low=1)
    vae_epochs: int = setting(50, "passes with the prior N(0, I)", low=1)
    covariance: str = setting(
        "full", "shape of the mixture's covariances", choices=("full", "diag")
    )
    starts: int = setting(4, "starts of the mixture, of which one is kept", low=1, high=100)
    temperature: float = setting(
        0.5, "variance of new codes", unit="of their component's variance", low=0.0, high=1.0
    )


@final
class VAE(nn.Module):
    """S variational autoencoders: x (S, B, F), codes (S, B, D), diagonal Gaussian posterior.

    Auto-Encoding Variational Bayes (Kingma & Welling, 2014), section 3 and appendix C.
    """

    def __init__(self, stack: int, features: int, config: VAEConfig) -> None:
        super().__init__()
        self.stack = stack
        hidden, code = [config.hidden_size] * config.hidden_layers, config.latent_size
        self.encoder = Perceptron(stack, [features, *hidden], torch.relu)
        self.posterior = GaussianHead(stack, hidden[-1], code)
        self.decoder = Perceptron(stack, [code, *hidden], torch.relu)
        self.likelihood = (
            _FixedScaleHead(stack, hidden[-1], features, scale=config.scale)
            if config.likelihood == "gaussian"
            else BernoulliHead(stack, hidden[-1], features)
        )

    def encode(self, x: Tensor) -> Independent:
        """Return q(z | x)."""
        return self.posterior(self.encoder(x))

    def decode(self, z: Tensor) -> Independent:
        """Return p(x | z)."""
        return self.likelihood(self.decoder(z))

    def standard_bound(self, x: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Return the evidence lower bound under N(0, I) and its terms, each (S,).

        E_q log p(x | z) - KL(q(z | x) || N(0, I)), one draw, the mean over the batch (S, B, F).
        """
        q = self.encode(x)
        return self.bound(x, rsample(q, draws), kl_to_standard_normal(q))

    def bound(self, x: Tensor, z: Tensor, kl: Tensor) -> dict[str, Tensor]:
        """Return the lower bound that draws z (S, B, D) and divergences (S, B) make, each (S,).

        "loss" is minus the bound "elbo", "reconstruction" and "kl" are its terms: batch means.
        """
        reconstruction = log_prob(self.decode(z), x).mean(dim=1)
        kl = kl.mean(dim=1)
        elbo = reconstruction - kl
        return {"loss": -elbo, "elbo": elbo, "reconstruction": reconstruction, "kl": kl}

    @torch.no_grad()
    def embed(self, x: Tensor) -> Tensor:
        """Return the means of q(z | x), (S, N, D), of x (N, F)."""
        return in_chunks(lambda part: self.encode(self._each(part)).base_dist.mean, x)

    @torch.no_grad()
    def drawn_codes(self, x: Tensor, draws: Draws) -> Tensor:
        """Return draws from q(z | x), (S, n, D), of at most 20,000 of the points x (N, F)."""
        index = draws.permutation(len(x))[:, :_CODES]
        chunks = [rsample(self.encode(x[part]), draws) for part in index.split(4096, dim=1)]
        return torch.cat(chunks, dim=1)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the mean of p(x | z) at the means, (S, N, F), of x (N, F)."""
        parts = self.embed(x).split(4096, dim=1)
        return torch.cat([self.decode(part).base_dist.mean for part in parts], dim=1)

    @torch.no_grad()
    def elbo(self, x: Tensor, noise: Tensor, log_prior: Callable[[Tensor], Tensor]) -> Tensor:
        """Return E_q[log p(x | z) + log p(z)] + H(q), shape (S, N), of x (N, F).

        The mean is over z = μ ± s ε with the given ε (M, D) and their negatives; `log_prior`
        takes z (S, N, D) to log p(z), (S, N).
        """
        return antithetic_bound(self.encode, self.decode, log_prior, x, noise, stack=self.stack)

    def _each(self, x: Tensor) -> Tensor:
        return x.expand(self.stack, *x.shape)


def kl_to_standard_normal(q: Independent) -> Tensor:
    """Return KL(q || N(0, I)) in nats over the batch shape of a diagonal Gaussian q."""
    standard = Normal(torch.zeros_like(q.base_dist.mean), 1.0, validate_args=False)
    return kl_divergence(q.base_dist, standard).sum(dim=-1)


@final
class _FixedScaleHead(nn.Module):
    """Hidden layer to N(mean, scale² I)."""

    def __init__(self, stack: int, fan_in: int, fan_out: int, *, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.mean = Head(stack, fan_in, fan_out)

    def forward(self, h: Tensor) -> Independent:
        """Return p(· | h) with batch shape (S, B) and event shape (fan_out,)."""
        mean = self.mean(h)
        return diagonal_normal(mean, mean.new_tensor(self.scale).expand_as(mean))


@final
class LatentMixture(nn.Module):
    """S pairs of a VAE and a Gaussian mixture on its codes.

    The mixture is fitted on draws of q(z | x), where a dimension that the VAE does not use is
    N(0, 1) and at the means would be a spike. Clusters are told at the means.
    """

    def __init__(self, stack: int, features: int, config: VAEMixtureConfig) -> None:
        super().__init__()
        self.config = config
        self.vae = VAE(stack, features, config)
        self.mixture = GaussianMixture(stack, config.n_components, config.latent_size)

    def own_component_bound(self, x: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Return the bound with every point's own component as prior, as above.

        E_q log p(x | z) - KL(q(z | x) || N(μ_c, S_c)) + log π_c, with the c that bounds best:
        log p(z) ≥ log π_c + log N(z; μ_c, S_c) for every c.
        """
        q = self.vae.encode(x)
        cross = self.mixture.cross_entropy(q) - self.mixture.log_weights.unsqueeze(1)
        return self.vae.bound(x, rsample(q, draws), cross.amin(dim=-1) - q.entropy())

    def descend_pass(
        self, x: Tensor, bound: Bound, optimiser: torch.optim.Optimizer, draws: Draws
    ) -> dict[str, Tensor]:
        """Take one pass of steps up a bound over x (N, F); return its mean metrics, (S,)."""
        mean = Mean()
        for batch in minibatches(x, self.config.batch_size, draws):
            with fast_products(x.device, x.shape[1]):
                metrics = bound(batch)
            descend(optimiser, metrics["loss"])
            mean.add(metrics)
        return mean.result()

    @torch.no_grad()
    def fit_mixture(self, x: Tensor, draws: Draws) -> None:
        """Fit the mixture anew on drawn codes of x (N, F), from the best of several starts."""
        codes, config = self.vae.drawn_codes(x, draws), self.config
        fit_best_mixture(
            self.mixture,
            codes,
            self.embed,
            x,
            draws,
            starts=config.starts,
            covariance=config.covariance,
        )

    @torch.no_grad()
    def refit_mixture(self, x: Tensor, draws: Draws) -> None:
        """Fit the mixture on drawn codes of x (N, F), from where it stands."""
        z, kind = self.vae.drawn_codes(x, draws), self.config.covariance
        fitted, _ = refit_mixture(z, self.mixture, covariance=kind)
        self.mixture.take(fitted.pick(torch.zeros(len(z), dtype=torch.long, device=z.device)))

    def embed(self, x: Tensor) -> Tensor:
        """Return the means of q(z | x), (S, N, D), of x (N, F)."""
        return self.vae.embed(x)

    @torch.no_grad()
    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return the log-responsibilities at the means, (S, N, K), of x (N, F)."""
        return self.mixture.log_responsibilities(self.embed(x))

    def elbo(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return the lower bound with the mixture as p(z), (S, N), of x (N, F); see `VAE.elbo`."""
        return self.vae.elbo(x, noise, self.mixture.log_prob)


@final
class LatentMixtureClusterer(Clusterer, Decodes, Generates, Bounds):
    """One VAE with the mixture on its codes."""

    def __init__(
        self,
        config: VAEMixtureConfig,
        shape: Shape,
        weights: Mapping[str, Tensor],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.shape, self.config = tuple(shape), config
        with torch.device("meta"):
            network = LatentMixture(1, torch.Size(self.shape).numel(), config)
        self.network = network.to_empty(device=device).requires_grad_(False).eval()
        self.network.load_state_dict(dict(weights))

    def weights(self) -> dict[str, Tensor]:
        """Return the weights of encoder and decoder and the mixture, each a stack of one."""
        return dict(self.network.state_dict())

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return the log-responsibilities of the means of q(z | x), shape (N, K)."""
        return self.network.predict_log_proba(x.flatten(1))[0]

    def embed(self, x: Tensor) -> Tensor:
        """Return the means of q(z | x), shape (N, D)."""
        return self.network.embed(x.flatten(1))[0]

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the mean of p(x | z) at the mean of q(z | x), shape (N, *shape)."""
        return self.network.vae.reconstruct(x.flatten(1))[0].view(len(x), *self.shape)

    @torch.no_grad()
    def sample(self, cluster: int, n: int, seed: int) -> Tensor:
        """Return the means of p(x | z), z ~ N(μ_c, temperature · S_c), shape (n, *shape).

        The reduced variance keeps a draw from falling to another cluster.
        """
        device = self.network.mixture.means.device
        noise = Draws([seed], device).normal(n, self.config.latent_size)
        z = self.network.mixture.place(cluster, self.config.temperature**0.5 * noise)
        return self.network.vae.decode(z).base_dist.mean[0].view(n, *self.shape)

    def elbo(self, x: Tensor) -> Tensor:
        """Return E_q[log p(x | z) + log p(z) - log q(z | x)] with the mixture as p(z), (N,).

        The mean is over 16 codes, eight draws that are always the same and their mirror images.
        """
        return self.network.elbo(x.flatten(1), antithetic_noise(self.config.latent_size, x))[0]


def fitting_passes(passes: int) -> frozenset[int]:
    """Return the passes of a VAE after which the mixture is fitted: a ninth, a third, and all.

    The first two are where early stopping looks, so that it has something to see.
    """
    return frozenset({-(-passes // 9), -(-passes // 3), passes})


def flattened(x: Tensor, config: VAEConfig) -> Tensor:
    """Return x as (N, F), or raise DataError where a Bernoulli likelihood cannot hold it."""
    if config.likelihood == "bernoulli" and (x.min() < 0 or x.max() > 1):
        raise DataError(
            f"the data span [{x.min():g}, {x.max():g}], and a Bernoulli likelihood needs [0, 1]: "
            "scale them or set likelihood=gaussian"
        )
    return x.flatten(1)
