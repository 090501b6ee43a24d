"""An invalid study is rejected in one sentence before any work begins."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.tuner.in_process import blobs
from tuner.data import load
from tuner.errors import DataError, TunerError, UsageError
from tuner.methods import catalog
from tuner.study.branches import settings_for
from tuner.study.plan import prepare
from tuner.study.slugs import check_slug, slug
from tuner.study.space import method_space
from tuner.study.study import Study

KMEANS = Study(methods=("kmeans",))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(
            ({name: 0}, f"{name}=0")
            for name in ("trials", "replicas", "restarts", "epochs", "finalists")
        ),
        ({"trials": -1}, "trials=-1"),
        ({"restarts": 65}, "restarts=65 is not usable: give at most 64"),
        ({"restarts": 2.0}, "restarts=2.0"),
        ({"trials": 1.5}, "trials=1.5"),
        ({"trials": "3"}, "trials='3'"),
        ({"trials": True}, "trials=True"),
        ({"seed": -1}, "seed=-1"),
        ({"finalist_seeds": 0}, "finalist_seeds=0"),
        ({"sampler": "TPE"}, "no sampler 'TPE'; did you mean 'tpe'?; choose one of tpe, gp"),
        ({"sampler": "tpee"}, "did you mean 'tpe'"),
        ({"scheduler": "hyperban"}, "did you mean 'hyperband'"),
        (
            {"objective": "accuracy"},
            "choose one of separation, modularity, elbo, acc, nmi, ami, ari",
        ),
        *(({"objective": name}, "--use-labels") for name in ("acc", "nmi", "ami", "ari")),
        ({"methods": ()}, "no method is named"),
        *(
            ({"name": name}, "is not usable")
            for name in ("a/b", "..", "", "-a", "a b", "a\0", "ä")
        ),
        ({"name": "a" * 65}, "(65 characters)"),
        ({"register": "a/b"}, "is not usable"),
    ],
)
def test_a_value_that_cannot_be_is_refused(changes, message):
    with pytest.raises(UsageError) as raised:
        replace(KMEANS, **changes)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["a", "A-1_b.c", "0", "a" * 64])
def test_names_that_are_safe_everywhere(name):
    assert check_slug(name) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("data/My cells (2).parquet", "My-cells-2"),
        ("digits", "digits"),
        ("///", "data"),
        ("..", "data"),
        ("ü.csv", "data"),
        ("a" * 300, "a" * 48),
    ],
)
def test_any_text_has_a_name_that_is_safe(text, name):
    assert slug(text) == name
    assert check_slug(slug(text))


def test_a_study_survives_json():
    study = replace(
        KMEANS, fixed={"starts": 3, "kmeans.iterations": 9}, name="a", epochs=4, restarts=4
    )
    assert Study.from_mapping(json.loads(json.dumps(study.to_mapping()))) == study


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"methods": ("kmens",)}, UsageError, "did you mean 'kmeans'"),
        ({"methods": ("kmeans", "kmeans")}, UsageError, "named twice"),
        ({"fixed": {"start": 1}}, UsageError, "did you mean 'starts'"),
        ({"fixed": {"gmm.starts": 1}}, UsageError, "no such setting"),
        ({"fixed": {"starts": 0}}, UsageError, "starts=0 is out of range"),
        ({"fixed": {"starts": 1.5}}, UsageError, "type int"),
        ({"fixed": {"n_components": 1}}, UsageError, "n_components=1"),
        ({"fixed": {"n_components": 9, "starts": 1}}, UsageError, "every setting of kmeans"),
        ({"fixed": {"n_components": 1438}}, UsageError, "1438 clusters in 1437 training points"),
        ({"objective": "elbo"}, UsageError, "no evidence lower bound"),
        ({"methods": ("gmm", "gmvae"), "objective": "elbo"}, UsageError, "one method only"),
        ({"methods": ("gmm",), "objective": "elbo"}, UsageError, "--set n_components=VALUE"),
        ({"dataset": "digts"}, DataError, "did you mean 'digits'"),
        ({"dataset": "missing.npz"}, DataError, "there is no file missing.npz"),
        ({"labels": "y"}, DataError, "already has labels"),
        (
            {"spaces": {"kmeans": {"space": {"starts": {"int": [5, 1]}}}}},
            UsageError,
            "must be smaller",
        ),
    ],
)
def test_a_plan_that_cannot_be_is_refused(tmp_path, monkeypatch, changes, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as raised:
        prepare(replace(KMEANS, **changes))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_labels_are_needed_where_they_decide(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(50, 3)))
    study = replace(KMEANS, dataset=str(tmp_path / "x.npy"), objective="ami", use_labels=True)
    with pytest.raises(UsageError, match="needs labels, which x does not have"):
        prepare(study)


def test_more_clusters_than_points_in_the_range_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(20, 3)))
    study = replace(KMEANS, dataset=str(tmp_path / "x.npy"))
    space = {"kmeans": {"space": {"n_components": {"int": [2, 30]}}}}
    with pytest.raises(UsageError, match="up to 30 clusters in 16 training points"):
        prepare(replace(study, spaces=space))
    prepare(replace(study, fixed={"n_components": 16}))


@pytest.mark.parametrize(
    ("points", "most"), [(4, 2), (80, 8), (500, 20), (10_000, 89), (50_000, 100)]
)
def test_the_most_clusters_grow_with_the_data(points, most, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(points, 2)))
    plan = prepare(replace(KMEANS, dataset=str(tmp_path / "x.npy")))
    branch = plan.branches["kmeans"]
    parameter = branch.space.parameters["n_components"]
    assert (parameter.low, parameter.high) == (2, most)
    assert branch.declared.parameters["n_components"].high == 100, "the identity stays"
    own = {"kmeans": {"space": {"n_components": {"int": [2, 3]}}}}
    plan = prepare(replace(KMEANS, dataset=str(tmp_path / "x.npy"), spaces=own))
    assert plan.branches["kmeans"].space.parameters["n_components"].high == 3


def test_a_single_trial_may_have_nothing_to_search():
    plan = prepare(replace(KMEANS, trials=1, fixed={"n_components": 9, "starts": 1}))
    assert plan.branches["kmeans"].config({}).to_mapping()["starts"] == 1


def test_all_is_every_method_and_the_model_is_called_after_the_data():
    plan = prepare(Study(methods=("all",)))
    assert plan.study.methods == catalog.names()
    assert set(plan.branches) == set(catalog.names())
    assert plan.study.register == "digits"


def test_the_first_trial_is_the_preset_of_the_data_unless_a_setting_contradicts_it():
    (first,) = prepare(KMEANS).branches["kmeans"].presets
    assert first["n_components"] == method_space("kmeans").presets["digits"]["n_components"]
    narrow = {"space": {"n_components": {"int": [20, 25]}}}
    assert prepare(replace(KMEANS, spaces={"kmeans": narrow})).branches["kmeans"].presets == ()


@pytest.mark.parametrize("dataset", ["digits", "blobs.npz"])
def test_the_first_trial_has_the_defaults_of_what_no_preset_names(tmp_path, monkeypatch, dataset):
    monkeypatch.chdir(tmp_path)
    blobs(tmp_path / "blobs.npz")
    branch = prepare(replace(KMEANS, dataset=dataset)).branches["kmeans"]
    (first,) = branch.presets
    assert first == {key: branch.base[key] for key in branch.space.parameters}


def test_a_fixed_setting_is_not_searched_and_wins_over_the_preset():
    branch = prepare(replace(KMEANS, fixed={"n_components": 12})).branches["kmeans"]
    assert "n_components" not in branch.space.parameters
    assert branch.config({"starts": 1}).n_components == 12


def test_a_setting_may_be_meant_for_one_method_alone():
    fixed = {"n_components": 8, "gmm.n_components": 6, "kmeans.starts": 2}
    assert settings_for("gmm", fixed) == {"n_components": 6}
    assert settings_for("kmeans", fixed) == {"n_components": 8, "starts": 2}


def test_epochs_cap_the_schedule():
    plan = prepare(Study(methods=("vae_gmm",), epochs=3))
    assert plan.branches["vae_gmm"].config({}).passes <= 3


def test_the_data_imply_settings(tmp_path):
    np.save(tmp_path / "wide.npy", 100 * np.random.default_rng(0).normal(size=(50, 3)))
    fields = catalog.method("gmvae").config_type.__dataclass_fields__
    if "likelihood" in fields:
        study = Study(dataset=str(tmp_path / "wide.npy"), fixed={"n_components": 3})
        assert prepare(study).branches["gmvae"].base["likelihood"] == "gaussian"


def test_a_plan_has_an_identity_that_names_what_may_not_change():
    plan = prepare(KMEANS)
    identity = plan.identity()
    assert json.loads(json.dumps(identity)) == identity
    assert identity["data"] == load("digits").fingerprint
    assert prepare(replace(KMEANS, trials=7, name="b")).identity() == identity
    for changes in (
        {"seed": 1},
        {"replicas": 2},
        {"restarts": 2},
        {"epochs": 1},
        {"sampler": "random"},
        {"scheduler": "none"},
        {"fixed": {"starts": 1}},
        {"dataset": "arcs"},
        {"spaces": {"kmeans": {"space": {"starts": {"int": [1, 2]}}}}},
        {"methods": ("gmm",)},
    ):
        assert prepare(replace(KMEANS, **changes)).identity() != identity, changes


def test_a_study_from_before_restarts_has_one_and_the_same_identity():
    stored = KMEANS.to_mapping()
    del stored["restarts"]
    assert Study.from_mapping(stored) == KMEANS
    assert "restarts" not in prepare(KMEANS).identity()
    assert prepare(replace(KMEANS, restarts=4)).identity()["restarts"] == 4


def test_restarts_are_told_with_the_replicas():
    assert KMEANS.replicas_text == "3 replicas"
    told = replace(KMEANS, replicas=5, restarts=4).replicas_text
    assert told == "5 replicas, each the best of 4 restarts"


def test_every_refusal_has_an_exit_code():
    with pytest.raises(TunerError) as raised:
        Study(trials=0)
    assert raised.value.exit_code == 2
