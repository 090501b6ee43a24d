"""Data too large to be held in memory: scaled block by block into a file that is mapped.

One pass gathers the statistics and a second one writes the scaled points. The files are kept, so
that a search resumes on them, and are shared by all processes of a machine.
"""

import hashlib
import json
import math
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, DiskError, UsageError
from . import axes, rules
from .dataset import Dataset, refuse_warnings
from .description import constants_note, describe, rule_identity
from .encoding import ArrayEncoder, Encoder
from .formats.blockwise import Source, source
from .formats.files import require_applicable
from .formats.images import home
from .parts import SPLIT_SEED, encode_classes
from .preparation import INFERRED, Preparation, join_names
from .preprocessor import Preprocessor, encoder_from
from .scaling import Array, Scaling
from .table.columns import BOOLEAN, CONSTANT, NUMBER, VECTOR
from .table.encoding import TableEncoder
from .table.profile import MAX_VALUE, Profile, Profiler
from .table.roles import Roles, roles
from .table.suspicions import suspicions

LARGE = 2**30
"""Bytes of the scaled points above which they are kept in a file."""

_MOST_TESTED = 100_000
_RULES = ("auto", "standard", "range", "unit", "none")
_DOCUMENT, _SCALING, _LABELS = "dataset.json", "scaling.npz", "labels.npz"
_SCHEMA = 1


def large_source(
    path: Path, labels: str | None, preparation: Preparation, where: str
) -> Source | None:
    """Return the source of a file whose scaled points are large, None for all others."""
    if preparation.scale == INFERRED:
        return None
    require_applicable(path, preparation)
    found = source(path, labels, where)
    size = np.dtype(np.float32).itemsize
    return found if found is not None and found.values * size > LARGE else None


def load_large(name: str, found: Source, preparation: Preparation) -> Dataset:
    """Return a dataset whose points are mapped from a file, which is written if it is not there.

    The test part is drawn with a fixed seed, a fifth of the points but at most 100,000. Raises
    DataError, and UsageError for a preparation that needs all points at once.
    """
    _check(preparation, found.where)
    found.check()
    folder = home() / "mapped" / _key(found, preparation)
    try:
        dataset = _opened(name, folder)
    except (EOFError, KeyError, OSError, ValueError, zipfile.BadZipFile):  # absent or damaged
        shutil.rmtree(folder, ignore_errors=True)
        _write(found, preparation, folder)
        dataset = _opened(name, folder)
    if preparation.strict:
        refuse_warnings(dataset.warnings, found.where)
    return dataset


def _check(preparation: Preparation, where: str) -> None:
    given = [
        (preparation.scale not in _RULES, f"--scale {preparation.scale}"),
        (preparation.missing != "refuse", f"--missing {preparation.missing}"),
        (bool(preparation.missing_values), "--missing-value"),
        (bool(preparation.ordinal), "--ordinal"),
        (bool(preparation.categories), "--categories"),
    ]
    for wrong, flag in given:
        if wrong:
            raise UsageError(
                f"{flag} needs all points at once, but {where} is large and read block by block: "
                "leave it out, or use a sample of the points"
            )


def _key(found: Source, preparation: Preparation) -> str:
    """Return a name that changes with the file and with how it is prepared."""
    status = found.path.stat()
    text = [str(found.path.resolve()), status.st_size, status.st_mtime_ns, found.labels, _SCHEMA]
    plain = replace(preparation, strict=False, drop=sorted(preparation.drop))
    document = json.dumps([*text, plain.to_mapping()], sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()[:16]


def _write(found: Source, preparation: Preparation, folder: Path) -> None:
    """Write scaled points and what belongs to them to a new folder, all or nothing."""
    size = found.values * np.dtype(np.float32).itemsize
    try:
        there = next(parent for parent in folder.parents if parent.exists())
        free = shutil.disk_usage(there).free
        if size > free:
            raise DiskError(
                f"{folder.parent} has {free / 2**30:.3g} GiB left but the scaled points of "
                f"{found.where} need {size / 2**30:.3g}: set TUNER_DATA_HOME to a larger disk"
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            with _unchanged(found):
                _fill(found, preparation, Path(scratch) / "new")
            try:
                os.replace(Path(scratch) / "new", folder)
            except OSError:
                if not (folder / _DOCUMENT).exists():  # else another process was faster
                    raise
    except OSError as error:
        raise DiskError(
            f"the scaled points of {found.where} cannot be written to {folder.parent} "
            f"({error.strerror or error}): set TUNER_DATA_HOME to a folder that can be written to"
        ) from error


@contextmanager
def _unchanged(found: Source) -> Iterator[None]:
    """Raise DataError if the file changes meanwhile, whatever that leads to."""
    before = found.path.stat()
    try:
        yield
    finally:
        after = found.path.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise DataError(
                f"{found.where} was changed while it was read: try again once it is complete"
            )


def _fill(found: Source, preparation: Preparation, folder: Path) -> None:
    """Fill a folder with scaled points, labels, scaling and a document of all else."""
    folder.mkdir()
    draft, seen = _draft(found, preparation)
    tested = _test_rows(found.points)
    first = _first_pass(found, draft, tested)
    encoder, kept = _without_constants(draft, first, found.where)
    rule = preparation.scale
    if rule == "auto":
        rule = "standard" if isinstance(encoder, TableEncoder) else "range"
    segments = encoder.segments if isinstance(encoder, TableEncoder) else ()
    scaling = rules.shaped(first.moments.of(kept).scaling(rule, segments), encoder.shape)
    identity = rule_identity(rule, encoder, preparation)
    preprocessor = Preprocessor(encoder, scaling)
    fingerprint = _second_pass(found, draft, kept, tested, preprocessor, folder, identity)
    names: tuple[str, ...] = ()
    if first.labels is not None:
        codes, names = encode_classes(first.labels, found.where)
        np.savez(folder / _LABELS, train=codes[~tested], test=codes[tested])
    np.savez(folder / _SCALING, **scaling.to_arrays())  # type: ignore[arg-type]
    document = {
        "encoder": encoder.to_mapping(),
        "label_names": list(names),
        "fingerprint": fingerprint,
        "description": describe(encoder, rule, scaling),
        "notes": [*constants_note(encoder), *_judged(seen)],
        "warnings": [] if seen is None else suspicions(seen, preparation, unit_known=False),
    }
    (folder / _DOCUMENT).write_text(json.dumps(document), encoding="utf-8")


def _judged(seen: Roles | None) -> list[str]:
    return [] if seen is None else [f"warnings are judged by the first {seen.points:,} rows"]


def _draft(found: Source, preparation: Preparation) -> tuple[Encoder, Roles | None]:
    """Return an encoder of all columns that are used, and what the first rows are taken for."""
    first, _ = next(iter(found.blocks()))
    if isinstance(first, np.ndarray) and first.ndim > 2:
        if preparation.names_columns:
            raise UsageError(
                f"{found.where} holds images, which have no columns: leave out --columns and "
                "--drop"
            )
        return ArrayEncoder(found.point, axes.channels_last(found.point, found.where)), None
    names = () if isinstance(first, np.ndarray) else tuple(first)
    labels = found.labels or ""
    lenient = replace(preparation, missing="mean")  # gaps are refused later, with their row
    seen = roles(first, names, lenient, found.where, labels=labels, constants=True)
    texts = [c.name for c in seen.columns if c.kind not in (NUMBER, BOOLEAN, VECTOR)]
    if texts:
        raise DataError(
            f"column {texts[0]!r} of {found.where} holds no numbers, but large tables are read "
            f"block by block and need them: use --drop {join_names(texts)}, or a sample of rows"
        )
    # later blocks may lack values, which are counted before they are refused
    encoder = seen.encoder(preparation)
    gaps = tuple(replace(column, fill=np.nan) for column in encoder.columns)
    return replace(encoder, columns=gaps), seen


@final
@dataclass(frozen=True, eq=False)
class _FirstPass:
    """Statistics of all features, and the labels of all points."""

    profile: Profile
    moments: rules.Moments
    labels: Array | None


def _first_pass(found: Source, draft: Encoder, tested: NDArray[np.bool_]) -> _FirstPass:
    moments, profiler, labels = rules.Moments(), Profiler(math.prod(draft.shape)), []
    start = 0
    for raw, y in found.blocks():
        numbers = _numbers(draft, raw, start)
        _require_finite(draft, numbers, start, found.where)
        profiler.add(numbers)
        test = tested[start : start + len(numbers)]
        moments.add(numbers[~test])
        moments.add_range(numbers[test])
        labels.append(y)
        start += len(numbers)
    known = [y for y in labels if y is not None]
    return _FirstPass(profiler.result(), moments, np.concatenate(known) if known else None)


def _second_pass(
    found: Source,
    draft: Encoder,
    kept: NDArray[np.bool_],
    tested: NDArray[np.bool_],
    preprocessor: Preprocessor,
    folder: Path,
    identity: str,
) -> str:
    """Write both parts, scaled, and return the fingerprint of the encoded points."""
    digest = hashlib.sha256(f"in the order of the file; {identity}".encode())
    train, test = (
        np.lib.format.open_memmap(
            folder / f"{name}.npy", "w+", np.float32, (int(rows.sum()), *preprocessor.shape)
        )
        for name, rows in (("train", ~tested), ("test", tested))
    )
    start = filled = 0
    for raw, _ in found.blocks():
        numbers = _numbers(draft, raw, start)[:, kept].reshape(-1, *preprocessor.shape)
        digest.update(np.ascontiguousarray(numbers, np.float64).data)
        scaled = preprocessor.scaling.apply(numbers)
        rows = tested[start : start + len(numbers)]
        taken = filled + int((~rows).sum())
        train[filled:taken] = scaled[~rows]
        test[start - filled : start - filled + int(rows.sum())] = scaled[rows]
        start, filled = start + len(numbers), taken
    train.flush()
    test.flush()
    return digest.hexdigest()


def _numbers(draft: Encoder, raw: Any, start: int) -> Array:
    """Return the block that begins at row `start` as numbers (n, F), flat."""
    if isinstance(draft, TableEncoder) and not isinstance(raw, np.ndarray):
        raw = {column.name: raw[column.name] for column in draft.columns}
    try:
        numbers = draft.encode(raw)
    except DataError as error:
        raise DataError(f"{error} (rows are counted from row {start:,} of the file)") from None
    return numbers.reshape(len(numbers), -1)


def _require_finite(draft: Encoder, numbers: Array, start: int, where: str) -> None:
    if numbers.dtype.kind != "f":
        return
    wrong = ~(np.abs(numbers) <= MAX_VALUE)  # true for NaN as well
    if wrong.any():
        row, j = (int(place) for place in np.argwhere(wrong)[0])
        if isinstance(draft, TableEncoder):
            place, remedy = (
                f"column {draft.features[j]!r}",
                "leave out the column with --drop, or ",
            )
        else:
            place, remedy = f"position {j} of the flat points", ""
        raise DataError(
            f"{where} holds {numbers[row, j]:g} in row {start + row:,}, {place}: fill it in, "
            f"{remedy}remove the row"
        )


def _without_constants(
    draft: Encoder, first: _FirstPass, where: str
) -> tuple[Encoder, NDArray[np.bool_]]:
    """Return the encoder without columns of one value, and the features that are kept."""
    profile = first.profile
    flat = profile.low == profile.high
    if flat.all():
        raise DataError(f"all points of {where} are equal: provide points that differ")
    kept = np.ones(len(flat), np.bool_)
    if not isinstance(draft, TableEncoder):
        return draft, kept
    columns, start = [], 0
    for column in draft.columns:
        column = replace(column, fill=None)
        if column.kind != VECTOR and flat[start]:
            value = float(profile.low[start])
            column, kept[start] = replace(column, kind=CONSTANT, value=value), False
        columns.append(column)
        start += column.width
    return replace(draft, columns=tuple(columns)), kept


def _test_rows(points: int) -> NDArray[np.bool_]:
    """Return which rows are the test part: a fifth of them, but about 100,000 at most."""
    share = min(0.2, _MOST_TESTED / points)
    return np.random.default_rng(SPLIT_SEED).random(points, np.float32) < share


def _arrays(path: Path) -> dict[str, Array]:
    with path.open("rb") as stream, np.load(stream) as stored:
        return dict(stored)


def _opened(name: str, folder: Path) -> Dataset:
    document = json.loads((folder / _DOCUMENT).read_text(encoding="utf-8"))
    scaling = Scaling.from_arrays(_arrays(folder / _SCALING))
    labels = _arrays(folder / _LABELS) if (folder / _LABELS).exists() else {}
    return Dataset(
        name=name,
        train=np.load(folder / "train.npy", mmap_mode="r"),
        test=np.load(folder / "test.npy", mmap_mode="r"),
        train_labels=labels.get("train"),
        test_labels=labels.get("test"),
        label_names=tuple(document["label_names"]),
        preprocessor=Preprocessor(encoder_from(document["encoder"]), scaling),
        fingerprint=document["fingerprint"],
        description=document["description"],
        notes=(*document["notes"], f"the scaled points are kept in {folder}"),
        warnings=tuple(document["warnings"]),
    )
