"""Run by the tests in an environment that has no `tuner`: load a registered model and use it.

Arguments: the folder of the model, a file of raw points, a file for the answers.
"""

import importlib.util
import sys
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd

folder, points, answers = sys.argv[1:]
assert "not this one" in Path(importlib.util.find_spec("models").origin).read_text()
raw = np.load(points)
model = mlflow.pyfunc.load_model(folder)
table = model.predict(raw)
flat = raw.reshape(len(raw), -1)
for form in (raw.astype(np.float32), flat, pd.DataFrame(flat)):
    assert (model.predict(form)["cluster"] == table["cluster"]).all()
codes = model.predict(raw, params={"output": "embed"})
assert list(codes.columns[:1]) == ["code_0"]
assert not [name for name in sys.modules if name == "tuner" or name.startswith("tuner.")]
np.save(answers, table.to_numpy())
print("fresh", mlflow.__version__)
