"""Runs the notebook of the documentation in a kernel: python -m tests.docs.notebook

This writes its outputs anew, with a folder in them that is nobody's.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
SHOWN_FOLDER = "/home/ada"
_SECONDS = 240  # for a cell


def read() -> Any:
    """Return the notebook as it is stored."""
    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]


def executed(notebook: Any, folder: Path) -> Any:
    """Return a notebook after its cells have run in a kernel that was started in a folder."""
    client = NotebookClient(
        notebook,
        timeout=_SECONDS,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    return client.execute(env=environment(folder))


def environment(folder: Path) -> dict[str, str]:
    """Return the variables of a kernel that finds this checkout, and nothing of the user's."""
    own = ("TUNER_", "MLFLOW_TRACKING", "RAY_ADDRESS", "IPYTHON", "MPLBACKEND")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(own)}
    return kept | {"PYTHONPATH": str(ROOT), "IPYTHONDIR": str(folder / "ipython")}


def main() -> None:
    """Run the notebook and store it with its outputs."""
    with tempfile.TemporaryDirectory() as folder:
        notebook = executed(read(), Path(folder).resolve())
        text = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
    text = text.replace(str(Path(folder).resolve()), SHOWN_FOLDER)
    NOTEBOOK.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
