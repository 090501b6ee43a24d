"""Draw the output of a command as .github/search.svg: a picture of a real run, 80 columns wide.

    python docs/search_svg.py tuner search --method gmvae --trials 200

runs the command in an empty folder. The picture names no font that would have to be fetched.
"""

import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

SVG = Path(__file__).parents[1] / ".github" / "search.svg"
_COLUMNS = 80
_FACES = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
_FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"


def output_of(command: list[str]) -> str:
    """Run a command in an empty folder and return what it writes to a terminal as its result."""
    reader, writer = os.openpty()
    environment = os.environ | {"COLUMNS": str(_COLUMNS), "TERM": "xterm-256color"}
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # short, so that no line wraps for it
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=writer)
        os.close(writer)
        written = bytearray()
        try:
            while part := os.read(reader, 65536):
                written += part
        except OSError:  # the other end of a terminal has closed it
            pass
        os.close(reader)
        if process.wait() != 0:
            sys.exit(f"{shlex.join(command)} ended with {process.returncode}")
    # MLflow's database is named as one in the current folder, whatever that is here
    return written.decode().replace("\r\n", "\n").replace(f"{folder}/", "")


def drawn(command: list[str], output: str) -> str:
    """Return the SVG of a command and its output."""
    console = Console(record=True, width=_COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(output), end="")
    svg = console.export_svg(title=shlex.join(command))
    return _FACES.sub("", svg).replace("Fira Code, monospace", _FONT)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    SVG.write_text(drawn(sys.argv[1:], output_of(sys.argv[1:])), encoding="utf-8")
