"""Golden bodies of servers that do not write what they are asked for, and of others that look alike."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from fastinstruct.errors import ProtocolMismatch, ReplyFormRefused
from fastinstruct.lm.endpoints import Endpoint, Request
from fastinstruct.lm.outcomes.classify import classify_reply
from fastinstruct.lm.outcomes.outcomes import BadRequest, Fatal, Outcome, Transient, fatal_error
from fastinstruct.records import Message, ReplyForm, ReplyFormat, Sampling

ENDPOINT = Endpoint(base_url="https://api.example.com/v1", model="gpt-x")
SCHEMA = {"type": "object", "properties": {"tasks": {"type": "array"}}, "required": ["tasks"]}
BY_SCHEMA = ReplyFormat(form=ReplyForm.JSON_SCHEMA, name="tasks", schema=SCHEMA)
ANY_OBJECT = ReplyFormat(form=ReplyForm.JSON_OBJECT, name="tasks", schema=SCHEMA)


def request(reply_format: ReplyFormat | None) -> Request:
    prompt = (Message(role="system", content="s"), Message(role="user", content="u"))
    return Request(key="r1", prompt=prompt, sampling=Sampling(), reply_format=reply_format)


def classify(status: int, body: object, reply_format: ReplyFormat | None = BY_SCHEMA) -> Outcome:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return classify_reply(status, {}, raw, ENDPOINT, now_s=0.0, request=request(reply_format))


def error(message: str, type_: str | None = None, code: object = None, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


def missing(*place: object, words: str = "Field required", type_: str = "missing") -> dict[str, Any]:
    return {"detail": [{"type": type_, "loc": list(place), "msg": words}]}


INVALID = "invalid_request_error"
REFUSALS = {
    "openai-model": (
        400,
        error(
            "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model. Learn more "
            "about supported models at the Structured Outputs guide.",
            INVALID,
        ),
    ),
    "openai-no-word-json": (
        400,
        error(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
            INVALID,
            None,
            "messages",
        ),
    ),
    "openai-schema": (
        400,
        error(
            "Invalid schema for response_format 'tasks': In context=(), 'additionalProperties' is required to be "
            "supplied and to be false.",
            INVALID,
            None,
            "response_format",
        ),
    ),
    "openai-completions": (400, error("Unrecognized request argument supplied: response_format", INVALID)),
    "openai-param-only": (400, error("Unknown parameter.", INVALID, "unknown_parameter", "response_format")),
    "azure-version": (
        400,
        error("response_format value as json_schema is enabled only for api versions 2024-08-01-preview and later"),
    ),
    "deepseek-now": (400, error("This response_format type is unavailable now", INVALID, INVALID)),
    "deepseek-before": (
        422,
        b"Failed to deserialize the JSON body: response_format: response_format.type `json_schema` is unavailable now",
    ),
    "deepseek-no-word-json": (
        400,
        error("Prompt must contain the word 'json' in some form to use 'response_format' of type 'json_object'."),
    ),
    "groq": (
        400,
        error(
            "This model does not support response format `json_schema`. See supported models at "
            "https://console.groq.com/docs/structured-outputs#supported-models",
            INVALID,
        ),
    ),
    "groq-before": (
        400,
        error("'response_format' : one of the following must be satisfied[('response_format.type' : value is not one"),
    ),
    "groq-schema": (
        400,
        error("invalid schema for response format: response_format/json_schema/tasks: maxItems is not supported"),
    ),
    "xai": (
        400,
        {
            "code": "Client specified an invalid argument",
            "error": "The response_format parameter is unsupported at the moment. Leave it unset.",
        },
    ),
    "mistral": (
        422,
        {
            "object": "error",
            "message": missing("body", "response_format", "type", words="Input should be 'text'", type_="enum"),
        },
    ),
    "together": (
        400,
        error("This model does not support the requested format.", INVALID, "constraint_model", "response_format"),
    ),
    "fireworks": (400, error("JSON Schema not supported: could not understand the instance `{'x': 1}`.", INVALID)),
    "cerebras": (400, {"message": "Unsupported JSON schema fields: {'maxItems'}", "type": INVALID, "param": "x"}),
    "gemini-mode": (400, [error("Json mode is not enabled for models/gemini-pro", code=400)]),
    "gemini-field": (
        400,
        [
            error(
                'Invalid JSON payload received. Unknown name "additionalProperties" at '
                "'generation_config.response_schema': Cannot find field.",
                code=400,
            )
        ],
    ),
    "gemini-states": (400, [error("The specified schema produces a constraint that has too many states for serving.")]),
    "gemini-nesting": (
        400,
        [error("A schema in GenerationConfig in the request exceeds the maximum allowed nesting depth.")],
    ),
    "vertex-mime": (
        400,
        error(
            "Unable to submit request because it has a mimeType parameter with value application/json, which is not "
            "supported. Update the mimeType and try again."
        ),
    ),
    "anthropic": (
        400,
        {"type": "error", "error": {"type": INVALID, "message": "output_format.schema: maxItems is not supported"}},
    ),
    "dashscope-thinking": (400, error("Json mode response is not supported when enable_thinking is true", INVALID)),
    "openrouter": (404, error("No endpoints found that can handle the requested parameters.", code=404)),
    "openrouter-provider": (
        400,
        {
            "error": {
                "code": 400,
                "message": "Provider returned error",
                "metadata": {"raw": '{"error":{"message":"response_format.type: json_schema is not supported"}}'},
            }
        },
    ),
    "vllm-forbidden": (
        422,
        missing("body", "response_format", words="Extra inputs are not permitted", type_="extra_forbidden"),
    ),
    "vllm-schema-missing": (400, missing("body", "response_format", "json_schema", "schema")),
    "vllm-completions-before": (400, error("Unsupported response format", "BadRequestError", 400)),
    "vllm-xgrammar": (
        400,
        error("The provided JSON schema contains features not supported by xgrammar.", "BadRequestError", 400),
    ),
    "vllm-grammar-500": (500, error('Grammar error: Unimplemented keys: ["propertyNames"]', "Internal", 500)),
    "vllm-guided": (400, error("Guided decoding is not supported with this backend", "BadRequestError", 400)),
    "sglang": (400, error("Failed to compile json grammar: Unsupported type 'spam'", "BadRequest", 400)),
    "sglang-before": (400, error("Invalid grammar request: req.grammar_key=('json', '{}')", "BadRequest", 400)),
    "tgi": (422, {"error": "Input validation error: `grammar` is disabled", "error_type": "validation"}),
    "llama.cpp-type": (
        400,
        error('response_format type must be one of "text" or "json_object", but got: json_schema', INVALID, 400),
    ),
    "llama.cpp-schema": (400, error('JSON schema conversion failed:\nUnrecognized schema: {"type":"spam"}', code=400)),
    "llama.cpp-grammar": (400, error("Failed to parse grammar", INVALID, 400)),
    "llama.cpp-grammar-500": (500, error("failed to parse grammar", "server_error", 500)),
    "llama.cpp-template": (
        400,
        error("Unable to generate parser for this template. Automatic parser generation failed", INVALID, 400),
    ),
    "llama.cpp-sampler": (
        400,
        error("Failed to initialize samplers: Unexpected empty grammar stack after accepting piece: <think>", code=400),
    ),
    "ollama": (400, error('invalid format: "x"; expected "json" or a valid JSON Schema object', "api_error")),
    "ollama-500": (500, error("invalid JSON schema in format", "api_error")),
    "lm-studio": (400, {"error": "'response_format.type' must be 'json_schema' or 'text'"}),
    "python-500": (500, error("chat() got an unexpected keyword argument 'response_format'")),
    "not-implemented": (501, error("response_format is not implemented by this server")),
    "inside-a-200": (200, error("This response_format type is unavailable now", INVALID, 400)),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refused_form_of_replies_is_fatal_and_says_what_to_set(case: str) -> None:
    status, body = REFUSALS[case]
    outcome = classify(status, body)
    assert isinstance(outcome, Fatal)
    assert outcome.kind == "reply_format"
    assert "set model.replies to text in a new run (server: " in outcome.message
    assert "\n" not in outcome.message


@pytest.mark.parametrize("case", REFUSALS)
def test_without_a_form_asked_for_none_is_refused(case: str) -> None:
    status, body = REFUSALS[case]
    outcome = classify(status, body, reply_format=None)
    assert not (isinstance(outcome, Fatal) and outcome.kind == "reply_format")


def test_the_refusal_names_the_form_and_gives_the_servers_words() -> None:
    outcome = classify(400, error("This response_format type is unavailable now"), ANY_OBJECT)
    assert outcome == Fatal(
        "reply_format",
        "400 from https://api.example.com/v1: it does not write replies as json_object, which they are asked for in; "
        "set model.replies to text in a new run (server: This response_format type is unavailable now)",
        400,
    )


def test_a_refused_form_has_an_exception_of_its_own_which_is_a_protocol_mismatch() -> None:
    raised = fatal_error(Fatal("reply_format", "what to do", 400))
    assert type(raised) is ReplyFormRefused
    assert isinstance(raised, ProtocolMismatch)
    assert str(raised) == "what to do"


GROQ_FAILED = {
    "error": {
        "message": "Failed to generate JSON. Please adjust your prompt. See 'failed_generation' for more details.",
        "type": INVALID,
        "code": "json_validate_failed",
        "failed_generation": '{"tasks": [',
    }
}


def test_a_single_generation_that_is_no_json_is_a_bad_reply_and_no_refusal_of_the_form() -> None:
    assert classify(400, GROQ_FAILED) == Transient(
        "malformed",
        "400: Failed to generate JSON. Please adjust your prompt. See 'failed_generation' for more details.",
    )
    words = error("Generated JSON does not match the expected schema. See 'failed_generation' for more details.")
    assert isinstance(classify(400, words), Transient)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, error("This model's maximum context length is 8192 tokens.", code="context_length_exceeded"), "bad"),
        (401, error("Incorrect API key provided for response_format"), "auth"),
        (402, error("Insufficient Balance"), "quota"),
        (404, error("The model `gpt-x` does not exist.", code="model_not_found"), "model"),
        (400, error('Invalid JSON payload received. Unknown name "seed": Cannot find field.'), "bad"),
        (400, error("We could not parse the JSON body of your request."), "bad"),
        (400, error("Unsupported parameter: 'seed'", code="unsupported_parameter", param="seed"), "bad"),
        (400, error("Bad request: 'Correct the grammar of this sentence.'"), "bad"),
        (400, error("invalid prompt: " + "x " * 400 + "write a JSON schema"), "bad"),
    ],
)
def test_what_a_request_for_json_is_refused_for_otherwise_stays_what_it_is(
    status: int, body: object, kind: str
) -> None:
    outcome = classify(status, body)
    assert outcome.kind == kind if isinstance(outcome, Fatal) else isinstance(outcome, BadRequest) and kind == "bad"


# --- the role system

ROLES = {
    "gemma-vllm": (400, {"object": "error", "message": "System role not supported", "code": 400}),
    "gemma-sglang": (500, error("jinja2.exceptions.TemplateError: System role not supported")),
    "gemma-llama.cpp": (
        400,
        error("Unable to generate parser for this template. Jinja Exception: System role not supported", code=400),
    ),
    "mistral": (400, error("Only user and assistant roles are supported!", "BadRequestError", 400)),
    "mistral-newer": (
        400,
        error("Only user, assistant and tool roles are supported, with an initial optional system message!"),
    ),
    "llama-2": (400, error("Conversation roles must alternate user/assistant/user/assistant/...", code=400)),
    "databricks": (400, error("Chat message input roles must alternate between 'user' and 'assistant'.")),
    "openai-o1": (
        400,
        error(
            "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
            INVALID,
            "unsupported_value",
            "messages[0].role",
        ),
    ),
    "google": (400, [error("Developer instruction is not enabled for models/gemma-3-27b-it", code=400)]),
    "bedrock": (
        400,
        error("This model doesn't support system messages. Try again without system messages or use another model."),
    ),
    "anthropic": (400, error('messages: Unexpected role "system". The Messages API accepts a `system` parameter.')),
    "serde": (
        422,
        b"Failed to deserialize the JSON body: messages[0].role: unknown variant `system`, expected `user`",
    ),
    "fastapi": (422, missing("body", "messages", 0, "role", words="Input should be 'user' or 'assistant'")),
    "json-schema": (400, error("'system' is not one of ['user', 'assistant'] - 'messages.0.role'")),
    "invalid-role": (400, error("invalid role: system")),
    "first-message": (400, error('messages: first message must use the "user" role')),
    "first-role": (400, {"error_code": 336006, "error_msg": "the role of first message must be user"}),
    "chinese": (400, error("该模型不支持 system 角色")),
    "openrouter": (
        400,
        {
            "error": {
                "code": 400,
                "message": "Provider returned error",
                "metadata": {"raw": '{"error":{"message":"Unexpected role \\"system\\""}}'},
            }
        },
    ),
}


@pytest.mark.parametrize("case", ROLES)
def test_a_refused_role_is_told_from_other_refusals(case: str) -> None:
    status, body = ROLES[case]
    outcome = classify(status, body)
    assert isinstance(outcome, BadRequest)
    assert (outcome.kind, outcome.parameter) == ("unsupported_parameter", "system")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, error("Unsupported parameter: 'seed'", code="unsupported_parameter", param="seed")),
        (400, error("The system is not ready: model is loading")),
        (400, error("System message must be at the beginning.")),
        (404, error("System role not supported")),
        (500, error("Internal system failure, the file system does not support this operation")),
    ],
)
def test_what_only_mentions_a_system_is_no_refused_role(status: int, body: object) -> None:
    outcome = classify(status, body, reply_format=None)
    assert not (isinstance(outcome, BadRequest) and outcome.parameter == "system")


def test_a_prompt_without_a_system_message_is_not_refused_for_it() -> None:
    raw = json.dumps(error("Conversation roles must alternate user/assistant/...")).encode()
    asked = Request(key="r1", prompt=(Message(role="user", content="u"),), sampling=Sampling())
    outcome = classify_reply(400, {}, raw, ENDPOINT, now_s=0.0, request=asked)
    assert isinstance(outcome, BadRequest)
    assert outcome.kind == "other"


@pytest.mark.parametrize("filler", ["json ", "response ", "grammar ", "no endpoints found that ", "'"])
def test_a_long_message_is_judged_in_no_time(filler: str) -> None:
    body = json.dumps(error(filler * (2**20 // len(filler)))).encode()
    began = time.process_time()
    classify(400, body)
    assert time.process_time() - began < 10  # a second on a quiet machine; minutes if the time were quadratic
