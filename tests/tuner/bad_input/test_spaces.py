"""Space files: encodings, sizes, bombs, types, and ranges that cannot be meant."""

from pathlib import Path

from tests.tuner.bad_input.making import dangling, fifo, folder, link_to, loop, text

from .table import Case, bad, table

GOOD = "space:\n  n_components: {int: [2, 9]}\n"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)


def _space(name: str, content: str | bytes, *says: str, code: int = 2) -> Case:
    line = "search -m kmeans --dry-run --space s.yaml"
    return bad(name, line, code, *says, make=text("s.yaml", content))


def _entry(name: str, entry: str, *says: str) -> Case:
    return _space(name, f"space:\n  {entry}\n", "s.yaml", *says)


FILES = [
    _space("utf-16", GOOD.encode("utf-16"), "s.yaml", "is not UTF-8", "save it as UTF-8"),
    _space("utf-16 without a mark", GOOD.encode("utf-16-le"), "s.yaml", ": "),
    _space("utf-32", GOOD.encode("utf-32"), "is not UTF-8"),
    _space("latin-1", GOOD.encode() + "# café".encode("latin-1"), "is not UTF-8"),
    _space("cut utf-8", GOOD.encode() + b"# \xf0\x9f\x98", "is not UTF-8"),
    _space("lone surrogate", b"space: {\xed\xa0\x80: {int: [1, 2]}}", "is not UTF-8"),
    _space("null byte", GOOD + "\0", "s.yaml", "not a usable YAML file"),
    _space("escape sequence", "space: {\x1b[31mred: {int: [1, 2]}}", "s.yaml"),
    _space("only a mark", b"\xef\xbb\xbf", "is empty", "keys space and presets"),
    _space("only spaces", "  \n \n", "is empty"),
    _space("2 MiB", "#" * (2 << 20), "2,097,152 bytes", "at most 262,144"),
    _space("bomb", BOMB, "line 2", "alias *a", "write the value out"),
    _space("alias to itself", "a: &a [*a]", "alias *a", "write the value out"),
    _space("10,000 brackets", "[" * 10_000, "nested too deeply"),
    _space("10,000 braces", "{a: " * 10_000, "s.yaml"),
    _space("deep flow", "a: " + "[" * 900 + "]" * 900, "s.yaml"),
    _space("100,000 keys", "space:\n" + "".join(f"  k{i}: 1\n" for i in range(20_000)), "s.yaml"),
    _space("a name of 100,000 letters", f"space:\n  {'a' * 100_000}: {{int: [1, 2]}}", "s.yaml"),
    _space("a text of 100,000 letters", f"space: {'a' * 100_000}", "space"),
    _space("python object", "!!python/object/apply:os.mkdir [marker]", "not a usable YAML file"),
    _space("python tuple", "space: !!python/tuple [1]", "not a usable YAML file"),
    _space("binary", "space: !!binary aGVsbG8=", "space"),
    _space("a set", "space: !!set {a, b}", "space"),
    _space("omap", "space: !!omap [a: 1]", "s.yaml"),
    _space("a date", "space: 2020-01-01", "space"),
    _space("two documents", GOOD + "---\n" + GOOD, "not a usable YAML file"),
    _space("directive", "%YAML 9.9\n---\n" + GOOD, "s.yaml"),
    _space("tab", "space:\n\tn_components: {int: [2, 9]}", "line 2, column 1"),
    _space("JSON of a list", "[1, 2]", "is a list"),
    _space("keys that differ by a form", "space:\n  n\u0301: {int: [1, 2]}", "not a setting"),
    _space("right to left", "space:\n  \u202en_components: {int: [2, 9]}", "not a setting"),
    _space("emoji", "space:\n  n_components🎉: {int: [2, 9]}", "did you mean 'n_components'"),
    _space("full-width digits", "space:\n  n_components: {int: [２, ９]}", "n_components.int.0"),
    _space("more clusters than points", GOOD.replace("9", "100000"), "100000", "1437"),
    _space("a choice of more clusters", "space: {n_components: {choice: [2, 9999]}}", "1437"),
    _space("10^30 clusters", GOOD.replace("9", "1" + "0" * 30), "at most 9,007"),
    _space("10^400 clusters", GOOD.replace("9", "1" + "0" * 400), "n_components"),
]
ENTRIES = [
    _entry("null", "n_components: null", "n_components"),
    _entry("a list", "n_components: [2, 9]", "n_components"),
    _entry("octal", "n_components: {int: [0o2, 9]}", "n_components.int.0"),
    _entry("sexagesimal", "n_components: {int: [1:30, 1:00]}", "[90, 60]"),
    _entry("overflow", "n_components: {float: [2, 1e400]}", "n_components"),
    _entry("infinite", "n_components: {int: [2, .inf]}", "n_components.int.1"),
    _entry("not a number", "n_components: {int: [.nan, 9]}", "n_components.int.0"),
    _entry("negative zero", "n_components: {int: [-0, 9]}", "0 is not allowed", "use 2"),
    _entry("log of a choice", "n_components: {choice: [2, 3], log: yes please}", "log"),
    _entry("a choice of 1 and true", "n_components: {choice: [2, true]}", "True", "int"),
    _entry("itself as condition", "n_components: {int: [2, 9], when: {n_components: 3}}", "cycle"),
    _entry("a missing parent", "n_components: {int: [2, 9], when: {start: 1}}", "did you mean"),
    _entry("text for a number", "n_components: {int: ['2', 9]}", "with a dot"),
    _entry("an empty name", "'': {int: [2, 9]}", "not a setting"),
    _entry("a dotted name", "kmeans.n_components: {int: [2, 9]}", "did you mean 'n_components'"),
]
LINE = "search -m kmeans --dry-run --space s.yaml"
PLACES = [
    bad("missing", LINE, 2, "s.yaml", "cannot be read", "give a YAML file"),
    bad("folder", LINE, 2, "s.yaml", "give a YAML file", make=folder("s.yaml")),
    bad("dangling link", LINE, 2, "s.yaml", "give a YAML file", make=dangling("s.yaml")),
    bad("loop of links", LINE, 2, "s.yaml", "give a YAML file", make=loop("s.yaml")),
    bad("pipe", LINE, 2, "s.yaml", "give a YAML file", make=fifo("s.yaml")),
    bad("endless device", LINE, 2, "s.yaml", make=link_to("s.yaml", Path("/dev/zero"))),
    bad("null device", LINE, 2, "give a YAML file", make=link_to("s.yaml", Path("/dev/null"))),
    bad("null byte", (*LINE.split()[:-1], "s\0.yaml"), 2, "s\\x00.yaml", "give a YAML file"),
    bad("long name", (*LINE.split()[:-1], "s" * 5000), 2, "give a YAML file"),
    bad("no name", (*LINE.split()[:-1], ""), 2, "give a YAML file"),
    bad("only a method", (*LINE.split()[:-1], "kmeans="), 2, "give a YAML file"),
    bad("other method", (*LINE.split()[:-1], "gmm=s.yaml"), 2, "not a method of this search"),
    bad("a home that is none", (*LINE.split()[:-1], "~nobody9/s.yaml"), 2, "give a YAML file"),
]


@table(*FILES, *ENTRIES)
def test_a_space_that_cannot_be_meant_is_refused(case, check):
    check(case)


@table(*PLACES)
def test_what_is_no_file_of_a_space_is_refused(case, check):
    check(case)
