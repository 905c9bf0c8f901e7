"""One client's connection to the scripted server: splits what arrives into requests, answered one after another.

Knows nothing of models or faults. A bare `asyncio.Protocol`: no task, no stream, no buffer but for a request
that has not arrived whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, cast
from typing import Protocol as Interface

from fastinstruct.scripted_server.log import LogEntry
from fastinstruct.scripted_server.messages import Answer, error_answer, message
from fastinstruct.scripted_server.shapes import Ask, Reply

__all__ = ["Call", "Connection", "Place", "Route", "Service"]

_MAX_HEAD_BYTES = 65536


class Route(NamedTuple):
    """Where requests with one and the same head go; `serve` gets their bodies, or nothing if none `reads_body`."""

    serve: Callable[[Connection, Route, bytes], None]
    path: str
    length: int
    keeps_alive: bool
    reads_body: bool = True


class Service(Interface):
    """What a connection needs of its server."""

    def route(self, head: bytes) -> Route | Answer:
        """Where a request goes; or the answer that refuses it, after which the connection is closed."""

    idle_close_s: float | None
    """Connections without a request for so long are closed."""

    def opened(self, connection: Connection) -> None: ...
    def lost(self, connection: Connection) -> None: ...


class Connection(asyncio.Protocol):
    """One client's connection; `call` is the request being served, `timer` what is to happen next."""

    transport: asyncio.Transport

    def __init__(self, service: Service) -> None:
        self.closed = asyncio.get_running_loop().create_future()
        self.call: Call | None = None
        self.num_requests = 0
        self.timer: asyncio.TimerHandle | None = None
        self._service = service
        self._route = service.route
        self._idle_close_s = service.idle_close_s
        self._buffer = b""
        self._keeps_alive = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._service.opened(self)
        if self._idle_close_s is not None:
            self._rest(self._idle_close_s)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self._service.lost(self)
        self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self.timer is not None and self.call is None:
            self.timer.cancel()
        self._buffer = self._buffer + data if self._buffer else data
        self.advance()

    def advance(self) -> None:
        """Begin the requests that have arrived whole, each once the one before is answered."""
        while self._buffer and self.call is None and not self.transport.is_closing():
            buffer = self._buffer
            end = buffer.find(b"\r\n\r\n")
            if end < 0 and len(buffer) <= _MAX_HEAD_BYTES:
                return
            route = self._route(buffer[:end]) if end >= 0 else _TOO_LONG
            if isinstance(route, Answer):
                self._keeps_alive = False
                self.send(route._replace(headers="Connection: close\r\n"))
                return
            end += 4
            size = end + route.length
            if len(buffer) < size:
                return
            self._buffer = buffer[size:] if len(buffer) > size else b""
            self._begin(route, buffer[end:size] if route.reads_body else b"")

    def _begin(self, route: Route, body: bytes) -> None:
        self._keeps_alive = route.keeps_alive
        self.num_requests += 1
        if self.timer is not None:
            self.timer.cancel()
        route.serve(self, route, body)

    def send(self, answer: Answer) -> None:
        self.send_bytes(message(answer))

    def send_bytes(self, answer: bytes) -> None:
        """Send a whole answer, and close where the client asked for it."""
        self.transport.write(answer)
        if not self._keeps_alive:
            self.transport.close()
        if self._idle_close_s is not None:
            self._rest(self._idle_close_s)

    def _rest(self, idle_close_s: float) -> None:
        """Wait for the next request, if not forever."""
        self.timer = asyncio.get_running_loop().call_later(idle_close_s, self.transport.close)


_TOO_LONG = error_answer(431, "bad_request", "the head of the request is too long")


class Place(Enum):
    """Where a request stands: at the door or gone, in the queue, or in a slot."""

    OUTSIDE = 0
    WAITING = 1
    SERVING = 2


@dataclass(slots=True, eq=False)
class Call:
    """A request being answered; `reply` is what the model says, unless a fault comes between."""

    connection: Connection
    entry: LogEntry
    ask: Ask | None = None
    reply: Reply | None = None
    place: Place = Place.OUTSIDE
