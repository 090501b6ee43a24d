"""Builds the site from files where they are: docs/, some pages beside it, and linked sources.

A link that leaves docs/ works on a code host as it is written. Here it leads to the same page in
the site, or to a page that shows the source. A link to a folder becomes plain text.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import notebooks  # noqa: E402
from commands import reference  # noqa: E402

BESIDE = {
    "deploy/README.md": "deploy.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
COMMANDS = "<!-- commands -->"
LINK = re.compile(r"\[(?P<text>[^\]\[]+)\]\((?P<path>(?!\w+:)[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".md": "markdown", ".sbatch": "bash"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, and the sources that they link to."""
    pages = {path.name: path for path in sorted((ROOT / "docs").glob("*.md"))}
    pages |= {name: ROOT / source for source, name in BESIDE.items()}
    for name, path in pages.items():
        files.append(File.generated(config, name, abs_src_path=str(path)))
    for path in sorted((ROOT / "docs").glob("*.ipynb")):
        shown = _led(notebooks.page(path), path.parent)
        files.append(File.generated(config, _name(path), content=shown))
    for source in sorted({source for path in pages.values() for source in _sources(path)}):
        page = File.generated(config, _name(source), content=_shown(source))
        files.append(page)
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Lead links to the pages of the site, and list the commands where they belong."""
    if page.file.abs_src_path is None:
        return markdown
    markdown = _led(markdown, Path(page.file.abs_src_path).parent)
    return markdown.replace(COMMANDS, reference()) if COMMANDS in markdown else markdown


def _led(markdown: str, folder: Path) -> str:
    """Return a page with its links, written for a folder, led to pages of the site."""
    return LINK.sub(lambda link: _linked(link, folder), markdown)


def _sources(page: Path) -> Iterator[Path]:
    """Yield the files that a page links to and that are no pages."""
    for link in LINK.finditer(page.read_text(encoding="utf-8")):
        target = (page.parent / link["path"]).resolve()
        if target.is_file() and _name(target).startswith("source/"):
            yield target


def _name(path: Path) -> str:
    """Return where the site has a file of the repository."""
    inside = path.relative_to(ROOT).as_posix()
    if path.parent == ROOT / "docs" and path.suffix in (".md", ".ipynb"):
        return f"{path.stem}.md"
    if path.is_relative_to(ROOT / "docs" / "static"):
        return path.relative_to(ROOT / "docs" / "static").as_posix()
    return BESIDE.get(inside, f"source/{inside}.md")


def _linked(link: re.Match[str], folder: Path) -> str:
    target = (folder / link["path"]).resolve()
    if target.is_dir():
        return link["text"]
    if not target.is_file():
        return link[0]  # MkDocs reports it
    return f"[{link['text']}]({_name(target)}{link['anchor'] or ''})"


def _shown(source: Path) -> str:
    """Return the page that shows a source."""
    language = LANGUAGES.get(source.suffix, "text")
    code = source.read_text(encoding="utf-8").rstrip()
    return (
        f"---\ntitle: {source.name}\nsearch:\n  exclude: true\nhide: [toc]\n---\n\n"
        f"# {source.relative_to(ROOT).as_posix()}\n\n``````{language}\n{code}\n``````\n"
    )
