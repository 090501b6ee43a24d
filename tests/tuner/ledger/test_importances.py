"""Which settings matter, per method."""

from pathlib import Path

import optuna
import pytest

from tuner.ledger import importances as module
from tuner.ledger.importances import importances
from tuner.ledger.ledger import Ledger


def ledger(folder: Path, methods: list[str], trials: int, *, constant: bool = False) -> Ledger:
    """A ledger in which only n_components matters; `rare` exists in every other trial."""
    url = f"sqlite:///{folder / 'tuner.db'}"
    Ledger.create(url, "one", {"study": {"methods": methods}, "trials": trials}).close()
    study = optuna.load_study(
        study_name="one", storage=url, sampler=optuna.samplers.RandomSampler(seed=0)
    )
    for number in range(trials):
        trial = study.ask()
        method = methods[0]
        if len(methods) > 1:
            method = trial.suggest_categorical("method", methods)
        k = trial.suggest_int(f"{method}.n_components", 2, 30)
        trial.suggest_float(f"{method}.rate", 1e-4, 1e-1, log=True)
        if number % 2:
            trial.suggest_categorical(f"{method}.rare", ["a", "b"])
        study.tell(trial, 1.0 if constant else -abs(k - 9.0))
    return Ledger.load(url, "one")


def test_the_setting_that_matters_comes_first(tmp_path: Path) -> None:
    (found,) = importances(ledger(tmp_path, ["gmm"], 40), ["gmm"])
    assert (found.method, found.trials, found.omitted) == ("gmm", 40, "")
    assert set(found.shares) == {"n_components", "rate", "rare"}
    assert max(found.shares, key=found.shares.__getitem__) == "n_components"
    assert sum(found.shares.values()) == pytest.approx(1)


def test_methods_are_told_apart(tmp_path: Path) -> None:
    found = importances(ledger(tmp_path, ["gmm", "dec"], 40), ["gmm", "dec"])
    assert sum(one.trials for one in found) == 40
    assert all("method" not in one.shares for one in found)


def test_few_or_equal_trials_say_so(tmp_path: Path) -> None:
    (few,) = importances(ledger(tmp_path, ["gmm"], 4), ["gmm"])
    assert "too few complete trials (4)" in few.omitted
    (tmp_path / "b").mkdir()
    (equal,) = importances(ledger(tmp_path / "b", ["gmm"], 12, constant=True), ["gmm"])
    assert "the same value" in equal.omitted


def test_an_error_of_optuna_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("no luck")

    monkeypatch.setattr(module, "get_param_importances", fails)
    (found,) = importances(ledger(tmp_path, ["gmm"], 12), ["gmm"])
    assert found.omitted == "Optuna could not tell which settings matter (no luck)"
