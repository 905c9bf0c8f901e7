"""What can go wrong with an answer, and what is sent in its place. Pure: answers and bodies, no connection.

Knows nothing of chance and time: `troubles` says when a fault strikes, `misbehaving` how a connection suffers it.

Source: the bodies that OpenAI, Azure, Anthropic, OpenRouter, Groq, FastAPI and nginx send.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

import orjson

from fastinstruct.scripted_server.messages import Answer, error_answer

__all__ = ["AT_ONCE", "NEEDS_REPLY", "Fault", "bent_body", "fault_answer"]


class Fault(StrEnum):
    """What can go wrong with an answer. The first group is answered at the door: it takes neither latency nor slot."""

    BAD_REQUEST = "400"
    PROMPT_FILTERED = "400-filter"  # by a content filter
    UNAUTHORIZED = "401"
    NO_CREDIT = "402"
    FORBIDDEN = "403"
    NO_MODEL = "404"
    INVALID = "422"
    RATE_LIMITED = "429"  # tells when to come back, as `Script.retry_hint` has it
    TOO_MANY_AT_ONCE = "429-busy"
    QUOTA = "429-quota"  # insufficient_quota: waiting does not help
    NO_CAPACITY = "498"
    UNAVAILABLE = "503"
    OVERLOADED = "529"
    REDIRECT = "307"
    STALE = "stale"  # closed without a byte, on a connection that was used before; none on a new one

    SERVER_ERROR = "500"
    BAD_GATEWAY = "502"  # an HTML page, as of a proxy
    GATEWAY_TIMEOUT = "504"  # the same
    ERROR_BODY = "200-error"  # an error with status 200
    ERROR_CHOICE = "200-error-choice"  # the same within the first choice
    EMPTY = "empty"  # status 200 without a body
    MALFORMED = "malformed"  # an HTML page with status 200
    CUT_JSON = "cut-json"  # a whole answer whose JSON breaks off
    NO_CHOICES = "no-choices"
    NULL_CONTENT = "null-content"  # reasoning alone
    FILTERED = "filtered"  # finish_reason content_filter, half a text
    PROSE = "prose"  # a sound reply that holds nothing of what was asked for

    HANG = "hang"  # nothing while the connection lives
    CLOSED = "closed"  # closed without a byte
    RESET = "reset"  # reset without a byte
    TRUNCATED = "truncated"  # closed within the announced body
    RESET_INSIDE = "reset-inside"  # reset within the announced body
    STALL = "stall"  # half a body, then nothing
    DRIP = "drip"  # a head, then a blank line again and again
    DRIP_REPLY = "drip-reply"  # some blank lines, then the reply


AT_ONCE: Final = frozenset(list(Fault)[: list(Fault).index(Fault.SERVER_ERROR)])
"""Faults that the door answers: they take neither latency nor slot."""

_REPLACED: Final = "Certainly, here is what I was thinking about this, with all the details that seem to matter."
_PROVIDER_ERROR: Final = {
    "code": 502,
    "message": "Provider returned error",
    "metadata": {"provider_name": "scripted", "raw": "upstream connect error"},
}


def _page(status: int, title: str) -> Answer:
    html = f"<html>\r\n<head><title>{title}</title></head>\r\n<body><center><h1>{title}</h1></center></body>\r\n</html>"
    return Answer(status, html.encode(), content_type="text/html")


def _json(status: int, body: object) -> Answer:
    return Answer(status, orjson.dumps(body))


_ANSWERS: Final[Mapping[Fault, Answer]] = {
    Fault.BAD_REQUEST: error_answer(400, None, "the request is invalid"),
    Fault.PROMPT_FILTERED: error_answer(
        400, "content_filter", "the prompt was refused by the content management policy"
    ),
    Fault.UNAUTHORIZED: error_answer(401, "invalid_api_key", "incorrect API key provided"),
    Fault.NO_CREDIT: _json(402, {"error": {"code": 402, "message": "Insufficient credits. Add more to go on."}}),
    Fault.FORBIDDEN: error_answer(403, "permission_denied", "this key may not do that"),
    Fault.NO_MODEL: error_answer(404, "model_not_found", "the model does not exist, or this key may not use it"),
    Fault.INVALID: _json(422, {"detail": [{"type": "missing", "loc": ["body", "input"], "msg": "Field required"}]}),
    Fault.TOO_MANY_AT_ONCE: error_answer(429, "too_many_requests", "too many concurrent requests"),
    Fault.QUOTA: error_answer(429, "insufficient_quota", "You exceeded your current quota, check your plan."),
    Fault.NO_CAPACITY: error_answer(498, "capacity_exceeded", "flex tier capacity exceeded"),
    Fault.UNAVAILABLE: error_answer(503, "overloaded", "the engine is overloaded, please try again later"),
    Fault.OVERLOADED: _json(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
    Fault.REDIRECT: Answer(307, b"", headers="Location: /moved/v1\r\n"),
    Fault.SERVER_ERROR: error_answer(500, "server_error", "the scripted server fails on purpose"),
    Fault.BAD_GATEWAY: _page(502, "502 Bad Gateway"),
    Fault.GATEWAY_TIMEOUT: _page(504, "504 Gateway Time-out"),
    Fault.ERROR_BODY: _json(200, {"error": _PROVIDER_ERROR}),
    Fault.EMPTY: Answer(200, b""),
    Fault.MALFORMED: _page(200, "Sign in to the network"),
}


def fault_answer(fault: Fault) -> Answer | None:
    """The answer that a fault consists of; None where it depends on the request, or is none."""
    return _ANSWERS.get(fault)


def bent_body(fault: Fault, body: dict[str, Any]) -> bytes:
    """A reply's body as this fault leaves it; for others than those of bodies, as it is."""
    if fault in _BENT:
        _BENT[fault](body)
    written = orjson.dumps(body)
    return written[: len(written) // 2] if fault is Fault.CUT_JSON else written


def _without_choices(body: dict[str, Any]) -> None:
    body["choices"] = []


def _with_reasoning_alone(body: dict[str, Any]) -> None:
    choice = body["choices"][0]
    if "message" in choice:
        choice["message"] |= {"content": None, "reasoning_content": choice["message"]["content"]}
    else:
        choice |= {"text": None, "reasoning_content": choice["text"]}


def _filtered(body: dict[str, Any]) -> None:
    _rewrite(body, lambda text: text[: len(text) // 2])
    body["choices"][0]["finish_reason"] = "content_filter"


def _as_prose(body: dict[str, Any]) -> None:
    _rewrite(body, lambda _: _REPLACED)


def _with_error_in_choice(body: dict[str, Any]) -> None:
    _rewrite(body, lambda text: text[: len(text) // 2])
    body["choices"][0] |= {"finish_reason": "error", "error": _PROVIDER_ERROR}


def _rewrite(body: dict[str, Any], change: Callable[[str], str]) -> None:
    choice = body["choices"][0]
    if "message" in choice:
        choice["message"]["content"] = change(choice["message"]["content"])
    else:
        choice["text"] = change(choice["text"])


_BENT: Final[Mapping[Fault, Callable[[dict[str, Any]], None]]] = {
    Fault.NO_CHOICES: _without_choices,
    Fault.NULL_CONTENT: _with_reasoning_alone,
    Fault.FILTERED: _filtered,
    Fault.PROSE: _as_prose,
    Fault.ERROR_CHOICE: _with_error_in_choice,
}

NEEDS_REPLY: Final = frozenset(
    {*_BENT, Fault.CUT_JSON, Fault.TRUNCATED, Fault.RESET_INSIDE, Fault.STALL, Fault.DRIP_REPLY}
)
"""Faults that spoil a reply: what the model would have said is needed for them."""
