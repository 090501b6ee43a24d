"""Datasets by name, from files or in memory, encoded, split and scaled without using labels.

Imports only `tuner.small_files` and `tuner.errors`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .builtin import DatasetInfo as DatasetInfo
    from .builtin import catalog as catalog
    from .dataset import Dataset as Dataset
    from .library import load as load
    from .preparation import Preparation as Preparation
    from .preprocessor import Preprocessor as Preprocessor

__all__ = ["Dataset", "DatasetInfo", "Preparation", "Preprocessor", "catalog", "load"]

# imported on first use, because a study needs no more than its preparation
_LAZY = {
    "Dataset": "dataset",
    "DatasetInfo": "builtin",
    "Preparation": "preparation",
    "Preprocessor": "preprocessor",
    "catalog": "builtin",
    "load": "library",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
