"""The evaluation files that a run keeps away from: what they hold, and where one of their texts stands.

Knows nothing of similarity or runs. A text's position counts the texts of all files in their order, from 0; blank lines
do not count. What a file holds is its texts: other fields, compression and blank lines make it no other file.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any

from fastinstruct.errors import InputError
from fastinstruct.files.rows import Row, Source, rows_of

__all__ = ["AgainstFile", "Place", "dumped", "fingerprint", "loaded", "places", "surveyed", "texts_of"]

_OPTION = "--against-field, or field in similarity.against"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgainstFile:
    """A file as it was read. `field` None: its lines are texts. `num_blank` counts the blank lines between texts."""

    path: Path
    field: str | None
    num_texts: int
    num_blank: int
    sha256: str
    """Of the texts, in order, each with its length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a text stands: the `number`-th of `path`, from 1. Line and text are None where the file has changed."""

    path: Path
    number: int
    line: int | None = None
    text: str | None = None

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line is not None else f"text {self.number} of {self.path}"


class _Reading:
    """One pass over a file, which knows at its end what it held."""

    def __init__(self, path: Path, field: str | None) -> None:
        self._source = Source(path, field, _OPTION)
        self._digest = hashlib.sha256()
        self._num_texts = self._num_blank = 0

    def __iter__(self) -> Iterator[Row]:
        _refuse_special(self._source.path)
        expected = 1
        for row in rows_of(self._source):
            text = row.text.encode()
            self._digest.update(len(text).to_bytes(8, "little") + text)
            self._num_texts += 1
            self._num_blank += row.number - expected
            expected = row.number + 1
            yield row

    def file(self) -> AgainstFile:
        return AgainstFile(
            path=self._source.path,
            field=self._source.field,
            num_texts=self._num_texts,
            num_blank=self._num_blank,
            sha256=self._digest.hexdigest(),
        )


def _refuse_special(path: Path) -> None:
    """Refuse a pipe: it could be read only once. What else may be wrong with a path, `rows_of` says."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return
    if not (S_ISREG(mode) or S_ISDIR(mode)):
        raise InputError(f"{path}: is no regular file, and it is read again when the run goes on; name a file")


def surveyed(path: Path, field: str | None, look: Callable[[Row], None]) -> AgainstFile:
    """Read a file once, showing each of its rows to `look`.

    Raises:
        InputError: what is wrong with the file or a line, or that it holds no text.
    """
    reading = _Reading(path, field)
    for row in reading:
        look(row)
    found = reading.file()
    if not found.num_texts:
        raise InputError(f"{path}: holds no text to keep away from; check the path in similarity.against")
    return found


def texts_of(files: Iterable[AgainstFile]) -> Iterator[str]:
    """Read the files again: their texts, by position.

    Raises:
        InputError: a file is no longer what it was; its texts have been given by then.
    """
    for file in files:
        reading = _Reading(file.path, file.field)
        for row in reading:
            yield row.text
        if reading.file().sha256 != file.sha256:
            raise InputError(f"{file.path}: changed while it was read; run the same command again")


def fingerprint(files: Sequence[AgainstFile]) -> str:
    """A hash of what the files hold, in their order; not of their names."""
    return hashlib.sha256("\n".join(file.sha256 for file in files).encode()).hexdigest()


def places(files: Sequence[AgainstFile], positions: Iterable[int]) -> dict[int, Place]:
    """Where the texts at these positions stand; each file that is needed is read once, and none may be there.

    Positions that the files do not have are left out.
    """
    ends = list(accumulate(file.num_texts for file in files))
    wanted: dict[int, dict[int, int]] = {}  # the file's place in the list -> the text's number in it -> position
    for position in positions:
        place = bisect_right(ends, position)
        if position >= 0 and place < len(files):
            number = position - ends[place] + files[place].num_texts + 1
            wanted.setdefault(place, {})[number] = position
    found: dict[int, Place] = {}
    for place, numbers in wanted.items():
        rows = _rows_at(files[place], numbers)
        for number, position in numbers.items():
            line, text = rows.get(number, (None, None))
            found[position] = Place(path=files[place].path, number=number, line=line, text=text)
    return found


def _rows_at(file: AgainstFile, numbers: Iterable[int]) -> dict[int, tuple[int, str]]:
    """Line and text of these texts of a file; nothing if it is gone, or holds something else by now."""
    wanted = set(numbers)
    reading = _Reading(file.path, file.field)
    with suppress(InputError):
        rows = {number: (row.number, row.text) for number, row in enumerate(reading, start=1) if number in wanted}
        if reading.file().sha256 == file.sha256:
            return rows
    return {}


def dumped(files: Iterable[AgainstFile]) -> str:
    """The files as JSON, with full paths, to be found again from any folder."""
    return json.dumps(
        [
            {
                "path": str(file.path.absolute()),
                "field": file.field,
                "num_texts": file.num_texts,
                "num_blank": file.num_blank,
                "sha256": file.sha256,
            }
            for file in files
        ]
    )


def loaded(text: str | None) -> tuple[AgainstFile, ...]:
    """The files of `dumped`; none where there is nothing, or something else."""
    try:
        return tuple(_file(item) for item in json.loads(text or "[]"))
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return ()


def _file(item: dict[str, Any]) -> AgainstFile:
    return AgainstFile(
        path=Path(item["path"]),
        field=None if item["field"] is None else str(item["field"]),
        num_texts=int(item["num_texts"]),
        num_blank=int(item["num_blank"]),
        sha256=str(item["sha256"]),
    )
