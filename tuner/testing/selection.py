"""The check that training continues with some of its replicas."""

from torch import Tensor

from ..methods.contract import Method
from .subject import SEEDS, TOLERANCE, Subject, distance

SELECTED = (2, 0)


def selected_replicas_continue(subject: Subject) -> None:
    """Replicas selected at any report continue as they would have among the others."""
    x, config = subject.x[:60], subject.config.capped(5)
    whole = subject.fresh(config=config)
    reports, log_proba = list(whole.fit(x)), whole.predict_log_proba(x)
    for stop, reached in enumerate(reports, start=1):
        where = f"Selected after epoch {reached.epoch} ({reached.stage}), replicas"
        chosen = _selected_after(stop, subject.fresh(config=config), x)
        rest = list(chosen.fit(x))
        epochs, expected = [r.epoch for r in rest], [r.epoch for r in reports[stop:]]
        assert epochs == expected, f"{where} report epochs {epochs} instead of {expected}."
        for one, two in zip(rest, reports[stop:], strict=True):
            for name, value in two.metrics.items():
                gap = distance(one.metrics[name], value[list(SELECTED)])
                assert gap < TOLERANCE, f"{where} differ in {name} at {two.epoch}, by {gap:.1e}."
        gap = distance(chosen.predict_log_proba(x), log_proba[list(SELECTED)])
        assert gap < 10 * TOLERANCE, f"{where} end with other predictions, by {gap:.1e}."


def _selected_after(stop: int, method: Method, x: Tensor) -> Method:
    """Return the selected replicas of a method after so many reports, and check the method."""
    for _ in zip(range(stop), method.fit(x), strict=False):
        chosen = method.select(SELECTED)
    count = len(method.clusterers())
    assert count == len(SEEDS), f"select leaves {count} of {len(SEEDS)} replicas in the method."
    return chosen
