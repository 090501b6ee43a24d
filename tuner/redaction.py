"""Secrets kept out of everything that a person or a file sees."""

import re

_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<userinfo>\S*)@")
_SECRET = r"[^\s=&?;]*(?:pass|pwd|token|secret|key|signature|credential)[^\s=&?;]*"
_PARAMETER = re.compile(rf"(?P<name>[?&;]{_SECRET}=)[^\s&;'\"]*", re.IGNORECASE)
_HIDDEN = "***"


def redact(text: str) -> str:
    """Return `text` with the secrets of every URL in it hidden: one URL, or an error about it.

    Hidden are passwords (`user:***@host`), a user part without one, which may be a token, and
    the values of parameters whose name speaks of a password, token, key or signature. A password
    with an unescaped `@` or `/` is hidden whole, at the price of what else lies before that `@`.
    """
    return _PARAMETER.sub(rf"\g<name>{_HIDDEN}", _USERINFO.sub(_without_secret, text))


def _without_secret(match: "re.Match[str]") -> str:
    user, colon, _ = match["userinfo"].partition(":")
    return f"{match['scheme']}{user + colon if colon else ''}{_HIDDEN}@"
