"""What data are taken for: the columns, their ranges, gaps and transformations, and a plane."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from . import library
from .dataset import Dataset, dataset_of, parts_of
from .preparation import Preparation
from .table.columns import BOOLEAN, CATEGORY, CONSTANT, NUMBER, ORDINAL, VECTOR, Column
from .table.profile import profile
from .table.roles import Roles

_PLANE_POINTS = 2000
_RULES = {
    "auto": "standardised",
    "standard": "standardised",
    "robust": "by median and quartiles",
    "log1p": "log of counts",
    "range": "by the common range",
    "unit": "by the common unit",
    "none": "as it is",
}


@final
@dataclass(frozen=True, kw_only=True)
class ColumnOverview:
    """A column: what it is taken for, its values, its share of missing cells, its features."""

    name: str
    taken_for: str
    values: str
    missing: float
    becomes: str


@final
@dataclass(frozen=True, kw_only=True)
class Overview:
    """A dataset with an overview of its columns, () if it is no table."""

    dataset: Dataset
    columns: tuple[ColumnOverview, ...]

    def to_mapping(self) -> dict[str, Any]:
        """Return the overview as JSON values."""
        data = self.dataset
        return {
            "name": data.name,
            "train": len(data.train),
            "test": len(data.test),
            "shape": list(data.shape),
            "classes": list(data.label_names),
            "description": data.description,
            "fingerprint": data.fingerprint,
            "columns": [asdict(column) for column in self.columns],
            "notes": list(data.notes),
            "warnings": list(data.warnings),
        }


def overview(spec: Any, *, labels: Any = None, preparation: Preparation | None = None) -> Overview:
    """Return what a dataset is taken for. Raises DataError where it could not be searched."""
    preparation = Preparation() if preparation is None else preparation
    if library.large_file(spec, labels=labels, preparation=preparation) is not None:
        dataset = library.load(spec, labels=labels, preparation=preparation)
        return Overview(dataset=dataset, columns=())
    name, content, where = library.read(spec, labels=labels, preparation=preparation)
    parts = parts_of(content, preparation, where)
    dataset = dataset_of(name, parts, content, preparation, where)
    if parts.roles is None:
        return Overview(dataset=dataset, columns=())
    rule = "divided by a known unit" if content.unit is not None else _RULES[preparation.scale]
    return Overview(
        dataset=dataset,
        columns=tuple(
            _column(column, parts.roles, preparation, rule) for column in parts.roles.columns
        ),
    )


def plane(dataset: Dataset) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
    """Return the first two principal components (n, 2) of scaled training points, and labels.

    At most 2,000 points are used, spread over the training part. A single feature is both.
    """
    from sklearn.decomposition import PCA

    n = len(dataset.train)
    index = np.linspace(0, n - 1, min(n, _PLANE_POINTS)).astype(np.int64)
    x = dataset.train[index].reshape(len(index), -1).astype(np.float64)
    labels = None if dataset.train_labels is None else dataset.train_labels[index]
    if min(x.shape) < 2:
        return np.repeat(x[:, :1], 2, axis=1), labels
    return np.asarray(PCA(2, svd_solver="randomized", random_state=0).fit_transform(x)), labels


def _column(column: Column, found: Roles, preparation: Preparation, rule: str) -> ColumnOverview:
    gaps = found.gaps.get(column.name)
    return ColumnOverview(
        name=column.name,
        taken_for=_taken_for(column, found),
        values=_values(column, found),
        missing=0.0 if gaps is None else float(gaps.mean()),
        becomes=_becomes(column, preparation, rule),
    )


def _taken_for(column: Column, found: Roles) -> str:
    if column.kind == VECTOR:
        return f"vector of {column.width:,}"
    if column.kind == NUMBER and found.profile.whole[found.measured.index(column.name)]:
        return "whole number"
    return column.kind


def _values(column: Column, found: Roles) -> str:
    if column.kind == CONSTANT:
        return f"{column.value:.6g}" if isinstance(column.value, float) else str(column.value)
    if column.kind in (CATEGORY, ORDINAL):
        shown = ", ".join(column.categories[:5])
        return shown + (f" and {len(column.categories) - 5} more" * (len(column.categories) > 5))
    if column.kind == VECTOR:
        assert isinstance(found.table, Mapping)
        figures = profile(found.table[column.name])
        return f"{figures.low.min():.4g} to {figures.high.max():.4g}"
    j = found.measured.index(column.name)
    return f"{found.profile.low[j]:.4g} to {found.profile.high[j]:.4g}"


def _becomes(column: Column, preparation: Preparation, rule: str) -> str:
    gap = " and whether missing" if column.indicator else ""
    if column.kind == CONSTANT:
        return "left out"
    if column.kind == CATEGORY:
        return f"{len(column.categories)} features of 0 or 1{gap}"
    if column.kind == ORDINAL:
        return f"its place, {rule}{gap}"
    if column.kind == VECTOR and preparation.scale in ("auto", "standard", "robust", "log1p"):
        return "centred, divided by one number"
    return f"{'0 or 1, ' if column.kind == BOOLEAN else ''}{rule}{gap}"
