"""Golden bodies of real servers, one by one, and what the run makes of each."""

from __future__ import annotations

import errno
import json
import socket
import ssl
from collections.abc import Mapping
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from fastinstruct.errors import (
    AuthenticationFailed,
    EndpointError,
    ModelUnknown,
    ProtocolMismatch,
    QuotaExhausted,
    ReplyFormRefused,
)
from fastinstruct.lm.endpoints import Endpoint
from fastinstruct.lm.outcomes.classify import classify_exception, classify_reply
from fastinstruct.lm.outcomes.error_body import retry_after_s
from fastinstruct.lm.outcomes.outcomes import (
    BadRequest,
    Deadline,
    Fatal,
    FatalKind,
    Ok,
    Outcome,
    Overloaded,
    RateLimited,
    Transient,
    Truncated,
    fatal_error,
    unreachable_error,
)
from fastinstruct.lm.scheduling.job import detail_of
from fastinstruct.records import Api, Completion, FinishReason, Usage

KEY = "sk-proj-0123456789abcdef"
ENDPOINT = Endpoint(base_url="https://api.example.com/v1", model="gpt-x", api_key=KEY)
NOW_S = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT
HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


def classify(
    status: int,
    body: object,
    headers: Mapping[str, str] | None = None,
    endpoint: Endpoint = ENDPOINT,
) -> Outcome:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return classify_reply(status, headers or {}, raw, endpoint, now_s=NOW_S)


def error(message: str, type_: str | None = None, code: object = None, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


# --- the server refuses every request

OPENAI_401 = error(
    "Incorrect API key provided: sk-proj-********cdef. You can find your API key at https://platform.openai.com.",
    "invalid_request_error",
    "invalid_api_key",
)
OPENAI_QUOTA = error(
    "You exceeded your current quota, please check your plan and billing details.",
    "insufficient_quota",
    "insufficient_quota",
)
OPENAI_404 = error(
    "The model `gpt-x` does not exist or you do not have access to it.", "invalid_request_error", "model_not_found"
)
OPENAI_CHAT_MODEL = error(
    "This is a chat model and not supported in the v1/completions endpoint. Did you mean to use v1/chat/completions?",
    "invalid_request_error",
    param="model",
)
OPENAI_403_MODEL = error(
    "Project `proj_1` does not have access to model `gpt-x`", "invalid_request_error", "model_not_found"
)
OPENROUTER_402 = {
    "error": {"code": 402, "message": "This request requires more credits, or fewer max_tokens.", "metadata": {}}
}
ANTHROPIC_CREDIT = {
    "type": "error",
    "error": {
        "type": "invalid_request_error",
        "message": "Your credit balance is too low to access the Anthropic API.",
    },
}
ANTHROPIC_404 = {"type": "error", "error": {"type": "not_found_error", "message": "model: gpt-x"}}
VLLM_OLD_404 = {"object": "error", "message": "The model `gpt-x` does not exist.", "type": "NotFoundError", "code": 404}
OLLAMA_404 = error('model "gpt-x" not found, try pulling it first', "api_error")
AZURE_404 = {"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource is missing."}}
AZURE_401 = {"statusCode": 401, "message": "Unauthorized. Access token is missing, invalid or expired."}
LLAMA_404 = {"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}}
LLAMA_401 = {"error": {"code": 401, "message": "Invalid API Key", "type": "authentication_error"}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        pytest.param(401, OPENAI_401, "auth", id="openai-key"),
        pytest.param(401, LLAMA_401, "auth", id="llama.cpp-key"),
        pytest.param(401, AZURE_401, "auth", id="azure-key"),
        pytest.param(401, b"", "auth", id="empty"),
        pytest.param(403, {"error": "forbidden"}, "auth", id="403"),
        pytest.param(403, HTML, "protocol", id="403-html-proxy"),
        pytest.param(407, b"", "protocol", id="proxy-password"),
        pytest.param(429, OPENAI_QUOTA, "quota", id="openai-quota"),
        pytest.param(402, {"error": {"message": "Insufficient Balance"}}, "quota", id="deepseek-402"),
        pytest.param(402, b"", "quota", id="402-empty"),
        pytest.param(402, OPENROUTER_402, "quota", id="openrouter-402"),
        pytest.param(400, ANTHROPIC_CREDIT, "quota", id="anthropic-credit"),
        pytest.param(404, OPENAI_404, "model", id="openai-model"),
        pytest.param(403, OPENAI_403_MODEL, "model", id="openai-403-model"),
        pytest.param(404, VLLM_OLD_404, "model", id="vllm-model"),
        pytest.param(404, OLLAMA_404, "model", id="ollama-model"),
        pytest.param(404, AZURE_404, "model", id="azure-deployment"),
        pytest.param(404, ANTHROPIC_404, "model", id="anthropic-model"),
        pytest.param(400, error("Model Not Exist", "invalid_request_error"), "model", id="deepseek-model"),
        pytest.param(400, error("gpt-x is not a valid model ID", code=400), "model", id="openrouter-model-id"),
        pytest.param(404, error("No endpoints found for gpt-x.", code=404), "model", id="openrouter-no-endpoints"),
        pytest.param(404, {"detail": "Not Found"}, "protocol", id="fastapi-path"),
        pytest.param(404, LLAMA_404, "protocol", id="llama.cpp-path"),
        pytest.param(404, error("Invalid URL (POST /chat/completions)"), "protocol", id="openai-path"),
        pytest.param(404, HTML, "protocol", id="html-path"),
        pytest.param(405, {"detail": "Method Not Allowed"}, "protocol", id="405"),
        pytest.param(404, OPENAI_CHAT_MODEL, "protocol", id="openai-wrong-route"),
        pytest.param(308, b"", "protocol", id="redirect"),
    ],
)
def test_what_no_request_can_pass_is_fatal(status: int, body: object, kind: FatalKind) -> None:
    outcome = classify(status, body)
    assert isinstance(outcome, Fatal)
    assert (outcome.kind, outcome.status) == (kind, status)
    assert outcome.message.startswith(f"{status} from https://api.example.com/v1: ")


def test_a_refused_key_is_named_by_its_variable_and_never_shown() -> None:
    outcome = classify(401, error(f"Incorrect API key provided: {KEY}.", code="invalid_api_key"))
    assert outcome == Fatal(
        "auth",
        "401 from https://api.example.com/v1: the key in OPENAI_API_KEY was refused; set OPENAI_API_KEY to a key that "
        "may use gpt-x (server: Incorrect API key provided: ***.)",
        401,
    )


def test_a_missing_key_is_asked_for() -> None:
    endpoint = Endpoint(base_url="https://api.example.com/v1", model="gpt-x", api_key_env="GROQ_API_KEY")
    outcome = classify(401, b"", endpoint=endpoint)
    assert isinstance(outcome, Fatal)
    assert "it asks for a key and none is set; set GROQ_API_KEY" in outcome.message


def test_a_redirect_names_its_target_without_its_query() -> None:
    outcome = classify(307, b"", {"Location": "https://www.example.com/v1/chat/completions?key=1"})
    assert isinstance(outcome, Fatal)
    assert outcome.message.endswith(
        "it redirects to https://www.example.com/v1/chat/completions, which is not followed; "
        "put the final address into base_url"
    )


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("auth", AuthenticationFailed),
        ("quota", QuotaExhausted),
        ("model", ModelUnknown),
        ("protocol", ProtocolMismatch),
        ("reply_format", ReplyFormRefused),
    ],
)
def test_every_fatal_kind_has_its_exception(kind: FatalKind, expected: type[EndpointError]) -> None:
    raised = fatal_error(Fatal(kind, "what to do", 400))
    assert type(raised) is expected
    assert str(raised) == "what to do"


# --- the server refuses this request

OPENAI_CONTEXT = error(
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.",
    "invalid_request_error",
    "context_length_exceeded",
    "messages",
)
VLLM_CONTEXT = error(
    "'max_tokens' or 'max_completion_tokens' is too large: 5000. This model's maximum context length is 4096 tokens "
    "and your request has 12 input tokens (5000 > 4096 - 12).",
    "BadRequestError",
    400,
)
LLAMA_CONTEXT = {
    "error": {
        "code": 400,
        "message": "the request exceeds the available context size (4096 tokens), try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 5000,
    }
}
GROQ_TOO_LARGE = error(
    "Request too large for model `gpt-x` on tokens per minute (TPM): Limit 6000, Requested 7000, please reduce your "
    "message size and try again.",
    "tokens",
    "rate_limit_exceeded",
)
AZURE_FILTER = {
    "error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation"},
    }
}
OPENROUTER_FLAGGED = {
    "error": {
        "code": 403,
        "message": 'gpt-x requires moderation. Your input was flagged for "violence".',
        "metadata": {"reasons": ["violence"], "flagged_input": "..."},
    }
}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(400, OPENAI_CONTEXT, id="openai"),
        pytest.param(400, VLLM_CONTEXT, id="vllm"),
        pytest.param(400, LLAMA_CONTEXT, id="llama.cpp"),
        pytest.param(
            400,
            error("The input (5000 tokens) is longer than the model's context length (4096 tokens).", code=400),
            id="sglang",
        ),
        pytest.param(400, error("prompt is too long: 210000 tokens > 200000 maximum"), id="anthropic"),
        pytest.param(422, error("`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000"), id="tgi"),
        pytest.param(500, error("input is too large to process. increase the physical batch size"), id="llama.cpp-old"),
        pytest.param(413, b"", id="413"),
        pytest.param(429, GROQ_TOO_LARGE, id="groq-more-than-a-minute-allows"),
    ],
)
def test_a_context_overflow_is_told_from_other_refusals(status: int, body: object) -> None:
    outcome = classify(status, body)
    assert isinstance(outcome, BadRequest)
    assert outcome.kind == "context_overflow"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(400, AZURE_FILTER, id="azure"),
        pytest.param(403, OPENROUTER_FLAGGED, id="openrouter"),
        pytest.param(400, error("Content Exists Risk", "invalid_request_error"), id="deepseek"),
        pytest.param(
            400,
            error("Your request was rejected as a result of our safety system.", code="content_policy_violation"),
            id="openai",
        ),
        pytest.param(
            200,
            {"choices": [{"finish_reason": "content_filter", "message": {"content": "half a"}}]},
            id="finish-reason",
        ),
        pytest.param(
            200, {"choices": [{"finish_reason": "content_filter", "message": {"content": None}}]}, id="taken-whole"
        ),
    ],
)
def test_a_content_filter_is_told_from_other_refusals(status: int, body: object) -> None:
    outcome = classify(status, body)
    assert isinstance(outcome, BadRequest)
    assert outcome.kind == "content_filter"


@pytest.mark.parametrize(
    ("status", "body", "parameter"),
    [
        pytest.param(
            400,
            error(
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
                "instead.",
                "invalid_request_error",
                "unsupported_parameter",
                "max_tokens",
            ),
            "max_tokens",
            id="openai-max_tokens",
        ),
        pytest.param(
            400,
            error(
                "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) value is "
                "supported.",
                "invalid_request_error",
                "unsupported_value",
                "temperature",
            ),
            "temperature",
            id="openai-temperature",
        ),
        pytest.param(
            403,
            error(
                "You are not allowed to request logprobs from this model.", "invalid_request_error", None, "logprobs"
            ),
            "logprobs",
            id="openai-logprobs",
        ),
        pytest.param(
            400,
            {"code": "Client specified an invalid argument", "error": "Model gpt-x does not support presencePenalty."},
            "presence_penalty",
            id="xai-camel-case",
        ),
        pytest.param(
            422,
            {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]},
            "seed",
            id="fastapi",
        ),
        pytest.param(
            422,
            {
                "object": "error",
                "message": {
                    "detail": [
                        {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}
                    ]
                },
            },
            "seed",
            id="mistral",
        ),
        pytest.param(
            400,
            error("Requested sample logprobs of 20, which is greater than max allowed: 5", "BadRequestError", 400),
            "logprobs",
            id="vllm-logprobs",
        ),
        pytest.param(
            400,
            error("`temperature` and `top_p` cannot both be specified for this model. Please use only one."),
            "temperature",
            id="anthropic-either",
        ),
        pytest.param(400, error("Unrecognized request argument supplied: stop"), "stop", id="openai-old-stop"),
        pytest.param(500, error("Unsupported param: top_logprobs", "server_error", 500), "top_logprobs", id="500"),
    ],
)
def test_an_unsupported_parameter_is_named(status: int, body: object, parameter: str) -> None:
    outcome = classify(status, body)
    assert isinstance(outcome, BadRequest)
    assert (outcome.kind, outcome.parameter) == ("unsupported_parameter", parameter)


@pytest.mark.parametrize(
    ("status", "body", "parameter"),
    [
        pytest.param(
            400,
            error("Invalid 'stop': array too long. Expected an array with maximum length 4.", param="stop"),
            "stop",
            id="a-value-out-of-range-is-the-users-to-change",
        ),
        pytest.param(
            400, error("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"), None, id="range"
        ),
        pytest.param(
            400,
            error("'messages[0].role' does not support 'system'", code="unsupported_value", param="messages[0].role"),
            "messages[0].role",
            id="a-parameter-we-cannot-drop",
        ),
        pytest.param(418, b"teapot", None, id="unknown-status"),
        pytest.param(400, b"", None, id="empty"),
    ],
)
def test_other_refusals_say_what_the_server_said(status: int, body: object, parameter: str | None) -> None:
    outcome = classify(status, body)
    assert isinstance(outcome, BadRequest)
    assert (outcome.kind, outcome.parameter) == ("other", parameter)
    assert outcome.message.startswith(f"{status}: ")


# --- come back later

GOOGLE_RATE = [
    {
        "error": {
            "code": 429,
            "message": "You exceeded your current quota, please check your plan and billing details. "
            "Please retry in 34.07s.",
            "status": "RESOURCE_EXHAUSTED",
        }
    }
]
AZURE_RATE = error(
    "Requests to the ChatCompletions_Create Operation have exceeded token rate limit of your current OpenAI S0 pricing "
    "tier. Please retry after 26 seconds. Please go here: https://aka.ms/oai/quotaincrease if you would like to "
    "further increase the default rate limit.",
    code="429",
)
OPENAI_RATE = error(
    "Rate limit reached for gpt-x in organization org-1 on requests per min (RPM): Limit 3, Used 3. "
    "Please try again in 20ms. Visit https://platform.openai.com/account/rate-limits to learn more.",
    "requests",
    "rate_limit_exceeded",
)


@pytest.mark.parametrize(
    ("status", "body", "headers", "expected"),
    [
        pytest.param(429, OPENAI_RATE, {}, RateLimited(0.02), id="openai-words"),
        pytest.param(429, OPENAI_RATE, {"Retry-After": "7"}, RateLimited(7.0), id="headers-outrank-words"),
        pytest.param(429, AZURE_RATE, {}, RateLimited(26.0), id="azure-is-no-quota"),
        pytest.param(429, AZURE_RATE, {"retry-after-ms": "1500", "retry-after": "2"}, RateLimited(1.5), id="azure-ms"),
        pytest.param(429, GOOGLE_RATE, {}, RateLimited(34.07), id="google-words-it-as-a-quota"),
        pytest.param(429, b"", {}, RateLimited(None), id="empty"),
        pytest.param(429, HTML, {}, RateLimited(None), id="html"),
        pytest.param(429, error("Too many concurrent requests"), {}, Overloaded(None), id="concurrency"),
        pytest.param(
            503, error("Loading model", "unavailable_error", 503), {}, Overloaded(None), id="llama.cpp-loading"
        ),
        pytest.param(503, b"", {"Retry-After": "3"}, Overloaded(3.0), id="503"),
        pytest.param(
            529, {"type": "error", "error": {"type": "overloaded_error"}}, {}, Overloaded(None), id="anthropic"
        ),
        pytest.param(498, b"", {}, Overloaded(None), id="groq-capacity"),
    ],
)
def test_a_busy_server_is_waited_for(status: int, body: object, headers: Mapping[str, str], expected: Outcome) -> None:
    assert classify(status, body, headers) == expected


@pytest.mark.parametrize(
    ("headers", "expected_s"),
    [
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "2s"}, 2.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0),
        ({"retry-after": "Tue, 14 Nov 2023 23:13:50 GMT"}, 120.0),
        ({"retry-after": "Mon, 13 Nov 2023 22:13:50 GMT"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:05 GMT", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 5.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after-ms": "junk", "retry-after": "4"}, 4.0),
        ({"x-ratelimit-reset-requests": "1s"}, 1.0),
        ({"x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-reset-tokens": "20ms"}, 0.02),
        ({"x-ratelimit-reset-tokens": "1h2m3.5s"}, 3723.5),
        ({"x-ratelimit-reset-requests": "8s", "x-ratelimit-reset-tokens": "2s"}, 2.0),
        (
            {
                "x-ratelimit-reset-requests": "8s",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-tokens": "2s",
                "x-ratelimit-remaining-tokens": "900",
            },
            8.0,
        ),
        ({"x-ratelimit-reset": "1700000010000"}, 10.0),
        ({"x-ratelimit-reset": "1700000010"}, 10.0),
        ({}, None),
    ],
)
def test_hints_are_read_from_every_header_that_gives_them(headers: dict[str, str], expected_s: float | None) -> None:
    assert retry_after_s(headers, "", NOW_S) == expected_s


# --- worth another attempt


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        pytest.param(
            500,
            error("The server had an error", "server_error"),
            Transient("server", "500: The server had an error"),
            id="500",
        ),
        pytest.param(
            502,
            HTML,
            Transient("server", "502: an HTML page titled '502 Bad Gateway'"),
            id="html-gateway",
        ),
        pytest.param(504, b"", Transient("server", "504: no message"), id="504"),
        pytest.param(408, b"", Transient("server", "408: no message"), id="408"),
        pytest.param(204, b"", Transient("malformed", "204 in place of 200"), id="204"),
        pytest.param(200, b"", Transient("malformed", "200 with an empty body"), id="empty"),
        pytest.param(200, b"\n\n\n", Transient("malformed", "200 with an empty body"), id="blank-lines-only"),
        pytest.param(
            200,
            b"<html><title>Sign in</title></html>",
            Transient("malformed", "200 with no JSON: an HTML page titled 'Sign in'"),
            id="captive-portal",
        ),
        pytest.param(
            200,
            b'data: {"choices": []}\n\n',
            Transient("malformed", "200 with an event stream, which was not asked for"),
            id="stream",
        ),
        pytest.param(200, {"choices": []}, Transient("no_choices", "the reply holds no choices"), id="no-choices"),
        pytest.param(200, b'{"choices": [{"mess', Truncated("the body ends inside its JSON"), id="short-body"),
        pytest.param(
            200,
            b'{"choices": []}\n{"x": 1}',
            Transient("malformed", "200 with something behind its JSON"),
            id="two-values",
        ),
        pytest.param(
            200,
            b'{"x": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
            Transient("malformed", "200 with JSON that is nested too deeply, or has too long a number"),
            id="nested",
        ),
        pytest.param(
            200,
            b'{"x": 1' + b"0" * 5_000 + b"}",
            Transient("malformed", "200 with JSON that is nested too deeply, or has too long a number"),
            id="long-number",
        ),
        pytest.param(
            200,
            b'{"x": [' + b"{}," * 200_000 + b"{}]}",
            Transient("too_large", "a body of 600,011 bytes with more values than a reply has"),
            id="too-many-values",
        ),
    ],
)
def test_what_may_go_better_next_time(status: int, body: object, expected: Outcome) -> None:
    assert classify(status, body) == expected


def test_a_reply_that_cannot_be_used_tells_what_it_cost_and_a_refusal_does_not() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 50}
    filtered = {"choices": [{"finish_reason": "content_filter", "message": {"content": "half a"}}], "usage": usage}
    thought = {"choices": [{"message": {"content": None, "reasoning_content": "Hm"}}], "usage": usage}
    for body in (filtered, thought):
        outcome = classify(200, body)
        assert isinstance(outcome, BadRequest)
        assert outcome.usage == Usage(prompt_tokens=9, completion_tokens=50)
    refused = classify(400, {"error": {"code": "content_filter", "message": "no"}, "usage": usage})
    assert isinstance(refused, BadRequest)
    assert refused.usage is None


def test_reasoning_without_content_is_not_paid_for_again() -> None:
    outcome = classify(200, {"choices": [{"message": {"content": None, "reasoning_content": "Hm"}}]})
    assert isinstance(outcome, BadRequest)
    assert outcome.kind == "empty_reply"
    assert outcome.message == (
        "the reply holds what the model thought and no answer; raise the stage's max_tokens, or turn thinking off in "
        "extra_body"
    )


# --- errors inside a 200


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({"error": {"code": 429, "message": "slow down"}}, RateLimited(None), id="openrouter-429"),
        pytest.param({"error": {"code": "503", "message": "x"}}, Overloaded(None), id="code-as-text"),
        pytest.param({"error": {"type": "overloaded_error"}}, Overloaded(None), id="type-only"),
        pytest.param(
            {"error": {"message": "boom"}},
            Transient("server", "500: boom"),
            id="no-code",
        ),
        pytest.param({"error": "boom"}, Transient("server", "500: boom"), id="text"),
        pytest.param(
            {"object": "error", "message": "bad", "code": 400},
            BadRequest("other", None, "400: bad"),
            id="vllm-old",
        ),
        pytest.param(
            {"choices": [{"error": {"code": 502, "message": "Provider returned error"}, "finish_reason": "error"}]},
            Transient("server", "502: Provider returned error"),
            id="openrouter-in-the-choice",
        ),
    ],
)
def test_an_error_inside_a_200_is_judged_by_its_own_code(body: object, expected: Outcome) -> None:
    assert classify(200, body) == expected


@pytest.mark.parametrize(
    ("body", "expected", "words"),
    [
        pytest.param(
            {"code": "rate_limit_daily", "message": "Error code: 429 - daily limit of 50 requests reached"},
            Fatal,
            "daily limit of 50 requests reached",
            id="no-error-key",
        ),
        pytest.param(
            {"code": "rate_limit", "message": "slow down, please", "choices": None},
            RateLimited,
            "slow down, please",
            id="choices-null",
        ),
        pytest.param(
            {"id": "x", "status": "FAILED", "error": "worker exited with code 1"},
            Transient,
            "500: worker exited with code 1",
            id="runpod",
        ),
        pytest.param({"detail": "Too many requests"}, RateLimited, "Too many requests", id="fastapi"),
        pytest.param(
            {"detail": [{"loc": ["body", "x"], "msg": "Field required", "type": "missing"}]},
            Transient,
            "500: x: Field required",
            id="fastapi-list",
        ),
        pytest.param(
            {"success": False, "errors": [{"code": 10000, "message": "Authentication error"}], "result": None},
            Fatal,
            "Authentication error",
            id="cloudflare",
        ),
        pytest.param({"success": False, "errors": ["out of disk"]}, Transient, "500: out of disk", id="texts"),
        pytest.param(
            {"choices": None, "base_resp": {"status_code": 1004, "status_msg": "login fail: no header"}},
            Fatal,
            "login fail: no header",
            id="minimax",
        ),
        pytest.param(
            {"error_code": 18, "error_msg": "Open api qps request limit reached"},
            RateLimited,
            "Open api qps request limit reached",
            id="baidu",
        ),
        pytest.param(
            {"errorMessage": "2026 Task timed out after 30.03 seconds", "errorType": "Sandbox.Timedout"},
            Transient,
            "500: 2026 Task timed out after 30.03 seconds",
            id="lambda",
        ),
        pytest.param({"msg": "模型不存在", "code": 404}, Fatal, "模型不存在", id="msg"),
        pytest.param(
            {"status": 503, "title": "Service busy", "detail": "queue is full"},
            Overloaded,
            "queue is full",
            id="problem-json",
        ),
        pytest.param({"error": "slow down", "code": 429}, RateLimited, "slow down", id="code-beside-a-text"),
        pytest.param(
            {"id": "x", "status": "IN_QUEUE"},
            Transient,
            "no_choices: the reply holds no choices, but id, status IN_QUEUE",
            id="no-words",
        ),
    ],
)
def test_a_200_with_a_foreign_error_shows_the_servers_own_words(
    body: object, expected: type[Outcome], words: str
) -> None:
    outcome = classify(200, body)
    assert type(outcome) is expected
    assert words in detail_of(outcome)


def test_a_foreign_error_has_words_at_any_status() -> None:
    outcome = classify(400, {"success": False, "errors": [{"code": 7003, "message": "No route for that URI"}]})
    assert outcome == BadRequest("other", None, "400: No route for that URI")


def test_a_limit_for_the_day_ends_the_run_with_its_words() -> None:
    outcome = classify(429, error("Rate limit exceeded: free-models-per-day", code=429))
    assert isinstance(outcome, Fatal)
    assert outcome.kind == "quota"
    assert "free-models-per-day" in outcome.message


def test_a_providers_words_behind_openrouter_decide() -> None:
    body = {
        "error": {
            "code": 400,
            "message": "Provider returned error",
            "metadata": {"raw": '{"error":{"message":"Unsupported parameter: \'top_p\'"}}', "provider_name": "P"},
        }
    }
    outcome = classify(200, body)
    assert isinstance(outcome, BadRequest)
    assert (outcome.kind, outcome.parameter) == ("unsupported_parameter", "top_p")


def test_a_null_error_beside_choices_is_no_error() -> None:
    reply = {"error": None, "model": "m", "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}
    expected = Completion(text="Hi", finish_reason=FinishReason.STOP, usage=Usage(), model="m")
    assert classify(200, reply) == Ok(expected)


def test_deepseeks_blank_lines_before_a_reply_are_stripped() -> None:
    body = b"\n\n\n" + json.dumps({"choices": [{"text": "Hi", "finish_reason": "stop"}]}).encode()
    endpoint = Endpoint(base_url="https://api.example.com/v1", model="gpt-x", api=Api.COMPLETIONS)
    expected = Completion(text="Hi", finish_reason=FinishReason.STOP, usage=Usage(), model="gpt-x")
    assert classify(200, body, endpoint=endpoint) == Ok(expected)


# --- what is shown


def test_the_servers_words_are_one_short_line() -> None:
    outcome = classify(400, error("first\n\tsecond " + "prompt " * 500))
    assert isinstance(outcome, BadRequest)
    assert outcome.message.startswith("400: first second prompt prompt")
    assert len(outcome.message) == len("400: ") + 200
    assert outcome.message.endswith("…")


@pytest.mark.parametrize(
    "secret",
    [
        "sk-ant-api03-abcdefgh",
        "sk-or-v1-0123456789abcdef",
        "gsk_0123456789abcdef",
        "hf_0123456789abcdef",
        "Bearer abc.def",
        "h3ader-value",
        "pa55word",
        "t0ken",
        KEY,
    ],
)
def test_no_key_is_shown(secret: str) -> None:
    endpoint = Endpoint(
        base_url="https://joe:pa55word@api.example.com/v1?token=t0ken",
        model="gpt-x",
        api_key=KEY,
        headers={"api-key": "h3ader-value"},
    )
    for status in (400, 401, 402, 404, 418, 500):
        outcome = classify(status, error(f"what about {secret}, then"), endpoint=endpoint)
        assert secret not in repr(outcome)
        assert "what about ***" in repr(outcome)


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"[]",
        b'"x"',
        b"5",
        b"{}",
        b'{"error": []}',
        b'{"error": {"message": 5, "code": [], "type": {}}}',
        b'{"error": {"code": 1e400}}',
        b'{"detail": []}',
        b'{"detail": [{"loc": 5}]}',
        b'{"error": {"message": {"detail": null}}}',
        b'{"error": {"code": "\xd9\xa1"}}',
        b"\xff\xfe",
    ],
)
@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500, 599, 999])
def test_no_body_makes_the_classifier_raise(status: int, body: bytes) -> None:
    assert classify(status, body).name != "ok"


# --- exceptions

CONNECTION = ConnectionKey(
    host="api.example.com",
    port=443,
    is_ssl=True,
    ssl=True,
    proxy=None,
    proxy_auth=None,
    proxy_headers_hash=None,
)


def refused(number: int, words: str) -> aiohttp.ClientConnectorError:
    return aiohttp.ClientConnectorError(CONNECTION, OSError(number, words))


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (refused(errno.ECONNREFUSED, "Connect call failed"), "connect"),
        (refused(errno.EMFILE, "Too many open files"), "fd_limit"),
        (refused(errno.EADDRNOTAVAIL, "Cannot assign requested address"), "ports"),
        (aiohttp.ClientConnectorDNSError(CONNECTION, socket.gaierror(-2, "Name or service not known")), "dns"),
        (aiohttp.ClientConnectorSSLError(CONNECTION, ssl.SSLError(1, "WRONG_VERSION_NUMBER")), "tls"),
        (
            aiohttp.ClientConnectorCertificateError(CONNECTION, ssl.CertificateError("self-signed certificate")),
            "tls",
        ),
        (aiohttp.ClientProxyConnectionError(CONNECTION, OSError(111, "refused")), "proxy"),
        (aiohttp.ConnectionTimeoutError("Connection timeout to host"), "connect_timeout"),
        (aiohttp.ServerDisconnectedError(), "disconnected"),
        (aiohttp.ClientOSError(errno.ECONNRESET, "Connection reset by peer"), "disconnected"),
        (aiohttp.ClientResponseError(Mock(), (), status=400, message="Bad status line"), "malformed"),
        (ValueError("Only http proxies are supported"), "client"),
    ],
)
def test_exceptions_before_a_reply_are_transient(raised: Exception, kind: str) -> None:
    outcome = classify_exception(raised, ENDPOINT)
    assert isinstance(outcome, Transient)
    assert outcome.kind == kind
    assert outcome.detail.startswith(type(raised).__name__)


@pytest.mark.parametrize(
    "raised",
    [
        aiohttp.ClientPayloadError("Response payload is not completed"),
        aiohttp.ClientOSError(errno.ECONNRESET, "Connection reset by peer"),
        aiohttp.ServerDisconnectedError(),
        ConnectionResetError(errno.ECONNRESET, "reset"),
    ],
)
def test_a_connection_lost_inside_the_reply_is_a_truncation(raised: Exception) -> None:
    assert isinstance(classify_exception(raised, ENDPOINT, reply_begun=True), Truncated)


def test_a_bare_time_out_is_the_deadline() -> None:
    assert classify_exception(TimeoutError(), ENDPOINT) == Deadline()


def test_an_address_that_the_client_refuses_is_fatal_and_not_repeated() -> None:
    outcome = classify_exception(aiohttp.InvalidURL("http://joe:pa55@x"), ENDPOINT)
    assert isinstance(outcome, Fatal)
    assert "pa55" not in outcome.message


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Transient("dns", "gaierror"), "its host name cannot be resolved (gaierror); check base_url"),
        (Transient("tls", "x"), "the TLS handshake failed (x); check http or https in base_url, and its certificate"),
        (Transient("connect", "refused"), "no connection (refused); check that the server runs and base_url"),
        (Truncated("cut"), "no usable answer (cut); try again later"),
        (Deadline(), "no usable answer (deadline); try again later"),
    ],
)
def test_an_unreachable_server_is_reported_with_what_to_check(outcome: Outcome, words: str) -> None:
    assert str(unreachable_error(outcome, "http://h/v1")) == f"http://h/v1: {words}"
