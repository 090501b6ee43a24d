"""The sections about the choice: the number of clusters, the finalists, and the audit."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..words import interval_text, plausible_text, restarts_text, score_text
from . import charts
from .blocks import Block, Chart, Paragraph, Section, Table
from .champion import label_pictures
from .facts import SearchFacts, known

if TYPE_CHECKING:
    from ...training.finalist import Finalist


def score_by_k(facts: SearchFacts) -> Section:
    """Return the best score of every number of clusters."""
    return Section("score-by-k", "Score by number of clusters", _score_by_k(facts))


def _score_by_k(facts: SearchFacts) -> list[Block]:
    result = facts.result
    if result is None:
        return [Paragraph("The number of clusters is chosen when the search ends.")]
    components = result["components"]
    if components is None:
        return [Paragraph("The complete trials have a single number of clusters.")]
    low, high = components["plausible"]
    chart = Chart(
        charts.score_by_k(components),
        "The best trial of each number of clusters, ± one standard deviation over its seeds.",
        (("complete", "best trial"), ("chosen", "chosen")),
    )
    rows = [
        (
            str(row["n_components"]),
            _number(row.get("effective"), 1),
            score_text(row),
            str(row["trial"]),
            _verdict(row["n_components"], components["chosen"], low, high),
        )
        for row in components["scores"]
    ]
    headings = ("K", "effective", "score", "trial", "")
    return [
        Paragraph(
            f"K = {components['chosen']} was chosen; {plausible_text((low, high))}. Plausible is "
            "what scores within one standard error of the best. Effective counts a cluster by "
            "its share of the points, so that empty ones do not count."
        ),
        chart,
        Table(headings, rows, frozenset({0, 1, 2, 3})),
    ]


def _verdict(k: int, chosen: int, low: int, high: int) -> str:
    if k == chosen:
        return "chosen"
    return "plausible" if low <= k <= high else ""


def finalists(facts: SearchFacts) -> Section:
    """Return the best configurations, trained again on fresh seeds."""
    heading = "Finalists"
    if not facts.finalists:
        text = "The best configurations are trained again when all trials have ended."
        return Section("finalists", heading, [Paragraph(text)])
    champion = facts.champion
    baselines = {} if facts.result is None else facts.result["baselines"]
    blocks: list[Block] = [
        Paragraph(
            f"The best configurations were trained again on {_seeds(facts)} that no trial had "
            "used. The replica is chosen by its score on the training points; the scores below "
            f"are on the test split, by which nothing was chosen.{_restarts(facts)}"
        )
    ]
    if any(finalist.scores for finalist in facts.finalists):
        blocks.append(_chart(facts, baselines))
    rows = [_row(finalist, facts) for finalist in facts.finalists]
    rows += [("", name, _number(score), "", "", "baseline") for name, score in baselines.items()]
    headings = ("trial", "method", "mean ± sd", "chosen", "interval", "")
    blocks.append(Table(headings, rows, frozenset({0, 2, 3})))
    if champion is not None and champion.get("confidence") is not None:
        share = champion["confidence"]
        text = f"The chosen replica scores at least as high as the runner-up in {share:.0%} of "
        blocks.append(Paragraph(f"{text}random halves of the test points."))
    return Section("finalists", heading, blocks)


def _chart(facts: SearchFacts, baselines: Mapping[str, float]) -> Chart:
    champion = facts.champion
    keys = [("complete", "replica"), ("chosen", "chosen replica"), ("mean", "mean ± sd")]
    if champion is not None and champion["interval"]:
        keys.append(("interval", "interval of the champion"))
    keys += [(f"baseline {name}", name) for name, score in baselines.items() if known(score)]
    svg = charts.finalists(facts.finalists, baselines, champion)
    return Chart(svg, "Each replica of each finalist, scored on the test split.", keys)


def _row(finalist: "Finalist", facts: SearchFacts) -> tuple[str, ...]:
    champion = facts.champion
    note = finalist.failure or ("" if finalist.is_usable else "no clusters")
    chosen, interval = "", ""
    if finalist.is_usable:
        chosen = _number(finalist.scores[finalist.best])
    if champion is not None and champion["trial"] == finalist.number:
        note = "champion" if champion["promoted"] else "not promoted"
        interval = interval_text(champion["interval"]).strip(" ()")
    score = ""
    if finalist.scores and known(finalist.mean):
        score = score_text({"score": finalist.mean, "sd": finalist.sd})
    return str(finalist.number), finalist.method, score, chosen, interval, note


def _seeds(facts: SearchFacts) -> str:
    counts = {len(finalist.seeds) for finalist in facts.finalists}
    return f"{counts.pop()} fresh seeds" if len(counts) == 1 else "fresh seeds"


def _restarts(facts: SearchFacts) -> str:
    """Return of how many restarts a replica is the best, with the passes where all agree."""
    halved = {finalist.halved for finalist in facts.finalists if finalist.scores}
    text = restarts_text(facts.restarts, halved.pop() if len(halved) == 1 else ())
    return f" Each is the {text}." if text else ""


def audit(facts: SearchFacts) -> Section:
    """Return how well the choice did according to the labels."""
    used = facts.labels_used
    heading = "Audit by labels" + (" (used for the choice)" if used else " (not used to choose)")
    measures = None if facts.result is None else facts.result["audit"]
    if not measures:
        why = "The data have no labels, so there is no audit."
        if facts.result is None:
            why = "The audit is made when the search ends, if the data have labels."
        return Section("audit", heading, [Paragraph(why)])
    text = (
        "--use-labels allowed labels to take part in the choice, so these figures are optimistic."
        if used
        else "Labels took no part in training, early stopping or the choice of the model. These "
        "figures only say afterwards how well the choice without them did."
    )
    rows = [
        (name.replace("_", " "), _number(value))
        for name, value in measures.items()
        if isinstance(value, float)
    ]
    table = Table(("measure", "on the test split"), rows, frozenset({1}))
    regret = (
        "Rank correlation is between value and "
        f"{measures.get('measure', 'accuracy')} over the complete trials; regret is what the best "
        "of them by labels has more than the chosen one."
    )
    return Section(
        "audit", heading, [Paragraph(text), Paragraph(regret), table, *label_pictures(facts)]
    )


def _number(value: float | None, digits: int = 3) -> str:
    """Return a number as text, nothing for one that is not known."""
    return f"{value:.{digits}f}" if value is not None and known(value) else ""
