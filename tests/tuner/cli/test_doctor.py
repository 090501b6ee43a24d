import json

import pytest

from tests.tuner.in_process import finished_search
from tests.tuner.mlflow_store import OLD_LOADER

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)


def flags(done):
    return [*done.flags, "--artifacts", done.locations.artifacts]


def test_a_consistent_search_exits_with_0(tuner, here):
    done = finished_search()
    ran = tuner("doctor", "done", *flags(done))
    assert (ran.code, ran.err) == (0, "")
    assert "FAILED" not in ran.out
    document = json.loads(tuner("doctor", "done", "--json", *flags(done)).out)
    assert document["ok"]
    assert all(one["ok"] for one in document["findings"])
    assert len(document["findings"]) == 12
    assert not list(here.iterdir())


def test_a_failed_check_is_shown_and_exits_with_1(tuner, here):
    done = finished_search()
    elsewhere = [*done.flags, "--artifacts", here / "moved"]
    ran = tuner("doctor", "done", *elsewhere)
    assert ran.code == 1
    assert "metrics.jsonl is missing or truncated for trial 0, 1, 2, 3, 4" in ran.out
    document = json.loads(tuner("doctor", "done", "--json", *elsewhere).out)
    assert not document["ok"]
    assert [one["ok"] for one in document["findings"]].count(False) == 2
    assert not list(here.iterdir())


def test_without_a_name_all_searches_are_checked(tuner):
    done = finished_search()
    ran = tuner("doctor", *flags(done))
    assert ran.code == 0
    assert ran.out.startswith("done\n")
    document = json.loads(tuner("doctor", "--json", *flags(done)).out)
    assert [(one["search"], one["ok"]) for one in document] == [("done", True)]


def test_without_searches_nothing_fails(tuner, here):
    ran = tuner("doctor")
    assert (ran.code, ran.out) == (0, "")
    assert "no searches yet: start one with `tuner search`" in ran.err
    assert list(here.iterdir()) == []
