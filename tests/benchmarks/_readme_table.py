"""The short table of the README: the best result of every method beside its paper's figure."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from tests.benchmarks._common import mean_and_sd

LEAST_REPLICAS = 3
_HEADER = (
    "| data | method | accuracy | chosen | paper | points, passes | preset | on |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
)

Document = Mapping[str, Any]


def readme_table(documents: Sequence[Document], papers: Mapping[tuple[str, str, str], str]) -> str:
    """Return the table as Markdown, with the best methods first and MNIST before other data."""
    best = sorted(map(_best, _groups(documents)), key=_place)
    return "\n".join([*_HEADER, *(_line(document, papers) for document in best)])


def preset_text(document: Document) -> str:
    """Return the presets of a result, and how many settings differ from them."""
    if "preset" not in document:  # a version wrote it that did not say
        return ""
    names, changed = ", ".join(document["preset"]) or "none", len(document["changed"])
    return f"{names}; {changed} changed" if changed else names


def chosen_text(document: Document) -> str:
    """Return the accuracy of the replica with the highest score."""
    scores, accuracy = document["scores"], document["test"]["hungarian"]
    return f"{accuracy[int(np.argmax(scores))]:.1f}" if scores else ""


def _groups(documents: Sequence[Document]) -> list[list[Document]]:
    """Return the results that count, by data and method."""
    counted = [
        document
        for document in documents
        if document["failure"] is None and document["replicas"] >= LEAST_REPLICAS
    ]
    ordered = sorted(counted, key=_group)
    return [list(group) for _, group in groupby(ordered, key=_group)]


def _group(document: Document) -> tuple[str, str]:
    return document["dataset"], document["method"]


def _best(documents: Sequence[Document]) -> Document:
    """Return the most accurate one of the results on the most points."""
    return max(documents, key=lambda document: (document["points"], _accuracy(document)))


def _accuracy(document: Document) -> float:
    return float(np.mean(document["test"]["hungarian"]))


def _place(document: Document) -> tuple[bool, str, float]:
    return document["dataset"] != "mnist", document["dataset"], -_accuracy(document)


def _line(document: Document, papers: Mapping[tuple[str, str, str], str]) -> str:
    accuracy = document["test"]["hungarian"]
    cells = [
        document["dataset"],
        f"`{document['method']}`" + (f" {document['note']}" if document["note"] else ""),
        f"{mean_and_sd(accuracy, percent=True)} ({max(accuracy):.1f})",
        chosen_text(document),
        papers.get((document["method"], document["dataset"], ""), ""),
        f"{document['points']:,}, {document['passes']}",
        preset_text(document),
        document["device"],
    ]
    return "| " + " | ".join(cells) + " |"
