"""Files of rows that appear under their name when they are whole.

Knows nothing of rows. While it is written, an output has a temporary name in the same folder; at the end it takes its
own (store/replacement.py). If anything fails, what was there before stays, and the rows so far, if there are any, are
in NAME.partial, whose path is a note on the exception.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from fastinstruct.errors import InputError, StoreError
from fastinstruct.files.compression import Compressor, compressing
from fastinstruct.replaceable import is_file, is_folder
from fastinstruct.store.replacement import Replacement

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
    if is_folder(path):
        raise InputError(f"{path}: is a folder; name a file in it")
    if is_file(path) and not overwrite:
        raise InputError(f"{path}: exists already; give --overwrite to replace it, or another path")


class Output:
    """A file to be written from its start; a context manager. Its name's .gz or .zst compresses it.

    Raises:
        InputError: it cannot be created there.
        StoreError: the disk is full or fails.
    """

    def __init__(self, path: Path) -> None:
        self._replacement = Replacement(path)
        self._file: IO[bytes] | None = None
        self._compressor: Compressor | None = None
        self._is_empty = True

    def __enter__(self) -> Output:
        self._file = self._replacement.open()
        try:
            self._compressor = compressing(self._file, self._replacement.target.name)
        except InputError:
            self._replacement.discard()
            raise
        return self

    def write(self, line: bytes) -> None:
        """Add a line, which ends with its line break."""
        assert self._file is not None  # the block has been entered
        self._is_empty = False
        try:
            (self._compressor or self._file).write(line)
        except OSError as error:
            raise self._replacement.failure(error) from error

    def finish(self) -> None:
        """Make all that was written durable, under the temporary name; nothing may be written afterwards."""
        try:
            self._end_compression()
            self._replacement.make_durable()
        except OSError as error:
            raise self._replacement.failure(error) from error

    def _end_compression(self) -> None:
        compressor, self._compressor = self._compressor, None
        if compressor is not None:
            compressor.close()

    def __exit__(self, _: object, failure: BaseException | None, __: object) -> None:
        try:
            self._end_compression()
            if failure is None:
                self._replacement.put()
        except OSError as error:
            if failure is None:  # otherwise an earlier one is being reported
                raise self._replacement.failure(error) from error
        finally:
            if self._is_empty:
                self._replacement.discard()
            elif (partial := self._replacement.put_aside()) is not None and failure is not None:
                failure.add_note(str(partial))
