"""Codes brought into the plane, so that they can be drawn; the same codes give the same plane.

Distances between far groups mean little in such a plane, and neither do its units.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PERPLEXITY = 30.0
_ITERATIONS = 500
_FEWEST = 4


def tsne(codes: NDArray[Any]) -> NDArray[Any]:
    """Return finite codes (N, D) in the plane, (N, 2), by t-SNE from their principal axes.

    Visualizing Data using t-SNE (van der Maaten, Hinton, 2008). Codes of one or two dimensions,
    and those that are too few or all equal, are returned as they are.
    """
    standard = _standard(codes)
    if _is_plain(standard):
        return _plain(codes)
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(_PERPLEXITY, (len(codes) - 1) / 3)
    model = TSNE(init="pca", perplexity=perplexity, max_iter=_ITERATIONS, random_state=0)
    with threadpool_limits(limits=1):  # sums of several threads have no order
        plane: NDArray[Any] = model.fit_transform(standard)
    return plane


def has_umap() -> bool:
    """Return whether umap-learn, which nothing here depends on, is installed."""
    return find_spec("umap") is not None


def umap(codes: NDArray[Any]) -> NDArray[Any]:
    """Return finite codes (N, D) in the plane, (N, 2), by UMAP where it is installed.

    UMAP: Uniform Manifold Approximation and Projection for Dimension Reduction (McInnes, Healy,
    Melville, 2018).
    """
    standard = _standard(codes)
    if _is_plain(standard):
        return _plain(codes)
    neighbours = min(15, len(codes) - 1)
    model = import_module("umap").UMAP(n_neighbors=neighbours, random_state=0, n_jobs=1)
    plane: NDArray[Any] = model.fit_transform(standard)
    return plane


def _standard(codes: NDArray[Any]) -> NDArray[np.float64]:
    """Return codes around zero in units of their largest value, so that squares do not overflow.

    A constant stays a constant.
    """
    wide = codes.astype(np.float64)
    centred = wide - wide.mean(axis=0)
    largest = np.abs(centred).max()
    seen = largest > 1e-6 * np.abs(wide).max()
    standard: NDArray[np.float64] = centred / largest if seen else np.zeros_like(centred)
    return standard


def _is_plain(standard: NDArray[np.float64]) -> bool:
    return standard.shape[1] <= 2 or len(standard) < _FEWEST or not standard.any()


def _plain(codes: NDArray[Any]) -> NDArray[Any]:
    """Return the first two values of each code, zero for one that is missing."""
    return np.pad(codes[:, :2], ((0, 0), (0, max(0, 2 - codes.shape[1]))))
