"""What MLflow stores of a trial or finalist, built from the ledger and the trial's files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..methods.config import Scalar
from ..study.seeds import trial_seeds

if TYPE_CHECKING:
    from ..ledger.records import TrialRecord
    from ..study.plan import Outline
    from ..study.study import Study
    from ..training.evaluations import Evaluation
    from ..training.finalist import Finalist


@dataclass(frozen=True)
class RunRecord:
    """The MLflow run of one trial or finalist; a later record with the same key replaces it.

    `key` identifies the run, such as "trial 17". `params` is the full configuration and `value`
    the score that the search maximises. `started`, `ended` and `times` are milliseconds since
    1970. `history` holds one epoch and its metrics (train/…, score/…, audit/…) per evaluation,
    and `times` the time of each evaluation. Without `times`, metrics are stamped in the order of
    their epochs. The files in `artifacts` are logged to the run. `seeds` is empty while they are
    not known.
    """

    key: str
    role: Literal["trial", "finalist"]
    number: int
    method: str
    params: Mapping[str, Scalar]
    seeds: Sequence[int]
    state: Literal["RUNNING", "COMPLETE", "PRUNED", "FAIL"]
    started: int
    reason: str | None = None
    attempt: int = 0
    value: float | None = None
    ended: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    history: Sequence[tuple[int, Mapping[str, float]]] = ()
    times: Sequence[int] = ()
    artifacts: Path | None = None


_MADE_BY = ("device", "code_version")


def plan_tags(outline: "Outline") -> dict[str, str]:
    """Return the tags that all runs of a search share."""
    study = outline.study
    tags = {
        "objective": study.objective,
        "use_labels": str(study.use_labels).lower(),
        "data_fingerprint": outline.data.fingerprint,
    }
    return {**tags, "restarts": str(study.restarts)} if study.restarts > 1 else tags


def made_by(device: str) -> dict[str, str]:
    """Return the tags that say what trains a trial: a device, and the version of this package."""
    return dict(zip(_MADE_BY, (device, version("tuner")), strict=True))


def trial_run_record(
    outline: "Outline",
    trial: "TrialRecord",
    evaluations: Sequence["Evaluation"],
    tags: Mapping[str, str],
    *,
    artifacts: Path | None = None,
) -> RunRecord:
    """Return the run record of a trial; its outcome says what it was made by."""
    study, branch = outline.study, outline.branches[trial.method]
    config = branch.config(trial.params)
    started = _milliseconds(trial.started)
    return RunRecord(
        key=f"trial {trial.number}",
        role="trial",
        number=trial.number,
        method=trial.method,
        params=config.to_mapping(),
        seeds=_seeds(study, trial, shared=bool(config.pretraining)),
        state=trial.state,
        reason=trial.reason,
        attempt=trial.attempt,
        value=trial.value,
        started=started,
        ended=None if trial.ended is None else _milliseconds(trial.ended),
        tags={
            **tags,
            **{key: trial.outcome[key] for key in _MADE_BY if key in trial.outcome},
            "space_hash": branch.declared.digest(),
        },
        history=[(e.epoch, _metrics(e)) for e in evaluations],
        times=[started + _milliseconds(e.seconds) for e in evaluations],
        artifacts=artifacts,
    )


def _seeds(study: "Study", trial: "TrialRecord", *, shared: bool) -> Sequence[int]:
    """Return the seeds of a trial's replicas, none while restarts have not decided them."""
    if study.restarts > 1:
        return trial.outcome.get("seeds", ())  # type: ignore[no-any-return]
    return trial_seeds(study.seed, trial.number, study.replicas, shared=shared)


def finalist_run_record(
    finalist: "Finalist",
    evaluations: Sequence["Evaluation"],
    tags: Mapping[str, str],
    *,
    artifacts: Path | None,
) -> RunRecord:
    """Return the run record of a finalist, with its test metrics at the last epoch."""
    history = [(e.epoch, _metrics(e)) for e in evaluations]
    if history:
        epoch, metrics = history[-1]
        history[-1] = (epoch, {**metrics, **finalist.metrics()})
    return RunRecord(
        key=f"finalist {finalist.rank}",
        role="finalist",
        number=finalist.rank,
        method=finalist.method,
        params=finalist.settings,
        seeds=finalist.seeds,
        state="COMPLETE",
        value=finalist.mean,
        started=_milliseconds(finalist.started),
        ended=_milliseconds(finalist.ended),
        tags={**tags, "trial": str(finalist.number)},
        history=history,
        artifacts=artifacts,
    )


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


def _metrics(evaluation: "Evaluation") -> dict[str, float]:
    replicas = {f"score/replica_{r}": value for r, value in enumerate(evaluation.replicas)}
    return {**evaluation.metrics, **replicas}
