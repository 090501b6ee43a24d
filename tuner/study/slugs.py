"""Names of searches and models, which are safe in paths and URLs."""

import re
from pathlib import Path

from ..errors import UsageError

SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def slug(text: str) -> str:
    """Return a valid name for a text such as a file name, without the other characters."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(text).stem).strip("-._")
    return cleaned[:48] or "data"


def check_slug(name: str) -> str:
    """Return a name that is safe in paths and URLs. Raises UsageError for any other."""
    if SLUG.fullmatch(name) is None:
        shown = name if len(name) <= 40 else f"{name[:40]}… ({len(name)} characters)"
        raise UsageError(
            f"name {shown!r} is not usable: start with a letter or digit, "
            "followed by up to 63 letters, digits, dots, underscores or hyphens"
        )
    return name
