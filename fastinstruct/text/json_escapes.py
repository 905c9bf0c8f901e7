"""What stands between the quotes of a JSON string, decoded.

Knows nothing of where a string begins and ends. Takes any text, never raises, and takes time linear in its length.
"""

from __future__ import annotations

import json
import re

__all__ = ["decoded"]

_MAX_ODD_ESCAPES = 10_000
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})(?:\\u([dD][c-fC-F][0-9a-fA-F]{2}))?|(.)|\Z)", re.DOTALL)
_ESCAPED = {'"': '"', "'": "'", "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
# LaTeX whose backslashes are not doubled: "\frac" would be read as a form feed and "rac".
_LATEX = re.compile(
    r"(?<!\\)(?:\\\\)*+\\"
    r"(?:[bf][A-Za-z]|(?:right|rho|rangle|times|theta|neq|nabla)(?![a-z])|text\{)"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def decoded(raw: str) -> tuple[str, bool]:
    """What stands between two quotes, and whether its escapes leave no doubt."""
    if "\\" not in raw:
        return _SURROGATE.sub("\ufffd", raw), True
    is_certain = _LATEX.search(raw) is None
    try:
        text = str(json.loads(f'"{raw}"', strict=False))
    except ValueError:  # it holds quotes of another kind, or escapes that JSON has not
        if raw.count("\\") > _MAX_ODD_ESCAPES:
            return raw, False
        is_certain &= all(match[1] or match[3] in _ESCAPED for match in _ESCAPE.finditer(raw))
        text = _ESCAPE.sub(_unescaped, raw)
    return _SURROGATE.sub("\ufffd", text), is_certain


def _unescaped(match: re.Match[str]) -> str:
    code, low, character = match.groups()
    if code is None:
        return _ESCAPED.get(character, match[0])
    high = int(code, 16)
    if low is not None and 0xD800 <= high <= 0xDBFF:
        return chr(0x10000 + ((high - 0xD800) << 10) + int(low, 16) - 0xDC00)
    return chr(high) if low is None else f"{chr(high)}\ufffd"
