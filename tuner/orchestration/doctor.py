"""What must hold of a search once it has ended, looked up in the ledger, in MLflow and on disk."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, final

from ..errors import TunerError
from ..ledger.ledger import Ledger
from ..registry import CHAMPION, Registry, Version
from ..registry.bundle import fetch
from ..registry.promotion import open_registry
from ..sqlite import database_file
from ..tracking import connect
from ..training.checkpoint import WEIGHTS, CheckpointError, read_files
from ..training.saved_model import DOCUMENT, Model

if TYPE_CHECKING:
    from ..ledger.records import TrialRecord
    from .locations import Locations

_MOST_NAMED = 5
_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAIL": "FAILED", "RUNNING": "RUNNING"}


@final
@dataclass(frozen=True)
class Finding:
    """One invariant and what is wrong with it, nothing where it holds."""

    invariant: str
    wrong: str

    @property
    def ok(self) -> bool:
        """Whether it holds."""
        return not self.wrong

    def to_mapping(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        return {"invariant": self.invariant, "ok": self.ok, "wrong": self.wrong}


@dataclass(frozen=True)
class Run:
    """A run of a search, of a trial or of a finalist, as MLflow has it."""

    role: str
    number: int
    status: str
    tags: Mapping[str, str]
    value: float | None


@dataclass(frozen=True, kw_only=True)
class Case:
    """A search with all that is known of it."""

    name: str
    size: int
    entries: "Sequence[TrialRecord]"
    finalists: Mapping[str, Any]
    result: Mapping[str, Any] | None
    runs: Sequence[Run]
    folder: Path
    tracking_uri: str

    def trial_runs(self) -> "list[tuple[Run, TrialRecord]]":
        """Return the runs of trials with what the ledger says of them."""
        known = {entry.number: entry for entry in self.entries}
        return [
            (run, known[run.number])
            for run in self.runs
            if run.role == "trial" and run.number in known
        ]


def examine(name: str, locations: "Locations") -> list[Finding]:
    """Return every invariant of a search, and what is wrong with it."""
    case = case_of(name, locations)
    return [Finding(invariant, check(case)) for invariant, check in CHECKS.items()]


def case_of(name: str, locations: "Locations") -> Case:
    """Gather what is known of a search."""
    ledger = Ledger.load(locations.storage, name)
    return Case(
        name=name,
        size=ledger.size,
        entries=ledger.trials(),
        finalists=ledger.attribute("finalists") or {},
        result=ledger.attribute("result"),
        runs=_runs(name, locations.tracking_uri),
        folder=locations.artifacts / name,
        tracking_uri=locations.tracking_uri,
    )


def _ended(case: Case) -> str:
    done = sum(entry.state != "RUNNING" for entry in case.entries)
    return "" if done == case.size else f"{done} of {case.size} have"


def _contiguous(case: Case) -> str:
    numbers = [entry.number for entry in case.entries]
    return "" if numbers == list(range(len(numbers))) else f"they are {_named(numbers)}"


def _none_running(case: Case) -> str:
    running = [entry.number for entry in case.entries if entry.state == "RUNNING"]
    return f"trial {_named(running)} is" if running else ""


def _concluded(case: Case) -> str:
    return "" if case.result else f"it has not: go on with `tuner resume {case.name}`"


def _one_run_each(case: Case) -> str:
    expected = {("trial", entry.number) for entry in case.entries} | {("search", -1)}
    expected |= {("finalist", int(rank)) for rank in case.finalists}
    found = Counter((run.role, run.number) for run in case.runs)
    wrong = {
        "missing": expected - found.keys(),
        "unknown": found.keys() - expected,
        "double": {key for key, count in found.items() if count > 1},
    }
    told = [f"{what}: {_named(_titles(keys))}" for what, keys in wrong.items() if keys]
    remedy = [f"`tuner sync {case.name}` adds what is missing"] if wrong["missing"] else []
    return "; ".join(told + remedy)


def _same_outcomes(case: Case) -> str:
    wrong = [run.number for run, entry in case.trial_runs() if not _agrees(run, entry)]
    told = (
        f"they differ for trial {_named(sorted(wrong))}: `tuner sync {case.name}` tells it again"
    )
    return told if wrong else ""


def _same_best(case: Case) -> str:
    usable = [e for e in case.entries if e.value is not None and not e.outcome.get("reason")]
    tracked = [
        run
        for run, _ in case.trial_runs()
        if run.value is not None
        and run.tags.get("tuner.state") == "COMPLETE"
        and not run.tags.get("tuner.reason")
    ]
    best = {
        "ledger": _first((entry.value or 0.0, entry.number) for entry in usable),
        "MLflow": _first((run.value or 0.0, run.number) for run in tracked),
    }
    if case.result:
        best["result"] = case.result["best"]["number"]
    told = ", ".join(f"{where} says {number}" for where, number in best.items())
    return "" if len(set(best.values())) == 1 else told


def _curves_present(case: Case) -> str:
    wrong = [
        entry.number
        for entry in case.entries
        if _last_epoch(case.folder / f"trial-{entry.number:05d}") < entry.outcome.get("epoch", 0)
    ]
    told = f"metrics.jsonl is missing or cut for trial {_named(wrong)} in {case.folder}"
    return told if wrong else ""


def _models_whole(case: Case) -> str:
    folders = [
        case.folder / f"finalist-{rank}" / f"replica-{r}"
        for rank, finalist in case.finalists.items()
        for r in range(len(finalist["scores"]))
    ]
    damages = [damage for folder in folders if (damage := _damage(folder))]
    return "; ".join(damages[:_MOST_NAMED])


def _version_whole(case: Case) -> str:
    if not case.result:
        return "there is none yet"
    name, number = case.result["champion"]["name"], case.result["champion"]["version"]
    return _trouble(case, name, lambda registry: registry.version(name, number))


def _champion_whole(case: Case) -> str:
    if not case.result:
        return "there is none yet"
    name = case.result["champion"]["name"]
    return _trouble(case, name, lambda registry: registry.version_by_alias(name, CHAMPION))


CHECKS: Mapping[str, Callable[[Case], str]] = {
    "exactly N trials have ended": _ended,
    "their numbers run from 0 to N - 1": _contiguous,
    "none is left running": _none_running,
    "the search has come to its end": _concluded,
    "MLflow has one run of the search, each trial and each finalist": _one_run_each,
    "ledger and MLflow agree on states and values": _same_outcomes,
    "ledger, MLflow and result name the same best trial": _same_best,
    "the trials' files reach as far as the ledger": _curves_present,
    "the finalists' models match their hashes": _models_whole,
    "the registered version exists and is whole": _version_whole,
    "the alias champion points at a whole version": _champion_whole,
}


def _runs(name: str, uri: str) -> list[Run]:
    path = database_file(uri)
    if path is not None and not path.is_file():  # connecting would create it
        return []
    client = connect(uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found: list[Run] = []
    token = None
    while experiments:
        page = client.search_runs(experiments, f"tags.`tuner.search` = '{name}'", page_token=token)
        found += [
            Run(
                role=run.data.tags.get("tuner.role", ""),
                number=int(run.data.tags.get("tuner.number", -1)),
                status=run.info.status,
                tags=dict(run.data.tags),
                value=run.data.metrics.get("value"),
            )
            for run in page
        ]
        token = page.token
        if not token:
            break
    return found


def _agrees(run: Run, entry: "TrialRecord") -> bool:
    same_value = entry.value is None or run.value == entry.value
    same_state = run.tags.get("tuner.state") == entry.state
    return same_value and same_state and run.status == _STATUS[entry.state]


def _trouble(case: Case, name: str, find: Callable[[Registry], Version]) -> str:
    """Return why a registered version cannot be used, nothing where it can."""
    try:
        registry = open_registry(case.tracking_uri, name)
        location = registry.location(find(registry))
        with TemporaryDirectory() as scratch:
            files = fetch(location, Path(scratch), uri=case.tracking_uri)
            for document in files.rglob(DOCUMENT):
                Model.load(document.parent)
                return ""
        return f"{location} holds no model"
    except TunerError as error:
        return str(error)
    except Exception as error:  # stores for files raise errors of many kinds
        return f"{type(error).__name__}: {error}"


def _last_epoch(folder: Path) -> int:
    """Return the last epoch that a trial wrote down, 0 where it wrote none."""
    try:
        lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    epochs = [0]
    for line in lines:
        try:
            epochs.append(int(json.loads(line)["epoch"]))
        except (ValueError, KeyError, TypeError):  # a torn line
            continue
    return max(epochs)


def _damage(folder: Path) -> str:
    try:
        read_files(folder, (WEIGHTS, DOCUMENT))
    except CheckpointError as error:
        return str(error)
    return ""


def _first(pairs: Iterable[tuple[float, int]]) -> int | None:
    """Return the number with the highest value, the lowest number of those."""
    ranked = sorted(pairs, key=lambda pair: (-pair[0], pair[1]))
    return ranked[0][1] if ranked else None


def _titles(keys: Iterable[tuple[str, int]]) -> list[str]:
    return [role if number < 0 else f"{role} {number}" for role, number in sorted(keys)]


def _named(items: Sequence[Any]) -> str:
    more = len(items) - _MOST_NAMED
    return ", ".join(map(str, items[:_MOST_NAMED])) + (f" and {more} more" if more > 0 else "")
