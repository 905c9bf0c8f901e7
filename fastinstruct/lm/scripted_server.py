"""An OpenAI-shaped model server over real HTTP on loopback, for tests, benchmarks and rehearsals: no model, no network.

Knows nothing of prompt templates, the client or the run; what it says is in `scripted_replies`. It speaks HTTP/1.1 with
keep-alive and Content-Length bodies on a bare asyncio.Protocol, with one timer a request and no task.

Guarantees that replies, latencies and faults are functions of the script, the request and how often its prompt came
before, never of time or of other prompts; that no prompt meets more than `max_faults_per_prompt` faults in a row, so
that runs end; and that an answer is in `log_file` before its first byte leaves.

    python -m fastinstruct.lm.scripted_server --port 0 --port-file PORT --log LOG --latency 0.02 --rate-429 0.05
"""

import argparse
import asyncio
import math
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from enum import StrEnum
from http import HTTPStatus
from io import FileIO
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple, Self, cast

import orjson

from fastinstruct.errors import ConfigError
from fastinstruct.lm.scripted_replies import (
    Ask,
    Kind,
    ReplyRates,
    read_ask,
    recognise,
    reply_body,
    reply_to,
    text_sha256,
    unit_draw,
)

__all__ = ["Fault", "Latency", "LogEntry", "Script", "ScriptedServer", "main"]

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Latency:
    """How long answers take: `base_s`, fixed; plus up to `width_s`, uniform; times a log-normal factor with `sigma`.

    So `Latency(1.0, sigma=0.8)` is log-normal with a median of one second, and `Latency(0.1, width_s=0.4)` is uniform.
    """

    base_s: float = 0.0
    width_s: float = 0.0
    sigma: float = 0.0

    def quantile(self, share: float) -> float:
        """Seconds below which this share, within (0, 1), of the latencies lie."""
        return (self.base_s + self.width_s * share) * math.exp(self.sigma * _NORMAL.inv_cdf(share))


class Fault(StrEnum):
    """What can go wrong with an answer; `Script` says how often."""

    RATE_LIMITED = "429"
    SERVER_ERROR = "500"
    HANG = "hang"
    MALFORMED = "malformed"
    RESET = "reset"
    TRUNCATED = "truncated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script(ReplyRates):
    """All that decides the server's answers. Rates are shares in 0..1; those of the six faults add up to 1 at most.

    `rate_hang`: no answer while the connection lives. `rate_malformed`: an HTML page with status 200. `rate_reset`:
    closed without a byte. `rate_truncated`: closed within the announced body. `retry_after_s`: sent with each 429.
    Raises ConfigError for a rate out of bounds.
    """

    seed: int = 0
    model: str = "scripted"
    api_key: str | None = None
    latency: Latency = Latency()
    rate_429: float = 0.0
    retry_after_s: float | None = None
    rate_500: float = 0.0
    rate_hang: float = 0.0
    rate_malformed: float = 0.0
    rate_reset: float = 0.0
    rate_truncated: float = 0.0
    max_faults_per_prompt: int = 2

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self) if "rate" in field.name.split("_")):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}: must be within 0..1, got {getattr(self, name)}")
        if sum(getattr(self, f"rate_{fault}") for fault in Fault) > 1 + 1e-9:
            raise ConfigError("rate_*: the rates of the faults must add up to 1 at most")

    def drawn_fault(self, prompt_sha256: str, attempt: int) -> Fault | None:
        """The fault that this attempt (from 1) at a prompt would meet, before the cap on faults in a row."""
        draw = unit_draw("fault", self.seed, prompt_sha256, attempt)
        for fault in Fault:
            draw -= getattr(self, f"rate_{fault}")
            if draw < 0:
                return fault
        return None

    def latency_s(self, prompt_sha256: str) -> float:
        """How long an answer to this prompt takes."""
        return self.latency.quantile(max(unit_draw("latency", self.seed, prompt_sha256), 1e-9))


class LogEntry(NamedTuple):
    """One request. Times are of the server's loop; `status` is None where no whole answer was sent (or not yet).

    `kind` is None and `prompt_sha256` empty where the model was asked nothing; `reply_id` is None but for its replies.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    path: str
    kind: Kind | None
    prompt_sha256: str
    started_s: float
    ended_s: float | None
    status: int | None
    attempt: int
    reply_id: str | None


class ScriptedServer:
    """The server, on 127.0.0.1 within `async with`; leaving the block drops all connections.

    `log` has all requests in order of arrival, as they stand now. `log_file` gets each whole answer as a JSON line: the
    fields of `LogEntry`, and id (its `reply_id`) and t (its `ended_s`).
    """

    def __init__(self, script: Script | None = None, *, port: int = 0, log_file: Path | None = None) -> None:
        self.script = script or Script()
        self.base_url = ""
        self.log: list[LogEntry] = []
        self.num_in_flight = 0
        self.max_in_flight_seen = 0
        self.connections: set[_Connection] = set()
        self._port, self._log_file = port, log_file
        self._log_stream: FileIO | None = None
        self._num_replies = 0
        self._seen: dict[str, tuple[int, int]] = {}  # prompt -> times seen, faults in a row up to now

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._listener = await self._loop.create_server(
            lambda: _Connection(self), "127.0.0.1", self._port, backlog=4096
        )
        if self._log_file is not None:
            self._log_stream = self._log_file.open("ab", buffering=0)
        self.base_url = f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        if connections := list(self.connections):
            for connection in connections:
                connection.transport.abort()
            await asyncio.wait([connection.closed for connection in connections])
        await self._listener.wait_closed()
        if self._log_stream is not None:
            self._log_stream.close()

    def begin(self, connection: "_Connection", head: "_Head", body: bytes) -> None:
        """Answer a request at once, or set the timer for it."""
        connection.entry = LogEntry(len(self.log), head.path, None, "", self._loop.time(), None, None, 1, None)
        self.log.append(connection.entry)
        self.num_in_flight += 1
        self.max_in_flight_seen = max(self.max_in_flight_seen, self.num_in_flight)
        ask = self._routed(head, body)
        if isinstance(ask, Ask):
            self._ask(connection, connection.entry, ask)
        else:
            connection.answer(*ask)

    def _routed(self, head: "_Head", body: bytes) -> Ask | tuple[int, bytes]:
        """What the model is asked, or the status and body of an answer that needs no model."""
        key, path = self.script.api_key, head.path
        if _ROUTES.get(path) != head.method:
            return _error(404, "not_found", f"no such route; there are {_ROUTES}")
        if path == "/health":
            return 200, b'{"status":"ok"}'
        if key is not None and head.headers.get("authorization") != f"Bearer {key}":
            return _error(401, "invalid_api_key", "the API key is wrong or missing")
        if path == "/v1/models":
            model = {"id": self.script.model, "object": "model", "created": 0, "owned_by": "fastinstruct"}
            return 200, orjson.dumps({"object": "list", "data": [model]})
        ask = read_ask(path, body)
        if isinstance(ask, str):
            return _error(400, "invalid_request", ask)
        if ask.model != self.script.model:
            return _error(404, "model_not_found", f"the model does not exist; {self.script.model!r} does")
        return ask

    def _ask(self, connection: "_Connection", entry: LogEntry, ask: Ask) -> None:
        script, prompt_sha256 = self.script, text_sha256(ask.prompt)
        num_seen, faults_in_row = self._seen.get(prompt_sha256, (0, 0))
        attempt = num_seen + 1
        fault = script.drawn_fault(prompt_sha256, attempt) if faults_in_row < script.max_faults_per_prompt else None
        self._seen[prompt_sha256] = (attempt, faults_in_row + 1 if fault else 0)
        entry = entry._replace(kind=recognise(ask.prompt), prompt_sha256=prompt_sha256, attempt=attempt)
        self.log[entry.index] = connection.entry = entry
        delay_s = script.latency_s(prompt_sha256)
        if fault is Fault.HANG:
            return
        if delay_s and fault is not Fault.RATE_LIMITED:
            connection.timer = self._loop.call_later(delay_s, self._answer_later, connection, ask, fault)
        else:
            self._answer(connection, ask, fault)

    def _answer_later(self, connection: "_Connection", ask: Ask, fault: Fault | None) -> None:
        self._answer(connection, ask, fault)
        connection.advance()

    def _answer(self, connection: "_Connection", ask: Ask, fault: Fault | None) -> None:
        if fault is None:
            self._num_replies += 1
            reply_id = f"scr-{self._num_replies}"
            reply = reply_to(ask, seed=self.script.seed, rates=self.script)
            connection.answer(200, orjson.dumps(reply_body(ask, reply, reply_id=reply_id)), reply_id=reply_id)
        elif fault is Fault.RATE_LIMITED:
            wait_s = self.script.retry_after_s
            header = "" if wait_s is None else f"Retry-After: {wait_s:g}\r\n"
            connection.answer(*_error(429, "rate_limit_exceeded", "too many requests"), headers=header)
        elif fault is Fault.SERVER_ERROR:
            connection.answer(*_error(500, "server_error", "the scripted server fails on purpose"))
        elif fault is Fault.MALFORMED:
            connection.answer(200, b"<html><body>Bad gateway</body></html>", content_type="text/html")
        elif fault is Fault.TRUNCATED:
            connection.transport.write(_message(200, b'{"id":"scr-0","choices":[{"text":"' + bytes(64))[:-64])
            connection.transport.close()
        else:
            connection.transport.abort()

    def end(self, entry: LogEntry) -> None:
        """Count and log a request that is being answered, or whose connection is gone."""
        self.num_in_flight -= 1
        self.log[entry.index] = entry
        if self._log_stream is not None and entry.status is not None:
            line = {**entry._asdict(), "id": entry.reply_id, "t": entry.ended_s}
            self._log_stream.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


_ROUTES = {"/v1/completions": "POST", "/v1/chat/completions": "POST", "/v1/models": "GET", "/health": "GET"}
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


def _error(status: int, code: str, message: str) -> tuple[int, bytes]:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return status, orjson.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


def _message(status: int, body: bytes, headers: str = "", content_type: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status} {_PHRASES[status]}\r\nContent-Type: {content_type}\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class _Head(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]  # by lower-case name
    length: int


def _parsed_head(head: str) -> _Head | tuple[int, bytes]:
    """The head of a request, or the status and body that refuse it."""
    request_line, *lines = head.split("\r\n")
    method, _, target = request_line.partition(" ")
    path, _, version = target.partition(" ")
    if not version.startswith("HTTP/1."):
        return _error(400, "bad_request", "not an HTTP/1.1 request")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = headers.get("content-length", "" if method == "POST" else "0")
    if "transfer-encoding" in headers or not length:
        return _error(411, "length_required", "a body needs a Content-Length")
    if not length.isdecimal():
        return _error(400, "bad_request", "Content-Length is not a number")
    return _Head(method, path.partition("?")[0], headers, int(length))


class _Connection(asyncio.Protocol):
    """One client's connection: splits requests, has them answered one after another."""

    transport: asyncio.Transport

    def __init__(self, server: ScriptedServer) -> None:
        self.closed = asyncio.get_running_loop().create_future()
        self.entry: LogEntry | None = None  # of the request being served
        self.timer: asyncio.TimerHandle | None = None
        self._server = server
        self._buffer = b""
        self._keep_alive = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self._end(None, None)
        self._server.connections.discard(self)
        self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self.advance()

    def advance(self) -> None:
        """Begin the requests that have arrived whole, each once the one before is answered."""
        while self.entry is None and not self.transport.is_closing():
            head, blank_line, rest = self._buffer.partition(b"\r\n\r\n")
            if not blank_line:
                return
            request = _parsed_head(head.decode("latin-1"))
            if not isinstance(request, _Head):
                self.transport.write(_message(*request, headers="Connection: close\r\n"))
                self.transport.close()
            elif len(rest) < request.length:
                return
            else:
                body, self._buffer = rest[: request.length], rest[request.length :]
                self._keep_alive = request.headers.get("connection", "").lower() != "close"
                self._server.begin(self, request, body)

    def answer(self, status: int, body: bytes, *, reply_id: str | None = None, **head: str) -> None:
        """Log the answer, then send it."""
        self._end(status, reply_id)
        self.transport.write(_message(status, body, **head))
        if not self._keep_alive:
            self.transport.close()

    def _end(self, status: int | None, reply_id: str | None) -> None:
        if self.entry is not None:
            now = asyncio.get_running_loop().time()
            self._server.end(self.entry._replace(ended_s=now, status=status, reply_id=reply_id))
            self.entry = None


async def _serve(script: Script, port: int, port_file: Path | None, log: Path | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with ScriptedServer(script, port=port, log_file=log) as server:
        if port_file is not None:
            _write_whole(port_file, server.base_url.removesuffix("/v1").rpartition(":")[2])
        sys.stdout.write(f"listening on {server.base_url}\n")
        sys.stdout.flush()
        await stop.wait()


def _write_whole(path: Path, text: str) -> None:
    """Write so that a reader never sees a part of it."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    partial.replace(path)


def _parser() -> argparse.ArgumentParser:
    """One option for each field of `Script`, and where to listen and log."""
    parser = argparse.ArgumentParser(prog="scripted_server", description="An OpenAI-shaped server without a model.")
    for name, kind in {"port": int, "port-file": Path, "log": Path, "api-key": str, "retry-after-s": float}.items():
        parser.add_argument(f"--{name}", type=kind, default=0 if kind is int else None)
    for name in ("latency", "latency-width", "latency-sigma"):
        parser.add_argument(f"--{name}", type=float, default=0.0)
    for field in fields(Script):
        if field.name not in {"latency", "api_key", "retry_after_s"}:
            parser.add_argument("--" + field.name.replace("_", "-"), type=type(field.default), default=field.default)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; `arguments` as on the command line."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    latency = Latency(given.pop("latency"), given.pop("latency_width"), given.pop("latency_sigma"))
    place = {name: given.pop(name) for name in ("port", "port_file", "log")}
    try:
        script = Script(latency=latency, **given)
    except ConfigError as error:
        parser.error(str(error))
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with suppress(ImportError):
        from uvloop import new_event_loop as loop_factory
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_serve(script, **place))


if __name__ == "__main__":
    main()
