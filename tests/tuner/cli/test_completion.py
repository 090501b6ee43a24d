"""What shells are told at a press of TAB, through the protocol by which they ask."""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.tuner.in_process import finished_search
from tests.tuner.mlflow_store import OLD_LOADER
from tuner.cli.app import run
from tuner.cli.completion import bash_words
from tuner.data import catalog as datasets
from tuner.methods import catalog as methods

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)

HEAVY = {"torch", "ray", "mlflow", "optuna", "pandas", "numpy", "sklearn", "yaml"}
ASKED = (
    "import sys\n"
    "from tuner.__main__ import main\n"
    "try:\n"
    "    main()\n"
    "finally:\n"
    f"    print(*sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr, end='')\n"
)


def request(words, shell="bash"):
    """Return the variables with which a shell asks; bash has divided its words."""
    by_shell = {
        "bash": {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": " ".join(words)},
        "fish": {
            "_TYPER_COMPLETE_ARGS": " ".join(words),
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        },
    }
    return {"_TUNER_COMPLETE": f"complete_{shell}", **by_shell[shell]}


@pytest.fixture
def asked(here, monkeypatch, capsys):
    """Return a function that asks as a shell does; the last word is the one that is begun."""

    def ask(*words, shell="bash", **variables):
        with monkeypatch.context() as patched:
            for name, value in {**request(words, shell), **variables}.items():
                patched.setenv(name, value)
            with pytest.raises(SystemExit):
                run([])
        out, err = capsys.readouterr()
        assert err == ""
        return out if shell == "zsh" else out.split()

    return ask


@pytest.fixture
def places():
    """Return the variables that lead to a finished search named `done`."""
    locations = finished_search().locations
    return {"TUNER_STORAGE": locations.storage, "MLFLOW_TRACKING_URI": locations.tracking_uri}


@pytest.mark.parametrize("command", ["resume", "status", "report", "doctor", "sync"])
def test_names_of_searches(asked, places, command):
    assert asked("tuner", command, "", **places) == ["done"]
    assert asked("tuner", command, "d", **places) == ["done"]
    assert asked("tuner", command, "x", **places) == []


def test_searches_are_those_of_the_flag_the_variable_the_file_and_the_folder(
    asked, places, here, tmp_path
):
    storage = places["TUNER_STORAGE"]
    assert asked("tuner", "resume", "") == []
    assert asked("tuner", "resume", "--storage", storage, "") == ["done"]
    (here / "tuner.toml").write_text(f'storage = "{storage}"')
    assert asked("tuner", "resume", "") == ["done"]
    (here / "tuner.toml").unlink()
    (here / "tuner.db").symlink_to(finished_search().folder / "tuner.db")
    assert asked("tuner", "resume", "") == ["done"]


@pytest.mark.parametrize(
    "storage",
    [
        "sqlite:////there/is/none.db",
        "nonsense",
        "postgresql+psycopg://u:canary@127.0.0.1:9/x",
        "sqlite:////dev/null",
    ],
)
def test_a_ledger_that_cannot_be_read_completes_nothing(asked, here, storage):
    assert asked("tuner", "resume", "", TUNER_STORAGE=storage) == []
    assert list(here.iterdir()) == []


def test_a_broken_file_of_defaults_completes_nothing(asked, here):
    (here / "tuner.toml").write_text("storage = [")
    assert asked("tuner", "resume", "") == []


def test_names_and_versions_of_models(asked, places):
    assert asked("tuner", "promote", "", **places) == ["blobs"]
    assert asked("tuner", "models", "b", **places) == ["blobs"]
    assert asked("tuner", "promote", "blobs", "", **places) == ["1"]
    assert asked("tuner", "promote", "other", "", **places) == []


@pytest.mark.parametrize("command", ["predict", "sample"])
def test_addresses_of_models_where_bash_divides_words(asked, places, command):
    both = ["models:/blobs@champion", "models:/blobs/1"]
    assert asked("tuner", command, "", **places) == both
    assert asked("tuner", command, "mod", **places) == both
    assert asked("tuner", command, "models", ":", **places) == ["/blobs@champion", "/blobs/1"]
    for begun in (["@"], ["@", "ch"]):
        assert asked("tuner", command, "models", ":", "/blobs", *begun, **places) == ["@champion"]
    assert asked("tuner", command, "models", ":", "/blobs/", **places) == ["/blobs/1"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_pass_words_whole(asked, places, shell):
    found = asked("tuner", "predict", "models:/bl", shell=shell, **places)
    if shell == "zsh":
        assert r'"models\\:/blobs@champion"' in found
    else:
        assert found == ["models:/blobs@champion", "models:/blobs/1"]
    found = asked("tuner", "resume", "d", shell=shell, **places)
    assert '"done"' in found if shell == "zsh" else found == ["done"]


def test_models_of_a_server(asked):
    answer = (
        b'{"registered_models": [{"name": "cells", "aliases": [{"alias": "champion", '
        b'"version": "12"}], "latest_versions": [{"name": "cells", "version": "12"}]}]}'
    )

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            known = self.path.startswith("/api/2.0/mlflow/registered-models/search")
            self.send_response(200 if known else 404)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            return None

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        found = asked("tuner", "predict", "m", MLFLOW_TRACKING_URI=url)
        server.shutdown()
    assert found == ["models:/cells@champion", "models:/cells/12"]
    assert asked("tuner", "predict", "m", MLFLOW_TRACKING_URI=url) == []


def test_names_of_methods_in_lists(asked):
    assert asked("tuner", "search", "--method", "") == ["all", *methods.names()]
    assert asked("tuner", "search", "-m", "gmm,va") == ["gmm,vade", "gmm,vae_gmm", "gmm,vaeic"]
    assert asked("tuner", "search", "-m", "gmm,vade,gmm") == ["gmm,vade,gmm_prior_vae"]
    assert asked("tuner", "search", "--method", "=", "kme") == ["kmeans"]
    assert asked("tuner", "train", "--method", "kme") == ["kmeans"]
    assert asked("tuner", "space", "kme") == ["kmeans"]


def test_names_of_presets(asked):
    assert asked("tuner", "search", "-m", "kmeans", "--preset", "m") == ["mnist"]
    assert asked("tuner", "search", "-m", "kmeans", "--preset", "p") == []
    assert asked("tuner", "search", "-m", "kmeans,vade", "--preset", "p") == ["paper"]
    assert asked("tuner", "train", "--preset", "28") == ["28x28"]


@pytest.mark.parametrize("method", methods.names())
def test_presets_are_found_without_yaml(asked, method):
    from tuner.study.space import method_space

    found = asked("tuner", "search", "-m", method, "--preset", "")
    assert found == sorted(method_space(method).presets)


def test_names_of_datasets(asked):
    names = [entry.name for entry in datasets()]
    assert asked("tuner", "search", "--dataset", "") == names
    assert asked("tuner", "data", "di") == ["digits"]
    assert asked("tuner", "search", "-d", "my_file") == []  # the shell completes files


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--sampler", "q"], ["qmc"]),
        (["--scheduler", "a"], ["asha"]),
        (["--objective", "s"], ["separation"]),
        (["--progress", ""], ["auto", "live", "plain", "json", "quiet"]),
        (["--missing", "m"], ["mean"]),
    ],
)
def test_choices(asked, words, expected):
    assert asked("tuner", "search", *words) == expected


@pytest.mark.parametrize(
    ("words", "joined", "kept"),
    [
        (["tuner", "resume", ""], ["tuner", "resume", ""], ""),
        (["tuner", "resume"], ["tuner", "resume"], ""),
        (["tuner", "predict", "models", ":"], ["tuner", "predict", "models:"], "models:"),
        (["tuner", "predict", "models", ":", "/a"], ["tuner", "predict", "models:/a"], "models:"),
        (
            ["tuner", "predict", "models", ":", "/a", "@", "c"],
            ["tuner", "predict", "models:/a@c"],
            "models:/a",
        ),
        (
            ["tuner", "search", "--set", "k", "=", "3", "-"],
            ["tuner", "search", "--set", "k=3", "-"],
            "",
        ),
    ],
)
def test_words_are_joined_where_bash_divides_them(words, joined, kept):
    assert bash_words(words, len(words) - 1) == (joined, len(joined) - 1, kept)


def test_a_word_that_is_not_begun_is_the_next_one():
    words = ["tuner", "predict", "models", ":", "/a", "@", "champion"]
    joined, position, kept = bash_words(words, len(words))
    assert (joined[position], position, kept) == ("", 3, "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tuner", "resume", ""], "done\n"),
        (["tuner", "predict", "models", ":", "/b"], "/blobs@champion\n/blobs/1\n"),
        (["tuner", "search", "-m", "gmm,kme"], "gmm,kmeans\n"),
        (["tuner", "search", "-d", "dig"], "digits\n"),
        (["tuner", "search", "-m", "vade", "--preset", "pa"], "paper\n"),
    ],
)
def test_nothing_heavy_is_imported(places, tmp_path, words, expected):
    done = subprocess.run(
        [sys.executable, "-c", ASKED],
        env={**os.environ, **places, **request(words)},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert (done.stdout, done.stderr) == (expected, "")
