import math
from dataclasses import replace

import pytest

from tuner.tracking import RunRecord, records

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
    return [tuple(p) for batch in records.batches(record, known=known, size=size) for p in batch]


def test_names_sort_by_number():
    assert records.run_name(RECORD) == "trial 007"
    assert records.run_name(replace(RECORD, key="finalist 2")) == "finalist 002"
    assert records.run_name(replace(RECORD, key="trial 1234")) == "trial 1234"


def test_params_are_text_and_name_method_and_seeds():
    assert records.params(RECORD) == {
        "n_components": "10",
        "learning_rate": "0.001",
        "norm": "True",
        "method": "kmeans",
        "seeds": "3,5",
    }


def test_tags_carry_the_project_in_their_name():
    tags = records.tags(RECORD, search="s")
    assert all(name.startswith("tuner.") for name in tags)
    assert tags["tuner.device"] == "cpu"
    assert tags["tuner.key"] == "trial 7"
    assert tags["tuner.reason"] == ""


def test_a_tag_of_a_record_cannot_pose_as_one_of_ours():
    assert (
        records.tags(replace(RECORD, tags={"search": "other"}), search="s")["tuner.search"] == "s"
    )


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_left_out(odd):
    record = replace(RECORD, history=[(1, {"train/loss": odd, "score/score": 0.1})])
    assert points(record) == [("score/score", 0.1, 1001, 1)]
    assert records.outcome(replace(RECORD, value=odd)) == []


def test_only_unknown_points_are_told():
    assert points(RECORD, known={("train/loss", 1)}) == [("score/score", 0.1, 1001, 1)]
    assert points(RECORD, known={("train/loss", 1), ("score/score", 1)}) == []


def test_points_tell_when_they_were_made():
    assert points(replace(RECORD, times=[5_000, 6_000]))[0] == ("train/loss", 3.0, 5_000, 1)


def test_batches_are_no_larger_than_asked():
    record = replace(RECORD, history=[(e, {f"m{k}": 1.0 for k in range(15)}) for e in range(200)])
    sizes = [len(batch) for batch in records.batches(record, known=(), size=999)]
    assert sizes == [999, 999, 999, 3]


def test_the_outcome_comes_after_the_curve():
    assert records.outcome(RECORD) == [("value", 0.5, 9_000, 2)]
    assert records.outcome(replace(RECORD, state="RUNNING")) == []


def test_the_digest_sees_names_and_contents(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    digests = {records.digest(tmp_path)}
    (tmp_path / "a" / "x").write_text("2")
    digests.add(records.digest(tmp_path))
    (tmp_path / "a" / "x").rename(tmp_path / "x")
    digests.add(records.digest(tmp_path))
    assert len(digests) == 3
