"""What a page is made of: sections of paragraphs, tables, charts, pictures and code."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from markupsafe import Markup


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain text."""

    kind: ClassVar[str] = "paragraph"
    text: str


@dataclass(frozen=True)
class Listing:
    """A list of sentences."""

    kind: ClassVar[str] = "listing"
    items: Sequence[str]


@dataclass(frozen=True)
class Code:
    """Text that is meant to be copied, or that a program has written."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Table:
    """A table; `numbers` are the columns that are aligned to the right."""

    kind: ClassVar[str] = "table"
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Chart:
    """A drawing with its caption; `keys` are the classes of its marks and what they mean."""

    kind: ClassVar[str] = "chart"
    svg: Markup
    caption: str
    keys: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Image:
    """A picture in a PNG file, as base64 text, with its size in pixels."""

    kind: ClassVar[str] = "image"
    base64: Markup
    alt: str
    caption: str
    width: int
    height: int


Block = Paragraph | Listing | Code | Table | Chart | Image


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading, which links lead to by its anchor."""

    anchor: str
    heading: str
    blocks: Sequence[Block] = field(default_factory=tuple)


def facts_table(facts: Sequence[tuple[str, str]]) -> Table:
    """Return names and values as a table, without those that have no value."""
    return Table(("", ""), [pair for pair in facts if pair[1]])
