"""What a search maximises: how well clusters follow the neighbourhoods of the data.

The default objective, `score`, is the modularity of the clusters on one graph of nearest
neighbours that all trials and methods share. It needs no labels, gives 0 to a single cluster and
in expectation to random ones, and has no taste for spheres. Labels enter only by the objectives
that are named after them.
"""

import hashlib
import time
from dataclasses import dataclass
from itertools import combinations
from typing import final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from .errors import DataError, UsageError, did_you_mean
from .metrics import ami, contingency

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_WIDTH = 50  # principal components in which neighbours are looked for
_OBJECTIVES = {"score": "", "elbo": "", "acc": "hungarian", "nmi": "nmi", "ami": "ami"}
_OBJECTIVES |= {"ari": "ari"}
