"""Files that appear under their name when they are whole, or not at all.

Knows nothing of what is in them; how a file takes its place is said in store/replacement.py.
"""

from __future__ import annotations

from io import TextIOWrapper
from pathlib import Path
from typing import IO

from fastinstruct.store.replacement import Replacement

__all__ = ["NewFile"]


class NewFile:
    """A UTF-8 text file to be written from its start; a context manager that puts it in place at the end.

    If the block fails, it is removed and what was there before stays.

    Raises:
        InputError: it cannot be created there.
        StoreError: the disk is full or fails.
    """

    def __init__(self, path: Path) -> None:
        self._replacement = Replacement(path)
        self._file: IO[str] | None = None

    def __enter__(self) -> NewFile:
        self._file = TextIOWrapper(self._replacement.open(), encoding="utf-8", newline="\n")
        return self

    def write(self, text: str) -> None:
        """Add to the file."""
        assert self._file is not None  # the block has been entered
        try:
            self._file.write(text)
        except OSError as error:
            raise self._replacement.failure(error) from error

    def __exit__(self, kind: object, *_: object) -> None:
        assert self._file is not None
        try:
            if kind is None:
                self._file.flush()
                self._replacement.put()
        except OSError as error:
            raise self._replacement.failure(error) from error
        finally:
            self._replacement.discard()
