"""URLs, folders and variables that say where things are: empty, nonsense, without a server."""

from .making import folder, loop, text
from .table import Case, bad, table

DRY = "search -m kmeans --dry-run"


def _storage(name: str, url: str, code: int, *says: str) -> Case:
    return bad(f"storage {name}", ("status", "--storage", url), code, *says)


def _tracking(name: str, uri: str, code: int, *says: str) -> Case:
    return bad(f"tracking {name}", ("models", "--tracking-uri", uri), code, *says)


def _address(name: str, address: str, code: int, *says: str) -> Case:
    line = (*["search", "-m", "kmeans", "--address"], address)
    return bad(f"address {name}", line, code, *says)


STORAGES = [
    _storage("empty", "", 2, "--storage", "''", "use sqlite:////"),
    _storage("path", "tuner.db", 2, "'tuner.db'", "use sqlite:////"),
    _storage("unknown driver", "nope://x/y", 2, "nope://x/y", "use sqlite:////"),
    _storage("unknown dialect", "postgresql+nope://x/y", 4, "cannot open", "--storage"),
    _storage("mysql without driver", "mysql://u@h/d", 4, "cannot open", "--storage"),
    _storage("port too large", "postgresql+psycopg://h:99999/d", 4, "99999", "--storage"),
    _storage("port is text", "postgresql+psycopg://h:port/d", 4, "port", "--storage"),
    _storage("bracket", "postgresql+psycopg://[::1/d", 4, "--storage"),
    _storage("folder", "sqlite:///.", 2, "it is a folder", "--storage"),
    _storage("null byte", "sqlite:///a\0.db", 2, "\\x00", "use sqlite:////"),
    _storage("http", "http://127.0.0.1:9/x", 2, "use sqlite:////"),
    _storage("memory", "sqlite://", 2, "sqlite://", "use sqlite:////"),
    _storage("nobody listens", "postgresql+psycopg://me:x@127.0.0.1:9/d", 4, "refused"),
    _storage("two @", "postgresql+psycopg://a:p@q@127.0.0.1:9/x", 2, "a:***@127", "write %40"),
    _storage("spaces", "   ", 2, "--storage", "use sqlite:////"),
]
TRACKINGS = [
    _tracking("path", "mlflow.db", 2, "'mlflow.db'", "use sqlite:////", "MLFLOW_TRACKING_URI"),
    _tracking("folder", "./mlruns", 2, "'./mlruns'", "use sqlite:////"),
    _tracking("file", "file:///tmp/none", 2, "file:///tmp/none", "use sqlite:////"),
    _tracking("unknown", "nope://x", 2, "nope://x", "use sqlite:////"),
    _tracking("databricks", "databricks", 2, "'databricks'", "use sqlite:////"),
    _tracking("spaces", "   ", 2, "use sqlite:////"),
    _tracking("null byte", "sqlite:///a\0.db", 2, "\\x00", "use sqlite:////"),
    _tracking("port too large", "http://127.0.0.1:99999", 4, "99999", "MLFLOW_TRACKING_URI"),
    _tracking("port is text", "http://127.0.0.1:port", 4, "port", "MLFLOW_TRACKING_URI"),
    _tracking("no host", "http://", 4, "http://", "MLFLOW_TRACKING_URI"),
    _tracking("bracket", "http://[::1", 4, "MLFLOW_TRACKING_URI"),
    _tracking("nobody listens", "http://127.0.0.1:9", 4, "MLFLOW_TRACKING_URI"),
    _tracking("two @", "http://a:p@q@127.0.0.1:9", 2, "http://a:***@127", "write %40"),
    _tracking("query", "http://127.0.0.1:9/?token=q", 2, "token=***", "scheme://host"),
    _tracking("nobody listens, user", "http://a:p@127.0.0.1:9/x", 4, "MLFLOW_TRACKING_URI"),
    _tracking("postgresql", "postgresql+psycopg://u:p@127.0.0.1:9/x", 4, "MLFLOW_TRACKING_URI"),
    _tracking("postgresql driver", "postgresql+nope://u:p@127.0.0.1:9/x", 4, "MLFLOW_TRACKING"),
]
ADDRESSES = [
    _address("no port", "head", 2, "'head'", "host and port"),
    _address("port 0", "head:0", 2, "'head:0'", "host and port"),
    _address("port too large", "head:65536", 2, "'head:65536'", "host and port"),
    _address("port 10^30", "head:" + "1" + "0" * 30, 2, "host and port"),
    _address("full-width port", "head:６３７９", 2, "host and port"),
    _address("scheme", "http://head:8265", 2, "host and port"),
    _address("ray client", "ray://head:10001", 2, "host and port"),
    _address("user", "u:secret@head:6379", 2, "host and port"),
    _address("space", "he ad:6379", 2, "host and port"),
    _address("null byte", "he\0ad:6379", 2, "host and port"),
    _address("newline", "head:6379\n", 2, "host and port"),
    _address("nobody listens", "127.0.0.1:9", 4, "127.0.0.1:9", "--address"),
    _address("long label", "a" * 300 + ":6379", 4, "--address"),
]
FOLDERS = [
    bad("artifacts on s4", (*DRY.split(), "--artifacts", "s4://b/p"), 2, "'s4://b/p'"),
    bad("artifacts null byte", (*DRY.split(), "--artifacts", "a\0b"), 2, "a\\x00b"),
    bad("artifacts newline", (*DRY.split(), "--artifacts", "a\nb"), 2, "is not a folder"),
    bad("artifacts empty", (*DRY.split(), "--artifacts", ""), 2, "--artifacts ''"),
    bad("artifacts of nobody", (*DRY.split(), "--artifacts", "~nobody9/x"), 2, "~nobody9/x"),
    bad("artifacts loop", "search -m kmeans --artifacts l", 2, "--artifacts", make=loop("l")),
    bad(
        "artifacts file", "search -m kmeans --artifacts f", 74, "--artifacts", make=text("f", "x")
    ),
    bad("artifacts long", ("search", "-m", "kmeans", "--artifacts", "a" * 300), 74, "--artifacts"),
]
NOTHING = dict.fromkeys(("TUNER_STORAGE", "TUNER_ARTIFACTS", "MLFLOW_TRACKING_URI"), "")
VARIABLES = [
    bad("TUNER_STORAGE", "status", 2, "'x'", "use sqlite:////", TUNER_STORAGE="x"),
    bad("TUNER_STORAGE spaces", "status", 2, "use sqlite:////", TUNER_STORAGE="  "),
    bad("TUNER_ARTIFACTS", DRY, 2, "'s4://b'", TUNER_ARTIFACTS="s4://b"),
    bad("TUNER_ARTIFACTS home", DRY, 2, "~nobody9", TUNER_ARTIFACTS="~nobody9/x"),
    bad("MLFLOW_TRACKING_URI", "models", 2, "'x'", "use sqlite:////", MLFLOW_TRACKING_URI="x"),
    bad("RAY_ADDRESS", "search -m kmeans", 2, "RAY_ADDRESS", "'x'", RAY_ADDRESS="x"),
    bad("TUNER_DATA_HOME missing", f"{DRY} -d svhn", 3, "TUNER_DATA_HOME", TUNER_DATA_HOME="\t/x"),
    bad("TUNER_DATA_HOME nobody", f"{DRY} -d svhn", 3, "~nobody9", TUNER_DATA_HOME="~nobody9/x"),
    bad("empty variables", "resume a", 2, "no search named 'a'", **NOTHING),
    bad("COLUMNS", "serch", 2, "did you mean 'search'", COLUMNS="-5"),
    bad("COLUMNS text", "serch", 2, "did you mean 'search'", COLUMNS="wide"),
    bad("TERM", "serch", 2, "did you mean 'search'", TERM="\x1b[31m"),
    bad("TUNER_DEBUG", "serch", 2, "did you mean 'search'", TUNER_DEBUG="1"),
    bad("CUDA_VISIBLE_DEVICES", f"{DRY} --gpus-per-trial 1", 6, "GPU", CUDA_VISIBLE_DEVICES="9"),
]
OTHERS = [
    bad("ui file", "ui --tracking-uri sqlite:///none.db", 2, "none.db", "run a search first"),
    bad("ui nonsense", "ui --tracking-uri nope", 2, "'nope'", "use sqlite:////"),
    bad(
        "storage in the way",
        "status",
        2,
        "tuner.db",
        "it is a folder",
        "--storage",
        make=folder("tuner.db"),
    ),
    bad("storage text", "status", 4, "--storage", make=text("tuner.db", "text " * 400)),
    bad("storage short", "status", 4, "--storage", make=text("tuner.db", "x")),
    bad("mlflow text", "models", 4, "MLFLOW_TRACKING_URI", make=text("mlflow.db", "text " * 400)),
    bad("mlflow short", "models", 4, "MLFLOW_TRACKING_URI", make=text("mlflow.db", "x")),
]


@table(*STORAGES, *TRACKINGS)
def test_a_database_that_cannot_be_used_is_refused(case, check):
    check(case)


@table(*ADDRESSES, *FOLDERS)
def test_a_cluster_or_folder_that_cannot_be_used_is_refused(case, check):
    check(case)


@table(*VARIABLES, *OTHERS)
def test_a_variable_that_cannot_be_meant_is_refused(case, check):
    check(case)
