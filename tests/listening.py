"""A server that answers every request with the same bytes and keeps what came, for those who test what is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastinstruct.lm.endpoints import Endpoint, Request
from fastinstruct.records import Message, Sampling

__all__ = ["KEY", "MODELS", "REQUEST", "VERSION", "Listener", "listening"]

KEY = "sk-proj-0123456789abcdef"
VERSION = "2024-10-21"
REQUEST = Request(key="r1", prompt=(Message(role="user", content="Why?"),), sampling=Sampling(temperature=0.5, seed=7))
GOOD = b'{"model":"m","choices":[{"message":{"content":"Because."},"finish_reason":"stop"}]}'
MODELS = b'{"data":[{"id":"gpt-4o-2024-08-06"}]}'


class Listener:
    """Answers every request with the same bytes and keeps what came: request line, headers in lower case, body."""

    def __init__(self, status: str = "200 OK", body: bytes = GOOD, *headers: str) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        self.answer = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.seen.append((first, headers, body))
                writer.write(self.answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def endpoint(self, path: str = "/v1", **fields: Any) -> Endpoint:
        known: dict[str, Any] = {"base_url": f"http://127.0.0.1:{self.port}{path}", "model": "m", "api_key": KEY}
        return Endpoint(**(known | fields))


@asynccontextmanager
async def listening(*answer: Any) -> AsyncIterator[Listener]:
    listener = Listener(*answer)
    server = await asyncio.start_server(listener.serve, "127.0.0.1", 0)
    listener.port = server.sockets[0].getsockname()[1]
    async with server:
        yield listener
