from statistics import fmean

import pytest

from tuner.orchestration.snapshot import TrialRow
from tuner.orchestration.time_left import (
    Finals,
    Mark,
    makespan,
    pace_ahead,
    pace_of,
    running_left,
    time_left,
)
from tuner.training.evaluations import Evaluation

from .schedules import Planned, Schedule, drawn, mean_pace

ONE = {"gmvae": 1.0}
TWO = {"gmvae": 0.5, "em_flow": 5.0}
FINALS = Finals(count=3, cost=5 / 3)


def same(n, *, workers, passes=60, pace=1.0, **more):
    return Schedule((Planned("gmvae", passes, pace),) * n, workers, **more)


def run(number, *, epoch, passes=100, pace=1.0, state="RUNNING", method="a", at=0.0):
    return TrialRow(
        number=number,
        method=method,
        state=state,
        value=0.5,
        epoch=epoch,
        passes=passes,
        seconds=epoch * pace,
        pace=pace,
        at=at,
    )


def errors(estimate, make, seeds=range(8)):
    """Return the mean error of an estimate over moments and searches, in parts of a search."""
    found = []
    for seed in seeds:
        schedule = make(seed)
        found += [
            abs(estimate(moment) - (schedule.end - moment.seconds)) / schedule.end
            for moment in schedule.moments()
        ]
    return fmean(found)


def by_work(moment):
    return moment.eta


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("overhead", [0.0, 5.0])
def test_of_equal_trials_the_time_left_is_exact(workers, overhead):
    schedule = same(24, workers=workers, overhead=overhead)
    moments = list(schedule.moments())
    assert len(moments) > 15
    for moment in moments:
        assert moment.eta == pytest.approx(schedule.end - moment.seconds, abs=1.0 + 1.5 * overhead)


def test_the_time_left_is_known_before_the_first_trial_ends():
    schedule = same(24, workers=4)
    assert schedule.snapshot(2.0).eta is None
    assert schedule.snapshot(6.0).done == 0
    assert schedule.snapshot(6.0).eta == pytest.approx(schedule.end - 6.0)


def test_a_slow_last_trial_has_the_time_that_it_takes_itself():
    quick = tuple(Planned("gmvae", 60, 1.0) for _ in range(40))
    schedule = Schedule((*quick, Planned("gmvae", 60, 20.0)), workers=2)
    for moment in schedule.moments():
        if moment.done == 40 and moment.rows[-1].epoch:
            assert moment.eta == pytest.approx(schedule.end - moment.seconds, rel=1e-6)
            assert mean_pace(moment) < 0.2 * moment.eta or moment.eta < 300


@pytest.mark.parametrize(
    ("make", "at_most", "part_of_naive"),
    [
        (lambda s: Schedule(drawn(60, seed=s, methods=ONE, half_pruned=False), 1), 0.1, 0.9),
        (lambda s: Schedule(drawn(60, seed=s, methods=ONE, half_pruned=True), 4, 2.0), 0.12, 0.9),
        (lambda s: Schedule(drawn(60, seed=s, methods=TWO, half_pruned=True), 4, 2.0), 0.22, 0.97),
        (lambda s: Schedule(drawn(16, seed=s, methods=TWO, half_pruned=True), 8, 2.0), 0.12, 0.4),
        (
            lambda s: Schedule(drawn(12, seed=s, methods=ONE, half_pruned=True), 4, 2.0, FINALS),
            0.2,
            0.5,
        ),
        (
            lambda s: Schedule(drawn(100, seed=s, methods=TWO, half_pruned=True), 4, 2.0, FINALS),
            0.15,
            0.6,
        ),
    ],
    ids=["one worker", "half pruned", "two methods", "few trials", "finalists", "all of it"],
)
def test_it_is_nearer_than_the_mean_of_ended_trials(make, at_most, part_of_naive):
    error = errors(by_work, make)
    assert error < at_most
    assert error < part_of_naive * errors(mean_pace, make)


def test_trials_that_still_run_count_against_early_ends():
    # of eight trials begun at once, the four that end early say little about the passes to come
    ended = [run(n, epoch=5, state="PRUNED") for n in range(4)]
    running = [run(n, epoch=50) for n in range(4, 8)]
    left = time_left([*ended, *running], to_come=8, workers=8, now=0.0)
    only_ended = time_left(ended, to_come=8, workers=8, now=0.0)
    assert only_ended == pytest.approx(5.0)
    assert left is not None
    assert left > 100.0  # some of those to come train to the end, like the running ones


def test_methods_have_their_own_pace_and_share():
    fast = [run(n, epoch=10, method="fast", state="PRUNED", pace=0.1) for n in range(10)]
    slow = [run(n, epoch=100, method="slow", state="COMPLETE", pace=2.0) for n in range(10, 20)]
    left = time_left([*fast, *slow], to_come=20, workers=1, now=0.0)
    assert left == pytest.approx(10 * 1.0 + 10 * 200.0, rel=0.02)


def test_a_trial_that_was_not_heard_of_for_long_has_less_left():
    row = run(0, epoch=50, at=50.0)
    assert time_left([row], to_come=0, workers=1, now=50.0) == pytest.approx(50.0)
    assert time_left([row], to_come=0, workers=1, now=80.0) == pytest.approx(20.0)
    assert time_left([row], to_come=0, workers=1, now=500.0) == 0.0


def test_a_time_budget_ends_the_trials_but_not_the_finalists():
    rows = [run(0, epoch=100, state="COMPLETE")]
    assert time_left(rows, to_come=9, workers=1, now=0.0) == pytest.approx(900.0)
    assert time_left(rows, to_come=9, workers=1, now=0.0, budget=60.0) == pytest.approx(60.0)
    finals = Finals(count=1, cost=2.0)
    left = time_left(rows, to_come=9, workers=1, now=0.0, budget=60.0, finals=finals)
    assert left == pytest.approx(60.0 + 200.0)


def test_finalists_are_the_best_trials_again():
    cheap = [run(n, epoch=100, state="COMPLETE", pace=0.1) for n in range(3)]
    dear = TrialRow(
        number=3, method="a", state="COMPLETE", value=0.9, epoch=50, passes=50, seconds=500.0
    )
    finals = Finals(count=1, cost=2.0)
    left = time_left([*cheap, dear], to_come=0, workers=2, now=0.0, finals=finals)
    assert left == pytest.approx(1000.0)


def test_nothing_is_known_before_an_evaluation():
    assert time_left([], to_come=10, workers=1, now=5.0) is None
    assert time_left([run(0, epoch=0)], to_come=10, workers=1, now=5.0) is None


def evaluation(epoch, *, candidates, seconds):
    return Evaluation(
        epoch=epoch, passes=12, stage="", value=0.5, candidates=candidates, seconds=seconds
    )


def test_many_trials_are_dealt_in_parts():
    rows = [run(n, epoch=100, state="COMPLETE") for n in range(500)]
    left = time_left(rows, to_come=100_000, workers=10, now=0.0)
    assert left == pytest.approx(100_000 * 100.0 / 10, rel=0.01)


def test_the_pace_is_that_of_the_last_evaluations():
    assert pace_of([Mark(5, 50.0)]) is None
    assert pace_of([Mark(55, 10.0), Mark(60, 15.0)]) == 1.0  # 50 passes came from a cache
    stages = [Mark(n, float(n)) for n in range(1, 11)] + [
        Mark(n, 10 + 5.0 * (n - 10)) for n in range(11, 17)
    ]
    assert pace_of(stages) == 5.0
    assert pace_of([Mark(3, 30.0), Mark(5, 1.0)]) is None  # another attempt began


def test_the_pace_ahead_is_that_of_the_candidates_that_are_left():
    seconds, told = 0.0, []
    for epoch, before, after in [(2, 4, 2), (4, 2, 1), (6, 1, 1), (8, 1, 1)]:
        seconds += 2 * before  # a second for each candidate and pass
        told.append(evaluation(epoch, candidates=after, seconds=seconds))
    for device, paces in (("cpu", (1.0, 1.0, 1.0)), ("cuda", (2.0, 1.5, 4 / 3))):
        marks = [Mark.of(each, device) for each in told]
        found = [pace_of(marks[: n + 1], rest=pace_ahead(told[n], 4, device)) for n in range(1, 4)]
        assert found == pytest.approx(paces), device


def test_passes_before_the_cuts_count_for_all_their_candidates():
    first = evaluation(1, candidates=4, seconds=10.0)
    marks = [Mark.of(each, "cpu") for each in (first, evaluation(2, candidates=2, seconds=14.0))]
    rest = pace_ahead(first, 4, "cpu")
    assert rest == pytest.approx((4 + 2 * 2 + 8) / 11)  # passes 2, 3 and 4, and the others
    assert pace_of(marks, rest=rest) == pytest.approx(rest)
    assert pace_ahead(None, 4, "cpu") == pace_ahead(first, 1, "cpu") == 1.0


def test_what_nothing_stops_early_is_left_in_full():
    assert running_left(run(0, epoch=40, pace=2.0, at=80.0), now=90.0) == pytest.approx(110.0)


def test_jobs_are_dealt_from_the_longest_to_the_shortest():
    assert makespan([3, 3, 2, 2, 2], 2) == 7
    assert makespan([5, 1, 1, 1, 1, 1], 2) == 5
    assert makespan([], 3) == 0
