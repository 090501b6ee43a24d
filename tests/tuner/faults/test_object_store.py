"""Searches on real Ray whose object store stops answering while trials train."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tuner.mlflow_store import OLD_LOADER
from tests.tuner.object_stores import SECRET, Store, running_store, set_variables
from tuner.orchestration.locations import Locations, artifacts_at

from .locations import Field, forget_methods, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings(OLD_LOADER),
]
WORDS = (
    *("-m", "idle", "--replicas", "1", "--trials", "2", "--workers", "2", "--json"),
    *("--scheduler", "none", "--set", "epochs=200", "--set", "pause=0.2"),
)
EPOCHS = list(range(10, 201, 10))


class FarField(Field):
    """A field whose files of trials are in an object store."""

    @property
    def locations(self) -> Locations:
        near = super().locations
        return Locations(
            storage=near.storage,
            tracking_uri=near.tracking_uri,
            artifacts=artifacts_at(self.settings["TUNER_ARTIFACTS"]),
        )


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with running_store() as started:
        set_variables(started, monkeypatch)
        yield started


@pytest.fixture
def field(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FarField]:
    made = FarField(tmp_path, {**store.variables, "TUNER_ARTIFACTS": store.url})
    monkeypatch.syspath_prepend(made.plugin)
    forget_methods()
    yield made
    forget_methods()


def pause(store: Store) -> None:
    assert store.process is not None
    store.process.send_signal(signal.SIGSTOP)


def proceed(store: Store) -> None:
    assert store.process is not None
    store.process.send_signal(signal.SIGCONT)


@pytest.mark.fault("F24")
def test_a_search_waits_for_its_store_and_ends_resumably_if_it_stays_away(
    field: FarField, store: Store
) -> None:
    begin = ("search", "-d", str(field.data), "--name", "far", *WORDS)
    with field.driver(*begin) as driver:
        wait_until(lambda: all(field.epoch("far", k) > 0 for k in (0, 1)))
        pause(store)
        time.sleep(15)
        proceed(store)
        reached = [field.epoch("far", k) for k in (0, 1)]
        wait_until(lambda: all(field.epoch("far", k) > reached[k] for k in (0, 1)))
        assert driver.poll() is None, "training went on"
        pause(store)
        began = time.monotonic()
        out, err = driver.communicate(timeout=240)
        print(f"the search ended {time.monotonic() - began:.0f} s after its store was gone")
    proceed(store)
    assert driver.returncode == 4, (out, err)
    assert "has not answered for" in err
    assert "Traceback" not in err
    assert SECRET not in err
    assert err.strip().count("\nerror:") <= 1
    resumed = field.run("resume", "far", "--json")
    assert resumed.code == 0, resumed.err
    assert [e.state for e in field.entries("far")] == ["COMPLETE", "COMPLETE"]
    for number in (0, 1):
        assert [e.epoch for e in field.evaluations("far", number)] == EPOCHS
    assert field.wrong("far") == []
