"""What a user holds in Python after a search."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.tuner.in_process import finished_search
from tests.tuner.mlflow_store import OLD_LOADER
from tuner.ledger.ledger import Ledger
from tuner.orchestration.result import Result

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
