"""Datasets: scaled points, their split, and labels that only audits use."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np

from ..errors import DataError, UsageError
from . import rules
from .content import Content, Labels
from .description import describe, points_text, rule_identity
from .parts import Parts, image_parts, inferred_parts, table_parts
from .preparation import INFERRED, Preparation
from .preprocessor import Preprocessor
from .scaling import Array, Floats, Scaling, Shape, blocks
from .table.columns import VECTOR
from .table.encoding import TableEncoder


@final
@dataclass(frozen=True, eq=False)
class Dataset:
    """Scaled training and test points (N, *shape), with labels if they are known.

    `train_labels` and `test_labels` are codes, indices into `label_names`. Neither training nor
    model selection uses them. `preprocessor` maps raw data to scaled data. `fingerprint` is the
    sha256 of the encoded points, their split, their encoding and the scaling rule. It does not
    cover the labels, because they do not affect training. `description` says in words what the
    points are and how they are scaled. `notes` are sentences about what was left out, and
    `warnings` about columns and values that are probably not meant.
    """

    name: str
    train: Floats
    test: Floats
    train_labels: Labels | None
    test_labels: Labels | None
    label_names: tuple[str, ...]
    preprocessor: Preprocessor
    fingerprint: str
    description: str = ""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs: of arrays that are mapped, the paths of their files.

        All processes of a machine then share one copy of them, which need not fit into memory.
        """
        return {name: _MappedFile.of(value) for name, value in self.__dict__.items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        opened = {k: v.open() if isinstance(v, _MappedFile) else v for k, v in state.items()}
        self.__dict__.update(opened)

    @property
    def shape(self) -> Shape:
        """The shape of one point."""
        return self.train.shape[1:]

    @cached_property
    def unit_interval(self) -> bool:
        """Whether all scaled points lie within [0, 1]."""
        parts = [part for part in (self.train, self.test) if part.size]
        return all(part.min() >= 0 and part.max() <= 1 for part in parts)


@final
@dataclass(frozen=True)
class _MappedFile:
    """A .npy file in place of the array that it holds."""

    path: str

    @classmethod
    def of(cls, value: Any) -> Any:
        """Return the file of a mapped array, and any other value as it is."""
        return cls(str(value.filename)) if isinstance(value, np.memmap) else value

    def open(self) -> Any:
        """Return the array, mapped."""
        try:
            return np.load(self.path, mmap_mode="r")
        except OSError as error:
            raise DataError(
                f"the scaled points {self.path} cannot be read ({error.strerror}): set "
                "TUNER_DATA_HOME to a folder that all machines share"
            ) from error


def prepare_dataset(
    name: str, content: Content, *, where: str, preparation: Preparation | None = None
) -> Dataset:
    """Check raw data, encode them, split them unless a test part is published, and scale them.

    `where` names the source in error messages. The split puts a fifth of the points into the test
    part, drawn with a fixed seed and without using labels.
    """
    preparation = Preparation() if preparation is None else preparation
    parts = parts_of(content, preparation, where)
    return dataset_of(name, parts, content, preparation, where)


def parts_of(content: Content, preparation: Preparation, where: str) -> Parts:
    """Return the training and the test part as numbers."""
    if preparation.scale == INFERRED:
        return inferred_parts(content, where)
    if content.is_table:
        return table_parts(content, preparation, where)
    return image_parts(content, preparation, where)


def dataset_of(
    name: str, parts: Parts, content: Content, preparation: Preparation, where: str
) -> Dataset:
    """Return a dataset of both parts, scaled. Raises DataError for warnings that are strict."""
    if preparation.strict:
        refuse_warnings(parts.warnings, where)
    scaling, rule, description = _scaling(parts, content, preparation)
    return Dataset(
        name=name,
        train=scaling.apply(parts.x),
        test=scaling.apply(parts.x_test),
        train_labels=parts.y,
        test_labels=parts.y_test,
        label_names=parts.label_names,
        preprocessor=Preprocessor(parts.encoder, scaling),
        fingerprint=_fingerprint(parts.x, parts.x_test, parts.split, rule, parts.kind),
        description=description,
        notes=parts.notes,
        warnings=parts.warnings,
    )


def refuse_warnings(warnings: Sequence[str], where: str) -> None:
    """Raise DataError if there are any."""
    if warnings:
        raise DataError(
            f"{where} is refused, as --strict asks: {'; '.join(warnings)}: or leave out --strict"
        )


def _scaling(parts: Parts, content: Content, preparation: Preparation) -> tuple[Scaling, str, str]:
    """Return the scaling of the training part, what identifies it, and what it is in words."""
    encoder, rule = parts.encoder, preparation.scale
    if rule == INFERRED:
        columns = encoder.columns if isinstance(encoder, TableEncoder) else ()
        vectors = any(column.kind == VECTOR for column in columns)
        widths = [column.width for column in columns] if vectors else []
        scaling, rule = rules.fit_inferred(parts.x, content.unit, widths)
        return scaling, rule, f"{points_text(encoder)}, {rule}"
    if rule == "auto" and content.unit is not None:
        scaling, rule = rules.known_unit(content.unit)
        return scaling, rule, f"{points_text(encoder)}, {rule}"
    table = isinstance(encoder, TableEncoder)
    segments = encoder.segments if isinstance(encoder, TableEncoder) else ()
    if rule == "auto":
        rule = "standard" if table else "range"
    if rule == "log1p" and not table:
        raise UsageError("--scale log1p is for tables of counts, not for images: choose range")
    scaling = rules.fit_scaling(parts.x, rule, segments, others=parts.x_test)
    identity = rule_identity(rule, encoder, preparation)
    return scaling, identity, describe(encoder, rule, scaling)


def _fingerprint(train: Array, test: Array, split: str, rule: str, kind: np.dtype[Any]) -> str:
    """Return the sha256 of both parts as `kind`, the split, the encoding and the scaling rule.

    The rule is hashed instead of the fitted numbers, whose last bits may differ between machines.
    """
    digest = hashlib.sha256(f"{split}; {rule}".encode())
    for part in (train, test):
        digest.update(f"; {kind.str} {part.shape}; ".encode())
        for rows in blocks(part):
            digest.update(np.ascontiguousarray(part[rows], kind).data)
    return digest.hexdigest()
