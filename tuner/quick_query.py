"""A few rows of a database at once or not at all, for what must not wait or import much."""

import sqlite3
from contextlib import closing
from typing import Any

from .sqlite import database_file

_SECONDS = 1


def quick_rows(url: str, *queries: str) -> list[list[tuple[Any, ...]]]:
    """Return the rows of some queries that a database of any kind understands.

    A file is neither created nor changed. Raises whatever a driver raises.
    """
    path = database_file(url)
    if path is not None:
        with closing(
            sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_SECONDS)
        ) as db:
            return [db.execute(query).fetchall() for query in queries]
    import sqlalchemy

    engine = sqlalchemy.create_engine(url, connect_args={"connect_timeout": _SECONDS})
    try:
        with engine.connect() as connection:
            found = [connection.execute(sqlalchemy.text(query)).all() for query in queries]
    finally:
        engine.dispose()
    return [[tuple(row) for row in rows] for rows in found]
