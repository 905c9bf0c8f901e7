"""What a connection suffers from faults that are no answer: silence, drips, half a body, a sudden end.

Knows nothing of what was asked and when faults strike. Guarantees that a connection misbehaved on is answered nothing
else: it ends with its client's leaving, or at once.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Final

from fastinstruct.scripted_server.connections import Connection
from fastinstruct.scripted_server.faults import Fault

__all__ = ["NO_ANSWER", "drip", "dripped", "misbehave"]

NO_ANSWER: Final = frozenset(
    {Fault.CLOSED, Fault.HANG, Fault.RESET, Fault.RESET_INSIDE, Fault.STALE, Fault.STALL, Fault.TRUNCATED}
)
"""Faults that `misbehave` is for."""

_RESET_AFTER_S: Final = 0.05  # so that the bytes before a reset arrive: a reset may overtake them
_DRIPPING_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
_BLANK_LINE: Final = b"1\r\n\n\r\n"


def misbehave(connection: Connection, fault: Fault, answer: bytes) -> None:
    """Let a connection suffer a fault; `answer` is what would have been sent, where the fault needs it."""
    transport = connection.transport
    match fault:
        case Fault.TRUNCATED:
            transport.write(answer[: -_half_body(answer)])
            transport.close()
        case Fault.STALL:
            transport.write(answer[: -_half_body(answer)])
        case Fault.RESET_INSIDE:
            transport.write(answer[: -_half_body(answer)])
            connection.timer = asyncio.get_running_loop().call_later(_RESET_AFTER_S, _reset, connection)
        case Fault.RESET:
            _reset(connection)
        case Fault.HANG:
            pass
        case _:
            transport.abort()


def drip(connection: Connection, every_s: float, num_drips: int | None, then: Callable[[], None]) -> None:
    """Send a head and blank lines, one each `every_s`: forever, or so many, `then` calling for the rest."""
    connection.transport.write(_DRIPPING_HEAD)
    _drip_on(connection, every_s, num_drips, then)


def dripped(body: bytes) -> bytes:
    """The bytes that end what `drip` began with a body."""
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def _drip_on(connection: Connection, every_s: float, num_left: int | None, then: Callable[[], None]) -> None:
    if num_left == 0:
        then()
        return
    connection.transport.write(_BLANK_LINE)
    num_left = None if num_left is None else num_left - 1
    loop = asyncio.get_running_loop()
    connection.timer = loop.call_later(every_s, _drip_on, connection, every_s, num_left, then)


def _half_body(answer: bytes) -> int:
    return max(1, (len(answer) - answer.index(b"\r\n\r\n") - 4) // 2)


def _reset(connection: Connection) -> None:
    """Close with RST in place of FIN."""
    opened: socket.socket = connection.transport.get_extra_info("socket")
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.transport.abort()
