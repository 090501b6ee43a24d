import math
from dataclasses import replace

import pytest

from tests.tuner.fitted import fitted_model
from tuner.registry.model_card import Facts, card

FACTS = Facts(
    name="digits",
    search="gmm-digits-1",
    data="digits",
    fingerprint="abcdef" * 8,
    train_points=1437,
    test_points=360,
    source="A Paper (2020), equation 3",
    objective="score",
    score=0.81234,
    interval=(0.79, 0.83),
    chosen="The best of 15 replicas of the top 3 of 200 trials.",
    guards={"largest": 0.41, "agreement": math.nan},
)


@pytest.fixture(scope="module")
def model():
    return fitted_model("kmeans")


def test_the_card_tells_what_a_reader_needs(model):
    text = card(model, FACTS)
    for told in (
        "# digits\n",
        "3 clusters",
        "`kmeans`",
        "A Paper (2020), equation 3",
        "1,437 to train on",
        "abcdef" * 8,
        "**0.812** (95 % interval 0.790 to 0.830)",
        "top 3 of 200 trials",
        "| `largest` | 0.410 |",
        "| `n_components` | 3 |",
        'tuner.load("models:/digits@champion")',
        "mlflow.pyfunc.load_model",
        "## Limits",
    ):
        assert told in text


def test_what_is_not_known_is_left_out(model):
    text = card(model, replace(FACTS, interval=None, guards={}))
    assert "interval" not in text
    assert "agreement" not in card(model, FACTS)
    for section in ("## Guards", "## Audit"):
        assert section not in text
    assert "## Audit" in card(model, replace(FACTS, audit={"accuracy": 0.9}))


def test_the_use_of_labels_is_said_aloud(model):
    assert "No label took part" in card(model, FACTS)
    told = card(fitted_model("kmeans", labels_used=True), FACTS)
    assert "Labels took part in the choice" in told
    assert "No label" not in told
