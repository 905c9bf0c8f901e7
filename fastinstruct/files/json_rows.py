r"""Rows of JSON Lines that every reader takes for one line each.

Knows nothing of what the rows say. JSON allows U+0085, U+2028 and U+2029 inside a string as they are, but
`str.splitlines()`, Node's readline and many editors end a line there; so they are written as the escapes `\u0085`,
`\u2028` and `\u2029`, which mean the same. All other characters that end a line are escaped in any JSON. The rows that
are ours hold no control character as it is either (DEL and C1, with which some terminals can be steered), for people
look at exports with `cat` and `head`. All else, such as U+FEFF or the marks of scripts that run from right to left,
stays as it is: an export is data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastinstruct.errors import InputError

__all__ = ["json_row", "on_one_line", "refuse_other_format"]

_SUFFIXES = frozenset({".json", ".jsonl", ".ndjson"})
_OTHERS_WITH_DIGITS = frozenset({".bz2", ".h5", ".hdf5", ".lz4", ".sqlite3", ".7z"})
_ENCODED = {character.encode(): f"\\u{ord(character):04x}".encode() for character in "\x85\u2028\u2029"}
_CONTROL = re.compile("[\x7f-\x9f\u2028\u2029]")


def json_row(row: Mapping[str, Any]) -> str:
    """Return a row as one line of JSON, in the characters it is written in, without the line's end."""
    line = json.dumps(row, ensure_ascii=False)
    if line.isascii() and "\x7f" not in line:  # as most are, and known at once
        return line
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def on_one_line(line: bytes) -> bytes:
    """Return a line of JSON, which is valid UTF-8, as it is but for the characters that would end it."""
    for character, escape in _ENCODED.items():
        if character in line:
            line = line.replace(character, escape)
    return line


def refuse_other_format(path: Path, *, compressions: tuple[str, ...] = ()) -> None:
    """Refuse the name of a file that says it is no JSON: whoever opens a.csv expects a table.

    A name without a suffix, or with one that holds a digit (run.2026-11), says nothing.

    Args:
        path: the file to be written.
        compressions: suffixes, such as .gz, that the file is compressed by.

    Raises:
        InputError: its suffix names another format.
    """
    name = Path(path.stem) if path.suffix.lower() in compressions else path
    suffix = name.suffix.lower()
    if (suffix and suffix not in _SUFFIXES and suffix[1:].isalpha()) or suffix in _OTHERS_WITH_DIGITS:
        raise InputError(f"{path}: JSON is written, not {suffix}; end the name in .jsonl (a row a line) or .json")
