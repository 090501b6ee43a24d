import io

import pytest
from rich.console import Console

from tuner.orchestration.progress import (
    LiveView,
    PlainView,
    view,
)
from tuner.orchestration.progress.words import counts, line, times
from tuner.orchestration.snapshot import SearchSnapshot, TrialRow
from tuner.reports.words import duration


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def complete(number, value, sd=0.01, seconds=100.0):
    return TrialRow(
        number=number,
        method="gmvae",
        state="COMPLETE",
        value=value,
        sd=sd,
        epoch=50,
        passes=50,
        seconds=seconds,
    )


def running(number, value=None, epoch=0, passes=0):
    return TrialRow(
        number=number, method="em_vae", state="RUNNING", value=value, epoch=epoch, passes=passes
    )


def failed(number, reason):
    return TrialRow(number=number, method="gmvae", state="FAIL", reason=reason)


def snapshot(*rows, total=20, seconds=100.0, before=0):
    return SearchSnapshot(total=total, rows=rows, seconds=seconds, finished_before=before)


MIXED = snapshot(
    complete(0, 0.7),
    complete(1, 0.8, sd=0.0),
    failed(2, "RuntimeError: it broke"),
    failed(3, "diverged"),
    TrialRow(number=4, method="gmvae", state="PRUNED"),
    running(5, 0.612, 12, 60),
    running(6),
)


def test_a_line_has_counts_best_running_and_times():
    assert line(MIXED) == (
        "5 of 20 trials: 2 complete, 1 pruned, 2 failed (RuntimeError 1, diverged 1); "
        "best: 1 gmvae 0.800, 0 gmvae 0.700 ± 0.010; "
        "running: 5 em_vae 12/60 0.612, 6 em_vae; 1 min 40 s, 12 min left"
    )


def test_a_line_lists_at_most_five_best_and_eight_running_trials():
    rows = [complete(n, n / 10) for n in range(7)] + [running(n) for n in range(7, 18)]
    text = line(snapshot(*rows))
    assert "best: 6 gmvae 0.600 ± 0.010, 5 gmvae" in text
    assert text.count("gmvae") == 5
    assert text.count("em_vae") == 8
    assert "3 more" in text


def test_the_time_left_is_shown_from_the_first_evaluation_to_the_last_trial():
    assert times(snapshot(running(0))) == "1 min 40 s"
    assert times(snapshot(complete(0, 0.5), total=1)) == "1 min 40 s"
    assert times(snapshot(complete(0, 0.5), total=2), elapsed=30) == "2 min 10 s, 1 min 10 s left"
    assert times(snapshot(complete(0, 0.5), total=2), elapsed=300).endswith("0 s left")


def test_trials_of_an_earlier_run_tell_the_time_left_of_a_resumed_one():
    rows = [complete(n, 0.5) for n in range(10)]
    assert times(snapshot(*rows, before=10, total=11, seconds=1.0)) == "1.0 s, 1 min 40 s left"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.25, "0.2 s"),
        (59, "59 s"),
        (61, "1 min 1 s"),
        (1500, "25 min"),
        (7500, "2 h 5 min"),
        (100_000, "1 d 3 h"),
    ],
)
def test_durations_have_at_most_two_units(seconds, text):
    assert duration(seconds) == text


def test_counts_include_the_reasons_of_failures():
    assert counts(snapshot()) == "0 complete, 0 pruned, 0 failed"
    assert counts(MIXED).endswith("2 failed (RuntimeError 1, diverged 1)")


def test_lines_come_every_ten_seconds_or_tenth_of_the_trials():
    stream, clock = io.StringIO(), Clock()
    lines = PlainView(stream, clock=clock)

    def written():
        return len(stream.getvalue().splitlines())

    with lines as shown:
        shown.update(snapshot(running(0)))
        assert written() == 1
        clock.now = 9
        shown.update(snapshot(running(0)))
        shown.update(snapshot(complete(0, 0.5)))
        assert written() == 1
        clock.now = 10
        shown.update(snapshot(complete(0, 0.5)))
        assert written() == 2
        shown.update(snapshot(complete(0, 0.5), complete(1, 0.5)))
        assert written() == 3
        shown.update(snapshot(*(complete(n, 0.5) for n in range(20))))
        shown.log("a message")
    assert written() == 5
    assert stream.getvalue().endswith("a message\n")
    assert "\x1b" not in stream.getvalue()


def live(width, height=24, clock=None):
    console = Console(
        file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None
    )
    return console, LiveView(console, clock=Clock() if clock is None else clock)


def rendered(width, given, height=24):
    console, shown = live(width, height)
    if given is not None:
        shown.update(given)
    with console.capture() as captured:
        console.print(shown.render())
    return captured.get().splitlines()


def test_a_view_has_counts_running_and_best_trials():
    lines = rendered(80, MIXED)
    assert lines[0].rstrip().endswith("5/20  1 min 40 s, 12 min left")
    assert lines[1].strip() == "2 complete, 1 pruned, 2 failed (RuntimeError 1, diverged 1)"
    assert lines[2].strip() == "starting, 0 s"
    assert lines[4].split() == ["trial", "method", "epoch", "score"]
    assert lines[5].split() == ["now", "5", "em_vae", "12/60", "0.612"]
    assert lines[6].split() == ["6", "em_vae"]
    assert lines[7].split() == ["best", "1", "gmvae", "0.800"]
    assert lines[8].split() == ["0", "gmvae", "0.700", "±", "0.010"]


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("height", [16, 24, 50])
def test_a_view_fits_its_terminal(width, height):
    rows = [complete(n, 0.5) for n in range(30)] + [
        running(n, 0.5, 100, 200) for n in range(30, 90)
    ]
    lines = rendered(width, snapshot(*rows, total=1000), height)
    assert max(map(len, lines)) <= width
    assert len(lines) <= height
    assert any("more" in one for one in lines)
    assert any("best" in one for one in lines)


def test_a_long_method_name_is_truncated_instead_of_the_score():
    row = TrialRow(number=0, method="a" * 60, state="COMPLETE", value=0.123, sd=0.001)
    lines = rendered(40, snapshot(row))
    assert any("…" in one and "0.123" in one for one in lines)


def test_before_the_first_snapshot_a_view_shows_that_it_is_starting():
    assert rendered(80, None)[0].startswith("starting")


def test_times_advance_between_snapshots():
    clock = Clock()
    console, shown = live(80, clock=clock)
    shown.update(snapshot(complete(0, 0.5), total=2))
    clock.now = 30
    with console.capture() as captured:
        console.print(shown.render())
    assert "2 min 10 s, 1 min 10 s left" in captured.get()


def test_a_live_view_leaves_only_its_messages():
    stream = io.StringIO()
    console = Console(file=stream, width=60, force_terminal=True, color_system=None)
    with LiveView(console) as shown:
        shown.update(MIXED)
        shown.log("a message with [brackets]")
    text = stream.getvalue()
    assert "a message with" in text
    assert text.endswith("\x1b[2K") or "\x1b[1A" in text  # erases the rendered lines


@pytest.mark.parametrize(
    ("is_terminal", "term", "kind"),
    [
        (True, "xterm", LiveView),
        (True, "dumb", PlainView),
        (True, None, PlainView),
        (False, "xterm", PlainView),
    ],
)
def test_only_a_terminal_with_cursor_control_gets_a_live_view(
    monkeypatch, is_terminal, term, kind
):
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: is_terminal)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("TERM", raising=False)
    if term is not None:
        monkeypatch.setenv("TERM", term)
    assert isinstance(view(stream), kind)
