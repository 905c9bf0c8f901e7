"""What the scripted server remembers of each request, and the file that it writes it to.

Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path

import orjson

from fastinstruct.scripted_server.faults import Fault
from fastinstruct.scripted_server.replies import Kind
from fastinstruct.scripted_server.truths import Truth

__all__ = ["Log", "LogEntry"]


@dataclass(slots=True)
class LogEntry:
    """One request. Times in seconds are `time.monotonic`'s; `status` is None where no whole answer was sent (or yet).

    `kind` is None and `prompt_sha256` empty where the model was asked nothing; `reply_id` is None but for its replies.
    `attempt` counts from 1 how often this prompt came. Of canned requests nothing is read: they have no kind, and
    `prompt_sha256` is of their whole body. `truth` holds the rows of a styled or a JSON reply that no fault spoilt.
    """

    index: int
    path: str
    started_s: float
    kind: Kind | None = None
    prompt_sha256: str = ""
    attempt: int = 1
    ended_s: float | None = None
    status: int | None = None
    reply_id: str | None = None
    fault: Fault | None = None
    truth: Truth | None = None


class Log:
    """All requests in order of arrival, as they stand; the answered ones also as JSON lines in a file.

    Args:
        keeps: whether `entries` remembers the requests.
        path: the file, appended to from `open` to `close`; a line has the fields of `LogEntry`.
        every_s: without it a line is in the file when `end` returns: whoever has seen a byte of an answer finds it
            there, even after SIGKILL of either side. With it, lines are written together, so many seconds apart.
    """

    def __init__(self, *, keeps: bool, path: Path | None = None, every_s: float | None = None) -> None:
        self.entries: list[LogEntry] = []
        self.is_used = keeps or path is not None
        self._keeps, self._path, self._every_s = keeps, path, every_s
        self._num_entries = 0
        self._file: _File | None = None

    def open(self) -> None:
        """Raises: OSError: the file cannot be written."""
        if self._path is not None:
            self._file = _File(self._path, self._every_s)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def begin(self, path: str, now_s: float) -> LogEntry:
        """A new entry for a request to this path."""
        entry = LogEntry(self._num_entries, path, now_s)
        self._num_entries += 1
        if self._keeps:
            self.entries.append(entry)
        return entry

    def end(self, entry: LogEntry, status: int | None) -> None:
        """Complete the entry of a request that is about to be answered, or that no answer will reach."""
        entry.ended_s, entry.status = time.monotonic(), status
        if self._file is not None and status is not None:
            self._file.add(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))


class _File:
    def __init__(self, path: Path, every_s: float | None) -> None:
        # Without waiting for whoever may read a pipe one day: signals would not be heard meanwhile.
        at_once = getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | at_once, 0o666)
        os.set_blocking(descriptor, True)
        self._stream = os.fdopen(descriptor, "ab", buffering=0)
        self._every_s = every_s
        self._pending: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, line: bytes) -> None:
        if self._every_s is None:
            self._stream.write(line)
            return
        self._pending.append(line)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._every_s, self._flush)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._flush()
        self._stream.close()

    def _flush(self) -> None:
        self._timer = None
        self._stream.write(b"".join(self._pending))
        self._pending.clear()
