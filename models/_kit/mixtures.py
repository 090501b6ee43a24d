"""Gaussian mixtures and k-means, stacked over replicas and starts and fitted in log space."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import Independent

from .draws import Draws
from .loop import chunk_size
from .precision import full_precision

# added to every variance, in units of the variance of its feature over all points
_VARIANCE_FLOOR = 1e-4

# points added to every component, so that one without points keeps its mean and a unit variance
_PSEUDO_COUNT = 1e-6

# points whose statistics are in memory at once
_CHUNK = 2**16

# points that an estimator which copies them is given at most
_MANY = 200_000


@final
class GaussianMixture(nn.Module):
    """S mixtures of K Gaussians over D features, held as buffers because EM fits them.

    p(z) = Σ_k π_k N(z; μ_k, L_k L_kᵀ); log π (S, K), μ (S, K, D), L (S, K, D, D) lower triangular.
    Initially all components are N(0, I), so that every responsibility is 1/K.
    """

    log_weights: Tensor
    means: Tensor
    scale_tril: Tensor

    def __init__(self, stack: int, components: int, features: int) -> None:
        super().__init__()
        shape = (stack, components)
        self.register_buffer("log_weights", torch.full(shape, -math.log(components)))
        self.register_buffer("means", torch.zeros(*shape, features))
        self.register_buffer("scale_tril", torch.eye(features).repeat(*shape, 1, 1))

    def log_joint(self, z: Tensor) -> Tensor:
        """Return log π_k + log N(z; μ_k, S_k), shape (S, N, K), of z (S, N, D).

        With S⁻¹ = W Wᵀ and W = L⁻ᵀ this is one matrix product for all points and components, where
        torch's MultivariateNormal solves a triangular system for each of them.
        """
        return self.log_weights.unsqueeze(1) - self._negative_log_density(z)

    def log_responsibilities(self, z: Tensor) -> Tensor:
        """Return log p(k | z), shape (S, N, K)."""
        return self.log_joint(z).log_softmax(dim=-1)

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log p(z), shape (S, N)."""
        return self.log_joint(z).logsumexp(dim=-1)

    def cross_entropy(self, q: Independent, whitening: Tensor) -> Tensor:
        """Return -E_q log N(z; μ_k, S_k), shape (S, B, K), of diagonal Gaussians q (S, B, D).

        ½ [D log 2π + log|S_k| + (m - μ_k)ᵀ S_k⁻¹ (m - μ_k) + tr(S_k⁻¹ diag s²)]. Minus the
        entropy of q, it is KL(q ‖ N_k).
        """
        precision = whitening.square().sum(dim=-1)  # diagonal of S⁻¹, (S, K, D)
        with full_precision(precision.device):
            trace = q.base_dist.variance @ precision.transpose(1, 2)
        return self._negative_log_density(q.base_dist.mean, whitening) + 0.5 * trace

    def sample_component(self, component: int, noise: Tensor) -> Tensor:
        """Return μ_c + L_c ε, shape (S, n, D), of noise ε (S, n, D)."""
        return self.means[:, component, None] + noise @ self.scale_tril[:, component].transpose(
            1, 2
        )

    @torch.no_grad()
    def copy_from(self, fitted: "Components") -> None:
        """Copy components of shape (S, K, …), with NaN for matrices that are not covariances."""
        factor, failed = torch.linalg.cholesky_ex(fitted.covariances)
        self.log_weights.copy_(fitted.log_weights)
        self.means.copy_(fitted.means)
        self.scale_tril.copy_(factor.masked_fill((failed > 0)[..., None, None], math.nan))

    def whitening(self) -> Tensor:
        """Return W = L⁻ᵀ of every component, (S, K, D, D), with S⁻¹ = W Wᵀ."""
        eye = torch.eye(self.means.shape[-1], device=self.means.device)
        return torch.linalg.solve_triangular(self.scale_tril, eye, upper=False).transpose(-1, -2)

    def _negative_log_density(self, z: Tensor, whitening: Tensor | None = None) -> Tensor:
        stack, components, features = self.means.shape
        w = self.whitening() if whitening is None else whitening
        with full_precision(z.device):
            offset = (self.means.unsqueeze(2) @ w).view(stack, 1, -1)
            white = z @ w.transpose(1, 2).reshape(stack, features, -1) - offset
        squares = white.unflatten(-1, (components, features)).square().sum(dim=-1)
        log_volume = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1).unsqueeze(1)
        return 0.5 * (squares + features * math.log(2 * math.pi)) + log_volume


@dataclass(frozen=True)
class Components:
    """Log-weights (…, K), means (…, K, D) and covariances (…, K, D, D), as updated by EM."""

    log_weights: Tensor
    means: Tensor
    covariances: Tensor

    def where(self, chosen: Tensor, other: "Components") -> "Components":
        """Return these components where `chosen` (R, M) is true, and the others elsewhere."""
        one, two, three = (chosen.reshape(*chosen.shape, *[1] * n) for n in (1, 2, 3))
        return Components(
            torch.where(one, self.log_weights, other.log_weights),
            torch.where(two, self.means, other.means),
            torch.where(three, self.covariances, other.covariances),
        )

    def select_start(self, start: Tensor) -> "Components":
        """Return one of the M starts (R, M, …) of each replica, by its index (R,)."""
        rows = torch.arange(len(start), device=start.device)
        return Components(
            self.log_weights[rows, start], self.means[rows, start], self.covariances[rows, start]
        )


@torch.no_grad()
def fit_mixture(
    z: Tensor,
    components: int,
    draws: Draws,
    *,
    starts: int = 1,
    covariance: str = "full",
    iterations: int = 100,
    tolerance: float = 1e-4,
) -> tuple[Components, Tensor]:
    """Return mixtures (R, M, …) of points z (R, N, D) and their log-likelihoods (R, M).

    Expectation-maximisation from M starts by k-means++ and eleven rounds of k-means. Each start
    stops once its mean log-likelihood grows by less than `tolerance` nats.
    Pattern Recognition and Machine Learning (Bishop, 2006), section 9.2.2.
    """
    points = _Points(z, covariance)
    centres = _kmeans_plus_plus(points.z, components, starts, draws)
    for _ in range(11):
        start = points.maximise(points.nearest(centres)[0], centres)
        centres = start.means
    return _run_em(points, start, iterations, tolerance)


@torch.no_grad()
def refit_mixture(
    z: Tensor,
    mixture: GaussianMixture,
    *,
    covariance: str = "full",
    iterations: int = 100,
    tolerance: float = 1e-4,
) -> tuple[Components, Tensor]:
    """Return mixtures (R, 1, …) of points z (R, N, D) as `fit_mixture`, but start at `mixture`.

    The order of the components is kept, so cluster numbers keep their meaning.
    """
    points = _Points(z, covariance)
    r = mixture.log_responsibilities(z).double().exp().unsqueeze(2)
    means = points.standardised(mixture.means).unsqueeze(1)
    start = points.maximise(points.weighted(r), means)
    return _run_em(points, start, iterations, tolerance)


def random_subset(n: int, draws: Draws) -> Tensor:
    """Return the indices, (R, n'), of a random subset of at most 20,000 of n points per replica.

    That many codes are enough to estimate centres, or the K · D² numbers of a mixture.
    """
    return draws.permutation(n)[:, :20_000]


def some_of_many(x: Tensor, seed: int) -> Tensor:
    """Return x (N, F), or 200,000 of its points, drawn at random, where there are more.

    For estimators that copy their points, in double precision for a mixture: x may be a mapped
    file that does not fit into memory.
    """
    if len(x) <= _MANY:
        return x
    order = Draws([seed], x.device, stream="subset").permutation(len(x))[0]
    return x[order[:_MANY].sort().values]


@torch.no_grad()
def fit_kmeans(
    z: Tensor, components: int, draws: Draws, *, starts: int = 10, iterations: int = 100
) -> Tensor:
    """Return the k-means centres (R, K, D) of points z (R, N, D), the best of several starts.

    Least Squares Quantization in PCM (Lloyd, 1982).
    """
    points = _Points(z, "diag", standardise=False)
    centres = _kmeans_plus_plus(points.z, components, starts, draws)
    closeness = torch.full(centres.shape[:2], -math.inf, dtype=z.dtype, device=z.device)
    for done in range(iterations):
        nearest, closeness = points.nearest(centres)
        updated = points.maximise(nearest, centres).means
        if _may_ask(done, z.device) and torch.equal(updated, centres):
            break
        centres = updated
    best = centres[torch.arange(len(z), device=z.device), closeness.argmax(dim=1)]
    return (best + points.shift).to(z.dtype)


@final
class _Points:
    """Points (R, N, D) with statistics in which every Gaussian's log-density is linear.

    φ(z) = (z_i z_j, i ≤ j; z; 1), or (z_i²; z; 1) for diagonal covariances, so the E-step and the
    M-step of all starts are one matrix product each. The points are standardised and in double
    precision, because second moments about zero would lose all digits of float32.

    Many points are visited in chunks, whose statistics are made anew each time: those of all of
    them, and their responsibilities, take a hundred times the memory of the points.
    """

    def __init__(self, z: Tensor, covariance: str, *, standardise: bool = True) -> None:
        z = z.detach().double()
        self.shift = z.mean(dim=1, keepdim=True)
        spread = z.std(dim=1, correction=0, keepdim=True)
        usable = (spread > 1e-6 * self.shift.abs()) & standardise
        self.scale = torch.where(usable, spread, 1.0)
        self.z = self.standardised(z)
        features = torch.arange(z.shape[2], device=z.device)
        pairs = torch.stack([features, features])
        if covariance == "full":
            pairs = torch.triu_indices(len(features), len(features), device=z.device)
        self.rows, self.columns = pairs[0], pairs[1]
        self._chunks = self.z.split(chunk_size(z.device, _CHUNK), dim=1)
        self._kept = [self._statistics(self.z)] if len(self._chunks) == 1 else []

    def standardised(self, z: Tensor) -> Tensor:
        """Return z (R, …, D) in the units of the points."""
        return (z.double() - self.shift) / self.scale

    def expect(self, components: Components) -> tuple[Tensor, Tensor]:
        """Return the E-step of components (R, M, …): Σ_n r_nk φ(z_n) and the log-likelihood.

        The sums are (R, M, K, P), the log-likelihood is the mean over points, (R, M).
        """
        coefficients, sums, total = self._coefficients(components), [], []
        for statistics in self._visit():
            log_joint = _linear(statistics, coefficients)
            log_likelihood = log_joint.logsumexp(dim=-1, keepdim=True)
            sums.append(_weighted(statistics, (log_joint - log_likelihood).exp()))
            total.append(log_likelihood.sum(dim=(1, 3)))
        return _sum(sums), _sum(total) / self.z.shape[1]

    def nearest(self, centres: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sums of φ over each centre's nearest points, and the closeness (R, M).

        The centres are (R, M, K, D), the sums (R, M, K, P). The closeness is minus half the mean
        squared distance to the nearest centre, up to a constant.
        """
        quadratic = centres.new_zeros(*centres.shape[:3], len(self.rows))
        constant = -0.5 * centres.square().sum(dim=-1, keepdim=True)
        coefficients, sums, total = torch.cat([quadratic, centres, constant], dim=-1), [], []
        for statistics in self._visit():
            closeness = _linear(statistics, coefficients)
            best, index = closeness.max(dim=-1)
            one_hot = torch.zeros_like(closeness).scatter_(-1, index.unsqueeze(-1), 1.0)
            sums.append(_weighted(statistics, one_hot))
            total.append(best.sum(dim=1))
        return _sum(sums), _sum(total) / self.z.shape[1]

    def weighted(self, r: Tensor) -> Tensor:
        """Return Σ_n r_nk φ(z_n), (R, M, K, P), for responsibilities r (R, N, M, K)."""
        shares = r.split(self._chunks[0].shape[1], dim=1)
        return _sum([_weighted(one, u) for one, u in zip(self._visit(), shares, strict=True)])

    def maximise(self, sums: Tensor, means: Tensor) -> Components:
        """Return the components (R, M, …) of the M-step for sums of φ (R, M, K, P).

        A component without points keeps its mean in `means` (R, M, K, D), with unit variance.
        """
        pairs, features = len(self.rows), self.z.shape[2]
        second, first, mass = sums.split([pairs, features, 1], dim=-1)
        total = mass + _PSEUDO_COUNT
        mean = (first + _PSEUDO_COUNT * means) / total
        i, j = self.rows, self.columns
        products = mass * mean[..., i] * mean[..., j]
        second = second - mean[..., i] * first[..., j] - first[..., i] * mean[..., j] + products
        ridge = torch.where(i == j, _PSEUDO_COUNT / total + _VARIANCE_FLOOR, 0.0)
        covariances = mean.new_zeros(*mean.shape, features)
        covariances[..., i, j] = covariances[..., j, i] = second / total + ridge
        return Components(total.squeeze(-1).log().log_softmax(dim=-1), mean, covariances)

    def unstandardised(self, components: Components) -> Components:
        """Return components (R, M, …) in the original units of the points."""
        scale, shift = self.scale.unsqueeze(1), self.shift.unsqueeze(1)
        area = scale.unsqueeze(-1) * scale.unsqueeze(-2)
        means, covariances = components.means * scale + shift, components.covariances * area
        return Components(components.log_weights, means, covariances)

    def _coefficients(self, components: Components) -> Tensor:
        """Return w (R, M, K, P), with w · φ(z) = log π_k + log N(z; μ_k, S_k)."""
        factor = torch.linalg.cholesky_ex(components.covariances).L
        precision = torch.cholesky_inverse(factor)
        linear = (precision @ components.means.unsqueeze(-1)).squeeze(-1)
        log_volume = factor.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
        constant = components.log_weights - log_volume
        constant = constant - 0.5 * (linear * components.means).sum(dim=-1)
        constant = constant - 0.5 * self.z.shape[2] * math.log(2 * math.pi)
        twice = torch.where(self.rows == self.columns, 0.5, 1.0)  # each pair i < j counts twice
        quadratic = -twice * precision[..., self.rows, self.columns]
        return torch.cat([quadratic, linear, constant.unsqueeze(-1)], dim=-1)

    def _visit(self) -> Iterator[Tensor]:
        """Yield φ(z), (R, n, P), of each chunk."""
        return iter(self._kept) if self._kept else map(self._statistics, self._chunks)

    def _statistics(self, z: Tensor) -> Tensor:
        products = z[..., self.rows] * z[..., self.columns]
        return torch.cat([products, z, torch.ones_like(z[..., :1])], dim=2)


def _linear(statistics: Tensor, coefficients: Tensor) -> Tensor:
    """Return w · φ(z), (R, n, M, K), of φ (R, n, P) and coefficients w (R, M, K, P)."""
    product = statistics @ coefficients.flatten(1, 2).transpose(1, 2)
    return product.unflatten(2, coefficients.shape[1:3])


def _weighted(statistics: Tensor, r: Tensor) -> Tensor:
    """Return Σ_n r_nk φ(z_n), (R, M, K, P), of φ (R, n, P) and r (R, n, M, K)."""
    sums = statistics.transpose(1, 2) @ r.flatten(2)
    return sums.unflatten(2, r.shape[2:]).movedim(1, -1)


def _sum(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.stack(parts).sum(dim=0)


def _run_em(
    points: _Points, start: Components, iterations: int, tolerance: float
) -> tuple[Components, Tensor]:
    components, value = start, start.means.new_full(start.means.shape[:2], -math.inf)
    improving = torch.ones_like(value, dtype=torch.bool)
    for done in range(iterations):
        previous = value
        sums, value = points.expect(components)
        improving = improving & (value - previous > tolerance)
        if _may_ask(done, value.device) and not improving.any():
            break
        components = points.maximise(sums, components.means).where(improving, components)
    return points.unstandardised(components), value - points.scale.log().sum(dim=-1)


def _may_ask(iteration: int, device: torch.device) -> bool:
    """Return whether to ask if a fit has converged: on a GPU rarely, since asking waits for it.

    Further iterations leave a fit that has converged as it is.
    """
    return device.type == "cpu" or iteration % 10 == 9


def _kmeans_plus_plus(z: Tensor, components: int, starts: int, draws: Draws) -> Tensor:
    """Return centres (R, M, K, D), each a point drawn in proportion to its squared distance.

    k-means++: The Advantages of Careful Seeding (Arthur & Vassilvitskii, 2007), section 2.2.
    """
    replicas, n, _ = z.shape
    rows = torch.arange(replicas, device=z.device).unsqueeze(1)
    uniform = draws.uniform(starts, components).to(z.dtype)
    distance = z.new_ones(replicas, starts, n)
    centres = []
    for k in range(components):
        cumulative = distance.cumsum(dim=2)
        target = uniform[..., k, None] * cumulative[..., -1:]
        index = torch.searchsorted(cumulative, target, right=True).squeeze(2).clamp(max=n - 1)
        centres.append(z[rows, index])
        squares = torch.cdist(centres[-1], z).square()
        distance = squares if k == 0 else torch.minimum(distance, squares)
    return torch.stack(centres, dim=2)
