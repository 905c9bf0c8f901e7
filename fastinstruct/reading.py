"""The one door through which files that a user names are opened, to be read or locked.

Knows nothing of what is in them. Guarantees that opening waits for nobody and reading ends: a file is opened without
waiting, and what was opened is looked at, not its name, which may lead elsewhere by then. Devices and pipes are refused
where a file is meant, and no more is read as a whole than a file of that kind can need. What is wrong is an `OSError`
whose `strerror` says it, as for any other file that can't be read.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

__all__ = ["MOST_BYTES", "regular_descriptor", "regular_file", "streamed", "whole_file", "whole_text"]

MOST_BYTES = 1 << 28
"""256 MiB: no seed file, template or manifest is larger."""

# Windows has neither, and another one that is needed there.
_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_OPEN_ALREADY = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")  # as a shell's <(...), which ends


def regular_descriptor(path: str | Path, flags: int = os.O_RDONLY, mode: int = 0o666) -> int:
    """Open a regular file, or make one where `flags` say so; the descriptor is the caller's to close.

    Raises:
        OSError: it cannot be opened, or is a folder, a device or a pipe.
        ValueError: the path is none (it holds a NUL).
    """
    return _checked(_opened(path, flags, mode), path)


def regular_file(path: Path) -> BufferedReader:
    """Open a regular file to be read.

    Raises:
        OSError, ValueError: as `regular_descriptor`.
    """
    return os.fdopen(regular_descriptor(path), "rb")


def streamed(path: Path) -> BufferedReader:
    """Open what is to be read piece by piece and once: a pipe will do, too, and whoever writes to it is waited for.

    Raises:
        OSError: it cannot be opened, or is a folder.
        ValueError: the path is none (it holds a NUL).
    """
    return path.open("rb")


def whole_file(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """Return what a file holds, or a pipe that a shell has opened for us.

    Raises:
        OSError: it cannot be read, is a device or a pipe, or holds more than `most_bytes`.
        ValueError: the path is none (it holds a NUL).
    """
    descriptor = _checked(_opened(path), path, takes_pipe=str(path).startswith(_OPEN_ALREADY))
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        size = status.st_size if stat.S_ISREG(status.st_mode) else 0
        content = b"" if size > most_bytes else file.read(most_bytes + 1)
    if max(size, len(content)) > most_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {most_bytes >> 20 or 1} MiB", str(path))
    return content


def whole_text(path: Path, most_bytes: int = MOST_BYTES) -> str:
    """Return the text that a file holds in UTF-8, without a byte order mark, its line ends as newlines.

    Raises:
        OSError, ValueError: as `whole_file`; a `UnicodeDecodeError` is one.
    """
    return whole_file(path, most_bytes).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


def _opened(path: str | Path, flags: int = os.O_RDONLY, mode: int = 0o666) -> int:
    try:
        return os.open(path, flags | _AT_ONCE, mode)
    except OSError as error:
        if error.errno == errno.ENXIO:  # to write to a pipe that nobody reads
            raise OSError(errno.EINVAL, "it is a pipe or a socket, not a file", str(path)) from error
        raise


def _checked(descriptor: int, path: str | Path, *, takes_pipe: bool = False) -> int:
    """The descriptor of a regular file, or of a pipe where one is taken, from which reading waits again."""
    try:
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if stat.S_ISFIFO(kind) and takes_pipe:
            os.set_blocking(descriptor, True)
        elif stat.S_ISFIFO(kind):
            raise OSError(errno.EINVAL, "it is a pipe, not a file; write its content to one", str(path))
        elif not stat.S_ISREG(kind):
            raise OSError(errno.EINVAL, "it is a device, not a file", str(path))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
