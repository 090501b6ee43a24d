"""tuner.toml and pyproject.toml: encodings, types, unknown keys, and files that are none."""

from pathlib import Path

import pytest

from .making import fifo, folder, link_to, loop, text
from .table import Case, bad, table


def _file(name: str, content: str | bytes, *says: str, line: str = "search --dry-run") -> Case:
    return bad(name, line, 2, "tuner.toml", *says, make=text("tuner.toml", content))


def _project(name: str, content: str | bytes, *says: str) -> Case:
    make = text("pyproject.toml", content)
    return bad(f"project {name}", "search --dry-run", 2, "pyproject.toml", *says, make=make)


FILES = [
    _file("utf-16", "trials = 3".encode("utf-16"), "is not UTF-8", "save it as UTF-8"),
    _file("latin-1", "# café".encode("latin-1"), "is not UTF-8"),
    _file("null byte", "trials = 3\0", "not valid TOML"),
    _file("carriage returns", "trials = 3\rname = 'a'", "not valid TOML"),
    _file("YAML", "trials: 3", "not valid TOML"),
    _file("JSON", '{"trials": 3}', "not valid TOML"),
    _file("a key twice", "trials = 3\ntrials = 4", "not valid TOML"),
    _file("a table twice", "[search]\n[search]", "not valid TOML"),
    _file("deep", "a = " + "[" * 5000, "not valid TOML"),
    _file("open text", "name = 'a", "not valid TOML"),
    _file("unknown key", "trails = 3", "'trails'", "did you mean 'trials'"),
    _file("unknown table", "[serach]\ntrials = 3", "'serach'", "did you mean 'search'"),
    _file("unknown key of a table", "[search]\nport = 3", "[search]", "'port'"),
    _file("key of another command", "[ui]\ntrials = 3", "[ui]", "'trials'"),
    _file("empty key", "'' = 3", "''"),
    _file("emoji", "'🎉' = 3", "'🎉'"),
    _file("text for a number", "trials = 'many'", "trials 'many'", "give a whole number"),
    _file("fraction", "trials = 1.5", "trials '1.5'", "give a whole number"),
    _file("truth for a number", "trials = true", "trials 'true'", "give a whole number"),
    _file("a table for a number", "trials = {a = 1}", "trials = {'a': 1}", "one value"),
    _file("a list for a number", "trials = [1, 2]", "trials '1,2'", "give a whole number"),
    _file("date for a number", "trials = 2020-01-01", "trials '2020-01-01'"),
    _file("text for a switch", "dry_run = 'yes'", "dry_run = 'yes'", "write true or false"),
    _file("number for a switch", "strict = 1", "strict = 1", "write true or false"),
    _file("a table for a switch", "strict = {a = 1}", "write true or false"),
    _file("a list of tables", "space = [{a = 1}]", "space"),
    _file("a port", "port = 0", "port '0'", "give at least 1", line="ui"),
    _file("a list of lists", "columns = [['a']]", "columns = [['a']]", "list of texts"),
    _file("any command", "trails = 3", "'trails'", line="datasets"),
]
PROJECTS = [
    _project("not TOML", "tool = ", "not valid TOML"),
    _project("tuner is a text", "[tool]\ntuner = 'x'", "write a table of options"),
    _project("unknown", "[tool.tuner]\ntrails = 3", "[tool.tuner]", "did you mean 'trials'"),
    _project("type", "[tool.tuner.search]\ntrials = 'x'", "[tool.tuner]", "give a whole number"),
    _project("latin-1", "# café".encode("latin-1"), "save it as UTF-8"),
]
LINE = "search -m kmeans --dry-run"
VALUES = [
    bad("infinite", LINE, 2, "cpus-per-trial inf", make=text("tuner.toml", "cpus-per-trial=inf")),
    bad("10^20", LINE, 2, "at most 1,000,000", make=text("tuner.toml", f"trials={10**20}")),
    bad("name", LINE, 2, "'a/b' is not usable", make=text("tuner.toml", "name='a/b'")),
    bad("storage", "status", 2, "'x'", "sqlite:////", make=text("tuner.toml", "storage='x'")),
]
PLACES = [
    bad("folder", LINE, 2, "tuner.toml", "it is a folder", make=folder("tuner.toml")),
    bad("pipe", LINE, 2, "tuner.toml", "not a regular file", make=fifo("tuner.toml")),
    bad("loop", LINE, 2, "tuner.toml", "cannot be read", make=loop("tuner.toml")),
    bad(
        "endless",
        LINE,
        2,
        "tuner.toml",
        "not a regular file",
        make=link_to("tuner.toml", Path("/dev/zero")),
    ),
    bad("large", LINE, 2, "tuner.toml", "bytes", make=text("tuner.toml", "#" * (2 << 20))),
]


@table(*FILES, *PROJECTS, *VALUES)
def test_a_file_of_options_that_cannot_be_meant_is_refused(case, check):
    check(case)


@table(*PLACES)
def test_what_is_no_file_of_options_is_refused(case, check):
    check(case)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_byte_order_mark_is_skipped(mark, here, tuner):
    (here / "tuner.toml").write_text(f"{mark}trials = 7", encoding="utf-8")
    assert "7 trials" in tuner(*LINE.split()).out
