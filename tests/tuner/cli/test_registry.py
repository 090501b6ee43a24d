import csv
import json

import numpy as np
import pandas as pd
import pytest

from tests.tuner.in_process import blobs, finished_search, run_search
from tests.tuner.mlflow_store import OLD_LOADER
from tuner.registry import Registry, load

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Return a separate search, because these tests change the champion."""
    return run_search(tmp_path_factory.mktemp("own"), name="own")


@pytest.fixture
def model():
    return finished_search().model


def points(folder, **changes):
    raw = np.load(blobs(folder / "blobs.npz"))["x"][:20]
    np.save(folder / "x.npy", changes.get("x", raw))
    return raw


def test_predictions_keep_the_order_of_the_rows(tuner, here, model):
    raw = points(here)
    ran = tuner("predict", model, "x.npy", "--out", "p.csv", "--proba")
    assert ran.code == 0, ran.err
    assert "wrote 20 points to p.csv" in ran.out
    with open("p.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    loaded = load(model)
    assert [int(row["cluster"]) for row in rows] == loaded.predict(raw).tolist()
    proba = [[float(row[f"probability_{k}"]) for k in range(3)] for row in rows]
    np.testing.assert_allclose(proba, loaded.predict_proba(raw), atol=1e-6)


def test_the_test_part_of_a_file_is_answered_too(tuner, here, model):
    raw = points(here)
    np.savez(here / "parts.npz", x=raw[:12], x_test=raw[12:])
    assert tuner("predict", model, "x.npy", "--out", "whole.csv").code == 0
    ran = tuner("predict", model, "parts.npz", "--out", "parts.csv")
    assert "12 training points, then 8 test points" in ran.err
    assert (here / "parts.csv").read_text() == (here / "whole.csv").read_text()


def test_predictions_are_written_as_parquet_by_default(tuner, here, model):
    import pyarrow.parquet as pq

    points(here)
    document = json.loads(tuner("predict", model, "x.npy", "--json").out)
    table = pq.read_table("predictions.parquet")
    assert table.column_names == ["cluster"]
    assert document == {
        "out": "predictions.parquet",
        "points": 20,
        "clusters": np.bincount(table["cluster"], minlength=3).tolist(),
    }


def test_codes_are_written_beside_the_clusters(tuner, here, model):
    raw = points(here)
    ran = tuner("predict", model, "x.npy", "--codes", "--out", "c.csv")
    assert ran.code == 0, ran.err
    table = pd.read_csv("c.csv")
    codes = load(model).embed(raw)
    assert list(table) == ["cluster", *(f"code_{d}" for d in range(codes.shape[1]))]
    np.testing.assert_allclose(table.drop(columns="cluster"), codes, rtol=1e-5)


def test_the_label_column_is_ignored(tuner, here, model):
    raw = points(here)
    lines = ["a,b,kind,c,d", *(f"{r[0]},{r[1]},x,{r[2]},{r[3]}" for r in raw)]
    (here / "x.csv").write_text("\n".join(lines))
    ran = tuner("predict", model, "x.csv", "--labels", "kind", "--out", "p.csv")
    assert ran.code == 0, ran.err
    ran = tuner("predict", model, "x.csv", "--out", "p.csv")
    assert ran.code == 3
    assert "'a', 'b', 'kind', 'c', 'd' but the model was trained on 4 columns" in ran.error_message
    assert "--labels" in ran.error_message


@pytest.mark.parametrize(
    ("x", "arguments", "code", "expected"),
    [
        (np.ones((3, 5)), [], 3, "data of shape (3, 5) do not fit"),
        (np.full((3, 4), np.nan), [], 3, "column 0 has no value in row 0"),
        (np.ones((0, 4)), [], 3, "contains no points"),
        (np.array([["a"] * 4]), [], 3, "not numbers"),
        (np.ones((3, 4)), ["--out", "p.txt"], 2, "end in .parquet or .csv"),
        (np.ones((3, 4)), ["--out", "."], 2, "end in .parquet or .csv"),
        (np.ones((3, 4)), ["--out", "no/p.csv"], 74, "cannot write no/p.csv"),
    ],
)
def test_invalid_points_are_refused_and_nothing_is_written(
    tuner, here, model, x, arguments, code, expected
):
    points(here, x=x)
    ran = tuner("predict", model, "x.npy", *arguments)
    assert expected in ran.error_message
    assert ran.code == code
    assert sorted(path.name for path in here.iterdir()) == ["blobs.npz", "x.npy"]


@pytest.mark.parametrize("command", [["predict", "nope", "x.npy"], ["sample", "nope"]])
def test_an_unknown_model_is_refused(tuner, here, command):
    points(here)
    ran = tuner(*command)
    assert ran.code == 2
    assert "'nope' is not a folder: give models:/NAME@champion" in ran.error_message


def test_samples_of_one_or_all_clusters_are_a_picture_or_an_array(tuner, here):
    gmm = finished_search().other_model
    assert tuner("sample", gmm, "-k", 1, "-n", 7, "--out", "one.png").code == 0
    assert tuner("sample", gmm).code == 0
    for name in ("one.png", "samples.png"):
        assert (here / name).read_bytes().startswith(b"\x89PNG")
    assert tuner("sample", gmm, "-k", 1, "-n", 7, "--seed", 3, "--out", "x.npy").code == 0
    drawn = np.load("x.npy")
    assert drawn.shape == (7, 4)
    np.testing.assert_array_equal(drawn, load(gmm).sample(1, 7, seed=3))
    document = json.loads(tuner("sample", gmm, "--json").out)
    assert document == {"out": "samples.png", "shape": [3, 12, 4]}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-k", "3"], "there is no cluster 3: choose one from 0 to 2"),
        (["-k", "-1"], "no cluster -1"),
        (["-n", "0"], "cannot draw 0 points"),
        (["--out", "a.jpg"], "end in .png or .npy"),
    ],
)
def test_invalid_samples_are_refused(tuner, here, arguments, expected):
    gmm = finished_search().other_model
    ran = tuner("sample", gmm, *arguments)
    assert ran.code == 2
    assert expected in ran.error_message
    assert not list(here.iterdir())


def test_a_registered_model_is_found_by_its_alias(tuner, here):
    points(here)
    uri = finished_search().locations.tracking_uri
    ran = tuner("predict", "models:/blobs@champion", "x.npy", "--tracking-uri", uri)
    assert ran.code == 0, ran.err
    ran = tuner("predict", "models:/blobs@champoin", "x.npy", "--tracking-uri", uri)
    assert ran.code == 2
    assert "did you mean 'champion'" in ran.error_message


def test_a_modified_model_is_refused(tuner, here, model):
    import shutil

    points(here)
    shutil.copytree(model, here / "model")
    weights = here / "model" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    ran = tuner("predict", "model", "x.npy")
    assert ran.code == 3
    assert "sha256" in ran.error_message


def test_a_model_that_cannot_sample_is_refused(tuner, model):
    ran = tuner("sample", model)
    assert ran.code == 2
    assert "'kmeans' cannot draw new points" in ran.error_message


def test_a_promotion_can_be_refused_forced_and_rolled_back(tuner, here, done):
    registry = Registry(done.locations.tracking_uri)
    other = load(done.other_model)
    tags = {"search": "own", "data_fingerprint": _fingerprint(registry)}
    second = _registered(registry, other, tags)
    line = ["promote", "blobs", second, *done.flags]

    ran = tuner(*line)
    assert ran.code == 9
    assert (
        f"version {second} of 'blobs' is ahead of version 1 in 0% of the draws"
        in ran.error_message
    )
    assert registry.champion("blobs").number == 1

    document = json.loads(tuner(*line, "--force", "--json").out)
    assert document["promoted"]
    assert registry.champion("blobs").number == second
    assert "it already was" in tuner(*line).out

    back = tuner("rollback", "blobs", *done.flags[2:])
    assert "blobs version 1 is the champion again" in back.out
    assert registry.champion("blobs").number == 1
    assert not list(here.iterdir())


def test_versions_trained_on_different_data_are_not_compared(tuner, done):
    registry = Registry(done.locations.tracking_uri)
    third = _registered(registry, load(done.model), {"search": "x", "data_fingerprint": "other"})
    ran = tuner("promote", "blobs", third, *done.flags)
    assert ran.code == 9
    assert "trained on different data" in ran.error_message


def test_a_version_whose_search_is_unknown_is_not_compared(tuner, done):
    registry = Registry(done.locations.tracking_uri)
    tags = {"search": "gone", "data_fingerprint": _fingerprint(registry)}
    fourth = _registered(registry, load(done.model), tags)
    ran = tuner("promote", "blobs", fourth, *done.flags)
    assert ran.code == 2
    assert "its dataset is unknown" in ran.error_message


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["promote", "blob", "1"], "did you mean 'blobs'"),
        (["promote", "blobs", "99"], "no version 99"),
        (["rollback", "blob"], "did you mean 'blobs'"),
    ],
)
def test_an_unknown_model_or_version_is_refused(tuner, arguments, expected, done):
    flags = done.flags if arguments[0] == "promote" else done.flags[2:]
    ran = tuner(*arguments, *flags)
    assert ran.code == 2
    assert expected in ran.error_message


def test_a_rollback_without_a_previous_champion_is_refused(tuner):
    ran = tuner("rollback", "blobs", *finished_search().flags[2:])
    assert ran.code == 2
    assert "nothing to roll back" in ran.error_message


@pytest.mark.parametrize("arguments", [["promote", "blobs", "1"], ["rollback", "blobs"]])
def test_a_missing_registry_is_not_created(tuner, here, arguments):
    ran = tuner(*arguments)
    assert ran.code == 2
    assert "no registered model 'blobs'" in ran.error_message
    assert not list(here.iterdir())


def _fingerprint(registry):
    return registry.version("blobs", 1).tags["tuner.data_fingerprint"]


def _registered(registry, model, tags):
    run = registry.version("blobs", 1).run_id
    example = np.zeros((2, 4))
    made = registry.register(
        model,
        name="blobs",
        run_id=run,
        tags=tags,
        metrics={},
        data=("blobs", "f" * 64),
        description="",
        example=example,
    )
    return made.number
