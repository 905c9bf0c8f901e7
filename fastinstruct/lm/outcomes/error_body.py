"""What a server's refusal says: its words and codes, and its hints when to come back. Pure functions.

Knows nothing of outcomes, connections or retries. Guarantees: any bytes give an `ErrorInfo`; a text made by `shown` is
one line of at most 200 characters and holds none of the endpoint's secrets; a hint is a finite number of seconds >= 0.

Source: RFC 9110 section 10.2.3 (Retry-After); OpenAI API guide "Rate limits" (x-ratelimit-*); the bodies that OpenAI,
Azure, Anthropic, Google, OpenRouter, DeepSeek, vLLM, llama.cpp and FastAPI send.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from fastinstruct.lm.endpoints import Endpoint
from fastinstruct.lm.outcomes.inner_errors import foreign_words
from fastinstruct.lm.outcomes.masking import masked, secrets_of
from fastinstruct.lm.transports.codec import parse_json

__all__ = ["ErrorInfo", "duration_s", "error_info", "in_words", "parse_error", "plain_number", "retry_after_s", "shown"]

_MAX_SHOWN: Final = 200
_MAX_READ: Final = 2000  # of a message: what comes later is an echo of the request or a stack trace
_MAX_DEPTH: Final = 16  # of the place in a request that is wrong
_MAX_DATE_HINT_S: Final = 120.0  # a wrong clock must not stop a run for a day

_TITLE: Final = re.compile(r"<title[^<>]*+>", re.IGNORECASE)
_TITLE_END: Final = re.compile(r"</title>", re.IGNORECASE)
_KEYS: Final = re.compile(
    r"\b(?:Bearer\s+\S+|(?:sk|pk|rk|gsk|xai|hf|nvapi|fw|pplx|AIza)[-_*]?[A-Za-z0-9_*.\-]{7,}[A-Za-z0-9_*\-])"
)
_NUMBER: Final = re.compile(r"\d{1,15}(?:\.\d{1,15})?")
_DURATION: Final = re.compile(r"(?:\d{1,9}(?:\.\d{1,15})?(?:ms|d|h|m|s)){1,5}")
_DURATION_PART: Final = re.compile(r"(\d{1,9}(?:\.\d{1,15})?)(ms|d|h|m|s)")
_UNIT_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_HINT_IN_WORDS: Final = re.compile(
    r"(?:try again|retry)(?:ing)? (?:in|after) ([\d.hms]{1,24})\s?(millisecond|second|minute|hour)?", re.IGNORECASE
)
_SPELLED: Final = {"millisecond": "ms", "second": "s", "minute": "m", "hour": "h"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorInfo:
    """What an error body says: its codes and types in lower case, and its message, keys not masked yet."""

    tags: frozenset[str] = frozenset()
    parameter: str | None = None
    message: str = ""
    is_html: bool = False


def parse_error(body: bytes) -> ErrorInfo:
    """What an error reply's body says, whatever its shape."""
    try:
        payload = parse_json(body)
    except ValueError:
        return _text_info(body[:65536].decode("utf-8", "replace"))
    return error_info(payload)


def _text_info(text: str) -> ErrorInfo:
    text = text.strip()
    if not text.startswith("<"):
        return ErrorInfo(message=text[:_MAX_READ])
    title = _title(text)
    words = f"an HTML page titled {title!r}" if title is not None else "an HTML page"
    return ErrorInfo(message=words, is_html=True)


def _title(page: str) -> str | None:
    """What stands in an HTML page's first title; one search for both ends would go to the page's end time and again."""
    begin = _TITLE.search(page)
    end = _TITLE_END.search(page, begin.end()) if begin is not None else None
    return None if begin is None or end is None else page[begin.end() : end.start()].strip()[:_MAX_READ]


def error_info(payload: object) -> ErrorInfo:
    """What a parsed error body says: `{"error": {...}}`, `{"error": "..."}`, a flat object, a list, or FastAPI's."""
    if isinstance(payload, list) and payload:
        payload = payload[0]
    if not isinstance(payload, dict):
        return ErrorInfo(message=in_words(payload, _MAX_READ))
    error = payload.get("error") or payload
    if not isinstance(error, dict):
        return ErrorInfo(message=in_words(error, _MAX_READ), tags=_tags(payload.get("code"), payload.get("type")))
    if "message" not in error and "detail" in error:
        return _detail_info(error["detail"])
    inner = error.get("innererror")
    inner_code = inner.get("code") if isinstance(inner, dict) else None
    parameter = error.get("param")
    return ErrorInfo(
        tags=_tags(error.get("code"), error.get("type"), error.get("status"), inner_code),
        parameter=parameter if isinstance(parameter, str) else None,
        message=(_message(error) or foreign_words(payload))[:_MAX_READ],
    )


def _detail_info(detail: object) -> ErrorInfo:
    """FastAPI: a string, or a list of what is wrong where; `input`, which echoes the request, is left out."""
    first = detail[0] if isinstance(detail, list) and detail else detail
    if not isinstance(first, dict):
        return ErrorInfo(message=in_words(first, _MAX_READ))
    location = first.get("loc")
    path = [in_words(step, _MAX_READ) for step in location[:_MAX_DEPTH]] if isinstance(location, list) else []
    place = ".".join(path[1:] if path[:1] == ["body"] else path) or None
    return ErrorInfo(
        tags=_tags(first.get("type")),
        parameter=path[-1] if path else None,
        message=f"{place}: {in_words(first.get('msg', ''), _MAX_READ)}"[:_MAX_READ],
    )


def _message(error: Mapping[str, object]) -> str:
    message = error.get("message")
    if isinstance(message, Mapping) and "detail" in message:  # Mistral wraps FastAPI's list
        return _detail_info(message["detail"]).message
    text = "" if message is None else in_words(message, _MAX_READ)
    metadata = error.get("metadata")  # OpenRouter: what the provider behind it said
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    return f"{text}: {raw[:_MAX_READ]}" if isinstance(raw, str) else text


def _tags(*values: object) -> frozenset[str]:
    return frozenset(value.lower() for value in values if isinstance(value, str) and value)


def shown(message: str, endpoint: Endpoint) -> str:
    """A server's words as they may be shown or stored: one line, keys masked, shortened."""
    line = " ".join(message[:_MAX_READ].split())
    line = masked(_KEYS.sub("***", line), *secrets_of(endpoint))
    return line if len(line) <= _MAX_SHOWN else line[: _MAX_SHOWN - 1] + "…"


def retry_after_s(headers: Mapping[str, str], message: str, now_s: float) -> float | None:
    """When to come back, in seconds from now; None where nothing says it. `headers` have lower-case names.

    In order: `retry-after-ms`, `retry-after` (seconds or a date), `x-ratelimit-reset*`, the message's words. A date is
    held against the reply's own `date` where it has one, else against `now_s` (Unix time), and cut to 120 s.
    """
    milliseconds = plain_number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    after = headers.get("retry-after", "").strip()
    for hint in (duration_s(after), _date_hint_s(after, headers.get("date", ""), now_s), _reset_s(headers, now_s)):
        if hint is not None:
            return hint
    return _hint_in_words_s(message)


def plain_number(text: str | None) -> float | None:
    """Return a header's decimal number >= 0; None for anything else."""
    return float(text) if text and _NUMBER.fullmatch(text.strip()) else None


def duration_s(text: str) -> float | None:
    """Return `7`, `1s`, `6m0s`, `20ms`, `2m59.56s` in seconds; None for anything else."""
    if _NUMBER.fullmatch(text):
        return float(text)
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNIT_S[unit] for number, unit in _DURATION_PART.findall(text))


def _date_hint_s(text: str, date: str, now_s: float) -> float | None:
    then_s = _unix_time(text)
    if then_s is None:
        return None
    own_s = _unix_time(date)
    return min(max(then_s - (now_s if own_s is None else own_s), 0.0), _MAX_DATE_HINT_S)


def _unix_time(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, OverflowError, OSError):
        return None


def _reset_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """When the exhausted budget refills; where none says that it is exhausted, the first to refill."""
    resets: dict[str, float] = {}
    for name, value in headers.items():
        prefix, _, budget = name.partition("x-ratelimit-reset")
        hint = None if prefix else _reset_hint_s(value.strip(), now_s)
        if hint is not None:
            resets[budget] = hint
    empty = [
        hint for budget, hint in resets.items() if headers.get(f"x-ratelimit-remaining{budget}", "").strip() == "0"
    ]
    return max(empty) if empty else min(resets.values(), default=None)


def _reset_hint_s(text: str, now_s: float) -> float | None:
    hint = duration_s(text)
    if hint is None or hint < 1e9:
        return hint
    then_s = hint / 1000 if hint > 1e11 else hint  # a Unix time, in seconds or (OpenRouter) milliseconds
    return min(max(then_s - now_s, 0.0), _MAX_DATE_HINT_S)


def _hint_in_words_s(message: str) -> float | None:
    found = _HINT_IN_WORDS.search(message)
    if found is None:
        return None
    return duration_s(found[1].rstrip(".") + _SPELLED.get((found[2] or "").lower(), ""))


# Python's own `str` walks all of a value, and raises RecursionError where it is nested as deep as a parser allows.
_MAX_DEPTH_SHOWN: Final = 8


def in_words(value: object, most: int) -> str:
    """The value in at most `most` characters; what is nested deeper than eight levels is left out."""
    if isinstance(value, str):
        return value[:most]
    words, room = [], most
    for piece in _pieces(value, most, _MAX_DEPTH_SHOWN):
        words.append(piece)
        room -= len(piece)
        if room <= 0:
            break
    return "".join(words)[:most]


def _pieces(value: object, most: int, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield repr(value[:most])
    elif not isinstance(value, list | Mapping):
        yield str(value)[:most]
    elif value and not depth:
        yield "[…]" if isinstance(value, list) else "{…}"
    elif isinstance(value, list):
        yield "["
        for number, entry in enumerate(value):
            yield ", " if number else ""
            yield from _pieces(entry, most, depth - 1)
        yield "]"
    else:
        yield "{"
        for number, (name, entry) in enumerate(value.items()):
            yield f"{', ' if number else ''}{str(name)[:most]!r}: "
            yield from _pieces(entry, most, depth - 1)
        yield "}"
