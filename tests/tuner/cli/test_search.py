import json
import re
import sys

import numpy as np
import pytest

from tests.tuner.in_process import blobs, finished_search, no_ray, run_search
from tests.tuner.mlflow_store import OLD_LOADER
from tuner.tracking import connect

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)

DRY = ["search", "--dry-run"]


@pytest.fixture
def done():
    return finished_search()


def file_names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_search_prints_its_result_as_json(tuner, here):
    blobs(here / "blobs.npz")
    line = ["search", "-m", "gmm", "-d", "blobs.npz", "-n", 3, "--replicas", 2, "--name", "first"]
    fixed = ["--set", "n_components=3", "--register", "blobs-model", "--json"]
    with no_ray():
        ran = tuner(*line, *fixed)
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["search"] == "first"
    assert found["trials"] == {"total": 3, "complete": 3, "pruned": 0, "failed": 0}
    assert found["best"]["method"] == "gmm"
    assert {"number", "params", "score"} <= found["best"].keys()
    assert found["champion"]["name"] == "blobs-model"
    assert {"version", "uri", "promoted"} <= found["champion"].keys()
    assert found["audit"]["hungarian"] == 1.0
    assert found["seconds"] > 0
    assert found["tracking_uri"] == f"sqlite:///{here}/mlflow.db"
    assert "3 of 3 trials: 3 complete" in ran.err
    assert {"tuner.db", "mlflow.db", "tuner-artifacts"} <= set(file_names(here))

    again = tuner(*line, *fixed)
    assert again.code == 2
    assert "tuner resume first" in again.error_message


def test_a_search_with_restarts_says_what_is_left_of_them(tuner, here):
    blobs(here / "blobs.npz")
    line = ["search", "-m", "kmeans", "-d", "blobs.npz", "-n", 2, "--replicas", 2, "--name", "s"]
    with no_ray():
        ran = tuner(*line, "--restarts", 3, "--set", "n_components=3")
    assert ran.code == 0, ran.err
    assert "2 trials of 2 replicas, each the best of 3 restarts" in ran.err
    assert "on 5 fresh seeds each, the best of 3 restarts" in ran.err
    assert "restarts   best of 3 restarts per replica, halved after pass 1" in ran.out
    client = connect(f"sqlite:///{here}/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'blobs'")
    runs = client.search_runs([experiment.experiment_id])
    seeds = {
        run.data.tags["tuner.key"]: run.data.params["seeds"].split(",")
        for run in runs
        if run.data.tags.get("tuner.restarts") == "3" and "seeds" in run.data.params
    }
    counts = {key: len(found) for key, found in seeds.items()}
    assert counts == {"trial 0": 2, "trial 1": 2, "finalist 0": 5}, "both trials have one setting"
    with no_ray():
        assert tuner("resume", "s", "--trials", 3).code == 0, "it has the same identity"


def test_data_without_clusters_exit_with_1_and_print_the_result(tuner, here):
    np.save(here / "cloud.npy", np.random.default_rng(0).normal(size=(200, 3)))
    line = ["search", "-m", "kmeans", "-d", "cloud.npy", "-n", 3, "--replicas", 1, "--name", "s"]
    with no_ray():
        ran = tuner(*line, "--json")
    assert ran.code == 1
    assert "no clusters" in ran.err.splitlines()[-1]
    found = json.loads(ran.out)
    assert found["champion"] is None
    assert found["structure"]["clustered"] is False
    assert 0.05 < found["structure"]["p_value"] <= 1
    low, high = found["components"]["plausible"]
    assert low <= found["components"]["chosen"] <= high
    text = tuner("resume", "s").out
    assert "no clusters: p = " in text
    assert "none, nothing was registered" in text
    assert "tuner resume s --allow-unclustered" in text
    with no_ray():
        ran = tuner("resume", "s", "--allow-unclustered")
    assert ran.code == 0, ran.err
    assert "cloud version 1, promoted" in ran.out


def test_an_interrupted_search_is_resumed_to_exactly_n_trials(tuner, here):
    blobs(here / "blobs.npz")
    line = ["search", "-m", "gmm", "-d", "blobs.npz", "-n", 5, "--replicas", 2, "--name", "cut"]
    with no_ray(interrupted_after=2):
        ran = tuner(*line, "--set", "n_components=3", "--sampler", "random")
    assert ran.code == 130
    assert ran.out == ""
    last = ran.err.splitlines()[-1]
    assert last.startswith("error: interrupted with 3 of 5 trials to go")
    assert "`tuner resume cut`" in last
    assert "cut     stopped  2/5" in tuner("status").out
    assert "continue with `tuner resume cut`" in tuner("status", "cut").out
    assert tuner("doctor", "cut").code == 1
    with no_ray():
        ran = tuner("resume", "cut", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["trials"]["total"] == 5
    document = json.loads(tuner("doctor", "cut", "--json").out)
    assert document["ok"], document
    assert "8 runs" in tuner("sync", "cut").out
    assert tuner("doctor", "cut").code == 0


def test_an_unreachable_mlflow_exits_with_4_before_any_trial(tuner, here):
    with no_ray():
        ran = tuner("search", "-m", "kmeans", "--tracking-uri", "http://me:canary@127.0.0.1:9")
    assert ran.code == 4
    assert "set MLFLOW_TRACKING_URI to a reachable server" in ran.error_message
    assert "canary" not in ran.error_message
    assert json.loads(tuner("status", "--json").out) == []


def test_a_search_without_a_usable_trial_exits_with_1(tuner, here):
    import numpy as np

    np.savez(here / "x.npz", x=np.random.default_rng(0).normal(size=(60, 3)))
    broken = ["--set", "epochs=1", "--set", "learning_rate=1.0e30", "--set", "n_components=3"]
    with no_ray():
        ran = tuner(
            "search", "-m", "gmvae", "-d", "x.npz", "-n", 2, *broken, "--sampler", "random"
        )
    assert ran.code == 1, ran.err
    assert "is usable" in ran.err.splitlines()[-1]
    assert ran.out == ""


def test_reusing_a_name_does_not_change_the_search_of_that_name(tuner, here, tmp_path_factory):
    done = run_search(tmp_path_factory.mktemp("taken"), name="taken")
    data = done.folder / "blobs.npz"
    ran = tuner("search", "-m", "gmm", "-d", data, "--name", "taken", "--epochs", 1, *done.flags)
    assert ran.code == 2
    assert "continue it with `tuner resume taken`" in ran.error_message
    client = connect(done.locations.tracking_uri)
    experiments = [one.experiment_id for one in client.search_experiments()]
    (parent,) = client.search_runs(experiments, "tags.`tuner.role` = 'search'")
    assert parent.info.status == "FINISHED"
    assert "epochs" not in parent.data.params


def test_output_of_libraries_goes_to_stderr(tuner, done, monkeypatch):
    import importlib

    def talkative(*_: object, **__: object) -> object:
        print("hello")
        return done.result

    monkeypatch.setattr(importlib.import_module("tuner.orchestration.search"), "resume", talkative)
    with no_ray():
        ran = tuner("resume", "done", "--json", *done.flags)
    assert json.loads(ran.out)["search"] == "done"
    assert "hello" in ran.err


def test_a_password_in_a_url_is_masked_in_the_result(tuner, done, monkeypatch):
    import dataclasses
    import importlib

    secret = dataclasses.replace(done.result, tracking_uri="http://me:canary@mlflow")
    module = importlib.import_module("tuner.orchestration.search")
    monkeypatch.setattr(module, "resume", lambda *_, **__: secret)
    for flag in ([], ["--json"]):
        with no_ray():
            ran = tuner("resume", "done", *flag, *done.flags)
        assert "http://me:***@mlflow" in ran.out
        assert "canary" not in ran.out + ran.err


def test_resuming_a_finished_search_shows_its_result(tuner, done):
    with no_ray():
        ran = tuner("resume", "done", *done.flags, "--artifacts", done.locations.artifacts)
    assert ran.code == 0, ran.err
    assert "done: 5 trials" in ran.out
    assert "tuner predict models:/blobs@champion FILE" in ran.out


def test_the_number_of_trials_cannot_shrink(tuner, done):
    with no_ray():
        ran = tuner(
            "resume", "done", "-n", 3, *done.flags, "--artifacts", done.locations.artifacts
        )
    assert ran.code == 2
    assert "already has 5" in ran.error_message


@pytest.mark.parametrize("command", ["resume", "status", "doctor", "sync"])
def test_an_unknown_search_is_refused_and_nothing_is_written(tuner, here, command, done):
    ran = tuner(command, "dome")
    assert ran.code == 2
    assert "no search named 'dome', because the ledger" in ran.error_message
    assert file_names(here) == []
    ran = tuner(command, "dome", *done.flags[:2])
    assert ran.code == 2
    assert "did you mean 'done'" in ran.error_message
    assert file_names(here) == []


def test_a_plan_says_what_the_first_trial_gets_and_what_is_drawn(tuner, here):
    line = [*DRY, "-m", "em_vae", "-d", "blobs.npz"]
    blobs(here / "blobs.npz")
    plan = json.loads(tuner(*line, "--json").out)["methods"]["em_vae"]
    highest = {name: entry.get("int", [0])[-1] for name, entry in plan["searched"].items()}
    assert "iterations" not in plan["first"]  # 300 by default, which is not searched
    assert plan["first"]["latent_size"] == 20
    assert plan["first"]["output"]  # not searched
    most = highest["iterations"] * highest["m_step_epochs"] + 15  # a pretrained start
    assert plan["passes"] == most
    text = tuner(*line).out
    assert f"em_vae, at most {most:,} epochs" in text
    assert re.search(r"^iterations .* drawn$", text, re.MULTILINE)


@pytest.mark.parametrize("key", ["gmm.epochs", "epochs"])
def test_an_unknown_setting_leads_to_those_of_its_methods(tuner, here, key):
    ran = tuner(*DRY, "-m", "gmm,kmeans", "--set", f"{key}=3")
    assert ran.code == 2
    named = [name for name in ("gmm", "kmeans") if f"`tuner methods {name}`" in ran.error_message]
    assert named == (["gmm"] if "." in key else ["gmm", "kmeans"])


def test_a_dry_run_prints_the_plan_and_writes_nothing(tuner, here):
    line = [*DRY, "-m", "gmm,kmeans", "--trials", 7, "--set", "gmm.starts=1"]
    ran = tuner(*line)
    assert (ran.code, ran.err) == (0, "")
    assert "7 trials of 3 replicas" in ran.out
    assert "3, on 5 fresh seeds each" in ran.out
    assert "1,437 + 360 points" in ran.out
    assert "nothing was written" in ran.out
    plan = json.loads(tuner(*line, "--json").out)
    assert plan["study"]["methods"] == ["gmm", "kmeans"]
    assert plan["methods"]["gmm"]["first"]["starts"] == 1
    assert "starts" not in plan["methods"]["gmm"]["searched"]
    assert "starts" in plan["methods"]["kmeans"]["searched"]
    assert file_names(here) == []


def test_a_dry_run_says_when_restarts_are_halved(tuner, here):
    (here / "tuner.toml").write_text("restarts = 4\n")
    ran = tuner(*DRY, "-m", "gmvae", "--set", "epochs=100")
    assert "trials of 3 replicas, each the best of 4 restarts" in ran.out
    halved = (
        "gmvae, at most 100 epochs, best of 4 restarts per replica, halved after passes 20 and 35"
    )
    assert halved in ran.out
    plan = json.loads(tuner(*DRY, "-m", "gmvae", "--restarts", 2, "--json").out)
    assert plan["study"]["restarts"] == 2


def test_a_dry_run_names_the_presets_and_the_order_of_first_trials(tuner):
    line = [*DRY, "-m", "vade,kmeans", "--preset", "paper"]
    ran = tuner(*line)
    assert ran.code == 0, ran.err
    words = " ".join(ran.out.split())
    assert (
        "presets kmeans: settings of preset digits for want of a preset paper; "
        "vade: settings of preset paper" in words
    )
    plan = json.loads(tuner(*line, "--json").out)
    assert plan["study"]["preset"] == "paper"
    assert plan["order"] == ["kmeans", "vade"]
    assert plan["methods"]["vade"]["presets"] == ["paper"]
    assert plan["methods"]["vade"]["first"]["hidden_sizes"] == "500-500-2000"
    ran = tuner(*DRY, "-m", "vade", "--preset", "papre")
    assert ran.code == 2
    assert "--preset papre: vade has no such preset; did you mean 'paper'?" in ran.error_message


def test_a_preset_may_come_from_a_file(tuner, here):
    (here / "tuner.toml").write_text('preset = "arcs"\n')
    plan = json.loads(tuner(*DRY, "-m", "kmeans", "--json").out)
    assert plan["methods"]["kmeans"]["presets"] == ["arcs"]
    assert plan["methods"]["kmeans"]["first"]["n_components"] == 5


def test_a_dry_run_accepts_every_flag_and_masks_passwords(tuner, here):
    space = here / "space.yaml"
    space.write_text("space:\n  starts: {int: [1, 3]}\n")
    ran = tuner(
        *DRY,
        *("-m", "kmeans", "--dataset", "arcs", "--trials", "200", "--replicas", "5"),
        *("--finalists", "2", "--finalist-seeds", "4"),
        *("--epochs", "3", "--seed", "7", "--objective", "ami", "--use-labels"),
        *("--sampler", "cmaes", "--scheduler", "median", "--workers", "2"),
        *("--cpus-per-trial", "0.5", "--gpus-per-trial", "0.25", "--time-budget", "2h"),
        *("--name", "a", "--register", "b", "--space", space, "--set", "iterations=9"),
        *("--storage", f"sqlite:///{here}/other.db", "--artifacts", "files"),
        *("--tracking-uri", "http://me:canary@mlflow"),
        *("--address", "head:6379", "--json"),
    )
    assert ran.code == 0, ran.err
    plan = json.loads(ran.out)
    study, resources = plan["study"], plan["resources"]
    assert (study["dataset"], study["trials"], study["replicas"]) == ("arcs", 200, 5)
    assert (study["finalists"], study["finalist_seeds"]) == (2, 4)
    assert (study["epochs"], study["seed"], study["objective"]) == (3, 7, "ami")
    assert (study["sampler"], study["scheduler"], study["use_labels"]) == ("cmaes", "median", True)
    assert (study["name"], study["register"], study["fixed"]) == ("a", "b", {"iterations": 9})
    assert resources["workers"] == 2
    assert (resources["cpus_per_trial"], resources["gpus_per_trial"]) == (0.5, 0.25)
    assert plan["methods"]["kmeans"]["searched"]["starts"] == {"int": [1, 3]}
    assert plan["artifacts"] == f"{here}/files"
    assert "canary" not in ran.out
    assert file_names(here) == ["space.yaml"]


def test_a_dry_run_connects_to_the_ledger(tuner):
    ledger = "postgresql+psycopg://me:canary@127.0.0.1:9/none"
    ran = tuner(*DRY, "-m", "kmeans", "--storage", ledger)
    assert ran.code == 4
    assert "canary" not in ran.error_message


def test_all_selects_every_method(tuner):
    from tuner.methods import catalog

    plan = json.loads(tuner(*DRY, "--method", "all", "--json").out)
    assert tuple(plan["study"]["methods"]) == catalog.names()


@pytest.mark.parametrize(
    ("flags", "code", "expected"),
    [
        (["-m", "gmva"], 2, "did you mean 'gmvae'"),
        (["-m", ""], 2, "no method is named"),
        (["-m", "gmm,gmm"], 2, "named twice"),
        (["--trials", "0"], 2, "trials=0 is not usable"),
        (["--trials", "-1"], 2, "trials=-1 is not usable"),
        (["--replicas", "0"], 2, "replicas=0 is not usable"),
        (["--epochs", "0"], 2, "epochs=0 is not usable"),
        (["--seed", "-1"], 2, "seed=-1 is not usable"),
        (["--sampler", "tpee"], 2, "did you mean 'tpe'"),
        (["--scheduler", "ash"], 2, "did you mean 'asha'"),
        (["--objective", "separated"], 2, "did you mean 'separation'"),
        (["--objective", "acc"], 2, "allow it with --use-labels"),
        (["--objective", "acc", "--use-labels", "-d", "plain.npy"], 2, "needs labels"),
        (["--objective", "elbo", "-m", "kmeans"], 2, "has no evidence lower bound"),
        (["--objective", "elbo", "-m", "gmm,gmvae"], 2, "one method only"),
        (["--objective", "elbo", "-m", "gmm"], 2, "fix it with --set n_components=VALUE"),
        (["--workers", "0"], 2, "--workers 0"),
        (["--cpus-per-trial", "0"], 2, "--cpus-per-trial 0"),
        (["--cpus-per-trial", "nan"], 2, "--cpus-per-trial nan"),
        (["--gpus-per-trial", "-1"], 2, "--gpus-per-trial -1"),
        (["--gpus-per-trial", "1.5"], 2, "--gpus-per-trial 1.5"),
        (["--time-budget", "soon"], 2, "90s, 30m, 2h or 1h30m"),
        (["--name", "a/b"], 2, "'a/b' is not usable"),
        (["--name", ".."], 2, "'..' is not usable"),
        (["--name", "a" * 300], 2, "(300 characters)"),
        (["--name", "a\0b"], 2, "is not usable"),
        (["--name", ""], 2, "'' is not usable"),
        (["--register", "../b"], 2, "'../b' is not usable"),
        (["--set", "n_components"], 2, "write KEY=VALUE"),
        (["--set", "n_component=3"], 2, "did you mean 'n_components'"),
        (["--set", "gmm.starts=3"], 2, "no such setting"),
        (["--set", "n_components=1"], 2, "n_components=1 is out of range"),
        (["--set", "n_components=ten"], 2, "give a value of type int"),
        (["--set", "n_components=nan"], 2, "give a value of type int"),
        (["--set", "n_components=2000"], 2, "2000 clusters in 1437 training points"),
        (["-m", "kmeans", "--set", "n_components=9", "--set", "starts=1"], 2, "every setting"),
        (["-d", "mnits"], 3, "did you mean 'mnist'"),
        (["-d", "nope.csv"], 3, "there is no file nope.csv"),
        (["-d", "."], 3, "is not an image that can be read"),
        (["-d", "plain.npy", "--labels", "y"], 3, "plain array"),
        (["--labels", "y"], 3, "already has labels"),
        (["--space", "nope.yaml"], 2, "cannot be read"),
        (["--storage", "tuner.db"], 2, "is not a database URL"),
        (["--storage", "nope://x/y"], 2, "is not a database URL"),
        (["--artifacts", "ftp://bucket"], 2, "is not a folder"),
        (["--artifacts", "s3://key:secret@bucket"], 2, "holds more than a place"),
    ],
)
@pytest.mark.parametrize("dry", [True, False], ids=["dry", "real"])
def test_an_invalid_search_is_refused_before_anything_is_written(
    tuner, here, flags, code, expected, dry
):
    import numpy as np

    np.save(here / "plain.npy", np.random.default_rng(0).normal(size=(50, 3)))
    ran = tuner("search", "-m", "kmeans", *flags, *(["--dry-run"] if dry else []))
    assert expected in ran.error_message
    assert ran.code == code
    assert file_names(here) == ["plain.npy"]


def test_a_dry_run_refuses_a_name_that_is_taken(tuner, done):
    ran = tuner(*DRY, "-m", "kmeans", "--name", "done", *done.flags)
    assert ran.code == 2
    assert (
        "a search named 'done' already exists: continue it with `tuner resume done`"
        in ran.error_message
    )


@pytest.mark.skipif(sys.platform == "win32", reason="modes of folders")
def test_a_folder_that_is_not_writable_exits_with_74(tuner, here):
    (here / "file").write_text("in the way")
    with no_ray():
        ran = tuner("search", "-m", "kmeans", "--artifacts", "file/below")
    assert ran.code == 74
    assert "cannot be written" in ran.error_message


def test_a_search_that_mlflow_has_not_fully_received_exits_with_5_and_prints_its_result(
    tuner, here, monkeypatch
):
    from tuner.tracking import Tracker

    blobs(here / "blobs.npz")
    close = Tracker.close
    monkeypatch.setattr(Tracker, "close", lambda self, seconds: close(self, seconds) and False)
    with no_ray():
        ran = tuner("search", "-m", "kmeans", "-d", "blobs.npz", "-n", 2, "--name", "s", "--json")
    assert ran.code == 5
    assert json.loads(ran.out)["trials"]["total"] == 2
    assert "run `tuner sync s`" in ran.err


def test_status_lists_all_searches_or_shows_one(tuner, done, here):
    listed = json.loads(tuner("status", "--json", *done.flags[:2]).out)
    assert [one["search"] for one in listed] == ["done"]
    one = json.loads(tuner("status", "done", "--json", *done.flags[:2]).out)
    assert one["state"] == "done"
    assert one["trials"]["complete"] == 5
    assert one["best"][0]["number"] == done.result.best["number"]
    assert one["result"]["search"] == "done"
    ran = tuner("status", "done", *done.flags[:2])
    assert "5 of 5 trials: 5 complete" in ran.out
    assert "done    done   5/5" in tuner("status", *done.flags[:2]).out
    assert file_names(here) == []


def test_status_without_searches_is_empty(tuner, here):
    assert json.loads(tuner("status", "--json").out) == []
    ran = tuner("status")
    assert (ran.code, ran.out) == (0, "")
    assert "tuner search" in ran.err
    assert file_names(here) == []


def test_status_fits_into_40_columns(tuner, done, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    ran = tuner("status", "done", *done.flags[:2])
    assert max(map(len, ran.out.splitlines())) <= 40


def test_an_unreachable_ledger_exits_with_4(tuner):
    ran = tuner("status", "--storage", "postgresql+psycopg://me:canary@127.0.0.1:9/none")
    assert ran.code == 4
    assert "canary" not in ran.error_message


def test_a_file_that_is_not_a_database_exits_with_4(tuner, here):
    (here / "tuner.db").write_text("no database, but long enough to be read as a header" * 10)
    ran = tuner("status")
    assert ran.code == 4
    assert "not a database" in ran.error_message


def test_a_second_search_is_compared_with_the_champion_of_the_first(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twice")
    run_search(folder, name="first")
    second = run_search(folder, name="second").result
    assert not any("different data" in note for note in second.notes)
