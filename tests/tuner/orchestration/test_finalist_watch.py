from dataclasses import replace

import pytest

from tuner.orchestration.finalist_watch import FinalistWatch
from tuner.orchestration.snapshot import TrialRow
from tuner.training.attempt_files import AttemptFiles
from tuner.training.evaluations import Evaluation
from tuner.training.trial_inputs import TrialSpec

ROW = TrialRow(number=7, method="gmvae", state="RUNNING", passes=60, pace=2.0)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def seen():
    return []


@pytest.fixture
def specs(tmp_path):
    return {
        rank: TrialSpec(
            number=7 + rank,
            method="gmvae",
            settings={},
            seeds=(0,),
            objective="separation",
            folder=str(tmp_path / f"finalist-{rank}"),
        )
        for rank in (0, 1)
    }


@pytest.fixture
def watch(specs, seen, clock):
    expected = {0: ROW, 1: replace(ROW, number=8)}
    return FinalistWatch(
        specs, expected, seen.append, text="retraining", total=3, workers=2, clock=clock
    )


def test_finalists_are_expected_to_take_what_their_trials_took(watch, seen, clock):
    clock.now = 20.0
    watch.look()
    (stage,) = seen
    assert (stage.name, stage.done, stage.total) == ("finalists", 1, 3)
    assert stage.seconds_left == pytest.approx(60 * 2.0 - 20.0)


def test_how_far_they_are_is_read_from_the_files_of_their_workers(watch, specs, seen, clock):
    files = AttemptFiles(watch_folder(specs[0]), 0)
    files.begin([])
    for epoch in (3, 6):
        files.append(
            Evaluation(epoch=epoch, passes=60, stage="train", value=0.5, seconds=5.0 * epoch)
        )
    clock.now = 30.0
    watch.look()
    row = seen[-1].rows[0]
    assert (row.epoch, row.value, row.pace, row.at) == (6, 0.5, 5.0, 30.0)
    assert seen[-1].seconds_left == pytest.approx(54 * 5.0)
    clock.now = 40.0
    watch.look()
    assert seen[-1].rows[0].at == 30.0  # nothing new since
    assert seen[-1].seconds_left == pytest.approx(54 * 5.0 - 10.0)


def watch_folder(spec):
    from pathlib import Path

    return Path(spec.folder)


def test_those_that_are_done_are_counted(watch, seen):
    watch.ended(1)
    assert seen[-1].done == 2
    watch.ended(0)
    assert seen[-1].done == 3
    assert seen[-1].rows == ()
    assert seen[-1].seconds_left == 0.0


def test_the_time_left_is_not_told_before_it_is_known(specs, seen):
    unknown = {0: replace(ROW, pace=None)}
    FinalistWatch(specs, unknown, seen.append, text="", total=1, workers=1).look()
    assert seen[-1].seconds_left is None
