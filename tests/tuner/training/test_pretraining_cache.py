"""The cache of pretrained networks: keys, locks, damage and its bounded size."""

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tuner.evaluation.graph import neighbour_graph
from tuner.methods import catalog
from tuner.methods.contract import Pretrains
from tuner.study.plan import prepare
from tuner.study.seeds import finalist_seeds, trial_seeds
from tuner.study.study import Study
from tuner.training.pretraining_cache import CacheEntry, SharedPretraining, cache_key
from tuner.training.trial import Trial
from tuner.training.trial_inputs import TrialData, TrialSpec

NETWORK = {"weight": torch.arange(6.0), "epoch": 3}
PRETRAINED = 6


def key(**changes: Any) -> str:
    facts: dict[str, Any] = {
        "settings": {"latent_size": 2},
        "seeds": (1, 2),
        "shape": (4,),
        "fingerprint": "f",
        "device": "cpu",
    }
    facts |= changes
    return cache_key(facts.pop("settings"), **facts)


def test_a_stored_network_is_loaded_unchanged(tmp_path: Path) -> None:
    entry = CacheEntry(tmp_path, key())
    assert entry.load_or_lock("cpu") is None
    entry.store(NETWORK)
    found = CacheEntry(tmp_path, key()).load_or_lock("cpu")
    assert found is not None
    assert found["epoch"] == 3
    assert torch.equal(found["weight"], NETWORK["weight"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {"latent_size": 3}},
        {"seeds": (2, 1)},
        {"shape": (2, 2)},
        {"fingerprint": "g"},
        {"device": "cuda"},
    ],
)
def test_the_key_depends_on_everything_the_network_depends_on(change: dict[str, Any]) -> None:
    assert key() != key(**change)


def test_the_second_trial_waits_for_the_network_of_the_first(tmp_path: Path) -> None:
    first, found = CacheEntry(tmp_path, key()), []
    assert first.load_or_lock("cpu") is None
    waiting = threading.Thread(
        target=lambda: found.append(CacheEntry(tmp_path, key()).load_or_lock("cpu"))
    )
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive(), "it must wait while the first one trains"
    first.store(NETWORK)
    waiting.join(10)
    assert found[0] is not None


def test_a_released_or_deleted_entry_can_be_locked_by_the_next(tmp_path: Path) -> None:
    first = CacheEntry(tmp_path, key())
    assert first.load_or_lock("cpu") is None
    first.release()
    second = CacheEntry(tmp_path, key())
    assert second.load_or_lock("cpu") is None
    del second
    assert CacheEntry(tmp_path, key()).load_or_lock("cpu") is None, (
        "deleting an entry releases its lock"
    )


def _lock_forever(folder: Path, ready: Any) -> None:
    entry = CacheEntry(folder, key())
    entry.load_or_lock("cpu")
    ready.set()
    time.sleep(600)


def test_the_lock_of_a_killed_process_is_released(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_lock_forever, args=(tmp_path, ready))
    holder.start()
    assert ready.wait(60)
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    holder.join(10)
    assert CacheEntry(tmp_path, key()).load_or_lock("cpu") is None


def test_a_damaged_network_counts_as_missing_and_is_replaced(tmp_path: Path) -> None:
    CacheEntry(tmp_path, key()).store(NETWORK)
    weights = next(tmp_path.glob("*/weights.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1])
    entry = CacheEntry(tmp_path, key())
    assert entry.load_or_lock("cpu") is None
    entry.store(NETWORK)
    assert CacheEntry(tmp_path, key()).load_or_lock("cpu") is not None


def test_the_least_recently_used_networks_are_evicted(tmp_path: Path) -> None:
    big = {"weight": torch.zeros(1000)}
    for i in range(3):
        CacheEntry(tmp_path, key(seeds=(i,))).store(big)
        os.utime(tmp_path / key(seeds=(i,)), (i, i))
    assert CacheEntry(tmp_path, key(seeds=(0,))).load_or_lock("cpu") is not None  # used now
    CacheEntry(tmp_path, key(seeds=(3,)), max_bytes=11_000).store(big)
    kept = [i for i in range(4) if (tmp_path / key(seeds=(i,))).exists()]
    assert kept == [0, 3]
    assert len(list(tmp_path.glob("*.lock"))) <= 4


def test_without_a_writable_folder_the_network_is_not_shared(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    entry = CacheEntry(blocked / "cache", key())
    assert entry.load_or_lock("cpu") is None
    entry.store(NETWORK)


def trial_data() -> TrialData:
    centres = np.repeat(np.eye(4)[:3] * 6, 40, axis=0)
    x = (centres + np.random.default_rng(0).normal(size=centres.shape)).astype(np.float32)
    return TrialData("f" * 64, x, neighbour_graph(x, fingerprint="f" * 64), None)


def trained(tmp_path: Path, name: str, **settings: Any) -> list[str]:
    """Run a trial and return the stages it went through, one per evaluation."""
    small = {
        "n_components": 3,
        "latent_size": 2,
        "hidden_sizes": "8",
        "output": "identity",
        "pretraining_epochs": PRETRAINED,
    }
    spec = TrialSpec(
        number=0,
        method="ae_gmm",
        settings=small | settings,
        seeds=(1, 2),
        objective="modularity",
        folder=str(tmp_path / name),
        pretraining_cache=str(tmp_path / "cache"),
    )
    trial, stages = Trial(spec, trial_data()), []
    while not trial.finished:
        evaluation = trial.advance()
        assert evaluation.failure is None
        stages.append(evaluation.stage)
    return stages


def test_trials_with_equal_pretraining_train_it_once(tmp_path: Path) -> None:
    first = trained(tmp_path, "first")
    assert first == ["pretraining"] * PRETRAINED + ["mixture"]
    assert trained(tmp_path, "other K", n_components=4) == ["mixture"]
    assert trained(tmp_path, "other code", latent_size=3) == first


@pytest.mark.parametrize(
    ("name", "settings"),
    [("em_vae", {"start": "kmeans"}), ("ae_gmm", {"pretraining_epochs": 0})],
)
def test_trials_without_pretraining_reserve_no_entry(
    name: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    method_type = catalog.method(name)
    config = method_type.config_type.from_mapping(settings)
    method = method_type(config, (4,), (1, 2))
    assert isinstance(method, Pretrains)
    facts: dict[str, Any] = {"seeds": (1, 2), "shape": (4,), "fingerprint": "f", "device": "cpu"}
    shared = SharedPretraining(method.pretraining, tmp_path, settings=config.pretraining, **facts)
    shared.load_or_reserve()
    assert not list(tmp_path.iterdir()), "an entry is locked that no trial will store"


def test_only_trials_that_share_a_network_have_equal_seeds() -> None:
    assert trial_seeds(0, 1, 3, shared=True) == trial_seeds(0, 2, 3, shared=True)
    assert trial_seeds(0, 1, 3) != trial_seeds(0, 2, 3)
    assert not set(trial_seeds(0, 1, 3, shared=True)) & set(finalist_seeds(0, 1, 5))


def test_the_configuration_decides_whether_trials_share() -> None:
    plan = prepare(Study(methods=("ae_gmm", "em_vae", "gmvae"), dataset="digits"))

    def shares(method: str, **params: Any) -> bool:
        return bool(plan.branches[method].config(params).pretraining)

    assert shares("ae_gmm")
    assert not shares("ae_gmm", pretraining_epochs=0)
    assert shares("em_vae", start="pretrained")
    assert not shares("em_vae", start="random")
    assert not shares("gmvae")
