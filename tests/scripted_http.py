"""Asking a scripted server: prompts of each kind, and the ways to send them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp

from fastinstruct.scripted_server import ScriptedServer

INSTRUCTIONS = "A list of tasks:\n1. Name three rivers.\n9."
CLASSIFICATION = "Label task: Yes or No?\nTask: Tell spam from ham.\nYes\nTask: Write a poem about rivers.\n"
INPUT_FIRST = "Task: Sort the words.\nOutput: a b\n\nTask: Name a river.\n"
OUTPUT_FIRST = "Task: Tell spam from ham.\nClass label: spam\nBuy now!\nOutput: -\n\nTask: Polite or rude?\n"


async def ask(http: aiohttp.ClientSession, server: ScriptedServer, prompt: str, **fields: object) -> dict[str, Any]:
    body = {"model": "scripted", "prompt": prompt, **fields}
    async with http.post(f"{server.base_url}/completions", json=body) as response:
        assert response.status == 200
        return dict(await response.json())


async def status_of(http: aiohttp.ClientSession, server: ScriptedServer, prompt: str = INSTRUCTIONS) -> int:
    body = {"model": "scripted", "prompt": prompt}
    async with http.post(f"{server.base_url}/completions", json=body) as response:
        await response.read()
        return response.status


def post(prompt: str) -> bytes:
    body = json.dumps({"model": "scripted", "prompt": prompt}).encode()
    return b"POST /v1/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def raw(server: ScriptedServer, sent: bytes) -> bytes:
    """Everything that the server answers to these bytes until it closes."""
    port = int(server.base_url.removesuffix("/v1").rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def status_probe(server: ScriptedServer) -> None:
    """A round trip: whatever was written before it has reached the server."""
    await raw(server, b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")


async def stats_of(http: aiohttp.ClientSession, server: ScriptedServer) -> dict[str, Any]:
    async with http.get(server.base_url.removesuffix("/v1") + "/stats") as response:
        return dict(await response.json())


async def until(condition: Callable[[], bool], server: ScriptedServer) -> None:
    """Ask the server until it is so."""
    while not condition():
        await status_probe(server)
