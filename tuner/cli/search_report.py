"""The command that writes the report of a search."""

import os
from pathlib import Path
from typing import Annotated

from typer import Option

from ..errors import UsageError
from . import values
from .options import Artifacts, OneSearch, Storage
from .output import show

Page = Annotated[
    Path | None,
    Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Output file; an existing one is replaced.",
        show_default="NAME.html",
    ),
]


def report(
    name: OneSearch, out: Page = None, storage: Storage = None, artifacts: Artifacts = None
) -> None:
    """Write the report of a search, one HTML file that needs nothing else."""
    from ..orchestration.search_report import write_report

    locations = values.locations(storage, None, artifacts, used=("storage",))
    path = Path(f"{name}.html") if out is None else out
    if os.path.isdir(path):  # unlike the method of Path, it takes names that are too long
        raise UsageError(f"--out {str(path)!r} is a folder: choose a file in it")
    write_report(name, path, locations)
    show(str(path))
