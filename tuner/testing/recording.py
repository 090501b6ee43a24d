"""The check that a method trains alike with recorded steps and with called ones."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from ..methods.config import Config
from ..models._kit.recording import RECORDINGS, CudaGraph, Recording, RecordingError
from .subject import TOLERANCE, Subject, distance
from .tape import Tape


def recorded_steps_equal_called_ones(subject: Subject) -> None:
    """Training with recorded steps reports and predicts the same as with called steps."""
    try:
        gaps = recording_gaps(subject, subject.x, subject.short)
    except RecordingError as error:
        raise AssertionError(f"Steps cannot be recorded: {error}.") from error
    exact = subject.device == "cpu"  # on a GPU, recorded kernels may add up in another order
    for name, gap in gaps.items():
        assert gap <= (0.0 if exact else 10 * TOLERANCE), (
            f"With recorded steps, {name} differs by {gap:.1e}: a step reads or does something "
            "besides its arguments that changes between steps."
        )


def recording_gaps(subject: Subject, x: Tensor, config: Config) -> dict[str, float]:
    """Return by how much metrics and predictions for x differ with recorded steps, by name."""
    device, shape = subject.device.split(":")[0], tuple(x.shape[1:])
    with steps_recorded_by(None, device):
        called = subject.fresh(config=config, shape=shape)
        expected = list(called.fit(x))
    with steps_recorded_by(CudaGraph if device == "cuda" else Tape, device):
        recorded = subject.fresh(config=config, shape=shape)
        reports = list(recorded.fit(x))
    gaps = {"the prediction": distance(called.predict_log_proba(x), recorded.predict_log_proba(x))}
    for one, other in zip(expected, reports, strict=True):
        for name, value in one.metrics.items():
            gap = distance(value, other.metrics[name])
            gaps[name] = max(gap, gaps.get(name, 0.0))
    return gaps


@contextmanager
def steps_recorded_by(kind: type[Recording] | None, device_type: str) -> Iterator[None]:
    """Record steps on a type of device in this way within the context, or call them if None."""
    before = dict(RECORDINGS)
    RECORDINGS.pop(device_type, None)
    if kind is not None:
        RECORDINGS[device_type] = kind
    try:
        yield
    finally:
        RECORDINGS.clear()
        RECORDINGS.update(before)
