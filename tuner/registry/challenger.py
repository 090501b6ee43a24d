"""From a challenger to a decision: register it, compare it with the champion, promote or not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..evaluation.comparison import Verdict, compare, interval
from ..methods import catalog
from . import Registry, Version, load
from .model_card import Facts, card

if TYPE_CHECKING:
    from ..study.study import Plan
    from ..training.finalist import Finalist
    from ..training.saved_model import Model

_EXAMPLES = 4


@dataclass(frozen=True, kw_only=True)
class Challenger:
    """A finalist's replica that is to be registered, and in a sentence or two why this one."""

    search: str
    finalist: "Finalist"
    replica: int
    chosen: str

    @property
    def score(self) -> float:
        """The replica's score on the test split."""
        return self.finalist.scores[self.replica]


@dataclass(frozen=True, kw_only=True)
class PromotionOutcome:
    """A registered version and what became of it."""

    version: Version
    interval: tuple[float, float]
    promoted: bool
    reason: str


def register_challenger(
    registry: Registry,
    model: "Model",
    *,
    candidate: Challenger,
    plan: "Plan",
    run_id: str,
    audit: Mapping[str, Any] | None,
) -> PromotionOutcome:
    """Register a challenger; it becomes champion if there is none, or if it is surely better."""
    dataset = plan.dataset
    raw = dataset.scaling.invert(dataset.test)
    labels = model.predict(raw)
    own = interval(labels, dataset.test, score=candidate.score, fingerprint=dataset.fingerprint)
    version = registry.register(
        model,
        name=str(plan.study.register),
        run_id=run_id,
        tags={
            "search": candidate.search,
            "trial": candidate.finalist.number,
            "replica": candidate.replica,
            "score": candidate.score,
            "interval_low": own[0],
            "interval_high": own[1],
            "objective": plan.study.objective,
            "labels_used": plan.study.use_labels,
            "data_fingerprint": dataset.fingerprint,
        },
        description=card(model, _facts(candidate, plan, own, audit)),
        example=raw[:_EXAMPLES],
    )
    registry.set_challenger(version.name, version.number)
    promoted, reason = _decide(registry, version, labels, raw, plan)
    return PromotionOutcome(version=version, interval=own, promoted=promoted, reason=reason)


def _decide(
    registry: Registry, version: Version, labels: Any, raw: Any, plan: "Plan"
) -> tuple[bool, str]:
    name, number = version.name, version.number
    champion = registry.champion(name)
    if champion is None:
        registry.promote(name, number, expected=None)
        return True, f"{name} had no champion before"
    if champion.number == number:
        return True, f"this very model is the champion of {name} already"
    if champion.tags.get("tuner.data_fingerprint") != plan.dataset.fingerprint:
        return False, (
            f"champion version {champion.number} of {name} was made on other data, so the two "
            "cannot be compared: choose another --register"
        )
    held = load(champion.uri, tracking_uri=registry.uri).predict(raw)
    verdict = compare(labels, held, plan.dataset.test, fingerprint=plan.dataset.fingerprint)
    if verdict.promoted:
        registry.promote(name, number, expected=champion.number)
    return verdict.promoted, _sentence(verdict, champion.number)


def _facts(
    candidate: Challenger,
    plan: "Plan",
    own: tuple[float, float],
    audit: Mapping[str, Any] | None,
) -> Facts:
    dataset = plan.dataset
    return Facts(
        name=str(plan.study.register),
        search=candidate.search,
        data=dataset.name,
        fingerprint=dataset.fingerprint,
        train_points=len(dataset.train),
        test_points=len(dataset.test),
        source=catalog.method(candidate.finalist.method).source,
        objective="score",
        score=candidate.score,
        interval=own,
        chosen=candidate.chosen,
        guards=candidate.finalist.guards,
        audit={k: v for k, v in (audit or {}).items() if isinstance(v, float)},
    )


def _sentence(verdict: Verdict, champion: int) -> str:
    word = "better" if verdict.promoted else "not surely better"
    return (
        f"{word} than champion version {champion}: ahead in {verdict.wins:.0%} of the draws, "
        f"by {verdict.mean_difference:+.4f} in the mean (95 % and +0.005 are asked for)"
    )
