"""The bytes of one request and of its reply: encoding and decoding, pure functions over `Request` and `Completion`.

Knows nothing of connections, statuses, retries or stages. Guarantees: what cannot be written as JSON (lone surrogates)
is replaced, not refused, so that a paid reply is never asked for again because of it; a `Completion`'s text can always
be encoded as UTF-8; wrong types in a reply are tolerated or reported as a `ReplyProblem`, never raised.

Source: OpenAI API reference, "Create chat completion", "Create completion (legacy)" and guide "Structured outputs";
llama.cpp tools/server/README.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import orjson

from fastinstruct.errors import InputError
from fastinstruct.lm.endpoints import Endpoint, Request
from fastinstruct.records import Api, Completion, FinishReason, ReplyForm, ReplyFormat, Sampling, Usage

__all__ = ["DROPPABLE_PARAMETERS", "ROUTES", "ReplyProblem", "decode_reply", "encode_body", "parse_json", "schema_size"]

ROUTES: Final[Mapping[Api, str]] = {Api.CHAT: "chat/completions", Api.COMPLETIONS: "completions"}

DROPPABLE_PARAMETERS: Final = frozenset(
    {
        "frequency_penalty",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "presence_penalty",
        "seed",
        "stop",
        "temperature",
        "top_logprobs",
        "top_p",
    }
)
"""Wire names of what a request can do without, should a server refuse it."""

_FINISH_REASONS: Final[Mapping[str, FinishReason]] = {
    "stop": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "eos_token": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
    "prohibited_content": FinishReason.CONTENT_FILTER,
    "recitation": FinishReason.CONTENT_FILTER,
    "safety": FinishReason.CONTENT_FILTER,
}
# The server broke off by itself: the text is a part, whatever it says.
_INTERRUPTIONS: Final = frozenset({"abort", "error", "insufficient_system_resource"})
_REASONING_FIELDS: Final = ("reasoning_content", "reasoning")

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_THOUGHT: Final = re.compile(r"<think>.*?</think>", re.DOTALL)
_MAX_TOKEN_COUNT: Final = 2**53  # beyond it no count is real, and SQLite's integers end soon after

_NO_USAGE: Final = Usage()

_Json: TypeAlias = "dict[str, object]"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyProblem:
    """Why a reply is no completion: `malformed`, `no_choices`, `no_content` or `interrupted`, and what it cost."""

    kind: str
    detail: str
    usage: Usage = _NO_USAGE


def encode_body(endpoint: Endpoint, request: Request, dropped_parameters: Collection[str]) -> bytes:
    """The JSON body of one request: None values and `dropped_parameters` left out, `extra_body` merged last.

    The length limit is sent as `max_tokens`, or as `max_completion_tokens` once `max_tokens` is dropped.

    Raises:
        InputError: messages for the completions route, or an `extra_body` that JSON cannot express.
    """
    body: _Json = {"model": endpoint.model, **_prompt_fields(endpoint.api, request)}
    if request.reply_format is not None:
        body |= _format_fields(endpoint.api, request.reply_format)
    body.update(
        (name, value)
        for name, value in _sampling_fields(endpoint.api, request.sampling, dropped_parameters).items()
        if value is not None and name not in dropped_parameters
    )
    body.update(endpoint.extra_body)
    try:
        return orjson.dumps(body)
    except TypeError:  # lone surrogates, integers beyond 64 bits
        return _dump_leniently(body, request.key)


def schema_size(asked: ReplyFormat) -> int:
    """How many bytes a reply's schema has as JSON: an upper bound on the tokens that it costs where servers count it.

    0 for `json_object`, which sends none.
    """
    return len(orjson.dumps(dict(asked.schema))) if asked.form is ReplyForm.JSON_SCHEMA else 0


def _prompt_fields(api: Api, request: Request) -> _Json:
    prompt = request.prompt
    if api is Api.CHAT:
        if isinstance(prompt, str):
            return {"messages": [{"role": "user", "content": prompt}]}
        return {"messages": [{"role": message.role, "content": message.content} for message in prompt]}
    if not isinstance(prompt, str):
        raise InputError(f"request {request.key}: holds messages, and the completions route takes text")
    return {"prompt": prompt}


def _format_fields(api: Api, asked: ReplyFormat) -> _Json:
    """How the form of a reply is asked for.

    On the completions route, vLLM reads `response_format` and llama.cpp, which ignores that there, a bare schema.
    """
    if asked.form is not ReplyForm.JSON_SCHEMA:
        return {"response_format": {"type": "json_object"}}
    schema = dict(asked.schema)
    named = {"name": asked.name, "strict": True, "schema": schema}
    fields: _Json = {"response_format": {"type": "json_schema", "json_schema": named}}
    return fields if api is Api.CHAT else fields | {"json_schema": schema}


def _sampling_fields(api: Api, sampling: Sampling, dropped_parameters: Collection[str]) -> _Json:
    limit_name = "max_completion_tokens" if "max_tokens" in dropped_parameters else "max_tokens"
    fields: _Json = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        limit_name: sampling.max_tokens,
        "stop": list(sampling.stop) or None,
        "seed": sampling.seed,
    }
    # On the chat route the two mean nothing without each other.
    if sampling.num_logprobs is not None and not {"logprobs", "top_logprobs"} & set(dropped_parameters):
        if api is Api.CHAT:
            fields |= {"logprobs": True, "top_logprobs": sampling.num_logprobs}
        else:
            fields["logprobs"] = sampling.num_logprobs
    return fields


def _dump_leniently(body: _Json, key: str) -> bytes:
    try:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"request {key}: its extra_body cannot be written as JSON") from error
    return _without_surrogates(text).encode()


def parse_json(body: bytes) -> object:
    """A reply's body as JSON; leading blank lines (keep-alive drips), NaN and lone surrogates are tolerated.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return orjson.loads(body)
    except ValueError:
        pass
    try:
        parsed: object = json.loads(body.decode("utf-8-sig", "replace"), strict=False)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return parsed


def decode_reply(api: Api, payload: object, *, default_model: str = "") -> Completion | ReplyProblem:
    """The completion that a parsed 200 reply holds; `default_model` stands in where it does not name one.

    Only the first choice is read. `<think>` blocks are removed, and the log-probabilities with them: they belong to
    the thought's first token.
    """
    if not isinstance(payload, dict):
        return ReplyProblem(kind="malformed", detail=f"a JSON {type(payload).__name__}, not an object")
    choices = payload.get("choices")
    if not isinstance(choices, list) or not choices:
        return ReplyProblem(kind="no_choices", detail="the reply holds no choices")
    choice = choices[0]
    if not isinstance(choice, dict):
        return ReplyProblem(kind="malformed", detail="choices[0] is no object")
    finish_reason = choice.get("finish_reason")
    if isinstance(finish_reason, str) and finish_reason in _INTERRUPTIONS:
        return ReplyProblem(kind="interrupted", detail=f"the server broke off (finish_reason {finish_reason})")
    raw = _raw_text(api, choice)
    if isinstance(raw, ReplyProblem):
        return replace(raw, usage=_usage(payload.get("usage")))
    text = _without_thoughts(raw)
    model = payload.get("model")
    return Completion(
        text=_without_surrogates(text),
        finish_reason=_finish_reason(finish_reason),
        usage=_usage(payload.get("usage")),
        model=_without_surrogates(model) if isinstance(model, str) and model else default_model,
        top_logprobs=_first_token_logprobs(choice.get("logprobs")) if text == raw else None,
    )


def _finish_reason(value: object) -> FinishReason:
    return _FINISH_REASONS.get(value.lower(), FinishReason.OTHER) if isinstance(value, str) else FinishReason.OTHER


def _raw_text(api: Api, choice: _Json) -> str | ReplyProblem:
    if api is Api.COMPLETIONS:
        text = choice.get("text")
        return text if isinstance(text, str) else ReplyProblem(kind="malformed", detail="choices[0] holds no text")
    message = choice.get("message")
    if not isinstance(message, dict):
        return ReplyProblem(kind="malformed", detail="choices[0] holds no message")
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(_part_text(part) for part in content)
    return _missing_content(message, _finish_reason(choice.get("finish_reason")))


def _part_text(part: object) -> str:
    text = part.get("text") if isinstance(part, dict) and part.get("type") in ("text", "output_text") else None
    return text if isinstance(text, str) else ""


def _missing_content(message: _Json, finish_reason: FinishReason) -> str | ReplyProblem:
    """What stands for a content of null: the refusal's text, nothing where a filter took it, or a problem."""
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        return refusal
    if finish_reason is FinishReason.CONTENT_FILTER:
        return ""
    if any(message.get(name) for name in _REASONING_FIELDS):
        return ReplyProblem(kind="no_content", detail="the reply holds reasoning but no content")
    return ReplyProblem(kind="malformed", detail="the reply's content is null")


def _without_thoughts(text: str) -> str:
    """The text without `<think>` blocks: closed ones, a leading one left open, one whose opening was in the prompt."""
    if "think>" not in text:
        return text
    answer = _THOUGHT.sub("", text).rpartition("</think>")[2]
    if answer.lstrip().startswith("<think>"):
        return ""
    return answer.lstrip() if answer != text else text


def _without_surrogates(text: str) -> str:
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def _usage(value: object) -> Usage:
    if not isinstance(value, dict):
        return Usage()
    prompt_tokens = _token_count(value.get("prompt_tokens"))
    # Some servers (Gemini, Grok) leave what the model thought out of the completion, but not out of the total.
    thought = _token_count(value.get("total_tokens")) - prompt_tokens if prompt_tokens else 0
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=max(thought, _token_count(value.get("completion_tokens"))),
        cached_tokens=min(prompt_tokens, _cached_tokens(value)),
    )


def _cached_tokens(usage: _Json) -> int:
    """What came from the cache, as OpenAI and vLLM say it, or DeepSeek."""
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return _token_count(usage.get("prompt_cache_hit_tokens") if cached is None else cached)


def _token_count(value: object) -> int:
    if type(value) is int:  # as mostly; no bool
        return value if 0 <= value < _MAX_TOKEN_COUNT else 0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MAX_TOKEN_COUNT:
        return 0  # NaN compares false, too
    return int(value)


def _first_token_logprobs(logprobs: object) -> Mapping[str, float] | None:
    """The first token's alternatives, from the chat shape (llama.cpp uses it on both routes) or the legacy one."""
    if not isinstance(logprobs, dict):
        return None
    content = logprobs.get("content")
    found = _chat_logprobs(content) if isinstance(content, list) else _legacy_logprobs(logprobs)
    return {_without_surrogates(token): value for token, value in found.items()} or None


def _chat_logprobs(content: list[object]) -> dict[str, float]:
    first = content[0] if content else None
    if not isinstance(first, dict):
        return {}
    alternatives = first.get("top_logprobs")
    found: dict[str, float] = {}
    for entry in [*(alternatives if isinstance(alternatives, list) else []), first]:
        if isinstance(entry, dict):
            _add_logprob(found, entry.get("token"), entry.get("logprob"))
    return found


def _legacy_logprobs(logprobs: _Json) -> dict[str, float]:
    found: dict[str, float] = {}
    alternatives = _first(logprobs.get("top_logprobs"))
    if isinstance(alternatives, dict):
        for token, value in alternatives.items():
            _add_logprob(found, token, value)
    _add_logprob(found, _first(logprobs.get("tokens")), _first(logprobs.get("token_logprobs")))
    return found


def _first(values: object) -> object:
    return values[0] if isinstance(values, list) and values else None


def _add_logprob(found: dict[str, float], token: object, value: object) -> None:
    """Keeps the larger of two values: distinct tokens may decode to one text."""
    if not isinstance(token, str) or isinstance(value, bool) or not isinstance(value, int | float):
        return
    if math.isfinite(value):
        found[token] = max(float(value), found.get(token, -math.inf))
