"""Files of a user that are read as a whole: seeds, templates, configurations, manifests.

Knows nothing of what is in them. Guarantees that reading ends: devices and pipes that nobody has opened yet are
refused before they are opened, and no more is read than a file of that kind can need. What is wrong is an `OSError`
whose `strerror` says it, as for any other file that can't be read.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

__all__ = ["MOST_BYTES", "whole_file", "whole_text"]

MOST_BYTES = 1 << 28
"""256 MiB: no seed file, template or manifest is larger."""

_OPEN_ALREADY = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")  # as a shell's <(...), which ends


def whole_file(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """Return what a file holds.

    Raises:
        OSError: it cannot be read, is a device or a pipe, or holds more than `most_bytes`.
        ValueError: the path is none (it holds a NUL).
    """
    kind = path.stat().st_mode
    if stat.S_ISCHR(kind) or stat.S_ISBLK(kind) or stat.S_ISSOCK(kind):
        raise OSError(errno.EINVAL, "it is a device, not a file", str(path))
    if stat.S_ISFIFO(kind) and not str(path).startswith(_OPEN_ALREADY):
        raise OSError(errno.EINVAL, "it is a pipe, not a file; write its content to one", str(path))
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size if stat.S_ISREG(kind) else 0
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
