"""Stages, what is in use, and the modes in which progress is shown."""

import io
import json
import sys
from contextlib import suppress
from datetime import datetime

import pytest

from tuner.errors import UsageError
from tuner.orchestration.progress import (
    JsonView,
    LiveView,
    PlainView,
    QuietView,
    check_mode,
    view,
)
from tuner.orchestration.progress.events import Stage, Started, Usage
from tuner.orchestration.progress.words import usage_text
from tuner.orchestration.snapshot import TrialRow

from .test_progress import MIXED, Clock, complete, live, running, snapshot

USAGE = Usage(
    memory=9 * 2**30,
    memory_total=24 * 2**30,
    gpus=2,
    gpu_memory=31 * 2**30,
    gpu_memory_total=279 * 2**30,
    gpu_busy=0.87,
    cluster={"CPU": (6.0, 16.0), "GPU": (1.5, 2.0)},
)
FINALISTS = Stage(
    name="finalists",
    text="retraining the best 3",
    done=1,
    total=3,
    rows=(running(4, 0.7, 30, 60), running(5)),
    seconds_left=90.0,
)


def test_what_is_in_use_fits_into_80_columns():
    assert usage_text(USAGE) == (
        "memory 9/24 GiB, 2 GPUs 31/279 GiB at 87%, cluster 6/16 CPUs 1.5/2 GPUs"
    )
    assert len(usage_text(USAGE)) <= 80
    assert usage_text(Usage(memory=2**30, memory_total=2**31)) == "memory 1/2 GiB"


def test_a_live_view_shows_the_stage_with_its_seconds_and_what_is_in_use():
    clock = Clock()
    console, shown = live(80, clock=clock)
    shown.show(Stage(name="ray", text="starting Ray on this machine"))
    clock.now = 3
    shown.show(USAGE)
    with console.capture() as captured:
        console.print(shown.render())
    assert captured.get().splitlines() == [
        "starting Ray on this machine, 3.0 s",
        usage_text(USAGE),
    ]


def test_a_live_view_of_finalists_counts_them_and_shows_how_far_they_are():
    clock = Clock()
    console, shown = live(80, clock=clock)
    shown.update(MIXED)
    shown.show(FINALISTS)
    clock.now = 30
    with console.capture() as captured:
        console.print(shown.render())
    lines = captured.get().splitlines()
    assert lines[0].rstrip().endswith("1/3  1 min 0 s left")
    assert lines[2].strip() == "retraining the best 3, 30 s"
    assert lines[5].split() == ["now", "4", "em_vae", "30/60", "0.700"]
    assert lines[7].split() == ["best", "1", "gmvae", "0.800"]


def test_the_seconds_of_a_stage_go_on_while_it_advances():
    clock = Clock()
    console, shown = live(80, clock=clock)
    for now in (0, 5, 10):
        clock.now = now
        shown.show(FINALISTS)
    with console.capture() as captured:
        console.print(shown.render())
    assert "retraining the best 3, 10 s" in captured.get()


def test_a_plain_view_has_a_line_for_each_stage_but_that_of_reading():
    stream, clock = io.StringIO(), Clock()
    shown = PlainView(stream, clock=clock)
    shown.show(Stage(name="data", text="reading the data"))
    shown.show(Stage(name="ray", text="starting Ray"))
    shown.show(FINALISTS)
    clock.now = 5
    shown.show(FINALISTS)
    clock.now = 12
    shown.show(FINALISTS)
    assert stream.getvalue().splitlines() == [
        "starting Ray",
        "retraining the best 3: 1 of 3; running: 4 em_vae 30/60 0.700, 5 em_vae; 1 min 30 s left",
        "retraining the best 3: 1 of 3; running: 4 em_vae 30/60 0.700, 5 em_vae; 12 s; "
        "1 min 30 s left",
    ]


def told(tell, clock=None):
    """Return the documents that a JSON view writes."""
    stream = io.StringIO()
    with (
        suppress(UsageError, KeyboardInterrupt),
        JsonView(stream, clock=clock or Clock()) as shown,
    ):
        tell(shown)
    return [json.loads(one, parse_constant=pytest.fail) for one in stream.getvalue().splitlines()]


def test_a_json_view_writes_an_object_for_every_event():
    def tell(shown):
        shown.show(
            Started(name="s", methods=("a",), dataset="d", trials=9, replicas=3, folder="/f")
        )
        shown.show(Stage(name="trials", text="running trials"))
        shown.show(USAGE)
        shown.update(MIXED)
        shown.ended(complete(0, 0.7))
        shown.log("a message\nof two lines")

    started, stage, snapshot_, trial, message, ended = told(tell)
    assert [one["event"] for one in (started, stage, snapshot_, trial, message, ended)] == [
        *("started", "stage", "snapshot", "trial", "message", "ended")
    ]
    assert all(datetime.fromisoformat(one["time"]).tzinfo for one in (started, ended))
    assert started["methods"] == ["a"]
    assert stage["stage"] == "trials"
    assert (snapshot_["done"], snapshot_["total"], snapshot_["pruned"]) == (5, 20, 1)
    assert snapshot_["failures"] == {"RuntimeError": 1, "diverged": 1}
    assert snapshot_["running"][0]["epoch"] == 12
    assert snapshot_["best"][0]["value"] == 0.8
    assert snapshot_["seconds_left"] > 0
    assert snapshot_["usage"]["cluster"] == {"CPU": [6.0, 16.0], "GPU": [1.5, 2.0]}
    assert (trial["number"], trial["state"], trial["value"]) == (0, "COMPLETE", 0.7)
    assert trial["reason"] is None
    assert message["text"] == "a message\nof two lines"
    assert (ended["exit_code"], ended["error"]) == (0, None)


def test_numbers_that_are_not_finite_are_null_in_json():
    row = TrialRow(number=0, method="a", state="FAIL", value=float("nan"), sd=float("inf"))
    trial, _ = told(lambda shown: shown.ended(row))
    assert trial["value"] is None
    assert trial["sd"] is None


def test_json_snapshots_come_every_ten_seconds_or_tenth_of_the_trials():
    clock = Clock()

    def tell(shown):
        for now, done in ((0, 0), (5, 0), (10, 0), (11, 1), (12, 2)):
            clock.now = now
            shown.update(snapshot(*(complete(n, 0.5) for n in range(done))))

    seen = [one["done"] for one in told(tell, clock) if one["event"] == "snapshot"]
    assert seen == [0, 0, 2]


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (UsageError("give a name\nof a search"), 2, "give a name of a search"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_the_last_object_tells_the_error_and_the_exit_code(error, code, text):
    def fail(shown):
        raise error

    (ended,) = told(fail)
    assert (ended["event"], ended["exit_code"], ended["error"]) == ("ended", code, text)


def test_a_stream_that_takes_nothing_ends_no_search(tmp_path):
    with open("/dev/full", "w") as full:
        for shown in (PlainView(full), JsonView(full)):
            with shown:
                shown.update(MIXED)
                shown.log("lost")
        with suppress(OSError):
            full.close()


def test_quiet_is_quiet(capsys):
    with view(sys.stderr, "quiet") as shown:
        shown.update(MIXED)
        shown.show(FINALISTS)
        shown.ended(complete(0, 0.5))
        shown.log("a message")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("live", LiveView), ("plain", PlainView), ("json", JsonView), ("quiet", QuietView)],
)
@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_mode_is_obeyed_wherever_it_writes(monkeypatch, mode, kind, is_terminal):
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: is_terminal)
    assert isinstance(view(stream, mode), kind)


def test_an_unknown_mode_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="--progress 'jsn' is no mode; did you mean 'json'"):
        check_mode("jsn", "--progress")


def test_colours_are_left_out_on_request(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    for no_color, has_colour in (("1", False), ("", True)):
        monkeypatch.setenv("NO_COLOR", no_color)
        stream = io.StringIO()
        with view(stream, "live") as shown:
            shown.update(MIXED)
        assert ("\x1b[38" in stream.getvalue()) == has_colour
