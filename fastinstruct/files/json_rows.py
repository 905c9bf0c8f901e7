r"""Rows of JSON Lines that every reader takes for one line each.

Knows nothing of what the rows say. JSON allows U+0085, U+2028 and U+2029 inside a string as they are, but
`str.splitlines()`, Node's readline and many editors end a line there; so they are written as the escapes `\u0085`,
`\u2028` and `\u2029`, which mean the same. All other characters that end a line are escaped in any JSON. What ends no
line, such as U+FEFF or another control character, stays as it is: an export is data, and what may be shown on a
terminal is for those who show it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["json_row", "on_one_line"]

_ESCAPES = {character: f"\\u{ord(character):04x}" for character in "\x85\u2028\u2029"}
_ENCODED = {character.encode(): escape.encode() for character, escape in _ESCAPES.items()}


def json_row(row: Mapping[str, Any]) -> str:
    """Return a row as one line of JSON, in the characters it is written in, without the line's end."""
    line = json.dumps(row, ensure_ascii=False)
    # Looking for three characters that are rarely there takes a hundredth of the time of one `translate`.
    for character, escape in _ESCAPES.items():
        if character in line:
            line = line.replace(character, escape)
    return line


def on_one_line(line: bytes) -> bytes:
    """Return a line of JSON, which is valid UTF-8, as it is but for the characters that would end it."""
    for character, escape in _ENCODED.items():
        if character in line:
            line = line.replace(character, escape)
    return line
