"""What is said of data: their columns, their scaling, what is left out, what identifies them."""

import json
from collections.abc import Iterator
from typing import Any

from .encoding import ArrayEncoder, Encoder
from .preparation import Preparation
from .scaling import Scaling
from .table.columns import BOOLEAN, CATEGORY, CONSTANT, NUMBER, ORDINAL, VECTOR
from .table.encoding import TableEncoder
from .table.suspicions import named_columns

_PLURALS = {
    NUMBER: "numbers",
    BOOLEAN: "booleans",
    CATEGORY: "categories",
    ORDINAL: "ordinals",
    VECTOR: "vectors",
}


def describe(encoder: Encoder, rule: str, scaling: Scaling) -> str:
    """Return in words what the points are and how they are scaled."""
    feature = "column" if isinstance(encoder, TableEncoder) else "pixel"
    if isinstance(encoder, TableEncoder) and {kind for kind, _, _ in encoder.segments} == {VECTOR}:
        feature = "vector"
    return f"{points_text(encoder)}, {_words(rule, scaling, feature)}"


def rule_identity(rule: str, encoder: Encoder, preparation: Preparation) -> str:
    """Return what identifies a scaling rule and the encoding before it.

    A table without names and with nothing to encode is identified by the rule alone.
    """
    text = "standardised" if rule == "standard" else rule
    if not isinstance(encoder, TableEncoder):
        return text
    if not encoder.named and all(column.plain for column in encoder.columns):
        return text
    described = [_identity(column.to_mapping()) for column in encoder.columns]
    return f"{text}; {json.dumps([preparation.missing, list(encoder.missing), described])}"


def constants_note(encoder: Encoder) -> Iterator[str]:
    """Yield a note on columns that are left out for their single value, if there are any."""
    columns = encoder.columns if isinstance(encoder, TableEncoder) else ()
    constant = [column.name for column in columns if column.kind == CONSTANT]
    if constant:
        one = len(constant) == 1
        yield (
            f"{named_columns(constant)} {'has' if one else 'have'} a single value and "
            f"{'is' if one else 'are'} left out"
        )


def points_text(encoder: Encoder) -> str:
    """Return in words what the points are."""
    if isinstance(encoder, ArrayEncoder):
        sizes = " × ".join(map(str, encoder.shape))
        turned = ", given with channels last" if encoder.channels_last else ""
        return f"points of {sizes}{turned}"
    assert isinstance(encoder, TableEncoder)
    kinds = [column.kind for column in encoder.columns if column.kind != CONSTANT]
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    parts = [
        f"{count:,} {_PLURALS[kind] if count > 1 else kind}" for kind, count in counts.items()
    ]
    return f"columns: {', '.join(parts)}"


def _identity(column: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in column.items() if key != "fill"}


def _words(rule: str, scaling: Scaling, feature: str) -> str:
    """Return what a rule does with the features, which are columns or pixels."""
    low, scale = float(scaling.shift.min()), float(scaling.scale.max())
    if feature == "vector" and rule in ("standard", "robust"):
        return "centred, and each vector divided by one number"
    return {
        "standard": f"each {feature} standardised to mean 0 and variance 1",
        "robust": f"each {feature} scaled by median and interquartile range, clipped at ±10",
        "log1p": "log(1 + count) with equal totals, then each column standardised",
        "range": f"all values brought from one range, {low:g} to {low + scale:g}, to [0, 1]",
        "unit": f"centred, and all values divided by {scale:.4g}",
        "none": "not scaled",
    }[rule]
