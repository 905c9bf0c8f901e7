"""What can go wrong with the scripted server's answers, over real HTTP: latencies, faults, when they come."""

from __future__ import annotations

import asyncio
import statistics
from typing import Any

import aiohttp
import pytest

from fastinstruct.errors import ConfigError
from fastinstruct.scripted_server import Fault, Kind, Latency, Script, ScriptedServer, parse_rates
from fastinstruct.scripted_server.draws import text_sha256
from scripted_http import (
    INSTRUCTIONS,
    ask,
    post,
    raw,
    status_of,
    status_probe,
)

# --------------------------------------------------------------------------------------------------- latency and faults


@pytest.mark.parametrize(
    ("latency", "share", "seconds"),
    [
        (Latency(0.3), 0.9, 0.3),
        (Latency(0.1, width_s=0.4), 0.25, 0.2),
        (Latency(2.0, sigma=0.8), 0.5, 2.0),
        (Latency(1.0, sigma=1.0), 0.841344746, 2.718281828),
    ],
)
def test_latency_quantiles(latency: Latency, share: float, seconds: float) -> None:
    assert latency.quantile(share) == pytest.approx(seconds)


def test_latencies_depend_on_seed_and_prompt_and_follow_their_distribution() -> None:
    shas = [text_sha256(str(n)) for n in range(2001)]
    drawn = [Script(latency=Latency(1.0, sigma=0.5)).latency_s(sha) for sha in shas]
    assert drawn == [Script(latency=Latency(1.0, sigma=0.5)).latency_s(sha) for sha in shas]
    assert drawn != [Script(seed=1, latency=Latency(1.0, sigma=0.5)).latency_s(sha) for sha in shas]
    assert statistics.median(drawn) == pytest.approx(1.0, rel=0.05)


async def test_an_answer_takes_the_latency_drawn_for_its_prompt(http: aiohttp.ClientSession) -> None:
    script = Script(latency=Latency(0.005, width_s=0.01))
    async with ScriptedServer(script) as server:
        await ask(http, server, INSTRUCTIONS)
        [entry] = server.log
    assert entry.ended_s is not None
    assert entry.ended_s - entry.started_s >= script.latency_s(text_sha256(INSTRUCTIONS)) - 1e-4


async def test_faults_in_a_row_end_after_the_maximum(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer(Script(faults={"500": 1.0}, max_faults_per_prompt=2)) as server:
        statuses = [await status_of(http, server) for _ in range(7)]
        assert [entry.attempt for entry in server.log] == [1, 2, 3, 4, 5, 6, 7]
    assert statuses == [500, 500, 200, 500, 500, 200, 500]


def test_faults_come_at_their_rates_and_are_the_same_again() -> None:
    script = Script(faults={"429": 0.1, "hang": 0.05, "truncated": 0.2})
    drawn = [script.drawn_fault(text_sha256(str(n)), 1) for n in range(5000)]
    assert drawn == [script.drawn_fault(text_sha256(str(n)), 1) for n in range(5000)]
    shares = {fault: drawn.count(fault) / 5000 for fault in set(drawn)}
    assert shares == pytest.approx(
        {None: 0.65, Fault.RATE_LIMITED: 0.1, Fault.HANG: 0.05, Fault.TRUNCATED: 0.2}, abs=0.02
    )


@pytest.mark.parametrize(("seconds", "header"), [(None, None), (1.5, "1.5"), (20.0, "20")])
async def test_a_429_says_when_to_retry(http: aiohttp.ClientSession, seconds: float | None, header: str | None) -> None:
    async with (
        ScriptedServer(Script(faults={"429": 1.0}, retry_after_s=seconds)) as server,
        http.post(f"{server.base_url}/completions", json={"model": "scripted", "prompt": "x"}) as response,
    ):
        assert response.status == 429
        assert response.headers.get("Retry-After") == header
        assert (await response.json())["error"]["code"] == "rate_limit_exceeded"


async def test_a_malformed_answer_is_html_with_status_200(http: aiohttp.ClientSession) -> None:
    async with (
        ScriptedServer(Script(faults={"malformed": 1.0})) as server,
        http.post(f"{server.base_url}/completions", json={"model": "scripted", "prompt": "x"}) as response,
    ):
        assert (response.status, response.content_type) == (200, "text/html")
        assert (await response.text()).startswith("<html>")
        assert server.log[0].reply_id is None


async def test_a_reset_closes_without_a_byte() -> None:
    async with ScriptedServer(Script(faults={"reset": 1.0})) as server:
        assert await raw(server, post("x")) == b""
        await status_probe(server)
        assert (server.log[0].status, server.log[0].kind) == (None, Kind.INSTRUCTIONS)
        assert server.num_in_flight == 0


async def test_a_truncated_answer_is_shorter_than_announced(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer(Script(faults={"truncated": 1.0})) as server:
        async with http.post(f"{server.base_url}/completions", json={"model": "scripted", "prompt": "x"}) as response:
            assert response.status == 200
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        await status_probe(server)
        assert server.log[0].status is None


async def test_a_hanging_request_stays_in_flight_until_its_client_leaves() -> None:
    async with ScriptedServer(Script(faults={"hang": 1.0})) as server:
        port = int(server.base_url.removesuffix("/v1").rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post("x"))
        await status_probe(server)
        assert (server.num_in_flight, server.log[0].ended_s) == (1, None)
        writer.close()
        await writer.wait_closed()
        await status_probe(server)
        assert server.num_in_flight == 0
        assert server.log[0].ended_s is not None
        assert server.log[0].status is None


async def test_stopping_drops_the_requests_in_flight(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer(Script(latency=Latency(3600.0))) as server:
        pending = asyncio.ensure_future(ask(http, server, "x"))
        while not server.num_in_flight:
            await status_probe(server)
    with pytest.raises(aiohttp.ClientConnectionError):
        await pending
    assert server.num_in_flight == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"faults": {"429": 1.5}}, "faults: 429: must be within 0..1, got 1.5"),
        ({"faults": {"500": 0.6, "hang": 0.6}}, "faults: their rates must add up to 1 at most"),
        ({"faults": {"rain": 0.6}}, "faults: there is no 'rain'; there are 429, "),
        ({"junk_rate": -0.1}, "junk_rate: must be within 0..1, got -0.1"),
    ],
)
def test_a_script_out_of_bounds_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Script(**fields)
    assert str(raised.value).startswith(message)


def test_rates_are_read_from_text() -> None:
    assert parse_rates(["500=0.02", "hang=0.1"]) == {"500": 0.02, "hang": 0.1}
    with pytest.raises(ConfigError, match="such as 500=0"):
        parse_rates(["500:0.02"])
