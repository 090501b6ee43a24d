"""What MLflow shows above a search's run, in Markdown: what is searched, and what was found."""

from typing import TYPE_CHECKING

from ..study.plan import begins_text

if TYPE_CHECKING:
    from ..study.plan import Outline
    from .result import Result


def search_description(outline: "Outline") -> str:
    """Return what a search searches, and how to go on with it."""
    study, data = outline.study, outline.data
    epochs = "" if study.epochs is None else f", at most {study.epochs} epochs"
    return (
        f"Search of {', '.join(study.methods)} for clusters in **{data.name}** ({data.train:,} + "
        f"{data.test:,} points): {study.trials} trials of {study.replicas_text}{epochs}, "
        f"objective {study.objective}, sampler {study.sampler}, early stopping "
        f"{study.scheduler}. First trials: {begins_text(outline)}. "
        "Trials and finalists are its child runs.\n\n"
        f"`tuner status {study.name}` shows where it is, `tuner resume {study.name}` continues it."
    )


def result_description(result: "Result") -> str:
    """Return what a search has found."""
    best, lines = result.best, []
    if result.stopped is not None:
        lines.append(
            f"**Stopped after {result.counts['total']} of {result.asked} trials**: "
            f"{result.stopped}."
        )
    lines.append(
        f"Best trial {best['number']}, {best['method']}: {best['score']:.3f} ± {best['sd']:.3f}."
    )
    if result.champion is not None:
        champion = result.champion
        promoted = "promoted to champion" if champion.promoted else "not promoted"
        lines.append(
            f"**{champion.name} version {champion.version}**, {promoted}: score "
            f"{champion.score:.3f} on the test split with {champion.n_components} clusters. "
            f'Load it with `tuner.load("{champion.uri}")`.'
        )
    compared = ", ".join(f"{name} {score:.3f}" for name, score in result.baselines.items())
    lines += [f"On the same graph: {compared}.", *(f"{note}." for note in result.notes)]
    return "\n\n".join(lines)
