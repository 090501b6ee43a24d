"""Names that files bring, in whatever shows them: tables, pictures, cards, servers' addresses."""

import csv
import os
import re

import numpy as np
import pandas as pd
import pytest

from tests.tuner import sabotage
from tests.tuner.fitted import fitted_table_model
from tests.tuner.in_process import blobs
from tests.tuner.registry.test_model_card import DATA
from tuner.registry.model_card import render_card

NAMES = {
    "script": "<script>alert(1)</script>",
    "image": '"><img src=x onerror=alert(1)>',
    "formula": r"$\frac{$ $x_{$",
    "one dollar": "a$",
    "markup": "[red]a[/red][link=x]",
    "escape": "\x1b[31ma\x1b]0b\x07",
    "new lines": "a\n\n# b\n| c | d |",
    "backticks": "`a` ``b``",
    "right to left": "a\u202eb",
    "emoji": "👩‍👩‍👧",
    "long": "x" * 5000,
}


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", NAMES)
def test_names_of_columns_and_classes_are_shown_as_they_are(name, tuner, here):
    odd = NAMES[name]
    rng = np.random.default_rng(0)
    with (here / "x.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([odd, "b", "kind"])
        writer.writerows([*rng.normal(size=2), (odd, "other")[i % 2]] for i in range(60))
    ran = tuner("data", "x.csv", "--labels", "kind")
    assert ran.code == 0, ran.err
    assert (here / "x-data.png").read_bytes().startswith(b"\x89PNG")
    shown = tuner("data", "x.csv", "--labels", "kind", "--json").out
    assert not set("\x1b\x07\u202e") & set(ran.out + shown)
    refused = tuner("data", "x.csv", "--labels", "kindd")
    assert refused.code == 3
    assert refused.error_message.isprintable()


@pytest.mark.parametrize("name", NAMES)
def test_a_card_holds_no_markup_of_others(name):
    odd = NAMES[name]
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({odd: rng.normal(size=60), "kind": [odd, "other"] * 30})
    plain = pd.DataFrame({"a": frame[odd], "kind": ["a", "other"] * 30})
    card = render_card(fitted_table_model(frame), DATA)
    usual = render_card(fitted_table_model(plain), DATA)
    assert card.count("\n") == usual.count("\n")
    outside = re.sub(r"`[^`\n]*`", "", card)
    assert "<script" not in outside
    assert "<img" not in outside


def test_what_users_see_of_mlflow_listens_on_loopback_alone(tuner, here, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "execv", lambda *call: calls.append(call))
    monkeypatch.setenv("MLFLOW_HOST", "0.0.0.0")
    (here / "mlflow.db").touch()
    tuner("ui", "--port", "59999")
    ((_, line),) = calls
    assert line[line.index("--host") + 1] == "127.0.0.1"
    assert "0.0.0.0" not in line


@pytest.mark.parametrize("name", ["weights.safetensors", "document.json", "manifest.json"])
def test_a_hostile_checkpoint_is_never_opened(name, tuner, here):
    marker = here / "marker"
    blobs(here / "blobs.npz", n=60)
    step = here / "out" / "checkpoints" / "step-00000001"
    step.mkdir(parents=True)
    for file in ("weights.safetensors", "document.json"):
        (step / file).write_bytes(b"{}")
    sabotage.sign(step)
    (step / name).write_bytes(sabotage.hostile_pickle(marker))
    if name != "manifest.json":
        sabotage.sign(step)
    line = "train -m kmeans -d blobs.npz --replicas 1 --out out --set n_components=3"
    ran = tuner(*line.split())
    assert ran.code == 0, ran.err
    assert not marker.exists()
