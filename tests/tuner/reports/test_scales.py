"""Scales and drawings of the page of a search."""

import math

import pytest

from tuner.reports.search_page.scales import Scale, label, spread_over, without_far_values
from tuner.reports.search_page.svg import Canvas, Plot


def scale(low: float, high: float, **changes: bool) -> Scale:
    return Scale(low=low, high=high, start=0.0, end=100.0, **changes)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-0.13, 0.91, [0, 0.2, 0.4, 0.6, 0.8]),
        (0, 5000, [0, 1000, 2000, 3000, 4000, 5000]),
        (3, 3, [3]),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert scale(low, high).ticks() == pytest.approx(ticks)


def test_ticks_of_whole_numbers_are_whole() -> None:
    assert scale(0.9, 2.1, whole=True).ticks() == [1, 2]


def test_ticks_over_decades_are_powers_of_ten() -> None:
    assert scale(1e-5, 0.1, log=True).ticks() == pytest.approx([1e-5, 1e-4, 1e-3, 1e-2, 0.1])


def test_positions() -> None:
    assert [scale(0, 10)(value) for value in (0, 5, 10, 20, -1)] == [0, 50, 100, 100, 0]
    assert scale(1, 100, log=True)(10) == pytest.approx(50)
    assert scale(2, 2)(2) == 50


@pytest.mark.parametrize("values", [[], [math.nan], [1.0], [1.0, math.inf]])
def test_a_scale_of_few_values_has_a_width(values: list[float]) -> None:
    found = Scale.of(values, 0, 100)
    assert found.low < found.high
    assert found.ticks()


def test_values_far_below_the_others_are_left_out() -> None:
    near = [0.1, 0.2, 0.3, 0.4, 0.5]
    assert without_far_values([*near, -1e6, math.nan]) == near
    assert without_far_values([1.0, 1.0, 1.0, 1.0, 0.0]) == [0.0, 1.0, 1.0, 1.0, 1.0]


def test_spread_keeps_both_ends() -> None:
    assert spread_over(range(10), 20) == list(range(10))
    assert spread_over(range(101), 3) == [0, 50, 100]


@pytest.mark.parametrize(
    ("value", "text"), [(0.30000000000000004, "0.3"), (12000.0, "12,000"), (-2.0, "−2")]
)
def test_labels(value: float, text: str) -> None:
    assert label(value) == text


def test_texts_of_a_drawing_are_escaped_and_cut() -> None:
    canvas = Canvas("<a>", 10)
    canvas.circle((1, 2), 3, "mark", "<b>")
    canvas.text((0, 0), "a long name & more", most=8)
    drawn = str(canvas.markup())
    assert 'aria-label="&lt;a&gt;"' in drawn
    assert "<title>&lt;b&gt;</title>" in drawn
    assert "<title>a long name &amp; more</title>" in drawn
    assert ">a long …<" in drawn


def test_a_plot_has_axes_and_names() -> None:
    drawn = str(Plot("p", [0, 10], [0, 1], ("epoch", "value")).markup())
    for words in ('viewBox="0 0 480 290"', ">epoch</text>", ">value</text>", 'class="grid"'):
        assert words in drawn
