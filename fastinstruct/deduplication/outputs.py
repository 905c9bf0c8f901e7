"""Files of rows that appear under their name when they are whole.

Knows nothing of rows. While it is written, an output has a temporary name in the same folder; at the end it takes its
own. If anything fails, what was there before stays, and the rows so far are in NAME.partial. What is no regular file
(a pipe, /dev/null) is written to directly: there is nothing to replace.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

from fastinstruct.errors import InputError, StoreError
from fastinstruct.files.compression import Compressor, compressing

__all__ = ["Output", "Stream", "check_replaceable", "writing_to"]


class Stream(Protocol):
    """What kept rows go to when no file is named: stdout, or anything like it."""

    def write(self, line: bytes, /) -> object:
        """Add a line."""

    def flush(self) -> object:
        """Pass on what is held back."""


@contextmanager
def writing_to(name: str) -> Iterator[None]:
    """Report a full disk as what it is; that nobody reads on (a broken pipe) is for the caller to judge.

    Raises:
        StoreError: something under `name` could not be written.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StoreError(f"{name}: cannot be written: {error.strerror}") from error


def check_replaceable(path: Path, *, overwrite: bool) -> None:
    """Refuse what cannot be the name of an output, before any work is done.

    Raises:
        InputError: it is a folder, or exists and `overwrite` is not given.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file in it")
    if path.is_file() and not overwrite:
        raise InputError(f"{path}: exists already; give --overwrite to replace it, or another path")


class Output:
    """A file to be written from its start; a context manager. Its name's .gz or .zst compresses it.

    Raises:
        InputError: it cannot be created there.
        StoreError: the disk is full or fails.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._target = Path(os.path.realpath(path))
        self._is_special = self._target.exists() and not self._target.is_file()
        self._written = self._target if self._is_special else self._target.with_name(f".partial-{secrets.token_hex(8)}")
        self._file: IO[bytes] | None = None
        self._compressor: Compressor | None = None

    def __enter__(self) -> Output:
        try:
            self._target.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._written.open("wb")
        except OSError as error:
            raise InputError(f"{self._path}: cannot be written: {error.strerror}; give another path") from error
        try:
            self._compressor = compressing(self._file, self._target.name)
        except InputError:
            self._discard()
            raise
        return self

    def write(self, line: bytes) -> None:
        """Add a line, which ends with its line break."""
        assert self._file is not None  # the block has been entered
        try:
            (self._compressor or self._file).write(line)
        except OSError as error:
            raise self._failure(error) from error

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self._close()
            if not self._is_special:
                self._written.replace(self._target if kind is None else f"{self._target}.partial")
        except OSError as error:
            if kind is None:  # otherwise an earlier failure is being reported
                raise self._failure(error) from error

    def _close(self) -> None:
        assert self._file is not None
        with self._file:
            if self._compressor is not None:
                self._compressor.close()
            self._file.flush()
            if not self._is_special:
                os.fsync(self._file.fileno())

    def _discard(self) -> None:
        assert self._file is not None
        self._file.close()
        if not self._is_special:
            with suppress(OSError):
                self._written.unlink()

    def _failure(self, error: OSError) -> StoreError:
        return StoreError(f"{self._path}: cannot be written: {error.strerror}; what was there before is unchanged")
