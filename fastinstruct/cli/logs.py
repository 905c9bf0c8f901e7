"""What the package logs while a verb works, shown as lines for people."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["logged_to"]


@contextmanager
def logged_to(note: Callable[[str], None]) -> Iterator[None]:
    """Give every warning, with its level, to `note` and to nobody else."""
    logger = logging.getLogger("fastinstruct")
    handler = _Handler(note)
    logger.addHandler(handler)
    propagate, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


class _Handler(logging.Handler):
    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        self._note(f"{record.levelname.lower()}: {record.getMessage()}")
