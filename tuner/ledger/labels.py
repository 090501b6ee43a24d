"""What Optuna's own tools show of a search beside its parameters: labels of trials, and a note.

Nothing here is read again: the record, the parameters and the outcome hold the same.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..methods.config import Scalar

K = "n_components"
NOTE_VERSION, NOTE = "dashboard:note_ver", "dashboard:note_str:0"
"""Study attributes by which optuna-dashboard keeps a note in Markdown."""

_OWN_VERSION = 1


def trial_labels(method: str, settings: Mapping[str, "Scalar"]) -> dict[str, "Scalar"]:
    """Return the labels of a new trial, which are the same for all methods."""
    return {"method": method, **({"K": settings[K]} if K in settings else {})}


def note_attributes(text: str, stored: Mapping[str, Any], *, replace: bool) -> dict[str, Any]:
    """Return the attributes that make a text the note, none where the stored note is to stay.

    It stays where somebody has edited it, by which the dashboard raises its version, and without
    `replace`.
    """
    version = int(stored.get(NOTE_VERSION, 0))
    if version > _OWN_VERSION or (version and not replace):
        return {}
    # the text first: without a version, it is not shown
    return {NOTE: text, NOTE_VERSION: _OWN_VERSION}
