"""What a worker tells its driver when the files of its trial cannot be written, without Ray."""

import pickle
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.tuner.object_stores import running_store, set_variables
from tests.tuner.training.test_trial import dataset, gmvae, graph
from tuner.errors import DiskError, FilesError, StoreError
from tuner.execution.adapters import ControllerScheduler
from tuner.execution.worker import Limits, TrialTrainable
from tuner.training import store_access


class Closing:
    """A controller of which only the way to end a search matters."""

    error: Exception | None = None

    def abort(self, error: Exception) -> None:
        self.error = error


def worker(folder: Path | str) -> Any:
    """Return a trainable as Tune makes it, in this process."""
    spec = {**asdict(gmvae(Path("unused"), epochs=3)), "folder": str(folder)}
    one = TrialTrainable.__new__(TrialTrainable)
    one.setup({"spec": spec}, dataset(), graph(), Limits(gpu_share=0.0, seconds=None))
    return one


def told(result: dict[str, Any]) -> Any:
    """Return what ends a search to which a worker sends a result."""
    controller = Closing()
    scheduler = ControllerScheduler(controller)  # type: ignore[arg-type]
    scheduler.on_trial_result(None, None, pickle.loads(pickle.dumps(result)))
    return controller.error


def test_a_disk_that_cannot_be_written_ends_the_search_with_its_own_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    one = worker(tmp_path / "file")
    error = told(one.step())
    assert type(error) is DiskError
    assert str(tmp_path / "file") in str(error)
    one.cleanup()


def test_a_store_that_stays_away_ends_the_search_with_its_own_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with running_store() as store:
        set_variables(store, monkeypatch)
        one = worker(f"{store.url}/trial-00000")
        assert "evaluation" in one.step()
        store.stop()
        monkeypatch.setattr(store_access, "PATIENCE", 1.0)
        error = told(one.step())
        monkeypatch.setattr(store_access, "PATIENCE", 60.0)
        began = time.monotonic()
        one.cleanup()
        assert time.monotonic() - began < 20, "a search that ends does not wait for it"
    assert isinstance(error, FilesError)
    assert type(error) is StoreError
    assert error.exit_code == 4
    assert "has not answered" in str(error)


HANGING = """
import time
from tuner.execution.worker import Limits, stop_clock

limits = Limits(gpu_share=0.0, seconds=0.5)
limits.start_clock()
{between}
time.sleep(2)
print("alive")
"""


@pytest.mark.parametrize(
    ("between", "code", "out"),
    [("", 1, ""), ("stop_clock()", 0, "alive\n")],
    ids=["hangs", "ends"],
)
def test_a_trial_that_takes_too_long_ends_its_process(between: str, code: int, out: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGING.format(between=between)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (code, out)
    assert ("most recent call first" in done.stderr) == (code == 1), "it says where it was"
