"""What the scripted server remembers of each request, and the file that it writes it to.

Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import orjson

from fastinstruct.scripted_server.faults import Fault
from fastinstruct.scripted_server.replies import Kind

__all__ = ["LogEntry", "LogFile"]


@dataclass(slots=True)
class LogEntry:
    """One request. Times in seconds are `time.monotonic`'s; `status` is None where no whole answer was sent (or yet).

    `kind` is None and `prompt_sha256` empty where the model was asked nothing; `reply_id` is None but for its replies.
    `attempt` counts from 1 how often this prompt came.
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


class LogFile:
    """Appends entries to a file, one JSON object a line with the fields of `LogEntry`.

    Without `every_s` an entry is in the file when `add` returns: whoever has seen a byte of an answer finds it there,
    even after SIGKILL of either side. With it, entries are written together, at most so many seconds later.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path, *, every_s: float | None = None) -> None:
        self._stream = path.open("ab", buffering=0)
        self._every_s = every_s
        self._pending: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, entry: LogEntry) -> None:
        line = orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)
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
