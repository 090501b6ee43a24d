"""The command that opens the MLflow UI."""

import os
import socket
import sys
from typing import Annotated

from typer import Option

from . import values
from .options import Tracking
from .output import log, show

Port = Annotated[
    int, Option("--port", "-p", metavar="PORT", min=1, max=65535, help="Port to listen on.")
]


def ui(tracking: Tracking = None, port: Port = 5000) -> None:
    """Start the MLflow UI on this machine, or print the URL of a tracking server."""
    from ..errors import UsageError
    from ..redaction import redact
    from ..sqlite import database_file

    uri = values.tracking_uri(tracking)
    if uri.startswith(("http://", "https://")):
        show(redact(uri))
        return
    path = database_file(uri)
    if path is not None and not path.is_file():
        raise UsageError(f"there is no file {path}: run a search first, or set --tracking-uri")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise UsageError(f"--port {port} is in use: choose another")
    log(f"http://127.0.0.1:{port} (press Ctrl-C to stop)")
    # the URL may hold a password, and other users can see a command line
    os.environ["MLFLOW_BACKEND_STORE_URI"] = uri
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    server = [sys.executable, "-W", "ignore", "-m", "mlflow", "server", "--workers", "1"]
    quiet = ["--uvicorn-opts", "--log-level=warning"]
    os.execv(sys.executable, [*server, "--host", "127.0.0.1", "--port", str(port), *quiet])
