"""Data in Gaussian terms: their principal axes, and the moments of weighted points."""

import math
from typing import final

import torch
from torch import Tensor, nn

FLOOR = 1e-4
"""Least variance, in units of the mean variance of a feature over all points."""


@final
class PrincipalAxes(nn.Module):
    """S times the principal axes of data: x = m + W z + ε, with ε ~ N(0, σ²) across the axes W.

    W (F, D) is orthonormal, so p(x) = p(z) N(ε; 0, σ² I) in the F - D dimensions across. σ² is
    the mean variance there, the estimate of greatest likelihood: Probabilistic Principal Component
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
        """Find the axes of x (N, F)."""
        size, centred = self.axes.shape[2], (x - x.mean(0)).double()
        variance, axes = torch.linalg.eigh(centred.T @ centred / len(x))
        across = variance[:-size].mean().clamp(min=FLOOR * variance.mean())
        self.mean.copy_(x.mean(0))
        self.axes.copy_(axes[:, -size:].flip(1))
        self.log_variance.copy_(across.clamp(min=torch.finfo(x.dtype).tiny).log())

    def points(self, x: Tensor) -> Tensor:
        """Return z (S, N, D) of x (N, F)."""
        return (x - self.mean) @ self.axes

    def log_prob_across(self, x: Tensor) -> Tensor:
        """Return log N(ε; 0, σ² I), (S, N), of x (N, F)."""
        centred = x - self.mean
        across = centred - centred @ self.axes @ self.axes.mT
        dimensions = self.axes.shape[1] - self.axes.shape[2]
        squares = across.square().sum(-1) * (-self.log_variance).exp()
        return -0.5 * (squares + dimensions * (self.log_variance + math.log(2 * math.pi)))

    def place(self, z: Tensor, noise: Tensor) -> Tensor:
        """Return x (S, N, F) of z (S, N, D) and noise (S, N, F), less its part along W."""
        across = noise - noise @ self.axes @ self.axes.mT
        scale = (0.5 * self.log_variance).exp().unsqueeze(-1)
        return self.mean + z @ self.axes.mT + scale * across


def moments(points: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Return means (S, D) and covariances (S, D, D), double, of points (N, D) with weights (S, N).

    One point of the whole data is added to each, and the variances have a floor.
    """
    z, u = points.double(), u.double()
    mass = u.sum(-1)[:, None] + 1
    centre = z.mean(0)
    z = z - centre
    whole = z.T @ z / len(z)
    mean = u @ z / mass
    second = (torch.einsum("sn,ni,nj->sij", u, z, z) + whole) / mass.unsqueeze(-1)
    variance = whole.diagonal().mean()
    floor = FLOOR * torch.where(variance > 0, variance, 1.0)
    covariance = second - mean.unsqueeze(-1) * mean.unsqueeze(1)
    return mean + centre, covariance + floor * torch.eye(z.shape[1], device=z.device)
