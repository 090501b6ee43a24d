"""The notebook of the documentation runs, and what is stored in it is what it shows."""

import copy
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from . import notebook

PATH = re.compile(r"(?<![\w:/])/(?:tmp|root|work|var|home|opt|usr)/[\w/]+")


@pytest.fixture(scope="module")
def stored() -> Any:
    return notebook.read()


@pytest.fixture(scope="module")
def executed(stored: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the notebook after it has run from its start, with Ray."""
    fresh = copy.deepcopy(stored)
    for cell in code_of(fresh):
        cell["outputs"], cell["execution_count"] = [], None
    return notebook.executed(fresh, tmp_path_factory.mktemp("notebook"))


def code_of(found: Any) -> list[Any]:
    return [cell for cell in found["cells"] if cell["cell_type"] == "code"]


def outputs(found: Any) -> Iterator[Any]:
    return (output for cell in code_of(found) for output in cell["outputs"])


def kinds(cell: Any) -> list[tuple[str, list[str]]]:
    """Return the types of a cell's outputs, and the types of content of each."""
    return [
        (output["output_type"], sorted(output.get("data", [output.get("name")])))
        for output in cell["outputs"]
    ]


def cell_with(found: Any, words: str) -> Any:
    (cell,) = [cell for cell in code_of(found) if words in cell["source"]]
    return cell


def html(cell: Any) -> str:
    (output,) = cell["outputs"]
    return str(output["data"]["text/html"])


def test_it_runs_and_shows_what_is_stored(stored: Any, executed: Any) -> None:
    for before, after in zip(code_of(stored), code_of(executed), strict=True):
        assert kinds(after) == kinds(before), after["source"]
        assert before["execution_count"] == after["execution_count"]


def test_nothing_is_written_to_stderr(executed: Any) -> None:
    assert [o for o in outputs(executed) if o.get("name") == "stderr"] == []
    assert "\x1b" not in json.dumps(list(outputs(executed)), ensure_ascii=False)


def test_the_search_has_one_output_and_a_champion(executed: Any) -> None:
    assert "12 of 12 trials" in html(cell_with(executed, "tuner.search("))
    facts = html_of_result(executed)
    assert facts.startswith("<table")
    assert "wine version 1, promoted" in facts


def html_of_result(found: Any) -> str:
    (cell,) = [cell for cell in code_of(found) if cell["source"] == "result"]
    return html(cell)


def test_facts_that_are_stored_are_those_that_are_shown_today(stored: Any, executed: Any) -> None:
    names = re.compile(r"<th[^>]*>([^<]*)</th>")
    before, after = (names.findall(html_of_result(found)) for found in (stored, executed))
    assert set(before) == set(after)


def test_the_columns_of_tables_are_those_of_today(stored: Any, executed: Any) -> None:
    heading = re.compile(r"<thead>.*?</thead>", re.S)
    for before, after in zip(outputs(stored), outputs(executed), strict=True):
        tables = [
            heading.findall(str(o.get("data", {}).get("text/html"))) for o in (before, after)
        ]
        assert tables[0] == tables[1]


def test_clusters_are_the_cultivars(executed: Any) -> None:
    (text, _) = cell_with(executed, "adjusted_rand_score")["outputs"]
    assert float(text["text"].split()[-1]) > 0.5


def test_what_is_stored_is_of_no_machine(stored: Any) -> None:
    text = json.dumps(list(outputs(stored)))
    assert {path for path in PATH.findall(text) if not path.startswith("/home/ada")} == set()
    assert "Warning" not in text
    assert [cell["source"] for cell in code_of(stored) if not cell["execution_count"]] == []
    assert all(o["output_type"] != "error" for o in outputs(stored))


def test_it_has_the_length_of_a_page(stored: Any) -> None:
    assert len(stored["cells"]) <= 20
    assert notebook.NOTEBOOK.stat().st_size < 100_000


def test_the_site_has_its_text_code_and_outputs(stored: Any) -> None:
    spec = importlib.util.spec_from_file_location(
        "notebooks", notebook.ROOT / "docs" / "notebooks.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = module.page(Path(notebook.NOTEBOOK))
    for cell in stored["cells"]:
        assert cell["source"] in page
    assert page.count('<div class="output">') == sum(
        bool({"text/html", "image/png"} & set(output.get("data", ())))
        for output in outputs(stored)
    )
    assert 'alt="The score of each trial' in page
    assert "adjusted Rand index" in page
