"""Records that earlier versions wrote are read as this one would have written them."""

from tuner.study.plan import prepare
from tuner.study.record import SCHEMA, upgraded
from tuner.study.study import Study

OLD = {
    "study": {**Study(methods=("kmeans", "em_vae")).to_mapping(), "objective": "score"},
    "identity": {"objective": "score", "data": "abc"},
    "searched": {
        "kmeans.n_components": {"int": [5, 30]},
        "kmeans.starts": {"int": [1, 50], "log": True},
        "em_vae.n_components": 7,
    },
    "trials": 3,
    "schema": 1,
}


def test_the_score_of_schema_1_is_modularity() -> None:
    record = upgraded(OLD)
    assert record["schema"] == SCHEMA
    assert record["study"]["objective"] == record["identity"]["objective"] == "modularity"
    assert record["identity"]["data"] == "abc"
    assert OLD["study"]["objective"] == "score", "nothing is changed in place"
    assert upgraded(record) == record


def test_the_ranges_of_schema_1_stay_as_they_were() -> None:
    record = upgraded(OLD)
    assert record["study"]["spaces"] == {
        "kmeans": {
            "space": {
                "n_components": {"int": [5, 30]},
                "starts": {"int": [1, 50], "log": True},
            }
        }
    }
    assert record["study"]["fixed"] == {"em_vae.revive_below": 0.02}
    plan = prepare(Study.from_mapping(record["study"]))
    k = plan.branches["kmeans"].space.parameters["n_components"]
    assert (k.low, k.high, k.log) == (5, 30, False)
    assert "revive_below" not in plan.branches["em_vae"].space.parameters


def test_what_a_user_gave_takes_precedence() -> None:
    given = {"kmeans": {"space": {"n_components": {"int": [3, 4]}}, "presets": {}}}
    old = {**OLD, "study": {**OLD["study"], "spaces": given}}
    spaces = upgraded(old)["study"]["spaces"]
    assert spaces["kmeans"]["space"]["n_components"] == {"int": [3, 4]}
    assert spaces["kmeans"]["presets"] == {}


def test_a_record_of_this_version_is_left_alone() -> None:
    record = {"study": Study().to_mapping(), "schema": SCHEMA, "trials": 1}
    assert upgraded(record) == record
