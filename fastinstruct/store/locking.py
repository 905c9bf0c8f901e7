"""A lock on an open file that dies with its process, and whether a name still leads to a file that was opened.

Knows nothing of what it protects.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any

__all__ = ["is_still", "lock_exclusively"]


def lock_exclusively(file: IO[Any]) -> None:
    """Take an exclusive lock that the operating system drops with the process; OSError if somebody has it."""
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]  # Windows only
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_still(path: Path, opened: os.stat_result) -> bool:
    """Whether a path leads to the file of which this was the status, and not to another one or to nothing."""
    try:
        return os.path.samestat(path.stat(), opened)
    except OSError:
        return False
