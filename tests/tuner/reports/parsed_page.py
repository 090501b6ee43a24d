"""A page as a browser sees it: its elements, links, and the text of each section."""

from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "img", "link", "br", "hr", "input"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    section: str


@dataclass
class Page:
    elements: list[Element] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    unclosed: list[str] = field(default_factory=list)

    @property
    def sections(self) -> list[str]:
        return [e.attributes["id"] or "" for e in self.elements if e.tag == "section"]

    @property
    def tags(self) -> Counter[str]:
        return Counter(element.tag for element in self.elements)

    def charts(self, section: str) -> list[str]:
        """Return the titles of the charts of a section."""
        drawn = [e for e in self.elements if e.tag == "svg" and e.section == section]
        return [e.attributes["aria-label"] or "" for e in drawn if "aria-label" in e.attributes]

    @property
    def addresses(self) -> list[str]:
        return [
            e.attributes[name] or ""
            for e in self.elements
            for name in ("src", "href", "srcset", "xlink:href", "data", "action")
            if name in e.attributes
        ]


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page, self.open, self.section = Page(), list[str](), ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "section":
            self.section = attributes["id"] or ""
        self.page.elements.append(Element(tag, attributes, self.section))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.page.elements.append(Element(tag, dict(attrs), self.section))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        opened = self.open.pop()
        assert opened == tag, f"</{tag}> closes <{opened}>"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            texts = self.page.texts
            texts[self.section] = texts.get(self.section, "") + data


def parsed(text: str) -> Page:
    """Return a page; every element in it is closed by its own tag."""
    parser = _Parser()
    parser.feed(text)
    parser.close()
    parser.page.unclosed = parser.open
    return parser.page
