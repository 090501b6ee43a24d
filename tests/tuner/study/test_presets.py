"""Methods begin with the presets for their data, or with those that a study names."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tuner.data.builtin import catalog as datasets
from tuner.data.summary import DataSummary
from tuner.errors import UsageError
from tuner.methods import catalog
from tuner.study.plan import Outline, begins_text, outline, prepare
from tuner.study.presets import chosen, size_name
from tuner.study.record import upgraded
from tuner.study.space import Parameter, method_space
from tuner.study.study import Study

STORED = Path(__file__).parents[2] / "stored" / "presets"
OWN = {"space": {"starts": {"int": [1, 50]}}}


def summary(name: str = "pictures", shape: tuple[int, ...] = (28, 28)) -> DataSummary:
    facts: Any = {"fingerprint": "0", "train": 500, "test": 100, "unit_interval": True}
    return DataSummary(name=name, shape=shape, **facts)


def begun(method: str, data: DataSummary, preset: str | None = None) -> Any:
    study = Study(methods=(method,), preset=preset)
    return chosen(study, data, {method: method_space(method)})[method]


def without_k(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != "n_components"}


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ((28, 28), "28x28"),
        ((1, 28, 28), "28x28"),
        ((3, 28, 32), "28x32"),
        ((8, 8), "8x8"),
        ((784,), None),
        ((4, 28, 28), None),
        ((1, 1, 28, 28), None),
    ],
)
def test_images_have_the_name_of_their_size(shape: tuple[int, ...], name: str | None) -> None:
    assert size_name(shape) == name


@pytest.mark.parametrize("method", catalog.names())
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_the_preset_of_a_dataset_lies_over_that_of_its_size(method: str, name: str) -> None:
    preset, presets = begun(method, summary(name)), method_space(method).presets
    assert preset.names == ("28x28", name)
    assert preset.settings == {**presets["28x28"], **presets[name]}
    assert preset.settings["n_components"] == 10


@pytest.mark.parametrize("method", catalog.names())
def test_other_images_of_a_size_have_no_number_of_clusters_from_it(method: str) -> None:
    for shape in ((28, 28), (1, 28, 28), (3, 28, 28)):
        preset = begun(method, summary(shape=shape))
        assert preset.names == ("28x28",)
        assert preset.settings == without_k(begun(method, summary("mnist")).settings)


def test_images_of_another_size_have_no_preset() -> None:
    preset = begun("gmvae", summary(shape=(16, 16)))
    assert (preset.names, dict(preset.settings)) == ((), {})
    assert preset.text() == "default settings"


def test_a_table_of_a_known_dataset_has_the_preset_of_its_images() -> None:
    assert begun("gmvae", summary("mnist", (784,))) == begun("gmvae", summary("mnist"))


def test_a_named_preset_is_taken_whatever_the_data_are() -> None:
    paper = begun("gmvae", summary("mnist"), "paper")
    assert paper.names == ("paper",)
    assert paper.settings == method_space("gmvae").presets["paper"]
    mnist = begun("gmvae", summary("digits", (8, 8)), "mnist")
    assert mnist == begun("gmvae", summary("mnist"))


def test_a_file_does_not_follow_a_paper_by_its_name() -> None:
    assert begun("gmvae", summary("paper")).names == ("28x28",)


@pytest.mark.parametrize(
    ("methods", "preset", "message"),
    [
        (("gmvae",), "papr", "gmvae has no such preset; did you mean 'paper'?; choose one of "),
        (("gmvae",), "28x82", "did you mean '28x28'?"),
        (("gmvae", "ae_gmm"), "arcs", "--preset arcs: ae_gmm has no such preset"),
        (("kmeans",), "paper", "kmeans has no such preset"),
        (("kmeans", "gmm"), "paper", "kmeans has no such preset"),
    ],
)
def test_a_preset_that_a_method_lacks_is_refused(
    methods: tuple[str, ...], preset: str, message: str
) -> None:
    with pytest.raises(UsageError) as raised:
        prepare(Study(methods=methods, preset=preset))
    assert message in str(raised.value)
    assert "28x28" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_preset_is_a_name() -> None:
    with pytest.raises(UsageError, match="preset=28 is not usable"):
        Study(preset=28)  # type: ignore[arg-type]


def test_methods_without_a_paper_begin_as_they_would_without_a_name() -> None:
    plan = prepare(Study(methods=("kmeans", "vade"), preset="paper"))
    names = {name: branch.preset.names for name, branch in plan.branches.items()}
    assert names == {"kmeans": ("digits",), "vade": ("paper",)}
    assert begins_text(plan) == (
        "kmeans: settings of preset digits for want of a preset paper; "
        "vade: settings of preset paper"
    )


def test_a_preset_that_is_not_tried_is_not_said_to_be() -> None:
    narrow = {"kmeans": {"space": {"n_components": {"int": [20, 25]}}}}
    plan = prepare(Study(methods=("kmeans",), spaces=narrow))
    assert begins_text(plan) == (
        "kmeans: drawn, since settings of preset digits lie outside of the ranges"
    )


def test_presets_of_ones_own_space_are_found_by_name() -> None:
    own = {"kmeans": {**OWN, "presets": {"mine": {"starts": 7}}}}
    (first,) = (
        prepare(Study(methods=("kmeans",), spaces=own, preset="mine")).branches["kmeans"].presets
    )
    assert first == {"n_components": 10, "starts": 7}


@pytest.mark.parametrize("method", catalog.names())
@pytest.mark.parametrize("name", ["mnist", "digits", "pictures"])
def test_every_method_begins_with_its_whole_preset(method: str, name: str) -> None:
    shape = {entry.name: entry.shape for entry in datasets()}.get(name, (28, 28))
    plan = new_outline(Study(methods=(method,)), summary(name, shape))
    (first,) = plan.branches[method].presets
    preset = plan.branches[method].preset.settings
    searched = plan.branches[method].space.parameters
    assert {key: first[key] for key in preset if key in searched} == {
        key: value for key, value in preset.items() if key in searched
    }


def new_outline(study: Study, data: DataSummary) -> Outline:
    """Return the outline of a study that begins."""
    spaces = {name: method_space(name) for name in study.methods}
    presets = chosen(study, data, spaces)
    entries = [{"method": name, **preset.to_mapping()} for name, preset in presets.items()]
    return outline(study, data, {"presets": entries})


def test_a_preset_widens_what_is_searched_but_not_the_identity() -> None:
    plan = new_outline(Study(methods=("gmvae",)), summary())
    branch = plan.branches["gmvae"]
    assert branch.space.parameters["hidden_size"].high == 500
    assert branch.declared.parameters["hidden_size"].high == 256
    size = branch.space.parameters["n_components"]
    assert (size.low, size.high) == (2, 22), "cut to the data, whatever the preset says"


def test_settings_that_do_not_apply_widen_nothing() -> None:
    plan = new_outline(Study(methods=("gmvae",), preset="paper"), summary("mnist"))
    branch = plan.branches["gmvae"]
    assert branch.base["code_size"] == 200
    assert branch.space.parameters["code_size"].high == 32
    assert branch.presets[0]["learning_rate"] == 1e-4


@pytest.mark.parametrize(
    ("parameter", "value", "found"),
    [
        (Parameter(name="a", kind="int", low=2, high=8), 9, (2, 9)),
        (Parameter(name="a", kind="float", low=0.5, high=1.0, log=True), 0.1, (0.1, 1.0)),
        (Parameter(name="a", kind="float", low=0.5, high=1.0, log=True), 0.0, (0.5, 1.0)),
        (Parameter(name="a", kind="int", low=2, high=8), 5, (2, 8)),
        (Parameter(name="a", kind="choice", choices=(64, 128)), 100, (64, 100, 128)),
        (Parameter(name="a", kind="choice", choices=("b", "c")), "a", ("b", "c", "a")),
        (Parameter(name="a", kind="choice", choices=(True,)), False, (True, False)),
    ],
)
def test_a_parameter_is_widened_to_a_value(
    parameter: Parameter, value: Any, found: tuple[Any, ...]
) -> None:
    widened = parameter.widened(value)
    assert (widened.choices or (widened.low, widened.high)) == found


@pytest.mark.parametrize("shape", [(8, 8), (16, 16)])
@pytest.mark.parametrize("method", catalog.names())
def test_every_method_takes_small_images_at_its_defaults(
    method: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (120, *shape)).astype(np.uint8)
    np.savez(tmp_path / "pictures.npz", x=images)
    plan = prepare(Study(methods=(method,), dataset=str(tmp_path / "pictures.npz")))
    branch = plan.branches[method]
    assert branch.preset.names == ()
    config = replace(branch, epochs=1).config(branch.first)
    built = catalog.method(method)(config, shape, (0,))
    next(built.fit(torch.from_numpy(plan.dataset.train)))
    shares = built.predict_log_proba(torch.from_numpy(plan.dataset.test)).exp().sum(dim=2)
    assert torch.allclose(shares, torch.ones_like(shares))


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "pictures"])
def test_a_search_of_before_keeps_its_settings_and_its_first_trials(name: str) -> None:
    stored = json.loads((STORED / "schema_3.json").read_text())[name]
    study = Study(methods=catalog.names(), dataset=name)
    data = replace(summary(name), train=60_000 if name != "pictures" else 500)
    plan = outline(study, data, {})
    found = {
        method: {
            "settings": plan.identity()["spaces"][method]["settings"],
            "first": [dict(first) for first in plan.branches[method].presets],
        }
        for method in study.methods
    }
    assert found == stored
    assert plan.order == (), "they are tried as the methods are named"


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "digits", "pictures"])
def test_a_search_of_schema_4_keeps_its_settings_and_its_ranges(name: str) -> None:
    stored = json.loads((STORED / "schema_4.json").read_text())[name]
    then = Study(methods=("em_flow", "em_vae"), dataset=name).to_mapping()
    record = upgraded({"study": then, "schema": 4, "trials": 1, "presets": stored["presets"]})
    shape = (8, 8) if name == "digits" else (28, 28)
    data = replace(summary(name, shape), train=60_000 if "mnist" in name else 500)
    plan = outline(Study.from_mapping(record["study"]), data, record)
    assert plan.identity()["spaces"] == stored["spaces"]
    for method, branch in plan.branches.items():
        assert [dict(first) for first in branch.presets] == stored["first"][method]
        assert branch.space.to_mapping()["space"] == stored["searched"][method]


def test_a_preset_of_ones_own_stays_that_of_a_search_of_before() -> None:
    own = {"kmeans": {**OWN, "presets": {"mnist": {"starts": 7}}}}
    plan = outline(Study(methods=("kmeans",), spaces=own), summary("mnist"), {})
    assert plan.branches["kmeans"].base["starts"] == 7
