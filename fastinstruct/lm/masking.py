"""Secrets taken out of what a server says: it may echo a key whole, in part, in another case or encoded for a URL.

Knows nothing of errors or logs. Guarantees that of a secret of eight characters or more no eight characters in a row
are left by `masked`, nor all of a shorter one. It is asked for failures and for new names only. A reply's own text,
which is data, is looked through for whole keys that no text holds by chance; that costs a search in C each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from urllib.parse import unquote, unquote_plus, urlsplit

from fastinstruct.config.secret_words import is_secret_pair, without_keys
from fastinstruct.lm.endpoints import Endpoint
from fastinstruct.records import Completion

__all__ = ["masked", "masked_name", "secrets_of", "without_echo"]

_PIECE = 8
_SHORTEST = 4  # what is shorter cannot be told from words
_SURE = 16  # so many characters of a key stand in no text by chance
_LONGEST_NAME = 200
_NAME_READ = 2000
_MOST_NAMES = 100  # that are remembered
_MASK = "***"
_UNIT = re.compile(r"%(?:25)*+(?P<code>[0-9A-Fa-f]{2})|.", re.DOTALL)  # one character, however often it was encoded
_SECRET_HEADER = re.compile(r"auth|key|token|secret|cookie|password|signature", re.IGNORECASE)


def secrets_of(endpoint: Endpoint) -> tuple[list[str], list[str]]:
    """What of an endpoint is secret even in part, and what is only as a whole (words of other headers)."""
    parts = urlsplit(endpoint.base_url)
    even_in_part = [endpoint.api_key or "", parts.password or "", *endpoint.query.values()]
    whole = [parts.query]
    for name, _, value in (pair.partition("=") for pair in parts.query.split("&")):
        is_secret = is_secret_pair(unquote_plus(name), unquote_plus(value))
        (even_in_part if is_secret else whole).extend([value, unquote(value)])
    for name, value in endpoint.headers.items():
        (even_in_part if _SECRET_HEADER.search(name) else whole).extend([value, *value.split()])
    return [one for one in even_in_part if len(one) >= _SHORTEST], [one for one in whole if len(one) >= _SHORTEST]


def masked(text: str, even_in_part: Iterable[str], whole: Iterable[str] = ()) -> str:
    """The text without these secrets.

    Args:
        text: a server's words.
        even_in_part: no eight characters in a row of one of these are left, nor all of a shorter one.
        whole: these are taken out where they stand in full.
    """
    units = [(found, found["code"]) for found in _UNIT.finditer(text)]
    plain = "".join(_folded(chr(int(code, 16)) if code else found[0]) for found, code in units)
    hidden = bytearray(len(plain))
    for secret in sorted({*even_in_part}, key=len, reverse=True):
        folded = "".join(map(_folded, secret))
        _hide(hidden, plain, {folded[at : at + _PIECE] for at in range(max(1, len(folded) - _PIECE + 1))})
    for secret in whole:
        _hide(hidden, plain, {"".join(map(_folded, secret))})
    if not any(hidden):
        return text
    shown = [_MASK if hidden[at] else found[0] for at, (found, _) in enumerate(units)]
    return "".join(one for at, one in enumerate(shown) if not (at and hidden[at] and hidden[at - 1]))


def masked_name(name: str, endpoint: Endpoint) -> str:
    """A model's name as a server tells it, fit to be stored and shown: on one line, keys masked, of bounded length.

    The name that the endpoint itself has stays as it is.
    """
    if name == endpoint.model:
        return name
    line = without_keys(" ".join(name[:_NAME_READ].split()))
    return masked(line, secrets_of(endpoint)[0])[:_LONGEST_NAME]


def without_echo(completion: Completion, endpoint: Endpoint) -> Completion:
    """The completion, its model's name masked, and without any whole key in its text: a run's data may be published."""
    watch = _watch(endpoint)
    for key in watch.keys:
        if key in completion.text:
            completion = replace(completion, text=completion.text.replace(key, _MASK))
        if completion.top_logprobs is not None and any(key in token for token in completion.top_logprobs):
            found = {token.replace(key, _MASK): value for token, value in completion.top_logprobs.items()}
            completion = replace(completion, top_logprobs=found)
    name = watch.name(completion.model)
    return completion if name == completion.model else replace(completion, model=name)


class _Watch:
    """What of an endpoint no reply's text may hold, and the names that it has told so far: mostly the same."""

    def __init__(self, endpoint: Endpoint) -> None:
        keys = {key for key in secrets_of(endpoint)[0] if len(key) >= _SURE}
        self.keys = sorted(keys, key=len, reverse=True)
        self._endpoint = endpoint
        self._names: dict[str, str] = {}

    def name(self, told: str) -> str:
        found = self._names.get(told)
        if found is None:
            found = masked_name(told, self._endpoint)
            if len(self._names) < _MOST_NAMES and len(told) <= _NAME_READ:
                self._names[told] = found
        return found


@lru_cache(maxsize=256)
def _watch(endpoint: Endpoint) -> _Watch:
    return _Watch(endpoint)


def _folded(character: str) -> str:
    """A character without its case, still one character."""
    lower = character.lower()
    return lower if len(lower) == 1 else character


def _hide(hidden: bytearray, text: str, pieces: set[str]) -> None:
    """Mark where one of the pieces, which are of one length, stands in the text."""
    length = len(next(iter(pieces)))
    for at in range(len(text) - length + 1):
        if text[at : at + length] in pieces:
            hidden[at : at + length] = b"\x01" * length
