"""The scripted server's slots, queue and metrics over real HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from fastinstruct.errors import ConfigError
from fastinstruct.scripted_server import Latency, Metrics, Replies, Script, ScriptedServer
from fastinstruct.scripted_server.draws import text_sha256
from scripted_http import ask, post, stats_of, status_of, until

# ------------------------------------------------------------------------------------------------------ slots and queue


@pytest.mark.parametrize("replies", Replies)
async def test_so_many_are_served_at_once_and_the_others_in_their_order(
    http: aiohttp.ClientSession, replies: Replies
) -> None:
    script = Script(slots=3, latency=Latency(0.01), replies=replies)
    async with ScriptedServer(script) as server:
        pending: list[asyncio.Future[int]] = []
        for n in range(12):  # one after another, so that the order of arrival is known
            pending.append(asyncio.ensure_future(status_of(http, server, f"{n}")))
            await until(lambda: server.stats.num_requests == len(pending), server)
        assert await asyncio.gather(*pending) == [200] * 12
        ended = [entry.ended_s or 0.0 for entry in server.log]
        stats = await stats_of(http, server)
    assert ended == sorted(ended)
    assert (stats["num_serving"], stats["num_waiting"]) == (0, 0)
    assert stats["max_in_flight"] <= 12
    assert 12 * 0.009 <= stats["busy_slot_s"] <= 3 * stats["elapsed_s"]


async def test_those_beyond_the_slots_wait(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer(Script(slots=2, latency=Latency(0.05))) as server:
        assert await asyncio.gather(*(status_of(http, server, f"{n}") for n in range(6))) == [200] * 6
        stats = await stats_of(http, server)
    assert [stats["max_in_flight"], stats["max_waiting"]] == [6, 4]
    assert stats["waiting_s"] >= 0.9 * (2 * 0.05 + 2 * 0.1)


async def hanging(server: ScriptedServer, prompt: str = "x") -> asyncio.StreamWriter:
    """A request that hangs, as its script has it."""
    port = int(server.base_url.removesuffix("/v1").rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(post(prompt))
    await until(lambda: server.num_in_flight == 1, server)
    return writer


async def test_a_request_that_hangs_keeps_its_slot_until_its_client_leaves(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer(Script(slots=1, faults={"hang": 1.0}, max_faults_per_prompt=1)) as server:
        first = await hanging(server)
        second = asyncio.ensure_future(status_of(http, server, "x"))
        await until(lambda: server.stats.num_waiting == 1, server)
        assert not second.done()
        first.close()
        await first.wait_closed()
        assert await second == 200


async def test_whoever_leaves_the_queue_is_never_served(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer(Script(slots=1, latency=Latency(0.05))) as server:
        first = asyncio.ensure_future(status_of(http, server, "first"))
        await until(lambda: server.stats.num_serving == 1, server)
        leaving = asyncio.ensure_future(status_of(http, server, "leaving"))
        await until(lambda: server.stats.num_waiting == 1, server)
        last = asyncio.ensure_future(status_of(http, server, "last"))
        await until(lambda: server.stats.num_waiting == 2, server)
        leaving.cancel()
        await until(lambda: server.stats.num_waiting == 1, server)
        assert [await first, await last] == [200, 200]
        assert [entry.status for entry in server.log] == [200, None, 200]
        assert [server.stats.num_serving, server.stats.num_waiting] == [0, 0]


async def test_a_long_queue_of_answers_at_once_is_no_recursion() -> None:
    script = Script(slots=1, faults={"hang": 0.01})
    hangs: dict[bool, list[str]] = {True: [], False: []}
    for prompt in map(str, range(1500)):
        hangs[script.drawn_fault(text_sha256(prompt), 1) is not None].append(prompt)
    async with ScriptedServer(script) as server:
        first = await hanging(server, hangs[True][0])
        port = int(server.base_url.removesuffix("/v1").rpartition(":")[2])
        waiting = [await asyncio.open_connection("127.0.0.1", port) for _ in range(1200)]
        for prompt, (_, writer) in zip(hangs[False], waiting, strict=False):
            writer.write(post(prompt))
        await until(lambda: server.stats.num_waiting == 1200, server)
        first.close()
        for reader, writer in waiting:
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            writer.close()


async def test_beyond_max_queue_requests_are_refused_with_503(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer(Script(slots=1, max_queue=1, latency=Latency(0.05))) as server:
        admitted = [asyncio.ensure_future(status_of(http, server, "a"))]
        await until(lambda: server.stats.num_serving == 1, server)
        admitted.append(asyncio.ensure_future(status_of(http, server, "b")))
        await until(lambda: server.stats.num_waiting == 1, server)
        assert await status_of(http, server, "c") == 503
        assert await asyncio.gather(*admitted) == [200, 200]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"slots": 0}, "slots: must be at least 1, got 0"),
        ({"slots": 1, "max_queue": -1}, "max_queue: must be at least 0, got -1"),
        ({"max_queue": 5}, "max_queue: needs slots; without them nothing waits"),
    ],
)
def test_slots_that_make_no_sense_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Script(**fields)
    assert str(raised.value) == message


# -------------------------------------------------------------------------------------------------------------- metrics


async def metrics_of(http: aiohttp.ClientSession, server: ScriptedServer) -> list[str]:
    async with http.get(server.base_url.removesuffix("/v1") + "/metrics") as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return (await response.text()).splitlines()


@pytest.mark.parametrize(
    ("metrics", "running", "waiting"),
    [
        (
            "vllm",
            r'vllm:num_requests_running{engine="0",model_name="a\"b"} 2.0',
            r'vllm:num_requests_waiting{engine="0",model_name="a\"b"} 3.0',
        ),
        (
            "sglang",
            r'sglang:num_running_reqs{model_name="a\"b"} 2.0',
            r'sglang:num_queue_reqs{model_name="a\"b"} 3.0',
        ),
        ("llamacpp", "llamacpp:requests_processing 2", "llamacpp:requests_deferred 3"),
    ],
)
async def test_metrics_tell_running_and_waiting(
    http: aiohttp.ClientSession, metrics: Any, running: str, waiting: str
) -> None:
    script = Script(slots=2, latency=Latency(3600.0), metrics=metrics, model='a"b')
    async with ScriptedServer(script) as server:
        pending = [asyncio.ensure_future(ask(http, server, f"{n}", model='a"b')) for n in range(5)]
        await until(lambda: server.num_in_flight == 5, server)
        lines = await metrics_of(http, server)
    await asyncio.gather(*pending, return_exceptions=True)
    assert [line for line in lines if not line.startswith("#")] == [running, waiting]
    name = running.partition("{")[0].partition(" ")[0]
    assert lines[:2] == [f"# HELP {name} Number of requests being served.", f"# TYPE {name} gauge"]


async def test_without_slots_all_are_running(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer() as server:
        lines = await metrics_of(http, server)
    assert lines[-1] == 'vllm:num_requests_waiting{engine="0",model_name="scripted"} 0.0'


async def test_there_may_be_no_metrics(http: aiohttp.ClientSession) -> None:
    async with (
        ScriptedServer(Script(metrics=Metrics.NONE)) as server,
        http.get(server.base_url.removesuffix("/v1") + "/metrics") as response,
    ):
        assert response.status == 404
