"""The convolutional layers of the Gaussian mixture VAE's paper.

Deep Unsupervised Clustering with Gaussian Mixture Variational Autoencoders (Dilokthanakul et al.,
2016), Tables A.1-A.3. Inputs and outputs are flat, (S, B, C·H·W), as for perceptrons.
"""

from collections.abc import Sequence
from typing import final

import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import UsageError
from ...methods.contract import Shape
from .._kit.layers import MLP, BatchNorm, Conv, ConvTranspose

ConvLayer = tuple[int, int, int, int]  # channels, kernel, stride, padding

CONVOLUTIONS: dict[str, tuple[ConvLayer, ...]] = {
    "mnist": ((16, 6, 1, 0), (32, 6, 1, 0), (64, 4, 2, 1)),
    "svhn": ((64, 4, 2, 1), (128, 4, 2, 1), (246, 4, 2, 1)),
}
"""Table A.1's convolutional layers by dataset; Table A.3 mirrors them."""


@final
class ConvEncoder(nn.Module):
    """The convolutional hidden layers of Table A.1: (S, B, C·H·W) to (S, B, hidden)."""

    def __init__(
        self, stack: int, shape: Shape, layers: Sequence[ConvLayer], hidden: int, *, norm: bool
    ) -> None:
        super().__init__()
        self.image = _image(shape)
        channels = [self.image[0], *(out for out, *_ in layers)]
        self.convolutions = nn.ModuleList(
            Conv(stack, channels[i], out, kernel, stride=stride, padding=padding, bias=not norm)
            for i, (out, kernel, stride, padding) in enumerate(layers)
        )
        self.norms = _norms(stack, channels[1:], norm=norm)
        flat = channels[-1] * _area(_sizes(shape, layers)[-1])
        self.hidden = MLP(stack, [flat, hidden], F.relu, norm=norm)

    def forward(self, y: Tensor) -> Tensor:
        """Return the last hidden layer, shared by q(x | y) and q(w | y)."""
        h = y.unflatten(2, self.image)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            h = F.relu(norm(convolution(h)))
        return self.hidden(h.flatten(2))


@final
class ConvDecoder(nn.Module):
    """The mirrored layers of Table A.3: (S, B, code) to (S, B, per_value·C·H·W).

    `per_value` is the number of parameters that p(y | x) has for each value of y.
    """

    def __init__(
        self,
        stack: int,
        shape: Shape,
        layers: Sequence[ConvLayer],
        sizes: Sequence[int],
        *,
        per_value: int,
        norm: bool,
    ) -> None:
        super().__init__()
        smallest = _sizes(shape, layers)[-1]
        self.smallest = (layers[-1][0], *smallest)
        flat = layers[-1][0] * _area(smallest)
        self.hidden = MLP(stack, [*sizes, flat], F.relu, norm=norm)
        channels = [per_value * _image(shape)[0], *(out for out, *_ in layers[:-1])]
        self.convolutions = nn.ModuleList(
            ConvTranspose(
                stack,
                out,
                channels[i],
                kernel,
                stride=stride,
                padding=padding,
                bias=i == 0 or not norm,  # the last layer is not normalised
            )
            for i, (out, kernel, stride, padding) in reversed(list(enumerate(layers)))
        )
        self.norms = _norms(stack, channels[:0:-1], norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """Return the parameters of p(y | x)."""
        h = self.hidden(x).unflatten(2, self.smallest)
        for convolution, norm in zip(self.convolutions[:-1], self.norms, strict=True):
            h = F.relu(norm(convolution(h)))
        return self.convolutions[-1](h).flatten(2)


def check_image_shape(architecture: str, shape: Shape) -> None:
    """Raise UsageError unless decoding restores the shape of an encoded image."""
    layers = CONVOLUTIONS[architecture]
    if len(shape) in (2, 3):
        sizes = _sizes(shape, layers)
        decoded = sizes[-1]
        for _, kernel, stride, padding in reversed(layers):
            decoded = tuple((n - 1) * stride + kernel - 2 * padding for n in decoded)
        if min(sizes[-1]) > 0 and decoded == sizes[0]:
            return
    raise UsageError(
        f"architecture={architecture!r} does not fit data of shape {shape}: use images whose "
        f"sides are {_SIDES[architecture]}, or set architecture='perceptron'"
    )


_SIDES = {"mnist": "even and at least 12", "svhn": "multiples of 8"}


def _image(shape: Shape) -> tuple[int, int, int]:
    height, width = shape[-2:]
    return (shape[0] if len(shape) == 3 else 1), height, width


def _sizes(shape: Shape, layers: Sequence[ConvLayer]) -> list[tuple[int, ...]]:
    """Return height and width before the first layer and after each layer."""
    sizes: list[tuple[int, ...]] = [tuple(shape[-2:])]
    for _, kernel, stride, padding in layers:
        sizes.append(tuple((n + 2 * padding - kernel) // stride + 1 for n in sizes[-1]))
    return sizes


def _area(size: tuple[int, ...]) -> int:
    return size[0] * size[1]


def _norms(stack: int, channels: Sequence[int], *, norm: bool) -> nn.ModuleList:
    return nn.ModuleList(BatchNorm(stack, c) if norm else nn.Identity() for c in channels)
