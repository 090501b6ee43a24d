"""An SQLite file of MLflow's whose creator is killed."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.tuner.mlflow_store import OLD_LOADER
from tuner.tracking import connect

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)

_COMMAND = "import sys; from tuner.tracking import connect; connect(sys.argv[1])"


def test_a_file_that_was_left_half_made_is_made_again(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    new = tmp_path / ".mlflow.db.new"
    with subprocess.Popen([sys.executable, "-c", _COMMAND, uri]) as process:
        deadline = time.monotonic() + 120
        while not new.exists() or new.stat().st_size < 50_000:
            assert process.poll() is None, "it was too fast to be killed"
            assert time.monotonic() < deadline
            time.sleep(0.001)
        process.kill()
    assert [path.name for path in tmp_path.glob("mlflow.db*")] == []
    client = connect(uri)
    assert client.search_experiments(max_results=1)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
