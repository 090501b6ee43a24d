"""The first part of a page: what was searched, what was chosen and why, and how to load it."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ...ledger.outcomes import is_usable
from ..words import duration, interval_text, restarts_text, structure_text
from .blocks import Block, Code, Paragraph, Section
from .facts import SearchFacts

if TYPE_CHECKING:
    from ...ledger.records import TrialRecord


def verdict(facts: SearchFacts) -> str:
    """Return what was searched, what was chosen and why, as one paragraph."""
    result = facts.result
    sentences = [_searched(facts), *_ended(facts)]
    if result is None:
        sentences.append(_so_far(facts))
    else:
        sentences += _chosen(result)
    return " ".join(sentences)


def figures(facts: SearchFacts) -> list[tuple[str, str]]:
    """Return the few figures that stand above the paragraph, by what they are."""
    champion, best = facts.champion, _best_so_far(facts)
    found: list[tuple[str, str]] = []
    if champion is not None:
        score = f"{champion['score']:.3f}{interval_text(champion['interval'])}"
        found = [("score on the test split", score), ("clusters", str(champion["n_components"]))]
    elif best is not None:
        found = [("best trial", f"{best.value:.3f}")]
    return [
        *found,
        ("trials", f"{len(facts.trials):,} of {facts.total:,}"),
        *([("time of trials", duration(facts.seconds))] if facts.seconds else []),
    ]


def loading(facts: SearchFacts) -> Section:
    """Return how to load the champion, or the version that was registered."""
    champion = facts.champion
    blocks: list[Block] = [Paragraph("No model is registered, so there is none to load.")]
    if champion is not None:
        uri = champion["uri"]
        blocks = [
            Code(
                f'import tuner\n\nclusterer = tuner.load("{uri}")\n'
                "clusters = clusterer.predict(x)  # raw data in, the cluster of each point out\n"
                "probabilities = clusterer.predict_proba(x)\n"
                "codes = clusterer.embed(x)"
            ),
            Paragraph("Or from the command line:"),
            Code(f"tuner predict {uri} FILE --out clusters.parquet"),
        ]
    return Section("load", "Load the champion", blocks)


def _searched(facts: SearchFacts) -> str:
    study, data = facts.study, facts.record.get("data", {})
    points = ""
    if data:
        points = f" ({data['train']:,} training and {data['test']:,} test points)"
    labels = ", with labels allowed" if facts.labels_used else ", without labels"
    return (
        f"The search tried {len(facts.trials):,} of {facts.total:,} configurations of "
        f"{', '.join(facts.methods)} on {data.get('name') or study.get('dataset', 'data')}"
        f"{points}, each trained on {facts.replicas} seeds{_restarts(facts)} and scored by "
        f"{study.get('objective', 'its objective')}{labels}."
    )


def _restarts(facts: SearchFacts) -> str:
    text = restarts_text(facts.restarts)
    return f" ({text})" if text else ""


def _ended(facts: SearchFacts) -> Iterator[str]:
    if facts.stopped is not None:
        yield f"It ended early: {facts.stopped}."
    if facts.result is None and facts.state == "running":
        yield "It is still running."
    elif facts.result is None:
        yield f"It has no result yet and is not running: `tuner resume {facts.name}` continues it."


def _so_far(facts: SearchFacts) -> str:
    best = _best_so_far(facts)
    if best is None:
        return "No trial has found clusters so far."
    return (
        f"The best trial so far is {best.number}, {best.method}, with {best.value:.3f}. "
        "Nothing is chosen before all trials have ended."
    )


def _best_so_far(facts: SearchFacts) -> "TrialRecord | None":
    return next(filter(is_usable, facts.complete()), None)


def _chosen(result: Mapping[str, Any]) -> Iterator[str]:
    champion = result["champion"]
    if champion is not None:
        yield from _champion(result, champion)
    elif result["pending"] is not None:
        yield (
            f"Its model is not registered yet ({result['pending']}): "
            f"`tuner sync {result['search']}` registers it."
        )
    else:
        yield "Nothing was registered."
    structure = structure_text(result["structure"])
    if structure and not _is_unclustered(result):  # else the note says so
        yield f"{'There are' if structure.startswith('too few') else 'The data show'} {structure}."
    rest = result["notes"][1:] if champion is not None else result["notes"]
    yield from (f"{note[:1].upper()}{note[1:]}." for note in rest)


def _champion(result: Mapping[str, Any], champion: Mapping[str, Any]) -> Iterator[str]:
    trained = result["finalists"]
    own = next((row["method"] for row in trained if row["trial"] == champion["trial"]), "a model")
    score = f"{champion['score']:.3f}{interval_text(champion['interval'])}"
    several = f"Of the {len(trained)} best configurations" if len(trained) > 1 else "Of its seeds"
    yield (
        f"Its choice is {champion['name']} version {champion['version']}: {own} with "
        f"{champion['n_components']} clusters, the configuration of trial {champion['trial']}. "
        f"{several}, trained again on fresh seeds, this replica is the best on the training "
        "points, where its own value and the mean of its configuration count half each. It "
        f"scores {score} on the test split, by which nothing was chosen."
    )
    outcome = "promoted to champion" if champion["promoted"] else "not promoted"
    reason = f": {result['notes'][0]}" if result["notes"] else ""
    yield f"It was {outcome}{reason}."


def _is_unclustered(result: Mapping[str, Any]) -> bool:
    return result["champion"] is None and result["pending"] is None
