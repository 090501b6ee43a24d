"""What all tests need before anything is imported, and the options of fault injection."""

import os

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ.setdefault("MPLBACKEND", "agg")

from tests.tuner.faults.table import (
    fault_seed,
    pytest_addoption,
    pytest_runtest_makereport,
    pytest_terminal_summary,
    rng,
    soak_seconds,
)

__all__ = [
    "fault_seed",
    "pytest_addoption",
    "pytest_runtest_makereport",
    "pytest_terminal_summary",
    "rng",
    "soak_seconds",
]
