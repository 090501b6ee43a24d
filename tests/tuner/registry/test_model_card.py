import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.tuner.fitted import fitted_model, fitted_table_model
from tuner.registry.model_card import ModelCardData, render_card

DATA = ModelCardData(
    name="digits",
    search="gmm-digits-1",
    dataset="digits",
    fingerprint="abcdef" * 8,
    train_points=1437,
    test_points=360,
    source="A Paper (2020), equation 3",
    objective="separation",
    score=0.81234,
    interval=(0.79, 0.83),
    selection="The best of 15 replicas of the top 3 of 200 trials.",
    guards={"largest": 0.41, "agreement": math.nan},
)


@pytest.fixture(scope="module")
def model():
    return fitted_model("kmeans")


def test_the_card_describes_the_model(model):
    text = render_card(model, DATA)
    for passage in (
        "# digits\n",
        "3 clusters",
        "`kmeans`",
        "A Paper (2020), equation 3",
        "1,437 for training",
        "abcdef" * 8,
        "**0.812** (95 % interval 0.790 to 0.830)",
        "top 3 of 200 trials",
        "| `largest` | 0.410 |",
        "| `n_components` | 3 |",
        'tuner.load("models:/digits@champion")',
        "mlflow.pyfunc.load_model",
        "## Limits",
    ):
        assert passage in text


def test_the_card_of_a_table_names_its_columns():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a|b": rng.normal(size=40), "kind": ["u", "v"] * 20, "one": 1})
    text = render_card(fitted_table_model(frame), replace(DATA, description="columns: 1 number"))
    assert "Columns: 1 number." in text
    assert "| `a|b` | number |" in text.replace("\\|", "|")
    assert "| `kind` | category: u, v |" in text
    assert "`one`" not in text


def test_unknown_values_are_left_out(model):
    text = render_card(model, replace(DATA, interval=None, guards={}))
    assert "interval" not in text
    assert "agreement" not in render_card(model, DATA)
    for section in ("## Guards", "## Audit"):
        assert section not in text
    assert "## Audit" in render_card(model, replace(DATA, audit={"accuracy": 0.9}))


def test_the_card_says_whether_labels_were_used(model):
    assert "No labels were used" in render_card(model, DATA)
    labelled = render_card(fitted_model("kmeans", labels_used=True), DATA)
    assert "Labels were used to choose this model" in labelled
    assert "No labels" not in labelled
