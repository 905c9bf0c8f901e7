"""Secrets taken out of what a server says: it may echo a key whole, in part, in another case or encoded for a URL.

Knows nothing of errors or logs. Guarantees that of a secret of eight characters or more no eight characters in a row
are left, nor all of a shorter one. It is asked for failures only, so a run without one pays nothing for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from fastinstruct.lm.endpoints import Endpoint

__all__ = ["masked", "secrets_of"]

_PIECE = 8
_SHORTEST = 4  # what is shorter cannot be told from words
_MASK = "***"
_UNIT = re.compile(r"%(?:25)*+(?P<code>[0-9A-Fa-f]{2})|.", re.DOTALL)  # one character, however often it was encoded
_SECRET_HEADER = re.compile(r"auth|key|token|secret|cookie|password|signature", re.IGNORECASE)


def secrets_of(endpoint: Endpoint) -> tuple[list[str], list[str]]:
    """What of an endpoint is secret even in part, and what is only as a whole (words of other headers)."""
    parts = urlsplit(endpoint.base_url)
    pairs = [pair.partition("=")[2] for pair in parts.query.split("&")]
    even_in_part = [
        endpoint.api_key or "",
        parts.password or "",
        *pairs,
        *map(unquote, pairs),
        *endpoint.query.values(),
    ]
    whole = [parts.query]
    for name, value in endpoint.headers.items():
        (even_in_part if _SECRET_HEADER.search(name) else whole).extend([value, *value.split()])
    return [one for one in even_in_part if len(one) >= _SHORTEST], [one for one in whole if len(one) >= _SHORTEST]


def masked(text: str, even_in_part: Iterable[str], whole: Iterable[str] = ()) -> str:
    """The text without these secrets.

    Args:
        text: a server's words.
        even_in_part: no eight characters in a row of one of these are left, nor all of a shorter one.
        whole: these are taken out where they stand in full.
    """
    units = [(found, found["code"]) for found in _UNIT.finditer(text)]
    plain = "".join(_folded(chr(int(code, 16)) if code else found[0]) for found, code in units)
    hidden = bytearray(len(plain))
    for secret in sorted({*even_in_part}, key=len, reverse=True):
        folded = "".join(map(_folded, secret))
        _hide(hidden, plain, {folded[at : at + _PIECE] for at in range(max(1, len(folded) - _PIECE + 1))})
    for secret in whole:
        _hide(hidden, plain, {"".join(map(_folded, secret))})
    if not any(hidden):
        return text
    shown = [_MASK if hidden[at] else found[0] for at, (found, _) in enumerate(units)]
    return "".join(one for at, one in enumerate(shown) if not (at and hidden[at] and hidden[at - 1]))


def _folded(character: str) -> str:
    """A character without its case, still one character."""
    lower = character.lower()
    return lower if len(lower) == 1 else character


def _hide(hidden: bytearray, text: str, pieces: set[str]) -> None:
    """Mark where one of the pieces, which are of one length, stands in the text."""
    length = len(next(iter(pieces)))
    for at in range(len(text) - length + 1):
        if text[at : at + length] in pieces:
            hidden[at : at + length] = b"\x01" * length
