"""Ctrl-C and SIGTERM: for a run, the first drains and the second aborts; for other verbs, either ends them cleanly."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastinstruct.pipeline import Run

__all__ = ["EXIT_CODE_TERMINATED", "ended_by_sigterm", "handled"]

EXIT_CODE_TERMINATED = 143
"""What a shell makes of a process that SIGTERM ended."""


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, by an exception: what was begun is put in order.

    A second one ends the process at once.

    Raises:
        SystemExit: with the code of a process that SIGTERM ended.
    """

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise SystemExit(EXIT_CODE_TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def handled(run: Run, note: Callable[[str], None]) -> Iterator[None]:
    """Let SIGINT and SIGTERM end `run` while the context lasts; `note` tells the user what happens."""
    import asyncio

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
