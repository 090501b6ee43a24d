"""The charts of trials: score by K, finalists, history and early stopping."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from ...ledger.outcomes import is_usable
from ..words import score_text, short
from .facts import best_so_far, known, last_value
from .scales import Scale, label, spread_over, without_far_values
from .svg import WIDTH, Canvas, Plot

if TYPE_CHECKING:
    from ...ledger.records import TrialRecord
    from ...training.finalist import Finalist

MAX_CURVES = 200
_SMALL = 400  # trials, above which marks are smaller
_ROW = 44


def score_by_k(components: Mapping[str, Any]) -> Markup:
    """Draw the score of the best trial of each number of clusters, with its spread."""
    rows = components["scores"]
    ks = [row["n_components"] for row in rows]
    ends = [row["score"] + sign * row["sd"] for row in rows for sign in (-1, 1)]
    plot = Plot("score by number of clusters", ks, ends, ("number of clusters K", "score"))
    plot.path([plot.at(row["n_components"], row["score"]) for row in rows], "trend")
    for row in rows:
        k, score, sd = row["n_components"], row["score"], row["sd"]
        plot.line(plot.at(k, score - sd), plot.at(k, score + sd), "spread")
        css = "chosen" if k == components["chosen"] else "complete"
        plot.circle(plot.at(k, score), 4, css, f"K = {k}: {score_text(row)}, trial {row['trial']}")
    return plot.markup()


def finalists(
    trained: Sequence["Finalist"],
    baselines: Mapping[str, float],
    champion: Mapping[str, Any] | None,
) -> Markup:
    """Draw the scores of the finalists' replicas on the test split, beside the baselines."""
    interval = [] if champion is None else list(champion["interval"])
    scores = [score for finalist in trained for score in finalist.scores]
    bottom = 12 + _ROW * len(trained)
    canvas = Canvas("scores of the finalists", bottom + 40)
    scale = Scale.of([*scores, *baselines.values(), *interval], 12, WIDTH - 12)
    for tick in scale.ticks(6):
        canvas.line((scale(tick), 8), (scale(tick), bottom), "grid")
        canvas.text((scale(tick), bottom + 17), label(tick))
    for name, score in baselines.items():
        if known(score):
            tip = f"{name}: {score:.3f}"
            canvas.line((scale(score), 8), (scale(score), bottom), f"baseline {name}", tip)
    for row, finalist in enumerate(trained):
        own = interval if champion is not None and champion["trial"] == finalist.number else []
        _finalist(canvas, scale, finalist, 12 + _ROW * row, own)
    canvas.line((12, bottom), (WIDTH - 12, bottom), "axis")
    canvas.text((WIDTH / 2, bottom + 35), "score on the test split")
    return canvas.markup()


def _finalist(
    canvas: Canvas, scale: Scale, finalist: "Finalist", top: float, interval: Sequence[float]
) -> None:
    y = top + 26
    canvas.text((12, top + 12), f"trial {finalist.number}, {finalist.method}", anchor="start")
    if interval:
        low, high = interval
        tip = f"interval of the champion: {low:.3f} to {high:.3f}"
        canvas.box((scale(low), y - 7), scale(high) - scale(low), 14, "interval", tip)
    mean, sd = finalist.mean, finalist.sd
    if finalist.scores and known(mean):
        tip = f"mean ± sd: {mean:.3f} ± {sd:.3f}"
        canvas.line((scale(mean - sd), y), (scale(mean + sd), y), "spread", tip)
        canvas.line((scale(mean), y - 8), (scale(mean), y + 8), "mean", tip)
    for replica, score in enumerate(finalist.scores):
        if not known(score):
            continue
        chosen = finalist.is_usable and replica == finalist.best
        tip = f"seed {finalist.seeds[replica]}: {score:.3f}" + (", chosen" if chosen else "")
        canvas.circle((scale(score), y), 4, "chosen" if chosen else "complete", tip)


def history(trials: Sequence["TrialRecord"]) -> Markup:
    """Draw the value of each trial by its number, and the best one so far as a line."""
    values = [value for trial in trials if (value := last_value(trial)) is not None]
    shown = without_far_values(values)
    numbers = [trial.number for trial in trials]
    plot = Plot("value by trial", numbers, shown, ("trial", "value"), whole_x=True)
    radius = 3.5 if len(trials) <= _SMALL else 2
    for trial in trials:
        value, css = last_value(trial), mark(trial)
        if css == "failed":
            tip = f"trial {trial.number} failed: {trial.outcome.get('reason') or 'unknown'}"
            _cross(plot, plot.x(trial.number), plot.bottom - 5, tip)
        elif value is not None:
            tip = f"trial {trial.number}, {trial.method}: {value:.3f}, {css}"
            plot.circle(plot.at(trial.number, value), radius, css, tip)
    _draw_best(plot, trials)
    return plot.markup()


def _draw_best(plot: Plot, trials: Sequence["TrialRecord"]) -> None:
    steps: list[tuple[float, float]] = []
    for trial in best_so_far(trials):
        x, y = plot.at(trial.number, trial.value or 0.0)
        steps += [(x, steps[-1][1]), (x, y)] if steps else [(x, y)]
    if steps:
        plot.path([*steps, (plot.x(trials[-1].number), steps[-1][1])], "best")


def mark(trial: "TrialRecord") -> str:
    """Return the class of the mark of a trial."""
    if trial.state == "COMPLETE":
        return "complete" if is_usable(trial) else "collapsed"
    return {"PRUNED": "pruned", "FAIL": "failed"}.get(trial.state, "running")


def _cross(plot: Plot, x: float, y: float, tip: str) -> None:
    plot.line((x - 3, y - 3), (x + 3, y + 3), "failed", tip)
    plot.line((x - 3, y + 3), (x + 3, y - 3), "failed", tip)


def pruned_by_epoch(epochs: Counter[int]) -> Markup:
    """Draw how many trials were stopped at each epoch."""
    counts = [0, *epochs.values()]
    plot = Plot(
        "trials stopped early by epoch",
        list(epochs),
        counts,
        ("epoch", "trials stopped"),
        whole_x=True,
        whole_y=True,
        height=220,
    )
    width = max(2.0, min(14.0, 0.6 * (plot.width - plot.left) / (len(epochs) + 1)))
    for epoch, count in sorted(epochs.items()):
        x, y = plot.at(epoch, count)
        tip = f"epoch {epoch}: {count} stopped"
        plot.box((x - width / 2, y), width, plot.y(0) - y, "bar", tip)
    return plot.markup()


def learning_curves(trials: Sequence["TrialRecord"]) -> Markup:
    """Draw the values that trials reported by epoch: of `MAX_CURVES` trials, evenly by value."""
    told = sorted((t for t in trials if t.intermediate_values), key=_last)
    drawn = [told[index] for index in spread_over(told, MAX_CURVES)]
    points = [pair for trial in drawn for pair in trial.intermediate_values.items()]
    values = without_far_values(value for _, value in points)
    epochs = [epoch for epoch, _ in points]
    plot = Plot("value by epoch", epochs, values, ("epoch", "value"), whole_x=True)
    usable = [trial for trial in drawn if is_usable(trial)]
    best = usable[-1].number if usable else None
    for trial in drawn:
        own = [(e, v) for e, v in sorted(trial.intermediate_values.items()) if known(v)]
        css = "best" if trial.number == best else f"curve {mark(trial)}"
        tip = f"trial {trial.number}, {trial.method}: {short(_last(trial))}"
        plot.path([plot.at(epoch, value) for epoch, value in own], css, tip)
        if own:
            plot.circle(plot.at(*own[-1]), 2, css.removeprefix("curve "), tip)
    return plot.markup()


def _last(trial: "TrialRecord") -> float:
    value = last_value(trial)
    return float("-inf") if value is None else value
