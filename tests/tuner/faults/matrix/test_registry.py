"""Rows F22 and F23: promotions at once or killed in between, and an upload that is cut."""

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.tuner.fitted import fitted_model, raw_points
from tests.tuner.in_process import Resources, blobs, no_ray
from tests.tuner.mlflow_store import OLD_LOADER, free_port, server
from tuner.errors import PromotionRefusedError, ServiceError
from tuner.orchestration.locations import Locations
from tuner.orchestration.search import Session, search
from tuner.registry import CHAMPION, Registry, load
from tuner.study.study import Study
from tuner.tracking import connect
from tuner.tracking.connection import get_or_create_experiment

from ..locations import ROOT
from .proxy import proxy

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings(OLD_LOADER),
]
NAME = "digits"
_PROMOTE = """
import sys, time
from tests.tuner.faults.driver import die_in
from tuner.errors import PromotionRefusedError
from tuner.registry import Registry
registry = Registry(sys.argv[1])
if len(sys.argv) > 2:
    die_in("promotion", int(sys.argv[2]))
print("ready", flush=True)
for line in sys.stdin:
    number, expected, delay = line.split()
    time.sleep(float(delay))
    try:
        registry.promote("digits", int(number), expected=int(expected) or None)
        print(0, flush=True)
    except PromotionRefusedError:
        print(9, flush=True)
"""


@pytest.fixture(params=["sqlite", "http"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'mlflow.db'}"
        return
    port = free_port()
    with server(tmp_path, port):
        yield f"http://127.0.0.1:{port}"


def register(uri: str, files: Path, search: str) -> int:
    """Register a model under the name and return its version."""
    client = connect(uri)
    experiment = get_or_create_experiment(client, uri, "blobs", files=files)
    run = client.create_run(experiment).info.run_id
    model, example = fitted_model("gmm"), raw_points()[:3]
    version = Registry(uri).register(
        model,
        name=NAME,
        run_id=run,
        tags={"search": search},
        metrics={"score/champion": 0.5},
        data=("blobs", "f" * 64),
        description="",
        example=example,
    )
    return int(version.number)


class Promoter:
    """A process that promotes versions when it is told to, and may die at a write."""

    def __init__(self, uri: str, *writes: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROMOTE, uri, *map(str, writes)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def heard(self) -> str:
        """Return the next line that it says, or raise with its traceback if it says none."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        line = self.process.stdout.readline().strip()
        assert line or self.process.wait(60) == -signal.SIGKILL, self.process.stderr.read()
        return line

    def tell(self, number: int, expected: int | None, *, delay: float = 0.0) -> None:
        """Let it promote a version after a while."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{number} {expected or 0} {delay}\n")
        self.process.stdin.flush()


@contextmanager
def promoters(uri: str, count: int, *writes: int) -> Iterator[list[Promoter]]:
    """Start processes that are ready to promote."""
    started = [Promoter(uri, *writes) for _ in range(count)]
    try:
        for one in started:
            assert one.heard() == "ready"
        yield started
    finally:
        for one in started:
            one.process.kill()
            one.process.communicate()


@contextmanager
def watched(uri: str) -> Iterator[list[int]]:
    """Note every version that the alias points to, and try each once."""
    seen: list[int] = []
    over = threading.Event()
    registry = Registry(uri)

    def watch() -> None:
        while not over.wait(0.05):
            version = registry.champion(NAME)
            if version is not None and version.number not in seen:
                assert load(version.uri, tracking_uri=uri).n_components == 3
                seen.append(version.number)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


@pytest.mark.fault("F22")
def test_f22_of_eight_promoters_at_once_one_wins(
    uri: str, tmp_path: Path, rng: random.Random
) -> None:
    for n in range(8):
        register(uri, tmp_path, f"search-{n}")
    expected: int | None = None
    with promoters(uri, 8) as processes:
        for _ in range(3):
            numbers = [n for n in rng.sample(range(1, 9), 8) if n != expected]
            told = list(zip(processes, numbers, strict=False))
            with watched(uri) as seen:
                for one, number in told:
                    one.tell(number, expected, delay=rng.choice([0.0, rng.uniform(0.0, 0.5)]))
                codes = [one.heard() for one, _ in told]
            assert sorted(codes) == ["0"] + ["9"] * (len(numbers) - 1)
            winner = numbers[codes.index("0")]
            champion = Registry(uri).champion(NAME)
            assert champion is not None
            assert champion.number == winner
            assert set(seen) <= {winner, expected}
            expected = winner
    assert Registry(uri).names() == [NAME]


@pytest.mark.fault("F22")
def test_f22_a_promotion_killed_in_between_stops_nobody(
    tmp_path: Path, rng: random.Random
) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    for n in range(3):
        register(uri, tmp_path, f"search-{n}")
    registry = Registry(uri)
    registry.promote(NAME, 1, expected=None)
    for writes in rng.sample(range(4), 4):
        before = registry.version_by_alias(NAME, CHAMPION).number
        other, third = (n for n in (1, 2, 3) if n != before)
        registry.set_challenger(NAME, other)
        with promoters(uri, 1, writes) as (victim,):
            victim.tell(other, before)
            heard = victim.heard()
            assert heard in ("", "0"), "it dies, unless it writes less than that"
        champion = registry.version_by_alias(NAME, CHAMPION)
        assert champion.number in (before, other)
        assert load(champion.uri, tracking_uri=uri).n_components == 3, "it is always a whole one"
        began = time.monotonic()
        try:
            registry.promote(NAME, third, expected=champion.number)
        except PromotionRefusedError:  # what the dead one had begun was completed first
            champion = registry.version_by_alias(NAME, CHAMPION)
            assert champion.number == other
            registry.promote(NAME, third, expected=other)
        assert time.monotonic() - began < 15, "the lock of the dead is taken over at once"
        assert registry.version_by_alias(NAME, CHAMPION).number == third
        assert registry.version_by_alias(NAME, "previous").number == champion.number
    every = [model.name for model in connect(uri).search_registered_models()]
    assert every == [NAME], "no lock is left"


@pytest.mark.fault("F23")
@pytest.mark.parametrize("cuts", [1, 10**9], ids=["once", "always"])
def test_f23_an_upload_that_is_cut_registers_nothing_but_a_whole_model(
    tmp_path: Path, rng: random.Random, monkeypatch: pytest.MonkeyPatch, cuts: int
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1" if cuts > 1 else "3")
    port = free_port()
    with server(tmp_path, port), proxy(port) as between:
        uri, direct = f"http://127.0.0.1:{between.port}", f"http://127.0.0.1:{port}"
        client: Any = connect(uri)
        experiment = get_or_create_experiment(client, uri, "blobs", files=tmp_path)
        file = rng.choice([b"weights.safetensors", b"model.json", b"MLmodel", b"manifest.json"])
        between.trigger, between.cut_after = file, rng.randint(1, 400)
        between.cuts_left = cuts
        with pytest.raises(ServiceError) if cuts > 1 else nullcontext() as caught:
            register(uri, tmp_path, "search")
        assert between.cuts > 0, "nothing was cut"
        if caught is not None:
            assert caught.value.exit_code == 4
            assert Registry(direct).names() == [], "nothing is registered"
            states = {m.status for m in connect(direct).search_logged_models([experiment])}
            assert states <= {"FAILED", "PENDING"}
        between.cuts_left = 0
        assert register(uri, tmp_path, "search") == 1
        model = fitted_model("gmm")
        loaded = load(f"models:/{NAME}/1", tracking_uri=uri)
        assert (loaded.predict(raw_points()) == model.predict(raw_points())).all()


def small_search(folder: Path, name: str, clusters: int) -> Any:
    """Search, without a cluster, for models with so many clusters; return the result."""
    study = Study(
        methods=("kmeans", "gmm"),
        dataset=str(folder / "blobs.npz"),
        trials=3,
        replicas=2,
        finalists=1,
        finalist_seeds=2,
        sampler="random",
        fixed={"n_components": clusters},
        name=name,
    )
    locations = Locations(
        storage=f"sqlite:///{folder / 'tuner.db'}",
        tracking_uri=f"sqlite:///{folder / 'mlflow.db'}",
        artifacts=folder / "artifacts",
    )
    with no_ray():
        resources: Any = Resources()
        return search(
            study, Session(locations=locations, resources=resources, on_message=lambda _: None)
        )


@pytest.mark.fault("F22")
def test_f22_a_promotion_while_a_search_compares_makes_it_compare_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs(tmp_path / "blobs.npz")
    assert small_search(tmp_path, "first", 6).champion.promoted
    assert not small_search(tmp_path, "second", 6).champion.promoted
    promote, rivals = Registry.promote, [2]

    def late(self: Registry, name: str, number: int, *, expected: int | None) -> None:
        if rivals:
            promote(self, name, rivals.pop(), expected=1)
        promote(self, name, number, expected=expected)

    monkeypatch.setattr(Registry, "promote", late)
    result = small_search(tmp_path, "third", 3)
    assert rivals == []
    assert result.champion.promoted
    registry = Registry(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert registry.version_by_alias("blobs", CHAMPION).number == result.champion.version == 3
    assert registry.version_by_alias("blobs", "previous").number == 2
