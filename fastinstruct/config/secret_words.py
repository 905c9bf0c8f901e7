"""Which words of a configuration are secrets: by the name that they have, by their look, or because they are the key.

Knows nothing of where a configuration comes from. Guarantees: what it tells of a place holds no value, and no name that
looks like a key itself; it takes a time linear in what it reads, however deep that is nested.

Names are read as English compounds, whose last word says what they name: `stop_token_ids` are ids and `max_tokens` a
number, `prompt_cache_key` belongs to a cache; but `openai_key` is a key, whoever's it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import SplitResult, parse_qsl, urlsplit

__all__ = [
    "is_secret_name",
    "is_secret_pair",
    "looks_like_a_key",
    "secret_in",
    "secret_in_url",
    "without_keys",
    "words_of",
]

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")  # api_key, apiKey and API-KEY are two words, keywords is one
# What says nothing of what a value is: api_key_value is an api_key.
_FILLERS = frozenset(
    {"value", "header", "string", "str", "text", "raw", "base", "plain", "current", "new", "old", "my"}
)
# Where a name ends so, without the marks between its words, nothing before it makes it harmless.
_ENDINGS = (
    *("apikey", "apikeys", "accesskey", "accesskeyid", "secretkey", "privatekey", "subscriptionkey", "authkey"),
    *(
        "apitoken",
        "accesstoken",
        "authtoken",
        "bearertoken",
        "refreshtoken",
        "sessiontoken",
        "securitytoken",
        "clienttoken",
    ),
    *("password", "passwords", "passwd", "passphrase", "passcode", "pwd", "secret", "secrets", "secretid"),
    *("credential", "credentials", "authorization", "authorisation", "authentication", "auth", "bearer", "jwt"),
    *("cookie", "cookies"),
)
_PASSES = frozenset({"pass", "userpass", "dbpass", "proxypass", "authpass", "loginpass"})
# Of what a key or a token may be without being a secret.
_PLAIN_KEYS = frozenset(
    (
        *(
            "cache",
            "caching",
            "primary",
            "foreign",
            "sort",
            "order",
            "group",
            "routing",
            "partition",
            "public",
            "shard",
        ),
        *("idempotency", "dedup", "lookup", "index", "hash", "map", "dict", "config", "template", "image", "json"),
        *("input", "output", "field", "row", "column", "metric", "answer", "response", "prompt", "label", "object"),
        *("affinity", "trace", "tracing", "metadata", "language", "hot", "major", "minor", "musical", "arrow"),
    )
)
_PLAIN_TOKENS = frozenset(
    (
        *(
            "bos",
            "eos",
            "pad",
            "unk",
            "sep",
            "cls",
            "mask",
            "stop",
            "start",
            "end",
            "begin",
            "bot",
            "eot",
            "eom",
            "boi",
        ),
        *("eoi", "boundary", "image", "audio", "video", "vision", "special", "think", "thinking", "reasoning", "max"),
        *(
            "min",
            "first",
            "last",
            "next",
            "per",
            "tool",
            "call",
            "prefix",
            "suffix",
            "middle",
            "fim",
            "line",
            "newline",
        ),
        *("blank", "role", "assistant", "system", "turn", "chat", "placeholder", "text", "prompt", "completion"),
        *("input", "output", "draft", "extra", "additional", "target", "vocab", "word", "forced", "suppress", "banned"),
        *("bad", "trigger", "control", "delimiter", "separator", "timestamp", "language", "task", "continuation"),
    )
)
_OWNERS = frozenset(
    ("api", "access", "auth", "bearer", "refresh", "session", "security", "secret", "private", "subscription")
)
_IN_URLS = frozenset({"code", "sig", "signature"})  # Azure's function keys and shared access signatures
_PAIRED = frozenset({"value", "values", "match", "op", "operator", "range", "type"})  # beside a key that is a name
_OF_SCHEMAS = frozenset({"type", "$ref", "anyOf", "oneOf", "allOf", "enum", "const", "description"})
_NO_SECRETS = frozenset(
    {"none", "null", "no", "off", "false", "disabled", "yes", "on", "true", "enabled", "auto", "required", "optional"}
)
_LOOKS = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"(?:sk|rk|pk)[-_][A-Za-z0-9_-]{8,}|(?:hf|gsk|fw|r8|npm)_[A-Za-z0-9]{16,}|(?:xai|pplx|csk)-[A-Za-z0-9]{16,}"
    r"|AIza[A-Za-z0-9_-]{20,}|(?:AKIA|ASIA)[A-Z0-9]{16}|gh[opsu]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}"
    r"|nvapi-[A-Za-z0-9_-]{16,}|glpat-[A-Za-z0-9_-]{16,}|xox[abprs]-[A-Za-z0-9-]{10,}|ya29\.[A-Za-z0-9_-]{16,}|tgp_v1_[A-Za-z0-9_-]{16,}"
    r"|eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,})"
    r"|-----BEGIN [A-Z ]{0,20}PRIVATE KEY"
)
_SCHEME = re.compile(r"\s*(?:authorization:\s*)?(?:bearer|basic)\s+\S{4,}\s*", re.IGNORECASE)
_LEAST_NUMBER = 1000  # smaller ones are no passwords
_EQUAL = 8  # characters: a shorter key (none, EMPTY) is nobody's secret
_PART = 16  # characters: a longer key is found inside of other words, too
_MAX_SHOWN = 80
_NAME_ITSELF = "one of its names"

_Path: TypeAlias = "tuple[_Path, str] | None"
"""A place in a tree: the place above it, and its own name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Meaning:
    """What a name tells of its value: anything; a secret if it is a text; a secret even if it is a number; a token."""

    tells: bool = False
    is_secret: bool = False
    is_sure: bool = False
    is_token: bool = False


_NOTHING = _Meaning()


def words_of(name: str) -> list[str]:
    """The words of a name in lower case, however it is written."""
    return [word.lower() for word in _WORD.findall(name)]


def is_secret_name(name: str) -> bool:
    """Whether what has this name is a secret, if it is a text."""
    return _meaning(name).is_secret


def looks_like_a_key(text: str) -> bool:
    """Whether a text holds what a well known service gives out as a key, or is what an Authorization header says."""
    return _LOOKS.search(text) is not None or _SCHEME.fullmatch(text) is not None


def secret_in(tree: Mapping[str, object], known: Collection[str] = ()) -> str | None:
    """Where a tree of plain values holds a secret, such as `nested.api_key`; None where it holds none.

    Args:
        tree: names and values.
        known: secrets by themselves, wherever they stand.
    """
    left: list[tuple[_Path, _Meaning, object]] = [(None, _NOTHING, tree)]
    while left:
        at, meaning, value = left.pop()
        if _is_secret(meaning, value, known):
            return _shown(at)
        if isinstance(value, Mapping):
            if any(looks_like_a_key(name) or _holds_one(name, known) for name in map(str, value)):
                return _shown((at, _NAME_ITSELF))
            left.extend(((at, str(key)), of, item) for key, of, item in reversed([*_entries(meaning, value)]))
        elif isinstance(value, list | tuple):
            left.extend(((at, str(place)), meaning, item) for place, item in reversed([*enumerate(value)]))
    return None


def without_keys(text: str) -> str:
    """The text, with *** for what looks like a well known service's key."""
    return _LOOKS.sub("***", text)


def is_secret_pair(name: str, value: str) -> bool:
    """Whether this name and value of a URL's query are a secret, by either of them."""
    is_named = bool(value.strip()) and (is_secret_name(name) or name.lower() in _IN_URLS)
    return is_named or looks_like_a_key(value)


def secret_in_url(url: str, known: Collection[str] = ()) -> str | None:
    """What of a URL's user-info, query, parameters or fragment is a secret, in words; None where nothing is."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return None
    if parts.password:
        return "its user-info"
    for name, value in _pairs(parts):
        if looks_like_a_key(name) or _holds_one(name, known):
            return "its query"
        if is_secret_pair(name, value) or _holds_one(value, known):
            return f"{_shown((None, name))} in its query"
    return None


def _pairs(parts: SplitResult) -> Iterator[tuple[str, str]]:
    for text in (parts.query, parts.path.partition(";")[2], parts.fragment):
        for piece in text.replace("&", ";").split(";"):
            yield from parse_qsl(piece, keep_blank_values=True)


def _meaning(name: str) -> _Meaning:
    words = words_of(name)
    while words and words[-1] in _FILLERS:
        words.pop()
    if not words:
        return _NOTHING
    *before, last = words
    together = "".join(words)
    is_sure = together.endswith(_ENDINGS) or together in _PASSES
    match last:
        case "key":
            is_secret = not before or before[-1] not in _PLAIN_KEYS
        case "token":
            is_secret = not _PLAIN_TOKENS.intersection(before)
        case "keys" | "tokens":
            is_secret = bool(before) and before[-1] in _OWNERS
        case _:
            is_secret = False
    return _Meaning(tells=True, is_secret=is_sure or is_secret, is_sure=is_sure, is_token=last == "token")


def _entries(meaning: _Meaning, group: Mapping[str, object]) -> Iterator[tuple[str, _Meaning, object]]:
    """Each entry of a group that has this meaning: its key, its own meaning, and its value."""
    stated = next((text for key in ("name", "key") if isinstance(text := group.get(key), str)), "")
    is_pair = not _PAIRED.isdisjoint(group)
    of_pair = _meaning(stated) if is_pair else _NOTHING
    is_schema = not _OF_SCHEMAS.isdisjoint(group)
    for key, value in group.items():
        own = _meaning(str(key))
        if key == "key" and is_pair:  # it is a name: of a field, a header, a variable
            own = _NOTHING
        elif not own.tells:  # {name: api_key, value: x}, or {api_key: {value: x}}
            own = of_pair if of_pair.is_secret else meaning
        elif meaning.is_sure and not is_schema and not own.is_secret:  # {credentials: {openai: x}}
            own = meaning
        yield str(key), own, value


def _is_secret(meaning: _Meaning, value: object, known: Collection[str]) -> bool:
    if isinstance(value, str):
        if looks_like_a_key(value) or _holds_one(value, known):
            return True
        if "://" in value and secret_in_url(value):
            return True
        text = value.strip()
        is_plain = not text or text.lower() in _NO_SECRETS or (meaning.is_token and _is_models_token(text))
        return meaning.is_secret and not is_plain
    if isinstance(value, int) and not isinstance(value, bool):
        return meaning.is_sure and abs(value) >= _LEAST_NUMBER
    return False


def _is_models_token(text: str) -> bool:
    """Whether it is written as </s>, <|im_end|> or [PAD] are."""
    return text[0] + text[-1] in {"<>", "[]"}


def _holds_one(text: str, known: Collection[str]) -> bool:
    return any(len(one) >= _EQUAL and (text.strip() == one or (len(one) >= _PART and one in text)) for one in known)


def _shown(at: _Path) -> str:
    names: list[str] = []
    while at is not None:
        at, name = at
        names.append(name)
    path = ".".join(reversed(names))
    return path if path.isprintable() and len(path) <= _MAX_SHOWN else ascii(path[:_MAX_SHOWN])[:_MAX_SHOWN]
