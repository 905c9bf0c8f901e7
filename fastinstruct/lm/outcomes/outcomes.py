"""What became of one request: a closed union of frozen values, so that a `match` over it can be exhaustive.

Knows nothing of HTTP, retries or stages. Guarantees: partial text is never `Ok`; no outcome's repr or message holds a
key or a reply. Each class's `name` is stored in the run's database: add to them, never rename.

    Ok                  a whole reply
    RateLimited         429: wait; it is not an attempt
    Overloaded          503, 529, 498, too many at once: wait; it is not an attempt
    Transient           connection failure, 5xx, unusable body: worth another attempt
    Truncated           the reply broke off: worth another attempt, never kept
    BadRequest          the server refuses this request as it is
    Fatal               the server refuses every request: key, credit, model or protocol
    Deadline            the total time-out passed
    Aborted             we cancelled it
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias

from fastinstruct.errors import (
    AuthenticationFailed,
    EndpointError,
    EndpointUnreachable,
    ModelUnknown,
    ProtocolMismatch,
    QuotaExhausted,
    ReplyFormRefused,
)
from fastinstruct.records import Completion, Usage

__all__ = [
    "Aborted",
    "BadRequest",
    "BadRequestKind",
    "Deadline",
    "Fatal",
    "FatalKind",
    "Ok",
    "Outcome",
    "Overloaded",
    "RateLimited",
    "Transient",
    "Truncated",
    "fatal_error",
    "unreachable_error",
]

BadRequestKind: TypeAlias = Literal[
    "context_overflow", "content_filter", "unsupported_parameter", "empty_reply", "other"
]
FatalKind: TypeAlias = Literal["auth", "quota", "model", "protocol", "reply_format"]


@dataclass(frozen=True, slots=True)
class Ok:
    """A whole reply."""

    name: ClassVar[str] = "ok"
    completion: Completion = field(repr=False)


@dataclass(frozen=True, slots=True)
class RateLimited:
    """Too many requests or tokens in a while; the server's hint in seconds, where it gave one, and its words."""

    name: ClassVar[str] = "rate_limited"
    retry_after_s: float | None = None
    words: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Overloaded:
    """The server has too much to do right now; its hint in seconds, where it gave one, and its words."""

    name: ClassVar[str] = "overloaded"
    retry_after_s: float | None = None
    words: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Transient:
    """It failed in a way that another attempt may mend.

    `kind` is one of connect, connect_timeout, dns, tls, proxy, fd_limit, ports, disconnected, idle, server, malformed,
    no_choices, interrupted, too_large, client.
    """

    name: ClassVar[str] = "transient"
    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class Truncated:
    """The connection broke, or the body ended, inside the reply."""

    name: ClassVar[str] = "truncated"
    detail: str


@dataclass(frozen=True, slots=True)
class BadRequest:
    """The server refuses this request; `parameter` is the wire name of what it refuses, where it says so.

    `content_filter` is also the outcome of a 200 whose finish_reason says that a filter cut the reply short, and
    `empty_reply` that of one which was cut off, or held but thoughts, before it said anything. `usage` is that of a
    reply which was written, and is paid for, but cannot be used; None where the request was refused. A `parameter` may
    be `system`, the role.
    """

    name: ClassVar[str] = "bad_request"
    kind: BadRequestKind
    parameter: str | None
    message: str
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Fatal:
    """The server refuses every request like this one; `message` says what to do. `status` is 0 without a reply.

    `reply_format` concerns the form that a reply was asked for in, and only requests that carried one.
    """

    name: ClassVar[str] = "fatal"
    kind: FatalKind
    message: str
    status: int = 0


@dataclass(frozen=True, slots=True)
class Deadline:
    """The endpoint's total time-out passed."""

    name: ClassVar[str] = "deadline"


@dataclass(frozen=True, slots=True)
class Aborted:
    """The runtime cancelled it; no transport returns this, whoever cancels records it."""

    name: ClassVar[str] = "aborted"


Outcome: TypeAlias = Ok | RateLimited | Overloaded | Transient | Truncated | BadRequest | Fatal | Deadline | Aborted

_FATAL_ERRORS: dict[FatalKind, type[EndpointError]] = {
    "auth": AuthenticationFailed,
    "quota": QuotaExhausted,
    "model": ModelUnknown,
    "protocol": ProtocolMismatch,
    "reply_format": ReplyFormRefused,
}


def fatal_error(outcome: Fatal) -> EndpointError:
    """The exception a run stops with; its text is the outcome's message, one line that says what to do."""
    return _FATAL_ERRORS[outcome.kind](outcome.message)


def unreachable_error(outcome: Outcome, where: str) -> EndpointUnreachable:
    """The exception for a server that gives no usable answer; `where` is the endpoint's address."""
    match outcome:
        case Transient(kind="dns", detail=detail):
            advice = f"its host name cannot be resolved ({detail}); check base_url"
        case Transient(kind="tls", detail=detail):
            advice = f"the TLS handshake failed ({detail}); check http or https in base_url, and its certificate"
        case Transient(kind="connect" | "connect_timeout" | "proxy", detail=detail):
            advice = f"no connection ({detail}); check that the server runs and base_url"
        case Transient(detail=detail) | Truncated(detail=detail):
            advice = f"no usable answer ({detail}); try again later"
        case _:
            advice = f"no usable answer ({outcome.name}); try again later"
    return EndpointUnreachable(f"{where}: {advice}")
