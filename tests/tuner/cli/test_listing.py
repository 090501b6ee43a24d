import json

import pytest
import yaml

from tests.tuner.in_process import finished_search
from tests.tuner.mlflow_store import OLD_LOADER
from tuner.methods import catalog
from tuner.study.space import method_space, parse_space

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)


def test_methods_are_listed_with_capabilities_and_source(tuner):
    ran = tuner("methods")
    assert ran.code == 0
    assert all(name in ran.out for name in catalog.names())
    listed = {one["name"]: one for one in json.loads(tuner("methods", "--json").out)}
    assert set(listed) == set(catalog.names())
    assert listed["kmeans"]["can"] == ["embed"]
    assert not listed["kmeans"]["gradients"]
    assert listed["gmvae"]["can"] == ["embed", "reconstruct", "sample", "traverse", "elbo"]
    assert listed["dec"]["can"] == ["embed"]
    assert listed["dec"]["can_with"] == {"keep_decoder": ["embed", "reconstruct"]}
    assert "with keep_decoder: embed, reconstruct" in tuner("methods", "--markdown").out
    assert all(one["source"] for one in listed.values())


def test_methods_can_be_printed_as_a_markdown_table(tuner):
    heading, rule, *rows = tuner("methods", "--markdown").out.splitlines()
    assert heading == "| method | can | source |"
    assert rule == "| --- | --- | --- |"
    assert len(rows) == len(catalog.names())
    assert all(row.count(" | ") == 2 for row in rows)


def test_settings_are_listed_with_default_bounds_and_meaning(tuner):
    ran = tuner("methods", "kmeans")
    assert "n_components" in ran.out
    assert "at least 2" in ran.out
    assert "number of clusters K" in ran.out
    document = json.loads(tuner("methods", "kmeans", "--json").out)
    fields = catalog.method("kmeans").config_type.__dataclass_fields__
    assert [one["name"] for one in document["settings"]] == list(fields)
    starts = next(one for one in document["settings"] if one["name"] == "starts")
    assert (starts["default"], starts["type"], starts["low"]) == (10, "int", 1)
    assert starts["searched"] == method_space("kmeans").parameters["starts"].describe()
    assert tuner("methods", "kmeans", "--markdown").out.startswith("| setting |")


def test_names_of_settings_are_whole_in_80_columns(tuner, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = tuner("methods", "em_vae").out.splitlines()
    assert any(line.startswith("pretraining_learning_rate ") for line in lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("command", ["methods", "space"])
def test_an_unknown_method_is_refused(tuner, command):
    ran = tuner(command, "kmens")
    assert ran.code == 2
    assert "did you mean 'kmeans'" in ran.error_message


@pytest.mark.parametrize("name", catalog.names())
def test_a_printed_space_is_a_valid_space_file(tuner, name):
    read = yaml.safe_load(tuner("space", name).out)
    space = parse_space(read, catalog.method(name).config_type, source="printed")
    assert space == method_space(name)
    assert json.loads(tuner("space", name, "--json").out) == read


def test_datasets_are_listed(tuner, here):
    assert "digits" in tuner("datasets").out
    listed = json.loads(tuner("datasets", "--json").out)
    assert listed[0]["name"] == "digits"
    assert listed[0]["shape"] == [8, 8]
    assert {one["name"]: one["shape"] for one in listed}["svhn"] == [3, 32, 32]
    assert not list(here.iterdir())


def test_a_table_of_40_columns_is_not_truncated(tuner, monkeypatch):
    wide = tuner("datasets").out
    monkeypatch.setenv("COLUMNS", "40")
    narrow = tuner("datasets").out
    assert max(map(len, narrow.splitlines())) <= 40
    assert sorted("".join(narrow.split())) == sorted("".join(wide.split()))


def test_a_pipe_gets_no_colour(tuner, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in tuner("datasets").out


def test_models_are_listed_with_alias_score_and_interval(tuner, here):
    done = finished_search()
    flags = done.flags[2:]
    (one,) = json.loads(tuner("models", "--json", *flags).out)
    assert (one["name"], one["version"], one["aliases"]) == ("blobs", 1, ["champion"])
    assert one["score"] == done.result.champion.score
    assert one["interval"] == done.result.champion.interval
    assert one["search"] == "done"
    ran = tuner("models", "blobs", *flags)
    assert "champion" in ran.out
    assert f"{one['score']:.3f}" in ran.out
    ran = tuner("models", "blob", *flags)
    assert ran.code == 2
    assert "did you mean 'blobs'" in ran.error_message
    assert not list(here.iterdir())


def test_without_models_the_list_is_empty_and_nothing_is_written(tuner, here):
    assert json.loads(tuner("models", "--json").out) == []
    assert tuner("models").out == ""
    assert not list(here.iterdir())
