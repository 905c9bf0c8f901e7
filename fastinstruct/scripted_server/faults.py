"""What can go wrong with an answer, and the bytes that say so.

Knows nothing of connections, time or chance: `script` draws the faults, `server` carries them out.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from fastinstruct.scripted_server.messages import Answer, error_answer

__all__ = ["AT_ONCE", "Fault", "fault_answer"]


class Fault(StrEnum):
    """What can go wrong with an answer; `Script.faults` says how often.

    `hang`: no answer while the connection lives. `malformed`: an HTML page with status 200. `reset`: closed without a
    byte. `truncated`: closed within the announced body.
    """

    RATE_LIMITED = "429"
    SERVER_ERROR = "500"
    HANG = "hang"
    MALFORMED = "malformed"
    RESET = "reset"
    TRUNCATED = "truncated"


AT_ONCE: Final = frozenset({Fault.RATE_LIMITED})
"""Faults that a server's front door answers: they take no latency."""

_ANSWERS: Final = {
    Fault.SERVER_ERROR: error_answer(500, "server_error", "the scripted server fails on purpose"),
    Fault.MALFORMED: Answer(200, b"<html><body>Bad gateway</body></html>", content_type="text/html"),
}


def fault_answer(fault: Fault) -> Answer | None:
    """The whole answer that a fault consists of; None where it is none."""
    return _ANSWERS.get(fault)
