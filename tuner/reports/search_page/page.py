"""Renders the page of a search."""

import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from ...redaction import redact
from . import about, champion, choice, course, settings, svg, verdict
from .facts import SearchFacts

_COMMAND = re.compile(r"`([^`<>]+)`")
_FOLDER = Path(__file__).parent
_SECTIONS = (
    verdict.loading,
    champion.champion_pictures,
    choice.score_by_k,
    choice.finalists,
    course.history,
    settings.importances,
    settings.parallel_coordinates,
    course.stopping,
    choice.audit,
    course.failures,
    course.all_trials,
    about.about,
)


def render(facts: SearchFacts) -> str:
    """Return the page of a search."""
    return _template().render(
        name=facts.name,
        state=facts.state,
        figures=verdict.figures(facts),
        verdict=verdict.verdict(facts),
        sections=[section(facts) for section in _SECTIONS],
    )


def _redacted(value: object) -> object:
    """Return what is written in place of a value: texts without the secrets in them."""
    return redact(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _with_code(text: str) -> Markup:
    """Return a text as HTML, with what stands between backticks as code."""
    return Markup(_COMMAND.sub(r"<code>\1</code>", str(escape(redact(text)))))


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        finalize=_redacted,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["with_code"] = _with_code
    style = (_FOLDER / "page.css").read_text(encoding="utf-8")
    environment.globals |= {"style": Markup(style), "key": svg.key}
    return environment.get_template("page.html.j2")
