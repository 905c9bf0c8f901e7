"""One completion: endpoints, requests, outcomes, and the transport that turns a request into an outcome.

The only importer of HTTP; knows nothing of stages, stores or prompts. Importing it is light: aiohttp (0.2 s) is loaded
when `HttpTransport` or `has_c_parser` is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastinstruct.lm.endpoints import Endpoint, Request
from fastinstruct.lm.limits.retry_policy import GiveUp, Retry, RetryPolicy
from fastinstruct.lm.outcomes.outcomes import (
    Aborted,
    BadRequest,
    Deadline,
    Fatal,
    Ok,
    Outcome,
    Overloaded,
    RateLimited,
    Transient,
    Truncated,
    fatal_error,
    unreachable_error,
)

if TYPE_CHECKING:
    from fastinstruct.lm.transports.http import HttpTransport, has_c_parser

__all__ = [
    "Aborted",
    "BadRequest",
    "Deadline",
    "Endpoint",
    "Fatal",
    "GiveUp",
    "HttpTransport",
    "Ok",
    "Outcome",
    "Overloaded",
    "RateLimited",
    "Request",
    "Retry",
    "RetryPolicy",
    "Transient",
    "Truncated",
    "fatal_error",
    "has_c_parser",
    "unreachable_error",
]

_LAZY = frozenset({"HttpTransport", "has_c_parser"})


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fastinstruct.lm.transports import http

    return getattr(http, name)
