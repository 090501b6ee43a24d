"""The command that checks the records of a search."""

from typer import Exit

from . import values
from .options import AnySearch, Artifacts, Json, Storage, Tracking
from .output import log, show, show_json, show_table


def doctor(
    name: AnySearch = None,
    storage: Storage = None,
    artifacts: Artifacts = None,
    tracking: Tracking = None,
    json: Json = False,
) -> None:
    """Check that the records of searches are complete and consistent.

    Exits with status 1 if a check fails.
    """
    from ..ledger.storage import search_names
    from ..orchestration.doctor import examine

    locations = values.locations(storage, tracking, artifacts)
    searches = search_names(locations.storage) if name is None else [name]
    findings = {search: examine(search, locations) for search in searches}
    passed = {search: all(one.ok for one in checks) for search, checks in findings.items()}
    if json:
        documents = [
            {"search": search, "ok": passed[search], "findings": [f.to_mapping() for f in checks]}
            for search, checks in findings.items()
        ]
        show_json(documents if name is None else documents[0])
    else:
        for search, checks in findings.items():
            if name is None:
                show(search)
            rows = [["ok" if one.ok else "FAILED", one.invariant, one.wrong] for one in checks]
            show_table(["", "check", "problem"], rows)
    if not findings:
        log("no searches yet: start one with `tuner search`")
    raise Exit(0 if all(passed.values()) else 1)
