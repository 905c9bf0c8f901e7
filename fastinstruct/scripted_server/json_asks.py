"""Whether a request asks for JSON, in the ways of several servers, and how servers refuse it.

Knows nothing of what replies say. Guarantees that what real servers answer with 400 (a schema without its wrapper, a
strict one that leaves keys open, an object that the prompt doesn't speak of) is answered so here, too.

Source: OpenAI API reference, "Structured model outputs"; llama.cpp tools/server/README, `json_schema`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from fastinstruct.records import ReplyForm
from fastinstruct.scripted_server.messages import Answer, error_answer

__all__ = ["JsonAsk", "JsonReplies", "read_json_ask", "refusal"]

_NO_SCHEMA: Final[Mapping[str, object]] = {}


class JsonReplies(StrEnum):
    """What becomes of requests for JSON.

    `given`: they get it. `ignored`: they get text. `refused`: they get a 400. `object-only`: by a schema a 400, as an
    object it is given.
    """

    GIVEN = "given"
    IGNORED = "ignored"
    REFUSED = "refused"
    OBJECT_ONLY = "object-only"


class JsonAsk(NamedTuple):
    """JSON that a request asks for; `field` of its body says so."""

    field: str
    form: ReplyForm
    schema: Mapping[str, object] = _NO_SCHEMA


def read_json_ask(fields: Mapping[str, object], prompt: str) -> JsonAsk | Answer | None:
    """What JSON a body asks for, None if it asks for none, or the answer to one that asks wrongly."""
    if "json_schema" in fields:
        schema = fields["json_schema"]
        return (
            JsonAsk("json_schema", ReplyForm.JSON_SCHEMA, schema) if isinstance(schema, dict) else _bad("json_schema")
        )
    asked = fields.get("response_format")
    if asked is None:
        return None
    kind = asked.get("type") if isinstance(asked, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        if "json" not in prompt.lower():
            told = (
                "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
            )
            return error_answer(400, None, told)
        return JsonAsk("response_format", ReplyForm.JSON_OBJECT)
    return _by_schema(asked.get("json_schema")) if isinstance(asked, dict) and kind == "json_schema" else _bad("type")


def _by_schema(wrapper: object) -> JsonAsk | Answer:
    schema = wrapper.get("schema") if isinstance(wrapper, dict) else None
    if not isinstance(wrapper, dict) or not isinstance(schema, dict) or not isinstance(wrapper.get("name"), str):
        return _bad("json_schema")
    if wrapper.get("strict") and (open_at := next(_open_objects(schema, ()), None)) is not None:
        told = (
            f"Invalid schema for response_format '{wrapper['name']}': In context={open_at}, 'additionalProperties' is "
            "required to be supplied and to be false, and 'required' to name every key in properties."
        )
        return error_answer(400, None, told)
    return JsonAsk("response_format", ReplyForm.JSON_SCHEMA, schema)


def _open_objects(schema: object, place: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Where a schema leaves keys open that a strict one must not."""
    if not isinstance(schema, dict):
        return
    properties = schema.get("properties")
    if isinstance(properties, dict):
        if schema.get("additionalProperties") is not False or sorted(schema.get("required", ())) != sorted(properties):
            yield place
        for name, inner in properties.items():
            yield from _open_objects(inner, (*place, "properties", name))
    yield from _open_objects(schema.get("items"), (*place, "items"))


def _bad(what: str) -> Answer:
    return error_answer(400, "missing_required_parameter", f"Missing or invalid parameter: 'response_format.{what}'.")


def refusal(ask: JsonAsk, replies: JsonReplies) -> Answer | None:
    """The answer of a server that does not write JSON, or not by a schema; None from one that does or looks away."""
    if replies == JsonReplies.OBJECT_ONLY and ask.form is ReplyForm.JSON_SCHEMA:
        return error_answer(400, "invalid_request_error", "This response_format type is unavailable now")
    if replies != JsonReplies.REFUSED:
        return None
    if ask.field != "response_format":
        return error_answer(400, None, f"Unrecognized request argument supplied: {ask.field}")
    told = f"Invalid parameter: 'response_format' of type '{ask.form}' is not supported with this model."
    return error_answer(400, None, told)
