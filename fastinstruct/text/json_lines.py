"""What is wrong with a line of JSON Lines, in words for the person who has to mend it.

Knows nothing of what the lines are for. Pure functions of the line.
"""

import json
from collections import Counter
from contextlib import suppress

import orjson

__all__ = ["BYTE_ORDER_MARK", "SPLIT_A_LIST", "json_complaint", "json_type", "not_utf_8", "repeated_key"]

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""What some editors put before the first line."""

SPLIT_A_LIST = "write one JSON object a line (jq -c '.[]' splits a list)"
"""What to do about a file that is one JSON list."""


def json_complaint(line: bytes, error: orjson.JSONDecodeError) -> str:
    """What is wrong with a line that orjson refuses."""
    try:
        text = line.decode()
    except UnicodeDecodeError as fault:
        return not_utf_8(fault)
    with suppress(ValueError, RecursionError):
        # Only the standard library accepts an escape such as \ud800 without its other half; no text with one can be
        # stored or sent.
        if _has_lone_surrogate(json.loads(text)):
            return r"has half of a surrogate pair (\ud800 to \udfff); write the character itself or remove the escape"
    if text.lstrip().startswith("["):
        return f"is not JSON (column {error.colno}), but begins a list; {SPLIT_A_LIST}"
    return f"is not JSON (column {error.colno}); write one JSON object a line, without line breaks inside it"


def not_utf_8(fault: UnicodeDecodeError) -> str:
    """What is wrong with a line whose decoding failed."""
    return f"is not UTF-8 (byte {fault.start + 1} of the line); save the file as UTF-8"


def _has_lone_surrogate(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def repeated_key(line: bytes) -> str | None:
    """A key that an object of the line has twice, of which every parser drops one in silence; None if there is none."""
    found: list[str] = []

    def note(pairs: list[tuple[str, object]]) -> dict[str, object]:
        counted = Counter(key for key, _ in pairs)
        found.extend(key for key, count in counted.items() if count > 1)
        return dict(pairs)

    with suppress(ValueError, RecursionError):  # a line that is no JSON is refused elsewhere
        json.loads(line, object_pairs_hook=note)
    return found[0] if found else None


def json_type(value: object) -> str:
    """What a parsed JSON value is, with its article."""
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list"}
    return names.get(type(value), "an object")
