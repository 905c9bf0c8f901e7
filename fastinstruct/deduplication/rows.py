"""Rows of JSON Lines files, with the text to compare.

Knows nothing of what becomes of them. Guarantees that a row's bytes are the file's, and that whatever is wrong is an
`InputError` of one line: `FILE:LINE: what is wrong; what to do`. Blank lines and a byte order mark are skipped; files
may be compressed; `-` is stdin.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn, cast

import orjson

from fastinstruct.deduplication.compression import damage, decompressed
from fastinstruct.errors import InputError
from fastinstruct.text.json_lines import BYTE_ORDER_MARK, json_complaint, json_type

__all__ = ["STDIN", "Row", "rows_of", "text_at"]

STDIN = Path("-")
_MAX_LINE = 1 << 26
_MAX_KEYS, _MAX_KEY = 8, 40  # that are named when the field is missing
_MISSING = object()


class Row(NamedTuple):
    """One line of a file: `number` counts lines from 1, `line` ends without a line break."""

    path: Path
    number: int
    line: bytes
    text: str


def rows_of(path: Path, field: str) -> Iterator[Row]:
    """The rows of a file; `field` names the text: a key, or keys and list places joined by dots.

    Raises:
        InputError: what is wrong with the file or the line.
    """
    with _opened(path) as file:
        number = 0
        while line := _next_line(file, path, number + 1):
            number += 1
            if number == 1:
                line = line.removeprefix(BYTE_ORDER_MARK)
            line = line.strip()
            if line:
                yield Row(path, number, line, _text(path, number, line, field))


def text_at(row: dict[str, Any], field: str) -> object:
    """The value that `field` names; a key that itself has the dots goes first. A sentinel that is no str if none."""
    found = row.get(field, _MISSING)
    if found is not _MISSING or "." not in field:
        return found
    value: Any = row
    for part in field.split("."):
        if isinstance(value, dict):
            value = value.get(part, _MISSING)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return _MISSING
    return value


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if path == STDIN:
        stdin = sys.stdin.buffer
        # Whatever stands in for it may not be able to peek.
        yield decompressed(stdin if isinstance(stdin, io.BufferedReader) else io.BufferedReader(cast(Any, stdin)))
        return
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; check the path") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; name the JSONL file in it") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or "not a valid path"
        raise InputError(f"{path}: cannot be read ({reason}); check the path and its permissions") from error
    with file:
        yield decompressed(file)


def _next_line(file: IO[bytes], path: Path, number: int) -> bytes:
    try:
        line = file.readline(_MAX_LINE + 1)
    except Exception as error:
        complaint = damage(error)
        if complaint is None and isinstance(error, OSError):
            complaint = f"cannot be read ({error.strerror}); check the file"
        if complaint is None:
            raise
        raise InputError(f"{path}:{number}: {complaint}") from error
    if len(line) > _MAX_LINE:
        _refuse(path, number, f"is longer than {_MAX_LINE >> 20} MiB; write one JSON object a line")
    return line


def _text(path: Path, number: int, line: bytes, field: str) -> str:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        _refuse(path, number, json_complaint(line, error))
    if not isinstance(row, dict):
        complaint = f"is {json_type(row)}, not an object; write one JSON object a line (jq -c '.[]' splits a list)"
        _refuse(path, number, complaint)
    value = text_at(row, field)
    if not isinstance(value, str):
        _refuse(path, number, _text_complaint(row, field, value))
    return value


def _text_complaint(row: dict[str, Any], field: str, value: object) -> str:
    if value is not _MISSING:
        return f"{field} is {json_type(value)}; name a string with --field"
    keys = [key[:_MAX_KEY] for key in row if key.isprintable()][:_MAX_KEYS]
    return f"has no field {field}; name the text with --field (it has {', '.join(keys) or 'none'})"


def _refuse(path: Path, number: int, complaint: str) -> NoReturn:
    raise InputError(f"{path}:{number}: {complaint}") from None
