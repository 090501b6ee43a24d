"""What each column of a table is taken for, and what keeps it from being used."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, did_you_mean
from . import cells
from .columns import BOOLEAN, CATEGORY, CONSTANT, NUMBER, ORDINAL, VECTOR, Column
from .encoding import TableEncoder
from .preparation import Preparation
from .problems import Problem, refuse
from .profile import MAX_VALUE, Profile, profile
from .reading import read_column
from .scaling import Array

Table = Array | Mapping[str, Any]


@final
@dataclass(frozen=True, eq=False)
class Roles:
    """The columns of a table as they will be encoded, and what was seen of their values.

    `numbers` (N, P) are the columns of numbers in `profile`, whose names are `measured`. `width`
    is the number of columns before any were chosen. `missing` counts the cells without a value by
    column, and `complete` are the rows (N,) without any.
    """

    table: Table
    named: bool
    columns: tuple[Column, ...]
    measured: tuple[str, ...]
    numbers: Array
    profile: Profile
    width: int
    missing: Mapping[str, int]
    complete: NDArray[np.bool_]

    def encoder(self, preparation: Preparation) -> TableEncoder:
        """Return the encoder of the columns, without values for missing cells yet."""
        return TableEncoder(
            self.columns, self.named, tuple(preparation.missing_values), self.width
        )


def roles(
    table: Table,
    names: tuple[str, ...],
    preparation: Preparation,
    where: str,
    *,
    constants: bool = False,
) -> Roles:
    """Return what the columns of a table are taken for, or raise DataError with all problems.

    `table` is an array (N, F), whose columns may have `names`, or a mapping of columns. With
    `constants`, columns of a single value are columns like others.
    """
    width = len(table) if isinstance(table, Mapping) else table.shape[1]
    table, names, named = _selected(table, names, preparation, where)
    if isinstance(table, Mapping):
        found = _roles_of_table(table, named, width, preparation, where)
        return found if constants else _without_constants(found, preparation, where)
    x, marks = table, preparation.missing_numbers
    if marks and np.isin(x, marks).any():
        x = x.astype(np.float64)
        x[np.isin(x, marks)] = np.nan
    figures = profile(x)
    missing = dict(zip(names, figures.missing.tolist(), strict=True))
    gone = np.zeros(len(x), np.bool_)
    if figures.missing.any():
        gone = np.asarray(np.isnan(x).any(axis=1))
    problems = _number_problems(x, names, figures, preparation)
    refuse(problems, preparation, where, names)
    columns = tuple(Column(name=name) for name in names)
    found = Roles(table, named, columns, names, x, figures, width, missing, ~gone)
    return found if constants else _without_constants(found, preparation, where)


def _selected(
    table: Table, names: tuple[str, ...], preparation: Preparation, where: str
) -> tuple[Table, tuple[str, ...], bool]:
    """Return the columns to use, their names, and whether these come from the data."""
    if isinstance(table, Mapping):
        known = tuple(table)
        named = names != ()
    else:
        known = names or tuple(map(str, range(table.shape[1])))
        named = bool(names)
    for flag, wanted in (
        ("--columns", preparation.columns),
        ("--drop", preparation.drop),
        ("--ordinal", preparation.ordinal),
    ):
        for name in wanted:
            if name not in known:
                raise DataError(
                    f"{flag} {name}: {where} has no such column{did_you_mean(name, known)}; it "
                    f"has {cells.listing(known)}: name one of these"
                )
    wanted = preparation.columns or known
    kept = tuple(name for name in known if name in wanted and name not in preparation.drop)
    if not kept:
        raise DataError(f"{where} has no columns to cluster: add at least one column of numbers")
    for name in preparation.ordinal:
        if name not in kept:
            raise DataError(f"--ordinal {name}: the column is left out: name one that is used")
    if isinstance(table, Mapping):
        return {name: table[name] for name in kept}, kept, named
    if kept != known:
        table = table[:, [known.index(name) for name in kept]]
    if preparation.ordinal:
        return {name: table[:, i] for i, name in enumerate(kept)}, kept, named
    return table, kept, named


def _roles_of_table(
    table: Mapping[str, Any], named: bool, width: int, preparation: Preparation, where: str
) -> Roles:
    columns: list[Column] = []
    numbers: dict[str, Array] = {}
    missing: dict[str, int] = {}
    problems: list[Problem] = []
    points = len(next(iter(table.values())))
    complete = np.ones(points, np.bool_)
    for name, values in table.items():
        found = read_column(name, values, preparation)
        if isinstance(found, Problem):
            problems.append(found)
            continue
        column, cells_of = found
        gone = _gone(cells_of)
        missing[name], complete = int(gone.sum()), complete & ~gone
        columns.append(column)
        if column.kind in (NUMBER, BOOLEAN):
            numbers[name] = cells_of
        elif gone.any() and preparation.missing == "refuse":
            problems.append(Problem.missing(name, gone))
    x = np.stack(list(numbers.values()), axis=1) if numbers else np.zeros((points, 0))
    figures = profile(x)
    problems += _number_problems(x, tuple(numbers), figures, preparation)
    order = {name: place for place, name in enumerate(table)}
    problems.sort(key=lambda problem: order[problem.column])
    refuse(problems, preparation, where, tuple(table))
    return Roles(
        table, named, tuple(columns), tuple(numbers), x, figures, width, missing, complete
    )


def _number_problems(
    x: Array, names: tuple[str, ...], figures: Profile, preparation: Preparation
) -> list[Problem]:
    problems = []
    for j in np.flatnonzero(figures.unusable):
        row = int((~(np.abs(x[:, j]) <= MAX_VALUE) & ~np.isnan(x[:, j])).argmax())
        problems.append(
            Problem(
                names[j],
                f"holds {x[row, j]:g} in row {row}, which cannot be used",
                "missing-value",
                (f"{x[row, j]:g}",),
            )
        )
    if preparation.missing == "refuse":
        for j in np.flatnonzero(figures.missing):
            problems.append(Problem.missing(names[j], np.isnan(x[:, j])))
    return problems


def _without_constants(found: Roles, preparation: Preparation, where: str) -> Roles:
    """Return the roles with columns of a single value as constants, unless its gaps matter."""
    flat = dict(zip(found.measured, found.profile.low == found.profile.high, strict=True))
    low = dict(zip(found.measured, found.profile.low.tolist(), strict=True))
    columns = []
    for column in found.columns:
        gaps = found.missing.get(column.name, 0) and preparation.missing == "indicator"
        if flat.get(column.name) and not gaps:
            column = replace(column, kind=CONSTANT, value=low[column.name])
        elif column.kind == CATEGORY and len(column.categories) == 1 and not gaps:
            column = replace(column, kind=CONSTANT, value=column.categories[0], categories=())
        columns.append(column)
    if preparation.missing == "indicator":
        columns = [
            replace(column, indicator=found.missing.get(column.name, 0) > 0)
            if column.kind not in (CONSTANT, VECTOR)
            else column
            for column in columns
        ]
    if all(column.kind == CONSTANT or _is_equal(found, column) for column in columns):
        points = len(found.complete)
        raise DataError(
            f"all {points} points of {where} are equal, so there is nothing to cluster: "
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


def filled(encoder: TableEncoder, found: Roles, rows: NDArray[np.int64]) -> TableEncoder:
    """Return the encoder with values for missing cells, from the training rows alone.

    These are the mean of numbers, and the most frequent of categories.
    """
    from sklearn.impute import SimpleImputer

    columns = []
    for column in encoder.columns:
        if column.kind in (CATEGORY, ORDINAL):
            assert isinstance(found.table, Mapping)
            texts = cells.texts(found.table[column.name], encoder.missing)[rows][:, None]
            imputer = SimpleImputer(strategy="most_frequent", missing_values=None)
            column = replace(column, fill=str(imputer.fit(texts).statistics_[0]))
        elif column.kind in (NUMBER, BOOLEAN):
            values = found.numbers[rows][:, [found.measured.index(column.name)]]
            mean = SimpleImputer(keep_empty_features=True).fit(values).statistics_[0]
            column = replace(column, fill=float(f"{mean:.12g}"))  # the same on every machine
        columns.append(column)
    return replace(encoder, columns=tuple(columns))


def _gone(values: Array) -> NDArray[np.bool_]:
    """Return where a column has no value, (N,)."""
    if values.dtype == object:
        return np.array([value is None for value in values], np.bool_)
    gone = np.isnan(values)
    return np.asarray(gone.any(axis=1) if gone.ndim == 2 else gone)
