"""A search keeps the presets with which it began, and their order, whatever versions follow."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tuner.execution.cluster import Resources
from tuner.ledger.ledger import Ledger
from tuner.orchestration.creation import created, summary_lines
from tuner.orchestration.descriptions import search_description
from tuner.orchestration.locations import Locations
from tuner.orchestration.plans import outline_of, plan_of
from tuner.orchestration.session import Session
from tuner.study import branches
from tuner.study.plan import Plan, prepare
from tuner.study.space import Space, method_space
from tuner.study.study import Study

METHODS = ("vae_gmm", "kmeans")


@pytest.fixture
def locations(tmp_path: Path) -> Locations:
    return Locations(
        storage=f"sqlite:///{tmp_path / 'tuner.db'}",
        tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}",
        artifacts=tmp_path,
    )


def begun(locations: Locations, **settings: Any) -> Plan:
    """Return the plan of a search that has begun, called `s`."""
    study = Study(**{"methods": METHODS, "trials": 6, "name": "s", **settings})
    plan, ledger = created(prepare(study), set(), locations)
    ledger.close()
    return plan


@contextmanager
def resumed(locations: Locations) -> Iterator[Ledger]:
    with Ledger.load(locations.storage, "s") as ledger:
        ledger.start(plan_of(ledger))
        yield ledger


def asked(ledger: Ledger) -> tuple[str, dict[str, Any]]:
    """Return the method and the settings of the next trial, which ends."""
    suggestion = ledger.ask()
    assert suggestion is not None
    ledger.tell(suggestion.number, "COMPLETE", value=0.5, outcome={})
    return suggestion.method, dict(suggestion.params)


def test_the_first_trials_are_cheap_ones_first_and_stay_so(locations: Locations) -> None:
    plan = begun(locations)
    with resumed(locations) as ledger:
        assert asked(ledger) == ("kmeans", plan.branches["kmeans"].first)
    with resumed(locations) as ledger:
        method, params = asked(ledger)
    assert method == "vae_gmm"
    assert params["vae_epochs"] == method_space("vae_gmm").presets["digits"]["vae_epochs"]


def test_what_was_taken_is_recorded(locations: Locations) -> None:
    plan = begun(locations, methods=("vade", "kmeans"), preset="paper")
    with Ledger.load(locations.storage, "s") as ledger:
        record, seen = ledger.record, outline_of(ledger)
    assert record["study"]["preset"] == "paper"
    assert [(entry["method"], entry["names"]) for entry in record["presets"]] == [
        ("kmeans", ["digits"]),
        ("vade", ["paper"]),
    ]
    text = (
        "kmeans: settings of preset digits for want of a preset paper; "
        "vade: settings of preset paper"
    )
    assert f"First trials: {text}." in search_description(seen)
    assert f"first trials: {text}" in summary_lines(plan, locations)


def test_a_search_takes_the_preset_that_it_is_given(
    locations: Locations, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("tuner.orchestration.search")
    monkeypatch.setattr(module, "_search", lambda study, _: study)
    session = Session(locations=locations, resources=Resources())
    study = Study(preset="28x28")
    assert module.search(study, session, preset="paper") == Study(preset="paper")
    assert module.search(study, session) == study


def test_a_preset_that_changes_changes_no_search_that_has_begun(
    locations: Locations, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = begun(locations)

    def changed(name: str) -> Space:
        space = method_space(name)
        return Space(space.parameters, {"digits": {"n_components": 3}})

    monkeypatch.setattr("tuner.study.space.method_space", changed)
    assert branches.branches_of(before.study, before.outline.data)["kmeans"].first != (
        before.branches["kmeans"].first
    )
    with resumed(locations) as ledger:
        assert plan_of(ledger).identity() == before.identity()
        assert asked(ledger) == ("kmeans", before.branches["kmeans"].first)


def of_before(locations: Locations) -> None:
    """Make the search one that a version wrote which recorded no presets."""
    with Ledger.load(locations.storage, "s") as ledger:
        ledger.acquire_lease()
        record = {key: value for key, value in ledger.record.items() if key != "presets"}
        study = {key: value for key, value in record["study"].items() if key != "preset"}
        ledger.set_attribute("record", {**record, "study": study, "schema": 3})


def test_a_search_of_before_tries_methods_as_they_are_named(locations: Locations) -> None:
    begun(locations)
    of_before(locations)
    with resumed(locations) as ledger:
        assert asked(ledger)[0] == "vae_gmm"
    with resumed(locations) as ledger:
        ledger.resize(7)  # writes the record anew
    with resumed(locations) as ledger:
        assert asked(ledger) == ("kmeans", {"n_components": 10, "starts": 10})
        assert "presets" not in ledger.record
        assert ledger.record["study"]["preset"] is None


def test_a_preset_outside_the_ranges_was_not_tried_before(locations: Locations) -> None:
    none = {"em_vae.diffusion_steps": 0, "em_vae.diffusion_decay": 0.8}  # nor was there then
    plan = begun(locations, methods=("em_vae", "kmeans"), fixed=none)
    assert plan.branches["em_vae"].presets, "its batches of 100 are among the choices now"
    of_before(locations)
    with resumed(locations) as ledger:
        assert asked(ledger)[0] == "kmeans"
        assert plan_of(ledger).branches["em_vae"].presets == ()
