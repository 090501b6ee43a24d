"""Datasets: scaled points, their split, and labels that only audits use."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from . import checks
from .scaling import Array, Floats, Scaling, Shape, fit_scaling

Labels = NDArray[np.int64]

SPLIT_SEED = 20170526


@final
@dataclass(frozen=True, eq=False)
class Content:
    """Raw data of a source: points (N, *shape), classes (N,), and a test part if published.

    `unit` divides all features if the source knows it, such as the largest value of a pixel.
    `columns` are the names of the features of a table. `widths` are the numbers of features of its
    columns if at least one of them is a vector, whose features share a unit. `label_names` are
    names of the sorted classes, if they have other names than their values.
    """

    x: Array
    y: Array | None = None
    x_test: Array | None = None
    y_test: Array | None = None
    unit: float | None = None
    columns: tuple[str, ...] = ()
    widths: tuple[int, ...] = ()
    label_names: tuple[str, ...] = ()


@final
@dataclass(frozen=True, eq=False)
class Dataset:
    """Scaled training and test points (N, *shape), with labels if they are known.

    `train_labels` and `test_labels` are codes, indices into `label_names`. Neither training nor
    model selection uses them. `scaling` maps raw data to scaled data. `fingerprint` is the sha256
    of the raw points, the split and the scaling rule. It does not cover the labels, because they
    do not affect training.
    """

    name: str
    train: Floats
    test: Floats
    train_labels: Labels | None
    test_labels: Labels | None
    label_names: tuple[str, ...]
    scaling: Scaling
    fingerprint: str

    @property
    def shape(self) -> Shape:
        """The shape of one point."""
        return self.train.shape[1:]

    @cached_property
    def unit_interval(self) -> bool:
        """Whether all scaled points lie within [0, 1]."""
        parts = [part for part in (self.train, self.test) if part.size]
        return all(part.min() >= 0 and part.max() <= 1 for part in parts)


def prepare_dataset(name: str, content: Content, *, where: str) -> Dataset:
    """Check raw data, split them unless a test part is published, and scale them.

    `where` names the source in error messages. The split puts a fifth of the points into the test
    part, drawn with a fixed seed and without using labels.
    """
    x, x_test = checks.points(content.x, where, content.columns), None
    checks.require_clusters(x, where)
    if content.x_test is not None:
        x_test = checks.points(content.x_test, f"the test part of {where}", content.columns)
        checks.require_compatible(x, x_test, where)
    y, y_test, label_names = _encode_labels(content, where)
    if x_test is None:
        rows, test_rows = _split(len(x))
        x, x_test, split = x[rows], x[test_rows], f"split {SPLIT_SEED}"
        y, y_test = (None, None) if y is None else (y[rows], y[test_rows])
    else:
        split = "published"
    scaling, rule = fit_scaling(x, content.unit, content.widths)
    return Dataset(
        name=name,
        train=scaling.apply(x),
        test=scaling.apply(x_test),
        train_labels=y,
        test_labels=y_test,
        label_names=label_names,
        scaling=scaling,
        fingerprint=_fingerprint(x, x_test, split, rule),
    )


def _split(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of the training part (four fifths) and of the test part."""
    order = np.random.default_rng(SPLIT_SEED).permutation(n)
    return order[: n * 4 // 5], order[n * 4 // 5 :]


def _encode_labels(
    content: Content, where: str
) -> tuple[Labels | None, Labels | None, tuple[str, ...]]:
    """Return the labels of both parts as codes of the sorted classes, and the classes' names."""
    if content.y_test is not None and content.x_test is None:
        raise DataError(f"{where} has test labels but no test points: add x_test or remove y_test")
    y = None if content.y is None else checks.labels(content.y, len(content.x), where)
    y_test = None
    if content.y_test is not None and content.x_test is not None:
        y_test = checks.labels(content.y_test, len(content.x_test), f"the test part of {where}")
    known = [part for part in (y, y_test) if part is not None]
    if not known:
        return None, None, ()
    values, codes = np.unique(np.concatenate(known), return_inverse=True)
    if len(values) < 2:
        raise DataError(
            f"the labels of {where} name a single class, {str(values[0])!r}: give labels of at "
            "least 2 classes, or leave them out"
        )
    codes, n = codes.astype(np.int64), 0 if y is None else len(y)
    names = content.label_names if content.label_names else tuple(map(str, values.tolist()))
    return None if y is None else codes[:n], None if y_test is None else codes[n:], names


def _fingerprint(train: Array, test: Array, split: str, rule: str) -> str:
    """Return the sha256 of both parts, the split and the scaling rule.

    The rule is hashed instead of the fitted numbers, whose last bits may differ between machines.
    """
    digest = hashlib.sha256(f"{split}; {rule}".encode())
    for part in (train, test):
        digest.update(f"; {part.dtype.str} {part.shape}; ".encode())
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()
