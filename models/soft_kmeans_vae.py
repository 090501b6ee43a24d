"""A variational autoencoder whose codes are pulled towards trainable centres."""

from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..methods.config import setting
from ..methods.contract import Shape
from ._kit.distributions import diagonal_normal, kl_to_standard_normal, log_prob, rsample
from ._kit.draws import Draws
from ._kit.mixtures import fit_kmeans
from ._kit.prior_vae import (
    PriorVAEClusterer,
    PriorVAEConfig,
    PriorVAEMethod,
    PriorVAENetwork,
    assignment_metrics,
)
from ._kit.trainable_mixture import TrainableMixture

# weight of a pseudo-code at distance 1 that every cluster has in addition to its own codes
_PSEUDO_COUNT = 1e-6


@final
@dataclass(frozen=True, kw_only=True)
class SoftKMeansVAEConfig(PriorVAEConfig):
    """Settings of the VAE, of its warm-up and of the clustering loss."""

    prior: str = setting(
        "standard",
        "prior of the codes: N(0, I) or a trained mixture whose means are the centres",
        choices=("standard", "gmm"),
    )
    cluster_weight: float = setting(
        1.0, "weight lambda of the soft k-means loss; minus the bound has 1", low=0.0
    )
    warm_up: float = setting(
        0.5,
        "fraction of joint training in which lambda rises to its value",
        low=0.0,
        high=1.0,
    )
    starts: int = setting(10, "k-means++ starts, the best of which is kept", low=1, high=100)


@final
class SoftKMeansVAENetwork(PriorVAENetwork):
    """S VAEs, each with K centres and the variances of its codes around them."""

    config: SoftKMeansVAEConfig
    variances: Tensor

    def __init__(self, stack: int, shape: Shape, config: SoftKMeansVAEConfig) -> None:
        super().__init__(stack, shape, config)
        K, D = config.n_components, config.latent_size
        if config.prior == "gmm":
            self.mixture = TrainableMixture(stack, K, D)
        else:
            self.means = nn.Parameter(torch.zeros(stack, K, D))
        self.register_buffer("variances", torch.ones(stack, K, D))

    @property
    def centres(self) -> nn.Parameter:
        """The centres C, shape (S, K, D)."""
        return self.mixture.means if self.config.prior == "gmm" else self.means

    def loss(self, x: Tensor, draws: Draws, weight: Tensor) -> dict[str, Tensor]:
        """Return L_VAE + λ L_cluster and its terms, each (S,), of x (S, B, F).

        L_cluster = mean_i Σ_k w_ik ‖z_i - C_k‖² with w_i = softmax_k(-‖z_i - C_k‖²), on the same
        draws z ~ q(z | x) as the bound; λ is the `weight` (). "code_scale" is √(mean ‖z_i - mean
        z‖²), which falls towards 0 if codes and centres collapse.
        """
        q = self.vae.encode(x)
        z = rsample(q, draws)
        mixture = self.config.prior == "gmm"
        kl = -q.entropy() - self.log_prior(z) if mixture else kl_to_standard_normal(q)
        squares = self.squared_distances(z)
        log_w = (-squares).log_softmax(dim=-1)
        cluster_loss = (log_w.exp() * squares).sum(dim=-1).mean(dim=1)
        metrics = self.vae.bound(x, z, kl)
        offsets = z.detach() - z.detach().mean(dim=1, keepdim=True)
        return metrics | {
            "loss": metrics["loss"] + weight * cluster_loss,
            "cluster_loss": cluster_loss,
            "cluster_weight": weight.expand_as(cluster_loss),
            "code_scale": offsets.square().sum(dim=-1).mean(dim=1).sqrt(),
            **assignment_metrics(log_w.detach()),
        }

    def squared_distances(self, z: Tensor) -> Tensor:
        """Return ‖z_i - C_k‖², shape (S, N, K), of codes z (S, N, D)."""
        return (z.unsqueeze(2) - self.centres.unsqueeze(1)).square().sum(dim=-1)

    def log_prior(self, z: Tensor) -> Tensor:
        """Return log p(z) under N(0, I) or under the mixture, shape (S, N)."""
        if self.config.prior == "gmm":
            return self.mixture.log_prob(z)
        return log_prob(diagonal_normal(torch.zeros_like(z), torch.ones_like(z)), z)

    def log_responsibilities(self, z: Tensor) -> Tensor:
        """Return log w, shape (S, N, K)."""
        return (-self.squared_distances(z)).log_softmax(dim=-1)

    def sample_cluster(self, cluster: int, noise: Tensor) -> Tensor:
        """Return C_c + √v_c ε with the variances v_c of the cluster's codes, (S, n, D)."""
        return self.centres[:, cluster, None] + self.variances[:, cluster, None].sqrt() * noise

    @torch.no_grad()
    def initialise_clusters(self, x: Tensor, draws: Draws) -> None:
        """Place the centres by k-means on the means of q(z | x), x (N, F).

        A mixture prior starts with the weights and variances of these clusters.
        """
        starts, K = self.config.starts, self.config.n_components
        self.centres.copy_(fit_kmeans(self.embed(x), K, draws, starts=starts))
        if self.config.prior == "gmm":
            shares, variances = self.cluster_moments(self.vae.sample_codes(x, draws))
            self.mixture.set_parameters(shares.log(), self.centres, variances)

    @torch.no_grad()
    def update_statistics(self, x: Tensor, draws: Draws) -> None:
        """Set the variances of sampled codes from drawn codes of x (N, F)."""
        self.variances.copy_(self.cluster_moments(self.vae.sample_codes(x, draws))[1])

    def cluster_moments(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return each cluster's share (S, K) of codes z (S, N, D) and their variances (S, K, D).

        A code belongs to its nearest centre, and variances are about that centre. A cluster
        without codes has a share close to 0 and variances of 1.
        """
        hot = F.one_hot(self.log_responsibilities(z).argmax(dim=-1), self.config.n_components)
        members, centres, z = hot.double().transpose(1, 2), self.centres.double(), z.double()
        count = members.sum(dim=2, keepdim=True)
        # double precision: expanding the square cancels most digits of float32
        squares = members @ z.square() - 2 * centres * (members @ z) + count * centres.square()
        variances = (squares.clamp(min=0) + _PSEUDO_COUNT) / (count + _PSEUDO_COUNT)
        shares = (count + _PSEUDO_COUNT).squeeze(2) / z.shape[1]
        return shares.float(), variances.float()


@final
class SoftKMeansVAEClusterer(PriorVAEClusterer):
    """One VAE with centres among its codes."""

    network_type = SoftKMeansVAENetwork


@final
class SoftKMeansVAE(PriorVAEMethod):
    """Train a VAE with the soft k-means loss of its codes, weighted by λ, added to its loss.

    DGM final project - VAE with latent clustering using GMM (Avital & Lieberman, 2025), section
    3.2; both 3.1 and 3.2 with prior=gmm. The report specifies neither λ nor a start. It sums the
    clustering loss over points; here it is a mean, so that λ does not depend on their number.
    Codes and centres that collapse to one point make this loss 0. To prevent that, the VAE is
    warmed up alone, k-means starts the centres and λ rises gradually. A collapse shows in the
    metric "code_scale".
    """

    config: SoftKMeansVAEConfig
    network: SoftKMeansVAENetwork
    config_type = SoftKMeansVAEConfig
    clusterer_type = SoftKMeansVAEClusterer
    source = "DGM final project - VAE with latent clustering using GMM (2025), section 3.2"

    def loss(self, x: Tensor, epoch: Tensor) -> dict[str, Tensor]:
        """Return L_VAE + λ L_cluster of a batch and its terms, with λ rising linearly at first."""
        ramp = self.config.warm_up * self.config.epochs
        weight = self.config.cluster_weight * (epoch / max(ramp, 1.0)).clamp(max=1.0)
        return self.network.loss(x, self.draws, weight)
