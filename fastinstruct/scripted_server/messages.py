"""HTTP/1.1 as the scripted server speaks it: the heads of requests in, the bytes of answers out. Pure functions.

Knows nothing of sockets, routes or models. Bodies of requests need a Content-Length, as API clients send it.
"""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import Final, NamedTuple

import orjson

__all__ = ["Answer", "Head", "error_answer", "message", "parse_head"]

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus} | {498: "No Capacity", 529: "Overloaded"}

_MAX_BODY_BYTES: Final = 2**26


class Answer(NamedTuple):
    """A whole answer; `headers` are lines of their own, each ended by CR LF."""

    status: int
    body: bytes
    headers: str = ""
    content_type: str = "application/json"


class Head(NamedTuple):
    """The head of a request; `headers` by lower-case name."""

    method: str
    path: str
    headers: dict[str, str]
    length: int
    keeps_alive: bool


def error_answer(
    status: int, code: str | int | None, message: str, *, headers: str = "", kind: str | None = None
) -> Answer:
    """An error in OpenAI's shape."""
    kind = kind or ("server_error" if status >= 500 else "invalid_request_error")
    body = orjson.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})
    return Answer(status, body, headers)


def message(answer: Answer) -> bytes:
    """The bytes of an answer."""
    status, body, headers, content_type = answer
    return b"%b%d\r\n\r\n%b" % (_start(status, headers, content_type), len(body), body)


@lru_cache(maxsize=64)
def _start(status: int, headers: str, content_type: str) -> bytes:
    phrase = _PHRASES.get(status, "Unknown")
    return f"HTTP/1.1 {status} {phrase}\r\nContent-Type: {content_type}\r\n{headers}Content-Length: ".encode()


def parse_head(head: bytes) -> Head | Answer:
    """The head of a request without the blank line that ends it, or the answer that refuses it."""
    request_line, *lines = head.decode("latin-1").split("\r\n")
    method, _, target = request_line.partition(" ")
    path, _, version = target.partition(" ")
    if not version.startswith("HTTP/1."):
        return error_answer(400, "bad_request", "not an HTTP/1.1 request")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = headers.get("content-length", "" if method == "POST" else "0")
    if "transfer-encoding" in headers or not length:
        return error_answer(411, "length_required", "a body needs a Content-Length")
    if not (length.isascii() and length.isdecimal() and int(length) <= _MAX_BODY_BYTES):
        return error_answer(400, "bad_request", f"Content-Length is not a number of at most {_MAX_BODY_BYTES}")
    keeps_alive = version != "HTTP/1.0" and headers.get("connection", "").lower() != "close"
    return Head(method, path.partition("?")[0], headers, int(length), keeps_alive)
