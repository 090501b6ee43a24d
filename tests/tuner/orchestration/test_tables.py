"""A raw table from file to champion, and new raw rows in another order to its clusters."""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_mutual_info_score

import tuner
from tests.lookalikes import penguins
from tests.tuner.in_process import Resources, no_ray
from tests.tuner.mlflow_store import OLD_LOADER, free_port, kill, wait_for
from tuner.data import Preparation
from tuner.errors import DataError
from tuner.ledger.ledger import Ledger
from tuner.orchestration.locations import Locations
from tuner.orchestration.search import resume, search
from tuner.orchestration.session import Session
from tuner.registry import load
from tuner.study.study import Study

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)
DROP = ("rowid", "year")


class Birds:
    """A search on a raw table with categories, an identifier and gaps, given in memory."""

    def __init__(self, folder: Path) -> None:
        self.frame, labels = penguins()
        self.locations = Locations(
            storage=f"sqlite:///{folder / 'tuner.db'}",
            tracking_uri=f"sqlite:///{folder / 'mlflow.db'}",
            artifacts=folder / "artifacts",
        )
        study = Study(
            methods=("gmm",),
            dataset=self.frame,
            labels=labels,
            preparation=Preparation(drop=DROP, missing="indicator"),
            trials=6,
            finalist_seeds=2,
            name="birds",
            register="birds",
        )
        self.messages: list[str] = []
        self.session = Session(
            locations=self.locations, resources=Resources(), on_message=self.messages.append
        )
        with no_ray():
            self.result = search(study, self.session)

    @property
    def uri(self) -> str:
        return str(self.result.champion.uri)

    @property
    def rows(self) -> pd.DataFrame:
        """New raw rows: other columns, another order, gaps, and no labels."""
        rows, _ = penguins(seed=1)
        return rows.drop(columns="species")[rows.columns[::-1].drop("species")]


@pytest.fixture(scope="module")
def birds(tmp_path_factory) -> Birds:
    return Birds(tmp_path_factory.mktemp("birds"))


def test_the_introduction_says_what_the_data_are_taken_for(birds):
    (line,) = [line for line in birds.messages if line.startswith("data: ")]
    assert line == (
        "data: columns: 2 categories, 4 numbers, each column standardised to mean 0 and variance 1"
    )


def test_a_search_in_memory_can_be_resumed(birds):
    study = Ledger.load(birds.locations.storage, "birds").record["study"]
    assert study["labels"] == "species"
    assert study["preparation"] == {"drop": list(DROP), "missing": "indicator"}
    assert Path(study["dataset"]).parts[-3] == ".data"
    with no_ray():
        result = resume("birds", birds.session, trials=7)
    assert result.counts["total"] == 7
    pd.read_parquet(study["dataset"]).iloc[::-1].to_parquet(study["dataset"])
    with pytest.raises(DataError, match="was started on data with fingerprint"):
        resume("birds", birds.session, trials=8)


def test_the_champion_answers_raw_rows_in_any_order(birds):
    model = load(birds.uri, tracking_uri=birds.locations.tracking_uri)
    rows = birds.rows
    answers = model.predict(rows)
    straight = model.predict(rows[rows.columns[::-1]])
    assert np.array_equal(answers, straight)
    species = penguins(seed=1)[0]["species"]
    assert adjusted_mutual_info_score(species, answers) > 0.5
    drawn = model.sample(0, 5)
    assert list(drawn.columns) == list(birds.frame.columns.drop(["rowid", "species", "year"]))
    assert set(drawn["island"]) <= {"Biscoe", "Dream", "Torgersen"}
    assert drawn["body_mass_g"].between(1000, 9000).all()
    assert len(model.predict(drawn)) == 5


def test_renamed_columns_are_refused(birds):
    model = load(birds.uri, tracking_uri=birds.locations.tracking_uri)
    renamed = birds.rows.drop(columns=list(DROP)).rename(columns={"island": "isle"})
    with pytest.raises(DataError, match=r"no column 'island'; did you mean 'isle'\?"):
        model.predict(renamed)


def test_mlflow_knows_the_columns(birds, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", birds.locations.tracking_uri)
    served = mlflow.pyfunc.load_model(birds.uri)
    assert served.metadata.signature.inputs.input_names() == list(
        birds.frame.columns.drop(["rowid", "species", "year"])
    )
    model = load(birds.uri, tracking_uri=birds.locations.tracking_uri)
    rows = birds.rows.drop(columns=list(DROP))
    expected = model.predict(rows)
    assert np.array_equal(served.predict(rows)["cluster"], expected)
    assert np.array_equal(served.predict(rows.convert_dtypes())["cluster"], expected)
    with pytest.raises(Exception, match=r"missing inputs.*island"):
        served.predict(rows.drop(columns="island"))


def test_the_command_line_answers_a_raw_file(birds, tuner_command, tmp_path):
    birds.rows.assign(note="new").to_csv(tmp_path / "new.csv", index=False)
    ran = tuner_command(
        "predict", birds.uri, "new.csv", "--out", "p.csv", "--tracking-uri",
        birds.locations.tracking_uri,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "warning: ignored 1 column that the model does not use: 'note'" in ran.err
    model = load(birds.uri, tracking_uri=birds.locations.tracking_uri)
    expected = model.predict(birds.rows.drop(columns=list(DROP)))
    assert pd.read_csv(tmp_path / "p.csv")["cluster"].to_list() == expected.tolist()
    ran = tuner_command(
        "sample", birds.uri, "--out", "s.csv", "-n", "4", "--tracking-uri",
        birds.locations.tracking_uri,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    drawn = pd.read_csv(tmp_path / "s.csv")
    assert list(drawn.columns[:3]) == ["cluster", "island", "bill_length_mm"]
    assert len(drawn) == 4 * model.n_components


@pytest.fixture
def tuner_command(tmp_path, monkeypatch, capsys):
    from types import SimpleNamespace

    from tuner.cli.app import run

    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        code = run(list(arguments))
        return SimpleNamespace(code=code, **capsys.readouterr()._asdict())

    return command


@pytest.mark.slow
def test_mlflow_serves_raw_rows_in_another_order(birds, tmp_path):
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    command += ["-m", birds.uri, "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=os.environ | {"MLFLOW_TRACKING_URI": birds.locations.tracking_uri},
        start_new_session=True,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/ping")
        rows = birds.rows
        for orient, key in (("split", "dataframe_split"), ("records", "dataframe_records")):
            body = json.dumps({key: json.loads(rows.to_json(orient=orient))})
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/invocations",
                body.encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                predicted = [row["cluster"] for row in json.load(answer)["predictions"]]
            model = tuner.load(birds.uri, tracking_uri=birds.locations.tracking_uri)
            assert predicted == model.predict(rows.drop(columns=list(DROP))).tolist()
    finally:
        kill(server)
