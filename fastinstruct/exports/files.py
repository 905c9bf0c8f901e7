"""Files that appear under their name when they are whole, or not at all.

Knows nothing of what is in them. What is no regular file (a pipe, a terminal, /dev/null) is written to directly: there
is nothing to replace.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from fastinstruct.errors import InputError, StoreError

__all__ = ["NewFile", "json_line"]


def json_line(row: Mapping[str, Any]) -> str:
    """A row as one line of JSON, in the characters it is written in, without the line's end."""
    return json.dumps(row, ensure_ascii=False)


class NewFile:
    """A UTF-8 text file to be written from its start; a context manager that puts it in place at the end.

    It is written under a temporary name in the same folder; if the block fails, that is removed and what was there
    before stays. Folders are made as needed, and symbolic links followed.

    Raises:
        InputError: it cannot be created there.
        StoreError: the disk is full or fails.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._target = Path(os.path.realpath(path))
        self._is_special = self._target.exists() and not self._target.is_file()
        self._written = self._target if self._is_special else self._target.with_name(f".partial-{secrets.token_hex(8)}")
        self._file: IO[str] | None = None

    def __enter__(self) -> NewFile:
        if self._target.is_dir():
            raise InputError(f"{self._path}: is a folder; name a file in it")
        try:
            self._target.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._written.open("w", encoding="utf-8", newline="\n")
        except OSError as error:
            raise InputError(f"{self._path}: cannot be written: {error.strerror}; give another path") from error
        return self

    def write(self, text: str) -> None:
        """Add to the file."""
        assert self._file is not None  # the block has been entered
        try:
            self._file.write(text)
        except OSError as error:
            raise self._failure(error) from error

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self._close(is_whole=kind is None)
        except OSError as error:
            if kind is None:  # otherwise an earlier failure is being reported
                raise self._failure(error) from error
        finally:
            if not self._is_special:
                self._written.unlink(missing_ok=True)

    def _close(self, *, is_whole: bool) -> None:
        assert self._file is not None
        with self._file:
            if is_whole and not self._is_special:
                self._file.flush()
                os.fsync(self._file.fileno())
        if is_whole and not self._is_special:
            self._written.replace(self._target)

    def _failure(self, error: OSError) -> StoreError:
        return StoreError(f"{self._path}: cannot be written: {error.strerror}; what was there before is unchanged")
