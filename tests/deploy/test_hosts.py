"""Searches on three hosts, of which some are cut off and one loses Ray's head."""

import random
import time
from collections.abc import Iterator

import pytest

from .site import Site, site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
_SLOW = ("--set", "pause=0.4", "--set", "epochs=5", "--scheduler", "none", "--replicas", "1")
# Ray misses a host after 5 s, not half a minute
_IMPATIENT = {"RAY_health_check_period_ms": "1000", "RAY_health_check_timeout_ms": "1000"}
_WORDS = ("search", "-m", "idle", "--json", *_SLOW)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("hosts")) as made:
        yield made


def begin(place: Site, name: str, size: int, seed: int) -> tuple[str, ...]:
    named = ("-d", str(place.field.data), "--name", name, "--seed", str(seed))
    return (*_WORDS, *named, "--trials", str(size))


def ended(place: Site, name: str) -> int:
    return place.states(name).count("COMPLETE")


def moved(place: Site, seed: int, size: int) -> list[int]:
    """Return the trials that more than one process has trained."""
    starts = {number: place.field.starts(number, seed=seed) for number in range(size)}
    return [number for number, by in starts.items() if len({pid for pid, _ in by}) > 1]


@pytest.mark.fault("F6")
def test_a_host_that_is_cut_off_costs_no_trial(place: Site, fault_seed: int) -> None:
    size, rng = 24, random.Random(fault_seed)
    moment, lost = rng.randrange(3, 9), rng.choice(["one", "two"])
    with (
        place.cluster("one", "two") as nodes,
        place.driver(*begin(place, "cut", size, fault_seed)) as driver,
    ):
        place.wait_for(
            lambda: ended(place, "cut") >= moment and nodes[lost].is_training(), driver, 120
        )
        began = time.monotonic()
        place.network.hosts[lost].cut()
        place.wait_for(lambda: moved(place, fault_seed, size), driver, 120)
        print(f"{lost} cut at {moment} trials, moved after {time.monotonic() - began:.0f} s")
        place.network.hosts[lost].mend()
        _, err = driver.communicate()
        print(f"ended {time.monotonic() - began:.0f} s after the cut\n{err}")
        assert driver.returncode == 0, err
        assert "Traceback" not in err
        place.check("cut", size)


@pytest.mark.fault("F6")
def test_without_any_machine_left_a_search_ends(place: Site, fault_seed: int) -> None:
    size, seed = 12, 1000 + fault_seed
    moment = random.Random(fault_seed).randrange(2, 7)
    with (
        place.cluster("one", "two", **_IMPATIENT),
        place.driver(*begin(place, "bare", size, seed)) as driver,
    ):
        place.wait_for(lambda: ended(place, "bare") >= moment, driver, 120)
        began = time.monotonic()
        for name in ("one", "two"):
            place.network.hosts[name].cut()
        out, err = driver.communicate(timeout=400)
        print(f"code {driver.returncode} after {time.monotonic() - began:.0f} s\n{err}")
        for name in ("one", "two"):
            place.network.hosts[name].mend()
    assert (driver.returncode, out) == (6, ""), err
    assert "waiting 60 s" in err
    assert err.splitlines()[-1].startswith("error: no machine of the Ray cluster")
    assert "`tuner resume bare`" in err
    assert "Traceback" not in err
    with place.cluster("one", "two"):
        code, _, err = place.run("resume", "bare", "--json")
        assert code == 0, err
        place.check("bare", size)


@pytest.mark.fault("F7")
def test_a_lost_head_ends_the_driver_with_a_sentence(place: Site, fault_seed: int) -> None:
    size, seed = 12, 2000 + fault_seed
    moment = random.Random(fault_seed).randrange(2, 9)
    with (
        place.cluster("one", "two") as nodes,
        place.driver(*begin(place, "headless", size, seed)) as driver,
    ):
        place.wait_for(lambda: ended(place, "headless") >= moment, driver, 120)
        began = time.monotonic()
        nodes["head"].kill("gcs_server")
        out, err = driver.communicate(timeout=200)
        seconds = time.monotonic() - began
        print(f"code {driver.returncode} after {seconds:.0f} s\n{err}")
    assert (driver.returncode, out) == (4, ""), err
    assert seconds < 120
    assert "the head of the Ray cluster at" in err.splitlines()[-1]
    assert "`tuner resume headless`" in err.splitlines()[-1]
    assert "Traceback" not in err
    with place.cluster("one", "two"):
        code, _, err = place.run("resume", "headless", "--json")
        assert code == 0, err
        place.check("headless", size)
