"""The scripted server: both APIs' shapes, replies decided by the request alone, faults on demand, an honest log."""

import asyncio
import json
import os
import random
import re
import statistics
import sys
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from rapidfuzz import process
from rapidfuzz.distance import Indel

from fastinstruct.cli.app import main as command_line
from fastinstruct.errors import ConfigError
from fastinstruct.records import FinishReason
from fastinstruct.scripted_server import Fault, Latency, LogEntry, Script, ScriptedServer, parse_rates
from fastinstruct.scripted_server.replies import (
    Ask,
    Kind,
    ReplyRates,
    grammar_instruction,
    read_ask,
    recognise,
    reply_to,
    text_sha256,
)

PURE = ReplyRates(duplicate_rate=0.0, junk_rate=0.0, length_rate=0.0)
INSTRUCTIONS = "A list of tasks:\n1. Name three rivers.\n9."
CLASSIFICATION = "Label task: Yes or No?\nTask: Tell spam from ham.\nYes\nTask: Write a poem about rivers.\n"
INPUT_FIRST = "Task: Sort the words.\nOutput: a b\n\nTask: Name a river.\n"
OUTPUT_FIRST = "Task: Tell spam from ham.\nClass label: spam\nBuy now!\nOutput: -\n\nTask: Polite or rude?\n"
KEYWORDS = re.compile(
    r"\b(images?|graphs?|pictures?|files?|maps?|draw|plot|go to|video|audio|music|flowchart|diagram)\b", re.IGNORECASE
)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def completion(prompt: str, **fields: object) -> Ask:
    return Ask(chat=False, model="scripted", prompt=prompt, **fields)  # type: ignore[arg-type]  # a test's shorthand


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


# ------------------------------------------------------------------------------------------------------ what it answers


def test_the_first_cue_in_the_prompt_tells_the_kind() -> None:
    prompts = [CLASSIFICATION, OUTPUT_FIRST, INPUT_FIRST, INSTRUCTIONS, "Label task, Class label: and Output:"]
    kinds = [Kind.CLASSIFICATION, Kind.OUTPUT_FIRST, Kind.INPUT_FIRST, Kind.INSTRUCTIONS, Kind.CLASSIFICATION]
    assert [recognise(prompt) for prompt in prompts] == kinds


def test_a_completions_reply_goes_on_with_the_prompts_numbering() -> None:
    text = reply_to(completion(INSTRUCTIONS), seed=0, rates=PURE).text
    assert text.startswith(" ")
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", "9." + text, re.MULTILINE)]
    assert numbers == list(range(9, 9 + len(numbers)))
    assert 5 <= len(numbers) <= 8


def test_a_completions_reply_to_an_unnumbered_prompt_starts_at_1() -> None:
    assert reply_to(completion("Some tasks, please."), seed=0, rates=PURE).text.startswith("1. ")


def test_chat_replies_come_in_four_list_formats() -> None:
    asks = [Ask(chat=True, model="m", prompt=f"Tasks, please ({n}).") for n in range(40)]
    texts = [reply_to(ask, seed=0, rates=PURE).text for ask in asks]
    starts = ("Sure! Here are", "- ", "**Task 9:** ", "9. ")
    assert all(text.startswith(starts) for text in texts)
    assert {start for start in starts for text in texts if text.startswith(start)} == set(starts)
    assert all("\n\n1. " in text for text in texts if text.startswith("Sure!"))


def test_replies_depend_on_server_seed_prompt_and_request_seed_alone() -> None:
    def text(prompt: str, seed: int, request_seed: int | None) -> str:
        return reply_to(completion(prompt, seed=request_seed), seed=seed, rates=PURE).text

    assert text(INSTRUCTIONS, 1, None) == text(INSTRUCTIONS, 1, None)
    variants = {
        text(INSTRUCTIONS, 1, None),
        text(INSTRUCTIONS, 2, None),
        text(INSTRUCTIONS, 1, 5),
        text("A 9.", 1, None),
    }
    assert len(variants) == 4


def test_a_reply_is_pinned_so_that_stored_runs_meet_it_again_after_an_upgrade() -> None:
    text = reply_to(completion(INSTRUCTIONS), seed=0, rates=PURE).text
    first = "Explain comets to hikers without experience leaving out all adjectives, perhaps as a quiz."
    assert text.partition("\n")[0] == f" {first}"


def test_a_quarter_of_the_tasks_is_classification() -> None:
    prompts = [f"Label task\nTask: a\nYes\nTask: Sort pile {n}.\nIs it?" for n in range(2000)]
    answers = [reply_to(completion(prompt), seed=0, rates=PURE).text for prompt in prompts]
    assert set(answers) == {" Yes", " No"}
    assert 0.22 < answers.count(" Yes") / len(answers) < 0.28


def test_the_label_depends_on_the_last_task_only() -> None:
    prompts = [f"Label task {n}\nTask: other {n}\nNo\nTask:  Sort the pile. \nclassification? {n}" for n in range(50)]
    assert len({reply_to(completion(prompt), seed=0, rates=PURE).text for prompt in prompts}) == 1


def test_input_first_replies_have_one_to_three_examples_or_an_output_alone() -> None:
    texts = [reply_to(completion(f"{INPUT_FIRST}{n}"), seed=0, rates=PURE).text for n in range(200)]
    block = r"Example \d\nInput: [^\n]+\nOutput: [^\n]+"
    assert all(re.fullmatch(rf"{block}(\n\n{block}){{0,2}}|Output: [^\n]+", text) for text in texts)
    assert {text.count("Input: ") for text in texts} == {0, 1, 2, 3}


def test_output_first_replies_have_two_or_three_labelled_texts() -> None:
    texts = [reply_to(completion(f"{OUTPUT_FIRST}{n}"), seed=0, rates=PURE).text for n in range(200)]
    block = r"Class label: \w+\n[^\n]+"
    assert all(re.fullmatch(rf"{block}(\n\n{block}){{1,2}}", text) for text in texts)
    assert {text.count("Class label: ") for text in texts} == {2, 3}


def test_a_length_reply_is_the_stop_reply_with_its_last_item_cut() -> None:
    whole = reply_to(completion(INSTRUCTIONS), seed=0, rates=PURE)
    cut = reply_to(
        completion(INSTRUCTIONS), seed=0, rates=ReplyRates(duplicate_rate=0.0, junk_rate=0.0, length_rate=1.0)
    )
    assert (whole.finish_reason, cut.finish_reason) == (FinishReason.STOP, FinishReason.LENGTH)
    assert whole.text.startswith(cut.text)
    assert whole.text.count("\n") == cut.text.count("\n")
    assert len(cut.text) < len(whole.text)


# ---------------------------------------------------------------------------------------------------------- the grammar


def grammar_texts(number: int) -> list[str]:
    rng = random.Random(20)
    return [grammar_instruction(rng) for _ in range(number)]


def test_rouge_l_at_07_rejects_under_15_percent_of_the_first_2000_instructions() -> None:
    admitted: list[list[str]] = []
    for text in grammar_texts(2000):
        tokens = re.findall("[a-z0-9]+", text.lower())
        # Indel similarity of token lists, 2 LCS / (m + n), is ROUGE-L's F-measure.
        if not process.extractOne(tokens, admitted, scorer=Indel.normalized_similarity, score_cutoff=0.7):
            admitted.append(tokens)
    assert len(admitted) > 1700


def test_grammar_instructions_have_8_to_25_words() -> None:
    lengths = [len(text.split()) for text in grammar_texts(20_000)]
    assert min(lengths) >= 8
    assert max(lengths) <= 25


def test_grammar_instructions_hold_no_word_that_the_filters_refuse() -> None:
    texts = grammar_texts(20_000)
    assert [text for text in texts if KEYWORDS.search(text) or text.startswith("Write a program")] == []
    assert all(text.isascii() and text[0].isupper() for text in texts)


def instructions_of(rates: ReplyRates) -> list[str]:
    replies = [reply_to(completion(f"{n}\n9."), seed=0, rates=rates).text for n in range(100)]
    return [item.strip() for reply in replies for item in re.split(r"\n\d+\. ", reply)]


def test_junk_is_what_the_filters_reject() -> None:
    refused = re.compile(rf"{KEYWORDS.pattern}|^I'm sorry|^As a language model|^Write a program|^\W|^\w+ \w+\.$", re.I)
    texts = instructions_of(ReplyRates(duplicate_rate=0.0, junk_rate=1.0, length_rate=0.0))
    assert [text for text in texts if not refused.search(text)] == []


def test_duplicates_repeat_a_small_set_nearly_verbatim() -> None:
    texts = instructions_of(ReplyRates(duplicate_rate=1.0, junk_rate=0.0, length_rate=0.0))
    assert len(texts) > 500
    assert len(set(texts)) == 18
    assert len({re.sub(r"(, please)?[.!]$", "", text) for text in texts}) == 6


# -------------------------------------------------------------------------------------------------------- over the wire


async def test_completions_answer_in_the_legacy_shape_with_logprobs(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer() as server:
        body = await ask(http, server, CLASSIFICATION, logprobs=2)
    logprobs = body["choices"][0].pop("logprobs")
    assert body == {
        "id": "scr-1",
        "object": "text_completion",
        "created": 0,
        "model": "scripted",
        "choices": [{"index": 0, "finish_reason": "stop", "text": " No"}],
        "usage": {"prompt_tokens": 21, "completion_tokens": 1, "total_tokens": 22},
    }
    assert list(logprobs["top_logprobs"][0]) == [" No", " Yes"]
    assert logprobs["tokens"] == [" No"]
    assert logprobs["token_logprobs"] == [logprobs["top_logprobs"][0][" No"]]
    assert logprobs["text_offset"] == [len(CLASSIFICATION)]


async def test_chat_answers_in_the_chat_shape_with_logprobs(http: aiohttp.ClientSession) -> None:
    messages = [
        {"role": "system", "content": "Label task"},
        {"role": "user", "content": "Task: Write a poem about rivers."},
    ]
    request = {"model": "scripted", "messages": messages, "logprobs": True, "top_logprobs": 3}
    async with ScriptedServer() as server, http.post(f"{server.base_url}/chat/completions", json=request) as response:
        body = await response.json()
        assert server.log[0].prompt_sha256 == sha256(b"Label task\nTask: Write a poem about rivers.").hexdigest()
    assert body["object"] == "chat.completion"
    choice = body["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "No"}
    assert choice["finish_reason"] == "stop"
    content = choice["logprobs"]["content"][0]
    assert [top["token"] for top in content["top_logprobs"]] == ["No", "Yes", "Maybe"]
    assert content["top_logprobs"][0] == {"token": "No", "logprob": content["logprob"], "bytes": [78, 111]}


async def test_logprobs_are_null_unless_asked_for(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer() as server:
        body = await ask(http, server, CLASSIFICATION)
    assert body["choices"][0]["logprobs"] is None


async def test_usage_counts_four_characters_as_a_token(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer() as server:
        body = await ask(http, server, "x" * 397 + " 9.")
    assert body["usage"]["prompt_tokens"] == 100
    assert body["usage"]["completion_tokens"] == len(body["choices"][0]["text"]) // 4


async def test_a_restarted_server_gives_the_same_replies_in_another_order(http: aiohttp.ClientSession) -> None:
    prompts = [f"prompt {n}\n9." for n in range(20)]
    script = Script(seed=3)
    async with ScriptedServer(script) as server:
        before = {prompt: (await ask(http, server, prompt))["choices"] for prompt in prompts}
    async with ScriptedServer(script) as server:
        after = {prompt: (await ask(http, server, prompt))["choices"] for prompt in reversed(prompts)}
    assert before == after


async def test_models_and_health_answer(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer(Script(model="tiny")) as server:
        async with http.get(f"{server.base_url}/models") as response:
            assert [model["id"] for model in (await response.json())["data"]] == ["tiny"]
        async with http.get(server.base_url.removesuffix("/v1") + "/health") as response:
            assert await response.json() == {"status": "ok"}


async def test_an_unknown_model_is_404_model_not_found(http: aiohttp.ClientSession) -> None:
    async with (
        ScriptedServer() as server,
        http.post(f"{server.base_url}/completions", json={"model": "other", "prompt": "x"}) as response,
    ):
        assert response.status == 404
        assert (await response.json())["error"] == {
            "message": "the model does not exist; 'scripted' does",
            "type": "invalid_request_error",
            "param": None,
            "code": "model_not_found",
        }


async def test_a_wrong_key_is_401_and_the_right_one_is_answered(http: aiohttp.ClientSession) -> None:
    statuses = []
    async with ScriptedServer(Script(api_key="right")) as server:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer right"}):
            async with http.get(f"{server.base_url}/models", headers=headers) as response:
                statuses.append(response.status)
    assert statuses == [401, 401, 200]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the body is not JSON"),
        (b"[]", "the body is not a JSON object"),
        (b'{"prompt": ["a", "b"]}', "'prompt' must be one text"),
        (b'{"prompt": "a", "n": 2}', "the scripted server answers with one whole reply: no 'stream', no 'n' but 1"),
        (b'{"prompt": "a", "seed": "b"}', "'seed' and the number of log-probabilities must be integers"),
    ],
)
async def test_a_bad_body_is_400_and_says_why(http: aiohttp.ClientSession, body: bytes, message: str) -> None:
    async with ScriptedServer() as server, http.post(f"{server.base_url}/completions", data=body) as response:
        assert response.status == 400
        assert (await response.json())["error"]["message"] == message


def test_a_prompt_with_a_lone_surrogate_is_taken() -> None:
    asked = read_ask("/v1/completions", b'{"model": "m", "prompt": "\\ud800 9."}')
    assert isinstance(asked, Ask)
    assert asked.prompt == "\ud800 9."
    assert len(text_sha256(asked.prompt)) == 64


async def raw(server: ScriptedServer, sent: bytes) -> bytes:
    """Everything that the server answers to these bytes until it closes."""
    port = int(server.base_url.removesuffix("/v1").rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"nonsense", b"400 Bad Request"),
        (b"POST /v1/completions HTTP/1.1", b"411 Length Required"),
        (b"POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked", b"411 Length Required"),
        (b"POST /v1/completions HTTP/1.1\r\nContent-Length: x", b"400 Bad Request"),
        (b"GET /elsewhere HTTP/1.1\r\nConnection: close", b"404 Not Found"),
        (b"GET /v1/completions HTTP/1.1\r\nConnection: close", b"404 Not Found"),
    ],
)
async def test_what_is_not_understood_is_refused_and_closed(head: bytes, status: bytes) -> None:
    async with ScriptedServer() as server:
        assert (await raw(server, head + b"\r\n\r\n")).startswith(b"HTTP/1.1 " + status)


def post(prompt: str) -> bytes:
    body = json.dumps({"model": "scripted", "prompt": prompt}).encode()
    return b"POST /v1/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def test_requests_on_one_connection_are_answered_in_their_order() -> None:
    async with ScriptedServer(Script(latency=Latency(0.001))) as server:
        answer = await raw(server, post("a") + post("b") + b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert re.findall(rb'"id":"([^"]+)"|"status":"(\w+)"', answer) == [
            (b"scr-1", b""),
            (b"scr-2", b""),
            (b"", b"ok"),
        ]
        assert [entry.path for entry in server.log] == ["/v1/completions", "/v1/completions", "/health"]
        assert server.max_in_flight_seen == 1


async def test_a_request_may_arrive_in_pieces() -> None:
    async with ScriptedServer() as server:
        port = int(server.base_url.removesuffix("/v1").rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        whole = post(INSTRUCTIONS)
        for piece in (whole[:10], whole[10:60], whole[60:]):
            writer.write(piece)
            await status_probe(server)
        assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
        writer.close()
        await writer.wait_closed()


async def status_probe(server: ScriptedServer) -> None:
    """A round trip: whatever was written before it has reached the server."""
    await raw(server, b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")


async def test_connections_are_kept_alive(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer(Script(faults={"500": 0.5})) as server:
        for n in range(20):
            assert await status_of(http, server, f"prompt {n}") in {200, 500}
        assert len(server.connections) == 1


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


# --------------------------------------------------------------------------------------------------- log and subprocess


async def test_the_log_has_an_entry_for_each_request(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer() as server:
        await ask(http, server, INSTRUCTIONS)
        await ask(http, server, CLASSIFICATION)
        first, second = server.log
    assert first.ended_s is not None
    assert first.ended_s >= first.started_s
    sha = sha256(INSTRUCTIONS.encode()).hexdigest()
    assert first == LogEntry(
        index=0,
        path="/v1/completions",
        started_s=first.started_s,
        kind=Kind.INSTRUCTIONS,
        prompt_sha256=sha,
        ended_s=first.ended_s,
        status=200,
        reply_id="scr-1",
    )
    assert (second.index, second.kind, second.reply_id) == (1, Kind.CLASSIFICATION, "scr-2")


async def test_the_log_file_has_a_line_before_the_answer_arrives(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    log_file = tmp_path / "log.jsonl"
    async with ScriptedServer(Script(faults={"429": 1.0}, max_faults_per_prompt=1), log_file=log_file) as server:
        assert await status_of(http, server) == 429
        body = await ask(http, server, INSTRUCTIONS)
        lines = [json.loads(line) for line in log_file.read_bytes().splitlines()]
        ended = [entry.ended_s for entry in server.log]
    assert [(line["reply_id"], line["status"], line["kind"], line["fault"]) for line in lines] == [
        (None, 429, "instructions", "429"),
        (body["id"], 200, "instructions", None),
    ]
    assert {line["prompt_sha256"] for line in lines} == {sha256(INSTRUCTIONS.encode()).hexdigest()}
    assert [line["ended_s"] for line in lines] == ended


async def test_the_verb_starts_answers_and_stops_on_sigterm(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    port_file, log_file = tmp_path / "port", tmp_path / "log.jsonl"
    options = f"--port 0 --port-file {port_file} --log {log_file} --seed 3 --latency 0.001 --latency-sigma 0.5"
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fastinstruct", "scripted-server", *options.split(), "--api-key", "k"),
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    url = (await child.stdout.readline()).decode().removeprefix("listening on ").strip()
    assert url == f"http://127.0.0.1:{port_file.read_text()}/v1"
    request = {"model": "scripted", "prompt": INSTRUCTIONS}
    async with http.post(f"{url}/completions", json=request, headers={"Authorization": "Bearer k"}) as response:
        body = await response.json()
    assert body["choices"][0]["text"] == reply_to(completion(INSTRUCTIONS), seed=3, rates=ReplyRates()).text
    assert json.loads(log_file.read_bytes())["reply_id"] == body["id"]
    child.terminate()
    assert await child.communicate() == (b"", b"")
    assert child.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--fault", "429=2"], "faults: 429: must be within 0..1, got 2.0"),
        (["--fault", "429"], "faults: '429' should be a name and a share, such as 500=0.02"),
        (["--log", "/nowhere/log"], "the server cannot start: No such file or directory; see --port and --log"),
    ],
)
def test_the_verb_refuses_a_wrong_option_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["fastinstruct", "scripted-server", "--port", "0", *arguments])
    with pytest.raises(SystemExit) as exit_:
        command_line()
    assert exit_.value.code == 2
    assert capsys.readouterr().err == f"fastinstruct: {line}\n"
