"""The sections about settings: importances, and parallel coordinates."""

from . import settings_charts as charts
from .blocks import Block, Chart, Paragraph, Section
from .facts import SearchFacts

_MIN_LINES = 2


def importances(facts: SearchFacts) -> Section:
    """Return how much the value depends on each setting, per method."""
    blocks: list[Block] = []
    for found in facts.importances:
        if found.omitted:
            blocks.append(Paragraph(f"{found.method}: {found.omitted}."))
            continue
        caption = (
            f"{found.method}: the share of each setting in what makes a trial good, over "
            f"{found.trials:,} complete trials (PED-ANOVA). It is an indication, not a test."
        )
        blocks.append(Chart(charts.importances(found.shares), caption))
    return Section("importances", "Importances of settings", blocks or [_NO_TRIALS])


def parallel_coordinates(facts: SearchFacts) -> Section:
    """Return the settings and the score of complete trials, per method."""
    blocks: list[Block] = []
    for method in facts.methods:
        trials = [trial for trial in facts.complete(method) if trial.params]
        if len(trials) < _MIN_LINES:
            blocks.append(Paragraph(f"{method}: fewer than {_MIN_LINES} complete trials to draw."))
            continue
        drawn = ""
        if len(trials) > charts.MAX_LINES:
            drawn = f" {charts.MAX_LINES} of {len(trials):,} are drawn, evenly by their rank."
        svg = charts.parallel_coordinates(trials, facts.searched(method))
        caption = f"{method}: one line per complete trial, darker with a higher score.{drawn}"
        keys = (("shade1", "lowest score"), (f"shade{charts.SHADES}", "highest"), ("best", "best"))
        blocks.append(Chart(svg, caption, keys))
    return Section("settings", "Settings and score", blocks or [_NO_TRIALS])


_NO_TRIALS = Paragraph("There are no complete trials.")
