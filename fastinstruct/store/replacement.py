"""A file that takes its place when it is whole.

Knows nothing of what is in it. While it is written, it has a hidden name in the same folder, and what was there before
stays. It is locked, and the lock dies with its process: so what a killed process left behind is known from what a
living one is writing, and is removed by the next call that writes a file of that name. What is no regular file (a pipe,
/dev/null) is written to directly: there is nothing to replace.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from fastinstruct.errors import InputError, StoreError
from fastinstruct.replaceable import is_folder, is_replaceable
from fastinstruct.store.locking import lock_exclusively

__all__ = ["Replacement"]

_TAKEN = frozenset({errno.EAGAIN, errno.EACCES, errno.EDEADLK})


class Replacement:
    """A file to be written from its start. Symbolic links are followed, and folders made as needed.

    `open` it, write, then `put` it in place, `put_aside` what there is of it, or `discard` it; after one of these, the
    others do nothing.
    """

    def __init__(self, path: Path) -> None:
        if "\0" in str(path):
            raise InputError(f"{str(path)!r}: cannot be written: no name holds a zero byte; give another path")
        self._path = path
        self.target = Path(os.path.realpath(path))
        self._is_special = not is_replaceable(self.target)
        self._written = self.target
        self._file: IO[bytes] | None = None

    def open(self) -> IO[bytes]:
        """The file to write to; it need not be closed.

        Raises:
            InputError: it cannot be created there.
        """
        if is_folder(self.target):
            raise InputError(f"{self._path}: is a folder; name a file in it")
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            if self._is_special:
                self._file = self.target.open("wb")
            else:
                self._remove_leftovers()
                self._file = self._new_file()
        except OSError as error:
            raise InputError(f"{self._path}: cannot be written: {error.strerror}; give another path") from error
        return self._file

    def make_durable(self) -> None:
        """Bring to the disk what was written so far.

        Raises:
            OSError: the disk is full or fails; the file is still to be put aside or discarded.
        """
        if self._file is not None:
            self._file.flush()
            if not self._is_special:
                os.fsync(self._file.fileno())

    def put(self) -> None:
        """Make the file durable and put it in its place.

        Raises:
            OSError: the disk is full or fails; the file is still to be put aside or discarded.
        """
        if self._file is None:
            return
        self.make_durable()
        self._rename(self._file, self.target)
        self._file = None

    def put_aside(self) -> Path | None:
        """Name what there is of the file NAME.partial, as far as the disk allows; the path, or None if it could not."""
        put = None
        if self._file is not None:
            aside = Path(f"{self.target if self._path.is_symlink() else self._path}.partial")
            with suppress(OSError):
                if is_replaceable(aside):
                    self._rename(self._file, aside)
                    put = None if self._is_special else aside
        self.discard()
        return put

    def discard(self) -> None:
        """Close the file, and remove it if it still has its hidden name."""
        if self._file is None:
            return
        with suppress(OSError):
            self._file.close()
        if not self._is_special:
            with suppress(OSError):
                self._written.unlink(missing_ok=True)
        self._file = None

    def failure(self, error: OSError) -> StoreError:
        """What to report when writing fails."""
        return StoreError(f"{self._path}: cannot be written: {error.strerror}; what was there before is unchanged")

    def _rename(self, file: IO[bytes], name: Path) -> None:
        if os.name == "nt" or self._is_special:
            file.close()  # Windows renames no open file
        if not self._is_special:
            self._written.replace(name)  # before it is closed: unlocked, it would look like a leftover
        file.close()

    def _new_file(self) -> IO[bytes]:
        while True:
            self._written = self.target.with_name(f".{self.target.name}.{secrets.token_hex(4)}.new")
            file = self._written.open("xb")
            if _lock(file) and self._written.exists():
                return file
            file.close()  # somebody took it for a leftover between the two lines above

    def _remove_leftovers(self) -> None:
        for leftover in self._others():
            with suppress(OSError), leftover.open("r+b") as file:
                lock_exclusively(file)  # fails if its writer lives, or where there are no locks
                leftover.unlink()

    def _others(self) -> Iterator[Path]:
        pattern = re.compile(re.escape(f".{self.target.name}.") + "[0-9a-f]{8}[.]new")
        return (path for path in self.target.parent.iterdir() if pattern.fullmatch(path.name))


def _lock(file: IO[bytes]) -> bool:
    """Lock a file that is new; False if somebody else has. Where there are no locks, nobody removes leftovers."""
    try:
        lock_exclusively(file)
    except OSError as error:
        return error.errno not in _TAKEN
    return True
