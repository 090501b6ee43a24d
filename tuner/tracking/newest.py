"""The experiment of the newest search, without MLflow, whose import takes seconds."""

from ..quick_query import quick_rows

_NEWEST = (
    "SELECT runs.experiment_id FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid "
    "WHERE tags.key = 'tuner.role' AND tags.value = 'search' AND runs.lifecycle_stage = 'active' "
    "ORDER BY runs.start_time DESC LIMIT 1"
)


def quick_newest_experiment(uri: str) -> str | None:
    """Return the id of the experiment with the newest search in MLflow's database, if any.

    Raises whatever is wrong.
    """
    (rows,) = quick_rows(uri, _NEWEST)
    return str(rows[0][0]) if rows else None
