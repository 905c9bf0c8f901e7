"""Errors inside a reply of status 200, in whatever shape another API has for them: their words, and their status.

Knows nothing of outcomes, endpoints or connections. Guarantees: any parsed JSON gives words (perhaps none) and a status
between 400 and 599; only a few levels and entries of a body are looked at.

Source: the bodies of OpenRouter, RunPod, Cloudflare, MiniMax, Baidu, AWS and of gateways, as their users report them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

__all__ = ["foreign_words", "inner_status"]

_MAX_DEPTH: Final = 4
_MAX_ENTRIES: Final = 4  # of a list of errors
_MAX_WORDS: Final = 3
_SEARCHED: Final = 300  # characters of a message, for what they say of its status

# Names are compared without case and marks between words.
_WORDS: Final = frozenset(
    (
        *("message", "msg", "errormessage", "errormsg", "errmsg", "error", "detail", "details", "errordescription"),
        *("description", "reason", "title", "faultstring", "statusmsg", "statusmessage"),
    )
)
_CODES: Final = frozenset(("code", "status", "statuscode", "errorcode", "errcode", "type", "errortype", "state"))
_PLACES: Final = frozenset(
    (
        *("error", "errors", "baseresp", "header", "fault", "status", "detail", "details"),
        *("result", "meta", "response", "body", "data", "output"),
    )
)
_MARKS: Final = re.compile(r"[_\-\s]")

_TAG_STATUSES: Final = (
    (re.compile(r"authentication|invalid_api_key|unauthori[sz]ed"), 401),
    (re.compile(r"content_filter|context_length_exceeded|invalid_request"), 400),
    (re.compile(r"model_not_found"), 404),
    (re.compile(r"rate_?limit|too_?many|insufficient_quota|quota"), 429),
    (re.compile(r"overloaded"), 529),
)
_STATUS_IN_WORDS: Final = re.compile(r"(?:\b(?:error|code|status|http)\b\D{0,12}?|^\W{0,3})([45]\d\d)\b", re.IGNORECASE)
_WORD_STATUSES: Final = (
    (
        re.compile(r"rate.?limit|too many requests|throttl|(?:limit|quota).{0,40}(?:reached|exceeded)", re.IGNORECASE),
        429,
    ),
    (
        re.compile(
            r"unauthori[sz]ed|authentication|login fail"
            r"|(?:invalid|incorrect|missing|expired|no) .{0,20}(?:api.?key|token|credential)"
            r"|(?:api.?key|token|credential)s? .{0,20}(?:invalid|incorrect|missing|expired)",
            re.IGNORECASE,
        ),
        401,
    ),
    (re.compile(r"\bmodel\b.{0,80}(?:not found|not exist|unknown)|(?:unknown|no such) model", re.IGNORECASE), 404),
    (re.compile(r"overload|unavailable|try again later|at capacity", re.IGNORECASE), 503),
)


def foreign_words(payload: object) -> str:
    """What a body says, one text after another without repeating itself; empty where it says nothing."""
    found: dict[str, None] = {}
    for text in _texts(payload, _MAX_DEPTH):
        found[text] = None
        if len(found) == _MAX_WORDS:
            break
    return ": ".join(found)


def _texts(payload: object, depth: int) -> Iterator[str]:
    if depth == 0:
        return
    if isinstance(payload, list):
        for entry in payload[:_MAX_ENTRIES]:
            if isinstance(entry, str) and entry.strip():
                yield entry.strip()
            else:
                yield from _texts(entry, depth - 1)
    if not isinstance(payload, Mapping):
        return
    for name, value in payload.items():
        plain = _plain(name)
        if isinstance(value, str):
            if plain in _WORDS and value.strip():
                yield value.strip()
        elif plain in _PLACES:
            yield from _texts(value, depth - 1)


def _plain(name: object) -> str:
    return _MARKS.sub("", name).lower() if isinstance(name, str) and len(name) < 40 else ""


def inner_status(payload: object, message: str) -> int:
    """The error's code as if it were an HTTP status; 500, which is tried again, where nothing says it.

    By a number where one stands for a status, else by the words of its codes, else by those of its message.
    """
    codes = list(_codes(payload, _MAX_DEPTH))
    for code in codes:
        if (status := _as_status(code)) is not None:
            return status
    if found := _STATUS_IN_WORDS.search(message[:_SEARCHED]):
        return int(found[1])
    tags = " ".join(code.lower()[:80] for code in codes if isinstance(code, str))
    by_words = ((tags, _TAG_STATUSES), (message[:_SEARCHED], _WORD_STATUSES))
    return next((status for text, table in by_words for wording, status in table if wording.search(text)), 500)


def _codes(payload: object, depth: int) -> Iterator[object]:
    if depth == 0:
        return
    if isinstance(payload, list):
        for entry in payload[:_MAX_ENTRIES]:
            yield from _codes(entry, depth - 1)
    if not isinstance(payload, Mapping):
        return
    for name, value in payload.items():
        plain = _plain(name)
        if plain in _CODES and isinstance(value, str | int) and not isinstance(value, bool):
            yield value
        elif plain in _PLACES:
            yield from _codes(value, depth - 1)


def _as_status(code: object) -> int | None:
    if isinstance(code, str) and code.isascii() and code.isdigit():
        code = int(code[:4])
    return code if isinstance(code, int) and 400 <= code <= 599 else None
