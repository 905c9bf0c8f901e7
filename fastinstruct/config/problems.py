"""What is wrong with a configuration, in one line: the key's path, the bound, what it got, and what to do.

Knows nothing of where a value came from. Guarantees that no line repeats a value that may be a secret.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from fastinstruct.config.schema import RunConfig
from fastinstruct.config.secret_words import words_of

__all__ = ["complaint", "dotted", "nearest"]

_MAX_SHOWN = 80
# Of any model or endpoint: their values may hold a key or a password, whatever they were meant to hold.
_SECRET = frozenset({"base_url", "headers", "query", "extra_body", "api_key_env"})
_SECRET_WORDS = frozenset(
    {
        "apikey",
        "auth",
        "authorization",
        "bearer",
        "credential",
        "credentials",
        "key",
        "passwd",
        "password",
        "secret",
        "token",
    }
)
_SURELY_MEANT = 0.9  # as near as max_token is to max_tokens, and model.api_key is not to model.api_key_env
_GROUP = "must be a group of keys"
_WORDS = {
    "dict_type": _GROUP,
    "model_attributes_type": _GROUP,
    "model_type": _GROUP,
    "path_type": "must be a path",
}
_USE_A_VARIABLE = (
    "a key is never part of a configuration: export it as an environment variable "
    "(OPENAI_API_KEY, or one that model.api_key_env names)"
)


def nearest(word: str, known: list[str]) -> str:
    """Return ` (did you mean X?)` for the nearest known word, or nothing."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" (did you mean {close[0]}?)" if close else ""


def dotted(location: Sequence[int | str]) -> str:
    """Return a location as a path like `model.name`, on one printable line."""
    path = ".".join(str(part) for part in location)
    return path if path.isprintable() and len(path) <= _MAX_SHOWN else ascii(path)[:_MAX_SHOWN]


def complaint(item: Mapping[str, Any]) -> str:
    """Say one of pydantic's problems in our words."""
    path = dotted(item["loc"])
    if item["type"] == "extra_forbidden":
        return _unknown(path, item)
    if item["type"] in _WORDS:  # what stands in a group's place may be anything, a key included
        return f"{path}: {_WORDS[item['type']]}"
    message = str(item["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if not path:
        return message
    return f"{path}: {message}{_got(item)}"


def _unknown(path: str, item: Mapping[str, Any]) -> str:
    known = _known_keys(RunConfig)
    leaf = str(item["loc"][-1])
    if path in known:  # the file says `model.name: x` on one line
        return f"unknown key {path}: write it nested, {path.replace('.', ': {')}: …{'}' * path.count('.')}"
    is_misspelt = bool(difflib.get_close_matches(path, known, n=1, cutoff=_SURELY_MEANT))
    if _SECRET_WORDS.intersection(words_of(leaf)) and not is_misspelt:
        return f"unknown key {path}; {_USE_A_VARIABLE}"
    same_leaf = [key for key in known if key.rpartition(".")[2] == leaf]
    plain = dotted([part for part in item["loc"] if not isinstance(part, int)])
    return f"unknown key {path}{f' (did you mean {same_leaf[0]}?)' if same_leaf else nearest(plain, known)}"


def _got(item: Mapping[str, Any]) -> str:
    """Return `, got VALUE` where that helps and cannot tell a secret."""
    value = item.get("input")
    if not _SECRET.isdisjoint(item["loc"]) or not isinstance(value, str | int | float | bool):
        return ""
    try:
        shown = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    except ValueError:  # an integer of thousands of digits
        return ""
    return f", got {shown}" if len(shown) <= _MAX_SHOWN else ""


def _known_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Return every dotted key of a model, groups included; those of a list's items without their place."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                keys.extend(_known_keys(part, f"{prefix}{name}."))
    return keys
