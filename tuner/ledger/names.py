"""The names of searches without Optuna, whose import takes longer than a key press may."""

from ..quick_query import quick_rows
from .storage import RECORD

_QUERY = (
    "SELECT study_name FROM studies JOIN study_user_attributes USING (study_id) "
    f"WHERE key = '{RECORD}' ORDER BY study_id DESC"
)


def quick_names(url: str) -> list[str]:
    """Return the names of all searches in a ledger, newest first.

    Raises whatever is wrong with it. `tuner.ledger.storage.search_names` has sentences for that.
    """
    (rows,) = quick_rows(url, _QUERY)
    return [str(name) for (name,) in rows]
