"""What a reply says and what it only thought: fields, parts and wrappers, replies that are torn or say nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinstruct.lm.endpoints import Endpoint, Request
from fastinstruct.lm.outcomes.classify import classify_reply
from fastinstruct.lm.outcomes.outcomes import BadRequest, Ok, Outcome, Transient
from fastinstruct.lm.transports.codec import length_limits
from fastinstruct.lm.transports.decoding import ReplyProblem, decode_reply
from fastinstruct.lm.transports.reasoning import FAMILIES, Family
from fastinstruct.records import Api, Completion, FinishReason, ReplyForm, ReplyFormat, Sampling, Usage

SCHEMA = {
    "type": "object",
    "properties": {"tasks": {"type": "array", "items": {"type": "string"}}},
    "required": ["tasks"],
    "additionalProperties": False,
}
ASKED = ReplyFormat(form=ReplyForm.JSON_SCHEMA, name="tasks", schema=SCHEMA)
JSON = '{"tasks": ["Write a poem."]}'
LOGPROBS = {"content": [{"token": "Yes", "logprob": -0.1, "top_logprobs": []}]}


def chat(content: object, finish: str | None = "stop", usage: object = None, **message: Any) -> dict[str, Any]:
    return {"choices": [{"finish_reason": finish, "message": {"content": content, **message}}], "usage": usage}


def text(content: object, finish: str = "stop", usage: object = None, **choice: Any) -> dict[str, Any]:
    return {"choices": [{"finish_reason": finish, "text": content, **choice}], "usage": usage}


def completed(payload: object, reply_format: ReplyFormat | None = None, limits: tuple[int, ...] = ()) -> Completion:
    found = decode_reply(Api.CHAT, payload, reply_format=reply_format, limits=limits)
    assert isinstance(found, Completion)
    return found


def problem_of(payload: object, api: Api = Api.CHAT, limits: tuple[int, ...] = ()) -> ReplyProblem:
    found = decode_reply(api, payload, limits=limits)
    assert isinstance(found, ReplyProblem)
    return found


def classify(payload: object, max_tokens: int | None = 64) -> Outcome:
    endpoint = Endpoint(base_url="https://api.example.com/v1", model="m")
    request = Request(key="r1", prompt="x", sampling=Sampling(max_tokens=max_tokens), reply_format=ASKED)
    limits = length_limits(endpoint, request, ())
    body = json.dumps(payload).encode()
    return classify_reply(200, {}, body, endpoint, now_s=0.0, request=request, limits=limits)


# --- reasoning is never data


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.models)
@pytest.mark.parametrize("api", list(Api))
def test_each_familys_thoughts_are_left_out_on_both_routes(family: Family, api: Api) -> None:
    whole = f"{family.opening}Hm, 1. no{family.closing}{family.answer_opening}1. Yes.{family.answer_closing}"
    found = decode_reply(api, text(whole) if api is Api.COMPLETIONS else chat(whole))
    assert isinstance(found, Completion)
    assert found.text == "1. Yes."


THOUGHTS: list[dict[str, Any]] = [
    {"reasoning_content": "Hm"},
    {"reasoning": "Hm"},
    {"thinking": "Hm"},
    {"reasoning_details": [{"type": "reasoning.text", "text": "Hm"}]},
    {"reasoning_details": [{"type": "reasoning.summary", "summary": "Hm"}]},
]


@pytest.mark.parametrize("fields", THOUGHTS)
def test_a_field_of_reasoning_beside_an_answer_is_left_out(fields: dict[str, Any]) -> None:
    assert completed(chat("1. Yes.", **fields)).text == "1. Yes."


def test_of_content_in_parts_only_text_is_the_answer() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}
    parts = [thinking, {"type": "text", "text": "1. Y"}, {"type": "reasoning", "text": "x"}, "es", 5, None]
    assert completed(chat(parts)).text == "1. Yes"
    assert completed(chat([{"type": "output_text", "text": "<think>a</think>b"}])).text == "b"
    assert completed(chat([{"text": "b"}, "c"])).text == "bc"


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning_content": JSON},
        {"reasoning": f"\n{JSON}\n"},
        {"thinking": JSON},
        {"reasoning_details": [{"type": "reasoning.text", "text": JSON}]},
    ],
)
@pytest.mark.parametrize("content", [None, "", " \n"])
def test_json_in_a_field_of_reasoning_is_the_answer_where_the_content_is_empty(
    content: str | None, fields: dict[str, Any]
) -> None:
    found = completed(chat(content, logprobs=LOGPROBS, **fields), ASKED)
    assert json.loads(found.text) == json.loads(JSON)
    assert found.top_logprobs is None


def test_json_in_a_thinking_part_is_the_answer_where_there_is_no_other_part() -> None:
    part = {"type": "thinking", "thinking": [{"type": "text", "text": JSON}]}
    assert completed(chat([part]), ASKED).text == JSON


@pytest.mark.parametrize(
    "thought",
    [f"I will write {JSON}", JSON[:-1], '{"tasks": [5]}', '{"tasks": [], "more": 1}', "[]", f"{JSON} {JSON}"],
)
def test_what_is_not_as_a_whole_the_json_that_was_asked_for_is_no_answer(thought: str) -> None:
    found = decode_reply(Api.CHAT, chat(None, reasoning_content=thought), reply_format=ASKED)
    assert isinstance(found, ReplyProblem)
    assert found.kind == "empty"


def test_json_beside_an_answer_or_not_asked_for_stays_a_thought() -> None:
    assert completed(chat('{"tasks": []}', reasoning=JSON), ASKED).text == '{"tasks": []}'
    assert problem_of(chat(None, reasoning=JSON)).kind == "empty"


# --- replies that are torn, whatever they say


@pytest.mark.parametrize(
    ("usage", "limits", "reason"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 64}, (64,), FinishReason.LENGTH),
        ({"prompt_tokens": 5, "completion_tokens": 65}, (64,), FinishReason.LENGTH),
        ({"prompt_tokens": 5, "completion_tokens": 63}, (64,), FinishReason.STOP),
        ({"prompt_tokens": 5, "completion_tokens": 64}, (64, 512), FinishReason.LENGTH),
        ({"prompt_tokens": 5, "completion_tokens": 65}, (64, 512), FinishReason.STOP),
        ({"prompt_tokens": 5, "completion_tokens": 64}, (), FinishReason.STOP),
        ({"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 69}, (64,), FinishReason.LENGTH),
        ({"completion_tokens": "64"}, (64,), FinishReason.STOP),
        (None, (64,), FinishReason.STOP),
    ],
)
def test_a_reply_that_reaches_what_was_asked_for_is_torn(
    usage: object, limits: tuple[int, ...], reason: FinishReason
) -> None:
    assert completed(chat("1. Yes", usage=usage), limits=limits).finish_reason is reason


def test_thoughts_that_no_limit_was_for_tear_no_reply() -> None:
    """DashScope limits the answer alone, and counts both."""
    usage = {"completion_tokens": 900, "completion_tokens_details": {"reasoning_tokens": 880}}
    assert completed(chat("1. Yes", usage=usage), limits=(64,)).finish_reason is FinishReason.STOP
    usage = {"completion_tokens": 64, "completion_tokens_details": {"reasoning_tokens": 60}}
    assert completed(chat("1. Yes", usage=usage), limits=(64,)).finish_reason is FinishReason.LENGTH


def test_a_filters_word_outranks_the_length() -> None:
    usage = {"completion_tokens": 64}
    assert completed(chat("x", "content_filter", usage), limits=(64,)).finish_reason is FinishReason.CONTENT_FILTER


@pytest.mark.parametrize(
    ("extra_body", "dropped", "limits"),
    [
        ({}, set(), {64}),
        ({}, {"max_tokens"}, {64}),
        ({}, {"max_tokens", "max_completion_tokens"}, set()),
        ({"max_tokens": 512}, set(), {512}),
        ({"max_completion_tokens": 512}, set(), {64, 512}),
        ({"max_completion_tokens": 512}, {"max_tokens"}, {512}),
        ({"n_predict": -1}, set(), {64}),
        ({"max_tokens": None}, set(), set()),
        ({"n": 2}, set(), set()),
    ],
)
def test_the_limits_of_a_reply_are_those_that_were_sent(
    extra_body: dict[str, object], dropped: set[str], limits: set[int]
) -> None:
    endpoint = Endpoint(base_url="http://h/v1", model="m", extra_body=extra_body)
    request = Request(key="r1", prompt="x", sampling=Sampling(max_tokens=64))
    assert length_limits(endpoint, request, dropped) == limits


# --- replies that say nothing

TORN = "the reply used the 64 tokens that were asked for and holds no text"
ATE = "the model thought for the 64 tokens that were asked for and gave no answer"
ADVICE = "; raise the stage's max_tokens, or turn thinking off in extra_body"


def without_content(finish: str, usage: object) -> dict[str, Any]:
    payload = chat(None, finish, usage)
    del payload["choices"][0]["message"]["content"]
    return payload


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (chat("", "length", reasoning_content="Let me think"), ATE),
        (chat(" \n", "length", reasoning="Let me think"), ATE),
        (chat(None, "length", thinking="Let me think"), ATE),
        (chat("<think>Let me", "length"), ATE),
        (chat("analysisLet me think", "length"), ATE),
        (chat("<think>Let me think</think>\n", "length"), ATE),
        (chat("", "stop", {"completion_tokens": 64, "completion_tokens_details": {"reasoning_tokens": 64}}), ATE),
        (without_content("length", {"prompt_tokens": 700, "completion_tokens": 0, "total_tokens": 2748}), ATE),
        (chat("", "length"), TORN),
        ({"choices": [{"finish_reason": "length", "message": None}]}, TORN),
        ({"choices": [{"finish_reason": "length"}]}, TORN),
        (chat(None, "max_tokens"), TORN),
        (
            chat("", "stop", {"completion_tokens": 64}),
            "the reply used the 64 tokens that were asked for and holds no text",
        ),
        (chat("", reasoning="Hm"), "the reply holds what the model thought and no answer"),
        (chat("<think>Hm"), "the reply holds what the model thought and no answer"),
    ],
)
def test_an_empty_reply_is_not_paid_for_again_and_says_what_to_do(payload: dict[str, Any], told: str) -> None:
    outcome = classify(payload)
    assert isinstance(outcome, BadRequest)
    assert (outcome.kind, outcome.message) == ("empty_reply", told + ADVICE)


@pytest.mark.parametrize("content", ["", None])
def test_an_empty_reply_on_the_completions_route_is_one_too(content: str | None) -> None:
    assert problem_of(text(content, "length"), Api.COMPLETIONS).kind == "empty"
    assert problem_of({"choices": [{"finish_reason": "length"}]}, Api.COMPLETIONS).kind == "empty"


def test_an_empty_reply_tells_what_it_cost() -> None:
    outcome = classify(without_content("length", {"prompt_tokens": 700, "total_tokens": 2748}))
    assert isinstance(outcome, BadRequest)
    assert outcome.usage == Usage(prompt_tokens=700, completion_tokens=2048)


def test_without_a_limit_of_ours_the_length_is_the_servers() -> None:
    outcome = classify(chat("", "length"), max_tokens=None)
    assert isinstance(outcome, BadRequest)
    assert outcome.message == "the reply used its length limit and holds no text" + ADVICE


@pytest.mark.parametrize("content", ["", " \n"])
def test_a_model_that_has_nothing_to_say_said_nothing(content: str) -> None:
    outcome = classify(chat(content, usage={"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}))
    assert isinstance(outcome, Ok)
    assert outcome.completion.text == content


def test_content_that_is_missing_for_no_reason_is_asked_for_again() -> None:
    assert classify(chat(None)) == Transient("malformed", "the reply's content is null")


def test_a_first_tokens_alternatives_are_an_answer_even_where_its_text_is_blank() -> None:
    found = decode_reply(Api.COMPLETIONS, text("\n", "length", logprobs=LOGPROBS), limits=(3,))
    assert isinstance(found, Completion)
    assert found.top_logprobs == {"Yes": -0.1}


FIELDS = ["message", "content", "text", "type", "reasoning", "reasoning_content", "reasoning_details", "thinking"]
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from([JSON, "<think>", "</think>", "length", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)


@given(message=ANY_JSON, content=ANY_JSON, usage=ANY_JSON, finish=ANY_JSON)
def test_nothing_in_a_reply_raises(message: object, content: object, usage: object, finish: object) -> None:
    held = {**message, "content": content} if isinstance(message, dict) else message
    payload = {"choices": [{"message": held, "text": content, "finish_reason": finish}], "usage": usage}
    for api in Api:
        found = decode_reply(api, payload, reply_format=ASKED, limits=(64,))
        assert isinstance(found, Completion | ReplyProblem)
