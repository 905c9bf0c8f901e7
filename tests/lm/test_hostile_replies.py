"""Whatever a server sends, it becomes an outcome: no shape of JSON, no header and no list raises, none blocks long."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastinstruct.lm import Endpoint, HttpTransport, Outcome, Request, Transient
from fastinstruct.lm.limits.concurrency import QueueAware
from fastinstruct.lm.limits.rate_budget import RateBudget
from fastinstruct.lm.outcomes.classify import classify_reply
from fastinstruct.lm.outcomes.error_body import error_info, in_words, parse_error, shown
from fastinstruct.lm.process import SMALL
from fastinstruct.lm.scheduling.scheduler import detail_of
from fastinstruct.lm.transports.codec import parse_json
from fastinstruct.lm.transports.decoding import decode_reply
from fastinstruct.lm.transports.http import _model_ids
from fastinstruct.lm.transports.queue_metrics import parse_queue_metrics
from fastinstruct.pipeline.stages.calibration import log_odds
from fastinstruct.records import Api, Completion, FinishReason, ReplyForm, ReplyFormat, Sampling
from hostile_json import DEPTHS, VALUES, error_bodies, nested, reply_bodies
from loop_watch import LoopWatch

CHAT = Endpoint(base_url="http://127.0.0.1:8000/v1", model="m", api=Api.CHAT)
TEXT = Endpoint(base_url="http://127.0.0.1:8000/v1", model="m", api=Api.COMPLETIONS)
ASKED = ReplyFormat(form=ReplyForm.JSON_SCHEMA, name="tasks", schema={"type": "object", "properties": {"tasks": {}}})
ASKING = Request(key="r", prompt="Task:", sampling=Sampling(max_tokens=5))
REQUESTS = (
    None,
    ASKING,
    Request(key="r", prompt="Task:", sampling=Sampling(), reply_format=ASKED),
)
STATUSES = (200, 201, 301, 400, 401, 402, 403, 404, 413, 418, 422, 429, 498, 500, 503, 529, 999)
HEADERS = st.dictionaries(
    st.sampled_from(
        (
            *("retry-after", "retry-after-ms", "date", "location", "x-ratelimit-reset", "x-ratelimit-reset-tokens"),
            *("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-remaining-requests"),
        )
    ),
    st.one_of(
        st.text(max_size=30),
        st.sampled_from(("9" * 5000, "1e5", "-1", "nan", "1h" * 300, "Wed, 99 Foo 99999999 99:99:99 GMT", "²", "٣")),
    ),
)


def is_told(outcome: Outcome) -> bool:
    """Whether an outcome is one, in words that fit on a line."""
    return len(detail_of(outcome)) < 1000


# --- no shape raises


@settings(max_examples=300)
@given(reply_bodies(), st.sampled_from((CHAT, TEXT)), st.sampled_from(REQUESTS), st.sampled_from(((), (5,))))
def test_any_json_in_any_place_of_a_reply_is_an_outcome(
    body: str, endpoint: Endpoint, request: Request | None, limits: tuple[int, ...]
) -> None:
    found = classify_reply(200, {}, body.encode(), endpoint, now_s=1e9, request=request, limits=limits)
    assert is_told(found)


@settings(max_examples=300)
@given(error_bodies(), st.sampled_from(STATUSES), HEADERS, st.sampled_from(REQUESTS))
def test_any_json_in_any_place_of_a_refusal_is_an_outcome(
    body: str, status: int, headers: dict[str, str], request: Request | None
) -> None:
    assert is_told(classify_reply(status, headers, body.encode(), CHAT, now_s=1e9, request=request))


@given(reply_bodies(), st.sampled_from(Api))
def test_whatever_a_reply_gives_can_be_calibrated_with(body: str, api: Api) -> None:
    try:
        payload = parse_json(body.encode())
    except ValueError:
        return
    completion = decode_reply(api, payload)
    if isinstance(completion, Completion):
        odds = log_odds(completion.top_logprobs)
        assert odds is None or not math.isnan(odds)


@given(HEADERS)
def test_any_headers_are_borne_by_the_rate_budget(headers: dict[str, str]) -> None:
    budget = RateBudget(60, 1000)
    budget.observe(headers, 1.0)
    assert budget.wait_s(1.0) >= 0


@given(st.one_of(VALUES, VALUES.map('{{"data":[{{"id":{0}}},{0}]}}'.format)))
def test_any_json_is_a_list_of_models_or_an_outcome(body: str) -> None:
    found = _model_ids(body.encode(), CHAT)
    assert isinstance(found, Outcome) or all(isinstance(name, str) for name in found)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("vllm:num_requests_running", "vllm:num_requests_waiting", "x")),
            st.one_of(st.floats().map(str), st.text('0123456789.eE+-{}" ', max_size=60), VALUES),
        ),
        max_size=6,
    )
)
def test_any_metrics_steer_a_controller_or_nothing(samples: list[tuple[str, str]]) -> None:
    metrics = parse_queue_metrics("\n".join(f"{name} {value}" for name, value in samples))
    if metrics is not None:
        controller = QueueAware(maximum=8)
        controller.on_metrics(metrics.running, metrics.waiting, 1.0)
        assert 1 <= controller.limit(1.0) <= 8


@given(VALUES, st.integers(1, 300))
def test_words_of_json_are_as_short_as_asked_for_and_plain_values_as_python_writes_them(body: str, most: int) -> None:
    try:
        value = parse_json(body.encode())
    except ValueError:
        return
    words = in_words(value, most)
    assert len(words) <= most
    if isinstance(value, str | int | float | None):
        assert words == str(value)[:most]


@given(
    st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda s: st.lists(s) | st.dictionaries(st.text(), s))
)
def test_words_of_shallow_json_are_pythons_own(value: object) -> None:
    def depth(one: object) -> int:
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        return 1 + max(map(depth, inner), default=0)

    if depth(value) <= 8:
        assert in_words(value, 10**6) == str(value)


# --- a thousand levels

PLACES = (
    '{"error":%s}',
    '{"error":{"message":%s}}',
    '{"error":{"message":{"detail":%s}}}',
    '{"detail":%s}',
    '{"detail":[{"msg":%s,"loc":["body",%s]}]}',
    "%s",
    "[%s]",
    '{"choices":%s}',
    '{"choices":[{"error":%s}]}',
    '{"choices":[{"message":%s,"text":%s}]}',
    '{"choices":[{"message":{"content":%s}}],"usage":%s}',
    '{"choices":[{"message":{"content":"","reasoning_content":%s},"logprobs":%s}]}',
    '{"choices":[{"message":{"content":null},"finish_reason":%s}],"model":%s}',
    '{"status":%s,"errors":%s}',
)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("status", [200, 400, 429, 500])
def test_nested_bodies_are_outcomes(place: str, depth: int, status: int) -> None:
    for around in (("[", "]"), ('{"a":', "}"), ('{"message":', "}"), ('[{"text":', "}]")):
        body = place.replace("%s", nested(depth, around)).encode()
        for endpoint in (CHAT, TEXT):
            for request in REQUESTS:
                assert is_told(classify_reply(status, {}, body, endpoint, now_s=1e9, request=request))


def test_words_of_a_nested_error_say_how_it_begins() -> None:
    assert parse_error(b'{"error":{"message":' + nested(1000, ('{"why":', "}")).encode() + b"}}").message.startswith(
        "{'why': {'why': "
    )
    assert error_info({"error": {"message": {"why": [1, "a"]}}}).message == "{'why': [1, 'a']}"


# --- over HTTP


@contextmanager
def served(body: bytes, status: int = 200, kind: str = "application/json") -> Iterator[tuple[str, threading.Event]]:
    """A server that gives one body to whatever it is asked, in threads of its own; the event says that it has."""
    asked = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            if self.path.endswith("completions"):
                asked.set()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def chat_body(content: str) -> bytes:
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return json.dumps({"id": "x", "object": "chat.completion", "model": "m", "choices": [choice]}).encode()


async def asked_all(url: str, api: Api) -> tuple[Outcome, object, object]:
    async with HttpTransport(Endpoint(base_url=url, model="m", api=api)) as transport:
        sent = await transport.send(Request(key="r", prompt="Task:", sampling=Sampling(max_tokens=1024)))
        return sent, await transport.probe(), await transport.metrics()


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("place", PLACES)
def test_a_transport_raises_nothing_for_nested_bodies(place: str, status: int) -> None:
    with served(place.replace("%s", nested(1000)).encode(), status) as (url, _):
        sent, models, metrics = asyncio.run(asked_all(url, Api.CHAT))
    assert is_told(sent)
    assert isinstance(models, list | Outcome)
    assert metrics is None or isinstance(metrics, str)


def test_a_fault_of_ours_in_reading_a_reply_costs_that_reply(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> Outcome:
        raise RecursionError("the reply's own words")

    monkeypatch.setattr("fastinstruct.lm.transports.http.classify_reply", fail)
    with served(chat_body("Yes")) as (url, _):
        sent, _, _ = asyncio.run(asked_all(url, Api.CHAT))
    assert sent == Transient("malformed", "200: it cannot be read (RecursionError)")
    assert "RecursionError" in caplog.text
    assert "own words" not in caplog.text


# --- none blocks long

HOSTILE = ("<think>", "<think></think>", "<", "[THINK]", "assistantfinal", "<|channel|>", " ", "◁think▷", "{", '{"a":[')


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_hostile_megabyte_is_read_beside_the_loop(piece: str) -> None:
    body = chat_body(piece * (2**20 // len(piece)))
    with served(body) as (url, _), LoopWatch() as watch:
        started = time.perf_counter()
        sent, _, _ = asyncio.run(asked_all(url, Api.CHAT))
        assert time.perf_counter() - started < 5
    assert is_told(sent)
    assert watch.slow == []


@pytest.mark.parametrize("body", [b"<title>" * 150_000, b"<title" * 170_000, b"<!doctype html><title>" + b" " * 2**20])
def test_a_hostile_error_page_is_read_beside_the_loop(body: bytes) -> None:
    with served(body, 502, "text/html") as (url, _), LoopWatch() as watch:
        sent, _, _ = asyncio.run(asked_all(url, Api.CHAT))
    assert isinstance(sent, Transient)
    assert watch.slow == []


def test_a_title_is_read_whatever_stands_around_it() -> None:
    for page in ("<html><TITLE lang=en>\n502 Bad </TITLE>", "<head><title>502 Bad</title><title>no</title>"):
        assert parse_error(page.encode()).message == "an HTML page titled '502 Bad'"
    for page in ("<html><title>502", "<html></title>502<title>", "<html>"):
        assert parse_error(page.encode()).message == "an HTML page"
    long = shown(parse_error(b"<title>" + b"x" * 60_000 + b"</title>").message, CHAT)
    assert len(long) == 200


def test_only_what_max_tokens_can_need_is_read() -> None:
    def decoded(limits: tuple[int, ...], size: int) -> Completion:
        payload = json.loads(chat_body("word " * (size // 5)))
        found = decode_reply(Api.CHAT, payload, limits=limits)
        assert isinstance(found, Completion)
        return found

    assert len(decoded((1024,), 2_000_000).text) == 2**18
    assert decoded((1024,), 2_000_000).finish_reason is FinishReason.LENGTH
    assert len(decoded((50_000,), 2_000_000).text) == 32 * 50_000
    assert len(decoded((), 2_000_000).text) == 2**20
    whole = decoded((1024,), 200_000)
    assert len(whole.text) == 200_000
    assert whole.finish_reason is FinishReason.STOP


async def thread_of_reading(size: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """In which thread a body of that size is classified."""
    seen: list[int] = []

    def note(*_: object, **__: object) -> Outcome:
        seen.append(threading.get_ident())
        return Transient("malformed", "")

    monkeypatch.setattr("fastinstruct.lm.transports.http.classify_reply", note)
    with served(b" " * size) as (url, _):
        async with HttpTransport(Endpoint(base_url=url, model="m", api=Api.CHAT)) as transport:
            await transport.send(ASKING)
    return seen[0]


async def test_small_bodies_are_read_on_the_loop_and_large_ones_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await thread_of_reading(SMALL, monkeypatch) == threading.get_ident()
    assert await thread_of_reading(SMALL + 1, monkeypatch) != threading.get_ident()


# --- signals

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("piece", ["<think>", "Task: Name three rivers.\n", "1. a\n"])
async def test_signals_are_heard_while_hostile_megabytes_are_read(
    number: signal.Signals, piece: str, tmp_path: Path
) -> None:
    with served(chat_body(piece * (2**20 // len(piece)))) as (url, asked):
        run = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "fastinstruct", "run", "--out", str(tmp_path / "run"), "--base-url", url),
            *("--model", "m", "--set", "model.replies=text", "--set", "classification.method=text"),
            *("--target", "100000"),
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
        )
        assert run.stderr is not None
        try:
            assert await asyncio.to_thread(asked.wait, 60)
            started = time.perf_counter()
            run.send_signal(number)
            told = await asyncio.wait_for(run.stderr.readuntil(b"once more to abort"), 20)
            run.send_signal(number)
            told += await asyncio.wait_for(run.stderr.read(), 20)
            await run.wait()
            assert time.perf_counter() - started < 10
        finally:
            if run.returncode is None:
                run.kill()
                await run.wait()
    assert run.returncode == (130 if number is signal.SIGINT else 143), told.decode()  # it was aborted
    assert b"Traceback" not in told
