"""The training and the test part of raw data, as numbers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, UsageError
from . import axes, checks
from .content import Content, Labels
from .description import constants_note
from .encoding import ArrayEncoder, Encoder
from .preparation import Preparation
from .scaling import Array
from .table import cells
from .table.columns import CONSTANT, VECTOR, Column
from .table.encoding import TableEncoder
from .table.filling import filled
from .table.roles import Roles, roles
from .table.selection import Table
from .table.suspicions import suspicions

SPLIT_SEED = 20170526
_TABLE_KIND = np.dtype(np.float64)


@final
@dataclass(frozen=True, eq=False)
class Parts:
    """Both parts of the data as numbers, (N, *shape), not scaled yet.

    `kind` is the type in which they are identified, so that the same numbers of another type are
    the same data. `notes` are about what was left out, `warnings` about what is hardly meant.
    `roles` are what the columns of a table are taken for.
    """

    x: Array
    x_test: Array
    y: Labels | None
    y_test: Labels | None
    label_names: tuple[str, ...]
    split: str
    encoder: Encoder
    kind: np.dtype[Any]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    roles: Roles | None = None


def image_parts(content: Content, preparation: Preparation, where: str) -> Parts:
    """Return images, channels first."""
    _require_no_columns(preparation, where)
    assert isinstance(content.x, np.ndarray)
    x, x_test = _checked(content, content.x, where)
    encoder = ArrayEncoder(x.shape[1:], axes.channels_last(x.shape[1:], where))
    x, x_test = encoder.encode(x), None if x_test is None else encoder.encode(x_test)
    # a built-in source has one type, by which its searches have been identified
    kind = x.dtype if content.unit is not None else checks.smallest_type(x)
    return _parted(content, x, x_test, encoder, kind, where)


def inferred_parts(content: Content, where: str) -> Parts:
    """Return points as searches recorded before there was a choice had them."""
    x, x_test = _checked(content, checks.one_array(content.x), where)
    encoder: Encoder = ArrayEncoder(x.shape[1:])
    if isinstance(content.x, Mapping):
        widths = {name: np.shape(values)[1:] for name, values in content.x.items()}
        columns = [
            Column(name=name, kind=VECTOR, width=width[0]) if width else Column(name=name)
            for name, width in widths.items()
        ]
        encoder = TableEncoder(tuple(columns), content.columns != ())
    return _parted(content, x, x_test, encoder, x.dtype, where)


def table_parts(content: Content, preparation: Preparation, where: str) -> Parts:
    """Return the rows of a table, with its columns encoded as what they are taken for."""
    labels = content.label_column
    found = roles(_table(content, where), content.columns, preparation, where, labels=labels)
    encoder = found.encoder(preparation)
    warnings = suspicions(found, preparation, unit_known=content.unit is not None)
    notes = (*content.notes, *constants_note(encoder), *_rows_note(found, preparation))
    content = replace(content, notes=notes, warnings=(*content.warnings, *warnings))
    kept = np.arange(found.points)
    if preparation.missing == "drop":
        kept = _complete_rows(found.complete, where)
        if content.y is not None:  # checked with all rows, to which messages refer
            content = replace(content, y=checks.labels(content.y, found.points, where)[kept])
    if preparation.missing in ("mean", "indicator"):
        training = kept if content.x_test is not None else kept[split_rows(len(kept))[0]]
        encoder = filled(encoder, found, training)
    numbers = encoder.encode(_rows(found.table, kept))
    x_test = None
    if content.x_test is not None:
        content, x_test = _published_test(content, found, encoder, preparation, where)
    return replace(_parted(content, numbers, x_test, encoder, _TABLE_KIND, where), roles=found)


def _table(content: Content, where: str) -> Any:
    """Return points as an array or a mapping of columns with at least two rows."""
    x = content.x
    if isinstance(x, np.ndarray):
        checks.require_points(x.dtype, x.shape, where)
        checks.require_clusters(x, where)
        return checks.native(x)
    points = len(next(iter(x.values())))
    if points < 2:
        checks.require_clusters(np.zeros((points, 1)), where)
    return x


def _rows_note(found: Roles, preparation: Preparation) -> Iterator[str]:
    """Yield a note on rows that are left out, if there are any."""
    gaps = int((~found.complete).sum()) if found.gaps else 0
    if gaps and preparation.missing == "drop":
        yield f"{gaps:,} of {len(found.complete):,} rows lack values and are left out"


def _complete_rows(complete: NDArray[np.bool_], where: str) -> NDArray[np.int64]:
    kept = np.flatnonzero(complete)
    if len(kept) < 2:
        raise DataError(
            f"{where} has {len(kept)} rows without missing values: use --missing mean, or "
            "leave out the columns that lack them with --drop"
        )
    return kept


def _rows(table: Table, kept: NDArray[np.int64]) -> Any:
    """Return some rows of a table, in the form of the whole."""
    if not isinstance(table, Mapping):
        return table if len(kept) == len(table) else table[kept]
    return {
        name: values[kept] if isinstance(values, np.ndarray) else _taken(values, name, kept)
        for name, values in table.items()
    }


def _taken(values: Any, name: str, kept: NDArray[np.int64]) -> Any:
    return cells.as_series(values, name).iloc[kept]


def _published_test(
    content: Content, found: Roles, encoder: TableEncoder, preparation: Preparation, where: str
) -> tuple[Content, Array]:
    """Return the published test part of an array, with the columns of its training part.

    Rows with missing values are left out, with their labels, if those of the training part are.
    """
    x, x_test = content.x, content.x_test
    assert isinstance(x, np.ndarray)
    assert x_test is not None
    where = f"the test part of {where}"
    checks.require_points(x_test.dtype, x_test.shape, where)
    checks.require_compatible(x, x_test, where)
    place = {name: i for i, name in enumerate(content.columns or map(str, range(x.shape[1])))}
    x_test = checks.native(x_test)[:, [place[column.name] for column in found.columns]]
    if preparation.missing == "drop":
        marks = cells.as_numbers(tuple(preparation.missing_values))
        used = np.array([column.kind != CONSTANT for column in found.columns])
        gone = (np.isnan(x_test) | np.isin(x_test, marks))[:, used].any(axis=1)
        kept = _complete_rows(np.asarray(~gone), where)
        if content.y_test is not None:
            y_test = checks.labels(content.y_test, len(x_test), where)[kept]
            content = replace(content, y_test=y_test)
        x_test = x_test[kept]
    try:
        numbers = checks.points(encoder.encode(x_test), where, encoder.features)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    return replace(content, x_test=numbers), numbers


def _checked(content: Content, x: Array, where: str) -> tuple[Array, Array | None]:
    x = checks.points(x, where, content.columns)
    checks.require_clusters(x, where)
    if content.x_test is None:
        return x, None
    x_test = checks.points(content.x_test, f"the test part of {where}", content.columns)
    checks.require_compatible(x, x_test, where)
    return x, x_test


def _parted(
    content: Content,
    x: Array,
    x_test: Array | None,
    encoder: Encoder,
    kind: np.dtype[Any],
    where: str,
) -> Parts:
    """Return points as training and test part, split here unless the source has a test part."""
    y, y_test, names = _encode_labels(content, len(x), where)
    split = "published"
    if x_test is None:
        rows, test_rows = split_rows(len(x))
        x, x_test, split = x[rows], x[test_rows], f"split {SPLIT_SEED}"
        y, y_test = (None, None) if y is None else (y[rows], y[test_rows])
    return Parts(
        x, x_test, y, y_test, names, split, encoder, kind, content.notes, content.warnings
    )


def _require_no_columns(preparation: Preparation, where: str) -> None:
    if preparation.names_columns or preparation.missing != "refuse" or preparation.missing_values:
        raise UsageError(
            f"{where} holds images, which have no columns: leave out --columns, --drop, "
            "--categories, --ordinal, --missing and --missing-value"
        )


def split_rows(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of the training part (four fifths) and of the test part."""
    order = np.random.default_rng(SPLIT_SEED).permutation(n)
    return order[: n * 4 // 5], order[n * 4 // 5 :]


def _encode_labels(
    content: Content, points: int, where: str
) -> tuple[Labels | None, Labels | None, tuple[str, ...]]:
    """Return the labels of both parts as codes of the sorted classes, and the classes' names."""
    if content.y_test is not None and content.x_test is None:
        raise DataError(f"{where} has test labels but no test points: add x_test or remove y_test")
    y = None if content.y is None else checks.labels(content.y, points, where)
    y_test = None
    if content.y_test is not None and content.x_test is not None:
        y_test = checks.labels(content.y_test, len(content.x_test), f"the test part of {where}")
    known = [part for part in (y, y_test) if part is not None]
    if not known:
        return None, None, ()
    codes, names = encode_classes(np.concatenate(known), where)
    n, names = 0 if y is None else len(y), content.label_names or names
    return None if y is None else codes[:n], None if y_test is None else codes[n:], names


def encode_classes(y: Array, where: str) -> tuple[Labels, tuple[str, ...]]:
    """Return labels (N,) as codes of the sorted classes, and their names."""
    values, codes = np.unique(y, return_inverse=True)
    if len(values) < 2:
        raise DataError(
            f"the labels of {where} name a single class, {str(values[0])!r}: give labels of at "
            "least 2 classes, or leave them out"
        )
    return codes.astype(np.int64), tuple(map(str, values.tolist()))
