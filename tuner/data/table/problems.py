"""What keeps the columns of a table from being used, all in one message with a way on."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, final

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..preparation import Preparation

_SHOWN = 6


@final
@dataclass(frozen=True)
class Problem:
    """Why a column cannot be used, and what helps: drop, missing, missing-value, ordinal, write.

    `marks` are the values that may mean missing, or what to write instead, and `count` the cells
    without a value.
    """

    column: str
    text: str
    remedy: str
    marks: tuple[str, ...] = ()
    count: int = 0

    @classmethod
    def missing(cls, column: str, gone: NDArray[np.bool_]) -> Self:
        """Return the problem of a column without values in some rows."""
        text = f"has no value in {gone.sum():,} of {len(gone):,} rows, first in row"
        return cls(column, f"{text} {int(gone.argmax())}", "missing", count=int(gone.sum()))


def refuse(
    problems: Sequence[Problem],
    preparation: Preparation,
    where: str,
    names: Sequence[str],
    labels: str,
) -> None:
    """Raise DataError with all problems of a table and flags that solve them, if there are any.

    `names` are the columns that are used, and `labels` is the column of labels, "" without one.
    """
    if not problems:
        return
    gaps = [problem for problem in problems if problem.remedy == "missing"]
    single = problems if len(gaps) == 1 else [p for p in problems if p.remedy != "missing"]
    shown = [f"column {problem.column!r} {problem.text}" for problem in single[:_SHOWN]]
    if len(single) > _SHOWN:
        shown.append(f"so it is with {len(single) - _SHOWN} more")
    if len(gaps) > 1:
        counts = [f"{gap.column!r} {gap.count:,}" for gap in gaps[:_SHOWN]]
        counts += [f"{len(gaps) - _SHOWN} more"] if len(gaps) > _SHOWN else []
        shown.append(f"{len(gaps)} columns have rows without a value: {', '.join(counts)}")
    counted = " (rows are counted from 0)" if any("in row" in text for text in shown) else ""
    raise DataError(
        f"{where} cannot be used as it is{counted}: {'; '.join(shown)}: "
        f"{_way_on(problems, preparation, where, names, labels)}"
    )


def _way_on(
    problems: Sequence[Problem],
    preparation: Preparation,
    where: str,
    names: Sequence[str],
    labels: str,
) -> str:
    dropped = list(dict.fromkeys(p.column for p in problems if p.remedy == "drop"))
    for problem in problems:
        if problem.remedy == "ordinal":
            return f"list all its categories in --ordinal {problem.column}=…"
        if problem.remedy == "write":
            return problem.marks[0]
    if set(names) <= set(dropped):
        return "no other column is left, so give categories or numbers"
    new = _solving(problems, preparation, dropped)
    before = preparation.flags()
    flags = shlex.join(text for flag in new.flags() if flag not in before for text in flag)
    changed = new.missing != preparation.missing
    choice = " (or drop, or indicator)" if changed else ""
    if not Path(where).exists():
        return f"use {flags}{choice}"
    command = [
        "tuner",
        "data",
        where,
        *(["--labels", labels] if labels else []),
        *(text for flag in new.flags() for text in flag),
    ]
    return f"use {flags}{choice}, which `{shlex.join(command)}` shows"


def _solving(
    problems: Sequence[Problem], preparation: Preparation, dropped: Sequence[str]
) -> Preparation:
    """Return a preparation with which the problems do not arise."""
    marks = dict.fromkeys(mark for problem in problems for mark in problem.marks)
    gaps = any(problem.remedy.startswith("missing") for problem in problems)
    columns = tuple(name for name in preparation.columns if name not in dropped)
    return replace(
        preparation,
        columns=columns,
        drop=preparation.drop if columns else (*preparation.drop, *dropped),
        categories=tuple(name for name in preparation.categories if name not in dropped),
        missing_values=(*preparation.missing_values, *marks),
        missing="mean" if gaps and preparation.missing == "refuse" else preparation.missing,
    )
