"""Open the ledger's database and look up the searches in it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import IntegrityError, ProgrammingError

from ..errors import NameTakenError, ServiceError, TunerError, UsageError, did_you_mean
from ..redaction import redact
from ..sqlite import database_file, database_lock
from .failures import reason_of, root_cause, told

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

_TABLES_SECONDS = 2.0  # to wait for another process that creates the tables

RECORD = "record"
"""Study attribute that records how a search was started; a study without it is not a search."""


def open_storage(url: str) -> "RDBStorage":
    """Open the ledger's database, or raise ServiceError."""
    from optuna.storages import RDBStorage  # takes half a second, so only when needed

    sqlite = url.startswith("sqlite")
    # seconds: long for a file that another process has locked, short for a server that is down
    timeouts = {"timeout": 60} if sqlite else {"connect_timeout": 8}
    options = {"connect_args": timeouts, "pool_pre_ping": not sqlite}
    try:
        with database_lock(url):  # of two processes that create the tables, one would fail
            try:
                return RDBStorage(url, engine_kwargs=options)
            except (IntegrityError, ProgrammingError):  # so it did, where there is no file to lock
                time.sleep(_TABLES_SECONDS)
                return RDBStorage(url, engine_kwargs=options)
    except TunerError:
        raise
    except Exception as error:  # drivers and Optuna raise errors of many types
        raise ServiceError(
            f"cannot open the ledger {redact(url)} ({reason_of(root_cause(error))}): "
            "check --storage or TUNER_STORAGE"
        ) from None


@contextmanager
def opened(url: str) -> Iterator["RDBStorage"]:
    """Open the ledger's database for the block, and give its connections back."""
    storage = open_storage(url)
    try:
        yield storage
    finally:
        storage.engine.dispose()


def open_search(url: str, name: str) -> "RDBStorage":
    """Open the database of a search; raise UsageError with the nearest name if it has none."""
    check_exists(url, name)
    storage = open_storage(url)
    try:
        names = names_in(storage)
        if name not in names:
            raise unknown_search(name, names)
    except BaseException:
        storage.engine.dispose()
        raise
    return storage


def check_url(url: str) -> None:
    """Raise UsageError unless `url` is a database URL."""
    if "://" not in url:
        raise UsageError(
            f"--storage {redact(url)!r} is not a database URL: use "
            "sqlite:////absolute/file.db or postgresql+psycopg://host/database"
        )


def search_names(url: str) -> list[str]:
    """Return the names of all searches, without creating a database that does not exist."""
    check_url(url)
    path = database_file(url)
    if path is not None and not path.is_file():
        return []
    with opened(url) as storage:
        return names_in(storage)


def described(storage: "RDBStorage") -> str:
    """Return the words for a ledger in messages: its file, or its URL without a password."""
    url = storage.engine.url.render_as_string(hide_password=False)
    return f"the ledger {database_file(url) or redact(url)}"


def names_in(storage: "RDBStorage") -> list[str]:
    """Return the names of the studies with a record; one without a record was never started."""
    with told(described(storage)):
        studies = storage.get_all_studies()
    return sorted(study.study_name for study in studies if RECORD in study.user_attrs)


def check_exists(url: str, name: str) -> None:
    """Raise UsageError for the search `name` if the ledger's database file does not exist."""
    check_url(url)
    path = database_file(url)
    if path is not None and not path.is_file():
        raise UsageError(
            f"no search named {name!r}, because the ledger {path} does not exist: change to the "
            "folder of the search, or set --storage or TUNER_STORAGE"
        )


def name_taken(name: str) -> NameTakenError:
    """Return the error for a new search with the name of an existing one."""
    return NameTakenError(
        f"a search named {name!r} already exists: continue it with `tuner resume {name}`, "
        "or choose another --name"
    )


def unknown_search(name: str, names: list[str]) -> UsageError:
    """Return the error for an unknown search, with the closest of the names in the ledger."""
    known = ", ".join(names[:8]) or "none"
    return UsageError(
        f"no search named {name!r}{did_you_mean(name, names)}; existing searches: {known}"
    )
