"""Every invariant holds for an intact search, and each violation is found, and it alone."""

import shutil
from dataclasses import replace

import pytest

from tests.tuner import sabotage
from tests.tuner.in_process import run_search
from tests.tuner.mlflow_store import OLD_LOADER
from tuner.errors import UsageError
from tuner.orchestration import doctor
from tuner.orchestration.doctor import CHECKS, examine
from tuner.orchestration.sync import sync
from tuner.registry import Registry
from tuner.tracking import connect
from tuner.training.attempts import attempts

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)

RUNS = "MLflow has one run for the search, each trial and each finalist"
AGREE = "ledger and MLflow agree on states and values"
BEST = "ledger, MLflow and result name the same best trial"
FILES = "the trials' metrics files are as complete as the ledger"
MODELS = "the finalists' models match their hashes"
VERSION = "the registered version exists and is intact"
CHAMPION = "the champion alias points to an intact version"
ENDED = "exactly N trials have ended"
CONTIGUOUS = "trial numbers run from 0 to N - 1"
RUNNING = "no trial is left running"
CONCLUDED = "the search has a result"
PROMOTIONS = "no promotion was left half-way"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return run_search(tmp_path_factory.mktemp("patient"), name="patient")


@pytest.fixture(scope="module")
def sound(done):
    return doctor.load_state("patient", done.locations)


@pytest.fixture
def copy(sound, tmp_path):
    """The state with its files copied to where they may be damaged."""
    shutil.copytree(sound.folder, tmp_path / "files")
    return replace(sound, folder=tmp_path / "files")


def newest(folder):
    """The folder of the newest attempt at a trial or finalist."""
    return attempts(folder)[0]


def broken(state):
    return {invariant: wrong for invariant, check in CHECKS.items() if (wrong := check(state))}


def test_a_sound_search_has_nothing_wrong(done):
    findings = examine("patient", done.locations)
    assert [finding.wrong for finding in findings] == [""] * 12
    assert all(finding.ok for finding in findings)


def test_the_invariants_are_these():
    assert set(CHECKS) == {
        *(ENDED, CONTIGUOUS, RUNNING, CONCLUDED, RUNS, AGREE, BEST, FILES, MODELS),
        *(VERSION, CHAMPION, PROMOTIONS),
    }


def test_too_few_trials(sound):
    assert broken(replace(sound, size=6)) == {ENDED: "5 of 6 have ended"}


def test_a_number_left_out(sound):
    wrong = broken(replace(sound, trials=sound.trials[:3] + sound.trials[4:]))
    assert wrong.keys() == {ENDED, CONTIGUOUS, RUNS}
    assert "they are 0, 1, 2, 4" in wrong[CONTIGUOUS]
    assert "unknown: trial 3" in wrong[RUNS]


def test_a_number_left_running(sound):
    last = replace(sound.trials[-1], state="RUNNING", value=None)
    wrong = broken(replace(sound, trials=[*sound.trials[:-1], last]))
    assert wrong.keys() == {ENDED, RUNNING, AGREE}
    assert wrong[RUNNING] == "still running: trial 4"


def test_no_result(sound):
    wrong = broken(replace(sound, result=None))
    assert wrong.keys() == {CONCLUDED, VERSION, CHAMPION}
    assert "tuner resume patient" in wrong[CONCLUDED]


def test_a_run_that_is_missing_double_or_unknown(sound):
    missing = broken(replace(sound, runs=[run for run in sound.runs if run.number != 3]))
    assert missing == {RUNS: "missing: trial 3; run `tuner sync patient` to add what is missing"}
    double = broken(replace(sound, runs=[*sound.runs, sound.runs[0]]))
    assert double.keys() == {RUNS}
    assert "duplicate" in double[RUNS]
    stray = replace(next(run for run in sound.runs if run.role == "trial"), number=77)
    assert broken(replace(sound, runs=[*sound.runs, stray])) == {RUNS: "unknown: trial 77"}
    no_parent = [run for run in sound.runs if run.role != "search"]
    assert "missing: search" in broken(replace(sound, runs=no_parent))[RUNS]


def test_a_run_that_says_something_else(sound):
    def changed(**changes):
        runs = [replace(r, **changes) if r.number == 2 else r for r in sound.runs]
        return broken(replace(sound, runs=runs))

    for wrong in (changed(value=0.1), changed(status="RUNNING")):
        assert wrong.keys() == {AGREE}
        assert "trial 2" in wrong[AGREE]


def test_another_best_trial(sound):
    ledger = [replace(e, value=0.99) if e.number == 2 else e for e in sound.trials]
    wrong = broken(replace(sound, trials=ledger))
    assert wrong.keys() == {AGREE, BEST}
    best = sound.result["best"]["number"]
    assert wrong[BEST] == f"ledger says 2, MLflow says {best}, result says {best}"
    collapsed = [
        replace(e, value=0.99, outcome={**e.outcome, "reason": "collapsed"})
        if e.number == 2
        else e
        for e in sound.trials
    ]
    assert broken(replace(sound, trials=collapsed)).keys() == {AGREE}


@pytest.mark.parametrize("damage", [sabotage.remove, lambda path: path.write_text("{torn")])
def test_a_trial_without_its_curve(copy, damage):
    damage(newest(copy.folder / "trial-00002") / "metrics.jsonl")
    wrong = broken(copy)
    assert wrong.keys() == {FILES}
    assert "for trial 2 in" in wrong[FILES]


def test_a_torn_last_line_is_no_damage(copy):
    with (newest(copy.folder / "trial-00002") / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 7')
    assert broken(copy) == {}


@pytest.mark.parametrize("damage", [sabotage.cut, sabotage.flip, sabotage.remove])
@pytest.mark.parametrize("name", ["weights.safetensors", "model.json", "manifest.json"])
def test_a_damaged_model(copy, damage, name):
    damage(newest(copy.folder / "finalist-1") / "replica-1" / name)
    wrong = broken(copy)
    assert wrong.keys() == {MODELS}
    assert "replica-1" in wrong[MODELS]


def test_a_version_that_is_not_there(sound):
    champion = {**sound.result["champion"], "version": 9}
    wrong = broken(replace(sound, result={**sound.result, "champion": champion}))
    assert wrong.keys() == {VERSION}
    assert "no version 9" in wrong[VERSION]


def test_an_alias_that_is_gone_and_a_version_that_was_changed(done, sound):
    registry = Registry(done.locations.tracking_uri)
    client = connect(done.locations.tracking_uri)
    client.delete_registered_model_alias("blobs", "champion")
    assert "no alias 'champion'" in broken(sound)[CHAMPION]
    client.set_registered_model_alias("blobs", "champion", "1")
    assert broken(sound) == {}

    stored = registry.location(registry.version("blobs", 1)).removeprefix("file://")
    (weights,) = done.folder.glob(f"**/{stored.split('/')[-2]}/**/weights.safetensors")
    content = weights.read_bytes()
    sabotage.flip(weights)
    wrong = broken(sound)
    weights.write_bytes(content)
    assert wrong.keys() == {VERSION, CHAMPION}
    assert "sha256" in wrong[VERSION]


def test_what_is_missing_in_mlflow_comes_back_by_a_sync(done):
    client = connect(done.locations.tracking_uri)
    runs = doctor.load_state("patient", done.locations).runs
    assert [run.role for run in runs].count("trial") == 5
    experiments = [one.experiment_id for one in client.search_experiments()]
    (gone,) = client.search_runs(
        experiments, "tags.`tuner.role` = 'trial' and tags.`tuner.number` = '2'"
    )
    client.delete_run(gone.info.run_id)
    wrong = {one.invariant: one.wrong for one in examine("patient", done.locations) if not one.ok}
    assert wrong.keys() == {RUNS}
    for _ in range(2):
        assert sync("patient", done.locations).runs == 7
        assert all(finding.ok for finding in examine("patient", done.locations))


def test_a_search_that_is_not_there_is_refused(done):
    with pytest.raises(UsageError, match="did you mean 'patient'"):
        examine("patent", done.locations)


def test_no_tracking_at_all_is_found_and_creates_nothing(done, tmp_path):
    elsewhere = replace(done.locations, tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    wrong = {one.invariant for one in examine("patient", elsewhere) if not one.ok}
    assert wrong == {RUNS, BEST, VERSION, CHAMPION}
    assert not list(tmp_path.iterdir())
