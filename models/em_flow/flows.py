"""Normalizing flows stacked over replicas and clusters, and evaluated together."""

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.func import functional_call, vmap
from zuko.flows import MAF, NSF
from zuko.lazy import LazyComposedTransform, LazyTransform, UnconditionalTransform
from zuko.transforms import AdditiveTransform, LULinearTransform

from .._kit.distributions import diagonal_normal, log_prob
from .._kit.draws import Draws

# importing zuko disables argument validation for all distributions: restore torch's default
Distribution.set_default_validate_args(__debug__)


@final
class FlowStack(nn.Module):
    """S normalizing flows: z = f_T ∘ … ∘ f_1(L U x + b) of points x (S, B, D), with z ~ N(0, I).

    An affine map with a lower and an upper triangular factor is followed by T of zuko's
    autoregressive transforms in two passes, which are couplings that also transform the features
    they condition on. Each has a perceptron of two hidden layers. With T = 0 a flow is a Gaussian.

    One zuko module holds the parameters and buffers of all S flows along a leading axis, and
    `vmap` calls it with those of one flow at a time. Masked Autoregressive Flow for Density
    Estimation (Papamakarios et al., 2017), Neural Spline Flows (Durkan et al., 2019).
    """

    def __init__(
        self,
        stack: int,
        features: int,
        *,
        coupling: str,
        transforms: int,
        hidden: int,
        bins: int,
    ) -> None:
        super().__init__()
        self.features = features
        # zuko draws initial parameters from torch's global generator, and they are replaced
        with torch.device("cpu"), torch.random.fork_rng(devices=[]):
            layers = _layers(features, coupling, transforms, (hidden, hidden), bins)
            self.flow = _Flow(layers)
        _stack_parameters(self.flow, stack)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return z (S, B, D) and log |det dz/dx| (S, B)."""
        z, log_volume = self._transform(x, inverse=False)
        return z, log_volume

    def inverse(self, z: Tensor) -> Tensor:
        """Return the points x (S, B, D) of z (S, B, D)."""
        (x,) = self._transform(z, inverse=True)
        return x

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x) = log N(z; 0, I) + log |det dz/dx|, (S, B), of x (S, B, D)."""
        z, log_volume = self(x)
        base = diagonal_normal(torch.zeros_like(z), torch.ones_like(z))
        return log_prob(base, z) + log_volume

    @torch.no_grad()
    def initialise(self, draws: Draws) -> None:
        """Fill perceptrons uniformly on ±1/√fan-in, as torch does; affine maps are the identity.

        Perceptrons with small outputs make a spline close to the identity.
        """
        for module in self.flow.modules():
            for parameter in module.parameters(recurse=False):
                parameter.zero_()
                if isinstance(module, nn.Linear):
                    uniform = draws.uniform(len(parameter) // len(draws), *parameter.shape[1:])
                    bound = 1 / math.sqrt(module.in_features)
                    parameter.copy_((2 * uniform.flatten(0, 1) - 1) * bound)
        self.flow.scale.LU.copy_(torch.eye(self.features))

    @torch.no_grad()
    def set_whitening(self, mean: Tensor, covariance: Tensor) -> None:
        """Set the affine maps to transform N(mean (S, D), covariance (S, D, D)) to N(0, I)."""
        factor = torch.linalg.cholesky_ex(covariance).L
        eye = torch.eye(self.features, dtype=factor.dtype, device=factor.device)
        lower = torch.linalg.solve_triangular(factor, eye, upper=False)
        self.flow.scale.LU.copy_(lower)
        self.flow.shift.shift.copy_(-(lower @ mean.unsqueeze(-1)).squeeze(-1))

    def _transform(self, points: Tensor, *, inverse: bool) -> tuple[Tensor, ...]:
        tensors = {**dict(self.flow.named_parameters()), **dict(self.flow.named_buffers())}

        def transform(tensors: dict[str, Tensor], points: Tensor) -> tuple[Tensor, ...]:
            return functional_call(self.flow, tensors, (points, inverse))

        return vmap(transform)(tensors, points)


class _Flow(nn.Module):
    """The transforms of a flow in one module, so that `functional_call` can run them."""

    def __init__(self, layers: Sequence[LazyTransform]) -> None:
        super().__init__()
        self.scale, self.shift = layers[:2]
        self.couplings = nn.ModuleList(layers[2:])

    def forward(self, points: Tensor, inverse: bool) -> tuple[Tensor, ...]:
        transform = LazyComposedTransform(self.scale, self.shift, *self.couplings)()
        return (transform.inv(points),) if inverse else transform.call_and_ladj(points)


def _layers(
    features: int, coupling: str, transforms: int, hidden: tuple[int, ...], bins: int
) -> list[LazyTransform]:
    affine = [
        UnconditionalTransform(LULinearTransform, LU=torch.eye(features)),
        UnconditionalTransform(AdditiveTransform, shift=torch.zeros(features)),
    ]
    if transforms == 0:
        return affine
    if coupling == "spline":
        flow = NSF(features, transforms=transforms, bins=bins, passes=2, hidden_features=hidden)
    else:
        flow = MAF(features, transforms=transforms, passes=2, hidden_features=hidden)
    return [*affine, *flow.transform.transforms]


def _stack_parameters(module: nn.Module, stack: int) -> None:
    """Repeat every parameter and buffer of a module along a new leading axis."""
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            setattr(part, name, nn.Parameter(_repeated(parameter.detach(), stack)))
        for name, buffer in list(part.named_buffers(recurse=False)):
            setattr(part, name, _repeated(buffer, stack))


def _repeated(tensor: Tensor, stack: int) -> Tensor:
    return tensor.repeat(stack, *[1] * tensor.dim())
