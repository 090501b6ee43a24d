"""What all parts of a run on a GPU share: the device, the points, the sizes, and the settings."""

import gc
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, final
from unittest.mock import patch

import torch
from torch import Tensor

from tests.benchmarks._gpu_results import UNUSABLE, Results, reason
from tuner.methods import catalog
from tuner.methods.config import Config
from tuner.methods.contract import Method, Trains
from tuner.models._kit.recording import RECORDINGS

PASSES = 6  # of a training whose steps are timed: enough for all its stages


@final
@dataclass(frozen=True)
class Sizes:
    """How large the work is. `batch` and `draws` are the most points and draws of a step."""

    points: int
    steps: int  # per pass
    replicas: tuple[int, ...]  # in the order of their importance
    seconds: float  # per timing
    batch: int | None = None
    draws: int | None = None

    def fit(self, config: Config) -> Config:
        """Return a configuration with no larger steps than these."""
        values = config.to_mapping()
        limits = {name: self.batch for name in values if name.endswith("batch_size")}
        limits["mc_samples"] = self.draws
        smaller: dict[str, Any] = {
            name: min(int(values[name]), limit)
            for name, limit in limits.items()
            if name in values and limit is not None
        }
        return replace(config, **smaller)


FULL = Sizes(points=60_000, steps=40, replicas=(1, 10, 4), seconds=1.5)
TINY = Sizes(points=2_000, steps=7, replicas=(1, 2), seconds=0.2, batch=8, draws=2)


@final
@dataclass(frozen=True)
class Setting:
    """A method with a configuration, under a name."""

    name: str
    method: str
    config: Config

    def fresh(self, replicas: int, x: Tensor, passes: int = PASSES) -> Method:
        """Return the untrained method, with a schedule of a few passes."""
        config, shape = self.config.capped(passes), tuple(x.shape[1:])
        return catalog.method(self.method)(config, shape, range(replicas), device=x.device)

    @property
    def batch_size(self) -> int:
        """The points of a step of the main stage."""
        values = self.config.to_mapping()
        return int(values.get("batch_size", values.get("pretraining_batch_size", 256)))


Configure = Callable[[], Config]


def _em_vae() -> Config:
    from tuner.models.em_vae.method import EMVAEConfig

    return EMVAEConfig(n_components=10, diffusion_steps=0)


def _gmvae(**settings: Any) -> Configure:
    def config() -> Config:
        from tuner.models.gmvae.method import GMVAEConfig

        return GMVAEConfig(n_components=10, **settings)

    return config


_CONVOLUTIONS = {"architecture": "mnist", "batch_size": 50}
_PERCEPTRON = {"code_size": 64, "style_size": 32, "prior_hidden_size": 128, "batch_size": 128}

NAMED: Mapping[str, tuple[str, Configure]] = {
    "em_vae (paper)": ("em_vae", _em_vae),
    "gmvae conv M=10": ("gmvae", _gmvae(**_CONVOLUTIONS, mc_samples=10)),
    "gmvae conv M=1": ("gmvae", _gmvae(**_CONVOLUTIONS, mc_samples=1)),
    "gmvae fc M=1": ("gmvae", _gmvae(**_PERCEPTRON, mc_samples=1)),
    "gmvae fc M=10": ("gmvae", _gmvae(**_PERCEPTRON, mc_samples=10)),
}
"""The settings that matter most. The first two are the presets `paper` of their methods."""


@final
@dataclass
class Bench:
    """The device, the methods and the results of a run. `closing` is closed after each part."""

    device: str
    methods: tuple[str, ...]
    results: Results
    closing: ExitStack = field(default_factory=ExitStack)

    @property
    def on_gpu(self) -> bool:
        """Whether steps are recorded."""
        return self.device != "cpu"

    @property
    def sizes(self) -> Sizes:
        """The sizes of the work."""
        return FULL if self.on_gpu else TINY

    @cached_property
    def x(self) -> Tensor:
        """The training points (N, 28, 28) on the device."""
        x, name = points(self.sizes.points)
        self.results.document["data"] = name
        print(f"          data: {name}", flush=True)
        return x.to(self.device)

    def steps(self, *, recorded: bool) -> AbstractContextManager[Any]:
        """Return a context in which steps are recorded, as usual on the device, or are called."""
        return nullcontext() if recorded else patch.dict(RECORDINGS, clear=True)

    def named(self, name: str) -> Setting:
        """Return a setting of `NAMED`."""
        method, config = NAMED[name]
        return Setting(name, method, self.sizes.fit(config()))

    def preset(self, method: str) -> Setting:
        """Return a method's preset for MNIST."""
        from tuner.study.presets import preset_of
        from tuner.study.space import method_space

        kind = catalog.method(method).config_type
        preset = preset_of(method_space(method), "mnist")
        values = {**preset.settings, **kind.forced_by(unit_interval=True)}
        return Setting(method, method, self.sizes.fit(kind.from_mapping(values)))

    def trains(self, method: str) -> bool:
        """Return whether a method has training steps, also if it cannot be imported."""
        try:
            return issubclass(catalog.method(method), Trains)
        except ImportError:
            return True  # so that its cases say why they fail

    def tidy(self) -> None:
        """Release the memory of earlier cases."""
        gc.collect()
        if self.on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def recover(self) -> None:
        """Make sure that the device still works after a failure, or end this process.

        An error within a kernel makes a process lose its device, and a recording that broke off
        can spoil all later ones.
        """
        if not self.on_gpu:
            return
        try:
            self.tidy()
            graph = torch.cuda.CUDAGraph()
            one = torch.ones(1, device=self.device)
            with torch.cuda.graph(graph):
                two = one + one
            graph.replay()
            assert float(two) == 2
            torch.randn(1, device=self.device).item()
        except Exception as error:
            print(f"          the device no longer works: {reason(error)}", flush=True)
            os._exit(UNUSABLE)  # without cleaning up, which can hang


def points(n: int) -> tuple[Tensor, str]:
    """Return n training points of MNIST, or random ones in [0, 1], and which they are."""
    try:
        return _mnist()[:n], "MNIST"
    except Exception as error:
        x = torch.rand(n, 28, 28, generator=torch.Generator().manual_seed(0))
        return x, f"random points, since MNIST cannot be read ({reason(error)})"


def _mnist() -> Tensor:
    from tuner.data import load
    from tuner.data.formats.images import home

    if not (home() / "MNIST" / "raw" / "train-images-idx3-ubyte").exists():
        raise FileNotFoundError(f"{home()} does not have it")  # rather than download it
    return torch.tensor(load("mnist").train)
