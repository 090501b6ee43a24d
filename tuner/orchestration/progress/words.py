"""Progress in words, the same in every view."""

from typing import TYPE_CHECKING

from ...reports.words import duration

if TYPE_CHECKING:
    from ..snapshot import SearchSnapshot, TrialRow
    from .events import Stage, Usage

MAX_BEST = 5
MAX_RUNNING = 8
_GIB = 2**30


def line(snapshot: "SearchSnapshot", usage: "Usage | None" = None) -> str:
    """Return a snapshot on one line."""
    best = [f"{_label(row)} {score(row)}" for row in snapshot.best(MAX_BEST)]
    parts = [
        f"{snapshot.done} of {snapshot.total} trials: {counts(snapshot)}",
        f"best: {', '.join(best)}" if best else "",
        _at_work(running_rows(snapshot)),
        times(snapshot),
        "" if usage is None else usage_text(usage),
    ]
    return "; ".join(part for part in parts if part)


def stage_line(stage: "Stage", seconds: float) -> str:
    """Return a stage that has lasted for some seconds on one line."""
    parts = [
        f"{stage.text}: {stage.done} of {stage.total}" if stage.total else stage.text,
        _at_work(stage.rows),
        duration(seconds) if seconds >= 1 else "",
        left(stage.seconds_left),
    ]
    return "; ".join(part for part in parts if part)


def counts(snapshot: "SearchSnapshot") -> str:
    """Return the number of trials by final state, and of failures by reason."""
    failures = snapshot.failures()
    reasons = ", ".join(f"{reason} {count}" for reason, count in failures.items())
    return (
        f"{snapshot.count('COMPLETE')} complete, {snapshot.count('PRUNED')} pruned, "
        f"{snapshot.count('FAIL')} failed" + (f" ({reasons})" if reasons else "")
    )


def times(snapshot: "SearchSnapshot", elapsed: float = 0.0) -> str:
    """Return the time taken and the time left, `elapsed` seconds after the snapshot."""
    taken = duration(snapshot.seconds + elapsed)
    if snapshot.done >= snapshot.total:
        return taken
    return ", ".join(filter(None, (taken, left(snapshot.eta, elapsed))))


def left(seconds: float | None, elapsed: float = 0.0) -> str:
    """Return the time left, nothing where it is not known."""
    return "" if seconds is None else f"{duration(max(seconds - elapsed, 0.0))} left"


def usage_text(usage: "Usage") -> str:
    """Return what is in use."""
    parts = [f"memory {_gib(usage.memory, usage.memory_total)}"]
    if usage.gpus:
        name = "GPU" if usage.gpus == 1 else f"{usage.gpus} GPUs"
        busy = "" if usage.gpu_busy is None else f" at {usage.gpu_busy:.0%}"
        parts.append(f"{name} {_gib(usage.gpu_memory, usage.gpu_memory_total)}{busy}")
    if usage.cluster:
        kinds = [f"{used:g}/{total:g} {kind}s" for kind, (used, total) in usage.cluster.items()]
        parts.append(f"cluster {' '.join(kinds)}")
    return ", ".join(parts)


def running_rows(snapshot: "SearchSnapshot") -> list["TrialRow"]:
    """Return the trials that run."""
    return [row for row in snapshot.rows if row.state == "RUNNING"]


def epoch(row: "TrialRow") -> str:
    """Return how far a trial is."""
    return f"{row.epoch}/{row.passes}" if row.passes else ""


def score(row: "TrialRow", *, spread: bool = True) -> str:
    """Return the latest score of a trial."""
    if row.value is None:
        return ""
    return f"{row.value:.3f} ± {row.sd:.3f}" if spread and row.sd else f"{row.value:.3f}"


def _at_work(rows: "list[TrialRow] | tuple[TrialRow, ...]") -> str:
    texts = [f"{_label(row)} {epoch(row)} {score(row)}".strip() for row in rows]
    if len(texts) > MAX_RUNNING:
        texts = [*texts[:MAX_RUNNING], f"{len(texts) - MAX_RUNNING} more"]
    return f"running: {', '.join(' '.join(text.split()) for text in texts)}" if texts else ""


def _label(row: "TrialRow") -> str:
    return f"{row.number} {row.method}"


def _gib(used: float, total: float) -> str:
    return f"{used / _GIB:.3g}/{total / _GIB:.3g} GiB"
