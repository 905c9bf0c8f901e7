"""The scripted server itself: routes, and what each request meets on its way.

Knows nothing of what replies say (`answering`) and when faults strike (`script`). Guarantees that replies, latencies
and faults are functions of the script, the request and how often its prompt came before, never of time or of other
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

from fastinstruct.scripted_server.answering import Answerer
from fastinstruct.scripted_server.calls import Call
from fastinstruct.scripted_server.connections import Connection, Route
from fastinstruct.scripted_server.faults import AT_ONCE, Fault, fault_answer
from fastinstruct.scripted_server.log import LogEntry, LogFile
from fastinstruct.scripted_server.messages import Answer, Head, error_answer, message, parse_head
from fastinstruct.scripted_server.replies import Replies
from fastinstruct.scripted_server.script import Script
from fastinstruct.scripted_server.stats import Stats

__all__ = ["ScriptedServer"]

_METHODS: Final = {
    "/v1/completions": "POST",
    "/v1/chat/completions": "POST",
    "/v1/models": "GET",
    "/health": "GET",
    "/stats": "GET",
}
_MAX_ROUTES: Final = 4096  # heads remembered: a client's differ in their Content-Length only


class ScriptedServer:
    """The server, on 127.0.0.1 within `async with`; leaving the block drops all connections.

    Args:
        script: what it answers.
        port: where it listens; 0 lets the system choose.
        log_file: gets each whole answer as a JSON line with the fields of `LogEntry`.
        log_every_s: writes these lines together, so often, and no longer before the answers leave.
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
        self.log: list[LogEntry] = []
        self.stats = Stats(time.monotonic())
        self.connections: set[Connection] = set()
        self._port, self._log_path, self._log_every_s = port, log_file, log_every_s
        self._keeps_log = keeps_log
        self._has_latency = not self.script.latency.is_none
        self._is_logged = keeps_log or log_file is not None
        self._log_file: LogFile | None = None
        self._is_bare = self.script.replies == Replies.CANNED and self.script.is_plain and not self._is_logged
        self._answerer = Answerer(self.script, needs_hash=self._is_logged or not self.script.is_plain)
        self._routes: dict[bytes, Route] = {}
        self._views = {"/health": self._serve_health, "/stats": self._serve_stats}
        self._num_entries = self._num_replies = 0
        self._seen: dict[str, tuple[int, int]] = {}  # prompt -> times seen, faults in a row up to now

    @property
    def num_in_flight(self) -> int:
        """Requests that came and are not answered."""
        return self.stats.num_in_flight

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._listener = await self._loop.create_server(lambda: Connection(self), "127.0.0.1", self._port, backlog=4096)
        self.base_url = f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}/v1"
        if self._log_path is not None:
            try:
                self._log_file = LogFile(self._log_path, every_s=self._log_every_s)
            except OSError:
                await self.__aexit__()
                raise
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
        self.stats.change_connections(1)

    def lost(self, connection: Connection) -> None:
        """Forget a connection, and end the request that it was waiting with."""
        self.connections.discard(connection)
        self.stats.change_connections(-1)
        if connection.call is not None:
            self._end(connection.call, None, None)

    def route(self, head: bytes) -> Route | Answer:
        """Where a request goes; the same heads come again and again, so they are read once."""
        route = self._routes.get(head)
        if route is None:
            parsed = parse_head(head)
            if isinstance(parsed, Answer):
                return parsed
            if len(self._routes) >= _MAX_ROUTES:
                self._routes.clear()
            route = self._routes[head] = Route(self._server_of(parsed), parsed.path, parsed.length, parsed.keeps_alive)
        return route

    def _server_of(self, head: Head) -> Callable[[Connection, Route, bytes], None]:
        """What serves requests with this head."""
        if _METHODS.get(head.path) != head.method:
            return self._refusing(error_answer(404, "not_found", f"no such route; there are {_METHODS}"))
        if head.path in self._views:
            return self._views[head.path]
        key = self.script.api_key
        if key is not None and head.headers.get("authorization") != f"Bearer {key}":
            return self._refusing(error_answer(401, "invalid_api_key", "the API key is wrong or missing"))
        if head.path == "/v1/models":
            return self._serve_models
        if self._is_bare:
            return self._serve_canned(message(Answer(200, self._answerer.canned_body(chat="chat" in head.path))))
        return self._serve_completion

    # ------------------------------------------------------------------------------------------------------ the routes

    def _serve_health(self, connection: Connection, _route: Route, _body: bytes) -> None:
        connection.send(Answer(200, b'{"status":"ok"}'))

    def _serve_stats(self, connection: Connection, _route: Route, _body: bytes) -> None:
        connection.send(Answer(200, orjson.dumps(self.stats.as_json(time.monotonic()))))

    def _serve_models(self, connection: Connection, route: Route, _: bytes) -> None:
        model = {"id": self.script.model, "object": "model", "created": 0, "owned_by": "fastinstruct"}
        self._answer_aside(connection, route, Answer(200, orjson.dumps({"object": "list", "data": [model]})))

    def _refusing(self, answer: Answer) -> Callable[[Connection, Route, bytes], None]:
        return lambda connection, route, _: self._answer_aside(connection, route, answer)

    def _serve_canned(self, reply: bytes) -> Callable[[Connection, Route, bytes], None]:
        """Serve with the same bytes, and count: nothing else, so that a client meets its own limits, not ours."""
        stats, clock, num_tokens = self.stats, time.monotonic, self._answerer.num_canned_tokens

        def serve(connection: Connection, _route: Route, _body: bytes) -> None:
            now_s = clock()
            stats.came(now_s)
            stats.granted(now_s, 0, num_tokens)
            stats.num_by_status[200] += 1
            connection.send_bytes(reply)

        return serve

    def _serve_completion(self, connection: Connection, route: Route, body: bytes) -> None:
        now_s = time.monotonic()
        self.stats.came(now_s)
        entry = self._entry(route.path, now_s)
        call = connection.call = Call(connection, entry)
        ask = self._answerer.read(route.path, body, entry)
        if isinstance(ask, Answer):
            self._answer(call, ask)
            return
        call.ask = ask
        self._draw_fault(entry)
        if entry.fault in AT_ONCE:
            self._complete(call)
            return
        if entry.fault is None:
            call.reply = reply = self._answerer.reply(ask, entry)
            self.stats.granted(now_s, ask.num_prompt_tokens, reply.num_tokens)
        self.stats.change_load(now_s, serving=1)
        call.is_serving = True
        self._serve(call)

    def _draw_fault(self, entry: LogEntry) -> None:
        if self.script.is_plain and not self._is_logged:
            return
        num_seen, faults_in_row = self._seen.get(entry.prompt_sha256, (0, 0))
        entry.attempt = num_seen + 1
        if faults_in_row < self.script.max_faults_per_prompt:
            entry.fault = self.script.drawn_fault(entry.prompt_sha256, entry.attempt)
        self._seen[entry.prompt_sha256] = (entry.attempt, faults_in_row + 1 if entry.fault else 0)

    def _serve(self, call: Call) -> None:
        delay_s = self.script.latency_s(call.entry.prompt_sha256) if self._has_latency else 0.0
        if call.entry.fault is Fault.HANG:
            return
        if delay_s:
            call.connection.timer = self._loop.call_later(delay_s, self._complete_later, call)
        else:
            self._complete(call)

    def _complete_later(self, call: Call) -> None:
        self._complete(call)
        call.connection.advance()

    def _complete(self, call: Call) -> None:
        fault, connection = call.entry.fault, call.connection
        if fault is None:
            self._reply(call)
        elif (answer := fault_answer(fault)) is not None:
            wait_s = self.script.retry_after_s
            if fault is Fault.RATE_LIMITED and wait_s is not None:
                answer = answer._replace(headers=f"Retry-After: {wait_s:g}\r\n")
            self._answer(call, answer)
        elif fault is Fault.TRUNCATED:
            connection.transport.write(message(Answer(200, b'{"id":"scr-0","choices":[{"text":"' + bytes(64)))[:-64])
            connection.transport.close()
        else:
            connection.transport.abort()

    def _reply(self, call: Call) -> None:
        assert call.ask is not None
        assert call.reply is not None
        self._num_replies += 1
        reply_id = f"scr-{self._num_replies}"
        body = self._answerer.body(call.ask, call.reply, reply_id=reply_id)
        self._answer(call, Answer(200, body), reply_id)

    # --------------------------------------------------------------------------------------------------- begin and end

    def _entry(self, path: str, now_s: float) -> LogEntry:
        entry = LogEntry(self._num_entries, path, now_s)
        self._num_entries += 1
        if self._keeps_log:
            self.log.append(entry)
        return entry

    def _answer_aside(self, connection: Connection, route: Route, answer: Answer) -> None:
        """Log and send an answer that the model has no part in."""
        entry = self._entry(route.path, time.monotonic())
        self._log(entry, answer.status)
        connection.send(answer)

    def _answer(self, call: Call, answer: Answer, reply_id: str | None = None) -> None:
        """Log the answer, then send it."""
        self._end(call, answer.status, reply_id)
        call.connection.send(answer)

    def _end(self, call: Call, status: int | None, reply_id: str | None) -> None:
        """Count and log a request that is being answered, or whose connection is gone."""
        call.connection.call = None
        entry, stats = call.entry, self.stats
        entry.reply_id = reply_id
        self._log(entry, status)
        stats.num_by_status[status] += 1
        if entry.fault is not None:
            stats.num_by_fault[entry.fault] += 1
        if call.is_serving:
            stats.change_load(entry.ended_s or 0.0, serving=-1)

    def _log(self, entry: LogEntry, status: int | None) -> None:
        entry.ended_s, entry.status = time.monotonic(), status
        if self._log_file is not None and status is not None:
            self._log_file.add(entry)
