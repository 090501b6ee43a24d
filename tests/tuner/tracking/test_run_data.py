import math
from dataclasses import replace

import pytest

from tuner.tracking import RunRecord, run_data

RECORD = RunRecord(
    key="trial 7",
    role="trial",
    number=7,
    method="kmeans",
    params={"n_components": 10, "learning_rate": 1e-3, "norm": True},
    seeds=(3, 5),
    state="COMPLETE",
    started=1_000,
    ended=9_000,
    value=0.5,
    history=[(1, {"train/loss": 3.0, "score/score": 0.1}), (2, {"train/loss": math.nan})],
    tags={"device": "cpu"},
)


def points(record, known=frozenset(), size=1000):
    batches = run_data.metric_batches(record, known=known, size=size)
    return [tuple(point) for batch in batches for point in batch]


def test_names_sort_by_number():
    assert run_data.run_name(RECORD) == "trial 007"
    assert run_data.run_name(replace(RECORD, key="finalist 2")) == "finalist 002"
    assert run_data.run_name(replace(RECORD, key="trial 1234")) == "trial 1234"


def test_params_are_text_and_include_method_and_seeds():
    assert run_data.params(RECORD) == {
        "n_components": "10",
        "learning_rate": "0.001",
        "norm": "True",
        "method": "kmeans",
        "seeds": "3,5",
    }


def test_seeds_that_are_not_known_yet_are_no_param():
    assert "seeds" not in run_data.params(replace(RECORD, seeds=()))


def test_tags_have_the_prefix_of_the_project():
    tags = run_data.tags(RECORD, search="s")
    assert all(name.startswith("tuner.") for name in tags)
    assert tags["tuner.device"] == "cpu"
    assert tags["tuner.key"] == "trial 7"
    assert tags["tuner.reason"] == ""


def test_a_tag_of_a_record_does_not_overwrite_a_tag_of_the_tracker():
    assert (
        run_data.tags(replace(RECORD, tags={"search": "other"}), search="s")["tuner.search"] == "s"
    )


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_left_out(odd):
    record = replace(RECORD, history=[(1, {"train/loss": odd, "score/score": 0.1})])
    assert points(record) == [("score/score", 0.1, 1001, 1)]
    assert run_data.outcome_points(replace(RECORD, value=odd)) == []


def test_only_unknown_points_are_returned():
    assert points(RECORD, known={("train/loss", 1)}) == [("score/score", 0.1, 1001, 1)]
    assert points(RECORD, known={("train/loss", 1), ("score/score", 1)}) == []


def test_points_have_the_times_of_their_evaluations():
    assert points(replace(RECORD, times=[5_000, 6_000]))[0] == ("train/loss", 3.0, 5_000, 1)


def test_batches_are_not_larger_than_size():
    record = replace(RECORD, history=[(e, {f"m{k}": 1.0 for k in range(15)}) for e in range(200)])
    sizes = [len(batch) for batch in run_data.metric_batches(record, known=(), size=999)]
    assert sizes == [999, 999, 999, 3]


def test_the_outcome_is_at_the_last_epoch():
    assert run_data.outcome_points(RECORD) == [("value", 0.5, 9_000, 2)]
    assert run_data.outcome_points(replace(RECORD, state="RUNNING")) == []


def test_the_digest_depends_on_names_and_contents(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    digests = {run_data.folder_digest(tmp_path)}
    (tmp_path / "a" / "x").write_text("2")
    digests.add(run_data.folder_digest(tmp_path))
    (tmp_path / "a" / "x").rename(tmp_path / "x")
    digests.add(run_data.folder_digest(tmp_path))
    assert len(digests) == 3
