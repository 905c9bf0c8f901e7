"""Bodies out and replies in: exact values for both routes and for the shapes that servers really send."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinstruct.errors import ConfigError, InputError
from fastinstruct.lm.endpoints import Endpoint, Request
from fastinstruct.lm.transports.codec import encode_body, parse_json
from fastinstruct.lm.transports.decoding import ReplyProblem, decode_reply
from fastinstruct.records import (
    MOST_TOKENS,
    Api,
    Completion,
    FinishReason,
    Message,
    Prompt,
    ReplyForm,
    ReplyFormat,
    Sampling,
    Usage,
)

CHAT = Endpoint(base_url="http://127.0.0.1:8000/v1", model="m", api=Api.CHAT)
TEXT = Endpoint(base_url="http://127.0.0.1:8000/v1", model="m", api=Api.COMPLETIONS)
FULL = Sampling(
    temperature=0.7,
    top_p=0.5,
    presence_penalty=0.0,
    frequency_penalty=2.0,
    max_tokens=1024,
    stop=("\n\n", "Task 16"),
    seed=7,
    num_logprobs=5,
)


def body_of(endpoint: Endpoint, prompt: Prompt, sampling: Sampling, dropped: set[str] | None = None) -> object:
    return json.loads(encode_body(endpoint, Request(key="r1", prompt=prompt, sampling=sampling), dropped or set()))


def chat_reply(content: object, **choice: object) -> dict[str, object]:
    choice = {"index": 0, "finish_reason": "stop", **choice}
    return {"model": "m-1", "choices": [{**choice, "message": {"role": "assistant", "content": content}}]}


def text_of(content: object, **choice: object) -> str:
    completion = decode_reply(Api.CHAT, chat_reply(content, **choice))
    assert isinstance(completion, Completion)
    return completion.text


# --- encoding


def test_a_chat_body_holds_every_parameter_under_its_wire_name() -> None:
    prompt = (Message(role="system", content="Be brief."), Message(role="user", content="Hi"))
    assert body_of(CHAT, prompt, FULL) == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "temperature": 0.7,
        "top_p": 0.5,
        "presence_penalty": 0.0,
        "frequency_penalty": 2.0,
        "max_tokens": 1024,
        "stop": ["\n\n", "Task 16"],
        "seed": 7,
        "logprobs": True,
        "top_logprobs": 5,
    }


def test_a_completions_body_asks_for_logprobs_by_number() -> None:
    assert body_of(TEXT, "Task 1:", Sampling(max_tokens=3, num_logprobs=5)) == {
        "model": "m",
        "prompt": "Task 1:",
        "max_tokens": 3,
        "logprobs": 5,
    }


def test_none_and_no_stops_are_left_out() -> None:
    assert body_of(TEXT, "x", Sampling()) == {"model": "m", "prompt": "x"}


def test_a_text_prompt_becomes_one_user_message_on_the_chat_route() -> None:
    assert body_of(CHAT, "x", Sampling()) == {"model": "m", "messages": [{"role": "user", "content": "x"}]}


def test_messages_on_the_completions_route_are_refused_by_key() -> None:
    with pytest.raises(InputError, match="request r1: holds messages"):
        body_of(TEXT, (Message(role="user", content="secret prompt"),), Sampling())


def test_a_refused_max_tokens_is_sent_as_max_completion_tokens() -> None:
    sampling = Sampling(max_tokens=9)
    assert body_of(TEXT, "x", sampling, {"max_tokens"}) == {"model": "m", "prompt": "x", "max_completion_tokens": 9}
    assert body_of(TEXT, "x", sampling, {"max_tokens", "max_completion_tokens"}) == {"model": "m", "prompt": "x"}


@pytest.mark.parametrize("parameter", ["logprobs", "top_logprobs"])
def test_dropping_either_logprobs_parameter_drops_both(parameter: str) -> None:
    expected = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    assert body_of(CHAT, "x", Sampling(num_logprobs=5), {parameter}) == expected


SCHEMA = {"type": "object", "properties": {"is_label": {"type": "boolean"}}, "required": ["is_label"]}
BY_SCHEMA = ReplyFormat(form=ReplyForm.JSON_SCHEMA, name="label", schema=MappingProxyType(SCHEMA))
ANY_OBJECT = ReplyFormat(form=ReplyForm.JSON_OBJECT, name="label", schema=SCHEMA)
WRAPPED = {"type": "json_schema", "json_schema": {"name": "label", "strict": True, "schema": SCHEMA}}


@pytest.mark.parametrize(
    ("api", "reply_format", "fields"),
    [
        (Api.CHAT, BY_SCHEMA, {"response_format": WRAPPED}),
        (Api.CHAT, ANY_OBJECT, {"response_format": {"type": "json_object"}}),
        (Api.COMPLETIONS, BY_SCHEMA, {"response_format": WRAPPED, "json_schema": SCHEMA}),
        (Api.COMPLETIONS, ANY_OBJECT, {"response_format": {"type": "json_object"}}),
    ],
)
def test_a_reply_format_is_asked_for_as_servers_of_the_route_read_it(
    api: Api, reply_format: ReplyFormat, fields: dict[str, object]
) -> None:
    request = Request(key="r1", prompt="x", sampling=Sampling(), reply_format=reply_format)
    body = json.loads(encode_body(Endpoint(base_url="http://h/v1", model="m", api=api), request, ()))
    prompt = {"prompt": "x"} if api is Api.COMPLETIONS else {"messages": [{"role": "user", "content": "x"}]}
    assert body == {"model": "m", **prompt, **fields}


def test_without_the_role_system_its_messages_come_before_what_the_user_says_first() -> None:
    system, user = Message(role="system", content="S"), Message(role="user", content="U")
    answer = Message(role="assistant", content="A")
    for prompt, expected in (
        ((system, user, answer, user), [("user", "S\n\nU"), ("assistant", "A"), ("user", "U")]),
        ((system, system, user), [("user", "S\n\nS\n\nU")]),
        ((system,), [("user", "S")]),
        ((user,), [("user", "U")]),
    ):
        body = body_of(CHAT, prompt, Sampling(), {"system"})
        assert isinstance(body, dict)
        assert [(message["role"], message["content"]) for message in body["messages"]] == expected
    assert body_of(CHAT, "x", Sampling(), {"system"}) == body_of(CHAT, "x", Sampling())


def test_extra_body_outranks_the_reply_format() -> None:
    endpoint = Endpoint(base_url="http://h/v1", model="m", extra_body={"response_format": {"type": "text"}})
    request = Request(key="r1", prompt="x", sampling=Sampling(), reply_format=BY_SCHEMA)
    assert json.loads(encode_body(endpoint, request, ()))["response_format"] == {"type": "text"}


def test_extra_body_is_merged_last() -> None:
    endpoint = Endpoint(
        base_url="http://h/v1", model="m", api=Api.COMPLETIONS, extra_body={"temperature": 1, "top_k": None}
    )
    expected = {"model": "m", "prompt": "x", "temperature": 1, "top_k": None}
    assert body_of(endpoint, "x", Sampling(temperature=0.2)) == expected


def test_lone_surrogates_become_the_replacement_character() -> None:
    request = Request(key="r1", prompt="a\ud83d b\udc00", sampling=Sampling())
    assert encode_body(TEXT, request, ()) == '{"model":"m","prompt":"a\ufffd b\ufffd"}'.encode()


def test_integers_beyond_64_bits_are_written() -> None:
    endpoint = Endpoint(base_url="http://h/v1", model="m", api=Api.COMPLETIONS, extra_body={"big": 2**70})
    assert body_of(endpoint, "x", Sampling()) == {"model": "m", "prompt": "x", "big": 2**70}


def test_an_extra_body_that_is_no_json_is_refused_by_key() -> None:
    endpoint = Endpoint(base_url="http://h/v1", model="m", extra_body={"x": {1, 2}})
    with pytest.raises(InputError, match="request r1: its extra_body cannot be written as JSON"):
        body_of(endpoint, "x", Sampling())


# --- parsing JSON


def test_leading_blank_lines_are_no_part_of_the_json() -> None:
    assert parse_json(b"\n\n \r\n{}\n") == {}


def test_nan_lone_surrogates_and_broken_utf8_are_tolerated() -> None:
    parsed = parse_json(b'{"a": NaN, "b": "\\ud83d", "c": "\xff"}')
    assert isinstance(parsed, dict)
    assert math.isnan(parsed["a"])
    assert (parsed["b"], parsed["c"]) == ("\ud83d", "\ufffd")


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a": 1', b"[" * 200_000])
def test_what_is_no_json_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(body)


# --- decoding


def test_a_chat_reply_is_decoded_whole() -> None:
    payload = chat_reply("Hello", finish_reason="length") | {"usage": {"prompt_tokens": 12, "completion_tokens": 3}}
    assert decode_reply(Api.CHAT, payload) == Completion(
        text="Hello",
        finish_reason=FinishReason.LENGTH,
        usage=Usage(prompt_tokens=12, completion_tokens=3),
        model="m-1",
    )


def test_a_completions_reply_is_decoded_whole() -> None:
    payload = {"choices": [{"text": " 1. Do it.", "finish_reason": "stop"}]}
    assert decode_reply(Api.COMPLETIONS, payload, default_model="asked") == Completion(
        text=" 1. Do it.", finish_reason=FinishReason.STOP, usage=Usage(), model="asked"
    )


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("stop", FinishReason.STOP),
        ("eos_token", FinishReason.STOP),
        ("end_turn", FinishReason.STOP),
        ("max_tokens", FinishReason.LENGTH),
        ("SAFETY", FinishReason.CONTENT_FILTER),
        ("content_filter", FinishReason.CONTENT_FILTER),
        ("tool_calls", FinishReason.OTHER),
        (None, FinishReason.OTHER),
        (5, FinishReason.OTHER),
    ],
)
def test_finish_reasons_are_mapped(word: object, expected: FinishReason) -> None:
    completion = decode_reply(Api.CHAT, chat_reply("x", finish_reason=word))
    assert isinstance(completion, Completion)
    assert completion.finish_reason is expected


@pytest.mark.parametrize("word", ["abort", "error", "insufficient_system_resource"])
def test_a_text_that_the_server_broke_off_is_a_problem(word: str) -> None:
    problem = decode_reply(Api.CHAT, chat_reply("half", finish_reason=word))
    assert isinstance(problem, ReplyProblem)
    assert problem.kind == "interrupted"


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, Usage()),
        ("many", Usage()),
        ({"prompt_tokens": None, "completion_tokens": "7"}, Usage()),
        ({"prompt_tokens": True, "completion_tokens": -1}, Usage()),
        ({"prompt_tokens": math.nan, "completion_tokens": 10**30}, Usage(completion_tokens=MOST_TOKENS)),
        (
            {"prompt_tokens": 2**53 - 1, "completion_tokens": 1e300},
            Usage(prompt_tokens=MOST_TOKENS, completion_tokens=MOST_TOKENS),
        ),
        ({"prompt_tokens": 5.5, "completion_tokens": 6}, Usage(completion_tokens=6)),
        ({"prompt_tokens": 5.0, "completion_tokens": 6}, Usage(prompt_tokens=5, completion_tokens=6)),
        ({"prompt_tokens": 5, "total_tokens": math.inf}, Usage(prompt_tokens=5)),
        ({"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 4}, Usage(prompt_tokens=5, completion_tokens=3)),
        ({"total_tokens": 40, "completion_tokens": 3}, Usage(completion_tokens=3)),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}}, Usage(prompt_tokens=5, cached_tokens=5)),
        ({"prompt_tokens": 5, "prompt_tokens_details": [9]}, Usage(prompt_tokens=5)),
    ],
)
def test_hostile_usage_counts_as_nothing_or_as_the_most_that_a_sum_can_bear(usage: object, expected: Usage) -> None:
    completion = decode_reply(Api.CHAT, chat_reply("x") | {"usage": usage})
    assert isinstance(completion, Completion)
    assert completion.usage == expected
    assert sum([completion.usage.prompt_tokens + completion.usage.completion_tokens] * 1_000_000) < 2**63


@pytest.mark.parametrize(
    ("usage", "is_told"),
    [
        (None, False),
        ({"prompt_tokens": 5}, False),
        ({"prompt_tokens": 5, "completion_tokens": -1}, False),
        ({"prompt_tokens": 5, "completion_tokens": 2.5}, False),
        ({"prompt_tokens": 5, "completion_tokens": "7"}, False),
        ({"prompt_tokens": 5, "completion_tokens": None}, False),
        ({"prompt_tokens": 5, "total_tokens": 3}, False),
        ({"total_tokens": 9}, False),
        ({"prompt_tokens": 5, "completion_tokens": 0}, True),
        ({"prompt_tokens": 5, "total_tokens": 9}, True),
        ({"completion_tokens": 7}, True),
    ],
)
def test_a_part_of_usage_that_is_not_told_is_known_as_such(usage: object, is_told: bool) -> None:
    completion = decode_reply(Api.CHAT, chat_reply("x") | {"usage": usage})
    assert isinstance(completion, Completion)
    assert completion.usage.completion_is_told is is_told


@pytest.mark.parametrize(
    "cached",
    [{"prompt_tokens_details": {"cached_tokens": 64}}, {"prompt_cache_hit_tokens": 64}],
    ids=["openai", "deepseek"],
)
def test_tokens_from_the_servers_cache_are_told_apart(cached: dict[str, object]) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 7, **cached}
    completion = decode_reply(Api.CHAT, chat_reply("x") | {"usage": usage})
    assert isinstance(completion, Completion)
    assert completion.usage == Usage(prompt_tokens=100, completion_tokens=7, cached_tokens=64)


def test_what_a_model_thought_counts_even_where_only_the_total_holds_it() -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 607}
    completion = decode_reply(Api.CHAT, chat_reply("x") | {"usage": usage})
    assert isinstance(completion, Completion)
    assert completion.usage == Usage(prompt_tokens=100, completion_tokens=507)


def test_a_reply_that_thought_and_said_nothing_tells_what_it_cost() -> None:
    choice = {"message": {"content": None, "reasoning": "Hm."}, "finish_reason": "length"}
    problem = decode_reply(Api.CHAT, {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 50}})
    assert isinstance(problem, ReplyProblem)
    assert (problem.kind, problem.usage) == ("empty", Usage(prompt_tokens=9, completion_tokens=50))


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("<think>Hm.\nYes.</think>\n\nAnswer", "Answer"),
        ("A <think>b</think>c", "A <think>b</think>c"),
        ("prompted thought</think>\nAnswer", "Answer"),
        ("<think>a<think>b</think>c</think>d", "d"),
        ("The tag <think> opens a thought", "The tag <think> opens a thought"),
        ("  I think> so", "  I think> so"),
    ],
)
def test_thoughts_are_removed(raw: str, text: str) -> None:
    assert text_of(raw, finish_reason="length") == text


def test_content_parts_are_joined_and_thoughts_among_them_left_out() -> None:
    parts = [{"type": "thinking", "thinking": "x"}, {"type": "text", "text": "a"}, 5, {"type": "text", "text": "b"}]
    assert text_of(parts) == "ab"


def test_lone_surrogates_in_a_reply_can_be_stored() -> None:
    assert text_of("a\ud800b").encode() == "a\ufffdb".encode()


def test_a_refusal_stands_for_missing_content() -> None:
    payload = {"choices": [{"finish_reason": "stop", "message": {"content": None, "refusal": "I can't help."}}]}
    completion = decode_reply(Api.CHAT, payload)
    assert isinstance(completion, Completion)
    assert completion.text == "I can't help."


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        ([], "malformed"),
        ({}, "no_choices"),
        ({"choices": []}, "no_choices"),
        ({"choices": "x"}, "no_choices"),
        ({"choices": [None]}, "malformed"),
        ({"choices": [{"text": "wrong route"}]}, "malformed"),
        ({"choices": [{"message": {"content": None}}]}, "malformed"),
        ({"choices": [{"message": {"content": None, "reasoning_content": "Hm"}}]}, "empty"),
        ({"choices": [{"message": {"reasoning": "Hm"}}]}, "empty"),
    ],
)
def test_a_reply_without_text_is_a_problem(payload: object, kind: str) -> None:
    problem = decode_reply(Api.CHAT, payload)
    assert isinstance(problem, ReplyProblem)
    assert problem.kind == kind


LEGACY_LOGPROBS = {
    "tokens": [" Yes", "."],
    "token_logprobs": [-0.1, -1.0],
    "top_logprobs": [{" Yes": -0.1, " No": -2.5}, {".": -1.0}],
}
CHAT_LOGPROBS = {
    "content": [
        {
            "token": " Yes",
            "logprob": -0.1,
            "top_logprobs": [{"token": " Yes", "logprob": -0.1}, {"token": " No", "logprob": -2.5}],
        },
        {"token": ".", "logprob": -1.0, "top_logprobs": []},
    ]
}


@pytest.mark.parametrize("api", list(Api))
@pytest.mark.parametrize("logprobs", [LEGACY_LOGPROBS, CHAT_LOGPROBS])
def test_the_first_tokens_alternatives_are_read_from_both_shapes_on_both_routes(api: Api, logprobs: object) -> None:
    payload = {"choices": [{"text": " Yes.", "message": {"content": " Yes."}, "logprobs": logprobs}]}
    completion = decode_reply(api, payload)
    assert isinstance(completion, Completion)
    assert completion.top_logprobs == {" Yes": -0.1, " No": -2.5}


def test_the_sampled_token_counts_among_the_alternatives_and_the_larger_of_two_values_is_kept() -> None:
    alternatives = [{"token": "\ufffd", "logprob": -3.0}, {"token": "\ufffd", "logprob": -2.0}]
    logprobs = {"content": [{"token": "Z", "logprob": -9.0, "top_logprobs": alternatives}]}
    completion = decode_reply(Api.CHAT, chat_reply("Z", logprobs=logprobs))
    assert isinstance(completion, Completion)
    assert completion.top_logprobs == {"\ufffd": -2.0, "Z": -9.0}


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        "x",
        {},
        {"content": []},
        {"content": [None]},
        {"content": [{"token": 5, "logprob": -1.0, "top_logprobs": "x"}]},
        {"top_logprobs": [None], "tokens": [], "token_logprobs": None},
        {"top_logprobs": [{"a": None, "b": True, "c": math.nan}]},
    ],
)
def test_hostile_logprobs_are_none(logprobs: object) -> None:
    completion = decode_reply(Api.CHAT, chat_reply("x", logprobs=logprobs))
    assert isinstance(completion, Completion)
    assert completion.top_logprobs is None


def test_a_thoughts_logprobs_are_not_the_answers() -> None:
    completion = decode_reply(Api.CHAT, chat_reply("<think>x</think>Yes", logprobs=CHAT_LOGPROBS))
    assert isinstance(completion, Completion)
    assert completion.top_logprobs is None


FIELDS = [
    "message",
    "content",
    "text",
    "type",
    "finish_reason",
    "refusal",
    "reasoning",
    "logprobs",
    "top_logprobs",
    "token",
    "logprob",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(choice=JSON, usage=JSON, api=st.sampled_from(Api))
def test_no_reply_makes_decoding_raise(choice: object, usage: object, api: Api) -> None:
    decoded = decode_reply(api, {"choices": [choice], "usage": usage, "model": usage})
    assert isinstance(decoded, Completion | ReplyProblem)
    if isinstance(decoded, Completion):
        assert decoded.text.encode() is not None  # a lone surrogate would raise
        assert decoded.model.encode() is not None


# --- endpoints


def test_an_endpoint_shows_neither_key_nor_user_info_nor_query() -> None:
    endpoint = Endpoint(
        base_url="https://joe:pa55word@api.example.com:8443/v1/?token=t0ken",
        model="m",
        api_key="sk-secret",
        headers={"api-key": "h3ader"},
    )
    assert endpoint.describe() == "m at https://api.example.com:8443/v1 (chat)"
    assert repr(endpoint) == "Endpoint('m at https://api.example.com:8443/v1 (chat)')"
    assert endpoint.url("models") == "https://joe:pa55word@api.example.com:8443/v1/models?token=t0ken"


def test_a_request_does_not_show_its_prompt() -> None:
    assert "secret" not in repr(Request(key="r1", prompt="secret", sampling=Sampling()))


@pytest.mark.parametrize(
    ("url", "is_local"),
    [
        ("http://localhost:8000/v1", True),
        ("http://127.8.0.1/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://gpu.localhost/v1", True),
        ("http://192.168.0.5/v1", False),
        ("https://localhost.example.com/v1", False),
    ],
)
def test_only_the_loopback_is_local(url: str, is_local: bool) -> None:
    assert Endpoint(base_url=url, model="m").is_local is is_local


@pytest.mark.parametrize("url", ["", "api.openai.com/v1", "ftp://h/v1", "http:///v1", "http://h:x/v1", "http://h /v1"])
def test_an_unusable_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError, match="base_url: must be http") as raised:
        Endpoint(base_url=url, model="m")
    assert not url or url not in str(raised.value)


def test_a_key_loses_its_newline_and_may_hold_no_other_control_character() -> None:
    assert Endpoint(base_url="http://h/v1", model="m", api_key="sk-1\n").api_key == "sk-1"
    assert Endpoint(base_url="http://h/v1", model="m", api_key=" ").api_key is None
    with pytest.raises(ConfigError, match="OPENAI_API_KEY: the key holds a control character"):
        Endpoint(base_url="http://h/v1", model="m", api_key="sk-1\nX-Evil: 1")
    with pytest.raises(ConfigError, match="headers: 'X-A' holds a control character"):
        Endpoint(base_url="http://h/v1", model="m", headers={"X-A": "1\r\nX-Evil: 1"})


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.inf, math.nan])
def test_time_outs_are_positive_and_finite(seconds: float) -> None:
    with pytest.raises(ConfigError, match="idle_timeout_s: must be above 0 and finite"):
        Endpoint(base_url="http://h/v1", model="m", idle_timeout_s=seconds)


def test_importing_the_layer_does_not_import_the_http_client() -> None:
    code = "import fastinstruct.lm, sys; raise SystemExit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
