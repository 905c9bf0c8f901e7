"""What the scripted server remembers of each request, and the file that it writes it to.

Knows nothing of HTTP. Guarantees that without `every_s` an entry is in the file when `add` returns: whoever has seen a
byte of an answer finds it there, even after SIGKILL of either side.
"""

from __future__ import annotations

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
    """Appends entries to a file, one JSON object a line with the fields of `LogEntry`."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("ab", buffering=0)

    def add(self, entry: LogEntry) -> None:
        self._stream.write(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))

    def close(self) -> None:
        self._stream.close()
