"""The networks of the Gaussian mixture VAE, and the bodies that the paper gives them.

Deep Unsupervised Clustering with Gaussian Mixture Variational Autoencoders (Dilokthanakul et al.,
2016), Eq. 1 and Tables A.1-A.3. Everything is flat outside, (S, B, F), so that a body with
convolutions stands wherever a perceptron does.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Independent

from ..errors import UsageError
from ..method import Shape
from ._nets import (
    Activation,
    BatchNorm,
    Conv,
    ConvTranspose,
    Head,
    Linear,
    Perceptron,
    diagonal_normal,
    independent_bernoulli,
    log_scale_normal,
)

if TYPE_CHECKING:
    from .gmvae import GMVAEConfig

Map = tuple[int, int, int, int]  # channels, kernel, stride, padding

CONVOLUTIONS: dict[str, tuple[Map, ...]] = {
    "mnist": ((16, 6, 1, 0), (32, 6, 1, 0), (64, 4, 2, 1)),
    "svhn": ((64, 4, 2, 1), (128, 4, 2, 1), (246, 4, 2, 1)),
}
"""Table A.1's convolutional layers, by the data they were made for; Table A.3 mirrors them."""


@final
class Decoder(nn.Module):
    """A perceptron and an affine output: (S, B, code) to (S, B, outputs)."""

    def __init__(
        self, stack: int, sizes: Sequence[int], outputs: int, activation: Activation, *, norm: bool
    ) -> None:
        super().__init__()
        self.hidden = Perceptron(stack, sizes, activation, norm=norm)
        self.output = Linear(stack, sizes[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the parameters of p(y | x)."""
        return self.output(self.hidden(x))


@final
class ConvEncoder(nn.Module):
    """The convolutional hidden layers of Table A.1: (S, B, C·H·W) to (S, B, hidden)."""

    def __init__(
        self, stack: int, shape: Shape, layers: Sequence[Map], hidden: int, *, norm: bool
    ) -> None:
        super().__init__()
        self.image = _image(shape)
        channels = [self.image[0], *(out for out, *_ in layers)]
        self.convolutions = nn.ModuleList(
            Conv(stack, channels[i], out, kernel, stride=stride, padding=padding)
            for i, (out, kernel, stride, padding) in enumerate(layers)
        )
        self.norms = _norms(stack, channels[1:], norm=norm)
        flat = channels[-1] * _area(_sizes(shape, layers)[-1])
        self.hidden = Perceptron(stack, [flat, hidden], F.relu, norm=norm)

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
        layers: Sequence[Map],
        sizes: Sequence[int],
        *,
        per_value: int,
        norm: bool,
    ) -> None:
        super().__init__()
        smallest = _sizes(shape, layers)[-1]
        self.smallest = (layers[-1][0], *smallest)
        flat = layers[-1][0] * _area(smallest)
        self.hidden = Perceptron(stack, [*sizes, flat], F.relu, norm=norm)
        channels = [per_value * _image(shape)[0], *(out for out, *_ in layers[:-1])]
        self.convolutions = nn.ModuleList(
            ConvTranspose(stack, out, channels[i], kernel, stride=stride, padding=padding)
            for i, (out, kernel, stride, padding) in reversed(list(enumerate(layers)))
        )
        self.norms = _norms(stack, channels[:0:-1], norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """Return the parameters of p(y | x)."""
        h = self.hidden(x).unflatten(2, self.smallest)
        for convolution, norm in zip(self.convolutions[:-1], self.norms, strict=True):
            h = F.relu(norm(convolution(h)))
        return self.convolutions[-1](h).flatten(2)


@final
class GMVAENetwork(nn.Module):
    """S networks of the model: two recognition heads, the mixture prior, the observation model.

    Y is a point's number of values, D the code's, W the style's.
    """

    def __init__(self, stack: int, config: "GMVAEConfig", shape: Shape) -> None:
        super().__init__()
        self.config = config
        c, values = config, math.prod(shape)
        hidden, norm = [c.hidden_size] * c.hidden_layers, c.batch_norm
        per_value = 1 if c.likelihood == "bernoulli" else 2
        if c.architecture == "perceptron":
            self.encoder: nn.Module = Perceptron(stack, [values, *hidden], F.relu, norm=norm)
            self.decoder: nn.Module = Decoder(
                stack, [c.code_size, *hidden], per_value * values, F.relu, norm=norm
            )
        else:
            check_images(c.architecture, shape)
            layers = CONVOLUTIONS[c.architecture]
            self.encoder = ConvEncoder(stack, shape, layers, c.hidden_size, norm=norm)
            sizes = [c.code_size, c.hidden_size]
            self.decoder = ConvDecoder(stack, shape, layers, sizes, per_value=per_value, norm=norm)
        self.prior = Perceptron(stack, [c.style_size, c.prior_hidden_size], torch.tanh)
        # all heads of one hidden layer are one affine map: a product less for each
        self.heads = Head(stack, c.hidden_size, 2 * (c.code_size + c.style_size))
        self.components_head = Head(stack, c.prior_hidden_size, 2 * c.n_components * c.code_size)

    def recognise(self, y: Tensor) -> tuple[Independent, Independent]:
        """Return q(x | y) and q(w | y) of y (S, B, Y)."""
        D, W = self.config.code_size, self.config.style_size
        code_mean, code_lv, style_mean, style_lv = self.heads(self.encoder(y)).split(
            (D, D, W, W), 2
        )
        return log_scale_normal(code_mean, code_lv), log_scale_normal(style_mean, style_lv)

    def components(self, w: Tensor) -> Independent:
        """Return p(x | w, z = k) for all k at once, batch shape (S, B, K), event shape (D,)."""
        shape = (2, self.config.n_components, self.config.code_size)
        parameters = self.components_head(self.prior(w)).unflatten(2, shape)
        return log_scale_normal(*parameters.unbind(dim=2))

    def style_axis(self) -> Tensor:
        """Return the direction of w along which the components' means move most, (S, W).

        It is the first singular vector of d mu_k(w) / dw, all k at once, as central differences
        over one standard deviation of p(w) to either side of 0; its largest entry is positive.
        """
        W = self.config.style_size
        steps = torch.eye(W, device=self.heads.weight.device)
        w = torch.cat([steps, -steps]).expand(len(self.heads.weight), -1, -1)
        forth, back = self.components(w).mean.flatten(2).chunk(2, dim=1)
        axis = torch.linalg.svd((forth - back) / 2, full_matrices=False).U[:, :, 0]
        largest = axis.gather(1, axis.abs().argmax(dim=1, keepdim=True))
        return axis * largest.sign()

    def observe(self, x: Tensor) -> Independent:
        """Return p(y | x), batch shape (S, B), event shape (Y,)."""
        parameters = self.decoder(x).float()
        if self.config.likelihood == "bernoulli":
            return independent_bernoulli(parameters)
        mean, log_variance = parameters.chunk(2, dim=2)
        floor = math.sqrt(self.config.variance_floor)
        return diagonal_normal(mean, (0.5 * log_variance).exp() + floor)

    def log_responsibilities(self, y: Tensor) -> Tensor:
        """Return log p(z | x, w) at the means of q(x | y) and q(w | y), (S, B, K); Eq. 3."""
        code, style = self.recognise(y)
        components = self.components(style.mean)
        return components.log_prob(code.mean.unsqueeze(2)).log_softmax(dim=2)


def check_images(architecture: str, shape: Shape) -> None:
    """Raise a sentence unless the layers turn an image of this shape small and back again."""
    layers = CONVOLUTIONS[architecture]
    if len(shape) in (2, 3):
        sizes = _sizes(shape, layers)
        back = sizes[-1]
        for _, kernel, stride, padding in reversed(layers):
            back = tuple((n - 1) * stride + kernel - 2 * padding for n in back)
        if min(sizes[-1]) > 0 and back == sizes[0]:
            return
    raise UsageError(
        f"architecture={architecture!r} does not fit data of shape {shape}: give images whose "
        f"sides are {_SIDES[architecture]}, or set architecture to 'perceptron'"
    )


_SIDES = {"mnist": "even and at least 12", "svhn": "multiples of 8"}


def _image(shape: Shape) -> tuple[int, int, int]:
    height, width = shape[-2:]
    return (shape[0] if len(shape) == 3 else 1), height, width


def _sizes(shape: Shape, layers: Sequence[Map]) -> list[tuple[int, ...]]:
    """Return height and width before the first layer and after each."""
    sizes: list[tuple[int, ...]] = [tuple(shape[-2:])]
    for _, kernel, stride, padding in layers:
        sizes.append(tuple((n + 2 * padding - kernel) // stride + 1 for n in sizes[-1]))
    return sizes


def _area(size: tuple[int, ...]) -> int:
    return size[0] * size[1]


def _norms(stack: int, channels: Sequence[int], *, norm: bool) -> nn.ModuleList:
    return nn.ModuleList(BatchNorm(stack, c) if norm else nn.Identity() for c in channels)
