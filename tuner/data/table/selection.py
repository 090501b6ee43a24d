"""Which columns of a table are used, by the names that a user gives."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import DataError, did_you_mean
from ..preparation import Preparation
from ..scaling import Array
from . import cells

Table = Array | Mapping[str, Any]


def selected(
    table: Table, names: tuple[str, ...], preparation: Preparation, where: str
) -> tuple[Table, tuple[str, ...], Preparation]:
    """Return the columns to use, their names, and a preparation that names them exactly.

    `table` is an array (N, F), whose columns may have `names`, or a mapping of columns. It becomes
    a mapping if some of its columns are no measurements. Raises DataError for unknown columns.
    """
    if isinstance(table, Mapping):
        known = tuple(table)
    else:
        known = names or tuple(map(str, range(table.shape[1])))
    preparation = _named(preparation, known, where)
    wanted, dropped = set(preparation.columns or known), set(preparation.drop)
    kept = tuple(name for name in known if name in wanted and name not in dropped)
    if not kept:
        raise DataError(f"{where} has no columns to cluster: add at least one column of numbers")
    for flag, given in (
        ("--ordinal", preparation.ordinal),
        ("--categories", preparation.categories),
    ):
        for name in given:
            if name not in kept:
                raise DataError(f"{flag} {name}: the column is left out: name one that is used")
    if isinstance(table, Mapping):
        return _plain({name: table[name] for name in kept}, preparation), kept, preparation
    if kept != known:
        place = {name: i for i, name in enumerate(known)}
        table = table[:, [place[name] for name in kept]]
    if preparation.ordinal or preparation.categories:
        return {name: table[:, i] for i, name in enumerate(kept)}, kept, preparation
    return table, kept, preparation


def _plain(table: Mapping[str, Any], preparation: Preparation) -> Table:
    """Return columns that are all of numbers as an array, and others as they are."""
    if preparation.ordinal or preparation.categories:
        return table
    kinds = {getattr(getattr(column, "dtype", None), "kind", "") for column in table.values()}
    if not kinds <= {"i", "u", "f"} or any(np.ndim(column) != 1 for column in table.values()):
        return table
    if any(not isinstance(column.dtype, np.dtype) for column in table.values()):  # nullable
        return table
    return np.stack([np.asarray(column, np.float64) for column in table.values()], axis=1)


def _named(preparation: Preparation, known: Sequence[str], where: str) -> Preparation:
    """Return the preparation with the columns' own names, which may have spaces around them."""
    return replace(
        preparation,
        columns=[_name("--columns", name, known, where) for name in preparation.columns],
        drop=[_name("--drop", name, known, where) for name in preparation.drop],
        categories=[_name("--categories", name, known, where) for name in preparation.categories],
        ordinal={
            _name("--ordinal", name, known, where): order
            for name, order in preparation.ordinal.items()
        },
    )


def _name(flag: str, name: str, known: Sequence[str], where: str) -> str:
    if name in known:
        return name
    alike = [one for one in known if one.strip() == name.strip()]
    if len(alike) == 1:
        return alike[0]
    raise DataError(
        f"{flag} {name}: {where} has no such column{did_you_mean(name, known)}; it has "
        f"{cells.listing(known)}: name one of these"
    )
