"""A machine that lacks most packages: what a method needs is there, and little else."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]

_SITE = """
import sys
from importlib.machinery import PathFinder

ABSENT = {
    "PIL", "anndata", "click", "h5py", "matplotlib", "mlflow", "pandas", "psutil", "psycopg",
    "pyarrow", "pytest", "ray", "requests", "rich", "tenacity", "torchvision", "typer",
}

class Present:
    def find_spec(self, name, path=None, target=None):
        known = name.split(".")[0] not in ABSENT
        return PathFinder.find_spec(name, path, target) if known else None

sys.meta_path[sys.meta_path.index(PathFinder)] = Present()
"""


def environment(folder: Path) -> dict[str, str]:
    """Return an environment in which Python, and all that it starts, lacks these packages.

    Python runs a module of this name in `folder` when it starts.
    """
    (folder / "sitecustomize.py").write_text(_SITE)
    path = os.pathsep.join([str(folder), str(ROOT)])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
