"""The MLflow model of a registered version: write its files, upload and verify them."""

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModelOutput
from mlflow.models import Model as MlflowModel
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import AnyType

from ..environment import environment, quiet_logger
from ..errors import ServiceError, TunerError
from ..tracking.availability import tracking_error
from ..tracking.run_data import as_text, folder_digest
from ..training.saved_model import Model
from .code_bundle import copy_source, pip_requirements

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow triggers warnings about its own type hints
    from mlflow.pyfunc import save_model

_ANY = AnyType()  # type: ignore[no-untyped-call]
_SERVING_SCRIPT = Path(__file__).with_name("serving.py")


def upload(
    client: MlflowClient,
    uri: str,
    model: Model,
    work: Path,
    name: str,
    run_id: str,
    example: Any,
) -> tuple[str, str]:
    """Upload the model saved in `work`/model to a run; return its id and the source of a version.

    The model becomes READY only after a download equals what was uploaded.
    """
    logged = client.create_logged_model(
        client.get_run(run_id).info.experiment_id,
        name=name,
        source_run_id=run_id,
        params=as_text({**model.config.to_mapping(), "method": model.method}),
        model_type="clusterer",
    )
    location = str(logged.artifact_location)
    write(model, MlflowModel(location, run_id, model_id=logged.model_id), work, example)
    try:
        client.log_model_artifacts(logged.model_id, str(work / "bundle"))
        downloaded = fetch(location, work / "fetched", uri=uri)
        if folder_digest(downloaded) != folder_digest(work / "bundle"):
            raise ServiceError(
                f"the files at {location} differ from those uploaded: register the model again"
            )
    except Exception as error:  # artifact stores raise errors of many types
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise error if isinstance(error, TunerError) else tracking_error(uri, error) from error
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
    # not models:/ID, which MLflow would look up in its default database where there is no server
    return str(logged.model_id), location


def write(model: Model, mlflow_model: MlflowModel, work: Path, example: Any) -> None:
    """Write an MLflow model to `work`/bundle: safetensors, JSON and the source code it needs."""
    package = copy_source(model.method, work / "code")
    copied = work / "code" / package
    # MLflow records the path of the script: a copy keeps the installation folder out of it
    serving = shutil.copy(_SERVING_SCRIPT, work)
    # otherwise MLflow adds any uv.lock in the current folder
    with _quiet_mlflow(), environment(MLFLOW_UV_AUTO_DETECT="false"):
        save_model(
            str(work / "bundle"),
            mlflow_model=mlflow_model,
            python_model=str(serving),
            artifacts={"model": str(work / "model")},
            code_paths=[str(copied)] if copied.is_dir() else None,
            model_config={"package": package},
            signature=signature(model),
            input_example=example,
            pip_requirements=pip_requirements(model.method),
        )


def signature(model: Model) -> ModelSignature:
    """Return the columns that a served model takes and returns, and its parameter `output`.

    Columns are of any type, and points without names have no input schema, because MLflow enforces
    types strictly: it would reject float64 for float32, integers, and points that keep their
    shape. The model checks its input itself.
    """
    probabilities = [
        ColSpec(DataType.float, f"probability_{k}") for k in range(model.n_components)
    ]
    names = model.preprocessor.encoder.names
    return ModelSignature(
        inputs=Schema([ColSpec(_ANY, name) for name in names]) if names else None,
        outputs=Schema([ColSpec(DataType.long, "cluster"), *probabilities]),
        params=ParamSchema([ParamSpec("output", DataType.string, "predict")]),
    )


def fetch(location: str, into: Path, *, uri: str) -> Path:
    """Download the files at `location` into a folder; `uri` is the tracking URI."""
    with _quiet_mlflow():
        return Path(download_artifacts(location, dst_path=str(into), tracking_uri=uri))


@contextmanager
def _quiet_mlflow() -> Iterator[None]:
    with quiet_logger("mlflow.pyfunc"), environment(MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false"):
        yield
