"""Columns and values that are probably no measurements: told, never changed."""

import math
import re
import shlex
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..preparation import Preparation, join_names
from .cells import exact
from .columns import BOOLEAN, CATEGORY, NUMBER, ORDINAL
from .extremes import far_values, repeated_extreme
from .roles import Roles

_LABELS = re.compile(
    r"(.*[ _.-])?(class|classes|label|labels|target|targets)([ _.-]?(names?|ids?|codes?))?"
    r"|species|variety|cultivar|diagnosis|outcome|ground[ _-]?truth|cluster|segment|y",
    re.IGNORECASE,
)
_IDENTIFIER = re.compile(
    r"(.*[ _.-])?(id|uuid|guid|index|idx|serial)|.+[ _.-](key|row|nr|no)"
    r"|row(id|name|names|number)|unnamed: ?\d+",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"(.*[ _.-])?(year|yr|date|time|timestamp|ts|unix|epoch|month|day|dob|born)([ _.-].*)?",
    re.IGNORECASE,
)
_CALENDAR = ((1800, 2100), (180001, 210012), (18000101, 21001231))  # years, months, days
_EPOCH = (3e8, 5e18)  # seconds to nanoseconds
_MAX_CLASSES = 100
_SHOWN = 3
_EXAMINED = 400  # columns with the most extreme values
_SAMPLED = 200_000  # values of all columns together
_COUNTS = 20  # columns at least, so that their total is a size
_LEVELS = 12  # different values at least of a pixel
_PIXELS = 49  # columns at least of an image


def suspicions(found: Roles, preparation: Preparation, *, unit_known: bool) -> tuple[str, ...]:
    """Return one sentence for each thing that is probably not meant, with the flag that helps.

    `unit_known` says that the source defines the scaling.
    """
    labels = dict(_labels(found))
    notes = [*_identifiers(found), *_dates(found), *labels.values(), *_unused(found)]
    alike = _pixels(found, labels) or _counts(found, labels)
    if not alike:
        return (*notes, *_extremes(found, preparation))
    if preparation.scale == "auto" and not unit_known:
        notes += alike
    return (*notes, *_common_mark(found))


def _unused(found: Roles) -> Iterator[str]:
    for mark in found.unused:
        text = mark if isinstance(mark, str) else exact(mark)
        yield (
            f"no cell holds {text}, which --missing-value names: check its digits, or leave it out"
        )


def _identifiers(found: Roles) -> Iterator[str]:
    figures, called, counting = found.profile, [], []
    for j in np.flatnonzero(figures.whole):
        name, low, high = found.measured[j], figures.low[j], figures.high[j]
        if found.named and _is_identifier(name):
            values = found.numbers[:, j]
            different = len(np.unique(values[np.isfinite(values)]))
            if figures.points >= 10 and different > max(10, 0.1 * figures.points):
                called.append(name)
        elif figures.points >= 30 and high - low == figures.points - 1:
            steps = np.diff(found.numbers[:, j])
            if abs(steps[0]) == 1 and (steps == steps[0]).all():
                counting.append(name)
    for names, why in ((called, "an identifier"), (counting, "an identifier, counting the rows,")):
        if names:
            yield (
                f"{named_columns(names)} {_looks(names)} like {why} and {_is(names)} used as a "
                f"measurement: leave {_it(names)} out with {_drop(names)}"
            )


def _is_identifier(name: str) -> bool:
    """Return whether a column is called an identifier, as customer_id or CustomerID."""
    return _IDENTIFIER.fullmatch(_snake(name)) is not None


def _snake(name: str) -> str:
    """Return a name with underscores between its words."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)


def _dates(found: Roles) -> Iterator[str]:
    figures, names = found.profile, []
    for j, name in enumerate(found.measured if found.named else ()):
        low, high = figures.low[j], figures.high[j]
        whole = figures.whole[j] and any(a <= low and high <= b for a, b in _CALENDAR)
        epoch = _EPOCH[0] <= low and high <= _EPOCH[1]
        rate = re.search(r"(?i)\bper\b", _snake(name).replace("_", " ")) is not None
        if _TIME.fullmatch(_snake(name)) is not None and (whole or epoch) and not rate:
            names.append(name)
    if names:
        yield (
            f"{named_columns(names)} {_looks(names)} like a date, and {_is(names)} used as a "
            f"measurement: leave {_it(names)} out with {_drop(names)}, unless time is what "
            "distinguishes the clusters"
        )


def _labels(found: Roles) -> Iterator[tuple[str, str]]:
    """Yield columns that look like labels, with a sentence about each."""
    names = {column.name.lower() for column in found.columns}
    for column in found.columns if found.named else ():
        if _LABELS.fullmatch(_snake(column.name)) is None:
            continue
        if column.name.lower() == "y" and "x" in names:  # coordinates
            continue
        if column.kind in (CATEGORY, ORDINAL):
            classes = len(column.categories)
        elif column.kind in (NUMBER, BOOLEAN):
            j = found.measured.index(column.name)
            values = found.numbers[:, j]
            classes = len(np.unique(values[np.isfinite(values)])) if found.profile.whole[j] else 0
        else:
            continue
        if 1 < classes <= min(_MAX_CLASSES, max(2, found.points // 3)):
            yield (
                column.name,
                f"column {column.name!r} looks like labels ({classes} different values), and is "
                f"clustered like any other: use --labels {shlex.quote(column.name)}, which never "
                f"reach the training, or leave it out with {_drop([column.name])}",
            )


def _extremes(found: Roles, preparation: Preparation) -> Iterator[str]:
    """Yield notes on values far from all others: marks for missing values, or outliers."""
    figures = found.profile
    with np.errstate(invalid="ignore", divide="ignore"):
        reach = np.maximum(figures.high - figures.mean, figures.mean - figures.low)
        reach = np.where(figures.deviation > 0, reach / figures.deviation, 0.0)
    marks: dict[float, list[tuple[str, int]]] = {}
    outliers: list[tuple[str, float, int, int]] = []
    for j in sorted(np.argsort(-reach)[:_EXAMINED].tolist()):
        values = np.sort(found.numbers[:, j].astype(np.float64))
        values = values[np.isfinite(values)]
        mark = repeated_extreme(values)
        if mark is not None:
            count = int((values == mark).sum())
            marks.setdefault(mark, []).append((found.measured[j], count))
            values = values[values != mark]
        far = far_values(values)
        if far is not None and preparation.scale in ("auto", "standard"):
            outliers.append((found.measured[j], *far, int((values == far[0]).sum())))
    for mark, columns in marks.items():
        share = sum(count for _, count in columns) / (len(columns) * figures.points)
        yield _mark_note(mark, named_columns([name for name, _ in columns]), share, len(columns))
    if outliers:
        yield _outlier_note(outliers, figures.points)


def _mark_note(mark: float, columns: str, share: float, many: int) -> str:
    return (
        f"{columns} {'has' if many == 1 else 'have'} the value {exact(mark)} in {_percent(share)} "
        "of the rows, far from all others, as if it meant missing: use "
        f"--missing-value={exact(mark)} --missing mean"
    )


def _outlier_note(outliers: Sequence[tuple[str, float, int, int]], points: int) -> str:
    names = [name for name, _, _, _ in outliers]
    _, value, count, equal = max(outliers, key=lambda one: abs(one[1]))
    total = sum(one[2] for one in outliers)
    missing = f", or if it means missing, --missing-value={exact(value)} --missing mean"
    return (
        f"{named_columns(names)} {_has(names)} {total} value{'s' * (total != 1)} more than 20 "
        f"standard deviations from the others, such as {value:g} ({_percent(count / points)} of "
        f"its rows): use --scale robust{missing if equal > 1 else ''}"
    )


def _common_mark(found: Roles) -> Iterator[str]:
    """Yield a note on a mark for missing values among pixels or counts, if there is one."""
    flat = found.numbers[:: max(1, found.numbers.size // _SAMPLED)].ravel().astype(np.float64)
    values = np.sort(flat[np.isfinite(flat)])
    mark = repeated_extreme(values)
    if mark is not None:
        share = float((values == mark).mean())
        yield _mark_note(mark, f"{len(found.measured)} columns", share, len(found.measured))


def _pixels(found: Roles, labels: dict[str, str]) -> list[str]:
    """Return a note if the columns look like the pixels of images."""
    figures = found.profile
    kept = np.array([name not in labels for name in found.measured], np.bool_)
    features = int(kept.sum())
    square = any(math.isqrt(features // c) ** 2 * c == features for c in (1, 3))
    if features < _PIXELS or not square or features + len(labels) != len(found.columns):
        return []
    low, high = figures.low[kept].min(), figures.high[kept].max()
    shared = ((figures.high == high) & (figures.low == low))[kept].mean()
    j = int(np.argmax(np.where(kept, figures.deviation, -np.inf)))
    if shared < 0.3 or len(np.unique(found.numbers[:1000, j])) < _LEVELS:
        return []
    return [
        f"{features} columns share the range {low:g} to {high:g} like the pixels of an image, and "
        "are scaled one by one: use --scale range, or save the images as (points, height, width)"
    ]


def _counts(found: Roles, labels: dict[str, str]) -> list[str]:
    """Return a note if the columns look like counts, as of genes or words."""
    figures = found.profile
    kept = np.array([name not in labels for name in found.measured], np.bool_)
    features = int(kept.sum())
    if features < _COUNTS or features + len(labels) != len(found.columns) or not found.points:
        return []
    whole = bool((figures.whole & (figures.low >= 0))[kept].all()) and not found.gaps
    if not whole or figures.high[kept].max() < 10:
        return []
    zeros = figures.zeros[kept].sum() / (found.points * features)
    overdispersed = (figures.deviation**2 > 1.5 * figures.mean)[kept].mean()
    if zeros < 0.1 or overdispersed < 0.3:
        return []
    return [
        f"{features} columns look like counts (whole numbers from 0 to "
        f"{figures.high[kept].max():g}, {zeros:.0%} of them 0), and are scaled like measurements: "
        "use --scale log1p"
    ]


def named_columns(names: Sequence[str]) -> str:
    """Return names of columns for a message, at most three of them."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"column{'s' * (len(names) > 1)} {', '.join(map(repr, names[:_SHOWN]))}{more}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _number(one: str, many: str) -> Callable[[Sequence[str]], str]:
    return lambda names: one if len(names) == 1 else many


_has, _looks = _number("has", "have"), _number("looks", "look")
_is, _it = _number("is", "are"), _number("it", "them")


def _drop(names: Sequence[str]) -> str:
    return f"--drop {shlex.quote(join_names(names))}"
