"""Projections of codes to two dimensions, deterministic for given codes.

Neither the distances between distant groups nor the units of a projection are meaningful.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PERPLEXITY = 30.0
_ITERATIONS = 500
_MIN_POINTS = 4


def tsne(codes: NDArray[Any]) -> NDArray[Any]:
    """Return the projection (N, 2) of finite codes (N, D) by t-SNE, initialised by PCA.

    Visualizing Data using t-SNE (van der Maaten, Hinton, 2008). Codes of one or two dimensions,
    and codes that are too few or all equal, are not transformed.
    """
    scaled = _scale(codes)
    if _needs_no_projection(scaled):
        return _first_two(codes)
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(_PERPLEXITY, (len(codes) - 1) / 3)
    model = TSNE(init="pca", perplexity=perplexity, max_iter=_ITERATIONS, random_state=0)
    with threadpool_limits(limits=1):  # threads would add up in a varying order
        projection: NDArray[Any] = model.fit_transform(scaled)
    return projection


def has_umap() -> bool:
    """Return whether the optional package umap-learn is installed."""
    return find_spec("umap") is not None


def umap(codes: NDArray[Any]) -> NDArray[Any]:
    """Return the projection (N, 2) of finite codes (N, D) by UMAP, which must be installed.

    UMAP: Uniform Manifold Approximation and Projection for Dimension Reduction (McInnes, Healy,
    Melville, 2018).
    """
    scaled = _scale(codes)
    if _needs_no_projection(scaled):
        return _first_two(codes)
    neighbours = min(15, len(codes) - 1)
    model = import_module("umap").UMAP(n_neighbors=neighbours, random_state=0, n_jobs=1)
    projection: NDArray[Any] = model.fit_transform(scaled)
    return projection


def _scale(codes: NDArray[Any]) -> NDArray[np.float64]:
    """Return codes centred and divided by their largest value, so that squares do not overflow.

    Codes that are equal up to rounding become zero.
    """
    values = codes.astype(np.float64)
    centred = values - values.mean(axis=0)
    largest = np.abs(centred).max()
    varies = largest > 1e-6 * np.abs(values).max()
    scaled: NDArray[np.float64] = centred / largest if varies else np.zeros_like(centred)
    return scaled


def _needs_no_projection(scaled: NDArray[np.float64]) -> bool:
    return scaled.shape[1] <= 2 or len(scaled) < _MIN_POINTS or not scaled.any()


def _first_two(codes: NDArray[Any]) -> NDArray[Any]:
    """Return the first two dimensions of the codes, (N, 2), padded with zeros."""
    return np.pad(codes[:, :2], ((0, 0), (0, max(0, 2 - codes.shape[1]))))
