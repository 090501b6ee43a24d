"""One trial: a configuration is trained from evaluation to evaluation and can be resumed.

Labels serve the audit only, unless the objective needs them.
"""

import gc
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import FilesError
from ..methods import catalog
from ..methods.config import Config
from ..methods.contract import Method, Pretrains, Report
from ..models._kit.recording import RECORDINGS, RecordingError
from ..study.older_settings import added_settings
from . import checkpoint
from .attempt_files import AttemptFiles
from .evaluations import Evaluation, interval
from .evaluator import TrialEvaluator, all_diverged
from .places import Place, place
from .pretraining_cache import SharedPretraining
from .restarts import Candidates, Positions, leading, left_at, survivors
from .trial_inputs import TrialData, TrialSpec

_CHECKPOINT_SECONDS = 30.0
_MIN_BATCH_SIZE = 8
_MAX_HALVINGS = 3
_NO_MEMORY = (MemoryError, torch.OutOfMemoryError)
_UNRECORDED = "the training steps cannot be recorded on this GPU, so training is slower"


@final
class Trial:
    """The training of one configuration, which continues from its checkpoint if it has one.

    `finished` says whether the last evaluation has been made; `note` says what was unusual about
    the start, such as a damaged checkpoint. Every trial is one attempt, with files of its own.
    """

    def __init__(self, spec: TrialSpec, shared: TrialData) -> None:
        self.spec = spec
        self._shared = shared
        self._files: AttemptFiles | None = None
        self._x = _shared_tensor(shared.x, spec.device)
        points = self._x[torch.tensor(shared.graph.index, device=spec.device)]
        self._evaluator = TrialEvaluator(shared, points, spec.objective)
        self._method_type = catalog.method(spec.method)
        self.config = self._method_type.config_type.from_mapping(spec.settings)
        self._interval = interval(self.config.passes)
        self._left = Candidates.of(spec)
        self._kept: Positions | None = None
        self._epoch = self._halvings = 0
        self._unrecorded = ""
        self.finished = False
        self.note = ""
        self._started = self._saved = time.monotonic()
        self._reports: Iterator[Report] | None = None
        self._shared_pretraining: SharedPretraining | None = None

    def advance(self) -> Evaluation:
        """Train until the next evaluation; any fault of the method becomes a failed evaluation.

        Raises FilesError if the files cannot be written, and SupersededError if a newer attempt
        at this trial has begun.
        """
        files = self._attempt_files()
        evaluation = self._attempt()
        while self._can_do_without():
            evaluation = self._attempt()
        self.finished = evaluation.finished
        if self.finished:
            self._shared_pretraining = None
            self._reports = None  # and with it the recorded steps and their memory
        files.append(evaluation)
        if not self.finished and time.monotonic() - self._saved > _CHECKPOINT_SECONDS:
            self.save()  # after the line above: a resumed trial does not repeat evaluations
        return evaluation

    def save(self, *, patience: float | None = None) -> None:
        """Write a checkpoint, unless training has not completed an epoch.

        `patience` is how many seconds to wait for an object store, by default a minute.
        """
        if self._epoch == 0:
            return
        tensors, scalars = checkpoint.split_state(self.method.state())
        document = {"job": _identity(self.spec), "epoch": self._epoch, "scalars": scalars}
        if self.spec.restarts > 1:
            document["left"] = list(self._left.left)
        self._attempt_files().save(self._epoch, tensors, document, patience=patience)
        self._saved = time.monotonic()

    @property
    def folder(self) -> Place:
        """The folder of this attempt."""
        return self._attempt_files().folder

    def _attempt_files(self) -> AttemptFiles:
        if self._files is None:
            self._files = AttemptFiles(place(self.spec.folder), self.spec.attempt)
        return self._files

    def _attempt(self) -> Evaluation:
        """Train until the next evaluation, or return why that failed.

        The exception is gone afterwards, and with its traceback the tensors of the failed step.
        """
        self._fault: type[Exception] | None = None
        try:
            evaluation = self._train(self._start() if self._reports is None else self._reports)
            self._cut()
            return evaluation
        except FilesError:
            raise
        except Exception as error:  # a faulty method must not end the other trials
            self._fault = type(error)
            if isinstance(error, RecordingError):
                self._unrecorded = str(error).partition("\n")[0]
            reason = "oom" if isinstance(error, _NO_MEMORY) else f"{self._fault.__name__}: {error}"
            return self._failed(reason, traceback.format_exc())

    def _start(self) -> Iterator[Report]:
        """Build the method as an earlier attempt has left it, and start training."""
        evaluations = self._restore()
        if self._epoch == 0:
            self._share_pretraining()
        if self._halvings:
            sizes = ", ".join(f"{name}={n}" for name, n in _batch_sizes(self.config).items())
            self.note = f"the GPU ran out of memory, so training uses {sizes}. {self.note}".strip()
        if self._unrecorded:
            self.note = f"{_UNRECORDED} ({self._unrecorded}). {self.note}".strip()
        self._attempt_files().begin(e for e in evaluations if e.epoch <= self._epoch)
        self._reports = self.method.fit(self._x)
        return self._reports

    def _build_method(self) -> Method:
        shape = tuple(self._shared.x.shape[1:])
        return self._method_type(self.config, shape, self._left.seeds, device=self.spec.device)

    def _restore(self) -> list[Evaluation]:
        """Build the method as the newest valid checkpoint of the same configuration has left it.

        Note what is unusual, and return the evaluations of the attempt that wrote it.
        """
        found, self.note, evaluations = self._attempt_files().latest_checkpoint()
        if found is not None and _job(found[1]) != _identity(self.spec):
            self.note, found = (
                "the checkpoint belongs to another configuration and was ignored",
                None,
            )
        self._left, self._kept = Candidates.of(self.spec), None
        if found is None:
            self.method = self._build_method()
            return []
        tensors, document = found
        on_device = {name: tensor.to(self.spec.device) for name, tensor in tensors.items()}
        try:
            self._left = replace(self._left, left=tuple(document.get("left", self._left.left)))
            self.method = self._build_method()
            self.method.restore({**on_device, **document["scalars"]})
        except Exception as error:  # another version of the method wrote it
            self._left = Candidates.of(self.spec)
            self.method = self._build_method()  # the failed one may be half restored
            failed = f"the checkpoint does not fit ({error}), so training restarted"
            self.note = f"{self.note} {failed}".strip()
            return []
        self._epoch = int(document["epoch"])
        return evaluations

    def _share_pretraining(self) -> None:
        """Load the pretrained network from the cache, or reserve it there to train it."""
        method, spec = self.method, self.spec
        if spec.pretraining_cache and isinstance(method, Pretrains):
            self._shared_pretraining = SharedPretraining(
                method.pretraining,
                place(spec.pretraining_cache),
                settings=self.config.pretraining,
                seeds=spec.seeds,
                shape=tuple(self._shared.x.shape[1:]),
                fingerprint=self._shared.fingerprint,
                device=spec.device,
            )
            self._shared_pretraining.load_or_reserve()

    def _train(self, reports: Iterator[Report]) -> Evaluation:
        """Train until an evaluation is due and return it."""
        report = None
        for report in reports:
            self._epoch = report.epoch
            if self._shared_pretraining is not None:
                self._shared_pretraining.store_when_ready()
            finished = all_diverged(report) or report.epoch >= self.config.passes
            if finished or report.epoch % self._interval == 0:
                return self._evaluate(report, finished=finished)
        if report is None:  # resumed after the last epoch
            report = Report(stage="end", epoch=max(self._epoch, 1), metrics={})
        return self._evaluate(report, finished=True)

    def _evaluate(self, report: Report, *, finished: bool) -> Evaluation:
        """Return an evaluation, and note which candidates are left after it."""
        left, passes = self._left, self.config.passes
        evaluation, found = self._evaluator.evaluate(
            self.method, report, passes=passes, finished=finished, left=left
        )
        count = left.count
        if finished or report.clusters:
            count = 1 if finished else left_at(self.spec.restarts, report.epoch, passes)
        self._kept = survivors(found, left.replicas, count) if count < left.count else None
        if self.spec.restarts > 1:
            seeds = left.at(leading(found, left.replicas)).seeds
            evaluation = replace(evaluation, candidates=count, seeds=seeds)
        return replace(evaluation, detail=self.note, seconds=time.monotonic() - self._started)

    def _cut(self) -> None:
        """Go on with the candidates that the last evaluation has left."""
        if self._kept is None:
            return
        self._reports = self._shared_pretraining = None  # and with them the memory of the others
        self.method = self.method.select(self._kept.tolist())
        self._left, self._kept = self._left.at(self._kept), None
        self._reports = self.method.fit(self._x)

    def _failed(self, reason: str, detail: str) -> Evaluation:
        return Evaluation(
            epoch=min(self._epoch + 1, self.config.passes),  # this epoch may have been evaluated
            passes=self.config.passes,
            stage="failed",
            value=None,
            finished=True,
            failure=reason,
            detail=detail,
            seconds=time.monotonic() - self._started,
        )

    def _can_do_without(self) -> bool:
        """Prepare to train without what the GPU lacked; return whether there is such a way."""
        if self._fault is torch.OutOfMemoryError:
            return self._halve_batches()
        if self._fault is RecordingError and RECORDINGS:
            RECORDINGS.clear()  # for this process
            self._restart()
            return True
        return False

    def _halve_batches(self) -> bool:
        """Restart from the last checkpoint with half the batch size; return whether that helps."""
        sizes = _batch_sizes(self.config)
        too_small = min(sizes.values(), default=0) < 2 * _MIN_BATCH_SIZE
        if too_small or self._halvings == _MAX_HALVINGS:
            return False
        self._halvings += 1
        self.config = replace(self.config, **{name: size // 2 for name, size in sizes.items()})
        self._restart()
        return True

    def _restart(self) -> None:
        """Begin again at the last checkpoint, with the memory of this attempt released."""
        self._epoch, self._reports = 0, None
        self._shared_pretraining = None  # release its lock, which other trials may wait for
        vars(self).pop("method", None)
        gc.collect()
        torch.cuda.empty_cache()


def _batch_sizes(config: Config) -> dict[str, Any]:
    settings = config.to_mapping().items()
    return {name: value for name, value in settings if name.endswith("batch_size")}


def _shared_tensor(x: NDArray[np.float32], device: str) -> Tensor:
    """Return points on a device; on the CPU they share memory with x, which methods never change.

    All trials of a machine then train on one copy.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(x).to(device)


def _job(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the identity in a checkpoint, with the settings that methods have had since."""
    job: dict[str, Any] = document["job"]
    return {**job, "settings": _whole(job["method"], job["settings"])}


def _whole(method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {**added_settings(method), **settings}


def _identity(spec: TrialSpec) -> dict[str, Any]:
    """Return what a trial and a checkpoint must have in common for it to be restored."""
    trained = {
        "method": spec.method,
        "settings": _whole(spec.method, spec.settings),
        "seeds": list(spec.seeds),
    }
    return trained if spec.restarts == 1 else {**trained, "restarts": spec.restarts}
