"""Columns and values that are probably no measurements: told, never changed."""

import math
import re
import shlex
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from .columns import CATEGORY, NUMBER, ORDINAL
from .preparation import Preparation, join_names
from .roles import Roles
from .scaling import Array

_LABELS = re.compile(
    r"(class|classes|label|labels|target|targets|species|variety|cultivar|diagnosis|outcome"
    r"|ground[ _-]?truth|cluster|cluster[ _-]?id|segment|y)",
    re.IGNORECASE,
)
_IDENTIFIER = re.compile(
    r"(.*[ _.-])?(id|uuid|guid|key|index|idx|row|rownames|rownumber|nr|number|no|serial)"
    r"|unnamed: ?\d+|[a-z]+(ID|Id|No|Nr)",
    re.IGNORECASE,
)
_TIME = re.compile(r"(.*[ _.-])?(year|yr|date|time|timestamp|month|day|dob|born)([ _.-].*)?", re.I)
_MAX_CLASSES = 30
_SHOWN = 3
_EXAMINED = 200  # columns with the most extreme values
_FAR = 20.0  # standard deviations of all but the most extreme values
_COUNTS = 20  # columns at least, so that their total is a size


def suspicions(
    found: Roles, preparation: Preparation, *, labelled: bool, unit_known: bool
) -> tuple[str, ...]:
    """Return one sentence for each thing that is probably not meant, with the flag that helps.

    `labelled` says that labels are known, and `unit_known` that the source defines the scaling.
    """
    notes = [*_identifiers(found), *_dates(found), *(() if labelled else _labels(found))]
    features_of_one_kind = _pixels(found) or _counts(found)
    if not features_of_one_kind:
        return (*notes, *_extremes(found, preparation))
    if preparation.scale == "auto" and not unit_known:
        notes += features_of_one_kind
    return tuple(notes)


def _identifiers(found: Roles) -> Iterator[str]:
    figures, names = found.profile, []
    for j, name in enumerate(found.measured):
        if not figures.whole[j] or figures.missing[j] or figures.points < 10:
            continue
        column = found.numbers[:, j]
        steps = np.diff(column)
        in_order = bool(steps.size) and abs(steps[0]) == 1 and (steps == steps[0]).all()
        called = found.named and _IDENTIFIER.fullmatch(name) is not None
        if in_order or (called and len(np.unique(column)) == len(column)):
            names.append(name)
    if names:
        yield (
            f"{named_columns(names)} {_looks(names)} like an identifier, with "
            f"a different whole number in every row, and {_is(names)} used as a measurement: "
            f"leave {_it(names)} out with {_drop(names)}"
        )


def _dates(found: Roles) -> Iterator[str]:
    figures, names = found.profile, []
    for j, name in enumerate(found.measured):
        low, high = figures.low[j], figures.high[j]
        year = low >= 1800 and high <= 2100
        day = low >= 18000101 and high <= 21001231
        epoch = low >= 3e8 and high <= 5e12
        called = _TIME.fullmatch(name) is not None
        if found.named and figures.whole[j] and called and (year or day or epoch):
            names.append(name)
    if names:
        yield (
            f"{named_columns(names)} {_looks(names)} like a date, and "
            f"{_is(names)} used as a measurement: leave {_it(names)} out with {_drop(names)}, "
            "unless time is what distinguishes the clusters"
        )


def _labels(found: Roles) -> Iterator[str]:
    for column in found.columns:
        if not found.named or _LABELS.fullmatch(column.name) is None:
            continue
        if column.kind in (CATEGORY, ORDINAL):
            classes = len(column.categories)
        elif column.kind == NUMBER and found.profile.whole[found.measured.index(column.name)]:
            values = found.numbers[:, found.measured.index(column.name)]
            classes = len(np.unique(values[np.isfinite(values)]))
        else:
            continue
        if classes <= min(_MAX_CLASSES, max(2, found.profile.points // 3)):
            yield (
                f"column {column.name!r} looks like labels ({classes} different values), and is "
                f"clustered like any other: use --labels {shlex.quote(column.name)}, which never "
                f"reach the training, or leave it out with {_drop([column.name])}"
            )


def _extremes(found: Roles, preparation: Preparation) -> Iterator[str]:
    """Yield notes on values far from all others: marks for missing values, or outliers."""
    figures = found.profile
    with np.errstate(invalid="ignore", divide="ignore"):
        reach = np.maximum(figures.high - figures.mean, figures.mean - figures.low)
        reach = np.where(figures.deviation > 0, reach / figures.deviation, 0.0)
    order = np.argsort(-reach)[:_EXAMINED]
    marks: dict[float, list[tuple[str, int]]] = {}
    outliers: list[tuple[str, float, int]] = []
    for j in sorted(order[reach[order] > 2.5].tolist()):
        values = np.sort(found.numbers[:, j].astype(np.float64))
        values = values[np.isfinite(values)]
        mark = _mark(values)
        if mark is not None:
            count = int((values == mark).sum())
            marks.setdefault(mark, []).append((found.measured[j], count))
            values = values[values != mark]
        far = _far(values)
        if far is not None and preparation.scale in ("auto", "standard"):
            outliers.append((found.measured[j], *far))
    for mark, columns in marks.items():
        share = sum(count for _, count in columns) / (len(columns) * figures.points)
        names = [name for name, _ in columns]
        yield (
            f"{named_columns(names)} {_has(names)} the value {mark:g} in {_percent(share)} of the "
            "rows, far from all others, as if it meant missing: use "
            f"--missing-value={mark:g} --missing mean"
        )
    if outliers:
        names = [name for name, _, _ in outliers]
        _, value, count = max(outliers, key=lambda one: abs(one[1]))
        total = sum(one[2] for one in outliers)
        yield (
            f"{named_columns(names)} {_has(names)} {total} value{'s' * (total != 1)} more than "
            f"{_FAR:g} standard deviations from the others, such as {value:g} "
            f"({_percent(count / figures.points)} of its rows): use --scale robust, or if it "
            f"means missing, --missing-value={value:g} --missing mean"
        )


def _mark(values: Array) -> float | None:
    """Return an extreme value that is repeated and further away than the others are apart."""
    sides = (
        (values[0], values[values > values[0]]),
        (values[-1], values[values < values[-1]]),
    )
    for mark, others in sides:
        count = len(values) - len(others)
        if len(others) < 10 or count < max(3, 0.002 * len(values)) or count > len(values) / 2:
            continue
        bulk = _bulk(others)
        spread = bulk[-1] - bulk[0]
        gap = min(abs(mark - others[0]), abs(mark - others[-1]))
        if mark == np.round(mark) and spread > 0 and gap > max(spread, 5 * bulk.std()):
            return float(mark)
    return None


def _bulk(values: Array) -> Array:
    """Return sorted values without the outer 2 % on either side."""
    cut = max(1, math.ceil(0.02 * len(values)))
    return values[cut:-cut]


def _far(values: Array) -> tuple[float, int] | None:
    """Return the furthest value beyond `_FAR` deviations of the others, and how many there are."""
    if len(values) < 30:
        return None
    bulk = _bulk(values)
    mean, deviation = bulk.mean(), bulk.std()
    if deviation == 0:
        return None
    distance = np.abs(values - mean) / deviation
    count = int((distance > _FAR).sum())
    return (float(values[distance.argmax()]), count) if count else None


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _pixels(found: Roles) -> list[str]:
    """Return a note if the columns look like the pixels of images."""
    figures, features = found.profile, len(found.measured)
    low, high = np.nanmin(figures.low, initial=np.inf), np.nanmax(figures.high, initial=-np.inf)
    square = any(math.isqrt(features // c) ** 2 * c == features for c in (1, 3))
    shared = ((figures.high == high) & (figures.low == low)).mean() if features else 0.0
    if features < 49 or not square or shared < 0.3 or features != len(found.columns):
        return []
    return [
        f"{features} columns share the range {low:g} to {high:g} like the pixels of an image, and "
        "are scaled one by one: use --scale range, or save the images as (points, height, width)"
    ]


def _counts(found: Roles) -> list[str]:
    """Return a note if the columns look like counts, as of genes or words."""
    figures, features = found.profile, len(found.measured)
    if features < _COUNTS or features != len(found.columns) or not figures.points:
        return []
    whole = bool((figures.whole & (figures.low >= 0)).all()) and not figures.missing.any()
    if not whole or figures.high.max() < 10:
        return []
    overdispersed = (figures.deviation**2 > 1.5 * figures.mean).mean()
    if figures.zeros.sum() < 0.1 * figures.points * features or overdispersed < 0.3:
        return []
    return [
        f"{features} columns look like counts (whole numbers from 0 to {figures.high.max():g}, "
        f"{figures.zeros.sum() / (figures.points * features):.0%} of them 0), and are scaled like "
        "measurements: use --scale log1p"
    ]


def named_columns(names: Sequence[str]) -> str:
    """Return names of columns for a message, at most three of them."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"column{'s' * (len(names) > 1)} {', '.join(map(repr, names[:_SHOWN]))}{more}"


def _number(one: str, many: str) -> Callable[[Sequence[str]], str]:
    return lambda names: one if len(names) == 1 else many


_has, _looks = _number("has", "have"), _number("looks", "look")
_is, _it = _number("is", "are"), _number("it", "them")


def _drop(names: Sequence[str]) -> str:
    return f"--drop {shlex.quote(join_names(names))}" if len(names) <= 8 else "--drop"
