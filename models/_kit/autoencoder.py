"""Autoencoders that several methods pretrain, and their settings."""

from abc import ABC
from dataclasses import dataclass, fields
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from ...errors import UsageError
from ...methods.config import Scalar, setting
from .draws import Draws
from .layers import MLP, Head
from .outputs import OutputConfig


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig(OutputConfig, ABC):
    """Settings of a method that begins with an autoencoder.

    A method sets `scaled` if it first scales the data to a mean square of 1.
    """

    scaled: ClassVar[bool] = False
    hidden_sizes: str = setting(
        "500-500-2000", "units of the encoder's hidden layers, mirrored in the decoder"
    )
    latent_size: int = setting(10, "size of the code", low=1, high=256)
    pretraining_epochs: int = setting(50, "epochs of autoencoder pretraining", low=0)
    pretraining_learning_rate: float = setting(
        1e-3, "Adam's learning rate in autoencoder pretraining", low=0.0
    )
    pretraining_batch_size: int = setting(256, "points per step of autoencoder pretraining", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.layers

    @property
    def layers(self) -> list[int]:
        """The sizes of the encoder's hidden layers."""
        sizes = self.hidden_sizes.split("-")
        if not all(size.isdecimal() and 0 < int(size) <= 8192 for size in sizes):
            raise UsageError(
                f"hidden_sizes={self.hidden_sizes!r} is not valid: give sizes from 1 to 8192 "
                "separated by dashes, such as 500-500-2000"
            )
        return [int(size) for size in sizes]

    @property
    def pretraining(self) -> dict[str, Scalar]:
        """The settings that the pretrained autoencoder depends on, empty without pretraining."""
        if self.pretraining_epochs == 0:
            return {}
        names = [field.name for field in fields(AutoencoderConfig)]
        own = {name: getattr(self, name) for name in names if name != "n_components"}
        return {"network": "autoencoder", "scaled": self.scaled, **own}


@final
class Autoencoder(nn.Module):
    """S autoencoders from x (S, B, F) to codes (S, B, D) and back, with an affine code layer.

    Reducing the Dimensionality of Data with Neural Networks (Hinton & Salakhutdinov, 2006), but
    with rectifiers and trained end to end.
    """

    def __init__(self, stack: int, features: int, config: AutoencoderConfig) -> None:
        super().__init__()
        sizes, code = config.layers, config.latent_size
        self.bounded = config.output == "sigmoid"
        self.encoder = MLP(stack, [features, *sizes], torch.relu)
        self.code = Head(stack, sizes[-1], code)
        self.decoder = MLP(stack, [code, *reversed(sizes)], torch.relu)
        self.output = Head(stack, sizes[0], features)

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes (S, B, D)."""
        return self.code(self.encoder(x))

    def outputs(self, z: Tensor) -> Tensor:
        """Return the last layer, (S, B, F), of codes (S, B, D): logits if output=sigmoid."""
        return self.output(self.decoder(z))

    def decode(self, z: Tensor) -> Tensor:
        """Return the points (S, B, F) of codes (S, B, D)."""
        return torch.sigmoid(self.outputs(z)) if self.bounded else self.outputs(z)

    def squared_error(self, x: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Return the mean of (x - x̂)² over points and features, (S,), as the loss."""
        del draws
        error = (self.decode(self.encode(x)) - x).square().mean(dim=(1, 2))
        return {"loss": error}
