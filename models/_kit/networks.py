"""Networks stacked along a leading axis, and every random number that training draws.

A stack of S networks is one module whose parameters have shape (S, …) and whose input has shape
(S, B, F). S is the number of replicas R, or R·K where every cluster has a network of its own.
One matrix product serves the whole stack, and a loss summed over S gives each network its own
gradient.
"""

import hashlib
import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, Normal

Activation = Callable[[Tensor], Tensor]

_HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)


class Draws:
    """Random numbers of R replicas, each from a generator of its own.

    A replica's numbers depend on its seed alone, so it trains alike alone and in company, and the
    global random state is never touched. Each `stream` of the same seeds has numbers of its own.
    """

    def __init__(
        self, seeds: Sequence[int], device: torch.device | str = "cpu", *, stream: str = ""
    ) -> None:
        self.device = torch.device(device)
        self.generators = [
            torch.Generator(device).manual_seed(_apart(seed, stream)) for seed in seeds
        ]

    def __len__(self) -> int:
        return len(self.generators)

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers, shape (R, *shape)."""
        return self._stacked(lambda g: torch.randn(shape, generator=g, device=self.device))

    def uniform(self, *shape: int) -> Tensor:
        """Return numbers uniform on [0, 1), shape (R, *shape)."""
        return self._stacked(lambda g: torch.rand(shape, generator=g, device=self.device))

    def bernoulli(self, probability: float, *shape: int) -> Tensor:
        """Return what is true with a probability above 0, in steps of 2⁻¹⁶, (R, *shape).

        Four answers from one number of the generator, whose pace limits them.
        """
        n = math.prod(shape)
        bits = self._stacked(lambda g: self._bits(-(-n // 4), g)).view(torch.int16)
        least = 2**15 - round(probability * 2**16)
        return (bits[:, :n] >= least).unflatten(1, shape)

    def permutation(self, n: int) -> Tensor:
        """Return an order of n points for every replica, shape (R, n), int64."""
        return self._stacked(lambda g: torch.randperm(n, generator=g, device=self.device))

    def state(self) -> dict[str, Tensor]:
        """Return the generators' states."""
        return {str(r): g.get_state() for r, g in enumerate(self.generators)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up the generators' states."""
        for r, generator in enumerate(self.generators):
            generator.set_state(state[str(r)].cpu())

    def _bits(self, words: int, generator: torch.Generator) -> Tensor:
        empty = torch.empty(words, dtype=torch.int64, device=self.device)
        return empty.random_(-(2**63), None, generator=generator)

    def _stacked(self, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
        return torch.stack([draw(generator) for generator in self.generators])


def _apart(seed: int, stream: str) -> int:
    if not stream:
        return seed
    digest = hashlib.sha256(f"{stream}/{seed}".encode()).digest()
    return int.from_bytes(digest[:7])


class Linear(nn.Module):
    """S affine maps: x W + b, (S, B, fan_in) to (S, B, fan_out); b is 0 without `bias`."""

    def __init__(self, stack: int, fan_in: int, fan_out: int, *, bias: bool = True) -> None:
        super().__init__()
        self.fan_in = fan_in
        self.weight = nn.Parameter(torch.empty(stack, fan_in, fan_out))
        self.bias = nn.Parameter(torch.empty(stack, 1, fan_out)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Return x W + b."""
        if self.bias is None:
            return torch.bmm(x, self.weight)
        return torch.baddbmm(self.bias, x, self.weight)


class Head(Linear):
    """S affine maps to the parameters of densities: float32, whatever products are made in."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x W + b in float32."""
        return super().forward(x).float()


class _Convolution(nn.Module):
    """S convolutions as one with S groups: (S, B, C, H, W) to (S, B, C', H', W')."""

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
        return x.transpose(0, 1).flatten(1, 2)

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
    """Batch normalisation of S networks over everything but the stack and the feature axis (2)."""

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
        """Return x normalised by its batch in training, by the running moments otherwise."""
        stack = x.shape[0]
        merged = x.transpose(0, 1).flatten(1, 2) if x.dim() > 3 else x.transpose(0, 1).flatten(1)
        # one point has no variance: it is normalised by the running moments
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
    """Dropout whose masks come from the replicas' own generators; the identity in evaluation."""

    def __init__(self, rate: float, draws: Draws | None) -> None:
        super().__init__()
        self.rate, self.draws = rate, draws

    def forward(self, x: Tensor) -> Tensor:
        """Return x with a share of `rate` set to zero and the rest scaled to keep the mean."""
        if not self.training or self.rate == 0 or self.draws is None:
            return x
        networks = x.shape[0] // len(self.draws)
        kept = self.draws.bernoulli(1 - self.rate, networks, *x.shape[1:]).flatten(0, 1)
        return x * kept / (1 - self.rate)


class Perceptron(nn.Module):
    """S multilayer perceptrons; every layer is affine, normalised if asked, activated, dropped.

    What is normalised has no bias: the norm takes it away, and Adam would only walk it at random.
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


class GaussianHead(nn.Module):
    """Hidden layer to a diagonal Gaussian: mean and log-variance are affine in it.

    `floor` is the least standard deviation: exp(½ log-variance) is added to it.
    """

    def __init__(self, stack: int, fan_in: int, fan_out: int, *, floor: float = 0.0) -> None:
        super().__init__()
        self.floor = floor
        self.mean = Head(stack, fan_in, fan_out)
        self.log_variance = Head(stack, fan_in, fan_out)

    def forward(self, h: Tensor) -> Independent:
        """Return q(· | h) with batch shape (S, B) and event shape (fan_out,)."""
        return diagonal_normal(self.mean(h), self.floor + (0.5 * self.log_variance(h)).exp())


class BernoulliHead(nn.Module):
    """Hidden layer to independent Bernoulli variables; a grey value in [0, 1] is one's mean."""

    def __init__(self, stack: int, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.logits = Head(stack, fan_in, fan_out)

    def forward(self, h: Tensor) -> Independent:
        """Return p(· | h) with batch shape (S, B) and event shape (fan_out,)."""
        return independent_bernoulli(self.logits(h))


def float32_products(device: torch.device) -> torch.autocast:
    """Return a context in which all products are float32: for densities, inside of faster ones."""
    return torch.autocast(device.type, enabled=False)


class LogScaleNormal(Normal):
    """N(mean, exp(log_scale)²), which needs no logarithm for its density or entropy."""

    def __init__(self, mean: Tensor, log_scale: Tensor) -> None:
        super().__init__(mean, log_scale.exp(), validate_args=False)
        self.log_scale = log_scale

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density at `value`."""
        squares = ((value - self.loc) / self.scale).square()
        return -0.5 * squares - self.log_scale - _HALF_LOG_2_PI

    def entropy(self) -> Tensor:
        """Return ½ log(2πe) + log scale."""
        return self.log_scale + (0.5 + _HALF_LOG_2_PI)


def log_scale_normal(mean: Tensor, log_variance: Tensor) -> Independent:
    """Return N(mean, diag exp(log_variance)) over the last axis."""
    return Independent(LogScaleNormal(mean, 0.5 * log_variance), 1, validate_args=False)


def diagonal_normal(mean: Tensor, scale: Tensor) -> Independent:
    """Return N(mean, diag(scale²)) over the last axis."""
    return Independent(Normal(mean, scale, validate_args=False), 1, validate_args=False)


def independent_bernoulli(logits: Tensor) -> Independent:
    """Return a product of Bernoulli variables over the last axis."""
    return Independent(Bernoulli(logits=logits, validate_args=False), 1, validate_args=False)


def rsample(q: Independent, draws: Draws, samples: int = 1) -> Tensor:
    """Return reparameterised draws mean + scale · ε, (S, M·B, D) from q with batch shape (S, B).

    The M draws are folded into the batch axis, draw by draw: [draw 1 of all B, draw 2 of all B].
    """
    mean, scale = q.base_dist.mean, q.base_dist.stddev
    stack, batch, features = mean.shape
    noise = draws.normal(stack // len(draws), samples, batch, features).flatten(0, 1)
    return (mean.unsqueeze(1) + scale.unsqueeze(1) * noise).flatten(1, 2)


def initialise(network: nn.Module, draws: Draws) -> None:
    """Fill every parameter: weights and biases uniform on ±1/√fan-in, norms at scale 1, shift 0.

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
    numbers = draws.uniform(networks, *parameter.shape[1:]).flatten(0, 1)
    parameter.copy_((2 * numbers - 1) * bound)


def replica(tensors: Mapping[str, Tensor], r: int, replicas: int) -> dict[str, Tensor]:
    """Return replica r's share of stacked tensors (R·m, …), a stack of m, copied."""
    return {
        name: tensor.detach().unflatten(0, (replicas, -1))[r].clone()
        for name, tensor in tensors.items()
    }


def kl_to_standard_normal(q: Independent) -> Tensor:
    """Return KL(q || N(0, I)) in nats over the batch shape of a diagonal Gaussian q."""
    second_moment = q.base_dist.mean.square() + q.base_dist.variance
    return (0.5 * second_moment + _HALF_LOG_2_PI).sum(dim=-1) - q.entropy()


def log_prob(p: Distribution, x: Tensor) -> Tensor:
    """Return log p(x), typed."""
    return p.log_prob(x)
