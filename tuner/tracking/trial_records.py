"""Records for tracking, made from the ledger and from what trials wrote, and nothing else."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ..study.seeds import trial_seeds
from . import RunRecord

if TYPE_CHECKING:
    from ..ledger.ledger import TrialRecord
    from ..study.study import Plan
    from ..training.evaluations import Evaluation
    from ..training.finalist import Finalist


def plan_tags(plan: "Plan", *, device: str) -> dict[str, str]:
    """Return what is true of every run of a search."""
    return {
        "objective": plan.study.objective,
        "use_labels": str(plan.study.use_labels).lower(),
        "data_fingerprint": plan.dataset.fingerprint,
        "code_version": version("tuner"),
        "device": device,
    }


def trial_record(
    plan: "Plan",
    entry: "TrialRecord",
    evaluations: Sequence["Evaluation"],
    tags: Mapping[str, str],
    *,
    artifacts: Path | None = None,
) -> RunRecord:
    """Return the record of a trial."""
    branch = plan.branches[entry.method]
    config = branch.config(entry.params)
    started = round(1000 * entry.started)
    return RunRecord(
        key=f"trial {entry.number}",
        role="trial",
        number=entry.number,
        method=entry.method,
        params=config.to_mapping(),
        seeds=trial_seeds(
            plan.study.seed,
            entry.number,
            plan.study.replicas,
            shared=bool(config.pretraining),
        ),
        state=entry.state,
        reason=entry.outcome.get("reason"),
        attempt=entry.attempt,
        value=entry.value,
        started=started,
        ended=None if entry.ended is None else round(1000 * entry.ended),
        tags={**tags, "space_hash": branch.space.digest()},
        history=[(e.epoch, _tracked(e)) for e in evaluations],
        times=[started + round(1000 * e.seconds) for e in evaluations],
        artifacts=artifacts,
    )


def finalist_record(
    finalist: "Finalist",
    evaluations: Sequence["Evaluation"],
    tags: Mapping[str, str],
    *,
    artifacts: Path | None,
) -> RunRecord:
    """Return the record of a finalist; its test figures stand at its last epoch."""
    curve = [(e.epoch, _tracked(e)) for e in evaluations]
    if curve:
        epoch, metrics = curve[-1]
        curve[-1] = (epoch, {**metrics, **finalist.metrics()})
    return RunRecord(
        key=f"finalist {finalist.rank}",
        role="finalist",
        number=finalist.rank,
        method=finalist.method,
        params=finalist.settings,
        seeds=finalist.seeds,
        state="COMPLETE",
        value=finalist.mean,
        started=round(1000 * finalist.started),
        ended=round(1000 * finalist.ended),
        tags={**tags, "trial": str(finalist.number)},
        history=curve,
        artifacts=artifacts,
    )


def _tracked(evaluation: "Evaluation") -> dict[str, float]:
    replicas = {f"score/replica_{r}": value for r, value in enumerate(evaluation.replicas)}
    return {**evaluation.metrics, **replicas}
