"""Initial partitions and mixtures for training."""

import warnings
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from torch import Tensor

from ...errors import DataError
from .draws import Draws
from .mixtures import GaussianMixture, fit_kmeans, fit_mixture, some_of_many
from .neighbours import assortativity, neighbours

_KMEANS_STARTS = 3


def initial_responsibilities(
    start: str, x: Tensor, K: int, seeds: Sequence[int], draws: Draws
) -> Tensor:
    """Return initial u (R, N, K) of points x (N, F): random, uniform, or a k-means partition."""
    if start == "random":
        return random_responsibilities(len(x), K, draws)
    if start == "uniform":
        return torch.full((len(seeds), len(x), K), 1 / K, device=x.device)
    labels = torch.stack([kmeans_partition(x, K, seed) for seed in seeds])
    return F.one_hot(labels, K).float()


def random_responsibilities(n: int, K: int, draws: Draws) -> Tensor:
    """Return draws from Dirichlet(1), (R, n, K), for n points of every replica."""
    exponential = -torch.log1p(-draws.uniform(n, K))
    return exponential / exponential.sum(-1, keepdim=True)


def kmeans_partition(x: Tensor, K: int, seed: int) -> Tensor:
    """Return the labels (N,) of the best of three k-means partitions of x (N, F).

    scikit-learn finds them on a CPU, and `fit_kmeans` on a GPU, where the points are.
    """
    if len(x) < K:
        raise DataError(
            f"{len(x)} points are too few for {K} k-means clusters: lower n_components or set "
            "start=random"
        )
    if x.device.type != "cpu":
        return _kmeans_on_device(x, K, seed)
    with warnings.catch_warnings():  # with fewer distinct points than clusters, some stay empty
        warnings.simplefilter("ignore")
        fitted = KMeans(K, n_init=_KMEANS_STARTS, random_state=seed % 2**32)
        fitted.fit(some_of_many(x, seed).numpy())
    labels = fitted.labels_ if len(fitted.labels_) == len(x) else fitted.predict(x.numpy())
    return torch.as_tensor(labels, dtype=torch.int64)


def _kmeans_on_device(x: Tensor, K: int, seed: int) -> Tensor:
    draws = Draws([seed], x.device, stream="kmeans")
    centres = fit_kmeans(x.unsqueeze(0), K, draws, starts=_KMEANS_STARTS)
    return torch.cdist(x, centres[0]).argmin(dim=1)


@torch.no_grad()
def fit_best_mixture(
    mixture: GaussianMixture,
    z: Tensor,
    embed: Callable[[Tensor], Tensor],
    x: Tensor,
    draws: Draws,
    *,
    starts: int,
    covariance: str,
) -> None:
    """Fit the mixture on codes z (R, N', D), keeping the best of several starts.

    The best start has clusters of the highest assortativity on a neighbour graph of x (N, F),
    where points are assigned by their codes `embed`(x), (R, n, D). Like the likelihood, this needs
    no labels. Among partitions into equally many clusters it is the best guide that was tried:
    docs/choosing.md.
    """
    K = mixture.means.shape[1]
    fitted, _ = fit_mixture(z, K, draws, starts=starts, covariance=covariance)
    index, nearest = neighbours(x)
    codes, scores = embed(x[index]), []
    for start in range(starts):
        mixture.copy_from(fitted.select_start(torch.full((len(z),), start, device=x.device)))
        scores.append(assortativity(mixture.log_joint(codes).argmax(dim=-1), nearest, K))
    mixture.copy_from(fitted.select_start(torch.stack(scores, dim=1).argmax(dim=1)))
