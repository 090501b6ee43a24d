"""What all tests need before anything is imported."""

import os

import pytest

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ.setdefault("MPLBACKEND", "agg")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fault-seed", type=int, default=0, help="which schedule of faults is injected"
    )


@pytest.fixture(scope="session")
def fault_seed(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--fault-seed"))
