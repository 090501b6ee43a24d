"""Files of trials in S3: written whole, verified, kept by twos, and what a store's faults do."""

import pickle
import threading
import time
from collections.abc import Iterator

import pytest
import torch

from tests.tuner.object_stores import SECRET, Store, running_store, set_variables, slow_proxy
from tuner.errors import DiskError, StoreError, UsageError
from tuner.execution.connection import machine_error, probe_machine
from tuner.training import checkpoint, store_access
from tuner.training.attempts import delete_checkpoints
from tuner.training.checkpoint import CheckpointError
from tuner.training.evaluations import Evaluation, EvaluationLog, recorded_in
from tuner.training.object_store import StorePath
from tuner.training.places import delete_folder, local_copy, place, probe, upload

TENSORS = {"weight": torch.arange(6.0)}


@pytest.fixture(scope="module")
def server() -> Iterator[Store]:
    with running_store() as store:
        yield store


@pytest.fixture
def store(server: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    set_variables(server, monkeypatch)
    for name in server.names():
        server.damage(name, None)
    return server


@pytest.fixture
def root(store: Store) -> StorePath:
    found = place(store.url)
    assert isinstance(found, StorePath)
    return found


def test_an_object_is_found_where_it_was_written(root: StorePath) -> None:
    folder = root / "a" / "b"
    assert not folder.exists()
    assert not folder.is_dir()
    assert list(folder.iterdir()) == folder.files() == []
    (folder / "one").write_bytes(b"1")
    (folder / "c" / "two").write_bytes(b"2")
    assert [path.name for path in folder.iterdir()] == ["c", "one"]
    assert folder.files() == ["c/two", "one"]
    assert folder.glob("o*") == [folder / "one"]
    assert folder.exists()
    assert (root / "a").is_dir()
    assert (folder / "c" / "two").read_text() == "2"
    assert (folder / "c").parent == folder
    (folder / "one").unlink()
    with pytest.raises(FileNotFoundError, match=r"s3://.*/files/a/b/one"):
        (folder / "one").read_bytes()
    delete_folder(root / "a")
    assert root.files() == []


def test_files_come_from_this_machine_and_back(root: StorePath, tmp_path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "one.png").write_bytes(b"1")
    upload(tmp_path, root / "pictures")
    copy = local_copy(root / "pictures")
    assert (copy / "deep" / "one.png").read_bytes() == b"1"
    assert local_copy(tmp_path) == tmp_path


def test_the_newest_two_checkpoints_are_kept(root: StorePath, store: Store) -> None:
    for step in (1, 2, 10, 11):
        checkpoint.save_checkpoint(root / "c", step, TENSORS, {"step": step})
    assert [p.name for p in checkpoint.saved_checkpoints(root / "c")] == [
        "step-00000011",
        "step-00000010",
    ]
    assert len(store.names()) == 6, "nothing else is left"
    checkpoint.save_checkpoint(root / "c", 3, TENSORS, {"step": 3})
    assert [p.name for p in checkpoint.saved_checkpoints(root / "c")] == ["step-00000003"]
    tensors, document = checkpoint.read(root / "c" / "step-00000003")
    assert torch.equal(tensors["weight"], TENSORS["weight"])
    assert document == {"step": 3}


def test_an_upload_that_was_cut_is_not_loaded_and_is_tidied_up(
    root: StorePath, store: Store
) -> None:
    checkpoint.save_checkpoint(root / "c", 1, TENSORS, {"step": 1})
    checkpoint.save_checkpoint(root / "c", 2, TENSORS, {"step": 2})
    store.damage("files/c/step-00000002/manifest.json", None)
    found, note = checkpoint.latest_valid(root / "c")
    assert found is not None
    assert (found[1], note) == ({"step": 1}, "")
    checkpoint.save_checkpoint(root / "c", 3, TENSORS, {"step": 3})
    names = {key.split("/")[2] for key in store.names()}
    assert names == {"step-00000001", "step-00000003"}


@pytest.mark.parametrize("content", [None, b"", b"other content"])
@pytest.mark.parametrize("name", ["weights.safetensors", "document.json"])
def test_a_damaged_object_is_detected(
    root: StorePath, store: Store, name: str, content: bytes | None
) -> None:
    checkpoint.write(root / "model", TENSORS, {})
    store.damage(f"files/model/{name}", content)
    with pytest.raises(CheckpointError, match=name):
        checkpoint.read(root / "model")


def test_evaluations_are_recorded_one_by_one(root: StorePath) -> None:
    first, second = (Evaluation(epoch=k, passes=2, stage="s", value=0.5) for k in (1, 2))
    log = EvaluationLog(root / "t", [])
    assert recorded_in(root / "t") == []
    log.append(first)
    log.append(second)
    assert recorded_in(root / "t") == [first, second]
    assert recorded_in(root / "other") is None


def test_the_checkpoints_of_a_search_are_deleted(root: StorePath, store: Store) -> None:
    for folder in (root / "trial-00000", root / "trial-00001" / "attempt-000-000-00000000"):
        checkpoint.save_checkpoint(folder / "checkpoints", 1, TENSORS, {})
        EvaluationLog(folder, [])
    delete_checkpoints(root)
    assert {key.rpartition("/")[2] for key in store.names()} == {"metrics.jsonl"}
    assert len(store.names()) == 2


def test_a_probe_leaves_nothing(root: StorePath, store: Store) -> None:
    probe(root)
    assert store.names() == []


def test_a_missing_bucket_is_named_at_once(store: Store) -> None:
    began = time.monotonic()
    with pytest.raises(DiskError, match=r"s3://nowhere/x.* no such bucket.*TUNER_ARTIFACTS"):
        probe(place("s3://nowhere/x"))
    assert time.monotonic() - began < 60


def test_missing_credentials_are_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = {"AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_CONFIG_FILE": "/dev/null"}
    set_variables(store, monkeypatch, **empty)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(DiskError, match=r"credentials.*AWS_ACCESS_KEY_ID.*AWS_PROFILE"):
        probe(place(store.url))


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("AWS_PROFILE", "nobody", "profile .nobody. could not be found"),
        ("AWS_ENDPOINT_URL", "nonsense", "Invalid endpoint: nonsense"),
    ],
)
def test_a_variable_of_no_use_is_told(
    store: Store, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str
) -> None:
    set_variables(store, monkeypatch, **{variable: value})
    with pytest.raises(DiskError, match=rf"{expected}.*{variable}"):
        probe(place(store.url))


def test_a_machine_says_why_it_cannot_use_the_store(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = place(store.url)
    assert machine_error("10.0.0.7", probe_machine(store.url), root) is None
    set_variables(store, monkeypatch, AWS_PROFILE="nobody")
    error = machine_error("10.0.0.7", probe_machine(store.url), root)
    assert isinstance(error, DiskError)
    assert "on machine 10.0.0.7, s3://" in str(error)
    assert "AWS_PROFILE" in str(error)
    assert machine_error("10.0.0.7", pickle.loads(pickle.dumps(probe_machine(store.url))), root)


def test_wrong_credentials_are_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with running_store() as own:
        set_variables(own, monkeypatch)
        own.require_keys()
        with pytest.raises(DiskError, match="AWS_SECRET_ACCESS_KEY") as caught:
            probe(place(own.url))
    assert caught.value.exit_code == 74
    assert SECRET not in str(caught.value)


def test_a_store_that_is_away_is_told_within_ten_seconds(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "http://user:hunter2@127.0.0.1:9"
    set_variables(store, monkeypatch, AWS_ENDPOINT_URL=secret)
    began = time.monotonic()
    with pytest.raises(StoreError, match="AWS_ENDPOINT_URL") as caught:
        probe(place(store.url))
    assert time.monotonic() - began < 60
    assert caught.value.exit_code == 4
    assert "hunter2" not in str(caught.value)


def test_a_store_that_does_not_answer_in_time_is_told_within_ten_seconds(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with slow_proxy(store.port, 60.0) as port:
        set_variables(store, monkeypatch, AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}")
        began = time.monotonic()
        with pytest.raises(StoreError):
            probe(place(store.url))
        assert time.monotonic() - began < 60


def test_a_slow_store_is_waited_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with slow_proxy(store.port, 0.5) as port:
        set_variables(store, monkeypatch, AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}")
        root = place(store.url)
        probe(root)
        checkpoint.save_checkpoint(root / "c", 1, TENSORS, {"step": 1})
        found, _ = checkpoint.latest_valid(root / "c")
        assert found is not None


def test_what_is_written_while_the_store_is_away_arrives_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with running_store() as own:
        set_variables(own, monkeypatch)
        log = EvaluationLog(place(own.url) / "t", [])
        own.stop()
        back = threading.Timer(1.0, own.start)
        back.start()
        one = Evaluation(epoch=1, passes=1, stage="s", value=0.5)
        log.append(one)
        back.join()
        assert recorded_in(place(own.url) / "t") == [one]


def test_a_store_that_stays_away_is_an_error_and_not_a_damaged_checkpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with running_store() as own:
        set_variables(own, monkeypatch)
        checkpoint.save_checkpoint(place(own.url) / "c", 1, TENSORS, {})
        own.stop()
        root = StorePath(own.url, patience=1.0)
        with pytest.raises(StoreError, match="has not answered"):
            checkpoint.latest_valid(root / "c")
        with pytest.raises(StoreError, match="has not answered"):
            checkpoint.save_checkpoint(root / "c", 2, TENSORS, {})


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIA:se/cr+et@bucket/x",
        "s3://token@bucket/x",
        "s3://bucket/x?X-Amz-Signature=secret",
        "abfs://name:secret@account.dfs.core.windows.net/x",
        "s3://bucket/../x",
        "s3://",
        "s3:///x",
        "http://host/secret",
        "memory://x",
        "file://host/x",
    ],
)
def test_a_url_that_is_more_or_less_than_a_place_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match=r"--artifacts") as caught:
        place(url)
    assert caught.value.exit_code == 2
    assert "se/cr+et" not in str(caught.value)
    assert "=secret" not in str(caught.value)
    assert ":secret" not in str(caught.value)


def test_urls_of_files_are_folders(tmp_path) -> None:
    assert place("file:///a%20b/c").as_posix() == "/a b/c"  # type: ignore[union-attr]
    assert place("file://localhost/a") == place("/a")


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(store_access._KINDS, "gs", ("gcsfs_not_there", "X"))
    with pytest.raises(
        UsageError, match=r"gcsfs_not_there.*pip install gcsfs_not_there"
    ) as caught:
        place("gs://bucket/x")
    assert caught.value.exit_code == 2
