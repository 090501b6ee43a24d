"""Names on the command line: unknown ones, ones that are paths, and characters that deceive."""

import pytest

from tests.tuner.mlflow_store import OLD_LOADER

from .making import text
from .table import Case, bad, table

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)

DRY = "search -m kmeans --dry-run"
NAMES = {
    "slash": "a/b",
    "parent": "..",
    "absolute": "/etc/x",
    "300 characters": "a" * 300,
    "65 characters": "a" * 65,
    "null byte": "a\0b",
    "newline": "a\nb",
    "trailing newline": "a\n",
    "space": "a b",
    "hidden": ".a",
    "dash": "_a",
    "empty": "",
    "combining": "e\u0301",
    "right to left": "a\u202eb",
    "zero width": "a\u200bb",
    "cyrillic": "\u0430b",
    "emoji": "🎉",
    "full-width": "ａ",
    "percent": "a%2e%2e",
    "quote": "a'b",
    "semicolon": "a;b",
    "wildcard": "*",
    "surrogate": "a\udcff",
}
SLUGS = [
    bad(f"{flag} {name}", (*DRY.split(), f"{flag}={value}"), 2, "is not usable", "start with")
    for flag in ("--name", "--register")
    for name, value in NAMES.items()
]


def _flag(flag: str, value: str, code: int, *says: str) -> Case:
    return bad(f"{flag} {value}", (*DRY.split(), f"{flag}={value}"), code, *says)


CHOICES = [
    _flag("--method", "gmva", 2, "'gmva'", "did you mean 'gmvae'"),
    _flag("--method", "GMVAE", 2, "'GMVAE'", "did you mean 'gmvae'"),
    _flag("--method", "", 2, "no method is named"),
    _flag("--method", ",,", 2, "no method is named"),
    _flag("--method", "kmeans,all", 2, "'all'"),
    _flag("--method", "../kmeans", 2, "'../kmeans'"),
    _flag("--method", "kmeans\0", 2, "'kmeans\\x00'"),
    _flag("--method", "_kit", 2, "'_kit'"),
    _flag("--method", "os", 2, "'os'"),
    _flag("--method", "ｋmeans", 2, "did you mean 'kmeans'"),
    _flag("--method", "x" * 10_000, 2, "no method"),
    _flag("--sampler", "tpee", 2, "'tpee'", "did you mean 'tpe'"),
    _flag("--scheduler", "ASHA", 2, "'ASHA'", "asha"),
    _flag("--objective", "", 2, "''", "choose one of"),
    _flag("--objective", "sep\udcff", 2, "sep\\udcff", "choose one of"),
    _flag("--objective", "acc", 2, "'acc'", "--use-labels"),
    _flag("--scale", "standart", 2, "'standart'", "did you mean 'standard'"),
    _flag("--missing", "mode", 2, "'mode'", "choose one of"),
    _flag("--set", "n_components", 2, "'n_components'", "write KEY=VALUE"),
    _flag("--set", "=3", 2, "'=3'", "write KEY=VALUE"),
    _flag("--set", "n_component=3", 2, "did you mean 'n_components'"),
    _flag("--set", "__class__=3", 2, "__class__", "allowed"),
    _flag("--set", "kmeans.kmeans.starts=3", 2, "kmeans.kmeans.starts", "allowed"),
    _flag("--set", "n\u0301_components=3", 2, "no such setting"),
    _flag("--set", "n_components='3'", 2, "n_components='3'", "int"),
    _flag("--set", "n_components=true", 2, "n_components=True", "int"),
    _flag("--ordinal", "size", 2, "'size'", "write COLUMN"),
    _flag("--ordinal", "size=a", 2, "size=a", "at least 2"),
    _flag("--columns", '"a', 2, "is not a list of names", "double quotes"),
    _flag("--drop", "a\0b", 2, "digits holds images", "leave out --columns"),
    _flag("--layer", "counts", 2, "--layer", "leave it out"),
    _flag("--labels", "species", 3, "'species'", "leave out labels"),
    _flag("--dataset", "mnits", 3, "'mnits'", "did you mean 'mnist'"),
    _flag("--dataset", "", 3, "''", "give one of"),
    _flag("--dataset", " ", 3, "' '", "give one of"),
    _flag("--dataset", "https://h/x.csv", 3, "https://", "copy the data"),
    _flag("--dataset", "~nobody9/x.csv", 3, "~nobody9/x.csv", "full path"),
    _flag("--dataset", "x\0.csv", 3, "x\\x00.csv", "check the path"),
    _flag("--dataset", "\udcff.csv", 3, "\\udcff.csv", "check the path"),
    _flag("--dataset", "\u202ecsv.x", 3, "\\u202ecsv.x", "check the path"),
    _flag("--dataset", "x" * 5000 + ".csv", 3, "check the path"),
    _flag("--dataset", "x.csv/y.csv", 3, "x.csv/y.csv", "check the path"),
]
COMMANDS = [
    bad("no command like it", "serch", 2, "'serch'", "did you mean 'search'"),
    bad("upper case", "SEARCH", 2, "'SEARCH'"),
    bad("null byte", ("se\0arch",), 2, "\\x00"),
    bad("newline", ("se\narch",), 2, "no such command"),
    bad("long", ("x" * 10_000,), 2, "no such command"),
    bad("no such option", "search --trial 3", 2, "--trial", "did you mean '--trials'"),
    bad("no value", "search --trials", 2, "'--trials' requires an argument"),
    bad("an argument too many", "search digits", 2, "unexpected extra argument"),
    bad("no argument", "resume", 2, "missing argument 'NAME'"),
    bad("method", "methods gmva", 2, "'gmva'", "did you mean 'gmvae'"),
    bad("space", "space ../gmvae", 2, "'../gmvae'"),
    bad("train several", "train -m kmeans,gmm", 2, "'kmeans,gmm'", "tuner search"),
    bad("train all", "train -m all", 2, "'all'", "tuner search"),
    bad("train device", "train -m kmeans --device gpu", 2, "'gpu'", "choose cpu or cuda"),
    bad("train cuda", "train -m kmeans --device cuda", 6, "cuda", "--device cpu"),
    bad("train out file", "train -m kmeans --out f", 2, "f is not a folder", make=text("f", "x")),
    bad("train out full", "train -m kmeans --out .", 2, "is not empty", make=text("f", "x")),
    bad("train out null", ("train", "-m", "kmeans", "--out", "a\0b"), 2, "a\\x00b", "--out"),
    bad("train out long", ("train", "-m", "kmeans", "--out", "a" * 300), 74, "--out"),
    bad("train out below a file", "train -m kmeans --out f/x", 74, "--out", make=text("f", "x")),
    bad("data out", "data arcs --out a.jpg", 2, "a.jpg", "end in .png"),
    bad("data out file", "data arcs --out f/a.png", 74, "f/a.png", make=text("f", "x")),
    bad("data out null", ("data", "arcs", "--out", "a\0.png"), 2, "a\\x00.png", "--out"),
]
LOOKUPS = [
    bad(f"{' '.join(command)} {name}", (*command, value, *rest), 2, "no ", kind)
    for command, rest, kind in (
        (("resume",), (), "search"),
        (("status",), (), "search"),
        (("doctor",), (), "search"),
        (("sync",), (), "search"),
        (("models",), (), "model"),
        (("rollback",), (), "model"),
        (("promote",), ("1",), "model"),
    )
    for name, value in (
        ("missing", "dome"),
        ("quote", "a' OR name='done"),
        ("parent", "../done"),
        ("null byte", "do\0ne"),
        ("surrogate", "do\udcffne"),
        ("long", "d" * 5000),
        ("emoji", "🎉"),
    )
]


@table(*SLUGS)
def test_a_name_that_is_no_slug_is_refused(case, check):
    check(case)


@table(*CHOICES, *COMMANDS)
def test_a_name_that_is_not_known_is_refused(case, check):
    check(case)


@table(*LOOKUPS)
def test_a_search_or_model_that_is_not_there_is_not_found(case, check, done):
    flags = ["--storage", done.locations.storage, "--tracking-uri", done.locations.tracking_uri]
    takes = {"status": flags[:2], "models": flags[2:], "rollback": flags[2:]}
    line = (*case.line, *takes.get(case.line[0], flags))
    check(bad(case.name, line, case.code, *case.says))
