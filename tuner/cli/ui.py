"""The command that opens the MLflow UI, or optuna-dashboard."""

import os
import socket
import sys
from contextlib import suppress
from typing import Annotated, Literal

from typer import Option

from . import values
from .options import Storage, Tracking
from .output import log, show

Dashboard = Annotated[
    Literal["mlflow", "optuna"],
    Option(
        "--dashboard",
        help="What to open: MLflow with runs, curves, pictures and models, or optuna-dashboard "
        "with the trials in the ledger.",
    ),
]
Port = Annotated[
    int | None,
    Option(
        "--port",
        "-p",
        metavar="PORT",
        min=1,
        max=65535,
        help="Port to listen on.",
        show_default="5000, optuna 8080",
    ),
]


def ui(
    dashboard: Dashboard = "mlflow",
    tracking: Tracking = None,
    storage: Storage = None,
    port: Port = None,
) -> None:
    """Start the MLflow UI or optuna-dashboard on this machine.

    Where MLflow is a tracking server, its URL is printed.
    """
    if dashboard == "optuna":
        _optuna(values.storage_url(storage), port or 8080)
    else:
        _mlflow(values.tracking_uri(tracking), port or 5000)


def _optuna(url: str, port: int) -> None:
    from ..ledger.dashboard import application, serve

    _check_file(url, "--storage")
    with application(url) as shown:
        _announce(port)
        serve(shown, port)


def _mlflow(uri: str, port: int) -> None:
    from ..redaction import redact

    if uri.startswith(("http://", "https://")):
        show(redact(uri))
        return
    _check_file(uri, "--tracking-uri")
    _announce(port, _runs_of_newest_search(uri))
    log('choose "Model training" at the top left once, and MLflow stays with searches')
    # the URL may hold a password, and other users can see a command line
    os.environ["MLFLOW_BACKEND_STORE_URI"] = uri
    os.environ.setdefault("MLFLOW_REGISTRY_STORE_URI", uri)  # its own default, but without a word
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # of the packages of its processes
    server = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    quiet = ["--uvicorn-opts", "--log-level=warning"]
    os.execv(sys.executable, [*server, "--host", "127.0.0.1", "--port", str(port), *quiet])


def _check_file(url: str, flag: str) -> None:
    from ..errors import UsageError
    from ..sqlite import database_file

    path = database_file(url)
    if path is not None and not path.is_file():
        raise UsageError(f"there is no file {path}: run a search first, or set {flag}")


def _runs_of_newest_search(uri: str) -> str:
    """Return the part of MLflow's address that opens the runs of the newest search, "" if none.

    Without it MLflow opens its pages for prompts and traces, whatever the experiment's kind.
    """
    from ..tracking.newest import quick_newest_experiment

    experiment = None
    with suppress(Exception):  # what is wrong with the database, MLflow itself will say
        experiment = quick_newest_experiment(uri)
    if experiment is None:
        return ""
    return f"/#/experiments/{experiment}/runs?workflowType=machine_learning"


def _announce(port: int, path: str = "") -> None:
    from ..errors import UsageError

    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise UsageError(f"--port {port} is in use: choose another")
    log(f"http://127.0.0.1:{port}{path}\npress Ctrl-C to stop")
