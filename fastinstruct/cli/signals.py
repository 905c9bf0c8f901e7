"""Ctrl-C and SIGTERM: the first drains, the second aborts."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from fastinstruct.pipeline import Run

__all__ = ["handled"]


@contextmanager
def handled(run: Run, note: Callable[[str], None]) -> Iterator[None]:
    """Let SIGINT and SIGTERM end `run` while the context lasts; `note` tells the user what happens."""
    loop = asyncio.get_running_loop()
    num_received = 0

    def receive(name: str) -> None:
        nonlocal num_received
        num_received += 1
        if num_received == 1:
            note("finishing what is in flight; once more to abort")
            run.stop(name)
        else:
            note("aborting; what was stored is safe")
            run.abort()

    with suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt instead
        loop.add_signal_handler(signal.SIGINT, receive, "interrupt")
        loop.add_signal_handler(signal.SIGTERM, receive, "terminate")
    try:
        yield
    finally:
        with suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGINT)
            loop.remove_signal_handler(signal.SIGTERM)
