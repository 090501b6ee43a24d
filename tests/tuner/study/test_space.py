"""Every error in a space file is one sentence with the place, the value and a remedy."""

import os
import pickle
from dataclasses import dataclass

import pytest
import yaml

from tuner.errors import UsageError
from tuner.methods import catalog
from tuner.methods.config import Config, setting
from tuner.study.space import method_space, parse_space, read_space


@dataclass(frozen=True, kw_only=True)
class Some(Config):
    epochs: int = setting(10, "passes", low=1, high=1000)
    learning_rate: float = setting(1e-3, "step size", low=0.0)
    likelihood: str = setting("bernoulli", "of the data", choices=("bernoulli", "gaussian"))
    batch_norm: bool = setting(False, "normalise batches")

    @property
    def passes(self):
        return self.epochs

    def capped(self, epochs):
        return self


GOOD = """
space:
  n_components:  {int: [5, 30]}
  epochs:        {int: [1, 100], log: true, when: {batch_norm: true}}
  batch_norm:    {choice: [true, false]}
  learning_rate: {float: [1.0e-4, 1], log: true, when: {likelihood: gaussian}}
presets:
  tiny: {n_components: 3, epochs: 2}
"""


def read(tmp_path, text):
    path = tmp_path / "my.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_space(path, Some)


def complaint(tmp_path, text):
    with pytest.raises(UsageError) as raised:
        read(tmp_path, text)
    message = str(raised.value)
    assert "\n" not in message
    assert "my.yaml" in message
    return message


def entry(tmp_path, text):
    return complaint(tmp_path, f"space:\n  {text}\n")


def test_a_good_file_is_read_with_parents_first(tmp_path):
    space = read(tmp_path, GOOD)
    names = list(space.parameters)
    assert set(names) == {"n_components", "epochs", "batch_norm", "learning_rate"}
    assert names.index("batch_norm") < names.index("epochs")
    assert space.parameters["epochs"].log
    assert space.presets == {"tiny": {"n_components": 3, "epochs": 2}}


def test_a_space_survives_being_written(tmp_path):
    space = read(tmp_path, GOOD)
    again = parse_space(yaml.safe_load(yaml.safe_dump(space.to_mapping())), Some, source="again")
    assert again == space
    assert again.digest() == space.digest()


def test_the_digest_depends_on_ranges_and_not_on_presets(tmp_path):
    space = read(tmp_path, GOOD)
    assert read(tmp_path, GOOD.replace("tiny", "other")).digest() == space.digest()
    assert read(tmp_path, GOOD.replace("30", "31")).digest() != space.digest()


def test_single_entries_are_overridden(tmp_path):
    mine = read(tmp_path, "space: {n_components: {int: [2, 4]}}")
    space = read(tmp_path, GOOD).overridden(mine)
    assert space.parameters["n_components"].high == 4
    assert space.parameters["epochs"].high == 100
    assert "tiny" in space.presets


def test_conditions_and_ranges(tmp_path):
    parameters = read(tmp_path, GOOD).parameters
    assert parameters["epochs"].applies({"batch_norm": True})
    assert not parameters["epochs"].applies({"batch_norm": False})
    assert parameters["n_components"].admits(30)
    assert not parameters["n_components"].admits(31)
    assert not parameters["n_components"].admits("many")
    assert parameters["batch_norm"].admits(True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("- a\n- b\n", "is a list"),
        ("text", "is a str"),
        ("space:\n\tn_components: {int: [1, 2]}\n", "line 2, column 1"),
        ("space: {n_components: {int: [5, 30]}", "line 1"),
        ("space: {n_components: {int: [5, 30]}}\nspace: {}\n", "'space' appears twice"),
        ("space:\n  epochs: {int: [1, 2]}\n  epochs: {int: [1, 3]}\n", "'epochs' appears twice"),
        ("spaces: {n_components: {int: [5, 30]}}", "space"),
        ("space: {}", "space"),
        ("space:\n", "space"),
        ("space: [1, 2]", "space"),
        ("space: {n_components: {int: [5, 30]}}\nmore: 3", "more"),
        ("a: &x [1, 2]\nb: *x\n", "alias *x: write the value out"),
        ("--- {space: {}}\n--- {space: {}}\n", "is not a usable YAML file"),
        ("? [a, b]\n: 3\n", "usable YAML file"),
        ("space: {? {a: 1} : 3}\n", "usable YAML file"),
        ("space: {1: {int: [5, 30]}}", "space.1"),
        ("presets: {tiny: {n_components: 3}}", "space"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        ("space: {n_components: {int: [5, 30]}}\n\x00", "is not a usable YAML file"),
        ("[" * 5000, ""),
    ],
)
def test_a_file_that_is_no_space_is_refused(tmp_path, text, message):
    assert message in complaint(tmp_path, text)


def test_a_byte_order_mark_is_skipped(tmp_path):
    assert read(tmp_path, b"\xef\xbb\xbf" + GOOD.encode()) == read(tmp_path, GOOD)


def test_a_large_file_is_refused_unread(tmp_path):
    assert "2,097,152 bytes" in complaint(tmp_path, b"#" * 2**21)


def test_aliases_never_multiply(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert "write the value out" in complaint(tmp_path, "\n".join(lines))


class Hostile:
    def __reduce__(self):
        return os.system, ("touch marker",)


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch marker']",
        "space: !!python/object/new:os.system ['touch marker']",
        "space: {n_components: !!python/name:os.system ''}",
        pickle.dumps(Hostile()),
        "space: !mine {a: 1}",
    ],
)
def test_nothing_in_a_file_is_run(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    complaint(tmp_path, text)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n_component: {int: [5, 30]}", "did you mean 'n_components'"),
        ("n_components: 5", "n_components"),
        ("n_components: {}", "has 0 of int, float and choice"),
        ("n_components: {int: [5, 30], choice: [1]}", "has 2 of int, float and choice"),
        ("n_components: {int: [5, 30], lag: true}", "lag"),
        ("n_components: {int: [5]}", "n_components.int"),
        ("n_components: {int: [5, 6, 7]}", "n_components.int"),
        ("n_components: {int: 5}", "n_components.int"),
        (
            "n_components: {int: [30, 5]}",
            "[30, 5]: the first number must be smaller",
        ),
        ("n_components: {int: [5, 5]}", "the first number must be smaller"),
        ("n_components: {int: [5.5, 30]}", "n_components.int.0 = 5.5"),
        ("n_components: {int: [5, true]}", "n_components.int.1 = True"),
        ("n_components: {int: [1, 30]}", "1 is not allowed"),
        ("n_components: {float: [5, 30]}", "the setting is of type int"),
        ("n_components: {int: [.nan, 30]}", "n_components.int.0"),
        ("n_components: {choice: [5, many]}", "'many', but the setting is of type int"),
        ("n_components: {int: [5, 30], log: 1}", "n_components.log"),
        ("epochs: {int: [1, 2000]}", "2000 is not allowed: use 1 to 1000"),
        ("learning_rate: {float: [1e-3, 1.0]}", "write 0.001 with a dot"),
        ("learning_rate: {choice: [1e-3]}", "write 0.001 with a dot"),
        ("learning_rate: {float: [.nan, 1.0]}", "is not finite"),
        ("learning_rate: {float: [0.1, .inf]}", "is not finite"),
        ("learning_rate: {float: [0.0, 1.0], log: true}", "log requires a lower bound above 0"),
        ("learning_rate: {float: [-1.0, 1.0]}", "-1.0 is not allowed"),
        ("learning_rate: {int: [1, 2]}", "the setting is of type float"),
        ("learning_rate: {float: [a, b]}", "learning_rate.float.0 = 'a'"),
        ("likelihood: {choice: []}", "likelihood.choice"),
        ("likelihood: {choice: [poisson]}", "'poisson' is not allowed"),
        ("likelihood: {choice: [null]}", "likelihood.choice.0"),
        ("likelihood: {choice: [[1]]}", "likelihood.choice.0"),
        ("likelihood: {choice: [bernoulli, bernoulli]}", "has a choice twice"),
        ("learning_rate: {choice: [.nan, 1.0]}", "not finite"),
        ("batch_norm: {choice: [0, 1]}", "the setting is of type bool"),
        ("epochs: {int: [1, 2], when: {likelyhood: x}}", "did you mean 'likelihood'"),
        ("epochs: {int: [1, 2], when: {epochs: 1}}", "form a cycle"),
        ("epochs: {int: [1, 2], when: [likelihood]}", "epochs.when"),
        ("epochs: {int: [1, 2], when: {likelihood: poisson}}", "'poisson'"),
        ("epochs: {int: [1, 2], when: {batch_norm: 1}}", "batch_norm"),
    ],
)
def test_an_entry_that_cannot_be_meant_is_refused(tmp_path, text, message):
    assert message in entry(tmp_path, text)


def test_a_cycle_of_conditions_is_refused(tmp_path):
    message = entry(
        tmp_path,
        "epochs: {int: [1, 2], when: {batch_norm: true}}\n"
        "  batch_norm: {choice: [true, false], when: {epochs: 1}}",
    )
    assert "epochs, batch_norm form a cycle" in message


@pytest.mark.parametrize(
    ("preset", "message"),
    [
        ("{n_component: 3}", "preset tiny: no setting 'n_component'; did you mean 'n_components'"),
        ("{n_components: 1}", "preset tiny: n_components=1 is out of range"),
        ("{n_components: three}", "give a value of type int"),
        ("{n_components: [3]}", "presets.tiny.n_components"),
        ("3", "presets.tiny"),
    ],
)
def test_a_preset_that_the_method_refuses_is_refused(tmp_path, preset, message):
    text = f"space: {{n_components: {{int: [5, 30]}}}}\npresets: {{tiny: {preset}}}"
    assert message in complaint(tmp_path, text)


@pytest.mark.parametrize("place", [".", "missing.yaml"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, place):
    with pytest.raises(UsageError, match=r"cannot be read .*: give a YAML file"):
        read_space(tmp_path / place, Some)


@pytest.mark.parametrize("name", catalog.names())
def test_every_space_that_ships_is_sound_and_has_a_preset_for_tests(name):
    space = method_space(name)
    assert "tiny" in space.presets
    parameter = space.parameters["n_components"]
    assert (parameter.low, parameter.high, parameter.log) == (2, 100, True)
