"""Distributed hyperparameter search for deep generative clustering.

`Study` describes a search and `Preparation` how its data are read and scaled. `search` runs it,
`resume` goes on with one that was stopped, and both return a `Result`. Its `Champion` is loaded as
a `Model`, as `load` loads any registered one.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .data import Preparation as Preparation
    from .orchestration.result import Champion as Champion
    from .orchestration.result import Result as Result
    from .orchestration.search import resume as resume
    from .orchestration.search import search as search
    from .registry import load as load
    from .study.study import Study as Study
    from .training.saved_model import Model as Model

__all__ = [
    "Champion",
    "Model",
    "Preparation",
    "Result",
    "Study",
    "load",
    "resume",
    "search",
]

# imported on first use, so that `import tuner` and `tuner --help` stay fast
_LAZY = {
    "Champion": "orchestration.result",
    "Model": "training.saved_model",
    "Preparation": "data.preparation",
    "Result": "orchestration.result",
    "Study": "study.study",
    "load": "registry",
    "resume": "orchestration.search",
    "search": "orchestration.search",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import warnings
    from importlib import import_module

    with warnings.catch_warnings():
        # tqdm, which Optuna imports, asks for widgets in a notebook; no bar of it is shown
        warnings.filterwarnings("ignore", "IProgress not found")
        value = getattr(import_module(f".{_LAZY[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
