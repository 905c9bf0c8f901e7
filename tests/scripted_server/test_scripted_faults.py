"""What can go wrong with the scripted server's answers, over real HTTP: latencies, faults, when they come."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinstruct.errors import ConfigError
from fastinstruct.lm.endpoints import Endpoint, Request
from fastinstruct.lm.outcomes.outcomes import (
    BadRequest,
    Deadline,
    Fatal,
    Ok,
    Outcome,
    Overloaded,
    RateLimited,
    Transient,
    Truncated,
)
from fastinstruct.lm.transports.http import HttpTransport
from fastinstruct.records import Api, Message, Sampling
from fastinstruct.scripted_server import (
    Episode,
    Fault,
    Kind,
    Latency,
    Outage,
    Overflow,
    Replies,
    Script,
    ScriptedServer,
    UntilReady,
    parse_episode,
    parse_outage,
    parse_rates,
)
from fastinstruct.scripted_server.draws import text_sha256
from fastinstruct.scripted_server.troubles import Troubles
from fastinstruct.text.parsing import parse_instances
from scripted_http import INPUT_FIRST, INSTRUCTIONS, ask, post, raw, status_of, status_probe, until

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


async def test_latency_grows_with_the_tokens_of_the_reply(http: aiohttp.ClientSession) -> None:
    script = Script(latency=Latency(0.01, per_token_s=0.0005))
    assert script.latency_s("a", 100) == pytest.approx(0.06)
    async with ScriptedServer(script) as server:
        num_tokens = (await ask(http, server, INSTRUCTIONS))["usage"]["completion_tokens"]
        [entry] = server.log
    assert entry.ended_s is not None
    assert entry.ended_s - entry.started_s >= 0.01 + 0.0005 * num_tokens - 1e-4


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


@pytest.mark.parametrize("fault", ["reset", "closed"])
async def test_a_reset_or_close_sends_no_byte(fault: str) -> None:
    async with ScriptedServer(Script(faults={fault: 1.0})) as server:
        with pytest.raises(ConnectionResetError) if fault == "reset" else contextlib.nullcontext():
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
        ({"faults": {"rain": 0.6}}, "faults: there is no 'rain'; there are 400, "),
        ({"junk_rate": -0.1}, "junk_rate: must be within 0..1, got -0.1"),
        ({"latency": Latency(-1.0)}, "latency: base_s: must be at least 0, got -1"),
        ({"max_faults_per_prompt": -1}, "max_faults_per_prompt: must be at least 0, got -1"),
        ({"episodes": (Episode("429", 2.0, 1),)}, "episodes: 429: must be within 0..1, got 2.0"),
        ({"episodes": (Episode("429", 0.1, 0),)}, "episodes: 429: length: must be at least 1, got 0"),
        ({"outages": (Outage("rain", 1),)}, "outages: there is no 'rain'; there are 400, 400-filter, "),
        ({"outages": (Outage("429", 0),)}, "outages: 429: first: must be at least 1, got 0"),
        ({"outages": (Outage("429", 9, 8),)}, "outages: 429: last: must be at least 9, got 8"),
        ({"drip_every_s": 0.0}, "drip_every_s: must be above 0, got 0"),
        ({"until_ready": "asleep"}, "until_ready: there is no 'asleep'; there are 503, refused, "),
        ({"replies": "canned", "max_model_len": 5}, "replies: canned ones read nothing of a request, so max_model_len"),
    ],
)
def test_a_script_out_of_bounds_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Script(**fields)
    assert str(raised.value).startswith(message)


# -------------------------------------------------------------------------------------------- what a client makes of it


def chat_request(prompt: str) -> Request:
    return Request(
        key="r", prompt=(Message(role="user", content=prompt),), sampling=Sampling(max_tokens=9, stop=("16.",))
    )


def completion_request(prompt: str) -> Request:
    return Request(key="r", prompt=prompt, sampling=Sampling(max_tokens=9, stop=("16.",)))


REQUESTS = {Api.CHAT: chat_request, Api.COMPLETIONS: completion_request}


@asynccontextmanager
async def transport_to(
    server: ScriptedServer, api: Api = Api.COMPLETIONS, **fields: Any
) -> AsyncIterator[HttpTransport]:
    endpoint = Endpoint(base_url=server.base_url, model=server.script.model, api=api, **fields)
    async with HttpTransport(endpoint) as transport:
        yield transport


OUTCOMES: dict[str, tuple[type[Outcome], dict[str, object]]] = {
    "400": (BadRequest, {"kind": "other"}),
    "400-filter": (BadRequest, {"kind": "content_filter"}),
    "401": (Fatal, {"kind": "auth"}),
    "402": (Fatal, {"kind": "quota"}),
    "403": (Fatal, {"kind": "auth"}),
    "404": (Fatal, {"kind": "model"}),
    "422": (BadRequest, {"kind": "other"}),
    "429": (RateLimited, {"retry_after_s": 1.5}),
    "429-busy": (Overloaded, {"retry_after_s": None}),
    "429-quota": (Fatal, {"kind": "quota"}),
    "498": (Overloaded, {}),
    "503": (Overloaded, {}),
    "529": (Overloaded, {}),
    "307": (Fatal, {"kind": "protocol"}),
    "500": (Transient, {"kind": "server"}),
    "502": (Transient, {"kind": "server"}),
    "504": (Transient, {"kind": "server"}),
    "200-error": (Transient, {"kind": "server"}),
    "200-error-choice": (Transient, {"kind": "server"}),
    "empty": (Transient, {"kind": "malformed"}),
    "malformed": (Transient, {"kind": "malformed"}),
    "cut-json": (Truncated, {}),
    "no-choices": (Transient, {"kind": "no_choices"}),
    "filtered": (BadRequest, {"kind": "content_filter"}),
    "prose": (Ok, {}),
    "hang": (Deadline, {}),
    "closed": (Transient, {"kind": "disconnected"}),
    "reset": (Transient, {"kind": "disconnected"}),
    "truncated": (Truncated, {}),
    "reset-inside": (Truncated, {}),
    "stall": (Transient, {"kind": "idle"}),
    "drip": (Transient, {"kind": "idle"}),
    "drip-reply": (Ok, {}),
}


PATIENCE = {
    "hang": {"total_timeout_s": 0.3},
    "drip": {"total_timeout_s": 0.6, "idle_timeout_s": 0.2},
    "stall": {"idle_timeout_s": 0.3},
}


def test_every_fault_has_its_outcome() -> None:
    assert set(OUTCOMES) == set(Fault) - {Fault.STALE, Fault.NULL_CONTENT}  # these have tests of their own


@pytest.mark.parametrize("api", Api)
@pytest.mark.parametrize("fault", OUTCOMES)
async def test_a_fault_is_what_the_failure_matrix_calls_it(fault: str, api: Api) -> None:
    script = Script(faults={fault: 1.0}, retry_after_s=1.5, drip_every_s=0.05, num_drips=2)
    kind, fields = OUTCOMES[fault]
    async with ScriptedServer(script) as server:
        async with transport_to(server, api, **PATIENCE.get(fault, {})) as transport:
            outcome = await transport.send(REQUESTS[api](INSTRUCTIONS))
        await until(lambda: server.num_in_flight == 0, server)
        [entry] = server.log
    assert type(outcome) is kind
    assert {name: getattr(outcome, name) for name in fields} == fields
    assert entry.fault == fault
    assert (entry.reply_id is not None) == (kind is Ok)
    assert server.stats.num_by_fault == {fault: 1}


@pytest.mark.parametrize("api", list(Api))
async def test_null_content_is_a_reply_without_text(api: Api) -> None:
    async with ScriptedServer(Script(faults={"null-content": 1.0})) as server, transport_to(server, api) as transport:
        assert isinstance(await transport.send(REQUESTS[api](INSTRUCTIONS)), BadRequest)


async def test_a_stale_connection_is_closed_when_its_next_request_arrives() -> None:
    async with ScriptedServer(Script(faults={"stale": 1.0}, max_faults_per_prompt=1)) as server:
        async with transport_to(server) as transport:
            outcomes = [await transport.send(completion_request(f"{n}")) for n in range(4)]
        entries = [(entry.status, entry.fault, entry.attempt) for entry in server.log]
        assert server.stats.num_connections_opened == 4
    # What is sent again goes over a connection of its own, which is not kept: every second prompt finds none to reuse.
    assert [type(outcome) for outcome in outcomes] == [Ok] * 4
    assert entries == [(200, None, 1), (None, "stale", 1), (200, None, 2)] * 2


async def test_prose_is_a_sound_reply_that_holds_nothing() -> None:
    async with ScriptedServer(Script(faults={"prose": 1.0})) as server, transport_to(server) as transport:
        outcome = await transport.send(completion_request(INPUT_FIRST))
    assert isinstance(outcome, Ok)
    text, reason = outcome.completion.text, outcome.completion.finish_reason
    assert parse_instances(text, is_classification=False, finish_reason=reason).is_unreadable


async def test_half_a_reply_is_part_of_the_reply(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer() as server:
        whole = json.dumps(await ask(http, server, INSTRUCTIONS))
    async with (
        ScriptedServer(Script(faults={"cut-json": 1.0})) as server,
        http.post(f"{server.base_url}/completions", json={"model": "scripted", "prompt": INSTRUCTIONS}) as cut,
    ):
        text = await cut.text()
    start = text.index('"text":"') + 8
    assert len(text) > start + 20
    assert text[start : start + 20] in whole


# ------------------------------------------------------------------------------------------------- outages and episodes


async def test_an_outage_lasts_from_one_request_to_another(http: aiohttp.ClientSession) -> None:
    script = Script(outages=(Outage("503", first=2, last=3), Outage("401", first=5)))
    async with ScriptedServer(script) as server:
        statuses = [await status_of(http, server, f"{n}") for n in range(7)]
    assert statuses == [200, 503, 503, 200, 401, 401, 401]


async def test_an_outage_is_not_bounded_per_prompt(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer(Script(outages=(Outage("500", first=1, last=5),))) as server:
        assert [await status_of(http, server, "x") for _ in range(6)] == [500] * 5 + [200]


@given(st.integers(0, 99), st.floats(0.01, 0.3), st.integers(1, 9))
def test_episodes_are_so_many_requests_in_a_row_and_begin_at_their_rate(seed: int, rate: float, length: int) -> None:
    script = Script(seed=seed, episodes=(Episode("429", rate, length),))
    troubles, again = Troubles(script), Troubles(script)
    met = [troubles.meet(str(n), is_reused=False)[1] for n in range(400)]
    assert met == [again.meet("x", is_reused=True)[1] for n in range(400)]  # whatever is asked
    runs = [len(list(group)) for fault, group in itertools.groupby(met) if fault is Fault.RATE_LIMITED]
    assert all(run % length == 0 for run in runs[:-1])
    assert sum(runs) / 400 < 3 * rate * length + 0.1


def test_episodes_of_several_kinds_take_turns() -> None:
    troubles = Troubles(Script(episodes=(Episode("429", 0.05, 3), Episode("500", 0.05, 2))))
    met = [troubles.meet("x", is_reused=False)[1] for _ in range(2000)]
    assert set(met) == {None, Fault.RATE_LIMITED, Fault.SERVER_ERROR}


def test_a_quarter_of_prompts_meets_a_fault_even_between_episodes() -> None:
    script = Script(faults={"500": 0.25}, episodes=(Episode("429", 0.01, 10),))
    met = [fault for _, fault in (Troubles(script).meet(str(n), is_reused=False) for n in range(2000))]
    assert met.count(Fault.SERVER_ERROR) / 2000 == pytest.approx(0.25, abs=0.03)


# ------------------------------------------------------------------------------------------- refusals of what is asked


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("num_chars", [280, 4000])
async def test_a_prompt_beyond_max_model_len_is_a_context_overflow(overflow: Overflow, num_chars: int) -> None:
    script = Script(max_model_len=78, overflow=overflow)
    async with ScriptedServer(script) as server, transport_to(server) as transport:
        assert type(await transport.send(completion_request("x" * 276))) is Ok  # 69 tokens and 9 asked for
        outcome = await transport.send(completion_request("x" * num_chars))
    assert isinstance(outcome, BadRequest)
    assert outcome.kind == "context_overflow"


async def test_a_refused_parameter_is_named(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer(Script(refused_parameters=("stop",))) as server, transport_to(server) as transport:
        assert type(await transport.send(completion_request("x"))) is Ok
        assert transport.dropped_parameters == {"stop"}
        assert [entry.status for entry in server.log] == [400, 200]


# ---------------------------------------------------------------------------------------- a server that comes and goes


async def test_the_models_name_may_change_in_mid_run(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer(Script(new_model="other", new_model_after=2)) as server:
        names = [(await ask(http, server, f"{n}"))["model"] for n in range(4)]
        assert (await ask(http, server, "x", model="other"))["model"] == "other"
        async with http.get(f"{server.base_url}/models") as response:
            assert [model["id"] for model in (await response.json())["data"]] == ["other"]
    assert names == ["scripted", "scripted", "other", "other"]


async def test_canned_replies_change_the_models_name_too(http: aiohttp.ClientSession) -> None:
    script = Script(new_model="other", new_model_after=1, replies=Replies.CANNED)
    async with ScriptedServer(script, keeps_log=False) as server:
        assert [(await ask(http, server, "x"))["model"] for _ in range(3)] == ["scripted", "other", "other"]


async def test_idle_connections_are_closed_and_busy_ones_are_not() -> None:
    async with ScriptedServer(Script(idle_close_s=0.05, latency=Latency(0.15))) as server:
        assert (await raw(server, post("x"))).startswith(b"HTTP/1.1 200 OK")  # and then the end
        [entry] = server.log
    assert entry.ended_s is not None
    assert entry.ended_s - entry.started_s > 0.1


async def test_a_connection_that_never_asks_is_closed_when_idle() -> None:
    async with ScriptedServer(Script(idle_close_s=0.02)) as server:
        port = int(server.base_url.removesuffix("/v1").rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()


async def test_before_it_is_ready_a_server_says_503(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer(Script(ready_after_s=0.7)) as server:
        root = server.base_url.removesuffix("/v1")
        for url in (f"{root}/health", f"{server.base_url}/models"):
            async with http.get(url) as response:
                assert response.status == 503
                assert (await response.json())["error"]["message"] == "Loading model"
        assert await status_of(http, server) == 503
        await until_ready(http, server)
        assert await status_of(http, server) == 200


async def until_ready(http: aiohttp.ClientSession, server: ScriptedServer) -> None:
    url = server.base_url.removesuffix("/v1") + "/health"
    while True:
        with suppress(aiohttp.ClientConnectionError):
            async with http.get(url) as response:
                if response.status == 200:
                    return


async def test_before_it_is_ready_a_server_may_refuse_connections(http: aiohttp.ClientSession) -> None:
    script = Script(ready_after_s=0.7, until_ready=UntilReady.REFUSED)
    async with ScriptedServer(script) as server, transport_to(server) as transport:
        outcome = await transport.send(completion_request("x"))
        assert isinstance(outcome, Transient)
        assert outcome.kind == "connect"
        await until_ready(http, server)
        assert type(await transport.send(completion_request("x"))) is Ok


async def test_before_it_is_ready_a_server_may_leave_connections_unaccepted() -> None:
    async with ScriptedServer(Script(ready_after_s=0.7, until_ready=UntilReady.UNACCEPTED)) as server:
        async with transport_to(server, total_timeout_s=0.05) as impatient:
            assert type(await impatient.send(completion_request("x"))) is Deadline
        async with transport_to(server) as patient:
            assert type(await patient.send(completion_request("x"))) is Ok


@pytest.mark.skipif(sys.platform != "linux", reason="other systems answer connections beyond the backlog otherwise")
async def test_before_it_is_ready_a_server_may_be_unconnectable(http: aiohttp.ClientSession) -> None:
    script = Script(ready_after_s=0.7, until_ready=UntilReady.UNCONNECTABLE)
    async with ScriptedServer(script) as server, transport_to(server, connect_timeout_s=0.1) as transport:
        outcome = await transport.send(completion_request("x"))
        assert isinstance(outcome, Transient)
        assert outcome.kind == "connect_timeout"
        await until_ready(http, server)
        assert type(await transport.send(completion_request("x"))) is Ok


async def test_a_server_may_be_left_before_it_is_ready() -> None:
    for until_what in UntilReady:
        async with ScriptedServer(Script(ready_after_s=3600.0, until_ready=until_what)):
            pass


# ----------------------------------------------------------------------------------------------------------- from text


def test_episodes_and_outages_are_read_from_text() -> None:
    assert parse_episode("429-quota=0.01x20") == Episode("429-quota", 0.01, 20)
    assert parse_outage("500-520:503") == Outage("503", 500, 520)
    assert parse_outage("500-:400-filter") == Outage("400-filter", 500, None)
    for text in ("429=0.01", "429=x20", "=0.1x2", "429=1.2.3x4"):
        with pytest.raises(ConfigError, match=r"^episodes: .* should be name=share x requests in a row, such as"):
            parse_episode(text)
    for text in ("500:401", "x-:401", "500-", "500-520:"):
        with pytest.raises(ConfigError, match=r"^outages: .* should be first-last:name, such as 500-520:503"):
            parse_outage(text)


def test_rates_are_read_from_text() -> None:
    assert parse_rates(["500=0.02", "hang=0.1"]) == {"500": 0.02, "hang": 0.1}
    with pytest.raises(ConfigError, match="such as 500=0"):
        parse_rates(["500:0.02"])
