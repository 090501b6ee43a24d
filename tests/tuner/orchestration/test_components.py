"""The best score of every K, and which of them are plausible."""

import pytest

from tuner.ledger.records import TrialRecord
from tuner.orchestration.components import components
from tuner.reports import plots
from tuner.reports.words import plausible_text


def trial(number: int, k: int | None, value: float | None, sd: float = 0.0) -> TrialRecord:
    return TrialRecord(
        number=number,
        state="COMPLETE" if value is not None else "FAIL",
        method="kmeans",
        params={} if k is None else {"n_components": k},
        value=value,
        attempt=0,
        outcome={"sd": sd, "metrics": {"score/effective_k": 1.5}},
    )


def test_the_best_trial_of_every_k() -> None:
    trials = [trial(0, 4, 0.5), trial(1, 2, 0.2), trial(2, 4, 0.6), trial(3, 9, None)]
    found = components(trials, chosen=4, replicas=3)
    assert found is not None
    rows = [(row["n_components"], row["trial"], row["score"]) for row in found["scores"]]
    assert rows == [(2, 1, 0.2), (4, 2, 0.6)]
    assert found["plausible"] == [4, 4]
    assert found["scores"][0]["effective"] == 1.5


@pytest.mark.parametrize(("sd", "plausible"), [(0.01, [5, 5]), (0.2, [5, 8])])
def test_plausible_is_within_a_standard_error_of_the_difference(
    sd: float, plausible: list[int]
) -> None:
    trials = [trial(0, 5, 0.8, sd), trial(1, 8, 0.7, sd), trial(2, 12, 0.4, sd)]
    found = components(trials, chosen=5, replicas=3)
    assert found is not None
    assert found["plausible"] == plausible


def test_a_range_of_one_number_is_not_told_as_a_range() -> None:
    assert plausible_text([4, 4]) == "no other is plausible"
    assert plausible_text([4, 6]) == "4 to 6 are plausible"


def test_the_chosen_k_is_plausible() -> None:
    trials = [trial(0, 2, 0.8), trial(1, 3, 0.7)]
    found = components(trials, chosen=3, replicas=1)
    assert found is not None
    assert (found["chosen"], found["plausible"]) == (3, [2, 3])


def test_a_search_with_one_k_has_no_table() -> None:
    assert components([trial(0, None, 0.5)], chosen=10, replicas=3) is None
    assert components([trial(0, 3, 0.5), trial(1, 3, 0.4)], chosen=3, replicas=3) is None


def test_the_picture_shows_every_k_and_the_choice() -> None:
    trials = [trial(number, k, 0.1 * k, 0.05) for number, k in enumerate([2, 4, 8])]
    found = components(trials, chosen=4, replicas=3)
    assert found is not None
    (axes,) = plots.components(found).axes
    assert axes.get_xlabel() == "n_components"
    line = axes.lines[0]
    assert list(line.get_xdata()) == [2, 4, 8]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "champion" in labels
