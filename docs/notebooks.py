"""A notebook as a page: its text, its code, and the outputs that are stored in it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Cell = Mapping[str, Any]


def page(notebook: Path) -> str:
    """Return a notebook as Markdown."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join(part for cell in cells for part in _parts(cell)) + "\n"


def _parts(cell: Cell) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
        return
    yield f"```python\n{source}\n```"
    for output in cell["outputs"]:
        yield _output(output, alt=cell["metadata"].get("alt", ""))


def _output(output: Mapping[str, Any], *, alt: str) -> str:
    """Return an output as a browser shows it best: HTML, else a picture, else text."""
    data = output.get("data", {"text/plain": output.get("text", "")})
    if "text/html" in data:
        # on one line, since Markdown would begin again at an empty one
        lines = "".join(data["text/html"]).splitlines()
        return f'<div class="output">{"".join(line.strip() for line in lines)}</div>'
    if "image/png" in data:
        picture = "".join(data["image/png"]).replace("\n", "")
        source = f"data:image/png;base64,{picture}"
        return f'<div class="output"><img alt="{alt}" src="{source}"></div>'
    text = "".join(data["text/plain"]).rstrip()
    return f"```text\n{text}\n```"
