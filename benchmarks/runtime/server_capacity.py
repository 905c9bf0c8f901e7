"""What the scripted server can answer, so that a benchmark of a client measures the client.

For each kind of replies: requests per second of the server's CPU time, under a load generator that does nothing but
write and read sockets. Then what a bare aiohttp client with orjson spends on a request to the canned server: the ratio
says how many such clients one server on one core can keep waiting for nothing. Prompts are those of a run, of all
stages in their usual proportions. A table for people, one JSON document as the last line.

    python -m benchmarks.runtime.server_capacity --seconds 4 --in-flight 64
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import selectors
import socket
import time
from dataclasses import asdict, dataclass

import aiohttp
import orjson

import fastinstruct
from benchmarks.replies.run_prompts import drawn_prompts
from benchmarks.runtime.scripted import serving

NUM_PROMPTS = 3000


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What was measured with one kind of replies; `cpu_us` is the server's CPU time for a request."""

    replies: str
    num_requests: int
    requests_per_s: float
    cpu_us: float
    requests_per_cpu_s: float


def bodies() -> list[bytes]:
    """The bodies of a run's requests, as they go over the wire."""
    fields = {"model": "scripted", "temperature": 0.7, "max_tokens": 1024}
    return [orjson.dumps({**fields, "prompt": prompt}) for prompt in drawn_prompts(NUM_PROMPTS)]


def on_the_wire(posted: list[bytes]) -> list[bytes]:
    """Whole requests with these bodies."""
    head = "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\r\n"
    return [head.format(len(body)).encode() + body for body in posted]


def load(port: int, requests: list[bytes], *, seconds: float, in_flight: int) -> None:
    """Keep so many connections busy with requests, each answered before the next."""
    address = ("127.0.0.1", port)
    selector, upcoming = selectors.DefaultSelector(), itertools.cycle(requests)
    for _ in range(in_flight):
        opened = socket.create_connection(address)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(opened, selectors.EVENT_READ)
        opened.sendall(next(upcoming))
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        for key, _ in selector.select():
            read_answer(key.fileobj)  # type: ignore[arg-type]  # the sockets registered above
            key.fileobj.sendall(next(upcoming))  # type: ignore[union-attr]
    for key in list(selector.get_map().values()):
        key.fileobj.close()  # type: ignore[union-attr]
    selector.close()


def read_answer(connection: socket.socket) -> None:
    answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
    start = answer.index(b"Content-Length: ") + 16
    size = answer.index(b"\r\n\r\n") + 4 + int(answer[start : answer.index(b"\r\n", start)])
    while len(answer) < size:
        answer += connection.recv(65536)


def measure(replies: str, wire: list[bytes], *, seconds: float, in_flight: int) -> Capacity:
    with serving("--replies", replies) as server:
        load(server.port, wire, seconds=0.3, in_flight=in_flight)
        before, started_s = server.stats(), time.monotonic()
        load(server.port, wire, seconds=seconds, in_flight=in_flight)
        after, elapsed_s = server.stats(), time.monotonic() - started_s
    num_requests = after["num_requests"] - before["num_requests"]
    cpu_s = after["cpu_s"] - before["cpu_s"]
    return Capacity(
        replies=replies,
        num_requests=num_requests,
        requests_per_s=round(num_requests / elapsed_s),
        cpu_us=round(cpu_s / num_requests * 1e6, 1),
        requests_per_cpu_s=round(num_requests / cpu_s),
    )


def shown(replies: str, *, seconds: float) -> Capacity:
    """Measure the server with a run's prompts and print what it can take: first, in any benchmark of a client."""
    found = measure(replies, on_the_wire(bodies()), seconds=seconds, in_flight=64)
    print(
        f"  the server, replies {replies}: {found.requests_per_s:,.0f} requests/s, {found.cpu_us:.1f} us of its CPU "
        f"each, {found.requests_per_cpu_s:,.0f} for a second of its CPU",
        flush=True,
    )
    return found


async def client_cpu_us(posted: list[bytes], *, seconds: float, in_flight: int) -> float:
    """The CPU time that a bare aiohttp client spends on a request to the canned server, in us."""
    upcoming = itertools.cycle(posted)
    num_answered = 0

    async def ask_on(session: aiohttp.ClientSession, url: str, end_s: float) -> None:
        nonlocal num_answered
        while time.monotonic() < end_s:
            async with session.post(url, data=next(upcoming)) as response:
                assert orjson.loads(await response.read())["choices"]
            num_answered += 1

    async def ask_at_once(seconds: float) -> None:
        end_s = time.monotonic() + seconds
        await asyncio.gather(*(ask_on(session, f"{url}/completions", end_s) for _ in range(in_flight)))

    with serving("--replies", "canned") as server:
        url = server.url
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            await ask_at_once(0.3)
            num_answered, started_s = 0, time.process_time()
            await ask_at_once(seconds)
            return (time.process_time() - started_s) / num_answered * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--in-flight", type=int, default=64)
    arguments = parser.parse_args()
    how = {"seconds": arguments.seconds, "in_flight": arguments.in_flight}
    posted = bodies()
    wire = on_the_wire(posted)
    print(f"{NUM_PROMPTS:,} requests of {sum(map(len, wire)) / len(wire):,.0f} bytes, {arguments.in_flight} at a time")
    print(f"{'replies':<12}{'requests/s':>12}{'CPU us each':>14}{'requests per CPU s':>21}")
    found = []
    for replies in ("written", "quick", "canned"):
        each = measure(replies, wire, **how)
        found.append(asdict(each))
        print(f"{replies:<12}{each.requests_per_s:>12,.0f}{each.cpu_us:>14.1f}{each.requests_per_cpu_s:>21,.0f}")
    client_us = asyncio.run(client_cpu_us(posted, **how))
    ratio = client_us / found[-1]["cpu_us"]
    print(f"a bare aiohttp client spends {client_us:.0f} us of CPU on a request: {ratio:.1f} times the canned server's")
    document = {"benchmark": "server_capacity", "fastinstruct": fastinstruct.__version__, **how, "rows": found}
    print(json.dumps({**document, "client_cpu_us": round(client_us, 1), "times_canned": round(ratio, 1)}))


if __name__ == "__main__":
    main()
