"""Register a challenger, compare it with the champion, and promote it if it is better."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import PromotionConflictError, PromotionRefusedError
from ..evaluation.comparison import Verdict, compare, interval
from ..methods import catalog
from . import Registry, Version, load
from .model_card import ModelCardData, render_card

if TYPE_CHECKING:
    from ..study.plan import Plan
    from ..training.finalist import Finalist
    from ..training.saved_model import Model

_EXAMPLES = 4
_MAX_COMPARISONS = 5  # with champions that change meanwhile


@dataclass(frozen=True, kw_only=True)
class Challenger:
    """A replica of a finalist to register; `selection` describes how it was chosen."""

    search: str
    finalist: "Finalist"
    replica: int
    selection: str

    @property
    def score(self) -> float:
        """The replica's score on the test split."""
        return self.finalist.scores[self.replica]


@dataclass(frozen=True, kw_only=True)
class PromotionOutcome:
    """A registered version, the 95 % interval of its score, and whether it became champion.

    The interval is None where the test split is too small for one.
    """

    version: Version
    interval: tuple[float, float] | None
    promoted: bool
    reason: str


def register_challenger(
    registry: Registry,
    model: "Model",
    *,
    challenger: Challenger,
    plan: "Plan",
    run_id: str,
    audit: Mapping[str, Any] | None,
) -> PromotionOutcome:
    """Register a challenger, and promote it if it beats the champion or there is none."""
    dataset = plan.dataset
    raw = dataset.preprocessor.invert(dataset.test)
    labels = model.predict(raw)
    score_interval = interval(
        labels,
        dataset.test,
        score=challenger.score,
        fingerprint=dataset.fingerprint,
        objective=_measure(plan),
    )
    version = registry.register(
        model,
        name=str(plan.study.register),
        run_id=run_id,
        tags={
            "search": challenger.search,
            "trial": challenger.finalist.number,
            "replica": challenger.replica,
            "score": challenger.score,
            **_interval_tags(score_interval),
            "objective": plan.study.objective,
            "labels_used": plan.study.use_labels,
            "data_fingerprint": dataset.fingerprint,
        },
        metrics={"score/champion": challenger.score},
        data=(dataset.name, dataset.fingerprint),
        description=render_card(model, _card_data(challenger, plan, score_interval, audit)),
        example=raw[:_EXAMPLES],
    )
    registry.set_challenger(version.name, version.number)
    promoted, reason = _promote_if_better(registry, version, labels, raw, plan)
    return PromotionOutcome(
        version=version, interval=score_interval, promoted=promoted, reason=reason
    )


def _promote_if_better(
    registry: Registry, version: Version, labels: Any, raw: Any, plan: "Plan"
) -> tuple[bool, str]:
    """Return whether a version was promoted, and why."""
    for _ in range(_MAX_COMPARISONS - 1):
        try:
            return _compare_and_promote(registry, version, labels, raw, plan)
        except PromotionConflictError:
            continue  # another promotion came first: compare with the new champion
    try:
        return _compare_and_promote(registry, version, labels, raw, plan)
    except PromotionConflictError as conflict:  # the search itself has succeeded
        return False, str(conflict)


def _compare_and_promote(
    registry: Registry, version: Version, labels: Any, raw: Any, plan: "Plan"
) -> tuple[bool, str]:
    name, number = version.name, version.number
    champion = registry.champion(name)
    if champion is None:
        registry.promote(name, number, expected=None)
        return True, f"{name} had no champion"
    if champion.number == number:
        return True, f"this model is already the champion of {name}"
    if champion.tags.get("tuner.data_fingerprint") != plan.dataset.fingerprint:
        return False, (
            f"champion version {champion.number} of {name} was trained on different data, so the "
            "two cannot be compared: choose another --register"
        )
    verdict = _verdict(registry, champion, labels, raw, plan)
    if isinstance(verdict, str):
        return False, verdict
    if verdict.promoted:
        registry.promote(name, number, expected=champion.number)
    return verdict.promoted, _reason(verdict, champion.number)


def _verdict(
    registry: Registry, champion: Version, labels: Any, raw: Any, plan: "Plan"
) -> Verdict | str:
    """Return the comparison with the champion, or why there can be none."""
    champion_labels = load(champion.uri, tracking_uri=registry.uri).predict(raw)
    try:
        return compare(
            labels,
            champion_labels,
            plan.dataset.test,
            fingerprint=plan.dataset.fingerprint,
            objective=_measure(plan),
        )
    except PromotionRefusedError as refusal:  # the search itself has succeeded
        return str(refusal)


def _measure(plan: "Plan") -> str:
    """Return the name of the score of partitions on the test split, whatever the objective is."""
    return "modularity" if plan.study.objective == "modularity" else "separation"


def _interval_tags(score_interval: tuple[float, float] | None) -> dict[str, float]:
    if score_interval is None:
        return {}
    return {"interval_low": score_interval[0], "interval_high": score_interval[1]}


def _card_data(
    challenger: Challenger,
    plan: "Plan",
    score_interval: tuple[float, float] | None,
    audit: Mapping[str, Any] | None,
) -> ModelCardData:
    dataset = plan.dataset
    return ModelCardData(
        name=str(plan.study.register),
        search=challenger.search,
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        train_points=len(dataset.train),
        test_points=len(dataset.test),
        source=catalog.method(challenger.finalist.method).source,
        objective=_measure(plan),
        score=challenger.score,
        interval=score_interval,
        selection=challenger.selection,
        description=dataset.description,
        guards=challenger.finalist.guards,
        audit={k: v for k, v in (audit or {}).items() if isinstance(v, float)},
    )


def _reason(verdict: Verdict, champion: int) -> str:
    result = "better" if verdict.promoted else "not clearly better"
    return (
        f"{result} than champion version {champion}: ahead in {verdict.wins:.0%} of the draws, "
        f"by {verdict.mean_difference:+.4f} on average (required: 95 % and +0.005)"
    )
