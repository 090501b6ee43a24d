"""The command in a subprocess: imports, exit codes and pipes."""

import os
import subprocess
import sys
import termios
import time

import pytest

TUNER = [sys.executable, "-c", "from tuner.__main__ import main; main()"]
HEAVY = {"torch", "ray", "mlflow", "optuna", "pandas", "pydantic", "numpy", "sklearn", "yaml"}


def ran(*arguments, **options):
    return subprocess.run([*TUNER, *arguments], capture_output=True, text=True, **options)


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from tuner.cli.app import run; run(['--help']); "
        f"print(*({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage" in done.stdout
    assert done.stderr.split() == []


def test_importing_the_package_imports_nothing_heavy():
    code = f"import sys, tuner; tuner.Study; print(*({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["datasets"], 0), (["serch"], 2), (["search", "--dataset", "nope.csv", "--dry-run"], 3)],
)
def test_errors_set_the_exit_code_without_a_traceback(tmp_path, arguments, code):
    done = ran(*arguments, cwd=tmp_path)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == (code != 0)
    assert not list(tmp_path.iterdir())


def test_an_error_breaks_between_words_at_the_edge_of_a_terminal(tmp_path):
    reader, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (24, 60))
    environment = os.environ | {"NO_COLOR": "1"}
    subprocess.run([*TUNER, "space", "gmvea"], cwd=tmp_path, env=environment, stderr=terminal)
    os.close(terminal)
    written = os.read(reader, 65536).decode().replace("\r\n", "\n")
    os.close(reader)
    in_a_pipe = ran("space", "gmvea", cwd=tmp_path).stderr
    assert max(map(len, written.splitlines())) <= 60
    assert len(written.splitlines()) > 2
    assert written.split() == in_a_pipe.split()


@pytest.mark.parametrize("arguments", [["datasets"], ["datasets", "--json"], ["--help"]])
def test_a_closed_pipe_is_not_an_error(arguments):
    process = subprocess.Popen(
        [*TUNER, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert err == b""
    assert process.returncode in (1, 141)


def test_ctrl_c_exits_with_130_and_one_line(tmp_path):
    code = (
        # background jobs of a shell ignore Ctrl-C
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "import time, tuner.data; from tuner.__main__ import main; import sys; sys.argv[1:] = "
        "['datasets']; tuner.data.catalog = lambda: (print('ready', flush=True), time.sleep(60)); "
        "main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    time.sleep(0.1)
    process.send_signal(2)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == b"error: interrupted\n"
