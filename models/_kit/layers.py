"""Layers stacked along a leading axis.

A stack of S networks is one module whose parameters have shape (S, …) and whose input has shape
(S, B, F). S is the number of replicas R, or R·K if every cluster has its own network. One matrix
product serves the whole stack, and a loss summed over S gives each network its own gradient.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Independent

from .distributions import diagonal_normal, independent_bernoulli, log_scale_normal
from .draws import Draws

Activation = Callable[[Tensor], Tensor]


class Linear(nn.Module):
    """S affine maps: x W + b, (S, B, fan_in) to (S, B, fan_out); b is 0 without `bias`."""

    def __init__(self, stack: int, fan_in: int, fan_out: int, *, bias: bool = True) -> None:
        super().__init__()
        self.fan_in = fan_in
        self.weight = nn.Parameter(torch.empty(stack, fan_in, fan_out))
        self.bias = nn.Parameter(torch.empty(stack, 1, fan_out)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Return x W + b."""
        x = _cast_once(x)
        if self.bias is None:
            return torch.bmm(x, self.weight)
        return torch.baddbmm(self.bias, x, self.weight)


def _cast_once(x: Tensor) -> Tensor:
    """Return x (S, B, F) in the precision of the context, as one copy if all S are the same."""
    kind = x.device.type
    if x.stride(0) == 0 and torch.is_autocast_enabled(kind):
        return x[:1].to(torch.get_autocast_dtype(kind)).expand_as(x)
    return x


class Head(Linear):
    """S affine maps to the parameters of densities, float32 also under mixed precision."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x W + b in float32."""
        return super().forward(x).float()


def image_format(device: torch.device) -> torch.memory_format:
    """Return how images lie in memory: on a GPU with the channels of a pixel side by side.

    Convolutions in low precision and batch norms are written for this there. All layers keep it.
    """
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format


class _Convolution(nn.Module):
    """S convolutions as one grouped convolution: (S, B, C, H, W) to (S, B, C', H', W')."""

    def __init__(
        self,
        stack: int,
        shape: Sequence[int],
        fan_in: int,
        *,
        out: int,
        stride: int,
        padding: int,
        bias: bool,
    ) -> None:
        super().__init__()
        self.stride, self.padding, self.fan_in = stride, padding, fan_in
        self.weight = nn.Parameter(torch.empty(stack, *shape))
        self.bias = nn.Parameter(torch.empty(stack, out)) if bias else None

    def _biases(self) -> Tensor | None:
        return None if self.bias is None else self.bias.flatten()

    def _merged(self, x: Tensor) -> Tensor:
        merged = x.transpose(0, 1).flatten(1, 2)
        return merged.to(memory_format=image_format(x.device))

    def _split(self, y: Tensor) -> Tensor:
        return y.unflatten(1, (self.weight.shape[0], -1)).transpose(0, 1)


class Conv(_Convolution):
    """S convolutions with a square kernel."""

    def __init__(
        self,
        stack: int,
        channels: int,
        out: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
    ) -> None:
        shape, fan_in = (out, channels, kernel, kernel), channels * kernel**2
        super().__init__(stack, shape, fan_in, out=out, stride=stride, padding=padding, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the feature maps."""
        weight, groups = self.weight.flatten(0, 1), self.weight.shape[0]
        y = F.conv2d(
            self._merged(x), weight, self._biases(), self.stride, self.padding, groups=groups
        )
        return self._split(y)


class ConvTranspose(_Convolution):
    """S transposed convolutions with a square kernel."""

    def __init__(
        self,
        stack: int,
        channels: int,
        out: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
    ) -> None:
        shape, fan_in = (channels, out, kernel, kernel), channels * kernel**2 // stride**2
        super().__init__(stack, shape, fan_in, out=out, stride=stride, padding=padding, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the feature maps."""
        weight, groups = self.weight.flatten(0, 1), self.weight.shape[0]
        y = F.conv_transpose2d(
            self._merged(x), weight, self._biases(), self.stride, self.padding, groups=groups
        )
        return self._split(y)


class BatchNorm(nn.Module):
    """Batch normalisation of S networks over all axes but the stack (0) and the features (2)."""

    def __init__(self, stack: int, features: int, *, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self.scale = nn.Parameter(torch.empty(stack, features))
        self.shift = nn.Parameter(torch.empty(stack, features))
        self.mean: Tensor
        self.variance: Tensor
        self.register_buffer("mean", torch.zeros(stack, features))
        self.register_buffer("variance", torch.ones(stack, features))

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalised by its batch in training, by the running moments in evaluation."""
        stack = x.shape[0]
        merged = x.transpose(0, 1).flatten(1, 2) if x.dim() > 3 else x.transpose(0, 1).flatten(1)
        # a single point has no variance, so the running moments normalise it
        training = self.training and merged.numel() > merged.shape[1]
        y = F.batch_norm(
            merged,
            self.mean.view(-1),
            self.variance.view(-1),
            self.scale.view(-1),
            self.shift.view(-1),
            training=training,
            momentum=self.momentum,
        )
        return y.unflatten(1, (stack, -1)).transpose(0, 1)


class Dropout(nn.Module):
    """Dropout with masks from each replica's own generator, and the identity in evaluation."""

    def __init__(self, rate: float, draws: Draws | None) -> None:
        super().__init__()
        self.rate, self.draws = rate, draws

    def forward(self, x: Tensor) -> Tensor:
        """Return x with a share `rate` of its values set to zero and the rest scaled up."""
        if not self.training or self.rate == 0 or self.draws is None:
            return x
        networks = x.shape[0] // len(self.draws)
        kept = self.draws.bernoulli(1 - self.rate, networks, *x.shape[1:]).flatten(0, 1)
        # masks and scales in one kernel, forth and back
        return torch.ops.aten.native_dropout_backward(x, kept, 1 / (1 - self.rate))


class MLP(nn.Module):
    """S multilayer perceptrons: affine map, optional norm, activation and dropout in each layer.

    Layers before a norm have no bias. The norm would cancel it, and Adam would let it drift.
    """

    def __init__(
        self,
        stack: int,
        sizes: Sequence[int],
        activation: Activation,
        *,
        norm: bool = False,
        dropout: Dropout | None = None,
    ) -> None:
        super().__init__()
        self.activation, self.dropout = activation, dropout
        pairs = list(itertools.pairwise(sizes))
        self.layers = nn.ModuleList(Linear(stack, a, b, bias=not norm) for a, b in pairs)
        self.norms = nn.ModuleList(
            BatchNorm(stack, b) if norm else nn.Identity() for _, b in pairs
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the last hidden layer, (S, B, sizes[-1])."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = self.activation(norm(layer(x)))
            if self.dropout is not None:
                x = self.dropout(x)
        return x


def joined(h: Tensor, *heads: Head) -> tuple[Tensor, ...]:
    """Return the outputs of heads on the same layer h (S, B, fan_in), from one matrix product."""
    weight = torch.cat([head.weight for head in heads], dim=2)
    bias = torch.cat([head.bias for head in heads if head.bias is not None], dim=2)
    sizes = [head.weight.shape[2] for head in heads]
    return torch.baddbmm(bias, h, weight).float().split(sizes, dim=2)


class GaussianHead(nn.Module):
    """S heads from a hidden layer to a diagonal Gaussian, with affine mean and log-variance.

    The standard deviation is `floor` + exp(½ log-variance).
    """

    def __init__(self, stack: int, fan_in: int, fan_out: int, *, floor: float = 0.0) -> None:
        super().__init__()
        self.floor = floor
        self.mean = Head(stack, fan_in, fan_out)
        self.log_variance = Head(stack, fan_in, fan_out)

    def forward(self, h: Tensor) -> Independent:
        """Return q(· | h) with batch shape (S, B) and event shape (fan_out,)."""
        mean, log_variance = joined(h, self.mean, self.log_variance)
        if self.floor == 0:
            return log_scale_normal(mean, log_variance)
        return diagonal_normal(mean, self.floor + (0.5 * log_variance).exp())


class BernoulliHead(nn.Module):
    """S heads from a hidden layer to independent Bernoulli variables.

    Data in [0, 1], such as grey values, count as means of such variables.
    """

    def __init__(self, stack: int, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.logits = Head(stack, fan_in, fan_out)

    def forward(self, h: Tensor) -> Independent:
        """Return p(· | h) with batch shape (S, B) and event shape (fan_out,)."""
        return independent_bernoulli(self.logits(h))


def initialise(network: nn.Module, draws: Draws) -> None:
    """Fill weights and biases uniformly on ±1/√fan-in, and set norms to scale 1 and shift 0.

    Delving Deep into Rectifiers (He et al., 2015), section 2.2, with the gain that torch's own
    layers use (a = √5).
    """
    for module in network.modules():
        if isinstance(module, (Linear, _Convolution)):
            bound = 1 / math.sqrt(module.fan_in)
            for parameter in (module.weight, module.bias):
                if parameter is not None:
                    _fill_uniform(parameter, draws, bound)
        elif isinstance(module, BatchNorm):
            nn.init.ones_(module.scale)
            nn.init.zeros_(module.shift)


@torch.no_grad()
def _fill_uniform(parameter: Tensor, draws: Draws, bound: float) -> None:
    networks = parameter.shape[0] // len(draws)
    uniform = draws.uniform(networks, *parameter.shape[1:]).flatten(0, 1)
    parameter.copy_((2 * uniform - 1) * bound)


def replica(tensors: Mapping[str, Tensor], r: int, replicas: int) -> dict[str, Tensor]:
    """Return a copy of replica r's part, (m, …), of stacked tensors (R·m, …)."""
    return {
        name: tensor.detach().unflatten(0, (replicas, -1))[r].clone()
        for name, tensor in tensors.items()
    }
