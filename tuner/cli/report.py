"""Print results, statuses and plans as text."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..redaction import redact
from ..reports.words import (
    interval_text,
    range_text,
    score_text,
    settings_text,
    structure_text,
)
from .output import show, show_facts, show_json, show_table
from .progress import duration

if TYPE_CHECKING:
    from ..execution.cluster import Resources
    from ..orchestration.locations import Locations
    from ..orchestration.status import SearchStatus, TrialStatus
    from ..study.plan import Plan
    from ..study.result import Result


_SHOWN_COMPONENTS = 5


def show_result(result: "Result") -> None:
    """Show what a search found, where it is stored, and which commands to run next."""
    best = result.best
    facts = [
        (
            "search",
            f"{result.search}: {_size_text(result)} in {duration(result.seconds)}, "
            f"{_counts_text(result.trials)}",
        ),
        ("stopped", _stopped_text(result.search, result.stopped)),
        ("best", f"trial {best['number']}, {best['method']}: {score_text(best)}"),
        ("settings", settings_text(best["params"])),
        *_finalist_facts(result.finalists),
        ("baselines", ", ".join(f"{k} {v:.3f}" for k, v in result.baselines.items())),
        ("structure", structure_text(result.structure)),
        ("champion", _champion_text(result)),
        *_components_facts(result.components),
        ("audit", audit_text(result.audit)),
        *(("note", note) for note in result.notes),
        ("MLflow", redact(result.tracking_uri)),
    ]
    show_facts((name, text) for name, text in facts if text)
    show("")
    show("next")
    if result.pending is not None:
        show(f"  tuner sync {result.search}")
    elif result.champion is None:
        show(f"  tuner resume {result.search} --allow-unclustered")
    else:
        uri = result.champion["uri"]
        show(f"  python -c 'import tuner; print(tuner.load(\"{uri}\"))'")
        show(f"  tuner predict {uri} FILE")
    show("  tuner ui")


def _size_text(result: "Result") -> str:
    asked = "" if result.stopped is None else f" of {result.asked}"
    return f"{result.trials['total']}{asked} trials"


def _stopped_text(search: str, why: str | None) -> str:
    return "" if why is None else f"{why}; `tuner resume {search}` runs the others"


def _champion_text(result: "Result") -> str:
    champion = result.champion
    if result.pending is not None:
        return "not registered yet"
    if champion is None:
        return "none, nothing was registered"
    outcome = "promoted" if champion["promoted"] else "not promoted"
    return (
        f"{champion['name']} version {champion['version']}, {outcome}: score "
        f"{champion['score']:.3f}{interval_text(champion['interval'])} on the test split"
        + _confidence_text(champion.get("confidence"))
    )


def _confidence_text(confidence: float | None) -> str:
    """Return how sure the choice of the replica is, nothing where it was not tested."""
    return (
        "" if confidence is None else f", at least the runner-up's in {confidence:.0%} of halves"
    )


def _components_facts(components: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return the number of clusters with its uncertainty, and the best scores by number."""
    if components is None:
        return []
    low, high = components["plausible"]
    best = sorted(components["scores"], key=lambda row: -row["score"])[:_SHOWN_COMPONENTS]
    scores = [f"{row['n_components']}: {score_text(row)}" for row in best]
    return [
        ("K", f"{components['chosen']}, plausible {low} to {high} (one standard error)"),
        ("best by K", ", ".join(scores)),
    ]


def show_status(status: "SearchStatus") -> None:
    """Show the status of one search."""
    driven = f", driven by {status.driver}" if status.driver else ""
    reasons = ", ".join(f"{reason} {count}" for reason, count in status.failures.items())
    counts = f"{status.done} of {status.total} trials: {_counts_text(status.trials)}"
    facts = [
        ("search", status.search),
        ("methods", ", ".join(status.methods)),
        ("dataset", status.dataset),
        ("objective", status.objective),
        ("state", f"{status.state}{driven}{_reason_text(status)}"),
        ("trials", counts + (f" ({reasons})" if reasons else "")),
        ("time", duration(status.seconds)),
    ]
    show_facts(facts)
    if status.running or status.best:
        show("")
        running = [_trial_row("now", trial) for trial in status.running]
        best = [_trial_row("best", trial) for trial in status.best]
        show_table(["", "trial", "method", "epoch", "score", "settings"], running + best)
    if status.state == "stopped":
        show("")
        show(f"continue with `tuner resume {status.search}`")


def _reason_text(status: "SearchStatus") -> str:
    return "" if status.stopped is None else f": {status.stopped}"


def show_statuses(statuses: Sequence["SearchStatus"]) -> None:
    """Show the status of several searches as a table."""
    show_table(
        ["search", "state", "trials", "best", "dataset"],
        [
            [
                status.search,
                status.state,
                f"{status.done}/{status.total}",
                f"{status.best[0].value:.3f}" if status.best else "",
                status.dataset,
            ]
            for status in statuses
        ],
    )


def show_plan(plan: "Plan", locations: "Locations", resources: "Resources", *, json: bool) -> None:
    """Show what a search would run, as text or JSON."""
    document = plan_document(plan, locations, resources)
    if json:
        show_json(document)
        return
    study, data = plan.study, document["data"]
    labels = "with labels for audits" if data["labels"] else "without labels"
    facts = [
        ("would run", f"{study.trials} trials of {study.replicas} replicas"),
        ("name", study.name or "METHOD-DATA-n with the first free n"),
        (
            "dataset",
            f"{data['name']}: {data['train']:,} + {data['test']:,} points of shape "
            f"{data['shape']}, {labels}",
        ),
        ("data", data["description"]),
        *(("note", note) for note in data["notes"]),
        *(("warning", warning) for warning in data["warnings"]),
        ("objective", f"{study.objective}, sampler {study.sampler}, scheduler {study.scheduler}"),
        ("model", str(study.register)),
        ("ledger", document["storage"]),
        ("MLflow", document["tracking_uri"]),
        ("files", document["artifacts"]),
    ]
    show_facts(facts)
    for name, branch in document["methods"].items():
        show("")
        show(f"{name}, epochs: {branch['passes']}")
        show_table(
            ["setting", "range", "first"],
            [
                [key, range_text(entry), str(branch["first"].get(key, ""))]
                for key, entry in branch["searched"].items()
            ],
        )
    show("")
    show("nothing was written")


def plan_document(plan: "Plan", locations: "Locations", resources: "Resources") -> dict[str, Any]:
    """Return a plan as JSON values."""
    dataset = plan.dataset
    return {
        "dry_run": True,
        "study": {**plan.study.to_mapping(), "spaces": sorted(plan.study.spaces)},
        "data": {
            "name": dataset.name,
            "train": len(dataset.train),
            "test": len(dataset.test),
            "shape": list(dataset.shape),
            "labels": dataset.train_labels is not None,
            "fingerprint": dataset.fingerprint,
            "description": dataset.description,
            "notes": list(dataset.notes),
            "warnings": list(dataset.warnings),
        },
        "methods": {
            name: {
                "passes": branch.config({}).passes,
                "searched": {k: p.describe() for k, p in branch.space.parameters.items()},
                "first": dict(branch.base),
            }
            for name, branch in plan.branches.items()
        },
        "resources": {
            "address": None if resources.address is None else redact(resources.address),
            "workers": resources.workers,
            "cpus_per_trial": resources.cpus_per_trial,
            "gpus_per_trial": resources.gpus_per_trial,
        },
        "storage": redact(locations.storage),
        "tracking_uri": redact(locations.tracking_uri),
        "artifacts": str(locations.artifacts),
    }


def audit_text(audit: Mapping[str, Any] | None) -> str:
    """Return the figures of an audit on one line."""
    figures = {k: v for k, v in (audit or {}).items() if isinstance(v, float)}
    return ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in figures.items())


def _finalist_facts(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [
        (
            "finalists" if index == 0 else "",
            f"trial {row['trial']}, {row['method']}: "
            + (row["failure"] or f"{score_text(row)}, chosen replica {row['chosen']:.3f}"),
        )
        for index, row in enumerate(rows)
    ]


def _counts_text(trials: Mapping[str, int]) -> str:
    states = {state: n for state, n in trials.items() if state != "total"}
    return ", ".join(f"{n} {state}" for state, n in states.items() if state == "complete" or n)


def _trial_row(label: str, trial: "TrialStatus") -> list[str]:
    score = "" if trial.value is None else score_text({"score": trial.value, "sd": trial.sd})
    epoch = str(trial.epoch) if trial.epoch else ""
    return [label, str(trial.number), trial.method, epoch, score, settings_text(trial.params)]
