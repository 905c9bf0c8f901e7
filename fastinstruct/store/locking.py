"""A lock on an open file that dies with its process.

Knows nothing of what it protects.
"""

from __future__ import annotations

import os
from typing import IO, Any

__all__ = ["lock_exclusively"]


def lock_exclusively(file: IO[Any]) -> None:
    """Take an exclusive lock that the operating system drops with the process; OSError if somebody has it."""
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]  # Windows only
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
