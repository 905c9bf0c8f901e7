"""The scripted server itself: where it listens, its connections and its routes.

Knows nothing of what becomes of a request that asks the model (`completions`). Guarantees that replies, latencies and
faults are functions of the script, the request and how often its prompt came before, never of time or of other
prompts, but for what a script expressly ties to them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

import orjson

from fastinstruct.scripted_server.completions import Completions
from fastinstruct.scripted_server.connections import Connection, Route
from fastinstruct.scripted_server.listening import Listener
from fastinstruct.scripted_server.log import Log, LogEntry
from fastinstruct.scripted_server.messages import Answer, Head, error_answer, parse_head
from fastinstruct.scripted_server.metrics import CONTENT_TYPE, Metrics, metrics_text
from fastinstruct.scripted_server.script import Script
from fastinstruct.scripted_server.stats import Stats

__all__ = ["ScriptedServer"]

_MAX_ROUTES: Final = 4096  # heads remembered: a client's differ in their Content-Length only
_LOADING: Final = error_answer(503, 503, "Loading model", kind="unavailable_error")
_HEALTHY: Final = Answer(200, b'{"status":"ok"}')
_WRONG_KEY: Final = error_answer(401, "invalid_api_key", "the API key is wrong or missing")


class ScriptedServer:
    """The server, on 127.0.0.1 within `async with`; leaving the block drops all connections.

    Args:
        script: what it answers.
        port: where it listens; 0 lets the system choose.
        log_file: gets each whole answer as a JSON line with the fields of `LogEntry`, before the answer leaves.
        log_every_s: writes these lines together instead, so many seconds apart.
        keeps_log: whether `log` remembers all requests, in order of arrival, as they stand now.

    Raises:
        OSError: the port is taken, or the log file cannot be written.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        port: int = 0,
        log_file: Path | None = None,
        log_every_s: float | None = None,
        keeps_log: bool = True,
    ) -> None:
        self.script = script or Script()
        self.base_url = ""
        self._stats = Stats(time.monotonic())
        self.connections: set[Connection] = set()
        self.idle_close_s = self.script.idle_close_s
        self._port = port
        self._log = Log(keeps=keeps_log, path=log_file, every_s=log_every_s)
        self._completions = Completions(self.script, self._stats, self._log)
        self._routes: dict[bytes, Route] = {}
        self._ready_s = 0.0

    @property
    def stats(self) -> Stats:
        """The counts up to now."""
        self._completions.count_canned()
        return self._stats

    @property
    def log(self) -> list[LogEntry]:
        """All requests but those for the server's own health and counts."""
        return self._log.entries

    @property
    def num_in_flight(self) -> int:
        """Requests that came and are not answered."""
        return self._stats.num_in_flight

    async def __aenter__(self) -> Self:
        script = self.script
        self._log.open()
        try:
            self._listener = Listener(self._port, after_s=script.ready_after_s, until_ready=script.until_ready)
            await self._listener.open(lambda: Connection(self))
        except OSError:
            self._log.close()
            raise
        self._ready_s = time.monotonic() + script.ready_after_s if script.ready_after_s else 0.0
        self.base_url = f"http://127.0.0.1:{self._listener.port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listener.close()
        if connections := list(self.connections):
            for connection in connections:
                connection.transport.abort()
            await asyncio.wait([connection.closed for connection in connections])
        self._log.close()

    # ------------------------------------------------------------------------------------- what a connection asks for

    def opened(self, connection: Connection) -> None:
        """Remember a connection that a client opened."""
        self.connections.add(connection)
        self._stats.change_connections(1)

    def lost(self, connection: Connection) -> None:
        """Forget a connection, and end the request that it was waiting with."""
        self.connections.discard(connection)
        self._stats.change_connections(-1)
        if connection.call is not None:
            self._completions.abandon(connection.call)

    def route(self, head: bytes) -> Route | Answer:
        """Where a request goes; the same heads come again and again, so they are read once."""
        route = self._routes.get(head)
        if route is None:
            parsed = parse_head(head)
            if isinstance(parsed, Answer):
                return parsed
            if len(self._routes) >= _MAX_ROUTES:
                self._routes.clear()
            serve = self._server_of(parsed)
            reads_body = serve != self._completions.serve_canned
            route = Route(serve, parsed.path, parsed.length, parsed.keeps_alive, reads_body)
            self._routes[head] = route
        return route

    def _server_of(self, head: Head) -> Callable[[Connection, Route, bytes], None]:
        """What serves requests with this head."""
        match (head.method, head.path):
            case ("GET", "/health"):
                return self._serve_health
            case ("GET", "/stats"):
                return self._serve_stats
            case ("GET", "/metrics") if self.script.metrics != Metrics.NONE:
                return self._serve_metrics
            case ("GET", "/v1/models"):
                return self._serve_models if self._has_key(head) else self._aside(_WRONG_KEY)
            case ("POST", "/v1/completions" | "/v1/chat/completions"):
                if not self._has_key(head):
                    return self._aside(_WRONG_KEY)
                return self._completions.serve_canned if self._completions.is_bare else self._serve_completion
            case _:
                return self._aside(error_answer(404, "not_found", "no such route"))

    def _serve_completion(self, connection: Connection, route: Route, body: bytes) -> None:
        if self._is_ready():
            self._completions.serve(connection, route, body)
        else:
            self._answer_aside(connection, route, _LOADING)

    def _is_ready(self) -> bool:
        return self._ready_s == 0 or time.monotonic() >= self._ready_s

    def _has_key(self, head: Head) -> bool:
        key = self.script.api_key
        return key is None or head.headers.get("authorization") == f"Bearer {key}"

    # -------------------------------------------------------------------------------- routes that ask the model nothing

    def _serve_health(self, connection: Connection, _route: Route, _body: bytes) -> None:
        connection.send(_HEALTHY if self._is_ready() else _LOADING)

    def _aside(self, answer: Answer) -> Callable[[Connection, Route, bytes], None]:
        """Serve with one and the same answer."""
        return lambda connection, route, _body: self._answer_aside(connection, route, answer)

    def _answer_aside(self, connection: Connection, route: Route, answer: Answer) -> None:
        self._log.end(self._log.begin(route.path, time.monotonic()), answer.status)
        connection.send(answer)

    def _serve_models(self, connection: Connection, route: Route, _body: bytes) -> None:
        if not self._is_ready():
            self._answer_aside(connection, route, _LOADING)
            return
        model = {"id": self._completions.model, "object": "model", "created": 0, "owned_by": "fastinstruct"}
        self._answer_aside(connection, route, Answer(200, orjson.dumps({"object": "list", "data": [model]})))

    def _serve_stats(self, connection: Connection, _route: Route, _body: bytes) -> None:
        connection.send(Answer(200, orjson.dumps(self.stats.as_json(time.monotonic()))))

    def _serve_metrics(self, connection: Connection, _route: Route, _body: bytes) -> None:
        model, stats = self._completions.model, self.stats
        load = {"num_serving": stats.num_serving, "num_waiting": stats.num_waiting}
        text = metrics_text(self.script.metrics, model, **load)
        connection.send(Answer(200, text.encode(), content_type=CONTENT_TYPE))
