"""The scripted server over real HTTP: both APIs' shapes, connections, an honest log."""

from __future__ import annotations

import asyncio
import json
import re
from hashlib import sha256
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinstruct.errors import ConfigError
from fastinstruct.scripted_server import Kind, Latency, LogEntry, Replies, Script, ScriptedServer
from fastinstruct.scripted_server.draws import text_sha256
from fastinstruct.scripted_server.quick import quick_reply
from fastinstruct.scripted_server.shapes import Ask, read_ask
from fastinstruct.scripted_server.stats import SlidingMax
from scripted_http import CLASSIFICATION, INSTRUCTIONS, ask, post, raw, stats_of, status_of, status_probe

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
        (b'{"prompt": "a", "seed": "b"}', "'seed', 'max_tokens' and the number of log-probabilities must be integers"),
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


async def test_requests_on_one_connection_are_answered_in_their_order() -> None:
    async with ScriptedServer(Script(latency=Latency(0.001))) as server:
        answer = await raw(server, post("a") + post("b") + b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert re.findall(rb'"id":"([^"]+)"|"status":"(\w+)"', answer) == [
            (b"scr-1", b""),
            (b"scr-2", b""),
            (b"", b"ok"),
        ]
        assert [entry.path for entry in server.log] == ["/v1/completions", "/v1/completions"]
        assert server.stats.max_in_flight == 1


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


async def test_connections_are_kept_alive(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer(Script(faults={"500": 0.5})) as server:
        for n in range(20):
            assert await status_of(http, server, f"prompt {n}") in {200, 500}
        assert len(server.connections) == 1


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


async def test_with_log_every_s_lines_are_written_together(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    log_file = tmp_path / "log.jsonl"
    async with ScriptedServer(log_file=log_file, log_every_s=3600.0) as server:
        ids = [(await ask(http, server, f"{n}. "))["id"] for n in range(3)]
        assert log_file.read_bytes() == b""
    assert [json.loads(line)["reply_id"] for line in log_file.read_bytes().splitlines()] == ids


async def test_a_server_that_keeps_no_log_answers_all_the_same(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer(keeps_log=False) as server:
        assert (await ask(http, server, INSTRUCTIONS))["id"] == "scr-1"
        assert server.log == []


async def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_open(tmp_path: Path) -> None:
    async with ScriptedServer() as server:
        port = int(server.base_url.removesuffix("/v1").rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            await ScriptedServer(port=port, log_file=tmp_path / "log").__aenter__()


# ----------------------------------------------------------------------------------------------------------- modes


async def test_quick_replies_are_those_of_their_prompts(http: aiohttp.ClientSession) -> None:
    script = Script(replies=Replies.QUICK, seed=4)
    async with ScriptedServer(script) as server:
        bodies = {prompt: await ask(http, server, prompt, logprobs=2) for prompt in (INSTRUCTIONS, CLASSIFICATION)}
    for kind, (prompt, body) in zip((Kind.INSTRUCTIONS, Kind.CLASSIFICATION), bodies.items(), strict=True):
        asked = Ask(chat=False, model="scripted", prompt=prompt, num_logprobs=2)
        reply = quick_reply(asked, kind, text_sha256(prompt), seed=4, rates=script)
        assert body["choices"][0]["text"] == reply.text
    assert bodies[CLASSIFICATION]["choices"][0]["logprobs"]["tokens"][0] in {" Yes", " No"}


@pytest.mark.parametrize("keeps_log", [False, True])
async def test_canned_replies_are_the_same_bytes_whatever_is_asked(
    http: aiohttp.ClientSession, keeps_log: bool
) -> None:
    async with ScriptedServer(Script(replies=Replies.CANNED), keeps_log=keeps_log) as server:
        answers = set()
        for data in (b"{}", b"no JSON", post(INSTRUCTIONS)):
            async with http.post(f"{server.base_url}/completions", data=data) as response:
                answers.add(await response.read())
        async with http.post(f"{server.base_url}/chat/completions", data=b"") as response:
            chat = await response.json()
        [answer] = answers
        stats = await stats_of(http, server)
    choice = json.loads(answer)["choices"][0]
    assert choice["text"] == chat["choices"][0]["message"]["content"]
    assert choice["text"].startswith("1. ")
    assert (stats["num_requests"], stats["num_by_status"]) == (4, {"200": 4})
    assert [entry.status for entry in server.log] == ([200] * 4 if keeps_log else [])


async def test_canned_replies_keep_latencies_faults_and_keys(http: aiohttp.ClientSession) -> None:
    script = Script(replies=Replies.CANNED, faults={"500": 0.5}, max_faults_per_prompt=9, seed=2, api_key="k")
    async with ScriptedServer(script, keeps_log=False) as server:
        statuses = []
        for n in range(20):
            async with http.post(
                f"{server.base_url}/completions", data=str(n), headers={"Authorization": "Bearer k"}
            ) as response:
                statuses.append(response.status)
        assert await status_of(http, server) == 401
    assert statuses == [500 if script.drawn_fault(text_sha256(str(n)), 1) else 200 for n in range(20)]
    assert set(statuses) == {200, 500}


async def test_canned_requests_may_come_in_pieces_and_several_at_once() -> None:
    async with ScriptedServer(Script(replies=Replies.CANNED), keeps_log=False) as server:
        end = b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n"
        answer = await raw(server, post("a") + post("b") + end)
        assert answer.count(b"HTTP/1.1 200 OK") == 3
        assert server.stats.num_requests == 2


# ----------------------------------------------------------------------------------------------------------- stats


async def test_stats_count_what_came_and_what_became_of_it(http: aiohttp.ClientSession) -> None:
    script = Script(faults={"429": 1.0}, max_faults_per_prompt=1)
    async with ScriptedServer(script) as server:
        assert [await status_of(http, server) for _ in range(4)] == [429, 200, 429, 200]
        assert await status_of(http, server, "other") == 429
        async with http.get(f"{server.base_url}/models") as response:
            await response.read()
        stats = await stats_of(http, server)
    assert stats["num_requests"] == stats["max_requests_in_60_s"] == 5
    assert stats["num_by_status"] == {"200": 2, "429": 3}
    assert stats["num_by_fault"] == {"429": 3}
    assert (stats["num_in_flight"], stats["max_in_flight"]) == (0, 1)
    assert stats["num_prompt_tokens"] == 2 * (len(INSTRUCTIONS) // 4)
    assert stats["num_completion_tokens"] > 2
    assert stats["max_tokens_in_60_s"] == stats["num_prompt_tokens"] + stats["num_completion_tokens"]
    assert stats["num_connections"] == stats["num_connections_opened"] == stats["max_connections"] == 1
    assert stats["cpu_s"] > 0


async def test_busy_slot_seconds_are_the_time_that_requests_were_served(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer(Script(latency=Latency(0.02, width_s=0.05))) as server:
        await asyncio.gather(*(ask(http, server, f"{n}") for n in range(8)))
        stats = await stats_of(http, server)
        spans = [(entry.ended_s or 0) - entry.started_s for entry in server.log]
    assert stats["busy_slot_s"] == pytest.approx(sum(spans))
    assert 0 < stats["max_in_flight"] <= 8


def test_a_script_names_the_choices_it_has() -> None:
    with pytest.raises(ConfigError, match=r"^replies: there is no 'fast'; there are written, quick, canned$"):
        Script(replies="fast")  # type: ignore[arg-type]  # as the command line passes it


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(0, 9)), max_size=40))
def test_the_highest_count_within_a_minute_is_never_understated_and_at_most_a_step_too_wide(
    gaps: list[tuple[float, int]],
) -> None:
    window = SlidingMax(60.0)
    now_s, added = 1000.0, []
    for gap_s, amount in gaps:
        now_s += gap_s
        window.add(now_s, amount)
        added.append((now_s, amount))

    def naive(width_s: float) -> int:
        return max((sum(a for t, a in added if end - width_s <= t <= end) for end, _ in added), default=0)

    assert naive(60.0) <= window.highest <= naive(60.02)
