"""Print results, statuses and plans as text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..orchestration.result_facts import result_facts
from ..redaction import redact
from ..reports.words import (
    counts_text,
    duration,
    range_text,
    restarts_text,
    score_text,
    settings_text,
)
from ..study.plan import begins_text
from ..training.restarts import halvings
from .output import show, show_facts, show_json, show_table

if TYPE_CHECKING:
    from ..execution.cluster import Resources
    from ..orchestration.locations import Locations
    from ..orchestration.result import Result
    from ..orchestration.status import SearchStatus, TrialStatus
    from ..study.branches import Branch
    from ..study.plan import Plan


def show_result(result: "Result") -> None:
    """Show what a search found, where it is stored, and which commands to run next."""
    show_facts(result_facts(result))
    show("")
    show("next")
    if result.pending is not None:
        show(f"  tuner sync {result.search}")
    elif result.champion is None:
        show(f"  tuner resume {result.search} --allow-unclustered")
    else:
        uri = result.champion.uri
        show(f"  python -c 'import tuner; print(tuner.load(\"{uri}\"))'")
        show(f"  tuner predict {uri} FILE")
    show("  tuner ui")


def show_status(status: "SearchStatus") -> None:
    """Show the status of one search."""
    driven = f", driven by {status.driver}" if status.driver else ""
    reasons = ", ".join(f"{reason} {count}" for reason, count in status.failures.items())
    counts = f"{status.done} of {status.total} trials: {counts_text(status.trials)}"
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
    shape = " × ".join(map(str, data["shape"]))
    facts = [
        ("would run", f"{study.trials} trials of {study.replicas_text}"),
        ("finalists", f"{study.finalists}, on {study.finalist_seeds} fresh seeds each"),
        ("name", study.name or "METHOD-DATA-n with the first free n"),
        (
            "dataset",
            f"{data['name']}: {data['train']:,} + {data['test']:,} points of shape "
            f"{shape}, {labels}",
        ),
        ("data", data["description"]),
        *(("note", note) for note in data["notes"]),
        *(("warning", warning) for warning in data["warnings"]),
        ("presets", begins_text(plan)),
        ("objective", f"{study.objective}, sampler {study.sampler}, scheduler {study.scheduler}"),
        ("model", str(study.register)),
        ("ledger", document["storage"]),
        ("MLflow", document["tracking_uri"]),
        ("files", document["artifacts"]),
    ]
    show_facts(facts)
    for name, branch in document["methods"].items():
        show("")
        passes = f"{name}, at most {branch['passes']:,} epoch{'s' * (branch['passes'] > 1)}"
        halved = halvings(study.restarts, branch["passes"])
        show(", ".join(filter(None, (passes, restarts_text(study.restarts, halved)))))
        show_table(
            ["setting", "range", "first"],
            [
                [key, range_text(entry), str(branch["first"].get(key, "drawn"))]
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
                "passes": branch.most_passes,
                "presets": list(branch.preset.names),
                "searched": {k: p.describe() for k, p in branch.space.parameters.items()},
                "first": {**_unsearched(branch), **branch.first},
            }
            for name, branch in plan.branches.items()
        },
        "order": list(plan.order),
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


def _unsearched(branch: "Branch") -> dict[str, Any]:
    return {k: value for k, value in branch.base.items() if k not in branch.space.parameters}


def _trial_row(label: str, trial: "TrialStatus") -> list[str]:
    score = "" if trial.value is None else score_text({"score": trial.value, "sd": trial.sd})
    epoch = str(trial.epoch) if trial.epoch else ""
    return [label, str(trial.number), trial.method, epoch, score, settings_text(trial.params)]
