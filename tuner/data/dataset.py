"""What a search learns from: points, their scaling, and labels kept apart for audits."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from . import checks
from .scaling import Array, Floats, Scaling, Shape, fitted

Labels = NDArray[np.int64]

SPLIT_SEED = 20170526


@final
@dataclass(frozen=True, eq=False)
class Content:
    """Raw data as a source has them: points (N, *shape), classes (N,), test points if published.

    `unit` is what all features are measured in where the source knows it: the largest value of a
    pixel, the unit of a plane. `columns` are the names of the features of a table, `widths` the
    numbers of features of its columns where one is a vector, whose features share a unit.
    `label_names` are the names of the sorted classes where the source has better ones than the
    classes themselves.
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
    """Scaled points (N, *shape) to train on and to test on, with labels where they are known.

    `train_labels` and `test_labels` hold codes of `label_names`; nothing that trains or chooses
    reads them. `scaling` takes raw data to what methods see. `fingerprint` is the sha256 of the
    raw points, the split and the rule of scaling; labels change no training, so it leaves them
    out.
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
        """Shape of one point."""
        return self.train.shape[1:]

    @cached_property
    def unit_interval(self) -> bool:
        """Whether all scaled points lie within [0, 1]."""
        parts = [part for part in (self.train, self.test) if part.size]
        return all(part.min() >= 0 and part.max() <= 1 for part in parts)


def prepared(name: str, content: Content, *, where: str) -> Dataset:
    """Return the data set of raw content: checked, split where no split is published, scaled.

    `where` is what error sentences call it. The split puts a fifth of the points, drawn with a
    fixed seed and without a look at their labels, into the test part.
    """
    x, x_test = checks.points(content.x, where, content.columns), None
    checks.require_clusters(x, where)
    if content.x_test is not None:
        x_test = checks.points(content.x_test, f"the test part of {where}", content.columns)
        checks.require_alike(x, x_test, where)
    y, y_test, label_names = _coded(content, where)
    if x_test is None:
        rows, test_rows = _split(len(x))
        x, x_test, split = x[rows], x[test_rows], f"split {SPLIT_SEED}"
        y, y_test = (None, None) if y is None else (y[rows], y[test_rows])
    else:
        split = "published"
    scaling, rule = fitted(x, content.unit, content.widths)
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
    """Return the rows of the training part, four fifths, and those of the test part."""
    order = np.random.default_rng(SPLIT_SEED).permutation(n)
    return order[: n * 4 // 5], order[n * 4 // 5 :]


def _coded(content: Content, where: str) -> tuple[Labels | None, Labels | None, tuple[str, ...]]:
    """Return the labels of both parts as codes of their sorted values, and the values' names."""
    if content.y_test is not None and content.x_test is None:
        raise DataError(f"{where} has test labels but no test points: give x_test, or no y_test")
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
            "least 2 classes, or none"
        )
    codes, cut = codes.astype(np.int64), 0 if y is None else len(y)
    names = content.label_names if content.label_names else tuple(map(str, values.tolist()))
    return None if y is None else codes[:cut], None if y_test is None else codes[cut:], names


def _fingerprint(train: Array, test: Array, split: str, rule: str) -> str:
    """Return the sha256 of both parts, the split and the rule that, with them, fixes the scaling.

    The rule stands for the scaling's numbers: those may differ in their last bit between machines.
    """
    digest = hashlib.sha256(f"{split}; {rule}".encode())
    for part in (train, test):
        digest.update(f"; {part.dtype.str} {part.shape}; ".encode())
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()
