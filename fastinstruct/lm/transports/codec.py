"""The bytes of one request, and a reply's bytes as JSON: pure functions over `Request` and `Endpoint`.

Knows nothing of connections, statuses, retries or stages. Guarantees: what cannot be written as JSON (lone surrogates)
is replaced, not refused, so that a paid reply is never asked for again because of it.

Source: OpenAI API reference, "Create chat completion", "Create completion (legacy)" and guide "Structured outputs";
llama.cpp tools/server/README.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final, TypeAlias

import orjson

from fastinstruct.errors import InputError
from fastinstruct.lm.endpoints import Endpoint, Request
from fastinstruct.records import Api, Message, ReplyForm, ReplyFormat, Sampling

__all__ = [
    "DROPPABLE_PARAMETERS",
    "ROUTES",
    "encode_body",
    "has_too_many_values",
    "length_limits",
    "parse_json",
    "schema_size",
    "without_surrogates",
]

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
        "system",
        "temperature",
        "top_logprobs",
        "top_p",
    }
)
"""Wire names of what a request can do without, should a server refuse it; `system` is the role of a message."""

_LENGTH_KEYS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict")
_COUNT_KEYS: Final = ("n", "best_of")

_SURROGATE: Final = re.compile("[\ud800-\udfff]")

_Json: TypeAlias = "dict[str, object]"


def encode_body(endpoint: Endpoint, request: Request, dropped_parameters: Collection[str]) -> bytes:
    """The JSON body of one request: None values and `dropped_parameters` left out, `extra_body` merged last.

    The length limit is sent as `max_tokens`, or as `max_completion_tokens` once `max_tokens` is dropped; what messages
    of the role `system` say, before the first of a user's once `system` is.

    Raises:
        InputError: messages for the completions route, or an `extra_body` that JSON cannot express.
    """
    body: _Json = {"model": endpoint.model, **_prompt_fields(endpoint.api, request, "system" in dropped_parameters)}
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


def _prompt_fields(api: Api, request: Request, drops_system: bool) -> _Json:
    prompt = request.prompt
    if api is Api.CHAT:
        if isinstance(prompt, str):
            return {"messages": [{"role": "user", "content": prompt}]}
        if drops_system:
            prompt = _without_system(prompt)
        return {"messages": [{"role": message.role, "content": message.content} for message in prompt]}
    if not isinstance(prompt, str):
        raise InputError(f"request {request.key}: holds messages, and the completions route takes text")
    return {"prompt": prompt}


def _without_system(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages, with what those of the role `system` say put before what the user says first."""
    said = [message.content for message in messages if message.role == "system"]
    others = [message for message in messages if message.role != "system"]
    if not said:
        return messages
    first = next((at for at, message in enumerate(others) if message.role == "user"), None)
    if first is None:
        return (Message(role="user", content="\n\n".join(said)), *others)
    others[first] = replace(others[first], content="\n\n".join([*said, others[first].content]))
    return tuple(others)


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
    limit_name = _length_name(dropped_parameters)
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


def length_limits(endpoint: Endpoint, request: Request, dropped_parameters: Collection[str]) -> frozenset[int]:
    """The lengths, in tokens, that a request asks its reply to end at; none where it asks for several replies at once.

    They are several where `extra_body` sets another one: which of them the server keeps to is not known.
    """
    extra, name = endpoint.extra_body, _length_name(dropped_parameters)
    if any(_count(extra.get(key)) > 1 for key in _COUNT_KEYS):
        return frozenset()
    ours = {} if name in dropped_parameters else {name: request.sampling.max_tokens}
    sent = {**ours, **extra}
    return frozenset(_count(sent.get(key)) for key in _LENGTH_KEYS) - {0}


def _length_name(dropped_parameters: Collection[str]) -> str:
    return "max_completion_tokens" if "max_tokens" in dropped_parameters else "max_tokens"


def _count(value: object) -> int:
    return value if type(value) is int and value > 0 else 0


def _dump_leniently(body: _Json, key: str) -> bytes:
    try:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"request {key}: its extra_body cannot be written as JSON") from error
    return without_surrogates(text).encode()


_MOST_VALUES: Final = 1 << 18
_FEW_BYTES: Final = 1 << 16


def has_too_many_values(body: bytes) -> bool:
    """Whether a body may hold more values than any reply has, commas in its texts counted as such.

    Millions of tiny ones, for which a few MB have room, take seconds to parse, the interpreter's lock being held, and
    GBs to hold.
    """
    return len(body) > _FEW_BYTES and sum(map(body.count, (b",", b"[", b"{"))) > _MOST_VALUES


def parse_json(body: bytes) -> object:
    """A reply's body as JSON; leading blank lines (keep-alive drips), NaN and lone surrogates are tolerated.

    Raises:
        ValueError: it is no JSON, or has too many values.
    """
    if has_too_many_values(body):
        raise ValueError("too many values")
    try:
        return orjson.loads(body)
    except ValueError:
        pass
    try:
        parsed: object = json.loads(body.decode("utf-8-sig", "replace"), strict=False)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return parsed


def without_surrogates(text: str) -> str:
    """The text with every lone surrogate replaced, so that it can be written as UTF-8."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)
