"""Networks that trials share: whole, found by what they depend on, waited for, bounded."""

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

from tuner.evaluation.objective import neighbour_graph
from tuner.methods import catalog
from tuner.methods.contract import Pretrains
from tuner.study.seeds import finalist_seeds, trial_seeds
from tuner.study.study import Study, prepare
from tuner.training.pretraining_cache import CacheEntry, SharedPretraining, cache_key
from tuner.training.trial import Trial, TrialData, TrialSpec

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


def test_a_network_comes_back_as_it_was_put(tmp_path: Path) -> None:
    spot = CacheEntry(tmp_path, key())
    assert spot.take("cpu") is None
    spot.put(NETWORK)
    found = CacheEntry(tmp_path, key()).take("cpu")
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
def test_whatever_a_network_depends_on_is_in_its_key(change: dict[str, Any]) -> None:
    assert key() != key(**change)


def test_the_second_waits_for_the_first_and_takes_its_network(tmp_path: Path) -> None:
    first, found = CacheEntry(tmp_path, key()), []
    assert first.take("cpu") is None
    waiting = threading.Thread(
        target=lambda: found.append(CacheEntry(tmp_path, key()).take("cpu"))
    )
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive(), "it waits as long as the first one trains"
    first.put(NETWORK)
    waiting.join(10)
    assert found[0] is not None


def test_one_that_gives_up_lets_the_next_train(tmp_path: Path) -> None:
    first = CacheEntry(tmp_path, key())
    assert first.take("cpu") is None
    first.release()
    second = CacheEntry(tmp_path, key())
    assert second.take("cpu") is None
    del second
    assert CacheEntry(tmp_path, key()).take("cpu") is None, "one that is dropped lets go as well"


def _hold(folder: Path, ready: Any) -> None:
    spot = CacheEntry(folder, key())
    spot.take("cpu")
    ready.set()
    time.sleep(600)


def test_a_holder_that_is_killed_lets_go(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready))
    holder.start()
    assert ready.wait(60)
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    holder.join(10)
    assert CacheEntry(tmp_path, key()).take("cpu") is None


def test_a_damaged_network_is_as_none_and_replaced(tmp_path: Path) -> None:
    CacheEntry(tmp_path, key()).put(NETWORK)
    weights = next(tmp_path.glob("*/weights.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1])
    spot = CacheEntry(tmp_path, key())
    assert spot.take("cpu") is None
    spot.put(NETWORK)
    assert CacheEntry(tmp_path, key()).take("cpu") is not None


def test_what_was_used_last_stays(tmp_path: Path) -> None:
    big = {"weight": torch.zeros(1000)}
    for i in range(3):
        CacheEntry(tmp_path, key(seeds=(i,))).put(big)
        os.utime(tmp_path / key(seeds=(i,)), (i, i))
    assert CacheEntry(tmp_path, key(seeds=(0,))).take("cpu") is not None  # used now
    CacheEntry(tmp_path, key(seeds=(3,)), most_bytes=11_000).put(big)
    there = [i for i in range(4) if (tmp_path / key(seeds=(i,))).exists()]
    assert there == [0, 3]
    assert len(list(tmp_path.glob("*.lock"))) <= 4


def test_a_folder_that_cannot_be_written_costs_the_sharing_alone(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    spot = CacheEntry(blocked / "shelf", key())
    assert spot.take("cpu") is None
    spot.put(NETWORK)


def trial_data() -> TrialData:
    centres = np.repeat(np.eye(4)[:3] * 6, 40, axis=0)
    x = (centres + np.random.default_rng(0).normal(size=centres.shape)).astype(np.float32)
    return TrialData("f" * 64, x, neighbour_graph(x, fingerprint="f" * 64), None)


def trained(tmp_path: Path, name: str, **settings: Any) -> list[str]:
    """Run a trial and return the stages it went through, pass by pass."""
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
        objective="score",
        folder=str(tmp_path / name),
        pretraining_cache=str(tmp_path / "shelf"),
    )
    trial, stages = Trial(spec, trial_data()), []
    while not trial.finished:
        evaluation = trial.advance()
        assert evaluation.failure is None
        stages.append(evaluation.stage)
    return stages


def test_trials_of_equal_pretraining_train_it_once(tmp_path: Path) -> None:
    first = trained(tmp_path, "first")
    assert first == ["pretraining"] * PRETRAINED + ["mixture"]
    assert trained(tmp_path, "other K", n_components=4) == ["mixture"]
    assert trained(tmp_path, "other code", latent_size=3) == first


@pytest.mark.parametrize(
    ("name", "settings"),
    [("em_vae", {"start": "kmeans"}), ("ae_gmm", {"pretraining_epochs": 0})],
)
def test_trials_that_pretrain_nothing_wait_for_nobody(
    name: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    owner = catalog.method(name)
    config = owner.config_type.from_mapping(settings)
    method = owner(config, (4,), (1, 2))
    assert isinstance(method, Pretrains)
    facts: dict[str, Any] = {"seeds": (1, 2), "shape": (4,), "fingerprint": "f", "device": "cpu"}
    SharedPretraining(method.pretraining, tmp_path, settings=config.pretraining, **facts).take()
    assert not list(tmp_path.iterdir()), "a spot is held that nobody will fill"


def test_trials_that_share_a_network_have_common_seeds_and_others_do_not() -> None:
    assert trial_seeds(0, 1, 3, shared=True) == trial_seeds(0, 2, 3, shared=True)
    assert trial_seeds(0, 1, 3) != trial_seeds(0, 2, 3)
    assert not set(trial_seeds(0, 1, 3, shared=True)) & set(finalist_seeds(0, 1, 5))


def test_a_configuration_says_whether_its_trials_share() -> None:
    plan = prepare(Study(methods=("ae_gmm", "em_vae", "gmvae"), dataset="digits"))

    def shares(method: str, **params: Any) -> bool:
        return bool(plan.branches[method].config(params).pretraining)

    assert shares("ae_gmm")
    assert not shares("ae_gmm", pretraining_epochs=0)
    assert shares("em_vae", start="pretrained")
    assert not shares("em_vae", start="random")
    assert not shares("gmvae")
