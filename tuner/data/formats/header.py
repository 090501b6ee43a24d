"""Whether the first row of a .csv file holds the names of its columns."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_MAX_LINE = 1 << 22  # characters of a row that are read
_COMPARED = 50  # rows that the first one is compared with
_EMPTY = ("", "na", "n/a", "nan", "null", "none", "<na>")
_COUNTED = 3  # numbers in a row, for it to count the columns whatever the other rows hold


def first_rows(path: Path) -> tuple[str, list[list[str]]]:
    """Return the separator and the cells of the first rows that are not blank."""
    lines: list[str] = []
    with path.open(encoding="utf-8-sig", newline="") as stream:
        while len(lines) <= _COMPARED and (line := stream.readline(_MAX_LINE)):
            if line.strip():
                lines.append(line)
    if not lines:
        return ",", []
    unquoted = re.sub(r'"[^"]*"', "", lines[0])
    separator = next((character for character in ";\t" if character in unquoted), ",")
    return separator, list(csv.reader(lines, delimiter=separator))


def has_header(
    rows: Sequence[Sequence[str]], wanted: bool | None, *, may_count: bool = True
) -> tuple[bool, tuple[str, ...]]:
    """Return whether the first row holds names, and a warning if it may be taken wrongly.

    It does unless it consists of numbers. Numbers that count the columns are names too, but were
    not for searches recorded before (`may_count`).
    """
    if wanted is not None:
        return wanted, ()
    first = rows[0] if rows else []
    values = [_number(cell) for cell in first if cell.strip().lower() not in _EMPTY]
    if not values or None in values:
        return True, ()
    known = np.array(values, np.float64)
    steps = np.diff(known)
    if len(known) < 2 or not ((steps > 0).all() or (steps < 0).all()):
        return False, ()
    text = f"the first row of the table, {', '.join(first[:3])}{' …' * (len(first) > 3)},"
    others = _numbers(rows[1:], len(first))
    whole = bool((others == np.round(others)).all())
    counts = may_count and bool((steps == 1).all()) and known[0] in (0, 1)
    if counts and (len(known) >= _COUNTED or not whole):
        return True, (
            f"{text} counts the columns and is read as their names: use --no-header if it is a "
            "point",
        )
    if len(known) == len(first) and len(others) and _is_apart(known, others):
        return False, (
            f"{text} consists of numbers and is read as a point: use --header if these are the "
            "names of the columns",
        )
    return False, ()


def decimal_mark(separator: str, rows: Sequence[Sequence[str]]) -> str:
    """Return the mark before decimals: a comma if values are separated by others and have one."""
    found = [cell.strip() for row in rows[1:] for cell in row]
    commas = any(re.fullmatch(r"[-+]?\d*,\d+", cell) for cell in found)
    points = any(re.fullmatch(r"[-+]?\d*\.\d+", cell) for cell in found)
    return "," if separator != "," and commas and not points else "."


def _is_apart(first: np.ndarray, others: np.ndarray) -> bool:
    """Return whether most values of a row are outside the range of the other rows."""
    outside = (first < others.min(axis=0)) | (first > others.max(axis=0))
    return bool(outside.mean() > 0.5)


def _numbers(rows: Sequence[Sequence[str]], width: int) -> np.ndarray:
    """Return the rows (n, width) that consist of numbers."""
    found = [[_number(cell) for cell in row] for row in rows if len(row) == width]
    return np.array([row for row in found if None not in row], np.float64).reshape(-1, width)


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
