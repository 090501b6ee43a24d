"""The database of the ledger: how it is opened, and which searches it holds."""

from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from ..errors import ServiceError, UsageError, did_you_mean
from ..redaction import redact
from ..sqlite import database_file

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

RECORD = "record"
"""The study attribute with what a search was started with; a search without it has not begun."""


def open_storage(url: str) -> "RDBStorage":
    """Open the ledger's database, or raise ServiceError with one sentence."""
    from optuna.storages import RDBStorage  # half a second, which `tuner status` need not wait

    sqlite = url.startswith("sqlite")
    # wait for a file that another process has locked, but not for a server that is silent
    wait = {"timeout": 60} if sqlite else {"connect_timeout": 8}
    try:
        storage = RDBStorage(
            url, engine_kwargs={"connect_args": wait, "pool_pre_ping": not sqlite}
        )
    except (SQLAlchemyError, ImportError, ValueError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise ServiceError(
            f"the ledger {redact(url)} does not answer ({redact(reason)}): "
            "check --storage or TUNER_STORAGE"
        ) from None
    if sqlite:
        _use_write_ahead_log(storage)
    return storage


def check_url(url: str) -> None:
    """Raise UsageError unless the ledger's URL is a database URL."""
    if "://" not in url:
        raise UsageError(
            f"--storage {redact(url)!r} is not a database URL: write "
            "sqlite:////absolute/file.db or postgresql+psycopg://user@host/database"
        )


def search_names(url: str) -> list[str]:
    """Return the names of all searches; a database that does not exist is not created."""
    check_url(url)
    path = database_file(url)
    if path is not None and not path.is_file():
        return []
    return names_in(open_storage(url))


def names_in(storage: "RDBStorage") -> list[str]:
    """Return the searches that have a record: a driver may die before it has written one."""
    return sorted(s.study_name for s in storage.get_all_studies() if RECORD in s.user_attrs)


def check_exists(url: str, name: str) -> None:
    """Raise UsageError unless the database of the ledger exists."""
    check_url(url)
    path = database_file(url)
    if path is not None and not path.is_file():
        raise UsageError(
            f"no search named {name!r}: there is no ledger {path}: go to the folder of the "
            "search, or name its ledger with --storage or TUNER_STORAGE"
        )


def name_taken(name: str) -> UsageError:
    """Return the error for a second search of the same name."""
    return UsageError(
        f"a search named {name!r} exists: go on with `tuner resume {name}`, "
        "or choose another --name"
    )


def unknown_search(name: str, names: list[str]) -> UsageError:
    """Return the error for a search that the ledger does not hold, with the nearest name."""
    known = f"; there are: {', '.join(names[:8])}" if names else "; there is none yet"
    return UsageError(f"no search named {name!r}{did_you_mean(name, names)}{known}")


def _use_write_ahead_log(storage: "RDBStorage") -> None:
    """Let SQLite use a write-ahead log: a write costs a tenth, and readers never wait."""

    def pragmas(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    event.listen(storage.engine, "connect", pragmas)
    storage.engine.dispose()  # connections made before the listener are not asked again
