"""Structured replies: the JSON that each stage asks for, and how a reply of that kind is read.

Knows nothing of servers, templates or filters. Guarantees schemas that strict servers take: one object at the root,
every key required, no other one allowed, and nothing but types, keys and `maxItems` (lengths and counts are checked
by whoever reads). Every function is pure, takes any text, never raises, and takes time linear in its length.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from fastinstruct.records import ReplyForm, ReplyFormat
from fastinstruct.text.structured_examples import read_examples
from fastinstruct.text.structured_places import is_json_like
from fastinstruct.text.structured_tasks import read_is_classification, read_tasks

__all__ = [
    "examples_format",
    "is_answer",
    "is_classification_format",
    "is_json_like",
    "read_examples",
    "read_is_classification",
    "read_tasks",
    "satisfies",
    "tasks_format",
]

_PYTHON_TYPES: Mapping[object, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}


def tasks_format(form: ReplyForm, *, max_items: int) -> ReplyFormat:
    """Return what stage 1 asks for: `{"tasks": [string, ...]}`, at most `max_items` of them."""
    return ReplyFormat(form=form, name="tasks", schema=_only(tasks=_list_of({"type": "string"}, max_items)))


def is_classification_format(form: ReplyForm) -> ReplyFormat:
    """Return what stage 2 asks for: `{"is_classification": boolean}`."""
    return ReplyFormat(form=form, name="is_classification", schema=_only(is_classification={"type": "boolean"}))


def examples_format(form: ReplyForm, *, max_instances: int, output_first: bool) -> ReplyFormat:
    """Return what stage 3 asks for: `{"examples": [{"input": string, "output": string}, ...]}`.

    With `output_first` a label stands before its input: servers that hold a model to a schema have it write the keys
    in their order.
    """
    text: Mapping[str, object] = {"type": "string"}
    example = _only(output=text, input=text) if output_first else _only(input=text, output=text)
    return ReplyFormat(form=form, name="examples", schema=_only(examples=_list_of(example, max_instances)))


def _only(**properties: Mapping[str, object]) -> dict[str, object]:
    """The schema of an object that has these keys, in this order, and no other one."""
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def _list_of(items: Mapping[str, object], max_items: int) -> dict[str, object]:
    return {"type": "array", "items": items, "maxItems": max_items}


def is_answer(schema: Mapping[str, object], text: str) -> bool:
    """Whether a text is, as a whole, JSON that is valid by the schema; nothing is mended here."""
    try:
        return satisfies(schema, json.loads(text))
    except (ValueError, RecursionError):
        return False


def satisfies(schema: Mapping[str, object], value: object) -> bool:
    """Whether a value, as `json.loads` returns it, is valid by a schema.

    Of JSON schema it knows what is used here: type, enum, properties, required, additionalProperties (false), items
    and maxItems. Other keywords are not looked at.
    """
    return _has_type(schema.get("type"), value) and _is_allowed(schema.get("enum"), value) and _holds(schema, value)


def _has_type(name: object, value: object) -> bool:
    if name is None:
        return True
    if isinstance(value, bool):  # which Python takes for an int
        return name == "boolean"
    return isinstance(value, _PYTHON_TYPES.get(name, ()))


def _is_allowed(values: object, value: object) -> bool:
    # 1 == True in Python, not in JSON.
    return not isinstance(values, list) or any(type(one) is type(value) and one == value for one in values)


def _holds(schema: Mapping[str, object], value: object) -> bool:
    if isinstance(value, list):
        items, most = schema.get("items"), schema.get("maxItems")
        is_short_enough = not isinstance(most, int) or len(value) <= most
        return is_short_enough and (not isinstance(items, Mapping) or all(satisfies(items, one) for one in value))
    if not isinstance(value, dict):
        return True
    properties, required = schema.get("properties"), schema.get("required")
    known = properties if isinstance(properties, Mapping) else {}
    if isinstance(required, list) and not all(key in value for key in required):
        return False
    if schema.get("additionalProperties") is False and not value.keys() <= known.keys():
        return False
    return all(satisfies(known[key], one) for key, one in value.items() if key in known)
