import json
import re

import numpy as np
import pytest

from tests.tuner.in_process import blobs
from tuner.registry import load


def arguments(here, *more):
    blobs(here / "blobs.npz")
    return ["train", "-m", "kmeans", "-d", "blobs.npz", "--set", "n_components=3", *more]


def test_training_saves_models_that_predict(tuner, here):
    document = json.loads(tuner(*arguments(here, "--replicas", 2, "--seed", 5, "--json")).out)
    assert document["seeds"] == [5, 6]
    assert document["settings"]["n_components"] == 3
    assert document["model"] == f"{here}/tuner-artifacts/train-kmeans-blobs-1/best"
    assert [audit["hungarian"] for audit in document["audits"]] == [1.0, 1.0]
    assert document["best"] == int(np.argmax(document["values"]))
    x = np.load("blobs.npz")["x"]
    best = load(document["model"]).predict(x)
    replica = here / "tuner-artifacts" / "train-kmeans-blobs-1" / f"replica-{document['best']}"
    np.testing.assert_array_equal(best, load(replica).predict(x))


def test_restarts_leave_one_candidate_of_each_replica(tuner, here):
    small = ["hidden_size", "prior_hidden_size", "code_size", "style_size", "n_components"]
    sizes = [word for name in small for word in ("--set", f"{name}=3")]
    blobs(here / "blobs.npz")
    line = ["train", "-m", "gmvae", "-d", "blobs.npz", "--set", "epochs=6", *sizes, "--out", "m"]
    ran = tuner(*line, "--replicas", 2, "--restarts", 4, "--seed", 5)
    assert ran.code == 0, ran.err
    assert "gmvae on blobs with 2 replicas, each the best of 4 restarts in" in ran.err
    assert "best of 4 restarts per replica, halved after passes 1 and 2" in ran.out
    seeds = [int(seed) for seed in re.findall(r"replica \d  seed (\d+):", ran.out)]
    assert len(seeds) == 2
    for replica, seed in enumerate(seeds):
        assert seed in range(5 + replica, 13, 2)
    folders = {path.name for path in (here / "m").glob("replica-*")}
    assert folders == {"replica-0", "replica-1"}


def test_a_training_takes_the_preset_that_is_named(tuner, here):
    ran = tuner(*arguments(here, "--preset", "mnist", "--json", "--progress", "plain"))
    document = json.loads(ran.out)
    assert (document["settings"]["starts"], document["settings"]["n_components"]) == (3, 3)
    assert "begins with: settings of presets 28x28 and mnist" in ran.err


def test_training_draws_pictures_of_the_best_model(tuner, here):
    document = json.loads(tuner(*arguments(here, "--out", "m", "--json")).out)
    assert document["pictures"] == f"{here}/m/pictures"
    assert document["notes"] == []
    found = {path.name for path in (here / "m" / "pictures").iterdir()}
    assert found == {"curves.png", "codes.png", "confusion.png"}


def test_a_picture_that_fails_is_noted(tuner, here, monkeypatch):
    from tuner.reports import model_pictures

    monkeypatch.setattr(model_pictures.projections, "tsne", lambda codes: 1 / 0)
    ran = tuner(*arguments(here, "--out", "m"))
    assert ran.code == 0, ran.err
    assert "codes.png was not drawn (ZeroDivisionError" in ran.out
    assert (here / "m" / "best" / "model.json").exists()


def test_the_folder_of_a_training_loads_as_its_best_model(tuner, here):
    assert tuner(*arguments(here, "--out", "m", "--replicas", 2)).code == 0
    ran = tuner("predict", "m", "blobs.npz", "--out", "p.csv")
    assert ran.code == 0, ran.err
    assert load("m").n_components == 3


def test_evaluations_go_to_stderr_and_the_result_to_stdout(tuner, here):
    ran = tuner(*arguments(here, "--replicas", 1))
    assert "epoch 1/1, kmeans: score 0.8" in ran.err
    assert "replica 0  seed 0: score 0.8" in ran.out
    assert "hungarian 1.000" in ran.out
    assert "tuner predict" in ran.out


def test_each_training_uses_a_new_folder(tuner, here):
    for n in (1, 2):
        ran = tuner(*arguments(here, "--json", "--replicas", 1))
        assert json.loads(ran.out)["model"].endswith(f"train-kmeans-blobs-{n}/best")


@pytest.mark.parametrize(
    ("more", "code", "expected"),
    [
        (["-m", "kmeans,gmm"], 2, "give one method, or use tuner search"),
        (["-m", "all"], 2, "give one method, or use tuner search"),
        (["-m", "kmens"], 2, "did you mean 'kmeans'"),
        (["--replicas", "0"], 2, "replicas=0"),
        (["--set", "k=3"], 2, "--set k: no such setting"),
        (["--set", "n_components=170"], 2, "170 clusters in 160 training points"),
        (["--device", "tpu"], 2, "choose cpu or cuda"),
        (["-d", "nope.npz"], 3, "there is no file"),
    ],
)
def test_an_invalid_training_is_refused_before_anything_is_written(
    tuner, here, more, code, expected
):
    wanted = [word for word in arguments(here) if word != "n_components=3" or "--set" not in more]
    if "--set" in more:
        wanted.remove("--set")
    ran = tuner(*wanted, *more)
    assert expected in ran.error_message
    assert ran.code == code
    assert [path.name for path in here.iterdir()] == ["blobs.npz"]


def test_a_folder_with_other_files_is_refused(tuner, here):
    (here / "mine").mkdir()
    (here / "mine" / "thesis.tex").touch()
    (here / "file").touch()
    for out, expected in (("mine", "is not empty"), ("file", "is not a folder")):
        ran = tuner(*arguments(here, "--out", out))
        assert ran.code == 2
        assert expected in ran.err


def test_an_interrupted_training_is_resumed_in_its_folder(tuner, here, monkeypatch):
    from tuner.training import trial

    monkeypatch.setattr(trial, "_CHECKPOINT_SECONDS", 0.0)
    settings = ["--set", "epochs=20", "--replicas", 1, "--out", "m", "--json"]
    begin = ["train", "-m", "gmvae", "-d", blobs(here / "blobs.npz"), *settings]
    small = ["hidden_size", "prior_hidden_size", "code_size", "style_size", "n_components"]
    begin += [word for name in small for word in ("--set", f"{name}=3")]
    passes = []

    def cut(_, evaluation):
        passes.append(evaluation.epoch)
        if evaluation.epoch == 10 and passes.count(10) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr("tuner.orchestration.training_watch.TrainingWatch.__call__", cut)
    assert tuner(*begin).code == 130
    assert not (here / "m" / "best").exists()
    ran = tuner(*begin)
    assert ran.code == 0, ran.err
    assert passes == [*range(1, 11), *range(11, 21)]
    whole = tuner(*(word if word != "m" else "whole" for word in begin))
    assert json.loads(ran.out)["scores"] == json.loads(whole.out)["scores"]


def test_a_training_without_clusters_exits_with_1(tuner, here, monkeypatch):
    from tuner.training import finalist

    class Diverges(finalist.Trial):
        def advance(self):
            evaluation = super().advance()
            from dataclasses import replace

            return replace(evaluation, failure="diverged", finished=True)

    monkeypatch.setattr(finalist, "Trial", Diverges)
    ran = tuner(*arguments(here))
    assert ran.code == 1
    assert "found no clusters (diverged)" in ran.err
    assert not list(here.rglob("model.json"))
