"""The modes of --progress, on the command line."""

import json

import numpy as np
import pytest

from tests.tuner.in_process import blobs, no_ray
from tests.tuner.mlflow_store import OLD_LOADER

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)

SEARCH = ["search", "-m", "gmm", "-d", "blobs.npz", "-n", 3, "--replicas", 1, "--name", "s"]
FIXED = ["--set", "n_components=3"]
TRAIN = ["train", "-m", "kmeans", "-d", "blobs.npz", "--replicas", 1, *FIXED]


def events(text):
    """Return the documents on the lines of a text, every one of which is JSON."""
    return [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]


def test_a_search_in_json_lines(tuner, here):
    blobs(here / "blobs.npz")
    with no_ray():
        ran = tuner(*SEARCH, *FIXED, "--progress", "json", "--json")
    assert ran.code == 0, ran.err
    told = events(ran.err)
    kinds = [one["event"] for one in told]
    assert kinds.count("started") == 1
    assert kinds.count("trial") == 3
    assert kinds[-1] == "ended"
    started = told[kinds.index("started")]
    assert (started["name"], started["dataset"], started["trials"]) == ("s", "blobs", 3)
    stages = list(dict.fromkeys(one["stage"] for one in told if one["event"] == "stage"))
    assert stages == [
        *("data", "ray", "trials", "finalists", "pictures", "clusters", "registry"),
        *("report", "mlflow"),
    ]
    trials = [one for one in told if one["event"] == "trial"]
    assert [one["number"] for one in trials] == [0, 1, 2]
    assert all(one["epoch"] == one["passes"] == 1 and one["seconds"] > 0 for one in trials)
    finalists = [one for one in told if one.get("stage") == "finalists"]
    assert (finalists[-1]["done"], finalists[-1]["total"]) == (3, 3)
    assert [one for one in told if one["event"] == "snapshot"][-1]["done"] == 3
    assert json.loads(ran.out)["search"] == "s"


def test_an_error_is_told_once_in_json_lines(tuner, here):
    ran = tuner("search", "-d", "nope.npz", "--progress", "json")
    assert ran.code == 3
    *_, ended = events(ran.err)
    assert (ended["event"], ended["exit_code"]) == ("ended", 3)
    assert "there is no file" in ended["error"]
    assert ran.out == ""


def test_an_interrupted_search_in_json_lines_can_be_resumed(tuner, here):
    blobs(here / "blobs.npz")
    with no_ray(interrupted_after=1):
        ran = tuner(*SEARCH, *FIXED, "--progress", "json", "--sampler", "random")
    assert ran.code == 130
    ended = events(ran.err)[-1]
    assert ended["exit_code"] == 130
    assert "`tuner resume s`" in ended["error"]
    with no_ray():
        ran = tuner("resume", "s", "--progress", "json")
    assert ran.code == 0, ran.err
    told = events(ran.err)
    assert [one["number"] for one in told if one["event"] == "trial"] == [1, 2]


def test_data_without_clusters_print_their_result_and_end_in_json(tuner, here):
    np.save(here / "cloud.npy", np.random.default_rng(0).normal(size=(200, 3)))
    line = ["search", "-m", "kmeans", "-d", "cloud.npy", "-n", 2, "--replicas", 1, "--name", "s"]
    with no_ray():
        ran = tuner(*line, "--progress", "json", "--json")
    assert ran.code == 1
    assert events(ran.err)[-1]["exit_code"] == 1
    assert json.loads(ran.out)["champion"] is None


@pytest.mark.parametrize("quiet", [["--quiet"], ["-q"], ["--progress", "quiet"]])
def test_quiet_leaves_the_result(tuner, here, quiet):
    blobs(here / "blobs.npz")
    ran = tuner(*TRAIN, *quiet)
    assert (ran.code, ran.err) == (0, "")
    assert "replica 0" in ran.out


def test_quiet_leaves_errors(tuner, here):
    ran = tuner("search", "-d", "nope.npz", "--quiet")
    assert ran.code == 3
    assert "there is no file" in ran.error_message


def test_a_quiet_search_says_nothing(tuner, here):
    blobs(here / "blobs.npz")
    with no_ray():
        ran = tuner(*SEARCH, *FIXED, "-q")
    assert (ran.code, ran.err) == (0, "")
    assert "champion" in ran.out


def test_a_training_in_json_lines(tuner, here):
    blobs(here / "blobs.npz")
    ran = tuner(*TRAIN, "--progress", "json")
    told = events(ran.err)
    kinds = [one["event"] for one in told]
    assert kinds[-1] == "ended"
    started, evaluation = told[kinds.index("started")], told[kinds.index("evaluation")]
    assert (started["name"], started["methods"]) == (None, ["kmeans"])
    assert evaluation["finished"]
    assert evaluation["value"] > 0.5
    assert {"epoch", "passes", "sd", "metrics", "seconds", "seconds_left"} <= evaluation.keys()


def test_a_training_has_its_time_left_on_each_line(tuner, here):
    blobs(here / "blobs.npz")
    small = ["hidden_size", "prior_hidden_size", "code_size", "style_size", "n_components"]
    sizes = [word for name in small for word in ("--set", f"{name}=3")]
    ran = tuner(
        "train", "-m", "gmvae", "-d", "blobs.npz", "--replicas", 1, *sizes, "--set", "epochs=4"
    )
    assert ran.code == 0, ran.err
    lines = [line for line in ran.err.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 4
    assert " left" not in lines[0]  # what was spent on the start is not known yet
    assert all(line.endswith(" left") for line in lines[1:])


def test_progress_may_be_set_in_the_file_of_defaults(tuner, here):
    blobs(here / "blobs.npz")
    (here / "tuner.toml").write_text('progress = "quiet"')
    assert tuner(*TRAIN).err == ""
    assert tuner(*TRAIN, "--progress", "plain").err.startswith("data: ")


@pytest.mark.parametrize("command", ["search", "resume", "train"])
def test_a_mode_that_is_none_is_refused(tuner, command):
    name = ["x"] if command == "resume" else []
    ran = tuner(command, *name, "--progress", "loud")
    assert ran.code == 2
    assert "choose one of auto, live, plain, json, quiet" in ran.error_message
    ran = tuner(command, *name, "-q", "--progress", "json")
    assert ran.code == 2
    assert "contradict each other" in ran.error_message
