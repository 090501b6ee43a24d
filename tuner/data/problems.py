"""What keeps the columns of a table from being used, all in one message with a way on."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, final

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .preparation import Preparation, join_names

_SHOWN = 6


@final
@dataclass(frozen=True)
class Problem:
    """Why a column cannot be used, and what helps: drop, missing, missing-value, ordinal, write.

    `marks` are the values that may mean missing, and `count` the cells without a value.
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
    problems: Sequence[Problem], preparation: Preparation, where: str, names: Sequence[str]
) -> None:
    """Raise DataError with all problems of a table and flags that solve them, if there are any."""
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
    text = "; ".join(shown)
    raise DataError(
        f"{where} cannot be used as it is (rows are counted from 0): {text}: "
        f"{_way_on(problems, preparation, where, names)}"
    )


def _way_on(
    problems: Sequence[Problem], preparation: Preparation, where: str, names: Sequence[str]
) -> str:
    dropped = list(dict.fromkeys(p.column for p in problems if p.remedy == "drop"))
    ordinal = [p for p in problems if p.remedy == "ordinal"]
    if ordinal:
        return f"list all its categories in --ordinal {ordinal[0].column}=…"
    if any(problem.remedy == "write" for problem in problems):
        return "write numbers with a decimal point"
    if set(names) <= set(dropped):
        return "no other column is left, so give categories or numbers"
    marks = dict.fromkeys(mark for problem in problems for mark in problem.marks)
    flags = [f"--drop {shlex.quote(join_names([*preparation.drop, *dropped]))}"] if dropped else []
    flags += [f"--missing-value={shlex.quote(mark)}" for mark in marks]
    gaps = any(problem.remedy.startswith("missing") for problem in problems)
    if gaps and preparation.missing == "refuse":
        flags.append("--missing mean")
    choice = " (or drop, or indicator)" if gaps and preparation.missing == "refuse" else ""
    command = f"`tuner data {shlex.quote(where)} {' '.join(flags)}`"
    shows = f", which {command} shows" if Path(where).exists() else ""
    return f"use {' '.join(flags)}{choice}{shows}"
