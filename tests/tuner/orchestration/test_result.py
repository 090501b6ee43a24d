"""What a user holds in Python after a search."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.tuner.in_process import blobs, finished_search, no_ray
from tests.tuner.mlflow_store import OLD_LOADER
from tuner.ledger.ledger import Ledger
from tuner.orchestration.result import Result
from tuner.orchestration.result_facts import result_facts
from tuner.orchestration.result_rows import baseline_notes, finalist_notes
from tuner.orchestration.search import search
from tuner.study.study import Study
from tuner.tracking import connect

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)


@pytest.fixture(scope="module")
def result() -> Result:
    return finished_search().result


def test_the_champion_loads(result: Result) -> None:
    assert result.champion is not None
    model = result.champion.load()
    x = np.load(finished_search().folder / "blobs.npz")["x"]
    assert len(set(model.predict(x))) == result.champion.n_components == 3


def test_the_trials_are_a_data_frame(result: Result) -> None:
    table = result.trials()
    assert list(table["number"]) == list(range(result.counts["total"]))
    assert set(table["state"]) == {"COMPLETE"}
    assert set(table["method"]) <= {"kmeans", "gmm"}
    assert table["value"].max() == table["value"][result.best["number"]] == result.best["score"]
    gmm = table[table["method"] == "gmm"]
    assert gmm["covariance"].notna().all()
    assert table[table["method"] == "kmeans"]["covariance"].isna().all()


def test_the_study_is_optunas(result: Result) -> None:
    assert result.study.best_value == result.best["score"]
    assert len(result.study.trials) == result.counts["total"]


def test_a_notebook_shows_it_escaped(result: Result) -> None:
    shown = replace(result, notes=["<script>alert(1)</script>"])._repr_html_()
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown
    assert f"trial {result.best['number']}" in shown


def test_it_is_stored_without_where_it_is(result: Result) -> None:
    values = json.loads(json.dumps(result.to_mapping()))
    assert Result.from_mapping(values) == replace(
        result, champion=replace(result.champion, interval=values["champion"]["interval"])
    )
    done = finished_search()
    assert done.locations.storage not in json.dumps(values)
    with Ledger.load(done.locations.storage, "done") as ledger:
        assert ledger.attribute("result") == values


def test_what_earlier_versions_stored_is_read(result: Result) -> None:
    values = json.loads(json.dumps(result.to_mapping()))
    for row in values["finalists"]:
        row["best"] = row.pop("chosen")
    for new in ("stopped", "asked"):
        del values[new]
    read = Result.from_mapping(values)
    assert read.finalists == result.finalists
    assert read.stopped is None


def test_callbacks_hear_of_every_trial_that_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    heard = []
    study = Study(
        methods=("kmeans",),
        dataset=str(blobs(tmp_path / "blobs.npz")),
        trials=3,
        replicas=1,
        finalists=1,
        finalist_seeds=1,
        sampler="random",
    )
    with no_ray():
        result = search(study, callbacks=[heard.append], progress=False)
    table = result.trials()
    assert [(row.number, row.state) for row in heard] == list(
        zip(table["number"], table["state"], strict=True)
    )


def test_mlflow_describes_a_search_as_model_development() -> None:
    done = finished_search()
    client = connect(done.locations.tracking_uri)
    (parent,) = client.search_runs(
        [e.experiment_id for e in client.search_experiments()], "tags.`tuner.role` = 'search'"
    )
    assert "Search of kmeans, gmm" in parent.data.tags["mlflow.note.content"]
    assert "Best trial" in parent.data.tags["mlflow.note.content"]
    assert parent.data.tags["tuner.ended"] == "complete"
    assert parent.data.params["methods"] == "kmeans, gmm"
    kind = client.get_experiment(parent.info.experiment_id).tags["mlflow.experimentKind"]
    assert kind == "custom_model_development"


@pytest.mark.parametrize(
    ("score", "notes"), [(0.6, []), (0.55, []), (0.45, ["k-means"]), (0.3, ["k-means", "Louvain"])]
)
def test_what_simple_methods_do_better_is_said(score: float, notes: list[str]) -> None:
    said = baseline_notes(score, {"kmeans": 0.5, "louvain": 0.5})
    assert len(said) == len(notes)
    assert all(note in text for note, text in zip(notes, said, strict=True))


@pytest.mark.parametrize(
    ("other", "failure", "said"),
    [(0.61, None, True), (0.59, None, False), (0.9, "diverged", False)],
)
def test_a_finalist_far_ahead_on_the_test_split_is_noted(
    other: float, failure: str | None, said: bool
) -> None:
    rows = [
        {"trial": 4, "chosen": 0.5, "failure": None},
        {"trial": 7, "chosen": other, "failure": failure},
    ]
    notes = finalist_notes(4, 0.5, rows)
    assert len(notes) == said
    assert all("trial 7 scores 0.610" in note and "trial 4 is ahead" in note for note in notes)


@pytest.mark.parametrize(
    ("plausible", "text"),
    [([5, 5], "5; no other is plausible"), ([4, 6], "5; 4 to 6 are plausible")],
)
def test_one_plausible_number_is_no_range(result: Result, plausible: list[int], text: str) -> None:
    found = {"chosen": 5, "plausible": plausible, "scores": []}
    facts = dict(result_facts(replace(result, components=found)))
    assert facts["K"].startswith(text)
