"""The charts of settings: their importances, and parallel coordinates with the score.

The axes of parallel coordinates lie one below the other, so that names and many settings fit on
the width of a telephone.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from ..words import settings_text, short
from .facts import known
from .scales import Scale, label, spread_over
from .svg import WIDTH, Canvas

if TYPE_CHECKING:
    from ...ledger.records import TrialRecord

MAX_LINES = 100
SHADES = 5
_LEFT, _RIGHT = 24, WIDTH - 24
_ROW, _TOP = 54, 34
_BAR, _NAME = 22, 170


def importances(shares: Mapping[str, float]) -> Markup:
    """Draw the share of each setting, the highest first."""
    rows = sorted(shares.items(), key=lambda pair: -pair[1])
    canvas = Canvas("importances of settings", 8 + _BAR * len(rows))
    scale = Scale(low=0.0, high=max(shares.values()) or 1.0, start=_NAME, end=WIDTH - 44)
    for row, (name, share) in enumerate(rows):
        y = 4 + _BAR * row
        canvas.text((_NAME - 6, y + 15), name, anchor="end", most=23)
        canvas.box((_NAME, y + 3), scale(share) - _NAME, _BAR - 6, "bar", f"{name}: {share:.1%}")
        canvas.text((scale(share) + 5, y + 15), f"{share:.0%}", anchor="start")
    return canvas.markup()


def parallel_coordinates(
    trials: Sequence["TrialRecord"], searched: Mapping[str, Mapping[str, Any]]
) -> Markup:
    """Draw complete trials, best first, as lines across the axes of their settings.

    Of more than `MAX_LINES` those are drawn that are evenly spread over the ranking. Darker lines
    have higher scores. A setting that a trial does not have leaves a gap in its line.
    """
    names = [*dict.fromkeys(name for trial in trials for name in trial.params)]
    axes = [
        _Axis(name, [t.params.get(name) for t in trials], searched.get(name)) for name in names
    ]
    axes.append(_Axis("score", [trial.value for trial in trials], None))
    canvas = Canvas("settings and score of trials", _TOP + _ROW * (len(axes) - 1) + 30)
    drawn = spread_over(trials, MAX_LINES)
    for index in reversed(drawn):  # the best one last, so that it is on top
        shade = 1 + SHADES * (len(trials) - 1 - index) // len(trials)
        css = "best" if index == 0 else f"curve shade{shade}"
        _draw_trial(canvas, trials[index], axes, css)
    for row, axis in enumerate(axes):  # above the lines, so that names can be read
        axis.draw(canvas, _TOP + _ROW * row)
    return canvas.markup()


class _Axis:
    """The horizontal axis of a setting: a range, or places for its choices."""

    def __init__(self, name: str, values: Sequence[Any], entry: Mapping[str, Any] | None) -> None:
        self.name, entry = name, entry or {}
        present = [value for value in values if value is not None]
        self.choices = list(map(str, entry.get("choice", ())))
        if not all(_is_number(value) for value in present) or self.choices:
            self.choices = list(dict.fromkeys([*self.choices, *map(str, present)]))
            self.scale = Scale(low=0, high=max(1, len(self.choices) - 1), start=_LEFT, end=_RIGHT)
            return
        ends = [*(entry.get("int") or entry.get("float") or ()), *filter(known, present)] or [0, 1]
        log = bool(entry.get("log")) and min(ends) > 0
        self.scale = Scale(low=min(ends), high=max(ends), start=_LEFT, end=_RIGHT, log=log)

    def position(self, value: Any) -> float | None:
        """Return where a value is on the axis, None for one that a trial does not have."""
        if value is None:
            return None
        if self.choices:
            return self.scale(self.choices.index(str(value)))
        return self.scale(float(value)) if known(float(value)) else None

    def draw(self, canvas: Canvas, y: float) -> None:
        """Draw the axis with its name above it, and its ends or choices below."""
        canvas.line((_LEFT, y), (_RIGHT, y), "axis")
        note = " (log)" if self.scale.log else ""
        canvas.text((_LEFT - 18, y - 8), f"{self.name}{note}", anchor="start", most=56)
        if not self.choices:
            canvas.text((_LEFT - 18, y + 15), _end(self.scale.low), anchor="start")
            canvas.text((_RIGHT + 18, y + 15), _end(self.scale.high), anchor="end")
            return
        last = len(self.choices) - 1
        room = int((_RIGHT - _LEFT) / 7.5 / max(1, min(len(self.choices), 8)))
        for index in spread_over(self.choices, 8):
            at = {0: (_LEFT - 18, "start"), last: (_RIGHT + 18, "end")}
            x, anchor = at.get(index, (self.scale(index), "middle"))
            canvas.line((self.scale(index), y - 3), (self.scale(index), y + 3), "axis")
            canvas.text((x, y + 15), self.choices[index], anchor=anchor, most=max(4, room))


def _draw_trial(canvas: Canvas, trial: "TrialRecord", axes: Sequence[_Axis], css: str) -> None:
    """Draw the line of a trial in pieces between the settings that it does not have."""
    values = [*(trial.params.get(axis.name) for axis in axes[:-1]), trial.value]
    tip = f"trial {trial.number}: {trial.value or 0.0:.3f}; {settings_text(trial.params)}"
    piece: list[tuple[float, float]] = []
    for row, (axis, value) in enumerate(zip(axes, values, strict=True)):
        x = axis.position(value)
        if x is not None:
            piece.append((x, _TOP + _ROW * row))
        if (x is None or axis is axes[-1]) and piece:
            canvas.path(piece, css, tip)
            piece = []


def _end(value: float) -> str:
    return label(float(short(float(value))))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
