"""The page of a search: all sections, nothing from outside, and nothing left unescaped."""

import math
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from tuner.ledger.importances import Importances
from tuner.reports import search_page
from tuner.reports.search_page import FailureKind, Picture, SearchFacts, render

from .parsed_page import Page, parsed
from .search_facts import SEARCHED, facts, finalist, png, record, result, trial

SECTIONS = [
    "load",
    "pictures",
    "score-by-k",
    "finalists",
    "history",
    "importances",
    "settings",
    "stopping",
    "audit",
    "failures",
    "trials",
    "about",
]
HOSTILE = "<script>alert(1)</script>\"'><img src=http://x.example/a onerror=b>&amp;{{7*7}}"


def page(**changes: Any) -> Page:
    found = parsed(render(facts(**changes)))
    assert found.unclosed == []
    assert found.sections == SECTIONS, "every section is there, in this order"
    assert all(found.texts[name].strip() for name in SECTIONS), "none of them is empty"
    return found


def test_the_verdict_says_what_was_chosen_and_why() -> None:
    text = " ".join(page().texts[""].split())
    for words in (
        "tried 30 of 30 configurations of em_vae, gmm on shapes (4,000 training and 1,000 test",
        "shapes version 3: em_vae with 6 clusters, the configuration of trial 4",
        "0.660 (0.600 to 0.700) on the test split",
        "promoted to champion: it beats version 2 in 97 % of halves.",
        "The data show clusters: p = 0.05",
        "The model is beaten by Louvain.",
    ):
        assert words in text


def test_the_main_figures_stand_above_the_verdict() -> None:
    found = page()
    heading = " ".join(found.texts[""].split("The search tried")[0].split())
    assert heading.endswith(
        "score on the test split 0.660 (0.600 to 0.700) clusters 6 trials 30 of 30 "
        "time of trials 1 min 0 s"
    )
    stopped = page(state="stopped", finalists=[], result=None).texts[""]
    assert "best trial 0.711 trials 30 of 30" in " ".join(stopped.split())


def test_every_section_has_its_content() -> None:
    found = page()
    texts = found.texts
    assert 'tuner.load("models:/shapes@champion")' in texts["load"]
    assert "K = 6 was chosen; 5 to 6 are plausible" in texts["score-by-k"]
    for words in ("0.637 ± 0.025", "kmeans", "0.580", "louvain", "0.600 to 0.700", "90%"):
        assert words in texts["finalists"]
    assert "20 complete, 5 pruned, 5 failed" in texts["history"]
    assert "gmm: too few complete trials (5)." in texts["importances"]
    assert "5 of 30 trials were stopped early by asha: 5 at epoch 8." in texts["stopping"]
    assert "(not used to choose)" in texts["audit"]
    assert "0.830" in texts["audit"]
    assert "the loss is not finite" in texts["failures"]
    assert "All 30 trials, best first." in texts["trials"]
    for words in ("columns: 4 numbers", "a is left out", "ab12ab12", "4,000", "3.12.1", "2027-01"):
        assert words in texts["about"]


def test_every_chart_is_drawn_with_tooltips() -> None:
    found = page()
    assert {name: found.charts(name) for name in SECTIONS if found.charts(name)} == {
        "score-by-k": ["score by number of clusters"],
        "finalists": ["scores of the finalists"],
        "history": ["value by trial"],
        "importances": ["importances of settings"],
        "settings": ["settings and score of trials"] * 2,
        "stopping": ["trials stopped early by epoch", "value by epoch"],
    }
    text = render(facts())
    assert "<title>trial 4, em_vae: " in text
    assert "<title>kmeans: 0.580</title>" in text
    assert "nan" not in text.replace("dominant", "")


def test_pictures_are_embedded_with_alternative_texts() -> None:
    found = page()
    images = [element for element in found.elements if element.tag == "img"]
    assert [(e.section, (e.attributes["alt"] or "")[:10]) for e in images] == [
        ("pictures", "New points"),
        ("pictures", "Codes of t"),
        ("audit", "Test point"),
    ]
    for element in images:
        assert (element.attributes["src"] or "").startswith("data:image/png;base64,")
        assert (element.attributes["width"], element.attributes["height"]) == ("40", "20")


def test_the_page_needs_nothing_else() -> None:
    found = page()
    assert not {"script", "link", "iframe", "object", "embed", "form"} & set(found.tags)
    for address in found.addresses:
        assert address.startswith(("#", "data:image/png;base64,"))
    names = {name for element in found.elements for name in element.attributes}
    assert not [name for name in names if name.startswith("on")]
    text = render(facts())
    assert "url(" not in text
    assert "@import" not in text
    assert "canary" not in text, "secrets are masked"
    anchors = {address for address in found.addresses if address.startswith("#")}
    assert anchors == {f"#{name}" for name in SECTIONS}


def hostile() -> SearchFacts:
    """A search in which every text that somebody else may choose is hostile."""
    params = {HOSTILE: HOSTILE, "n_components": 3}
    outcome = {"reason": HOSTILE, "detail": HOSTILE}
    trials = [
        *(trial(n, method=HOSTILE, params=params, state="COMPLETE", value=0.1) for n in range(12)),
        trial(12, method=HOSTILE, state="FAIL", value=None, params=params, outcome=outcome),
    ]
    study = {**record()["study"], "methods": [HOSTILE], "dataset": HOSTILE, "labels": HOSTILE}
    study |= {"preparation": {"drop": [HOSTILE]}, "scheduler": HOSTILE, "objective": HOSTILE}
    data = {**record()["data"], "name": HOSTILE, "fingerprint": HOSTILE}
    champion = {**result()["champion"], "name": HOSTILE, "uri": HOSTILE}
    said = result(champion=champion, notes=[HOSTILE, HOSTILE], baselines={HOSTILE: 0.4})
    return facts(
        name=HOSTILE,
        state="stopped",
        stopped=HOSTILE,
        trials=trials,
        record=record(
            study=study,
            data=data,
            searched={f"{HOSTILE}.{HOSTILE}": {"choice": [HOSTILE]}},
            preparation={"description": HOSTILE, "notes": [HOSTILE], "warnings": [HOSTILE]},
            code_version=HOSTILE,
        ),
        finalists=[finalist(0, 4, method=HOSTILE, failure=HOSTILE)],
        failures=[FailureKind(kind=HOSTILE, trials=[12], detail=HOSTILE)],
        importances=[
            Importances(method=HOSTILE, trials=12, shares={HOSTILE: 1.0}),
            Importances(method=HOSTILE, trials=1, omitted=HOSTILE),
        ],
        result=said,
        pictures=[Picture(name=HOSTILE, content=png())],
        versions={HOSTILE: HOSTILE},
    )


def test_hostile_texts_are_shown_as_they_are() -> None:
    text = render(hostile())
    found = parsed(text)
    assert found.sections == SECTIONS
    assert found.unclosed == []
    assert "script" not in found.tags
    assert all(
        (e.attributes["src"] or "").startswith("data:") for e in found.elements if e.tag == "img"
    )
    assert not [e for e in found.elements if any(a.startswith("on") for a in e.attributes)]
    for section in ("load", "failures", "trials", "about", "finalists", "importances"):
        assert HOSTILE in found.texts[section], section
    assert "{{7*7}}" in text
    assert "49" not in found.texts["load"]


def test_secrets_are_masked_everywhere() -> None:
    secret = "postgresql://me:canary@host/db"
    outcome = {"reason": f"RuntimeError: {secret}", "detail": secret}
    text = render(
        facts(
            trials=[trial(0, state="FAIL", value=None, outcome=outcome), trial(1)],
            stopped=f"5 trials failed: {secret}",
            failures=[FailureKind(kind="RuntimeError", trials=[0], detail=secret)],
            finalists=[finalist(0, 4, failure=secret)],
            result=result(notes=[secret, secret], pending=secret, champion=None),
        )
    )
    assert "canary" not in text
    assert "postgresql://me:***@host/db" in text


def test_a_search_that_has_just_begun() -> None:
    found = page(
        state="running",
        trials=[],
        finalists=[],
        failures=[],
        importances=[],
        result=None,
        pictures=[],
        shown=None,
        seconds=0.0,
    )
    assert "It is still running. No trial has found clusters so far." in found.texts[""]
    assert "No trial has a value yet." in found.texts["history"]
    assert "No trial has begun." in found.texts["trials"]
    assert "No pictures were drawn." in found.texts["pictures"]
    assert [found.charts(name) for name in SECTIONS] == [[]] * len(SECTIONS)


def test_a_search_that_was_stopped() -> None:
    trials = [*(trial(n) for n in range(3)), trial(3, state="RUNNING", value=None, ended=None)]
    found = page(
        state="stopped",
        stopped="the time budget ran out",
        trials=trials,
        finalists=[],
        result=None,
    )
    assert "It ended early: the time budget ran out." in found.texts[""]
    assert "tuner resume shapes continues it" in found.texts[""]
    assert "code" in {element.tag for element in found.elements if not element.section}
    assert "The best trial so far is" in found.texts[""]
    assert "running" in found.texts["trials"]


def test_a_search_without_clusters() -> None:
    structure = {"clustered": False, "p_value": 0.4, "excess": -0.1, "cloud": "flat"}
    said = result(champion=None, notes=["no clusters: nothing"], structure=structure, audit=None)
    found = page(result=said)
    assert "Nothing was registered. No clusters: nothing." in found.texts[""]
    assert "No model is registered" in found.texts["load"]
    assert "There is no champion; this is trial 4." in found.texts["pictures"]
    assert "no labels" in found.texts["audit"]


def test_a_model_that_is_not_registered_yet() -> None:
    found = page(result=result(champion=None, pending="MLflow was away"))
    assert "not registered yet (MLflow was away): tuner sync shapes" in found.texts[""]


def test_a_challenger_that_was_not_promoted() -> None:
    champion = {**result()["champion"], "promoted": False, "interval": [], "confidence": None}
    found = page(result=result(champion=champion, notes=["it is not better"]))
    assert "It was not promoted: it is not better." in found.texts[""]
    assert "0.660 on the test split" in found.texts[""]
    assert "not promoted" in found.texts["finalists"]


def test_too_few_points_for_a_test() -> None:
    structure = {"clustered": None, "p_value": None, "excess": None, "cloud": None}
    found = page(result=result(structure=structure, components=None))
    assert "There are too few points to test for clusters." in found.texts[""]
    assert "a single number of clusters" in found.texts["score-by-k"]


def test_labels_that_were_used_are_not_called_unused() -> None:
    study = {**record()["study"], "use_labels": True, "objective": "acc"}
    found = page(record=record(study=study))
    assert "not used" not in found.texts["audit"]
    assert "optimistic" in found.texts["audit"]
    assert "with labels allowed" in found.texts[""]


def test_values_that_are_not_finite_are_left_out() -> None:
    odd = {1: math.nan, 2: math.inf, 3: 0.4}
    trials = [
        trial(0, intermediate_values=odd),
        trial(1, state="COMPLETE", value=math.nan, intermediate_values={1: math.nan}),
        trial(2, state="COMPLETE", value=-1e300),
        *(trial(n, state="COMPLETE", value=0.5) for n in range(3, 9)),
    ]
    found = page(trials=trials, result=result(baselines={"kmeans": math.nan}))
    assert len(found.charts("stopping")) == 1
    text = render(facts(trials=trials))
    assert not [word for word in ('"nan', "nan,", ",nan", '"inf', "inf,") if word in text]


def test_finalists_that_failed() -> None:
    failed = finalist(0, 4, scores=(), values=(), found=(), failure="oom")
    found = page(finalists=[failed], result=result(champion=None, pending="later"))
    assert "oom" in found.texts["finalists"]
    assert found.charts("finalists") == []


def test_a_search_of_an_early_version_is_reported() -> None:
    early = {"study": {"methods": ["gmm"], "dataset": "digits", "objective": "score"}, "trials": 3}
    found = page(record=early, result=None, finalists=[], importances=[])
    assert "digits" in found.texts["about"]


def test_settings_outside_of_their_range_and_of_mixed_types() -> None:
    mixed = [
        trial(n, method="em_vae", state="COMPLETE", value=0.1 * n, params={"a": value, "b": n})
        for n, value in enumerate([1, "x", True, None, 2.5])
    ]
    spaces = {**SEARCHED, "em_vae.b": {"int": [1, 2], "log": True}}
    found = page(trials=mixed, record=record(searched=spaces))
    assert found.charts("settings") == ["settings and score of trials"]


def test_many_trials_stay_a_small_file() -> None:
    trials = [trial(number) for number in range(5_000)]
    text = render(facts(trials=trials, total=5_000, pictures=[]))
    assert len(text.encode()) < 2_000_000
    found = parsed(text)
    rows = [e for e in found.elements if e.tag == "tr" and e.section == "trials"]
    assert len(rows) == 101
    assert "The best 100 of 5,000 trials" in found.texts["trials"]
    assert "100 of 2,500 are drawn" in found.texts["settings"]


def test_the_template_and_the_style_are_installed() -> None:
    root = Path(search_page.__file__).parents[3]
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["tuner"]
    for name in ("page.html.j2", "page.css"):
        assert any(fnmatch(f"reports/search_page/{name}", pattern) for pattern in patterns)


def test_what_is_no_picture_is_left_out() -> None:
    broken = [Picture(name="samples", content=b"<svg>"), Picture(name="codes", content=b"")]
    found = page(pictures=broken, no_pictures="")
    assert "img" not in found.tags


@pytest.mark.parametrize("why", ["The pictures could not be read (gone)."])
def test_pictures_that_cannot_be_read_are_explained(why: str) -> None:
    assert why in page(pictures=[], no_pictures=why).texts["pictures"]


def test_the_study_is_told_in_words() -> None:
    study = {**record()["study"], "fixed": {"epochs": 20, "batch_norm": True}}
    text = " ".join(page(record=record(study=study)).texts["about"].split())
    assert "fixed epochs 20, batch_norm yes" in text
    assert "use labels no" in text
    assert "preparation drop: row" in text


def test_restarts_are_told_in_words() -> None:
    assert "restart" not in render(facts())
    made = record()
    made = {**made, "study": {**made["study"], "restarts": 4}}
    halved = [
        finalist(0, 4, restarts=4, halved=(6, 10)),
        finalist(1, 9, restarts=4, halved=(6, 10)),
    ]
    text = render(facts(record=made, finalists=halved))
    rule = "(best of 4 restarts per replica, halved within the first third of the passes)"
    assert rule in text
    assert "Each is the best of 4 restarts per replica, halved after passes 6 and 10." in text
    halved[1] = finalist(1, 9, restarts=4, halved=(3, 5))
    text = render(facts(record=made, finalists=halved))
    assert "Each is the best of 4 restarts per replica, halved within the first third" in text


def test_markup_between_backticks_stays_text() -> None:
    text = render(facts(stopped="`<b>` and `</code><i>`"))
    assert "<b>" not in text
    assert "<i>" not in text
