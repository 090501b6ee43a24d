"""Deep k-Means: an autoencoder trained jointly with the centres of its codes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self, final

import torch
from torch import Tensor, nn

from tuner.methods.config import setting
from tuner.methods.contract import Decodes, Pretrains, Report, Shape
from tuner.models._kit.autoencoder import Autoencoder, AutoencoderConfig
from tuner.models._kit.loop import adam, batch_indices, descent, in_chunks, train_epoch
from tuner.models._kit.mixtures import fit_kmeans
from tuner.models._kit.outputs import validate_and_flatten
from tuner.models._kit.pretraining import NetworkPretraining
from tuner.models._kit.stack import NetworkClusterer, StackedMethod, StackedNetwork


@final
@dataclass(frozen=True, kw_only=True)
class DeepKMeansConfig(AutoencoderConfig):
    """Settings of the autoencoder, of the two losses and of the softmin."""

    epochs: int = setting(100, "epochs of joint training", low=1, high=10_000)
    learning_rate: float = setting(
        1e-3, "Adam's learning rate in joint training", low=1e-6, high=1.0
    )
    batch_size: int = setting(256, "points per step of joint training", low=1)
    clustering_weight: float = setting(0.1, "weight λ of the k-means loss", low=0.0)
    first_sharpness: float = setting(0.1, "α of the softmin in the first epoch", low=1e-6)
    last_sharpness: float = setting(1000.0, "α of the softmin in the last epoch", low=1e-6)

    @property
    def passes(self) -> int:
        """Epochs of pretraining and of joint training."""
        return self.pretraining_epochs + self.epochs

    def capped(self, epochs: int) -> Self:
        """Return this configuration with both stages shortened alike, the second to at least 1."""
        joint = max(1, min(self.epochs, epochs * self.epochs // self.passes))
        first = min(self.pretraining_epochs, epochs - joint)
        return replace(self, pretraining_epochs=first, epochs=joint)

    def sharpness(self, epoch: int) -> float:
        """Return α in an epoch, counted from 1: a geometric series between first and last."""
        share = (epoch - 1) / max(1, self.epochs - 1)
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

    def losses(self, x: Tensor, sharpness: Tensor) -> tuple[Tensor, Tensor]:
        """Return the means over x (S, B, F) of ‖x - x̂‖² and Σ_k G_k ‖z - r_k‖², each (S,).

        G = softmax(-α ‖z - r‖²) over the centres; it selects the closest one as α grows.
        """
        codes = self.autoencoder.encode(x)
        error = (self.autoencoder.decode(codes) - x).square().sum(dim=-1)
        distances = self.distances(codes)
        nearness = torch.softmax(-sharpness * distances, dim=-1)
        return error.mean(dim=1), (nearness * distances).sum(dim=-1).mean(dim=1)

    def embed(self, x: Tensor) -> Tensor:
        """Return the codes, shape (S, N, D), of x (N, F)."""
        return in_chunks(lambda part: self.autoencoder.encode(self.expand(part)), x)

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log G at the last α, shape (S, N, K), of x (N, F)."""
        return torch.log_softmax(-self.sharpness * self.distances(self.embed(x)), dim=-1)


@final
class DeepKMeansClusterer(NetworkClusterer, Decodes):
    """One autoencoder with the centres of its codes."""

    network_type = DeepKMeansNetwork
    network: DeepKMeansNetwork

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the decoded codes of x, shape (N, *shape)."""
        return self.decode_codes(x, self.network.autoencoder.decode)


@final
class DeepKMeans(StackedMethod, Pretrains):
    """Minimise ‖x - x̂‖² + λ Σ_k G_k ‖z - r_k‖² over the autoencoder and the centres jointly.

    Deep k-Means: Jointly clustering with k-Means and learning representations (Moradi Fard,
    Thonet, Gaussier, 2020). The paper either pretrains or anneals α; here training does both.
    """

    config_type = DeepKMeansConfig
    clusterer_type = DeepKMeansClusterer
    source = "Deep k-Means (Moradi Fard, Thonet, Gaussier, 2020), the relaxed objective"
    config: DeepKMeansConfig
    network: DeepKMeansNetwork
    pretraining: NetworkPretraining

    def build(self) -> None:
        """Create the network, its pretraining and the joint optimiser."""
        self.network = self.stacked(DeepKMeansNetwork)
        coder = self.network.autoencoder
        self.pretraining = self.pretraining_of(coder, coder.squared_error, self.config)
        self.optimiser = adam(self.network.parameters(), self.config.learning_rate)

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Train the autoencoder, place the centres by k-means, then train both."""
        config, points = self.config, validate_and_flatten(x, self.config)
        yield from self.pretraining.fit(points)
        step = descent(points, self._loss, self.optimiser, self.draws)
        for epoch in self.clock.count("clustering", config.epochs):
            if epoch == 1:
                self._place_centres(points)
            batches = batch_indices(len(points), config.batch_size, self.draws)
            metrics = train_epoch(step, batches, self.scalar(config.sharpness(epoch)))
            yield Report(stage="clustering", epoch=self.clock.epoch, metrics=metrics)

    def _loss(self, x: Tensor, sharpness: Tensor) -> dict[str, Tensor]:
        error, distortion = self.network.losses(x, sharpness)
        loss = error + self.config.clustering_weight * distortion
        return {"loss": loss, "distortion": distortion}

    @torch.no_grad()
    def _place_centres(self, points: Tensor) -> None:
        codes = self.network.embed(points)
        self.network.centres.copy_(fit_kmeans(codes, self.config.n_components, self.draws))
