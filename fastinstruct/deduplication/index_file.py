"""An index that is kept in a file from call to call.

Knows nothing of rows. Guarantees that two calls never work on one file (a lock file beside it), that a file is replaced
as a whole, at the end, or not at all, and that nothing stays of a call that was killed while it wrote.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from fastinstruct.deduplication.decisions import Method, new_index
from fastinstruct.errors import InputError
from fastinstruct.reading import regular_descriptor
from fastinstruct.replaceable import is_there, regular_target
from fastinstruct.similarity import LSHIndex, RougeIndex
from fastinstruct.similarity.snapshot import NewSnapshot, method_of, remove_leftovers
from fastinstruct.store.locking import lock_exclusively
from fastinstruct.tokenizer_names import goes_on_with

__all__ = ["IndexFile"]


class IndexFile:
    """The index of a file, or a new one if there is no such file; a context manager that holds the lock.

    Raises:
        InputError: another process uses it, it is damaged, of another version, method, threshold or tokenizer, or the
            folder cannot be written. Where `unicode` is asked for, any version of it will do.
    """

    def __init__(self, path: Path, threshold: float, tokenizer: str, method: Method = "exact") -> None:
        self._path = path
        self._method = method
        self._tokenizer = tokenizer
        self._lock: IO[bytes] | None = None
        self.index = new_index(threshold, tokenizer, method)

    def __enter__(self) -> IndexFile:
        regular_target(self._path)  # before a lock file is made beside what is no index
        self._take_lock()
        try:
            remove_leftovers(self._path)  # the lock is ours: nobody else is writing it
            if is_there(self._path):
                self.index = self._loaded()
        except BaseException:
            self.__exit__()
            raise
        return self

    def prepared(self) -> NewSnapshot:
        """The index as it is now, durable beside the file: `put` it in its place, or `discard` it."""
        return self.index.saved_beside(self._path)

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()  # which releases it; the empty file stays, as removing it would let two in
            self._lock = None

    def _take_lock(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = self._path.with_name(self._path.name + ".lock")
            self._lock = os.fdopen(regular_descriptor(lock, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab")
        except OSError as error:
            raise InputError(f"{self._path}: cannot be written: {error.strerror}; give another --index") from error
        try:
            lock_exclusively(self._lock)
        except OSError as error:
            self.__exit__()
            raise InputError(f"{self._path}: another process is using this index; wait for it") from error

    def _loaded(self) -> RougeIndex | LSHIndex:
        self._check("method", method_of(self._path), self._method)
        found = (RougeIndex if self._method == "exact" else LSHIndex).load(self._path)
        self._check("threshold", found.threshold, self.index.threshold)
        if not goes_on_with(found.tokenizer, self._tokenizer):
            self._check("tokenizer", found.tokenizer, self._tokenizer)
        return found

    def _check(self, name: str, there: object, here: object) -> None:
        if there != here:
            raise InputError(
                f"{self._path}: was made with {name} {there}, not {here}; give --{name} {there}, or another --index"
            )
