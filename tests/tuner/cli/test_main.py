import subprocess
import sys

import pytest

from tuner.cli.app import app, run
from tuner.errors import DataError, InterruptedSearchError

COMMANDS = [
    *("search", "resume", "status", "train", "methods", "space", "datasets", "data", "promote"),
    *("rollback", "models", "predict", "sample", "doctor", "ui", "sync", "report"),
]


def test_help_lists_every_command(tuner):
    ran = tuner("--help")
    assert ran.code == 0
    assert all(f" {name} " in ran.out for name in COMMANDS)
    assert {command.callback.__name__ for command in app.registered_commands} == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(tuner, command):
    ran = tuner(command, "--help")
    assert ran.code == 0
    assert f"tuner {command}" in ran.out
    (switch,) = (line for line in ran.out.splitlines() if "--help" in line)
    assert "<bool>" not in switch


def test_help_fits_into_40_columns(tuner, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    ran = tuner("search", "--help")
    assert ran.code == 0
    assert max(map(len, ran.out.splitlines())) <= 40


def test_without_a_command_help_is_shown_and_the_exit_code_is_2(tuner):
    ran = tuner()
    assert ran.code == 2
    assert "Usage" in ran.out


def test_version(tuner):
    ran = tuner("--version")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("tuner ")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["serch"], "no such command 'serch'; did you mean 'search'?"),
        (["search", "--trial", "3"], "no such option --trial; did you mean '--trials'?"),
        (["search", "--zzzzz"], "no such option: --zzzzz"),
        (["search", "--trials"], "option '--trials' requires an argument"),
        (["search", "--trials", "abc"], "--trials 'abc': give a whole number"),
        (["search", "--trials", "1.5"], "--trials '1.5': give a whole number"),
        (["search", "--seed", ""], "--seed '': give a whole number"),
        (["search", "--gpus-per-trial", "half"], "--gpus-per-trial 'half': give a number"),
        (["search", "digits"], "unexpected extra argument"),
        (["resume"], "missing argument 'NAME'"),
        (["promote", "digits", "two"], "VERSION 'two': give a whole number"),
        (["ui", "--port", "0"], "--port '0': give at least 1"),
        (["ui", "--port", "70000"], "--port '70000': give at most 65535"),
    ],
)
def test_a_usage_error_is_one_sentence(tuner, here, arguments, expected):
    ran = tuner(*arguments)
    assert ran.code == 2
    assert expected in ran.error_message
    assert "--help`" in ran.error_message
    assert not list(here.iterdir())


def _fail_with(monkeypatch, error):
    def raises(*_: object) -> None:
        raise error

    monkeypatch.setattr("tuner.data.catalog", raises)


def test_the_class_of_an_error_sets_the_exit_code(tuner, monkeypatch):
    _fail_with(monkeypatch, DataError("it is cut"))
    ran = tuner("datasets")
    assert (ran.code, ran.error_message) == (3, "it is cut")


def test_an_error_is_one_printable_line_without_secrets(tuner, monkeypatch):
    text = "postgresql://me:canary@host/db\nsays \x1b[31mno\0"
    _fail_with(monkeypatch, DataError(text))
    ran = tuner("datasets")
    assert ran.error_message == "postgresql://me:***@host/db says \\x1b[31mno\\x00"


@pytest.mark.parametrize(("signum", "code"), [(2, 130), (15, 143)])
def test_an_interrupted_search_exits_with_128_plus_the_signal(tuner, monkeypatch, signum, code):
    _fail_with(
        monkeypatch, InterruptedSearchError("go on with tuner resume a", signum, search="a")
    )
    ran = tuner("datasets")
    assert (ran.code, ran.error_message) == (code, "go on with tuner resume a")


def test_ctrl_c_in_any_other_command_exits_with_130(tuner, monkeypatch):
    _fail_with(monkeypatch, KeyboardInterrupt())
    ran = tuner("datasets")
    assert (ran.code, ran.error_message) == (130, "interrupted")


def test_an_unexpected_error_has_a_traceback_only_on_request(tuner, monkeypatch):
    _fail_with(monkeypatch, ZeroDivisionError("by zero"))
    ran = tuner("datasets")
    assert ran.code == 70
    assert "unexpected ZeroDivisionError: by zero" in ran.error_message
    monkeypatch.setenv("TUNER_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        run(["datasets"])


def test_flags_override_variables_which_override_files(tuner, here, monkeypatch):
    def storage(*flags: str) -> str:
        ran = tuner("search", "-m", "kmeans", "--dry-run", *flags)
        assert ran.code == 0, ran.err
        return next(line.split()[1] for line in ran.out.splitlines() if "ledger" in line)

    assert storage() == f"sqlite:///{here}/tuner.db"
    (here / "pyproject.toml").write_text('[tool.tuner]\nstorage = "sqlite:///project.db"\n')
    assert storage() == "sqlite:///project.db"
    (here / "tuner.toml").write_text('[search]\nstorage = "sqlite:///own.db"\n')
    assert storage() == "sqlite:///own.db"
    monkeypatch.setenv("TUNER_STORAGE", "sqlite:///variable.db")
    assert storage() == "sqlite:///variable.db"
    assert storage("--storage", "sqlite:///flag.db") == "sqlite:///flag.db"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("trials = 'many'", "tuner.toml: trials 'many': give a whole number"),
        ("trials = true", "tuner.toml: trials 'true': give a whole number"),
        ("trails = 3", "tuner.toml: no such option or command 'trails'; did you mean 'trials'?"),
        ("[search]\ntrails = 3", "tuner.toml, [search]: no such option or command 'trails'"),
        ("dry_run = 'yes'", "tuner.toml: dry_run = 'yes': write true or false"),
        ("trials = ", "tuner.toml is not valid TOML"),
    ],
)
def test_an_error_in_a_file_names_the_file(tuner, here, text, expected):
    (here / "tuner.toml").write_text(text)
    ran = tuner("search", "--dry-run")
    assert ran.code == 2
    assert expected in ran.error_message


def test_an_invalid_variable_is_refused(tuner, monkeypatch):
    monkeypatch.setenv("TUNER_STORAGE", "tuner.db")
    ran = tuner("status")
    assert ran.code == 2
    assert "'tuner.db' is not a database URL" in ran.error_message


def test_the_package_runs_as_a_module(here):
    shown = subprocess.run(
        [sys.executable, "-m", "tuner", "--version"], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip()
    refused = subprocess.run(
        [sys.executable, "-m", "tuner", "serch"], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert "did you mean 'search'" in refused.stderr
