"""An index that is kept in a file from call to call.

Knows nothing of rows. Guarantees that two calls never work on one file (a lock file beside it), and that a file is
replaced as a whole, at the end, or not at all.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO

from fastinstruct.errors import InputError
from fastinstruct.similarity import RougeIndex
from fastinstruct.store.locking import lock_exclusively

__all__ = ["IndexFile"]


class IndexFile:
    """The index of a file, or a new one if there is no such file; a context manager that holds the lock.

    Raises:
        InputError: another process uses it, it is damaged, of another version, threshold or tokenizer, or the folder
            cannot be written.
    """

    def __init__(self, path: Path, threshold: float, tokenizer: str) -> None:
        self._path = path
        self._threshold = threshold
        self._tokenizer = tokenizer
        self._lock: IO[bytes] | None = None
        self.index = RougeIndex(threshold, tokenizer)

    def __enter__(self) -> IndexFile:
        self._take_lock()
        try:
            if self._path.exists():
                self.index = RougeIndex.load(self._path)  # type: ignore[attr-defined,unused-ignore]  # comes with the new core
                self._check_settings()
        except BaseException:
            self.__exit__()
            raise
        return self

    def save(self) -> None:
        """Replace the file by the index as it is now."""
        self.index.save(self._path)  # type: ignore[attr-defined,unused-ignore]  # comes with the new core

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()  # which releases it; the empty file stays, as removing it would let two in
            self._lock = None

    def _take_lock(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = self._path.with_name(self._path.name + ".lock").open("ab")
        except OSError as error:
            raise InputError(f"{self._path}: cannot be written: {error.strerror}; give another --index") from error
        try:
            lock_exclusively(self._lock)
        except OSError as error:
            self.__exit__()
            raise InputError(f"{self._path}: another process is using this index; wait for it") from error

    def _check_settings(self) -> None:
        for name, there, here in (
            ("threshold", self.index.threshold, self._threshold),
            ("tokenizer", self.index.tokenizer, self._tokenizer),
        ):
            if there != here:
                raise InputError(
                    f"{self._path}: was made with {name} {there}, not {here}; give --{name} {there}, or another --index"
                )
