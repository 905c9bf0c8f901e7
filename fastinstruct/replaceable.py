"""Where a file may take the place of what is at a path: only of a regular file, or of nothing.

Knows nothing of what is written. Guarantees that nobody who asks here first replaces a device, a pipe or a folder:
whoever may write to /dev could otherwise turn /dev/full into a file.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from fastinstruct.errors import InputError

__all__ = ["is_file", "is_folder", "is_replaceable", "is_there", "regular_target"]


def is_there(path: Path) -> bool:
    """Whether anything is at a path; links are followed. False, too, for what can't be a name or be looked at."""
    return _kind(path) is not None


def is_folder(path: Path) -> bool:
    """Whether a folder is at a path, as `is_there`."""
    return stat.S_ISDIR(_kind(path) or 0)


def is_file(path: Path) -> bool:
    """Whether a regular file is at a path, as `is_there`."""
    return stat.S_ISREG(_kind(path) or 0)


def _kind(path: Path) -> int | None:
    """The mode of what is at a path. `Path.exists` and its like raise for a name too long or a folder kept shut."""
    try:
        return path.stat().st_mode
    except (OSError, ValueError):
        return None


def is_replaceable(path: Path) -> bool:
    """Whether there is a regular file, or nothing, at a path; links are followed. False for what can't be a name."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError as error:  # whatever else keeps a file from being there, its writer will be told
        return error.errno != errno.ELOOP
    except ValueError:  # a zero byte
        return False


def regular_target(path: Path) -> Path:
    """The path with links followed, which names a regular file or nothing.

    Raises:
        InputError: it names a folder, a device, a pipe or links that go in a circle, or can't be a name.
    """
    if is_folder(path):
        raise InputError(f"{path}: is a folder; name a file in it")
    if not is_replaceable(path):
        raise InputError(f"{path}: is no regular file, and nothing else is ever replaced; give another path")
    return Path(os.path.realpath(path))
