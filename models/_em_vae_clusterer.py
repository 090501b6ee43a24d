"""What training K autoencoders leaves behind: clusters, codes, drawings and a bound."""

import math
from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from ..errors import UsageError
from ..method import Bounds, Clusterer, Decodes, Generates, Shape
from ._em_vae_nets import ROWS, VAEStack, VAEStackConfig, by_point, for_stack
from ._loop import in_chunks
from ._nets import Draws, replica


@torch.no_grad()
def log_responsibilities(network: VAEStack, config: VAEStackConfig, x: Tensor) -> Tensor:
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
        config: VAEStackConfig,
        shape: Shape,
        weights: Mapping[str, Tensor],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.shape, self.features = config, shape, math.prod(shape)
        own = {name: tensor.to(device) for name, tensor in weights.items()}
        self.network = VAEStack.trained(config.n_components, self.features, config, own)

    def weights(self) -> dict[str, Tensor]:
        """Return the parameters of the K networks."""
        return dict(self.network.state_dict())

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log softmax_k(ELBO_k / T) at the mean codes, (N, K)."""
        return log_responsibilities(self.network, self.config, x.flatten(1))[0]

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
        network = VAEStack.trained(1, self.features, self.config, weights)
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
