"""Distributed hyperparameter search for deep generative clustering.

`Study` describes a search and `Preparation` how its data are read and scaled. `search` runs it,
and `load` returns a registered model.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .data import Preparation as Preparation
    from .orchestration.search import search as search
    from .registry import load as load
    from .study.study import Study as Study

__all__ = ["Preparation", "Study", "load", "search"]

# imported on first use, so that `import tuner` and `tuner --help` stay fast
_LAZY = {
    "Preparation": "data.preparation",
    "Study": "study.study",
    "search": "orchestration.search",
    "load": "registry",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_LAZY[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
