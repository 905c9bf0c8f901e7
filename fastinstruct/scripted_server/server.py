"""The scripted server itself: routes, what each request meets, and the counts of it.

Knows nothing of what replies say (`replies`) and when faults strike (`script`). Guarantees that replies, latencies and
faults are functions of the script, the request and how often its prompt came before, never of time or of other
prompts; that no prompt meets more than `max_faults_per_prompt` faults in a row, so that runs end; and that an answer is
in `log_file` before its first byte leaves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

import orjson

from fastinstruct.scripted_server.connections import Connection, Route
from fastinstruct.scripted_server.faults import AT_ONCE, Fault, fault_answer
from fastinstruct.scripted_server.log import LogEntry, LogFile
from fastinstruct.scripted_server.messages import Answer, Head, error_answer, message, parse_head
from fastinstruct.scripted_server.replies import Ask, read_ask, recognise, reply_body, reply_to, text_sha256
from fastinstruct.scripted_server.script import Script

__all__ = ["ScriptedServer"]

_METHODS: Final = {"/v1/completions": "POST", "/v1/chat/completions": "POST", "/v1/models": "GET", "/health": "GET"}
_MAX_ROUTES: Final = 4096  # heads remembered: a client's differ in their Content-Length only


class ScriptedServer:
    """The server, on 127.0.0.1 within `async with`; leaving the block drops all connections.

    Args:
        script: what it answers.
        port: where it listens; 0 lets the system choose.
        log_file: gets each whole answer as a JSON line with the fields of `LogEntry`.
        keeps_log: whether `log` remembers all requests, in order of arrival, as they stand now.

    Raises:
        OSError: the port is taken, or the log file cannot be written.
    """

    def __init__(
        self, script: Script | None = None, *, port: int = 0, log_file: Path | None = None, keeps_log: bool = True
    ) -> None:
        self.script = script or Script()
        self.base_url = ""
        self.log: list[LogEntry] = []
        self.num_in_flight = 0
        self.max_in_flight_seen = 0
        self.connections: set[Connection] = set()
        self._port, self._log_path, self._keeps_log = port, log_file, keeps_log
        self._log_file: LogFile | None = None
        self._routes: dict[bytes, Route] = {}
        self._num_requests = self._num_replies = 0
        self._seen: dict[str, tuple[int, int]] = {}  # prompt -> times seen, faults in a row up to now

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        if self._log_path is not None:
            self._log_file = LogFile(self._log_path)
        self._listener = await self._loop.create_server(lambda: Connection(self), "127.0.0.1", self._port, backlog=4096)
        self.base_url = f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        if connections := list(self.connections):
            for connection in connections:
                connection.transport.abort()
            await asyncio.wait([connection.closed for connection in connections])
        await self._listener.wait_closed()
        if self._log_file is not None:
            self._log_file.close()

    # ------------------------------------------------------------------------------------- what a connection asks for

    def opened(self, connection: Connection) -> None:
        """Remember a connection that a client opened."""
        self.connections.add(connection)

    def lost(self, connection: Connection) -> None:
        """Forget a connection, and end the request that it was waiting with."""
        self._end(connection, None, None)
        self.connections.discard(connection)

    def route(self, head: bytes) -> Route | Answer:
        """Where a request goes; the same heads come again and again, so they are read once."""
        route = self._routes.get(head)
        if route is None:
            parsed = parse_head(head)
            if isinstance(parsed, Answer):
                return parsed
            if len(self._routes) >= _MAX_ROUTES:
                self._routes.clear()
            route = self._routes[head] = self._routed(parsed)
        return route

    def _routed(self, head: Head) -> Route:
        key = self.script.api_key
        serve: Callable[[Connection, Route, bytes], None] = self._serve_completion
        if _METHODS.get(head.path) != head.method:
            serve = self._serve_unknown
        elif head.path == "/health":
            serve = self._serve_health
        elif key is not None and head.headers.get("authorization") != f"Bearer {key}":
            serve = self._serve_wrong_key
        elif head.path == "/v1/models":
            serve = self._serve_models
        return Route(serve, head.path, head.length, head.keeps_alive)

    # ------------------------------------------------------------------------------------------------------ the routes

    def _serve_unknown(self, connection: Connection, route: Route, _: bytes) -> None:
        self._begin(connection, route)
        self._answer(connection, error_answer(404, "not_found", f"no such route; there are {_METHODS}"))

    def _serve_wrong_key(self, connection: Connection, route: Route, _: bytes) -> None:
        self._begin(connection, route)
        self._answer(connection, error_answer(401, "invalid_api_key", "the API key is wrong or missing"))

    def _serve_health(self, connection: Connection, route: Route, _: bytes) -> None:
        self._begin(connection, route)
        self._answer(connection, Answer(200, b'{"status":"ok"}'))

    def _serve_models(self, connection: Connection, route: Route, _: bytes) -> None:
        self._begin(connection, route)
        model = {"id": self.script.model, "object": "model", "created": 0, "owned_by": "fastinstruct"}
        self._answer(connection, Answer(200, orjson.dumps({"object": "list", "data": [model]})))

    def _serve_completion(self, connection: Connection, route: Route, body: bytes) -> None:
        entry = self._begin(connection, route)
        ask = read_ask(route.path, body)
        if isinstance(ask, str):
            self._answer(connection, error_answer(400, "invalid_request", ask))
        elif ask.model != self.script.model:
            told = f"the model does not exist; {self.script.model!r} does"
            self._answer(connection, error_answer(404, "model_not_found", told))
        else:
            entry.kind, entry.prompt_sha256 = recognise(ask.prompt), text_sha256(ask.prompt)
            self._draw_fault(entry)
            self._serve_ask(connection, entry, ask)

    def _draw_fault(self, entry: LogEntry) -> None:
        num_seen, faults_in_row = self._seen.get(entry.prompt_sha256, (0, 0))
        entry.attempt = num_seen + 1
        if faults_in_row < self.script.max_faults_per_prompt:
            entry.fault = self.script.drawn_fault(entry.prompt_sha256, entry.attempt)
        self._seen[entry.prompt_sha256] = (entry.attempt, faults_in_row + 1 if entry.fault else 0)

    def _serve_ask(self, connection: Connection, entry: LogEntry, ask: Ask) -> None:
        delay_s = 0.0 if entry.fault in AT_ONCE else self.script.latency_s(entry.prompt_sha256)
        if entry.fault is Fault.HANG:
            return
        if delay_s:
            connection.timer = self._loop.call_later(delay_s, self._complete_later, connection, entry, ask)
        else:
            self._complete(connection, entry, ask)

    def _complete_later(self, connection: Connection, entry: LogEntry, ask: Ask) -> None:
        self._complete(connection, entry, ask)
        connection.advance()

    def _complete(self, connection: Connection, entry: LogEntry, ask: Ask) -> None:
        fault = entry.fault
        if fault is None:
            self._num_replies += 1
            reply_id = f"scr-{self._num_replies}"
            reply = reply_to(ask, seed=self.script.seed, rates=self.script)
            self._answer(connection, Answer(200, orjson.dumps(reply_body(ask, reply, reply_id=reply_id))), reply_id)
        elif (answer := fault_answer(fault)) is not None:
            wait_s = self.script.retry_after_s
            if fault is Fault.RATE_LIMITED and wait_s is not None:
                answer = answer._replace(headers=f"Retry-After: {wait_s:g}\r\n")
            self._answer(connection, answer)
        elif fault is Fault.TRUNCATED:
            connection.transport.write(message(Answer(200, b'{"id":"scr-0","choices":[{"text":"' + bytes(64)))[:-64])
            connection.transport.close()
        else:
            connection.transport.abort()

    # ----------------------------------------------------------------------------------------------- begin and end

    def _begin(self, connection: Connection, route: Route) -> LogEntry:
        entry = connection.entry = LogEntry(self._num_requests, route.path, time.monotonic())
        self._num_requests += 1
        if self._keeps_log:
            self.log.append(entry)
        self.num_in_flight += 1
        self.max_in_flight_seen = max(self.max_in_flight_seen, self.num_in_flight)
        return entry

    def _answer(self, connection: Connection, answer: Answer, reply_id: str | None = None) -> None:
        """Log the answer, then send it."""
        self._end(connection, answer.status, reply_id)
        connection.send(answer)

    def _end(self, connection: Connection, status: int | None, reply_id: str | None) -> None:
        """Count and log a request that is being answered, or whose connection is gone."""
        entry, connection.entry = connection.entry, None
        if entry is None:
            return
        self.num_in_flight -= 1
        entry.ended_s, entry.status, entry.reply_id = time.monotonic(), status, reply_id
        if self._log_file is not None and status is not None:
            self._log_file.add(entry)
