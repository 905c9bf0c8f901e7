"""Asked for JSON, the scripted server gives, ignores or refuses it as real servers do, and logs the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fastinstruct.errors import ConfigError
from fastinstruct.records import ReplyForm
from fastinstruct.scripted_server import JsonReplies, Replies, Script, ScriptedServer, Truth
from fastinstruct.scripted_server.replies import Kind, kind_of, recognise
from fastinstruct.text.structured import examples_format, is_classification_format, satisfies, tasks_format
from places import REPOSITORY
from scripted_http import CLASSIFICATION, INPUT_FIRST, INSTRUCTIONS, OUTPUT_FIRST

TEMPLATES = REPOSITORY / "prompts"
FORM = ReplyForm.JSON_SCHEMA
SCHEMAS = {
    Kind.INSTRUCTIONS: tasks_format(FORM, max_items=8).schema,
    Kind.CLASSIFICATION: is_classification_format(FORM).schema,
    Kind.INPUT_FIRST: examples_format(FORM, max_instances=5, output_first=False).schema,
    Kind.OUTPUT_FIRST: examples_format(FORM, max_instances=5, output_first=True).schema,
}
PROMPTS = {
    Kind.INSTRUCTIONS: INSTRUCTIONS,
    Kind.CLASSIFICATION: CLASSIFICATION,
    Kind.INPUT_FIRST: INPUT_FIRST,
    Kind.OUTPUT_FIRST: OUTPUT_FIRST,
}
OBJECT = {"response_format": {"type": "json_object"}}


def by_schema(kind: Kind) -> dict[str, Any]:
    wrapper = {"name": "reply", "strict": True, "schema": SCHEMAS[kind]}
    return {"response_format": {"type": "json_schema", "json_schema": wrapper}}


async def chat(
    http: aiohttp.ClientSession, server: ScriptedServer, prompt: str, fields: dict[str, Any]
) -> tuple[int, str]:
    """The status and the content, or the error's message."""
    body = {"model": "scripted", "messages": [{"role": "user", "content": prompt}], **fields}
    async with http.post(f"{server.base_url}/chat/completions", json=body) as response:
        found = await response.json()
    return response.status, found["error"]["message"] if "error" in found else found["choices"][0]["message"]["content"]


async def completed(http: aiohttp.ClientSession, server: ScriptedServer, prompt: str, fields: dict[str, Any]) -> str:
    body = {"model": "scripted", "prompt": prompt, **fields}
    async with http.post(f"{server.base_url}/completions", json=body) as response:
        assert response.status == 200
        return str((await response.json())["choices"][0]["text"])


def truth_of(server: ScriptedServer) -> Truth:
    truth = server.log[-1].truth
    assert truth is not None
    return truth


# --------------------------------------------------------------------------------------------------------------- given


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("replies", [Replies.WRITTEN, Replies.QUICK])
async def test_a_schema_tells_the_stage_and_is_kept_to(
    http: aiohttp.ClientSession, kind: Kind, replies: Replies
) -> None:
    async with ScriptedServer(Script(replies=replies, length_rate=0.0)) as server:
        for number in range(10):
            status, text = await chat(http, server, f"An opaque prompt ({number}).", by_schema(kind))
            assert status == 200
            assert satisfies(SCHEMAS[kind], json.loads(text))
            assert server.log[-1].kind is kind


@pytest.mark.parametrize("kind", Kind)
async def test_llamacpps_field_is_taken_on_completions(http: aiohttp.ClientSession, kind: Kind) -> None:
    async with ScriptedServer() as server:
        text = await completed(http, server, "An opaque prompt.", {"json_schema": SCHEMAS[kind]})
        assert satisfies(SCHEMAS[kind], json.loads(text))


@pytest.mark.parametrize("kind", Kind)
async def test_without_a_schema_the_prompts_words_tell_the_stage(http: aiohttp.ClientSession, kind: Kind) -> None:
    async with ScriptedServer() as server:
        status, text = await chat(http, server, f"Answer in JSON.\n{PROMPTS[kind]}", OBJECT)
        assert status == 200
        assert satisfies(SCHEMAS[kind], json.loads(text))


def test_the_keys_in_a_json_prompt_tell_the_stage() -> None:
    assert recognise('Answer as JSON, {"tasks": [...]}, 8 of them.') is Kind.INSTRUCTIONS
    assert recognise('Answer as JSON, {"is_classification": true} or false.') is Kind.CLASSIFICATION
    assert recognise('Answer as JSON, {"examples": [{"input": "", "output": ""}]}.') is Kind.INPUT_FIRST
    assert recognise('Answer as JSON, {"examples": [{"output": "", "input": ""}]}.') is Kind.OUTPUT_FIRST


@pytest.mark.parametrize(
    "path", sorted(TEMPLATES.glob("*/*.json.txt")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_the_packages_own_json_prompts_are_recognised(path: Path) -> None:
    name = path.name.removesuffix(".json.txt").replace("_", "-")
    kind = Kind.INPUT_FIRST if name == "respond" else Kind(name)
    shown = {
        Kind.CLASSIFICATION: '{"is_classification":true}',
        Kind.INPUT_FIRST: '{"examples":[{"input":"Output: a","output":"b"}]}',
        Kind.OUTPUT_FIRST: '{"examples":[{"output":"b","input":"Output: a"}]}',
    }.get(kind, "")
    prompt = path.read_text(encoding="utf-8").replace("{demonstrations}", f"Task: Sort the words.\n{shown}")
    assert recognise(prompt.replace("{tasks}", '["Write Output: twice."]')) is kind


def test_a_schema_of_other_keys_tells_nothing() -> None:
    assert kind_of({"type": "object", "properties": {"answer": {"type": "string"}}}) is None
    assert kind_of({}) is None
    assert kind_of({"properties": {"examples": True}}) is Kind.INPUT_FIRST


async def test_a_json_reply_is_the_same_for_the_same_prompt(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer(Script(seed=4)) as server:
        texts = [await chat(http, server, prompt, by_schema(Kind.INSTRUCTIONS)) for prompt in ("a", "a", "b")]
    assert texts[0] == texts[1] != texts[2]


async def test_a_cut_json_reply_breaks_off_inside_its_last_row(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer(Script(length_rate=1.0, junk_rate=0.0)) as server:
        _, text = await chat(http, server, "p", by_schema(Kind.INSTRUCTIONS))
        whole = truth_of(server).instructions
    with pytest.raises(ValueError, match="Unterminated string"):
        json.loads(text)
    assert text.startswith('{"tasks":' + json.dumps(list(whole), separators=(",", ":"))[:-1])


async def test_a_response_format_of_text_asks_for_no_json(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer() as server:
        _, text = await chat(http, server, INSTRUCTIONS, {"response_format": {"type": "text"}})
        assert text == (await chat(http, server, INSTRUCTIONS, {}))[1]


# -------------------------------------------------------------------------------------------------- ignored and refused


async def test_json_that_is_ignored_comes_as_text(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer(Script(json_replies=JsonReplies.IGNORED)) as server:
        _, text = await chat(http, server, INSTRUCTIONS, by_schema(Kind.INSTRUCTIONS))
        assert text == (await chat(http, server, INSTRUCTIONS, {}))[1]
        _, styled_kind = await chat(http, server, "Opaque.", by_schema(Kind.OUTPUT_FIRST))
        assert styled_kind.startswith("Class label: ")


async def test_json_is_refused_in_a_real_servers_words(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer(Script(json_replies=JsonReplies.REFUSED)) as server:
        status, told = await chat(http, server, INSTRUCTIONS, by_schema(Kind.INSTRUCTIONS))
        assert (status, told) == (
            400,
            "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
        )
        status, told = await chat(http, server, f"JSON: {INSTRUCTIONS}", OBJECT)
        assert status == 400
        assert "'json_object' is not supported" in told
        status, told = await chat(http, server, INSTRUCTIONS, {"json_schema": SCHEMAS[Kind.INSTRUCTIONS]})
        assert (status, told) == (400, "Unrecognized request argument supplied: json_schema")
        assert (await chat(http, server, INSTRUCTIONS, {}))[0] == 200


async def test_a_server_may_take_objects_and_no_schemas(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer(Script(json_replies=JsonReplies.OBJECT_ONLY)) as server:
        status, told = await chat(http, server, INSTRUCTIONS, by_schema(Kind.INSTRUCTIONS))
        assert (status, told) == (400, "This response_format type is unavailable now")
        status, text = await chat(http, server, f"JSON: {INSTRUCTIONS}", OBJECT)
        assert status == 200
        assert satisfies(SCHEMAS[Kind.INSTRUCTIONS], json.loads(text))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (OBJECT, "must contain the word 'json'"),
        ({"response_format": {"type": "json_schema", "schema": {}}}, "'response_format.json_schema'"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}, "'response_format.json_schema'"),
        ({"response_format": {"type": "grammar"}}, "'response_format.type'"),
        ({"response_format": "json"}, "'response_format.type'"),
        ({"json_schema": "{}"}, "'response_format.json_schema'"),
    ],
)
async def test_what_real_servers_refuse_is_refused(
    http: aiohttp.ClientSession, fields: dict[str, Any], words: str
) -> None:
    async with ScriptedServer() as server:
        status, told = await chat(http, server, "Some tasks, please.", fields)
    assert status == 400
    assert words in told


@pytest.mark.parametrize("broken", [{"additionalProperties": True}, {"required": []}])
async def test_a_strict_schema_must_require_all_keys_and_allow_no_other(
    http: aiohttp.ClientSession, broken: dict[str, Any]
) -> None:
    asked = by_schema(Kind.INPUT_FIRST)
    examples = dict(SCHEMAS[Kind.INPUT_FIRST]["properties"]["examples"])  # type: ignore[index]  # a schema of ours
    examples["items"] = examples["items"] | broken
    schema = {**SCHEMAS[Kind.INPUT_FIRST], "properties": {"examples": examples}}
    asked["response_format"]["json_schema"]["schema"] = schema
    async with ScriptedServer() as server:
        status, told = await chat(http, server, "p", asked)
    assert status == 400
    assert "In context=('properties', 'examples', 'items')" in told


# ------------------------------------------------------------------------------------------------------------- the log


async def test_the_log_holds_the_truth_of_styled_and_of_json_replies(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with ScriptedServer(Script(style="chinese"), log_file=tmp_path / "log") as server:
        _, text = await chat(http, server, INPUT_FIRST, {})
        await chat(http, server, "p", by_schema(Kind.INSTRUCTIONS))
    first, second = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert first["truth"]["style"] == "chinese"
    assert first["truth"]["instances"][0]["output"] in text
    assert second["truth"]["style"] == "json chinese"
    assert len(second["truth"]["instructions"]) >= 5


async def test_unstyled_text_has_no_truth_and_a_spoilt_reply_has_none(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer() as server:
        await chat(http, server, INSTRUCTIONS, {})
        assert server.log[-1].truth is None
    async with ScriptedServer(Script(style="plain", faults={"prose": 1.0}, max_faults_per_prompt=1)) as server:
        await chat(http, server, INSTRUCTIONS, {})
        assert server.log[-1].truth is None
        await chat(http, server, INSTRUCTIONS, {})
        assert truth_of(server).style == "plain"


async def test_a_torn_reply_that_says_stop_has_used_all_its_tokens(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer(Script(style="torn")) as server:
        reasons = set()
        for number in range(12):
            body = {"model": "scripted", "prompt": f"({number})", "max_tokens": 77}
            async with http.post(f"{server.base_url}/completions", json=body) as response:
                found = await response.json()
            assert found["usage"]["completion_tokens"] == 77
            reasons.add(found["choices"][0]["finish_reason"])
    assert reasons == {"stop", "length"}


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"style": "baroque"}, "style: there is no 'baroque'; there are plain, bold,"),
        (
            {"json_replies": "never"},
            "json_replies: there is no 'never'; there are given, ignored, refused, object-only",
        ),
        ({"style": "bold", "replies": "canned"}, "replies: canned ones are the same for every prompt"),
    ],
)
def test_a_wrong_value_is_one_clear_line(fields: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Script(**fields)
    assert str(raised.value).startswith(line)
