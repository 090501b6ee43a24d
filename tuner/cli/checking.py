"""The command that checks what must hold of a search."""

from typing import Annotated

from typer import Argument, Exit

from . import values
from .options import Artifacts, Json, Storage, Tracking
from .output import say, show, show_json, show_table

Search = Annotated[
    str | None,
    Argument(metavar="[NAME]", help="Name of a search.", show_default="all of them"),
]


def doctor(
    name: Search = None,
    storage: Storage = None,
    artifacts: Artifacts = None,
    tracking: Tracking = None,
    json: Json = False,
) -> None:
    """Check that all records of a search agree, or of all; exits 0 where they do."""
    from ..ledger.storage import search_names
    from ..orchestration.doctor import examine

    locations = values.locations(storage, tracking, artifacts)
    searches = search_names(locations.storage) if name is None else [name]
    found = {search: examine(search, locations) for search in searches}
    sound = {search: all(one.ok for one in findings) for search, findings in found.items()}
    if json:
        told = [
            {"search": one, "ok": sound[one], "findings": [f.to_mapping() for f in findings]}
            for one, findings in found.items()
        ]
        show_json(told if name is None else told[0])
    else:
        for search, findings in found.items():
            if name is None:
                show(search)
            rows = [["ok" if one.ok else "NOT", one.invariant, one.wrong] for one in findings]
            show_table(["", "invariant", "what is wrong"], rows)
    if not found:
        say("there is no search yet: begin with `tuner search`")
    raise Exit(0 if all(sound.values()) else 1)
