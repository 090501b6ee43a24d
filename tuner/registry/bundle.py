"""The files of a registered model: written, uploaded, read back."""

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModelOutput
from mlflow.models import Model as Bundle
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from numpy.typing import ArrayLike

from ..environment import environment, quiet_logger
from ..errors import ServiceError, TunerError
from ..sqlite import database_file
from ..tracking.availability import tracking_error
from ..tracking.records import as_text, digest
from ..training.saved_model import Model
from .code_bundle import copy_source, pip_requirements

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow warns of its own type hints
    from mlflow.pyfunc import save_model

_SERVING = Path(__file__).with_name("serving.py")


def store(
    client: MlflowClient,
    uri: str,
    model: Model,
    work: Path,
    name: str,
    run_id: str,
    example: ArrayLike,
) -> tuple[str, str]:
    """Upload a model that is saved in `work`/model; return the id and what a version's source is.

    It is read back before it is called ready.
    """
    logged = client.create_logged_model(
        client.get_run(run_id).info.experiment_id,
        name=name,
        source_run_id=run_id,
        params=as_text({**model.config.to_mapping(), "method": model.method}),
        model_type="clusterer",
    )
    location = str(logged.artifact_location)
    write(model, Bundle(location, run_id, model_id=logged.model_id), work, example)
    try:
        client.log_model_artifacts(logged.model_id, str(work / "bundle"))
        if digest(fetch(location, work / "fetched", uri=uri)) != digest(work / "bundle"):
            raise ServiceError(f"{location} does not hold what was stored: register it again")
    except Exception as error:  # stores for files raise errors of many kinds
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise error if isinstance(error, TunerError) else tracking_error(uri, error) from error
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
    # without a server, MLflow would look a model id up in whatever database is the default
    source = f"models:/{logged.model_id}" if database_file(uri) is None else location
    return str(logged.model_id), source


def write(model: Model, bundle: Bundle, work: Path, example: ArrayLike) -> None:
    """Write an MLflow model to `work`/bundle: safetensors, JSON, and the source that it needs."""
    package = copy_source(model.method, work / "code")
    carried = work / "code" / package
    serving = shutil.copy(_SERVING, work)  # MLflow writes down where it was
    # otherwise MLflow adds a lock file that it finds in the current folder
    with _silence(), environment(MLFLOW_UV_AUTO_DETECT="false"):
        save_model(
            str(work / "bundle"),
            mlflow_model=bundle,
            python_model=str(serving),
            artifacts={"model": str(work / "model")},
            code_paths=[str(carried)] if carried.is_dir() else None,
            model_config={"package": package},
            signature=signature(model.n_components),
            input_example=example,
            pip_requirements=pip_requirements(model.method),
        )


def signature(n_components: int) -> ModelSignature:
    """Return the columns that a served model answers with, and its parameter.

    It declares no input: MLflow takes a declared type by the letter and would refuse float64
    where float32 stands, integers, or points that keep their shape. The model checks them.
    """
    probabilities = [ColSpec(DataType.float, f"probability_{k}") for k in range(n_components)]
    return ModelSignature(
        outputs=Schema([ColSpec(DataType.long, "cluster"), *probabilities]),
        params=ParamSchema([ParamSpec("output", DataType.string, "predict")]),
    )


def fetch(location: str, into: Path, *, uri: str) -> Path:
    """Download the files at a location of the tracking server or database at `uri`."""
    with _silence():
        return Path(download_artifacts(location, dst_path=str(into), tracking_uri=uri))


@contextmanager
def _silence() -> Iterator[None]:
    with quiet_logger("mlflow.pyfunc"), environment(MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false"):
        yield
