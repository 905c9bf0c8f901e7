"""Rows of JSON Lines files, or of plain text files, with the text to compare.

Knows nothing of what becomes of them. Guarantees that a row's bytes are the file's, and that whatever is wrong is an
`InputError` of one line: `FILE:LINE: what is wrong; what to do`. Blank lines and a byte order mark are skipped; files
may be compressed; `-` is stdin.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn, cast

import orjson

from fastinstruct.errors import InputError
from fastinstruct.files.compression import damage, decompressed
from fastinstruct.reading import streamed
from fastinstruct.text.json_lines import (
    BYTE_ORDER_MARK,
    SPLIT_A_LIST,
    json_complaint,
    json_type,
    not_utf_8,
    repeated_key,
)

__all__ = ["MAX_TEXT_BYTES", "STDIN", "Row", "Source", "field_or_line", "rows_of", "text_at"]

STDIN = Path("-")
_MAX_LINE = 1 << 26
MAX_TEXT_BYTES = 1 << 21
"""2 MiB: comparing two texts of that length takes seconds, and the time grows with its square."""
_MAX_KEYS, _MAX_KEY = 8, 40  # that are named when the field is missing
_TOLD_BLANK = 1 << 16
_MISSING = object()


class Row(NamedTuple):
    """One line of a file: `number` counts lines from 1, `line` ends without a line break."""

    path: Path
    number: int
    line: bytes
    text: str


class Source(NamedTuple):
    """A file and which texts in it are meant.

    `field` names the text in a row of JSON: a key, or keys and list places joined by dots; None: every line is a text.
    `option` is what the user names a field with, for messages. A text of more than `max_text_bytes` is refused.
    """

    path: Path
    field: str | None
    option: str = "--field"
    max_text_bytes: int = MAX_TEXT_BYTES


def field_or_line(path: Path, given: str | None, default: str) -> str | None:
    """The field that holds a file's texts: the one `given`, else `default`; None for a .txt, whose lines are texts."""
    name = path.name.lower().removesuffix(".gz").removesuffix(".zst")
    return default if given is None and not name.endswith(".txt") else given


def rows_of(source: Source, on_blank: Callable[[int], None] = lambda count: None) -> Iterator[Row]:
    """The rows of a file, but for its blank lines, which `on_blank` is told of: how many, now and then and at the end.

    Raises:
        InputError: what is wrong with the file or the line.
    """
    path = source.path
    with _opened(path) as file:
        number = num_blank = 0
        while line := _next_line(file, path, number + 1):
            number += 1
            if number == 1:
                line = line.removeprefix(BYTE_ORDER_MARK)
            line = line.strip()
            if line:
                yield Row(path, number, line, _text(source, number, line))
                continue
            num_blank += 1
            if num_blank == _TOLD_BLANK:
                on_blank(num_blank)
                num_blank = 0
        on_blank(num_blank)


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
        file = streamed(path)
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


def _text(source: Source, number: int, line: bytes) -> str:
    if source.field is None:
        return _plain_text(source, number, line)
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        _refuse(source.path, number, json_complaint(line, error))
    if not isinstance(row, dict):
        _refuse(source.path, number, f"is {json_type(row)}, not an object; {SPLIT_A_LIST}")
    name = source.field.partition(".")[0]
    if line.count(b'"%s"' % name.encode()) > 1 and repeated_key(line) == name:
        _refuse(source.path, number, f"has the key {name} twice; keep one of them")
    value = text_at(row, source.field)
    if not isinstance(value, str):
        _refuse(source.path, number, _text_complaint(row, source, value))
    return _of_a_length_to_compare(source, number, value)


def _of_a_length_to_compare(source: Source, number: int, text: str) -> str:
    most = source.max_text_bytes
    if len(text) * 4 > most and (size := len(text.encode("utf-8", "surrogatepass"))) > most:
        told = f"its text is {size:,} bytes long; --max-text-bytes {size} takes it; time grows with its square"
        _refuse(source.path, number, told)
    return text


def _plain_text(source: Source, number: int, line: bytes) -> str:
    if number == 1 and line.startswith(b"{") and _is_object(line):
        # Taken for texts, its rows would be near nothing, and nobody would notice.
        complaint = f"is a JSON object, but each line of a .txt is a text; name the text in it with {source.option}"
        _refuse(source.path, number, complaint)
    try:
        return _of_a_length_to_compare(source, number, line.decode())
    except UnicodeDecodeError as fault:
        _refuse(source.path, number, not_utf_8(fault))


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def _text_complaint(row: dict[str, Any], source: Source, value: object) -> str:
    if value is not _MISSING:
        return f"{source.field} is {json_type(value)}; name a string with {source.option}"
    keys = [key[:_MAX_KEY] for key in row if key.isprintable()][:_MAX_KEYS]
    found = ", ".join(keys) or "none"
    return f"has no field {source.field}; name the text with {source.option} (it has {found})"


def _refuse(path: Path, number: int, complaint: str) -> NoReturn:
    raise InputError(f"{path}:{number}: {complaint}") from None
