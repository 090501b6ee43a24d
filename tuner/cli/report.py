"""How results, overviews and plans read as text."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..redaction import redact
from .output import show, show_facts, show_json, show_table
from .progress import duration

if TYPE_CHECKING:
    from ..execution.cluster import Resources
    from ..orchestration.locations import Locations
    from ..orchestration.status import SearchStatus, TrialStatus
    from ..study.result import Result
    from ..study.study import Plan


def show_result(result: "Result") -> None:
    """Show what a search found, where it is, and what to type next."""
    best, champion = result.best, result.champion
    low, high = champion["interval"]
    outcome = "promoted" if champion["promoted"] else "not promoted"
    facts = [
        (
            "search",
            f"{result.search}: {result.trials['total']} trials in {duration(result.seconds)}, "
            f"{_counted(result.trials)}",
        ),
        ("best", f"trial {best['number']}, {best['method']}: {scored(best)}"),
        ("settings", settings(best["params"])),
        *_finalists(result.finalists),
        ("baselines", ", ".join(f"{k} {v:.3f}" for k, v in result.baselines.items())),
        (
            "champion",
            f"{champion['name']} version {champion['version']}, {outcome}: score "
            f"{champion['score']:.3f} ({low:.3f} to {high:.3f}) on the test split",
        ),
        ("audit", audited(result.audit)),
        *(("note", note) for note in result.notes),
        ("MLflow", redact(result.tracking_uri)),
    ]
    show_facts((name, text) for name, text in facts if text)
    show("")
    show("next")
    show(f"  python -c 'import tuner; print(tuner.load(\"{champion['uri']}\"))'")
    show(f"  tuner predict {champion['uri']} FILE")
    show("  tuner ui")


def show_status(status: "SearchStatus") -> None:
    """Show how one search stands."""
    driven = f", driven by {status.driver}" if status.driver else ""
    reasons = ", ".join(f"{reason} {count}" for reason, count in status.failures.items())
    counted = f"{status.done} of {status.total} trials: {_counted(status.trials)}"
    facts = [
        ("search", status.search),
        ("of", f"{', '.join(status.methods)} on {status.dataset} by {status.objective}"),
        ("state", f"{status.state}{driven}"),
        ("trials", counted + (f" ({reasons})" if reasons else "")),
        ("time", duration(status.seconds)),
    ]
    show_facts(facts)
    if status.running or status.best:
        show("")
        rows = [_row("now", row) for row in status.running]
        show_table(
            ["", "trial", "method", "pass", "score", "settings"],
            rows + [_row("best", row) for row in status.best],
        )
    if status.state == "stopped":
        show("")
        show(f"go on with `tuner resume {status.search}`")


def show_statuses(overviews: Sequence["SearchStatus"]) -> None:
    """Show how all searches stand."""
    show_table(
        ["search", "state", "trials", "best", "data"],
        [
            [
                one.search,
                one.state,
                f"{one.done}/{one.total}",
                f"{one.best[0].value:.3f}" if one.best else "",
                one.dataset,
            ]
            for one in overviews
        ],
    )


def show_plan(plan: "Plan", locations: "Locations", resources: "Resources", *, json: bool) -> None:
    """Show what a search would run."""
    document = plan_document(plan, locations, resources)
    if json:
        show_json(document)
        return
    study, data = plan.study, document["data"]
    labelled = "with labels for audits" if data["labels"] else "without labels"
    facts = [
        ("would run", f"{study.trials} trials of {study.replicas} replicas"),
        ("name", study.name or "METHOD-DATA-n, the first that is free"),
        (
            "data",
            f"{data['name']}: {data['train']:,} + {data['test']:,} points of shape "
            f"{data['shape']}, {labelled}",
        ),
        ("objective", f"{study.objective}, sampler {study.sampler}, stopping {study.scheduler}"),
        ("model", str(study.register)),
        ("ledger", document["storage"]),
        ("MLflow", document["tracking_uri"]),
        ("files", document["artifacts"]),
    ]
    show_facts(facts)
    for name, branch in document["methods"].items():
        show("")
        show(f"{name}, passes over the data: {branch['passes']}")
        show_table(
            ["setting", "range", "first"],
            [
                [key, ranged(entry), str(branch["first"].get(key, ""))]
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


def settings(values: Mapping[str, Any]) -> str:
    """Return settings in one line."""
    return ", ".join(f"{key} {_short(value)}" for key, value in values.items())


def scored(row: Mapping[str, Any]) -> str:
    """Return a score with its spread."""
    if row["score"] is None:
        return "no score"
    return f"{row['score']:.3f}" + (f" ± {row['sd']:.3f}" if row.get("sd") else "")


def audited(audit: Mapping[str, Any] | None) -> str:
    """Return the audit's figures in one line."""
    figures = {k: v for k, v in (audit or {}).items() if isinstance(v, float)}
    return ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in figures.items())


def _finalists(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [
        (
            "finalists" if index == 0 else "",
            f"trial {row['trial']}, {row['method']}: "
            + (row["failure"] or f"{scored(row)}, best {row['best']:.3f}"),
        )
        for index, row in enumerate(rows)
    ]


def _counted(trials: Mapping[str, int]) -> str:
    states = {state: n for state, n in trials.items() if state != "total"}
    return ", ".join(f"{n} {state}" for state, n in states.items() if state == "complete" or n)


def _row(what: str, row: "TrialStatus") -> list[str]:
    value = "" if row.value is None else scored({"score": row.value, "sd": row.sd})
    passes = str(row.epoch) if row.epoch else ""
    return [what, str(row.number), row.method, passes, value, settings(row.params)]


def ranged(entry: Mapping[str, Any]) -> str:
    """Return an entry of a space file in words."""
    if "choice" in entry:
        text = ", ".join(map(str, entry["choice"]))
    else:
        low, high = entry.get("int") or entry["float"]
        text = f"{_short(low)} to {_short(high)}" + (", log" if entry.get("log") else "")
    when = ", ".join(f"{name} is {value}" for name, value in entry.get("when", {}).items())
    return f"{text} where {when}" if when else text


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
