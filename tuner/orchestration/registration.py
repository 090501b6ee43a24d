"""Registers the challenger of a search: at its end, or later where MLflow was away or has lost it.

All of it is in the ledger and in the finalists' files, so that nothing is trained again.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import ServiceError
from ..evaluation.comparison import MIN_POINTS, compare
from ..registry import Registry
from ..registry.challenger import Challenger, register_challenger
from ..reports.words import restarts_text
from ..training.finalist import Candidate, ranked_candidates
from ..training.saved_model import Model
from .projection import finalists_of, open_tracker
from .result_rows import baseline_notes, champion_of, finalist_notes
from .run_summary import log_result

if TYPE_CHECKING:
    from ..ledger.ledger import Ledger
    from ..study.plan import Plan
    from .locations import Locations
    from .result import Result

_SYNC_SECONDS = 60.0


def registered(
    plan: "Plan", ledger: "Ledger", result: "Result", locations: "Locations", *, run_id: str
) -> "Result":
    """Return a result with its challenger registered, or with why that is still to be done."""
    candidates = ranked_candidates(finalists_of(ledger))
    model = Model.load(candidates[0].folder)
    ledger.check_lease()
    try:
        decision = register_challenger(
            Registry(locations.tracking_uri),
            model,
            challenger=_challenger(candidates[0], plan, result),
            plan=plan,
            run_id=run_id,
            audit=result.audit,
        )
    except ServiceError as error:
        return replace(result, champion=None, pending=str(error))
    champion = champion_of(
        candidates[0].finalist, decision, confidence=_confidence(plan, model, candidates)
    )
    notes = [
        decision.reason,
        *finalist_notes(champion.trial, champion.score, result.finalists),
        *baseline_notes(champion.score, result.baselines),
    ]
    return replace(result, champion=champion, notes=notes, pending=None)


def is_settled(result: "Result", locations: "Locations") -> bool:
    """Return whether the registry holds the version of a result, or there is to be none."""
    if result.champion is None:
        return result.is_unclustered
    return Registry(locations.tracking_uri).holds(
        result.champion.name, result.champion.version, search=result.search
    )


def settled(
    plan: "Plan", ledger: "Ledger", result: "Result", locations: "Locations"
) -> tuple["Result", list[str]]:
    """Register what a search has found, and write its result; the lease must be held.

    Also return why there is no report, if there is none.
    """
    tracker, run_id = open_tracker(plan.outline, ledger, locations)
    done = registered(plan, ledger, result, locations, run_id=run_id)
    faults: list[str] = []
    if done.pending is None:
        faults = log_result(tracker, ledger, done, locations.artifacts / ledger.name)
        ledger.set_attribute("result", done.to_mapping())
    tracker.close(_SYNC_SECONDS)
    return done, faults


def _challenger(candidate: Candidate, plan: "Plan", result: "Result") -> Challenger:
    study, finalist = plan.study, candidate.finalist
    text = restarts_text(finalist.restarts, finalist.halved)
    restarts = f" ({text})" if text else ""
    return Challenger(
        search=result.search,
        finalist=finalist,
        replica=finalist.best,
        selection=(
            f"The best of {len(finalist.seeds)} fresh seeds{restarts} of trial {finalist.number}, "
            f"which is one of the {study.finalists} best of {result.counts['total']} trials, by "
            f"the objective {study.objective} on the training points, its value and the mean over "
            f"the seeds counting half each. The score on the test split "
            f"is {finalist.mean:.3f} ± {finalist.sd:.3f} over these seeds."
        ),
    )


def _confidence(plan: "Plan", model: Model, candidates: Sequence[Candidate]) -> float | None:
    """Return in which share of draws the runner-up does not score above the challenger.

    It is None without a runner-up, or with too few test points.
    """
    dataset = plan.dataset
    if len(candidates) < 2 or len(dataset.test) < MIN_POINTS:
        return None
    raw = dataset.preprocessor.invert(dataset.test)
    runner_up = Model.load(candidates[1].folder)
    verdict = compare(
        runner_up.predict(raw),
        model.predict(raw),
        dataset.test,
        fingerprint=dataset.fingerprint,
        objective=plan.study.objective,
    )
    return 1 - verdict.wins
