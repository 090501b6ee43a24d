"""Labelled and structureless data on which choices without labels are tried.

Each family is a function of a random generator that returns points (N, F) and the class of each,
(N,); a structureless one has a single class. Other seeds give other data of the same family.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets

Floats = NDArray[np.float64]
Points = tuple[Floats, NDArray[np.int64]]
Family = Callable[[np.random.Generator], Points]


def blobs(rng: np.random.Generator, sizes: list[int], width: int, *, gap: float = 8.0) -> Points:
    """Return standard normal clusters of these sizes around centres of length `gap`."""
    centres = rng.normal(size=(len(sizes), width))
    centres *= gap / np.linalg.norm(centres, axis=1, keepdims=True)
    y = np.repeat(np.arange(len(sizes)), sizes)
    return centres[y] + rng.normal(size=(len(y), width)), y


def digits(rng: np.random.Generator) -> Points:
    """Return 1,500 of scikit-learn's handwritten digits."""
    data = datasets.load_digits()
    chosen = rng.permutation(len(data.target))[:1500]
    return data.data[chosen] / 16, data.target[chosen]


def counts(rng: np.random.Generator) -> Points:
    """Return log1p of Poisson counts of 300 genes, every point with its own depth."""
    sizes = [600, 250, 100, 50]
    base = rng.gamma(0.5, 2.0, 300)
    rates = base * np.exp(0.9 * rng.normal(size=(4, 300)) * (rng.random((4, 300)) < 0.3))
    y = np.repeat(np.arange(4), sizes)
    depth = np.exp(0.4 * rng.normal(size=(len(y), 1)))
    return np.log1p(rng.poisson(depth * rates[y]).astype(float)), y


def embeddings(rng: np.random.Generator) -> Points:
    """Return unit vectors of 64 values around 8 directions."""
    y = rng.integers(8, size=1200)
    x = rng.normal(size=(8, 64))[y] + 0.9 * rng.normal(size=(1200, 64))
    return x / np.linalg.norm(x, axis=1, keepdims=True), y


def outliers(rng: np.random.Generator) -> Points:
    """Return three blobs and five points far away, each of the class of the blob nearest to it."""
    x, y = blobs(rng, [300, 300, 300], 4)
    far = 60 * rng.normal(size=(5, 4))
    centres = np.stack([x[y == k].mean(axis=0) for k in range(3)])
    nearest = np.linalg.norm(far[:, None] - centres, axis=2).argmin(axis=1)
    return np.concatenate([x, far]), np.concatenate([y, nearest])


def moons(rng: np.random.Generator) -> Points:
    """Return two interleaved half-moons."""
    return datasets.make_moons(1000, noise=0.06, random_state=int(rng.integers(1 << 31)))


def circles(rng: np.random.Generator) -> Points:
    """Return a circle within a circle."""
    seed = int(rng.integers(1 << 31))
    return datasets.make_circles(1000, noise=0.04, factor=0.45, random_state=seed)


def varying_density(rng: np.random.Generator) -> Points:
    """Return three clusters in the plane with standard deviations of 0.3, 1 and 2.5."""
    y = rng.integers(3, size=1200)
    centres, scale = np.array([[0, 0], [6, 0], [3, 11]]), np.array([0.3, 1.0, 2.5])
    return centres[y] + scale[y, None] * rng.normal(size=(1200, 2)), y


def chain(rng: np.random.Generator) -> Points:
    """Return six clusters in a row that nearly touch."""
    y = rng.integers(6, size=1200)
    return np.stack([5.0 * y, np.zeros(1200)], axis=1) + rng.normal(size=(1200, 2)), y


def swiss_roll(rng: np.random.Generator) -> Points:
    """Return a rolled sheet with three gaps, which cut it into four pieces."""
    y = rng.integers(4, size=1400)
    t = 1.5 * np.pi * (1 + 2 * (y + 0.15 + 0.7 * rng.random(1400)) / 4)
    return np.stack([t * np.cos(t), 21 * rng.random(1400), t * np.sin(t)], axis=1), y


def nested(rng: np.random.Generator) -> Points:
    """Return three groups of three clusters each; the clusters are the classes."""
    group, part = np.divmod(rng.integers(9, size=1350), 3)
    outer, inner = 30 * np.eye(3, 6), 8 * np.eye(3, 6, k=3)
    return outer[group] + inner[part] + rng.normal(size=(1350, 6)), 3 * group + part


def heavy_tails(rng: np.random.Generator) -> Points:
    """Return four clusters of Student's t distribution with 2.5 degrees of freedom."""
    y = rng.integers(4, size=1200)
    return 14 * np.eye(4, 5)[y] + rng.standard_t(2.5, size=(1200, 5)), y


def noise_features(rng: np.random.Generator) -> Points:
    """Return five clusters in 10 features, among 190 that are noise."""
    x, y = blobs(rng, [250] * 5, 10, gap=12.0)
    return np.concatenate([x, rng.normal(size=(len(x), 190))], axis=1), y


def discrete(rng: np.random.Generator) -> Points:
    """Return answers from 1 to 5 to 12 questions by four types of people."""
    y = rng.choice(4, size=1200, p=[0.4, 0.3, 0.2, 0.1])
    mean = rng.uniform(1, 5, (4, 12))
    return np.clip(np.round(mean[y] + 0.7 * rng.normal(size=(1200, 12))), 1, 5), y


def customers(rng: np.random.Generator) -> Points:
    """Return three segments of customers by age, income, visits and basket, of 55, 30 and 15 %."""
    y = rng.choice(3, size=1000, p=[0.55, 0.3, 0.15])
    mean = np.array([[35, 10.2, 1.0, 3.0], [52, 10.9, 2.2, 3.9], [28, 9.7, 3.0, 2.2]])
    spread = np.array([6.0, 0.25, 0.3, 0.3])
    x = mean[y] + spread * rng.normal(size=(1000, 4))
    x[:, 1:] = np.exp(x[:, 1:])
    return x, y


def shipped(load: Callable[..., Points]) -> Family:
    """Return a data set of scikit-learn as a family, which has one member."""
    return lambda rng: load(return_X_y=True)


def gaussian(rng: np.random.Generator) -> Points:
    """Return one correlated Gaussian."""
    mix = rng.normal(size=(6, 6))
    return rng.normal(size=(1000, 6)) @ mix, np.zeros(1000, dtype=np.int64)


def box(rng: np.random.Generator) -> Points:
    """Return a uniform box with sides of different lengths."""
    return rng.random((1000, 3)) * [3.0, 2.0, 1.0], np.zeros(1000, dtype=np.int64)


def student(rng: np.random.Generator) -> Points:
    """Return one cloud of Student's t distribution with 4 degrees of freedom."""
    z, scale = rng.normal(size=(1000, 5)), rng.chisquare(4, (1000, 1)) / 4
    return z / np.sqrt(scale), np.zeros(1000, dtype=np.int64)


def sheet(rng: np.random.Generator) -> Points:
    """Return a curved sheet in three dimensions."""
    u, v = rng.uniform(-1, 1, (2, 1000))
    x = np.stack([u, v, 0.7 * u**2 - 0.4 * v**2], axis=1) + 0.02 * rng.normal(size=(1000, 3))
    return x, np.zeros(1000, dtype=np.int64)


CLUSTERED: Mapping[str, Family] = {
    "digits": digits,
    "counts": counts,
    "unbalanced": lambda rng: blobs(rng, [1500, 60, 20], 10),
    "embeddings": embeddings,
    "outliers": outliers,
    "blobs 4": lambda rng: blobs(rng, [250] * 4, 8),
    "skewed 5": lambda rng: blobs(rng, [700, 200, 60, 30, 10], 8),
    "blobs 30": lambda rng: blobs(rng, [50] * 30, 20, gap=10.0),
    "large": lambda rng: blobs(rng, [60_000, 20_000, 12_000, 6_000, 2_000], 6),
    "moons": moons,
    "circles": circles,
    "density": varying_density,
    "chain": chain,
    "swiss roll": swiss_roll,
    "nested": nested,
    "heavy tails": heavy_tails,
    "noise": noise_features,
    "discrete": discrete,
    "customers": customers,
    "wine": shipped(datasets.load_wine),
    "iris": shipped(datasets.load_iris),
    "cancer": shipped(datasets.load_breast_cancer),
}
STRUCTURELESS: Mapping[str, Family] = {
    "gaussian": gaussian,
    "box": box,
    "student": student,
    "sheet": sheet,
}
UNSCALED = ("digits", "embeddings", "chain")
"""Families whose features share a unit; those of the others are standardised one by one."""


def member(family: str, seed: int) -> Points:
    """Return the scaled points, float32, and the classes of one member of a family."""
    rng = np.random.default_rng([seed, sum(family.encode())])
    x, y = {**CLUSTERED, **STRUCTURELESS}[family](rng)
    if family not in UNSCALED:
        x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-9)
    return x.astype(np.float32), np.asarray(y, dtype=np.int64)
