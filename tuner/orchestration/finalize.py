"""The end of a search: finalists, the challenger, its promotion, and the result."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ..errors import NoUsableTrialError
from ..evaluation.audit import CompleteTrial, search_audit
from ..evaluation.baselines import kmeans_on_test, test_score
from ..evaluation.objective import NeighbourGraph, louvain, modularity, neighbour_graph
from ..redaction import redact
from ..registry import Registry
from ..registry.challenger import Challenger, PromotionOutcome, register_challenger
from ..reports import model_pictures
from ..study.result import Result
from ..study.seeds import finalist_seeds
from ..tracking.trial_records import finalist_record, plan_tags, trial_record
from ..training.evaluations import read_evaluations
from ..training.finalist import Finalist
from ..training.pretraining_cache import CACHE_FOLDER
from ..training.saved_model import Model
from ..training.trial_inputs import TrialSpec
from .controller import is_usable

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..execution.cluster import Cluster
    from ..ledger.ledger import Ledger, TrialRecord
    from ..study.study import Plan
    from ..tracking import Tracker
    from .locations import Locations


@final
class Finalizer:
    """What follows the last trial of a search; each finalist is noted, so it can be resumed."""

    def __init__(
        self,
        plan: "Plan",
        ledger: "Ledger",
        tracker: "Tracker",
        locations: "Locations",
        parent_run: str,
        say: "Callable[[str], None]",
    ) -> None:
        self._plan = plan
        self._ledger = ledger
        self._tracker = tracker
        self._locations = locations
        self._parent_run = parent_run
        self._say = say
        self._folder = locations.artifacts / ledger.name

    def run(self, cluster: "Cluster", *, seconds: float) -> Result:
        """Run what is left of the end of a search and return its result."""
        dataset = self._plan.dataset
        entries = self._ledger.trials()
        best = self._best(entries)
        test_graph = neighbour_graph(dataset.test, fingerprint=f"{dataset.fingerprint}/test")
        finalists = self._finalists(cluster, best, test_graph)
        challenger = self._challenger(finalists)
        for finalist in finalists:
            self._track(finalist, best, cluster.device)
        model = Model.load(challenger.model_folder(challenger.best))
        kmeans = kmeans_on_test(dataset, model.n_components, self._plan.study.seed)
        audit = search_audit(
            dataset,
            _complete(entries),
            best[0].number,
            self._audit_of(challenger),
            kmeans,
        )
        decision = register_challenger(
            Registry(self._locations.tracking_uri),
            model,
            candidate=self._candidate(challenger),
            plan=self._plan,
            run_id=self._parent_run,
            audit=audit,
        )
        baselines = {
            "kmeans": test_score(test_graph, kmeans),
            "louvain": float(modularity(test_graph, louvain(test_graph, seed=0))),
        }
        result = Result(
            audit=audit,
            baselines=baselines,
            seconds=seconds,
            **self._outcome(entries, best[0], finalists, challenger, decision),
        )
        self._close(result)
        return result

    def _best(self, entries: Sequence["TrialRecord"]) -> list["TrialRecord"]:
        """Return the best complete trials with different settings, best first."""
        usable = [e for e in entries if e.state == "COMPLETE" and is_usable(e)]
        chosen: dict[tuple[Any, ...], TrialRecord] = {}
        for entry in sorted(usable, key=lambda e: -(e.value or 0.0)):
            chosen.setdefault((entry.method, *sorted(entry.params.items())), entry)
        if not chosen:
            raise NoUsableTrialError(
                f"no trial of {self._ledger.name!r} found clusters: widen the space, or look at "
                f"the reasons with `tuner status {self._ledger.name}`"
            )
        return list(chosen.values())[: self._plan.study.finalists]

    def _finalists(
        self, cluster: "Cluster", best: Sequence["TrialRecord"], test_graph: NeighbourGraph
    ) -> list[Finalist]:
        done: dict[str, Any] = dict(self._ledger.attribute("finalists") or {})
        specs = {
            rank: self._spec(rank, entry, cluster.device)
            for rank, entry in enumerate(best)
            if str(rank) not in done
        }
        if specs:
            seeds = self._plan.study.finalist_seeds
            self._say(f"training the best {len(best)} once more on {seeds} fresh seeds each")
        used = self._plan.study.use_labels
        for finalist in cluster.finalists(specs, test_graph, labels_used=used):
            done[str(finalist.rank)] = finalist.to_mapping()
            self._ledger.set_attribute("finalists", done)
        return [Finalist.from_mapping(done[rank]) for rank in sorted(done, key=int)]

    def _spec(self, rank: int, entry: "TrialRecord", device: str) -> TrialSpec:
        study = self._plan.study
        return TrialSpec(
            number=entry.number,
            method=entry.method,
            settings=self._plan.branches[entry.method].config(entry.params).to_mapping(),
            seeds=finalist_seeds(study.seed, entry.number, study.finalist_seeds),
            objective=study.objective,
            folder=str(self._folder / f"finalist-{rank}"),
            device=device,
            pretraining_cache=str(self._folder.parent / CACHE_FOLDER),
        )

    def _challenger(self, finalists: Sequence[Finalist]) -> Finalist:
        usable = [f for f in finalists if f.is_usable]
        if not usable:
            raise NoUsableTrialError(
                f"no finalist of {self._ledger.name!r} found clusters on fresh seeds: "
                f"{'; '.join(f.failure or 'no clusters' for f in finalists)}"
            )
        return max(usable, key=lambda f: f.best_value)

    def _audit_of(self, finalist: Finalist) -> Mapping[str, float]:
        return finalist.audits[finalist.best] if finalist.audits else {}

    def _track(self, finalist: Finalist, best: Sequence["TrialRecord"], device: str) -> None:
        """Tell tracking a finalist with its pictures; the best trial shares those of the first."""
        tags = plan_tags(self._plan, device=device)
        folder = Path(finalist.folder)
        evaluations = read_evaluations(folder)
        drawn = None
        if finalist.is_usable:
            model = Model.load(finalist.model_folder(finalist.best))
            pictures = folder / "pictures"
            for fault in model_pictures.draw(model, self._plan.dataset, evaluations, pictures):
                self._say(fault)
            drawn = pictures if pictures.is_dir() else None
        self._tracker.log(finalist_record(finalist, evaluations, tags, artifacts=drawn))
        if finalist.rank == 0:
            entry = best[0]
            evaluations = read_evaluations(self._folder / f"trial-{entry.number:05d}")
            record = trial_record(
                self._plan, entry, evaluations, {**tags, "best": "true"}, artifacts=drawn
            )
            self._tracker.log(record)

    def _candidate(self, challenger: Finalist) -> Challenger:
        trials = len(self._ledger.trials())
        return Challenger(
            search=self._ledger.name,
            finalist=challenger,
            replica=challenger.best,
            chosen=(
                f"The best of {len(challenger.seeds)} fresh seeds of trial {challenger.number}, "
                f"one of the {self._plan.study.finalists} best of {trials} trials, by the "
                f"objective {self._plan.study.objective} on the training points. Over its seeds "
                f"the score on the test split is {challenger.mean:.3f} ± {challenger.sd:.3f}."
            ),
        )

    def _outcome(
        self,
        entries: Sequence["TrialRecord"],
        best: "TrialRecord",
        finalists: Sequence[Finalist],
        challenger: Finalist,
        decision: PromotionOutcome,
    ) -> dict[str, Any]:
        states = [entry.state for entry in entries]
        name, number = decision.version.name, decision.version.number
        return {
            "search": self._ledger.name,
            "trials": {
                "total": len(entries),
                "complete": states.count("COMPLETE"),
                "pruned": states.count("PRUNED"),
                "failed": states.count("FAIL"),
            },
            "best": {
                "number": best.number,
                "method": best.method,
                "params": dict(best.params),
                "score": best.value,
                "sd": best.outcome.get("sd", 0.0),
            },
            "champion": {
                "name": name,
                "version": number,
                "uri": f"models:/{name}@champion"
                if decision.promoted
                else f"models:/{name}/{number}",
                "promoted": decision.promoted,
                "score": challenger.scores[challenger.best],
                "interval": list(decision.interval),
                "n_components": challenger.settings["n_components"],
                "trial": challenger.number,
            },
            "finalists": [_finalist_row(f) for f in finalists],
            "tracking_uri": redact(self._locations.tracking_uri),
            "notes": [decision.reason],
        }

    def _close(self, result: Result) -> None:
        """Write the result to the ledger and to tracking; checkpoints have served."""
        champion = result.champion
        metrics = {"score/best": result.best["score"], "score/champion": champion["score"]}
        metrics |= {f"score/{name}": value for name, value in result.baselines.items()}
        audit = {k: v for k, v in (result.audit or {}).items() if isinstance(v, float)}
        metrics |= {f"audit/{name}": value for name, value in audit.items()}
        tags = {
            "best_trial": str(result.best["number"]),
            "champion": f"{champion['name']}/{champion['version']}",
            "promoted": str(champion["promoted"]).lower(),
        }
        rank = next(i for i, f in enumerate(result.finalists) if f["trial"] == champion["trial"])
        pictures = self._folder / f"finalist-{rank}" / "pictures"
        drawn = pictures if pictures.is_dir() else None
        self._tracker.finish(metrics=metrics, tags=tags, artifacts=drawn)
        for checkpoints in self._folder.glob("*/checkpoints"):
            shutil.rmtree(checkpoints, ignore_errors=True)
        self._ledger.set_attribute("result", result.to_mapping())


def _complete(trials: Sequence["TrialRecord"]) -> list[CompleteTrial]:
    """Return the complete trials as the audit sees them."""
    return [
        CompleteTrial(
            number=trial.number,
            value=trial.value or 0.0,
            n_components=trial.params.get("n_components"),  # type: ignore[arg-type]  # an int
            metrics=trial.outcome["metrics"],
        )
        for trial in trials
        if trial.state == "COMPLETE" and "metrics" in trial.outcome
    ]


def _finalist_row(finalist: Finalist) -> dict[str, Any]:
    row = {
        "trial": finalist.number,
        "method": finalist.method,
        "score": finalist.mean,
        "sd": finalist.sd,
        "best": finalist.scores[finalist.best] if finalist.is_usable else 0.0,
        "failure": finalist.failure,
    }
    hungarian = [audit["hungarian"] for audit in finalist.audits]
    if hungarian:
        row |= {"hungarian": sum(hungarian) / len(hungarian), "hungarian_each": hungarian}
    return row
