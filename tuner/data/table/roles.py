"""What the columns of a table are taken for, and what keeps them from being used."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..preparation import Preparation
from ..scaling import Array
from . import cells
from .columns import BOOLEAN, CATEGORY, CONSTANT, NUMBER, VECTOR, Column
from .encoding import TableEncoder
from .problems import Problem, refuse
from .profile import MAX_VALUE, Profile, profile
from .reading import read_column
from .selection import Table, selected


@final
@dataclass(frozen=True, eq=False)
class Roles:
    """The columns of a table as they will be encoded, and what was seen of their values.

    `numbers` (N, P) are the columns of numbers in `profile`, whose names are `measured`. `width`
    is the number of columns before any were chosen. `gaps` are the rows (N,) without a value by
    column, where there are any. `ignored` are columns that were left out. `unused` are values that
    were to mean missing and are nowhere.
    """

    table: Table
    named: bool
    columns: tuple[Column, ...]
    measured: tuple[str, ...]
    numbers: Array
    profile: Profile
    width: int
    gaps: Mapping[str, NDArray[np.bool_]]
    ignored: tuple[str, ...]
    unused: tuple[str | float, ...]

    @property
    def points(self) -> int:
        """The number of rows."""
        return self.profile.points

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Which rows (N,) have a value in every column that is used."""
        complete = np.ones(self.points, np.bool_)
        for column in self.columns:
            if column.kind != CONSTANT and column.name in self.gaps:
                complete &= ~self.gaps[column.name]
        return complete

    def encoder(self, preparation: Preparation) -> TableEncoder:
        """Return the encoder of the columns, without values for missing cells yet."""
        return TableEncoder(
            self.columns,
            self.named,
            tuple(preparation.missing_values),
            self.width,
            preparation.layer,
            self.ignored,
        )


def roles(
    table: Table,
    names: tuple[str, ...],
    preparation: Preparation,
    where: str,
    *,
    labels: str = "",
    constants: bool = False,
) -> Roles:
    """Return what the columns of a table are taken for, or raise DataError with all problems.

    `table` is an array (N, F), whose columns may have `names`, or a mapping of columns. `labels`
    is the column of labels that it does not contain. With `constants`, columns of a single value
    are columns like others.
    """
    cells.require_unique(names, where)
    width = len(table) if isinstance(table, Mapping) else table.shape[1]
    known = tuple(table) if isinstance(table, Mapping) else names
    preparation = preparation.without(labels)
    table, kept, preparation = selected(table, names, preparation, where)
    read = _of_table if isinstance(table, Mapping) else _of_array
    found, problems = read(table, kept, names != (), width, preparation)
    ignored = (*sorted(set(known) - set(kept)), *([labels] if labels else []))
    found = replace(found, ignored=ignored if names else ())
    refuse(problems, preparation, where, kept, labels)
    return found if constants else _without_constants(found, preparation, where)


def _of_array(
    x: Any, names: tuple[str, ...], named: bool, width: int, preparation: Preparation
) -> tuple[Roles, list[Problem]]:
    marks = preparation.missing_values
    unused = tuple(mark for mark in marks if not np.isin(x, cells.as_numbers((mark,))).any())
    table = x
    if len(unused) < len(marks):
        x = x.astype(np.float64)
        x[np.isin(x, cells.as_numbers(tuple(marks)))] = np.nan
    figures = profile(x)
    gaps = {names[j]: np.isnan(x[:, j]) for j in np.flatnonzero(figures.missing)}
    columns = tuple(Column(name=name) for name in names)
    found = Roles(table, named, columns, names, x, figures, width, gaps, (), unused)
    return found, _number_problems(x, names, figures, preparation)


def _of_table(
    table: Any, names: tuple[str, ...], named: bool, width: int, preparation: Preparation
) -> tuple[Roles, list[Problem]]:
    columns: list[Column] = []
    numbers: dict[str, Array] = {}
    gaps: dict[str, NDArray[np.bool_]] = {}
    problems: list[Problem] = []
    for name, values in table.items():
        read = read_column(name, values, preparation)
        if isinstance(read, Problem):
            problems.append(read)
            continue
        column, known = read
        columns.append(column)
        gone = _gone(known)
        if gone.any():
            gaps[name] = gone
        if column.kind in (NUMBER, BOOLEAN):
            numbers[name] = known
        elif gone.any() and preparation.missing == "refuse":
            problems.append(Problem.missing(name, gone))
    points = len(next(iter(table.values())))
    x = np.stack(list(numbers.values()), axis=1) if numbers else np.zeros((points, 0))
    figures = profile(x)
    problems += _number_problems(x, tuple(numbers), figures, preparation)
    place = {name: i for i, name in enumerate(names)}
    problems.sort(key=lambda problem: place[problem.column])
    unused = tuple(_unused(table, preparation))
    found = Roles(
        table, named, tuple(columns), tuple(numbers), x, figures, width, gaps, (), unused
    )
    return found, problems


def _unused(table: Mapping[str, Any], preparation: Preparation) -> Iterator[str | float]:
    """Yield values that are to mean missing but are in no column."""
    for mark in preparation.missing_values:
        if not any(cells.holds(values, name, mark) for name, values in table.items()):
            yield mark


def _number_problems(
    x: Array, names: tuple[str, ...], figures: Profile, preparation: Preparation
) -> list[Problem]:
    problems = []
    for j in np.flatnonzero(figures.unusable):
        row = int((~(np.abs(x[:, j]) <= MAX_VALUE) & ~np.isnan(x[:, j])).argmax())
        text = f"holds {x[row, j]:g} in row {row}, which cannot be used"
        problems.append(Problem(names[j], text, "missing-value", (cells.exact(x[row, j]),)))
    if preparation.missing == "refuse":
        for j in np.flatnonzero(figures.missing):
            problems.append(Problem.missing(names[j], np.isnan(x[:, j])))
    return problems


def _without_constants(found: Roles, preparation: Preparation, where: str) -> Roles:
    """Return the roles with columns of a single value as constants, unless its gaps matter."""
    flat = dict(zip(found.measured, found.profile.low == found.profile.high, strict=True))
    low = dict(zip(found.measured, found.profile.low.tolist(), strict=True))
    indicated = preparation.missing == "indicator"
    columns = []
    for column in found.columns:
        gaps = column.name in found.gaps and indicated
        if flat.get(column.name) and not gaps:
            column = replace(column, kind=CONSTANT, value=low[column.name])
        elif column.kind == CATEGORY and len(column.categories) == 1 and not gaps:
            column = replace(column, kind=CONSTANT, value=column.categories[0], categories=())
        elif gaps and column.kind != VECTOR:
            column = replace(column, indicator=True)
        columns.append(column)
    if all(column.kind == CONSTANT or _is_equal(found, column) for column in columns):
        raise DataError(
            f"all {found.points} points of {where} are equal, so there is nothing to cluster: "
            "provide points that differ"
        )
    return replace(found, columns=tuple(columns))


def _is_equal(found: Roles, column: Column) -> bool:
    """Return whether a column is of vectors that are all equal."""
    if column.kind != VECTOR:
        return False
    assert isinstance(found.table, Mapping)
    vectors = found.table[column.name]
    return bool((vectors == vectors[0]).all())


def _gone(values: Array) -> NDArray[np.bool_]:
    """Return where a column has no value, (N,)."""
    if values.dtype == object:
        return np.array([value is None for value in values], np.bool_)
    gone = np.isnan(values)
    return np.asarray(gone.any(axis=1) if gone.ndim == 2 else gone)
