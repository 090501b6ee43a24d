"""Deep k-Means: an autoencoder and the centres of its codes, trained as one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self, final

import torch
from torch import Tensor, nn

from tuner.methods.config import setting
from tuner.methods.contract import Decodes, Pretrains, Report, Shape
from tuner.models._kit.autoencoder import Autoencoder, AutoencoderConfig
from tuner.models._kit.loop import Clock, Mean, adam, descend, in_chunks, minibatches
from tuner.models._kit.mixtures import fit_kmeans
from tuner.models._kit.networks import Draws
from tuner.models._kit.outputs import flattened
from tuner.models._kit.pretraining import NetworkPretraining
from tuner.models._kit.stack import NetworkClusterer, StackedMethod, StackedNetwork


@final
@dataclass(frozen=True, kw_only=True)
class DeepKMeansConfig(AutoencoderConfig):
    """Settings of the autoencoder, of the two losses and of the softmin between them."""

    epochs: int = setting(100, "passes with both losses", low=1, high=10_000)
    learning_rate: float = setting(1e-3, "step size of Adam with both losses", low=1e-6, high=1.0)
    batch_size: int = setting(256, "batch with both losses", unit="points", low=1)
    clustering_weight: float = setting(0.1, "weight λ of the k-means loss", low=0.0)
    first_sharpness: float = setting(0.1, "α of the softmin in the first pass", low=1e-6)
    last_sharpness: float = setting(1000.0, "α of the softmin in the last pass", low=1e-6)

    @property
    def passes(self) -> int:
        """The passes of the autoencoder alone and those with both losses."""
        return self.pretraining_epochs + self.epochs

    def capped(self, epochs: int) -> Self:
        """Return the configuration with both stages shortened alike, the second never to none."""
        joint = max(1, min(self.epochs, epochs * self.epochs // self.passes))
        alone = min(self.pretraining_epochs, epochs - joint)
        return replace(self, pretraining_epochs=alone, epochs=joint)

    def sharpness(self, done: int) -> float:
        """Return α in a pass, counted from 1: a geometric series from the first to the last."""
        share = (done - 1) / max(1, self.epochs - 1)
        return float(self.first_sharpness ** (1 - share) * self.last_sharpness**share)


@final
class DeepKMeansNetwork(StackedNetwork):
    """S pairs of an autoencoder and K centres of its codes, (S, K, D)."""

    def __init__(self, stack: int, shape: Shape, config: DeepKMeansConfig) -> None:
        super().__init__(stack, shape, config)
        self.sharpness = config.last_sharpness
        self.autoencoder = Autoencoder(stack, torch.Size(shape).numel(), config)
        self.centres = nn.Parameter(torch.zeros(stack, config.n_components, config.latent_size))

    def distances(self, codes: Tensor) -> Tensor:
        """Return ‖z - r_k‖², shape (S, B, K), of codes z (S, B, D)."""
        return (codes.unsqueeze(2) - self.centres.unsqueeze(1)).square().sum(dim=-1)

    def losses(self, x: Tensor, sharpness: float) -> tuple[Tensor, Tensor]:
        """Return the means over x (S, B, F) of ‖x - x̂‖² and Σ_k G_k ‖z - r_k‖², each (S,).

        G = softmax(-α ‖z - r‖²) over the centres: the closest one alone as α grows.
        """
        codes = self.autoencoder.encode(x)
        error = (self.autoencoder.decode(codes) - x).square().sum(dim=-1)
        distances = self.distances(codes)
        nearness = torch.softmax(-sharpness * distances, dim=-1)
        return error.mean(dim=1), (nearness * distances).sum(dim=-1).mean(dim=1)

    def embed(self, x: Tensor) -> Tensor:
        """Return the codes, shape (S, N, D), of x (N, F)."""
        stack = len(self.centres)
        return in_chunks(lambda part: self.autoencoder.encode(part.expand(stack, -1, -1)), x)

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log G at the last α, shape (S, N, K), of x (N, F)."""
        return torch.log_softmax(-self.sharpness * self.distances(self.embed(x)), dim=-1)


@final
class DeepKMeansClusterer(NetworkClusterer, Decodes):
    """One autoencoder with the centres of its codes."""

    network_type = DeepKMeansNetwork
    network: DeepKMeansNetwork

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the decoded codes of x, shape (N, *shape)."""
        return self.network.autoencoder.decode(self.network.embed(x.flatten(1)))[0].view_as(x)


@final
class DeepKMeans(StackedMethod, Pretrains):
    """Descend ‖x - x̂‖² + λ Σ_k G_k ‖z - r_k‖² in the autoencoder and the centres at once.

    Deep k-Means: Jointly clustering with k-Means and learning representations (Moradi Fard,
    Thonet, Gaussier, 2020). The paper pretrains or anneals α; here training does both.
    """

    config_type = DeepKMeansConfig
    clusterer_type = DeepKMeansClusterer
    source = "Deep k-Means (Moradi Fard, Thonet, Gaussier, 2020), the relaxed objective"
    config: DeepKMeansConfig
    network: DeepKMeansNetwork
    pretraining: NetworkPretraining

    def __init__(
        self,
        config: DeepKMeansConfig,
        shape: Shape,
        seeds: Sequence[int],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.shape = config, tuple(shape)
        self.draws, self.clock = Draws(seeds, device), Clock()
        self.network = DeepKMeansNetwork(len(seeds), self.shape, config).to(device)
        coder = self.network.autoencoder
        self.pretraining = NetworkPretraining(
            coder, coder.squared_error, config, clock=self.clock, seeds=seeds, device=device
        )
        self.optimiser = adam(self.network.parameters(), config.learning_rate)

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Train the autoencoder, place the centres by k-means, then train both."""
        config, points = self.config, flattened(x, self.config)
        yield from self.pretraining.descend(points)
        for done in self.clock.count("clustering", config.epochs):
            if done == 1:
                self._place_centres(points)
            mean = Mean()
            for batch in minibatches(points, config.batch_size, self.draws):
                error, distortion = self.network.losses(batch, config.sharpness(done))
                loss = descend(self.optimiser, error + config.clustering_weight * distortion)
                mean.add({"loss": loss, "distortion": distortion.detach()})
            yield Report(stage="clustering", epoch=self.clock.epoch, metrics=mean.result())

    @torch.no_grad()
    def _place_centres(self, points: Tensor) -> None:
        codes = self.network.embed(points)
        self.network.centres.copy_(fit_kmeans(codes, self.config.n_components, self.draws))
