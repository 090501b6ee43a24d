"""Ray tasks beside the trials: how they are started, what they return, and Ray's own messages."""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError, WorkerCrashedError

from ..errors import ServiceError, TunerError
from ..training.finalist import Finalist, failed_finalist
from ..training.trial_inputs import TrialSpec

MAX_RETRIES = 2


def finished(reference: Any, spec: TrialSpec, rank: int) -> Finalist:
    """Return a finalist, as failed if its workers died. Raises what its training raised."""
    try:
        finalist: Finalist = ray.get(reference)
    except RayTaskError as error:  # its text is Ray's own traceback
        raise error.cause if isinstance(error.cause, TunerError) else error from None
    except (WorkerCrashedError, OutOfMemoryError) as error:
        kind = "oom" if isinstance(error, OutOfMemoryError) else "worker_lost"
        return failed_finalist(spec, rank, f"{kind}: {str(error).strip().splitlines()[0]}")
    except RayError as error:
        raise ServiceError(
            f"the Ray cluster lost a finalist ({type(error).__name__}): check `ray status`, then "
            "resume the search"
        ) from None
    return finalist


def beside_trials(function: Callable[..., Any]) -> Any:
    """Return a remote function that runs for some seconds, without a core of its own."""
    return ray.remote(function).options(num_cpus=0, max_retries=MAX_RETRIES)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress the warnings and log messages of Ray and Tune."""
    names = ("ray", "ray.tune", "ray.train", "ray.data")
    levels = {name: logging.getLogger(name).level for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
