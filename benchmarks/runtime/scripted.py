"""The scripted server in a process of its own, as the benchmarks of clients want it: on a core of its own.

Knows nothing of what is measured. Guarantees that the server has ended when the context has.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson


class Span(NamedTuple):
    """One request at the server, in seconds of `time.monotonic`; `kind` is the stage it recognised, if it read it."""

    started_s: float
    ended_s: float
    status: int
    kind: str | None


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs."""

    url: str
    pid: int
    log: Path | None

    @property
    def port(self) -> int:
        return int(self.url.removesuffix("/v1").rpartition(":")[2])

    def stats(self) -> dict[str, Any]:
        """All counts up to now (scripted_server/stats.py)."""
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/stats") as response:
            return dict(json.load(response))

    def spans(self) -> list[Span]:
        """What the log says of the requests that asked the model; whole once the server has ended."""
        assert self.log is not None
        lines = map(orjson.loads, self.log.read_bytes().splitlines())
        asked = (line for line in lines if line["path"].endswith("/completions"))
        return [Span(line["started_s"], line["ended_s"], line["status"], line["kind"]) for line in asked]


@contextmanager
def serving(*options: str, log: Path | None = None) -> Iterator[Server]:
    """Start a server with these options of `fastinstruct scripted-server`, on the last core."""
    command = [sys.executable, "-m", "fastinstruct", "scripted-server", "--port", "0", *options]
    command += ["--log", str(log)] if log is not None else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().split()[-1]
    if len(cores := allowed_cores()) > 1:
        os.sched_setaffinity(process.pid, {cores[-1]})
    try:
        yield Server(url, process.pid, log)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def stay_on_first_core() -> None:
    """Leave the last core to the server, and use one only: what is measured is a process on one core."""
    if len(cores := allowed_cores()) > 1:
        _first_and_last.update((cores[0], cores[-1]))
        os.sched_setaffinity(0, {cores[0]})


def allowed_cores() -> list[int]:
    """The cores that this process was given, but for where the platform does not tell."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    return sorted(_first_and_last | os.sched_getaffinity(0))


_first_and_last: set[int] = set()
