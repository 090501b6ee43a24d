"""The command that opens MLflow's own user interface."""

import os
import socket
import sys
from typing import Annotated

from typer import Option

from . import values
from .options import Tracking
from .output import say, show

Port = Annotated[
    int, Option("--port", "-p", metavar="PORT", min=1, max=65535, help="Port on this machine.")
]


def ui(tracking: Tracking = None, port: Port = 5000) -> None:
    """Open MLflow's own user interface, for this machine alone."""
    from ..errors import UsageError
    from ..redaction import redact
    from ..sqlite import database_file

    uri = values.locations(None, tracking, None).tracking_uri
    if uri.startswith(("http://", "https://")):
        show(redact(uri))
        return
    path = database_file(uri)
    if path is not None and not path.is_file():
        raise UsageError(f"there is no {path}: run a search first, or name it with --tracking-uri")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise UsageError(f"--port {port} is in use: choose another")
    say(f"http://127.0.0.1:{port} (Ctrl-C ends it)")
    # not on the command line, where others see it: the URL may hold a password
    os.environ["MLFLOW_BACKEND_STORE_URI"] = uri
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    server = [sys.executable, "-W", "ignore", "-m", "mlflow", "server", "--workers", "1"]
    quiet = ["--uvicorn-opts", "--log-level=warning"]
    os.execv(sys.executable, [*server, "--host", "127.0.0.1", "--port", str(port), *quiet])
