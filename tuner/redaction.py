"""Hide secrets in text before it is printed, logged or stored."""

import re

_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,63}://)(?P<userinfo>\S*)@")
# names are bounded, or the time would be the square of the length of a text
_SECRET = r"[^\s=&?;]{0,99}(?:pass|pwd|token|secret|key|signature|credential)[^\s=&?;]{0,99}"
_PARAMETER = re.compile(rf"(?P<name>[?&;](?:sig|{_SECRET})=)[^\s&;'\"]*", re.IGNORECASE)
_MASK = "***"


def redact(text: str) -> str:
    """Return `text`, a URL or a message that quotes URLs, with the secrets in it masked.

    Masked are passwords (`user:***@host`), a user name without a password, since it may be a
    token, and the values of query parameters whose names contain pass, token, key or the like.
    A password with an unescaped `@` or `/` is masked whole, with all else before the last `@`.
    """
    return _PARAMETER.sub(rf"\g<name>{_MASK}", _USERINFO.sub(_mask_userinfo, text))


def _mask_userinfo(match: "re.Match[str]") -> str:
    user, colon, _ = match["userinfo"].partition(":")
    return f"{match['scheme']}{user + colon if colon else ''}{_MASK}@"
