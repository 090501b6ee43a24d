"""Attempts at a trial write files of their own: no stale worker spoils what a newer one wrote."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tuner.faults.idle import Idle
from tests.tuner.sabotage import cut
from tuner.evaluation.graph import neighbour_graph
from tuner.methods import catalog
from tuner.training import checkpoint
from tuner.training.attempt_files import AttemptFiles, SupersededError
from tuner.training.attempts import attempts, delete_attempts, new_attempt
from tuner.training.evaluations import Evaluation, read_evaluations
from tuner.training.finalist import Finalist, fit_finalist
from tuner.training.trial import Trial
from tuner.training.trial_inputs import TrialData, trial_data

from .test_trial import dataset, graph, run, spec

pytestmark = pytest.mark.usefixtures("idle")


@pytest.fixture(scope="module")
def shared() -> TrialData:
    return trial_data(dataset(), graph())


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    known = catalog.method
    monkeypatch.setattr(catalog, "method", lambda name: Idle if name == "idle" else known(name))


def begun(folder: Path, shared: TrialData, *, attempt: int = 0, epochs: int = 6) -> Trial:
    return Trial(replace(spec(folder, epochs=epochs), attempt=attempt), shared)


def content(folder: Any) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("attempt", [0, 1], ids=["same in the ledger", "newer in the ledger"])
def test_a_stale_worker_changes_nothing_of_a_newer_attempt_and_stops(
    attempt: int, shared: TrialData, tmp_path: Path
) -> None:
    stale = begun(tmp_path, shared)
    for _ in range(3):
        stale.advance()
        stale.save()
    newer = begun(tmp_path, shared, attempt=attempt)
    assert newer.advance().epoch == 4, "it goes on at the checkpoint"
    newer.save()
    before = content(newer.folder)
    with pytest.raises(SupersededError, match="a newer attempt has begun") as caught:
        stale.advance()
    assert caught.value.exit_code == 75
    stale.save()  # what a worker does when it is stopped
    assert content(newer.folder) == before
    assert [e.epoch for e in run(newer)] == [5, 6]
    assert [e.epoch for e in read_evaluations(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_a_worker_of_an_old_driver_that_begins_late_writes_nothing(
    shared: TrialData, tmp_path: Path
) -> None:
    newer = begun(tmp_path, shared, attempt=1)
    newer.advance()
    before = content(tmp_path)
    with pytest.raises(SupersededError):
        begun(tmp_path, shared, attempt=0).advance()
    assert content(tmp_path) == before
    newer.advance()


def test_two_attempts_of_one_moment_have_different_folders() -> None:
    others = ["attempt-001-000-aaaaaaaa", "attempt-000-007-bbbbbbbb", "metrics.jsonl"]
    first, second = new_attempt(1, others), new_attempt(1, others)
    assert first[:16] == second[:16] == "attempt-001-001-"
    assert first != second
    assert new_attempt(2, others).startswith("attempt-002-000-")


def test_checkpoints_of_all_attempts_are_looked_through(shared: TrialData, tmp_path: Path) -> None:
    first = begun(tmp_path, shared)
    for _ in range(2):
        first.advance()
        first.save()
    second = begun(tmp_path, shared)
    second.advance()  # and dies before it has saved
    third = begun(tmp_path, shared)
    assert third.advance().epoch == 3
    third.save()
    cut(checkpoint.saved_checkpoints(third.folder / "checkpoints")[0] / "document.json")
    fourth = begun(tmp_path, shared, attempt=1)
    assert fourth.advance().epoch == 3
    assert "document.json" in fourth.note
    assert [e.epoch for e in read_evaluations(tmp_path)] == [1, 2, 3]


def test_the_checkpoints_of_earlier_attempts_go_when_there_are_two_new_ones(
    shared: TrialData, tmp_path: Path
) -> None:
    first = begun(tmp_path, shared)
    for _ in range(2):
        first.advance()
        first.save()
    second = begun(tmp_path, shared)
    for expected in (2, 0):
        second.advance()
        second.save()
        left = checkpoint.saved_checkpoints(first.folder / "checkpoints")
        assert len(left) == expected
    assert len(checkpoint.saved_checkpoints(second.folder / "checkpoints")) == 2
    assert len(attempts(tmp_path)) == 2, "the evaluations stay"


@pytest.mark.parametrize("depth", [0, 1], ids=["of the trial", "of the search"])
def test_a_folder_that_is_deleted_is_made_again(
    depth: int, shared: TrialData, tmp_path: Path
) -> None:
    folder = tmp_path / "search" / "trial"
    one = begun(folder, shared)
    one.advance()
    one.save()
    shutil.rmtree([folder, folder.parent][depth])
    one.advance()
    shutil.rmtree([folder, folder.parent][depth])
    one.save()
    run(one)
    assert [e.epoch for e in read_evaluations(folder)] == [1, 2, 3, 4, 5, 6], "none is lost"


def test_a_folder_that_is_deleted_during_a_write_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = checkpoint._write_durably

    def deleting(path: Path, data: bytes) -> None:
        written(path, data)
        if path.name == "b":
            monkeypatch.setattr(checkpoint, "_write_durably", written)
            shutil.rmtree(tmp_path / "trial")

    monkeypatch.setattr(checkpoint, "_write_durably", deleting)
    checkpoint.write_files(tmp_path / "trial" / "one", {"a": b"1", "b": b"2"})
    assert checkpoint.read_files(tmp_path / "trial" / "one", ("a", "b")) == {"a": b"1", "b": b"2"}


def test_what_earlier_versions_wrote_is_the_oldest_attempt(
    shared: TrialData, tmp_path: Path
) -> None:
    one = begun(tmp_path / "new", shared)
    for _ in range(3):
        one.advance()
        one.save()
    shutil.move(str(one.folder), tmp_path / "old")
    written = read_evaluations(tmp_path / "old")
    again = begun(tmp_path / "old", shared)
    assert again.advance().epoch == 4
    assert read_evaluations(tmp_path / "old")[:3] == written
    assert attempts(tmp_path / "old") == [again.folder, tmp_path / "old"]
    delete_attempts(tmp_path / "old")
    assert attempts(tmp_path / "old") == [tmp_path / "old"]


def fitted(folder: Path, attempt: int, watch: Any = None) -> Finalist:
    one = replace(spec(folder, epochs=3), attempt=attempt)
    test_graph = neighbour_graph(dataset().test, fingerprint="f/test")
    return fit_finalist(one, 0, dataset(), graph(), test_graph, watch=watch)


def test_the_models_of_a_finalist_are_those_of_its_attempt(tmp_path: Path) -> None:
    first = fitted(tmp_path, 1)
    before = content(Path(first.folder))

    def another(evaluation: Evaluation) -> None:
        if evaluation.epoch == 2:
            with pytest.raises(SupersededError):
                fitted(tmp_path, 1)

    second = fitted(tmp_path, 2, another)
    assert first.folder != second.folder
    assert content(Path(first.folder)) == before
    assert Path(second.model_folder(0)).is_dir()


def test_a_torn_line_of_the_epoch_of_a_checkpoint_is_not_lost(tmp_path: Path) -> None:
    first = AttemptFiles(tmp_path, 0)
    recorded = [Evaluation(epoch=e, passes=9, stage="train", value=e / 10) for e in (1, 2, 3)]
    for each in recorded:
        first.append(each)
    first.save(3, {"w": torch.zeros(1)}, {"epoch": 3})
    metrics = first.folder / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes()[:-5])
    found, note, evaluations = AttemptFiles(tmp_path, 1).latest_checkpoint()
    assert found is not None
    assert (note, evaluations) == ("", recorded)
