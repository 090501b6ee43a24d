import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException as BadRequest

from tests.tuner import sabotage
from tests.tuner.fitted import fitted_model, raw_points
from tests.tuner.mlflow_store import OLD_LOADER, free_port, kill, wait_for
from tuner.registry import bundle
from tuner.registry.bundle import MlflowModel
from tuner.training.checkpoint import CheckpointError

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)
SHAPE = (2, 3)
UV = shutil.which("uv")
WHEELS = os.environ.get("TUNER_WHEELS")  # a folder with a wheel of torch, if any


@pytest.fixture(scope="module")
def model():
    return fitted_model("gmm", SHAPE)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    """Return an MLflow model as it is uploaded."""
    work = tmp_path_factory.mktemp("work")
    model.save(work / "model")
    bundle.write(model, MlflowModel(), work, raw_points(shape=SHAPE)[:3])
    return work / "bundle"


def served_from(folder):
    from mlflow.pyfunc import load_model  # after `bundle` has silenced its import warnings

    return load_model(str(folder))


@pytest.fixture(scope="module")
def served(folder):
    return served_from(folder)


def test_the_table_holds_cluster_and_probabilities(served, model):
    raw = raw_points(shape=SHAPE)
    table = served.predict(raw)
    assert list(table.columns) == ["cluster", "probability_0", "probability_1", "probability_2"]
    assert (table["cluster"] == model.predict(raw)).all()
    assert np.allclose(table.to_numpy()[:, 1:], model.predict_proba(raw))


def test_the_parameter_selects_the_columns(served, model):
    raw = raw_points(shape=SHAPE)
    proba = served.predict(raw, params={"output": "predict_proba"})
    assert list(proba.columns) == ["probability_0", "probability_1", "probability_2"]
    codes = served.predict(raw, params={"output": "embed"})
    assert np.allclose(codes.to_numpy(), model.embed(raw))
    assert codes.columns[0] == "code_0"
    with pytest.raises(BadRequest, match="'clusters' is unknown: give one of predict, "):
        served.predict(raw, params={"output": "clusters"})


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x.astype(np.float32),
        lambda x: x.reshape(len(x), -1),
        lambda x: x.reshape(len(x), -1).astype(np.float32),
        lambda x: pd.DataFrame(x.reshape(len(x), -1)),
        lambda x: pd.DataFrame(x.reshape(len(x), -1).astype(np.float32)),
        lambda x: x.tolist(),
    ],
)
def test_points_are_accepted_in_any_form(served, model, form):
    raw = raw_points(shape=SHAPE)
    assert (served.predict(form(raw))["cluster"] == model.predict(raw)).all()


def test_invalid_data_is_a_bad_request(served):
    for bad in (np.zeros((2, 4)), np.full((2, 6), np.nan), np.full((2, 6), "a")):
        with pytest.raises(BadRequest) as caught:
            served.predict(bad)
        assert caught.value.get_http_status_code() == 400


def test_the_artifact_has_a_signature_and_requirements(folder):
    stored = MlflowModel.load(str(folder))
    assert stored.signature.params.to_dict()[0]["name"] == "output"
    assert stored.signature.outputs.input_names()[0] == "cluster"
    assert stored.get_serving_input(str(folder)) is not None
    needed = (folder / "requirements.txt").read_text().split()
    assert {line.split(">=")[0] for line in needed} == {
        "mlflow",
        "numpy",
        "pandas",
        "safetensors",
        "scikit-learn",
        "torch",
    }


def test_the_artifact_holds_no_pickle(folder):
    found = [path for path in folder.rglob("*") if path.is_file()]
    files = [path for path in found if path.parent.name != "__pycache__"]  # of serving it above
    assert {path.suffix for path in files} <= {".py", ".json", ".yaml", ".txt", ".safetensors", ""}
    assert not any(path.read_bytes()[:1] == b"\x80" for path in files)


def test_no_file_of_the_current_folder_is_added(model, tmp_path, monkeypatch):
    (tmp_path / "uv.lock").write_text("version = 1")
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'secret'\nversion = '1'")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work").mkdir()
    model.save(tmp_path / "work" / "model")
    bundle.write(model, MlflowModel(), tmp_path / "work", raw_points(shape=SHAPE)[:3])
    assert not list((tmp_path / "work" / "bundle").rglob("uv.lock"))
    assert not list((tmp_path / "work" / "bundle").rglob("pyproject.toml"))


def test_tampered_weights_are_not_served(folder, tmp_path):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    weights = next(copy.rglob("weights.safetensors"))
    sabotage.flip(weights)
    with pytest.raises(Exception, match=r"weights\.safetensors was changed \(it does not match"):
        served_from(copy)
    weights.write_bytes(sabotage.hostile_pickle(tmp_path / "marker"))
    sabotage.sign(weights.parent)
    with pytest.raises(Exception, match="not a safetensors file") as caught:
        served_from(copy)
    assert type(caught.value).__name__ == CheckpointError.__name__
    assert not (tmp_path / "marker").exists()


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Return a folder with packages `models` and `tuner` that must not be imported."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for name in ("models", "tuner"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise RuntimeError('not this one')")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_fresh_environment_loads_it(folder, model, elsewhere, tmp_path):
    assert UV is not None, "this test needs uv"
    python = str(tmp_path / "venv" / "bin" / "python")
    subprocess.run([UV, "venv", "--python", sys.executable, tmp_path / "venv"], check=True)
    wanted = ["mlflow", "torch", "numpy", "safetensors"]
    index = [] if WHEELS is None else ["--find-links", WHEELS]
    if WHEELS is not None:
        wanted[1] = "torch==" + next(Path(WHEELS).glob("torch-*")).name.split("-")[1]
    subprocess.run([UV, "pip", "install", "--python", python, *index, *wanted], check=True)
    np.save(tmp_path / "raw.npy", raw_points(shape=SHAPE))
    program = Path(__file__).with_name("fresh_environment.py")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    answer = subprocess.run(
        [python, "-c", program.read_text(), folder, tmp_path / "raw.npy", tmp_path / "out.npy"],
        cwd=elsewhere,
        env=clean | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    shutil.rmtree(tmp_path / "venv")
    assert answer.returncode == 0, answer.stderr
    assert "fresh" in answer.stdout
    found = np.load(tmp_path / "out.npy")
    assert (found[:, 0] == model.predict(raw_points(shape=SHAPE))).all()


def post(url, body):
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.slow
def test_mlflow_serves_it(folder, model, elsewhere):
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    command += ["-m", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(
        command,
        cwd=elsewhere,
        env=os.environ | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
        start_new_session=True,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/ping")
        url, raw = f"http://127.0.0.1:{port}/invocations", raw_points(shape=SHAPE)[:5]
        status, answer = post(url, {"inputs": raw.tolist()})
        assert status == 200
        clusters = [row["cluster"] for row in answer["predictions"]]
        assert clusters == model.predict(raw).tolist()
        table = pd.DataFrame(raw.reshape(5, -1)).to_dict(orient="split")
        status, answer = post(url, {"dataframe_split": table, "params": {"output": "embed"}})
        assert status == 200
        assert len(answer["predictions"]) == 5
        for bad in ({"inputs": [[1.0, 2.0]]}, {"inputs": "text"}, {"nothing": 1}):
            assert post(url, bad)[0] == 400
        status, answer = post(url, {"inputs": raw.tolist(), "params": {"output": "x"}})
        assert status == 400
        assert "give one of predict" in answer["message"]
    finally:
        kill(server)
