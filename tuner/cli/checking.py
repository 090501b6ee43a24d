"""The command that checks what must hold of a search."""

from typing import Annotated

from typer import Argument, Exit

from . import values
from .options import Artifacts, Json, Storage, Tracking
from .output import show_json, show_table

Search = Annotated[str, Argument(metavar="NAME", help="Name of a search.", show_default=False)]


def doctor(
    name: Search,
    storage: Storage = None,
    artifacts: Artifacts = None,
    tracking: Tracking = None,
    json: Json = False,
) -> None:
    """Check that all records of a search agree; exits 0 where they do."""
    from ..doctor import examine

    findings = examine(name, values.place(storage, tracking, artifacts))
    sound = all(finding.ok for finding in findings)
    if json:
        show_json(
            {"search": name, "ok": sound, "findings": [one.to_mapping() for one in findings]}
        )
    else:
        show_table(
            ["", "invariant", "what is wrong"],
            [["ok" if one.ok else "NOT", one.invariant, one.wrong] for one in findings],
        )
    raise Exit(0 if sound else 1)
