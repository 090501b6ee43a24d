"""Recorded steps follow the settings that change during training, and all numbers of batches."""

from dataclasses import replace

import pytest
import torch

from tuner.methods import catalog
from tuner.testing import Subject
from tuner.testing.recording import recording_gaps
from tuner.testing.tape import Tape

SCHEDULES = {
    "gmvae warm-up": ("gmvae", {"warm_up": 0.7}),
    "gmvae convolutions": ("gmvae", {"architecture": "mnist", "mc_samples": 2}),
    "gmvae style mixture": ("gmvae", {"style_components": 3, "information_threshold": 0.5}),
    "soft_kmeans_vae warm-up": ("soft_kmeans_vae", {"warm_up": 0.9}),
    "soft_kmeans_vae mixture": ("soft_kmeans_vae", {"prior": "gmm", "warm_up": 0.9}),
    "vade decay": ("vade", {"decay_every": 1, "decay": 0.3}),
    "em_vae decay": ("em_vae", {"decay_every": 1, "decay": 0.3, "start": "random"}),
    "em_flow noise": ("em_flow", {"noise": 0.3, "weights": "fitted", "transforms": 1}),
    # with a tolerance above 0 the blobs end DEC at the second target, here after its recording
    "dec targets": ("dec", {"update_interval": 3, "tolerance": 0.0}),
    "dec convergence": ("dec", {"update_interval": 7, "tolerance": 0.3}),
    "improved dec": ("dec", {"update_interval": 3, "tolerance": 0.0, "keep_decoder": True}),
    "mutual rounds": ("mutual_vae_gmm", {"vae_epochs": 2, "rounds": 3, "round_epochs": 2}),
    "catgan": ("catgan", {"batch_norm": False}),
}


@pytest.mark.parametrize("key", SCHEDULES)
def test_recorded_steps_follow_the_schedule(key: str) -> None:
    name, settings = SCHEDULES[key]
    subject = Subject.of(name)
    config = replace(subject.config.capped(8), **settings)
    x = subject.x
    if "architecture" in settings:
        x = torch.rand(150, 12, 12, generator=torch.Generator().manual_seed(0))
    gaps = recording_gaps(subject, x, config)
    assert set(gaps.values()) == {0.0}, gaps


@pytest.mark.parametrize("n", [97, 130])
def test_batches_of_two_sizes_are_recorded_apart(n: int) -> None:
    subject = Subject.of("vade")
    gaps = recording_gaps(subject, subject.x[:n], subject.config.capped(16))
    assert set(gaps.values()) == {0.0}, gaps


@pytest.mark.parametrize("name", [n for n in catalog.names() if n not in ("gmm", "kmeans")])
def test_the_check_of_every_method_replays_in_both_ways(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    replays: dict[int, int] = {}
    replay = Tape.replay

    def counted(tape: Tape) -> None:
        replays[id(tape)] = replays.get(id(tape), 0) + 1
        replay(tape)

    monkeypatch.setattr(Tape, "replay", counted)
    subject = Subject.of(name)
    recording_gaps(subject, subject.x, subject.short)
    assert max(replays.values()) >= 2, replays
