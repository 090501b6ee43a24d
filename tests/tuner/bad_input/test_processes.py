"""Real processes: closed streams, full disks, other locales and terminals, a deleted folder."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .table import require_sentence

ASCII = {"PYTHONIOENCODING": "ascii"}
POSIX = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
ERROR = "error: no such command 'serch'; did you mean 'search'?; see `tuner --help`\n"


@dataclass(frozen=True, kw_only=True)
class Process:
    """A shell line in which $T is the command, and what comes of it."""

    line: str
    code: int
    out: str | None = ""
    err: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)


PROCESSES = {
    "stdout closed": Process(line="$T datasets >&-", code=0),
    "stdout closed, error": Process(line="$T serch >&-", code=2, err=ERROR),
    "stderr closed": Process(line="$T serch 2>&-", code=2),
    "all closed": Process(line="$T serch <&- >&- 2>&-", code=2),
    "stdin closed": Process(line="$T serch <&-", code=2, err=ERROR),
    "stdout full": Process(line="$T datasets >/dev/full", code=74, err="No space left"),
    "json to a full disk": Process(line="$T methods --json >/dev/full", code=74, err="No space"),
    "stderr full": Process(line="$T serch 2>/dev/full", code=2),
    "reader gone": Process(line="($T datasets; echo $? >&2) | true", code=0, err="141\n"),
    "ascii result": Process(line="$T datasets", code=0, out="8 \\xd7 8", variables=ASCII),
    "ascii error": Process(line="$T se🎉", code=2, err="'se\\U0001f389'", variables=ASCII),
    "latin-1 error": Process(
        line="$T 'sé🎉'", code=2, err="\\U0001f389", variables={"PYTHONIOENCODING": "latin-1"}
    ),
    "C locale": Process(line="$T datasets", code=0, out="8 \\xd7 8", variables=POSIX),
    "C locale, error": Process(
        line="$T data é.csv --out e.png", code=3, err="check the path", variables=POSIX
    ),
    "no such locale": Process(
        line="$T serch", code=2, err=ERROR, variables={"LC_ALL": "xx_YY.nothing"}
    ),
    "Turkish": Process(
        line="$T SERCH", code=2, err="'SERCH'", variables={"LC_ALL": "tr_TR.UTF-8"}
    ),
    "decimal comma": Process(
        line="$T search --cpus-per-trial 0,5",
        code=2,
        err="'0,5': give a number",
        variables={"LC_ALL": "de_DE.UTF-8"},
    ),
    "forced colour": Process(
        line="$T serch", code=2, err=ERROR, variables={"FORCE_COLOR": "1", "TERM": "xterm"}
    ),
    "forced colour of a table": Process(
        line="$T datasets", code=0, out="dataset ", variables={"FORCE_COLOR": "1"}
    ),
    "no terminal": Process(line="$T serch", code=2, err=ERROR, variables={"TERM": ""}),
    "40 columns": Process(line="$T serch", code=2, err=ERROR, variables={"COLUMNS": "40"}),
    "1 column": Process(line="$T datasets", code=0, out=None, variables={"COLUMNS": "1"}),
    "no home": Process(line="env -u HOME $T serch", code=2, err=ERROR),
    "folder deleted": Process(
        line="mkdir x; cd x; rmdir ../x; $T status", code=2, err="the current folder was deleted"
    ),
    "undecodable name": Process(
        line="$T data \"$(printf 'a\\377.csv')\" --out e.png", code=3, err="a\\udcff.csv"
    ),
    "forged line": Process(
        line="$T data \"$(printf 'a\\nerror: ok\\033[31m.csv')\" --out e.png",
        code=3,
        err="a\\nerror: ok\\x1b[31m.csv",
    ),
}


def run_line(line: str, here: Path, variables: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a shell line; return its exit code and what it writes to stdout and stderr."""
    # streams are buffered, as they are unless a user sets this
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    environment = {**inherited, **variables}
    done = subprocess.run(
        [
            "/bin/sh",
            "-c",
            line.replace("$T", f"{sys.executable} -m tuner"),
        ],
        cwd=here,
        env=environment,
        capture_output=True,
        timeout=120,
        check=False,
    )
    return (
        done.returncode,
        done.stdout.decode(errors="replace"),
        done.stderr.decode(errors="replace"),
    )


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_ends_as_promised(name, here):
    case = PROCESSES[name]
    code, out, err = run_line(case.line, here, case.variables)
    assert code == case.code, err
    assert case.out is None or (case.out in out and bool(case.out) == bool(out))
    assert case.err in err
    assert bool(case.err) == bool(err)
    assert err.count("\n") == bool(err)
    assert "Traceback" not in err
    assert not list(here.iterdir())
    if case.err.startswith("error: "):
        require_sentence(err.removeprefix("error: ").rstrip("\n"), ())


TERMINALS = {"xterm": {"TERM": "xterm"}, "dumb": {"TERM": "dumb"}, "none": {"NO_COLOR": "1"}}


@pytest.mark.parametrize("name", TERMINALS)
def test_an_error_on_a_terminal_is_one_line(name, here):
    leader, follower = os.openpty()
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    done = subprocess.run(
        [sys.executable, "-m", "tuner", "serch"],
        cwd=here,
        env={**environment, **TERMINALS[name]},
        stderr=follower,
        stdout=follower,
        check=False,
    )
    os.close(follower)
    shown = os.read(leader, 10_000).decode()
    os.close(leader)
    assert done.returncode == 2
    assert shown.count("\n") == 1
    assert ("\x1b[" in shown) == (name == "xterm")
    assert "did you mean 'search'" in shown
