"""The MLflow pyfunc of a registered model; MLflow runs this file, and no module imports it.

The code that loads the model is stored in the same artifact. The model config of the artifact
holds its package name.
"""

from importlib import import_module
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException as BadRequest
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE as _INVALID
from mlflow.pyfunc.model import PythonModel, PythonModelContext

OUTPUTS = ("predict", "predict_proba", "embed")


class ServedModel(PythonModel):
    """Returns a table of clusters with probabilities, of probabilities only, or of codes."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model from safetensors and JSON, and verify its checksums."""
        package = context.model_config["package"]
        self._model = import_module(f"{package}.training.saved_model").Model.load(
            context.artifacts["model"]
        )
        self._model_error = import_module(f"{package}.errors").TunerError

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,  # or an array: MLflow passes its input on
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Return one row per point.

        The parameter `output` selects the columns: `predict` (cluster, probability_0, …),
        `predict_proba` (probability_0, …) or `embed` (code_0, …).
        """
        del context
        output = "predict" if params is None else params.get("output", "predict")
        if output not in OUTPUTS:
            allowed = ", ".join(OUTPUTS)
            raise BadRequest(f"output={output!r} is unknown: give one of {allowed}", _INVALID)
        try:
            return self._table(model_input, output)
        except self._model_error as error:
            raise BadRequest(str(error), _INVALID) from None

    def _table(self, raw: Any, output: str) -> pd.DataFrame:
        if output == "embed":
            return _numbered_columns("code", self._model.embed(raw))
        table = _numbered_columns("probability", self._model.predict_proba(raw))
        if output == "predict":
            table.insert(0, "cluster", table.to_numpy().argmax(axis=1))
        return table


def _numbered_columns(name: str, values: Any) -> pd.DataFrame:
    return pd.DataFrame(values, columns=[f"{name}_{i}" for i in range(values.shape[1])])


set_model(ServedModel())
