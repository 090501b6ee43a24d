"""Rows F22 and F23: promotions at once or killed in between, and an upload that is cut."""

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.tuner.fitted import fitted_model, raw_points
from tests.tuner.mlflow_store import OLD_LOADER, free_port, server
from tuner.errors import ServiceError
from tuner.registry import CHAMPION, Registry, load
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
from tuner.registry import Registry
uri, number, expected, delay, writes = sys.argv[1:]
if writes != "-":
    die_in("promotion", int(writes))
registry = Registry(uri)
print("ready", flush=True)
sys.stdin.readline()
time.sleep(float(delay))
from tuner.errors import PromotionRefusedError
try:
    registry.promote("digits", int(number), expected=None if expected == "-" else int(expected))
except PromotionRefusedError:
    sys.exit(9)
"""


@pytest.fixture(params=["sqlite", "http"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'mlflow.db'}"
        return
    port = free_port()
    with server(tmp_path, port):
        yield f"http://127.0.0.1:{port}"


def register(uri: str, search: str) -> int:
    """Register a model under the name and return its version."""
    client = connect(uri)
    run = client.create_run(get_or_create_experiment(client, uri, "blobs")).info.run_id
    model, example = fitted_model("gmm"), raw_points()[:3]
    version = Registry(uri).register(
        model, name=NAME, run_id=run, tags={"search": search}, description="", example=example
    )
    return int(version.number)


def promoter(
    uri: str, number: int, expected: int | None, *, delay: float = 0.0, writes: str = "-"
) -> subprocess.Popen[str]:
    """Start a process that promotes a version once it is told to."""
    words = [uri, str(number), "-" if expected is None else str(expected), str(delay), writes]
    return subprocess.Popen(
        [sys.executable, "-c", _PROMOTE, *words],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def released(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    """Let promoters begin at once; return their exit codes and what they said."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=150)[1] for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, said, strict=True)]


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
def test_f22_of_eight_promoters_at_once_one_wins(uri: str, rng: random.Random) -> None:
    for n in range(8):
        register(uri, f"search-{n}")
    expected: int | None = None
    for _ in range(2):
        numbers = rng.sample(range(1, 9), 8)
        if expected is not None:
            numbers.remove(expected)
        with watched(uri) as seen:
            processes = [
                promoter(uri, n, expected, delay=rng.choice([0.0, rng.uniform(0.0, 0.5)]))
                for n in numbers
            ]
            ended = released(processes)
        codes = [code for code, _ in ended]
        assert sorted(codes) == [0] + [9] * (len(numbers) - 1), ended
        winner = numbers[codes.index(0)]
        champion = Registry(uri).champion(NAME)
        assert champion is not None
        assert champion.number == winner
        assert set(seen) <= {winner, expected}
        expected = winner
    assert Registry(uri).names() == [NAME]


@pytest.mark.fault("F22")
@pytest.mark.parametrize("writes", range(4))
def test_f22_a_promotion_killed_in_between_stops_nobody(
    tmp_path: Path, rng: random.Random, writes: int
) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    for n in range(3):
        register(uri, f"search-{n}")
    registry = Registry(uri)
    registry.promote(NAME, 1, expected=None)
    registry.set_challenger(NAME, 2)
    ((code, said),) = released([promoter(uri, 2, 1, writes=str(writes))])
    assert code in (-signal.SIGKILL, 0), said
    champion = registry.champion(NAME)
    assert champion is not None
    assert load(champion.uri, tracking_uri=uri).n_components == 3, "it is always a whole version"
    others = [promoter(uri, 3, champion.number, delay=rng.uniform(0, 0.3)) for _ in range(3)]
    began = time.monotonic()
    ended = released(others)
    assert time.monotonic() - began < 20, "the lock of the dead is taken over at once"
    assert sorted(code for code, _ in ended)[0] == 0, ended
    assert {code for code, _ in ended} <= {0, 9}, ended
    assert registry.version_by_alias(NAME, CHAMPION).number == 3
    assert registry.version_by_alias(NAME, "previous").number == champion.number
    assert registry.names() == [NAME]
    every = [model.name for model in connect(uri).search_registered_models()]
    assert every == [NAME], "no lock is left"


@pytest.mark.fault("F23")
def test_f23_an_upload_that_is_cut_registers_nothing(tmp_path: Path, rng: random.Random) -> None:
    port = free_port()
    with server(tmp_path, port), proxy(port) as between:
        uri = f"http://127.0.0.1:{between.port}"
        client: Any = connect(uri)
        get_or_create_experiment(client, uri, "blobs")
        file = rng.choice([b"weights.safetensors", b"model.json", b"MLmodel", b"manifest.json"])
        between.trigger, between.cut_after = file, rng.randint(1, 400)
        with pytest.raises(ServiceError) as caught:
            register(uri, "search")
        assert between.cuts > 0, "nothing was cut"
        assert caught.value.exit_code == 4
        direct = f"http://127.0.0.1:{port}"
        assert Registry(direct).names() == [], "nothing is registered"
        experiment = get_or_create_experiment(client, direct, "blobs")
        states = {m.status for m in connect(direct).search_logged_models([experiment])}
        assert states <= {"FAILED", "PENDING"}
        between.cut_after = None
        assert register(uri, "search") == 1
        model = fitted_model("gmm")
        loaded = load(f"models:/{NAME}/1", tracking_uri=uri)
        assert (loaded.predict(raw_points()) == model.predict(raw_points())).all()
