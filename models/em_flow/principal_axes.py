"""Principal axes of data, and moments of weighted points."""

import math
from typing import final

import torch
from torch import Tensor, nn

VARIANCE_FLOOR = 1e-4
"""Least variance, in units of the mean variance of the features over all points."""


@final
class PrincipalAxes(nn.Module):
    """S copies of the principal axes of data: x = m + W z + ε, with ε ~ N(0, σ²) orthogonal to W.

    W (F, D) is orthonormal, so p(x) = p(z) N(ε; 0, σ² I) with ε in F - D dimensions. σ² is the
    mean variance there, its maximum likelihood estimate: Probabilistic Principal Component
    Analysis (Tipping, Bishop, 1999), equation 8.
    """

    mean: Tensor
    axes: Tensor
    log_variance: Tensor

    def __init__(self, stack: int, features: int, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(stack, 1, features))
        self.register_buffer("axes", torch.eye(features, size).repeat(stack, 1, 1))
        self.register_buffer("log_variance", torch.zeros(stack, 1))

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Fit the axes to x (N, F)."""
        size, centred = self.axes.shape[2], (x - x.mean(0)).double()
        variance, axes = torch.linalg.eigh(centred.T @ centred / len(x))
        residual = variance[:-size].mean().clamp(min=VARIANCE_FLOOR * variance.mean())
        self.mean.copy_(x.mean(0))
        self.axes.copy_(axes[:, -size:].flip(1))
        self.log_variance.copy_(residual.clamp(min=torch.finfo(x.dtype).tiny).log())

    def transform(self, x: Tensor) -> Tensor:
        """Return the coordinates z (S, N, D) of x (N, F)."""
        return (x - self.mean) @ self.axes

    def residual_log_prob(self, x: Tensor) -> Tensor:
        """Return log N(ε; 0, σ² I), (S, N), of x (N, F)."""
        centred = x - self.mean
        residual = centred - centred @ self.axes @ self.axes.mT
        dimensions = self.axes.shape[1] - self.axes.shape[2]
        squares = residual.square().sum(-1) * (-self.log_variance).exp()
        return -0.5 * (squares + dimensions * (self.log_variance + math.log(2 * math.pi)))

    def inverse_transform(self, z: Tensor, noise: Tensor) -> Tensor:
        """Return x (S, N, F) of z (S, N, D), with ε made from standard normal noise (S, N, F)."""
        residual = noise - noise @ self.axes @ self.axes.mT
        scale = (0.5 * self.log_variance).exp().unsqueeze(-1)
        return self.mean + z @ self.axes.mT + scale * residual


def weighted_moments(points: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Return means (S, D) and covariances (S, D, D), double, of points (N, D) with weights (S, N).

    They are regularised by one pseudo-point with the moments of all points, and by a floor on the
    variances.
    """
    z, u = points.double(), u.double()
    mass = u.sum(-1)[:, None] + 1
    centre = z.mean(0)
    z = z - centre
    whole = z.T @ z / len(z)
    mean = u @ z / mass
    second = (torch.einsum("sn,ni,nj->sij", u, z, z) + whole) / mass.unsqueeze(-1)
    variance = whole.diagonal().mean()
    floor = VARIANCE_FLOOR * torch.where(variance > 0, variance, 1.0)
    covariance = second - mean.unsqueeze(-1) * mean.unsqueeze(1)
    return mean + centre, covariance + floor * torch.eye(z.shape[1], device=z.device)
