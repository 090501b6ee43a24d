"""Searches that are resumed, changed or grown, with real Ray, SQLite and MLflow."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tuner.ledger.records import TrialRecord
from tuner.orchestration.search import resume

from ..faults.locations import Field, forget_methods
from ..mlflow_store import OLD_LOADER

IDLE = ("-m", "idle", "--replicas", "1")
pytestmark = [pytest.mark.timeout(1500), pytest.mark.filterwarnings(OLD_LOADER)]


@pytest.fixture
def field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Field]:
    made = Field(tmp_path)
    monkeypatch.syspath_prepend(made.plugin)
    forget_methods()
    yield made
    forget_methods()


def begin(field: Field, name: str, *arguments: str) -> tuple[str, ...]:
    return ("search", "-d", str(field.data), "--name", name, "--json", *arguments)


def outcomes(entries: list[TrialRecord]) -> list[tuple[Any, ...]]:
    return [
        (e.number, e.state, dict(e.params), e.value, dict(e.intermediate_values)) for e in entries
    ]


def test_a_small_search_has_a_champion_and_ends_once(field: Field) -> None:
    ended = field.run(*begin(field, "first", "-m", "kmeans,gmm", "--trials", "5"))
    assert ended.code == 0, ended.err
    assert ended.result["trials"]["total"] == 5
    assert ended.result["champion"]["promoted"]
    assert ended.result["champion"]["uri"] == "models:/blobs@champion"
    assert ended.result["best"]["score"] > 0.5
    began = time.monotonic()
    assert resume("first", field.session).to_mapping() == ended.result
    assert time.monotonic() - began < 20, "nothing is started for what has ended"
    assert field.wrong("first") == []


@pytest.mark.slow
def test_a_search_whose_space_or_method_changed_is_refused(field: Field) -> None:
    died = field.run("--die-after", "12", *begin(field, "moved", *IDLE, "--trials", "8"))
    assert died.code == -signal.SIGKILL, died.err
    before = field.written()

    space = field.plugin / "idle_method.yaml"
    kept = space.read_text()
    space.write_text(kept.replace("[0.1, 1.0]", "[0.1, 0.9]"))
    refused = field.run("resume", "moved")
    assert refused.code == 2
    assert "idle.width was" in refused.err
    assert "1.0" in refused.err
    assert "0.9" in refused.err
    space.write_text(kept)

    code = field.plugin / "idle_method.py"
    source = code.read_text()
    code.write_text(source.replace('fault: str = setting("none"', 'fault: str = setting("nil"'))
    refused = field.run("resume", "moved")
    assert refused.code == 2
    assert "idle.fault was none and is nil" in refused.err
    code.write_text(source)

    offered = field.plugin.rename(field.plugin.with_name("away"))
    refused = field.run("resume", "moved")
    assert refused.code == 2
    assert "no method 'idle'" in refused.err
    offered.rename(field.plugin)

    refused = field.run("resume", "mooved")
    assert refused.code == 2
    assert "did you mean 'moved'" in refused.err
    refused = field.run("resume", "moved", "--trials", "7")
    assert refused.code == 2
    assert "already has 8" in refused.err
    assert field.written() == before, "a refusal writes nothing"


@pytest.mark.slow
def test_a_finished_search_may_grow(field: Field) -> None:
    words = (*IDLE, "--trials", "4", "--workers", "2", "--scheduler", "none")
    first = field.run(*begin(field, "grown", *words))
    assert first.code == 0, first.err
    old = outcomes(field.entries("grown"))
    more = field.run("resume", "grown", "--trials", "9", "--json")
    assert more.code == 0, more.err
    entries = field.entries("grown")
    assert [e.number for e in entries] == list(range(9))
    assert outcomes(entries)[:4] == old
    assert more.result["trials"]["total"] == 9
    best = sorted(entries, key=lambda e: -(e.value or 0.0))[:3]
    assert more.result["best"]["number"] == best[0].number
    assert [f["trial"] for f in more.result["finalists"]] == [e.number for e in best]
    assert field.wrong("grown") == []


@pytest.mark.slow
def test_a_time_budget_closes_the_record(field: Field) -> None:
    words = (*IDLE, "--trials", "400", "--set", "pause=0.3", "--time-budget", "20s")
    ended = field.run(*begin(field, "short", *words))
    assert ended.code == 0, ended.err
    entries = field.entries("short")
    assert 2 < len(entries) < 400
    assert "RUNNING" not in {e.state for e in entries}
    assert ended.result["trials"]["total"] == len(entries)
    assert field.wrong("short") == []


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_ends_the_search_resumably(field: Field) -> None:
    blocked = field.locations.artifacts / "full" / "trial-00001"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("no folder can be made here")
    words = (*IDLE, "--trials", "4", "--workers", "1")
    ended = field.run(*begin(field, "full", *words))
    assert ended.code == 74, ended.err
    assert str(blocked) in ended.err
    assert [e.state for e in field.entries("full")] == ["COMPLETE", "RUNNING"]
    blocked.unlink()
    resumed = field.run("resume", "full", "--json")
    assert resumed.code == 0, resumed.err
    assert len(field.entries("full")) == 4
    assert field.wrong("full") == []
