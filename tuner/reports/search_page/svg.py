"""Inline SVG: shapes with tooltips on a canvas, and a plot with two axes.

Colours, strokes and fonts are set by classes in the style of the page.
"""

from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

from ...redaction import redact
from .scales import Scale, label

WIDTH = 480
_CHARACTER = 7.0  # width of one at the size of the page's style
_TOP, _RIGHT, _BOTTOM = 26, 14, 40
Point = tuple[float, float]


class Canvas:
    """A drawing with its own measures, which a page shows at any size; "" is no title."""

    def __init__(self, title: str, height: float, width: float = WIDTH) -> None:
        self.title, self.width, self.height = title, width, height
        self._parts: list[Markup] = []

    def line(self, start: Point, end: Point, css: str, tip: str = "") -> None:
        """Draw a line."""
        (x1, y1), (x2, y2) = start, end
        attributes = f'x1="{_at(x1)}" y1="{_at(y1)}" x2="{_at(x2)}" y2="{_at(y2)}"'
        self._add("line", attributes, css, tip)

    def path(self, points: Iterable[Point], css: str, tip: str = "") -> None:
        """Draw a line through points."""
        text = " ".join(f"{_at(x)},{_at(y)}" for x, y in points)
        self._add("polyline", f'points="{text}"', css, tip)

    def circle(self, at: Point, radius: float, css: str, tip: str = "") -> None:
        """Draw a circle."""
        self._add("circle", f'cx="{_at(at[0])}" cy="{_at(at[1])}" r="{_at(radius)}"', css, tip)

    def box(self, corner: Point, width: float, height: float, css: str, tip: str = "") -> None:
        """Draw a filled rectangle, at least so wide and high that it is seen."""
        size = f'width="{_at(max(width, 1))}" height="{_at(max(height, 1))}"'
        self._add("rect", f'x="{_at(corner[0])}" y="{_at(corner[1])}" {size}', css, tip)

    def text(self, at: Point, text: str, *, anchor: str = "middle", most: int = 0) -> None:
        """Write a text, cut after `most` characters if given, with the whole as its tooltip."""
        text = redact(text)
        shown = text if not most or len(text) <= most else f"{text[: most - 1]}…"
        tip = Markup("<title>{}</title>").format(text) if shown != text else ""
        self._parts.append(
            Markup('<text x="{}" y="{}" text-anchor="{}">{}{}</text>').format(
                _at(at[0]), _at(at[1]), anchor, shown, tip
            )
        )

    def markup(self) -> Markup:
        """Return the drawing as an element of a page."""
        told = Markup('role="img" aria-label="{}"').format(self.title)
        head = Markup('<svg viewBox="0 0 {} {}" {}>').format(
            _at(self.width), _at(self.height), told if self.title else Markup('aria-hidden="true"')
        )
        return head + Markup("").join(self._parts) + Markup("</svg>")

    def _add(self, name: str, attributes: str, css: str, tip: str) -> None:
        start = f'<{name} class="{escape(css)}" {attributes}'
        end = f"><title>{escape(redact(tip))}</title></{name}>" if tip else "/>"
        self._parts.append(Markup(start + end))  # numbers, and texts that are escaped


class Plot(Canvas):
    """A drawing with a horizontal and a vertical axis, which are named and have round ticks."""

    def __init__(
        self,
        title: str,
        x: Sequence[float],
        y: Sequence[float],
        names: tuple[str, str],
        *,
        whole_x: bool = False,
        whole_y: bool = False,
        height: float = 290,
    ) -> None:
        super().__init__(title, height)
        self.bottom = height - _BOTTOM
        self.y = Scale.of(y, self.bottom, _TOP, whole=whole_y)
        labels = [label(tick) for tick in self.y.ticks()]
        self.left = 12 + _CHARACTER * max((len(text) for text in labels), default=1)
        self.x = Scale.of(x, self.left, self.width - _RIGHT, whole=whole_x)
        self._draw_axes(names)

    def at(self, x: float, y: float) -> Point:
        """Return where values are drawn."""
        return self.x(x), self.y(y)

    def _draw_axes(self, names: tuple[str, str]) -> None:
        right = self.width - _RIGHT
        for tick in self.y.ticks():
            self.line((self.left, self.y(tick)), (right, self.y(tick)), "grid")
            self.text((self.left - 5, self.y(tick) + 4), label(tick), anchor="end")
        for tick in self.x.ticks():
            self.line((self.x(tick), self.bottom), (self.x(tick), self.bottom + 4), "axis")
            self.text((self.x(tick), self.bottom + 17), label(tick))
        self.line((self.left, self.bottom), (right, self.bottom), "axis")
        self.text(((self.left + right) / 2, self.height - 5), names[0])
        self.text((2, 13), names[1], anchor="start")


def key(css: str) -> Markup:
    """Return a small drawing of a kind of mark, for the words below a chart."""
    name, sample = css.split()[0], Canvas("", 12, 24)
    if name in ("best", "mean", "baseline") or name.startswith("shade"):
        sample.line((1, 6), (23, 6), css)
    elif name == "interval":
        sample.box((1, 1), 22, 10, css)
    elif name == "failed":
        sample.line((9, 3), (15, 9), css)
        sample.line((9, 9), (15, 3), css)
    else:
        sample.circle((12, 6), 4, css)
    return sample.markup()


def _at(value: float) -> str:
    """Return a position with the precision of a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")
