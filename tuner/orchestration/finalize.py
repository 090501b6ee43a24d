"""The end of a search: trains finalists, registers the challenger and records the result."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from ..errors import NoUsableTrialError
from ..evaluation.audit import search_audit
from ..evaluation.baselines import kmeans_on_test, test_score
from ..evaluation.graph import NeighbourGraph, louvain
from ..evaluation.objective import partition_score
from ..evaluation.structureless import (
    CloudTest,
    Structure,
    scored_graph,
)
from ..ledger.outcomes import is_usable
from ..redaction import redact
from ..reports import model_pictures
from ..study.seeds import finalist_seeds
from ..tracking.records import finalist_run_record, made_by, plan_tags, trial_run_record
from ..training.attempts import delete_checkpoints
from ..training.evaluations import Evaluation, read_evaluations
from ..training.finalist import Candidate, Finalist, ranked_candidates
from ..training.places import place
from ..training.pretraining_cache import CACHE_FOLDER
from ..training.saved_model import Model
from ..training.trial_inputs import TrialSpec
from .components import components
from .finalist_watch import FinalistWatch
from .locations import draw_pictures, finalist_folder, finalist_pictures, trial_folder
from .registration import registered
from .result import Result
from .result_rows import (
    best_row,
    complete,
    finalist_row,
    unclustered_sentence,
)
from .run_summary import log_result
from .snapshot import state_counts
from .stages import (
    DRAWING,
    REGISTERING,
    REPORTING,
    TESTING,
    expected_finalist,
    finals_of,
)

if TYPE_CHECKING:
    from ..execution.cluster import Cluster
    from ..ledger.ledger import Ledger
    from ..ledger.records import TrialRecord
    from ..study.plan import Plan
    from ..tracking import Tracker
    from .session import Session


@final
class Finalizer:
    """Takes a search from its last trial to its result.

    Every finalist is stored in the ledger as soon as it is trained, so that an interrupted search
    resumes with the remaining ones. Nothing is registered where the data show no clusters, unless
    the session allows it.
    """

    def __init__(
        self,
        plan: "Plan",
        ledger: "Ledger",
        tracker: "Tracker",
        session: "Session",
        parent_run: str,
    ) -> None:
        self._plan = plan
        self._ledger = ledger
        self._tracker = tracker
        self._locations = session.locations
        self._parent_run = parent_run
        self._on_message = session.on_message
        self._on_event = session.on_event
        self._allow_unclustered = session.allow_unclustered
        self._folder = session.locations.artifacts / ledger.name

    def run(self, cluster: "Cluster", *, seconds: float) -> Result:
        """Complete the search and return its result; `seconds` is the time that trials took."""
        plan, dataset = self._plan, self._plan.dataset
        trials = self._ledger.trials()
        best = self._best(trials)
        clouds = cluster.begin_cloud_test()
        test_graph = scored_graph(
            dataset.test,
            fingerprint=f"{dataset.fingerprint}/test",
            objective=plan.study.objective,
        )
        finalists = self._train_finalists(cluster, best, test_graph)
        candidates = self._candidates(finalists)
        self._on_event(DRAWING)
        for finalist in finalists:
            self._log_finalist(finalist, best[0], cluster.device)
        model = Model.load(candidates[0].folder)
        self._on_event(TESTING)
        structure = self._structure(clouds(), model)
        kmeans = kmeans_on_test(dataset, model.n_components, plan.study.seed)
        audit = self._audit(trials, best[0], candidates[0], kmeans)
        cut = self._ledger.ended_early
        result = Result(
            search=self._ledger.name,
            counts=state_counts(trials),
            best=best_row(best[0]),
            champion=None,
            audit=audit,
            seconds=seconds,
            tracking_uri=redact(self._locations.tracking_uri),
            finalists=[finalist_row(finalist) for finalist in finalists],
            baselines={
                "kmeans": test_score(test_graph, kmeans),
                "louvain": float(partition_score(test_graph, louvain(test_graph, seed=0))),
            },
            structure=structure.to_mapping(),
            components=components(trials, chosen=model.n_components, replicas=plan.study.replicas),
            pending="it has not been tried yet",
            stopped=None if cut is None else cut.why,
            asked=self._ledger.size if cut is None else cut.asked,
        )
        result = self._decided(result, structure)
        self._record(result)
        return result

    def _audit(
        self,
        trials: Sequence["TrialRecord"],
        best: "TrialRecord",
        challenger: Candidate,
        kmeans: NDArray[np.float32],
    ) -> dict[str, Any] | None:
        audits = challenger.finalist.audits
        own = audits[challenger.replica] if audits else {}
        return search_audit(self._plan.dataset, complete(trials), best.number, own, kmeans)

    def _decided(self, result: Result, structure: Structure) -> Result:
        """Register the challenger, unless there are no clusters and there must be some."""
        if structure.clustered is False and not self._allow_unclustered:
            return replace(result, pending=None, notes=[unclustered_sentence(structure)])
        self._on_event(REGISTERING)
        return registered(
            self._plan, self._ledger, result, self._locations, run_id=self._parent_run
        )

    def _structure(self, clouds: CloudTest, model: Model) -> Structure:
        """Return whether the data have clusters, those of the challenger among others."""
        dataset = self._plan.dataset
        return clouds.structure(
            model.predict(dataset.preprocessor.invert(dataset.train[clouds.index]))
        )

    def _best(self, trials: Sequence["TrialRecord"]) -> list["TrialRecord"]:
        """Return the best complete trials with different params, best first."""
        usable = [t for t in trials if t.state == "COMPLETE" and is_usable(t)]
        chosen: dict[tuple[Any, ...], TrialRecord] = {}
        for trial in sorted(usable, key=lambda t: -(t.value or 0.0)):
            chosen.setdefault((trial.method, *sorted(trial.params.items())), trial)
        if not chosen:
            raise NoUsableTrialError(
                f"no trial of {self._ledger.name!r} found clusters: widen the search space, or "
                f"see the reasons with `tuner status {self._ledger.name}`"
            )
        return list(chosen.values())[: self._plan.study.finalists]

    def _train_finalists(
        self, cluster: "Cluster", best: Sequence["TrialRecord"], test_graph: NeighbourGraph
    ) -> list[Finalist]:
        done: dict[str, Any] = dict(self._ledger.attribute("finalists") or {})
        attempt = self._next_attempt() if len(done) < len(best) else 0
        specs = {
            rank: self._spec(rank, trial, cluster.device, attempt)
            for rank, trial in enumerate(best)
            if str(rank) not in done
        }
        watch = self._watch(specs, best, cluster)
        for finalist in cluster.train_finalists(
            specs,
            test_graph,
            labels_used=self._plan.study.use_labels,
            on_wait=watch.look,
        ):
            done[str(finalist.rank)] = finalist.to_mapping()
            self._ledger.set_attribute("finalists", done)
            watch.ended(finalist.rank)
        return [Finalist.from_mapping(done[rank]) for rank in sorted(done, key=int)]

    def _watch(
        self, specs: dict[int, TrialSpec], best: Sequence["TrialRecord"], cluster: "Cluster"
    ) -> FinalistWatch:
        study = self._plan.study
        cost = finals_of(study, cluster.device).cost
        return FinalistWatch(
            specs,
            {rank: expected_finalist(best[rank], self._plan, cost) for rank in specs},
            self._on_event,
            text=f"retraining the best {len(best)} on {study.finalist_seeds} fresh seeds each"
            + f", the best of {study.restarts} restarts" * (study.restarts > 1),
            total=len(best),
            workers=cluster.workers,
        )

    def _next_attempt(self) -> int:
        """Count, as the holder of the lease, how often finalists were begun."""
        attempt = int(self._ledger.attribute("finalist_attempts") or 0) + 1
        self._ledger.set_attribute("finalist_attempts", attempt)
        return attempt

    def _spec(self, rank: int, trial: "TrialRecord", device: str, attempt: int) -> TrialSpec:
        study = self._plan.study
        return TrialSpec(
            number=trial.number,
            method=trial.method,
            settings=self._plan.branches[trial.method].config(trial.params).to_mapping(),
            seeds=finalist_seeds(study.seed, trial.number, study.finalist_seeds * study.restarts),
            restarts=study.restarts,
            objective=study.objective,
            folder=str(finalist_folder(self._folder, rank)),
            attempt=attempt,
            device=device,
            pretraining_cache=str(self._folder.parent / CACHE_FOLDER),
        )

    def _candidates(self, finalists: Sequence[Finalist]) -> list[Candidate]:
        """Return the replicas that find clusters, best first, or raise if there is none."""
        candidates = ranked_candidates(finalists)
        if not candidates:
            raise NoUsableTrialError(
                f"no finalist of {self._ledger.name!r} found clusters on fresh seeds: "
                f"{'; '.join(f.failure or 'no clusters' for f in finalists)}"
            )
        return candidates

    def _log_finalist(self, finalist: Finalist, best: "TrialRecord", device: str) -> None:
        """Log a finalist and its plots to MLflow; the best trial shares those of the first one."""
        tags = plan_tags(self._plan.outline) | made_by(device)
        evaluations = read_evaluations(place(finalist.folder))
        pictures = self._draw(finalist, evaluations) if finalist.is_usable else None
        self._tracker.log(finalist_run_record(finalist, evaluations, tags, artifacts=pictures))
        if finalist.rank == 0:
            evaluations = read_evaluations(trial_folder(self._folder, best.number))
            tags = {**tags, "best": "true"}
            self._tracker.log(
                trial_run_record(self._plan.outline, best, evaluations, tags, artifacts=pictures)
            )

    def _draw(self, finalist: Finalist, evaluations: list[Evaluation]) -> Path | None:
        """Draw the plots of a finalist's best replica; return their folder if there are any."""
        model = Model.load(finalist.model_folder(finalist.best))
        for failure in draw_pictures(
            finalist_folder(self._folder, finalist.rank) / "pictures",
            partial(model_pictures.draw, model, self._plan.dataset, evaluations),
        ):
            self._on_message(failure)
        return finalist_pictures(self._folder, finalist.rank)

    def _record(self, result: Result) -> None:
        """Write the result to MLflow and the ledger, and delete the checkpoints."""
        self._on_event(REPORTING)
        for fault in log_result(self._tracker, self._ledger, result, self._folder):
            self._on_message(fault)
        delete_checkpoints(self._folder)
        self._ledger.set_attribute("result", result.to_mapping())
