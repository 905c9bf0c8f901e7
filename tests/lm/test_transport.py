"""The transport against a server that speaks exact bytes: what it sends, resends, refuses and closes."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest

from fastinstruct.lm import has_c_parser
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
from fastinstruct.records import (
    Api,
    Completion,
    FinishReason,
    Message,
    ReplyForm,
    ReplyFormat,
    Sampling,
    Usage,
)

Transport: type[HttpTransport] = HttpTransport
KEY = "sk-proj-0123456789abcdef"
REQUEST = Request(key="r1", prompt="Task 1:", sampling=Sampling(temperature=0.7, max_tokens=5))
GOOD_BODY = b'{"model":"m","choices":[{"text":"Hi","finish_reason":"stop"}]}'
GOOD = Ok(Completion(text="Hi", finish_reason=FinishReason.STOP, usage=Usage(), model="m"))


@pytest.fixture(params=["http", "openai"], autouse=True)
def over_both_transports(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test run over both transports: they keep one contract."""
    if request.param == "openai":
        pytest.importorskip("openai", reason="needs the extra `openai`")
        from fastinstruct.lm.transports.openai_sdk import OpenAITransport

        monkeypatch.setitem(globals(), "Transport", OpenAITransport)


def http(body: bytes = GOOD_BODY, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Content-Type: application/json", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def refusal(parameter: str) -> bytes:
    error = {"message": f"Unsupported parameter: '{parameter}'", "code": "unsupported_parameter", "param": parameter}
    return http(json.dumps({"error": error}).encode(), "400 Bad Request")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request as it arrived: on which connection (from 0), with which head and body."""

    connection: int
    head: str
    body: bytes

    @property
    def fields(self) -> set[str]:
        return set(json.loads(self.body))


@dataclass
class RawServer:
    """Answers requests with exact bytes; `answer` writes to the connection and may hang, close or reset it."""

    answer: Callable[[RawServer, Seen, asyncio.StreamWriter], Awaitable[None]]
    seen: list[Seen] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    server: asyncio.Server | None = None

    @property
    def endpoint(self) -> Endpoint:
        assert self.server is not None
        port = self.server.sockets[0].getsockname()[1]
        return Endpoint(
            base_url=f"http://127.0.0.1:{port}/v1", model="m", api=Api.COMPLETIONS, api_key=KEY, idle_timeout_s=5
        )

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = len(self.writers)
        self.writers.append(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next((int(line[16:]) for line in head.split("\r\n") if line.startswith("Content-Length:")), 0)
                self.seen.append(Seen(connection=connection, head=head, body=await reader.readexactly(length)))
                await self.answer(self, self.seen[-1], writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.hung_up.set()
        finally:
            writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """Closes with RST instead of FIN."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    writer.transport.abort()


Answers = Callable[..., Awaitable[RawServer]]


@pytest.fixture
async def serving() -> AsyncIterator[Answers]:
    """Starts servers; the answers are bytes, one for each request (the last one for all that follow), or a function."""
    started: list[RawServer] = []

    async def start(*answers: bytes | Callable[..., Awaitable[None]]) -> RawServer:
        async def answer(server: RawServer, seen: Seen, writer: asyncio.StreamWriter) -> None:
            chosen = answers[min(len(server.seen), len(answers)) - 1]
            if isinstance(chosen, bytes):
                writer.write(chosen)
            else:
                await chosen(server, seen, writer)

        server = RawServer(answer)
        server.server = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        started.append(server)
        return server

    yield start
    for server in started:
        assert server.server is not None
        server.server.close()
        for writer in server.writers:
            writer.close()
        await server.server.wait_closed()
        await asyncio.gather(*(writer.wait_closed() for writer in server.writers), return_exceptions=True)


async def send_once(endpoint: Endpoint, request: Request = REQUEST) -> Outcome:
    async with Transport(endpoint) as transport:
        return await transport.send(request)


async def hang(server: RawServer, seen: Seen, writer: asyncio.StreamWriter) -> None:
    await writer.drain()


async def close_at_once(server: RawServer, seen: Seen, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def reset_at_once(server: RawServer, seen: Seen, writer: asyncio.StreamWriter) -> None:
    reset(writer)


# --- what is sent


async def test_a_request_is_one_post_with_the_key(serving: Answers) -> None:
    server = await serving(http())
    async with Transport(replace(server.endpoint, headers={"X-Title": "t"})) as transport:
        assert await transport.send(REQUEST) == GOOD
        assert await transport.send(REQUEST) == GOOD
    first, second = server.seen
    assert first.head.startswith("POST /v1/completions HTTP/1.1\r\n")
    for line in (f"Authorization: Bearer {KEY}", "Content-Type: application/json", "X-Title: t"):
        assert line in first.head.split("\r\n")
    assert json.loads(first.body) == {"model": "m", "prompt": "Task 1:", "temperature": 0.7, "max_tokens": 5}
    assert (first.connection, second.connection) == (0, 0)


async def test_cookies_are_not_sent_back(serving: Answers) -> None:
    server = await serving(http(GOOD_BODY, "200 OK", "Set-Cookie: a=b"))
    by_name = server.endpoint.base_url.replace("127.0.0.1", "localhost")  # no client keeps cookies for bare addresses
    async with Transport(replace(server.endpoint, base_url=by_name)) as transport:
        assert await transport.send(REQUEST) == GOOD
        assert await transport.send(REQUEST) == GOOD
    assert "Cookie" not in server.seen[1].head


async def test_the_query_of_the_base_url_is_kept_and_headers_outrank_the_key(serving: Answers) -> None:
    server = await serving(http())
    url = server.endpoint.base_url.replace("http://", "http://joe:pa55@") + "?api-version=1"
    endpoint = replace(server.endpoint, base_url=url, headers={"authorization": "Custom x"}, api_key=None)
    assert await send_once(endpoint) == GOOD
    assert server.seen[0].head.startswith("POST /v1/completions?api-version=1 HTTP/1.1\r\n")
    assert "Custom x" in server.seen[0].head
    assert "Basic" not in server.seen[0].head


async def test_user_info_is_basic_authorization_where_no_key_is_set(serving: Answers) -> None:
    server = await serving(http())
    url = server.endpoint.base_url.replace("http://", "http://joe:pa55@")
    assert await send_once(replace(server.endpoint, base_url=url, api_key=None)) == GOOD
    assert "Authorization: Basic am9lOnBhNTU=" in server.seen[0].head


async def test_the_environments_proxy_is_not_asked_for_the_loopback(
    serving: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server = await serving(http())
    assert await send_once(server.endpoint) == GOOD


async def test_other_hosts_are_reached_through_the_environments_proxy(
    serving: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = await serving(http())
    monkeypatch.setenv("http_proxy", proxy.endpoint.base_url.removeprefix("http://").removesuffix("/v1"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert await send_once(replace(proxy.endpoint, base_url="http://models.invalid/v1")) == GOOD
    assert proxy.seen[0].head.startswith("POST http://models.invalid/v1/completions HTTP/1.1\r\n")


async def test_connections_are_kept_alive_by_tcp(serving: Answers) -> None:
    options: list[int] = []

    async def look(server: RawServer, seen: Seen, writer: asyncio.StreamWriter) -> None:
        assert transport._session is not None
        connector = transport._session.connector
        assert connector is not None
        for protocol in connector._acquired:
            assert protocol.transport is not None
            option = protocol.transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            options.append(option)
        writer.write(http())

    server = await serving(look)
    async with Transport(server.endpoint) as transport:
        assert await transport.send(REQUEST) == GOOD
    assert options == [1]


# --- dead connections


@pytest.mark.parametrize("die", [close_at_once, reset_at_once])
async def test_a_stale_connection_is_resent_once_on_a_new_one(
    serving: Answers, die: Callable[..., Awaitable[None]]
) -> None:
    server = await serving(http(), die, http())
    async with Transport(server.endpoint) as transport:
        assert await transport.send(REQUEST) == GOOD
        assert await transport.send(REQUEST) == GOOD
    assert [seen.connection for seen in server.seen] == [0, 0, 1]
    assert server.seen[1].body == server.seen[2].body


async def test_a_resend_does_not_meet_a_second_stale_connection(serving: Answers) -> None:
    both_open = asyncio.Event()

    async def answer(server: RawServer, seen: Seen, writer: asyncio.StreamWriter) -> None:
        if len(server.seen) == 2:
            both_open.set()
        await both_open.wait()
        if len(server.seen) > 2 and seen.connection < 2:
            writer.close()
        else:
            writer.write(http())

    server = await serving(answer)
    async with Transport(server.endpoint) as transport:
        assert list(await asyncio.gather(transport.send(REQUEST), transport.send(REQUEST))) == [GOOD, GOOD]
        assert await transport.send(REQUEST) == GOOD
    assert [seen.connection for seen in server.seen[3:]] == [2]


async def test_a_request_is_sent_again_only_if_it_may_be(serving: Answers) -> None:
    server = await serving(http(), close_at_once)
    asked: list[str] = []

    def may_resend(request: Request) -> bool:
        asked.append(request.key)
        return False

    async with Transport(server.endpoint) as transport:
        transport.may_resend = may_resend
        assert await transport.send(REQUEST) == GOOD
        outcome = await transport.send(REQUEST)
    assert isinstance(outcome, Transient)
    assert outcome.kind == "disconnected"
    assert (len(server.seen), asked) == (2, [REQUEST.key])


async def test_a_body_may_be_as_long_as_the_tokens_asked_for_can_need(serving: Answers) -> None:
    body = b'{"choices":[],"x":"' + b"a" * 1_200_000 + b'"}'
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    server = await serving(head + body)
    short = replace(REQUEST, sampling=Sampling(max_tokens=16))
    async with Transport(server.endpoint) as transport:
        outcome = await transport.send(short)
        assert outcome == Transient("too_large", f"a body of more than {2**20 + 16 * 400} bytes")
        found = await transport.send(replace(REQUEST, sampling=Sampling(max_tokens=1_000)))
    assert isinstance(found, Transient)
    assert found.kind == "no_choices"


async def test_a_resend_is_not_resent(serving: Answers) -> None:
    server = await serving(http(), close_at_once)
    async with Transport(server.endpoint) as transport:
        assert await transport.send(REQUEST) == GOOD
        outcome = await transport.send(REQUEST)
    assert isinstance(outcome, Transient)
    assert outcome.kind == "disconnected"
    assert len(server.seen) == 3


@pytest.mark.parametrize("die", [close_at_once, reset_at_once])
async def test_a_new_connection_that_dies_is_an_attempt(serving: Answers, die: Callable[..., Awaitable[None]]) -> None:
    server = await serving(die)
    outcome = await send_once(server.endpoint)
    assert isinstance(outcome, Transient)
    assert outcome.kind == "disconnected"
    assert len(server.seen) == 1


async def test_half_a_head_on_a_reused_connection_is_not_resent(serving: Answers) -> None:
    async def half(server: RawServer, seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
        await writer.drain()
        writer.close()

    server = await serving(http(), half)
    async with Transport(server.endpoint) as transport:
        assert await transport.send(REQUEST) == GOOD
        assert isinstance(await transport.send(REQUEST), Transient)
    assert len(server.seen) == 2


@pytest.mark.parametrize("end", [asyncio.StreamWriter.close, reset])
async def test_a_connection_lost_inside_the_body_is_truncated_and_not_resent(
    serving: Answers, end: Callable[[asyncio.StreamWriter], None]
) -> None:
    async def cut(server: RawServer, seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(http()[:-10])
        await writer.drain()
        await asyncio.sleep(0)
        end(writer)

    server = await serving(http(), cut)
    async with Transport(server.endpoint) as transport:
        assert await transport.send(REQUEST) == GOOD
        outcome = await transport.send(REQUEST)
    # A reset may overtake the head; then it is no reply begun, and no less retried.
    assert isinstance(outcome, Truncated if end is not reset else Truncated | Transient)
    assert len(server.seen) == 2


async def test_nobody_listening_is_a_connect_failure() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = Endpoint(base_url=f"http://127.0.0.1:{unused.getsockname()[1]}/v1", model="m", api_key=KEY)
        outcome = await send_once(endpoint)
    assert isinstance(outcome, Transient)
    assert outcome.kind == "connect"
    assert KEY not in outcome.detail


# --- time-outs


async def test_a_hang_inside_the_body_is_idle(serving: Answers) -> None:
    server = await serving(http()[:-10])
    outcome = await send_once(replace(server.endpoint, idle_timeout_s=0.05))
    assert isinstance(outcome, Transient)
    assert outcome.kind == "idle"
    assert outcome.detail.startswith("nothing of the reply for 0.05")
    await server.hung_up.wait()


async def test_waiting_for_the_first_byte_is_bounded_by_the_total_only(serving: Answers) -> None:
    server = await serving(hang)
    assert await send_once(replace(server.endpoint, idle_timeout_s=0.01, total_timeout_s=0.15)) == Deadline()
    await server.hung_up.wait()


async def test_a_drip_of_blank_lines_ends_after_half_of_the_total_deadline(serving: Answers) -> None:
    async def drip(server: RawServer, seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"1\r\n\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)  # the fault itself: a server that drips

    server = await serving(drip)
    outcome = await send_once(replace(server.endpoint, idle_timeout_s=0.2, total_timeout_s=0.8))
    assert isinstance(outcome, Transient)
    assert outcome.kind == "idle"


async def test_a_reply_after_a_drip_of_blank_lines_is_read(serving: Answers) -> None:
    async def drip(server: RawServer, seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for part in (b"\n", b"\n", GOOD_BODY[:20], GOOD_BODY[20:]):
            writer.write(b"%x\r\n%s\r\n" % (len(part), part))
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(b"0\r\n\r\n")

    server = await serving(drip)
    assert await send_once(server.endpoint) == GOOD


async def test_cancelling_closes_the_socket(serving: Answers) -> None:
    arrived = asyncio.Event()

    async def arrive(server: RawServer, seen: Seen, writer: asyncio.StreamWriter) -> None:
        arrived.set()

    server = await serving(arrive)
    async with Transport(server.endpoint) as transport:
        task = asyncio.create_task(transport.send(REQUEST))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.hung_up.wait()


async def test_cancelling_inside_the_body_closes_the_socket(serving: Answers) -> None:
    arrived = asyncio.Event()

    async def begin(server: RawServer, seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(http()[:-10])
        arrived.set()

    server = await serving(begin)
    async with Transport(server.endpoint) as transport:
        task = asyncio.create_task(transport.send(REQUEST))
        await arrived.wait()
        for _ in range(20):  # let the head arrive
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.hung_up.wait()


# --- replies


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (http(b"<html><title>Hi</title></html>"), Transient("malformed", "200 with no JSON: an HTML page titled 'Hi'")),
        (http(b"\n\n" + GOOD_BODY), GOOD),
        (http(b""), Transient("malformed", "200 with an empty body")),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + GOOD_BODY[:-4], Truncated("the body ends inside its JSON")),
        (http(b"", "429 Too Many Requests", "Retry-After: 7"), RateLimited(7.0)),
        (http(b"", "503 Service Unavailable"), Overloaded(None)),
    ],
)
async def test_replies_are_classified(serving: Answers, answer: bytes, expected: Outcome) -> None:
    async def write_and_close(server: RawServer, seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()

    assert await send_once((await serving(write_and_close)).endpoint) == expected


async def test_a_server_that_does_not_speak_http_is_malformed(serving: Answers) -> None:
    outcome = await send_once((await serving(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")).endpoint)
    assert isinstance(outcome, Transient)
    assert outcome.kind == "malformed"


async def test_a_refusal_cut_short_is_judged_by_its_status(serving: Answers) -> None:
    async def cut(server: RawServer, seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(http(b'{"error": {"message": "slow', "429 Too Many Requests", "Retry-After: 3")[:-5])
        await writer.drain()
        writer.close()

    assert await send_once((await serving(cut)).endpoint) == RateLimited(3.0)


async def test_redirects_are_not_followed(serving: Answers) -> None:
    server = await serving(http(b"", "307 Temporary Redirect", "Location: /v2/completions"))
    outcome = await send_once(server.endpoint)
    assert isinstance(outcome, Fatal)
    assert (outcome.kind, outcome.status) == ("protocol", 307)
    assert len(server.seen) == 1


async def test_a_body_without_end_is_refused(serving: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastinstruct.lm.transports.http._MAX_BODY_BYTES", 1000)
    server = await serving(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"400\r\n" + b"x" * 1024 + b"\r\n"
    )
    assert await send_once(server.endpoint) == Transient("too_large", "a body of more than 1000 bytes")


async def test_a_request_that_cannot_be_written_is_a_bad_request(serving: Answers) -> None:
    server = await serving(http())
    request = Request(key="r7", prompt=(Message(role="user", content="x"),), sampling=Sampling())
    outcome = await send_once(server.endpoint, request)
    assert outcome == BadRequest("other", None, "request r7: holds messages, and the completions route takes text")
    assert server.seen == []


# --- refused parameters


async def test_an_unsupported_parameter_is_dropped_once_and_remembered(
    serving: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    server = await serving(refusal("temperature"), http())
    async with Transport(server.endpoint) as transport:
        assert await transport.send(REQUEST) == GOOD
        assert await transport.send(REQUEST) == GOOD
        assert transport.dropped_parameters == {"temperature"}
    assert [seen.fields for seen in server.seen] == [
        {"model", "prompt", "temperature", "max_tokens"},
        {"model", "prompt", "max_tokens"},
        {"model", "prompt", "max_tokens"},
    ]
    where = server.endpoint.base_url
    expected = f"m at {where} (completions) refuses the parameter temperature: it is no longer sent"
    assert [record.getMessage() for record in caplog.records] == [expected]


async def test_requests_that_meet_the_same_refusal_together_give_one_notice(
    serving: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    all_arrived = asyncio.Event()

    async def refuse_together(server: RawServer, seen: Seen, writer: asyncio.StreamWriter) -> None:
        if len(server.seen) == 8:
            all_arrived.set()
        await all_arrived.wait()
        writer.write(refusal("temperature") if "temperature" in seen.fields else http())

    server = await serving(refuse_together)
    async with Transport(server.endpoint) as transport:
        outcomes = await asyncio.gather(*(transport.send(REQUEST) for _ in range(8)))
    assert outcomes == [GOOD] * 8
    assert len(server.seen) == 16
    assert len(caplog.records) == 1


async def test_max_tokens_is_replaced_by_its_successor_and_several_refusals_follow_each_other(
    serving: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    server = await serving(refusal("max_tokens"), refusal("temperature"), http())
    async with Transport(server.endpoint) as transport:
        assert await transport.send(REQUEST) == GOOD
    assert server.seen[-1].fields == {"model", "prompt", "max_completion_tokens"}
    assert caplog.records[0].getMessage().endswith("max_tokens: max_completion_tokens is sent instead")
    assert len(caplog.records) == 2


async def test_a_server_that_refuses_whatever_is_sent_is_not_asked_for_ever(serving: Answers) -> None:
    server = await serving(*(refusal(name) for name in ("max_tokens", "max_completion_tokens", "temperature", "seed")))
    outcome = await send_once(server.endpoint)
    assert isinstance(outcome, BadRequest)
    assert (outcome.kind, outcome.parameter) == ("unsupported_parameter", "seed")
    assert len(server.seen) == 4


async def test_a_refused_parameter_of_extra_body_is_the_users(
    serving: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    server = await serving(refusal("top_p"))
    outcome = await send_once(replace(server.endpoint, extra_body={"top_p": 0.1}))
    assert isinstance(outcome, BadRequest)
    assert len(server.seen) == 1
    assert caplog.records == []


# --- a refused role

TALK = (Message(role="system", content="Be brief."), Message(role="user", content="Hi"))
MERGED = [{"role": "user", "content": "Be brief.\n\nHi"}]


async def test_a_server_that_refuses_the_role_system_gets_its_message_in_the_users_with_one_notice(
    serving: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    refused = b'{"object":"error","message":"System role not supported","code":400}'
    good = b'{"model":"m","choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}'
    server = await serving(http(refused, "400 Bad Request"), http(good))
    asked = replace(REQUEST, prompt=TALK)
    async with Transport(replace(server.endpoint, api=Api.CHAT)) as transport:
        assert await transport.send(asked) == GOOD
        assert await transport.send(asked) == GOOD
        where = transport.endpoint.describe()
    assert [json.loads(seen.body)["messages"] for seen in server.seen][1:] == [MERGED, MERGED]
    told = "refuses messages of the role system: what they say is put before the user's message instead"
    assert [record.getMessage() for record in caplog.records] == [f"{where} {told}"]


async def test_a_server_that_refuses_roles_whatever_is_sent_is_not_asked_for_ever(serving: Answers) -> None:
    refused = b'{"error":{"message":"Conversation roles must alternate user/assistant"}}'
    server = await serving(http(refused, "400 Bad Request"))
    outcome = await send_once(replace(server.endpoint, api=Api.CHAT), replace(REQUEST, prompt=TALK))
    assert isinstance(outcome, BadRequest)
    assert len(server.seen) == 2


# --- the form of replies


async def test_a_reply_format_is_sent_and_a_refusal_of_it_told_apart(serving: Answers) -> None:
    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    asked = ReplyFormat(form=ReplyForm.JSON_SCHEMA, name="label", schema=schema)
    refused = b'{"error":{"message":"This response_format type is unavailable now"}}'
    server = await serving(http(refused, "400 Bad Request"))
    outcome = await send_once(server.endpoint, replace(REQUEST, reply_format=asked))
    assert isinstance(outcome, Fatal)
    assert outcome.kind == "reply_format"
    [seen] = server.seen
    assert json.loads(seen.body) == {
        "model": "m",
        "prompt": "Task 1:",
        "temperature": 0.7,
        "max_tokens": 5,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "label", "strict": True, "schema": schema},
        },
        "json_schema": schema,
    }


# --- probing


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (http(b'{"object":"list","data":[{"id":"a"},{"id":"b"},{"id":5},null]}'), ["a", "b"]),
        (http(b'[{"id":"a"}]'), ["a"]),
        (http(b'{"data": "x"}'), []),
        (http(b'{"detail":"Not Found"}', "404 Not Found"), []),
        (http(b'{"error":{"message":"Missing scopes: api.model.read"}}', "403 Forbidden"), []),
        (http(b"", "503 Service Unavailable"), Overloaded(None)),
    ],
)
async def test_a_probe_lists_the_models(serving: Answers, answer: bytes, expected: object) -> None:
    server = await serving(answer)
    async with Transport(server.endpoint) as transport:
        assert await transport.probe() == expected
    assert server.seen[0].head.startswith("GET /v1/models HTTP/1.1\r\n")
    assert f"Authorization: Bearer {KEY}" in server.seen[0].head


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (http(b"<html>Chat UI</html>"), "protocol"),
        (http(b"", "401 Unauthorized"), "auth"),
        (http(b"", "301 Moved Permanently", "Location: /"), "protocol"),
    ],
)
async def test_a_probe_tells_a_wrong_key_from_a_wrong_address(serving: Answers, answer: bytes, kind: str) -> None:
    async with Transport((await serving(answer)).endpoint) as transport:
        outcome = await transport.probe()
    assert isinstance(outcome, Fatal)
    assert outcome.kind == kind


async def test_a_probe_of_nobody_is_a_connect_failure() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = Endpoint(base_url=f"http://127.0.0.1:{unused.getsockname()[1]}/v1", model="m")
        async with Transport(endpoint) as transport:
            outcome = await transport.probe()
    assert isinstance(outcome, Transient)
    assert outcome.kind == "connect"


# --- keys


async def test_the_key_is_in_no_repr_message_or_log(serving: Answers, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    echo = json.dumps({"error": {"message": f"bad key {KEY}"}}).encode()
    server = await serving(refusal("temperature"), http(echo, "401 Unauthorized"), http(echo, "400 Bad Request"))
    async with Transport(server.endpoint) as transport:
        texts = [repr(transport), repr(server.endpoint)]
        texts += [repr(await transport.send(REQUEST)) for _ in range(2)]
    texts += [record.getMessage() for record in caplog.records]
    assert len(server.seen) == 3
    assert [text for text in texts if KEY in text] == []


def test_the_compiled_http_parser_is_loaded() -> None:
    assert has_c_parser() is True
