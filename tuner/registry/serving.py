"""The registered model as MLflow serves it; MLflow runs this file, nothing imports it.

The code that builds the model lies beside it, under the package name that the artifact states.
"""

from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException as BadRequest
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE as _INVALID
from mlflow.pyfunc.model import PythonModel, PythonModelContext

OUTPUTS = ("predict", "predict_proba", "embed")


class ServedModel(PythonModel):
    """Answers with a table: clusters and probabilities, probabilities alone, or codes."""

    def load_context(self, context: PythonModelContext) -> None:
        """Build the model from safetensors and JSON, verified."""
        package = context.model_config["package"]
        self._model = import_module(f"{package}.training.saved_model").Model.load(
            context.artifacts["model"]
        )
        self._refusal = import_module(f"{package}.errors").TunerError

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,  # or an array: MLflow hands on what it gets
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Return one row per point.

        The parameter `output` says which columns: `predict` (cluster, probability_0, …),
        `predict_proba` (probability_0, …) or `embed` (code_0, …).
        """
        del context
        output = "predict" if params is None else params.get("output", "predict")
        if output not in OUTPUTS:
            allowed = ", ".join(OUTPUTS)
            raise BadRequest(f"output={output!r} is unknown: give one of {allowed}", _INVALID)
        try:
            return self._table(np.asarray(model_input), output)
        except self._refusal as error:
            raise BadRequest(str(error), _INVALID) from None

    def _table(self, raw: Any, output: str) -> pd.DataFrame:
        if output == "embed":
            return _columns("code", self._model.embed(raw))
        table = _columns("probability", self._model.predict_proba(raw))
        if output == "predict":
            table.insert(0, "cluster", table.to_numpy().argmax(axis=1))
        return table


def _columns(name: str, values: Any) -> pd.DataFrame:
    return pd.DataFrame(values, columns=[f"{name}_{i}" for i in range(values.shape[1])])


set_model(ServedModel())
