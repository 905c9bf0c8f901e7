"""One reply or one exception in, one `Outcome` out: the failure matrix as tables and pure functions.

Knows nothing of connections, retries or stages; clocks are passed in. Guarantees: every status, body and exception
gives an outcome; messages are one line with at most 200 characters of the server's words, keys masked; partial text is
never `Ok`.
"""

from __future__ import annotations

import errno
import json
import re
import ssl
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp

from fastinstruct.lm.endpoints import Endpoint, Request
from fastinstruct.lm.outcomes.error_body import ErrorInfo, error_info, parse_error, retry_after_s, shown
from fastinstruct.lm.outcomes.inner_errors import inner_status
from fastinstruct.lm.outcomes.masking import without_echo
from fastinstruct.lm.outcomes.outcomes import (
    BadRequest,
    BadRequestKind,
    Deadline,
    Fatal,
    FatalKind,
    Ok,
    Outcome,
    Overloaded,
    RateLimited,
    Transient,
    Truncated,
)
from fastinstruct.lm.outcomes.rules import (
    FAILED_GENERATION,
    REPLY_FORMAT,
    SYSTEM_ROLE,
    UNSUPPORTED,
    unsupported_parameter,
    verdict,
)
from fastinstruct.lm.transports.codec import has_too_many_values, parse_json
from fastinstruct.lm.transports.decoding import ReplyProblem, decode_reply
from fastinstruct.records import FinishReason, ReplyForm

__all__ = ["classify_exception", "classify_reply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    """A refusal and what is needed to judge it."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    info: ErrorInfo
    endpoint: Endpoint
    request: Request | None
    now_s: float

    @property
    def asks_for_json(self) -> bool:
        return self.request is not None and self.request.reply_format is not None

    @property
    def has_system_message(self) -> bool:
        prompt = self.request.prompt if self.request is not None else ""
        return not isinstance(prompt, str) and any(message.role == "system" for message in prompt)

    @property
    def words(self) -> str:
        return shown(self.info.message, self.endpoint) or "no message"

    @property
    def origin(self) -> str:
        return f"{self.status} from {self.endpoint.address}"

    @property
    def hint_s(self) -> float | None:
        return retry_after_s(self.headers, self.info.message, self.now_s)


_BUSY: Final = re.compile(r"concurren|overloaded|at capacity|capacity exceeded|queue", re.IGNORECASE)


def classify_reply(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    endpoint: Endpoint,
    *,
    now_s: float,
    request: Request | None = None,
    limits: Collection[int] = (),
) -> Outcome:
    """What a whole reply came to.

    Args:
        status: of the reply.
        headers: of the reply.
        body: of the reply.
        endpoint: that was asked.
        now_s: Unix time, for hints that are dates.
        request: what was asked for, where it was a completion.
        limits: the lengths that its reply was to end at, in tokens, as they were sent.
    """
    if status == 200:
        return _success(headers, body, endpoint, request, limits, now_s)
    return _refusal(_reply(status, headers, parse_error(body), endpoint, request, now_s))


def _reply(
    status: int, headers: Mapping[str, str], info: ErrorInfo, endpoint: Endpoint, request: Request | None, now_s: float
) -> _Reply:
    lowered = {name.lower(): value for name, value in headers.items()}
    return _Reply(status=status, headers=lowered, info=info, endpoint=endpoint, request=request, now_s=now_s)


def _success(
    headers: Mapping[str, str],
    body: bytes,
    endpoint: Endpoint,
    request: Request | None,
    limits: Collection[int],
    now_s: float,
) -> Outcome:
    try:
        payload = parse_json(body)
    except ValueError as fault:
        return _unparsable(body, endpoint, fault)
    if isinstance(payload, dict) and (error := _error_inside(payload)) is not None:
        info = error_info(error)
        return _refusal(_reply(inner_status(error, info.message), headers, info, endpoint, request, now_s))
    asked = request.reply_format if request is not None else None
    completion = decode_reply(endpoint.api, payload, default_model=endpoint.model, reply_format=asked, limits=limits)
    if isinstance(completion, ReplyProblem):
        return _unusable(completion, payload, endpoint)
    if completion.finish_reason is FinishReason.CONTENT_FILTER:
        told = "a content filter cut the reply short (finish_reason)"
        return BadRequest("content_filter", None, told, completion.usage)
    return Ok(without_echo(completion, endpoint))


def _unparsable(body: bytes, endpoint: Endpoint, fault: ValueError) -> Outcome:
    if has_too_many_values(body):
        return Transient("too_large", f"a body of {len(body):,} bytes with more values than a reply has")
    text = body.lstrip()
    if not text:
        return Transient("malformed", "200 with an empty body")
    if text.startswith(b"{"):
        if not isinstance(fault, json.JSONDecodeError):  # nested too deeply, or a number of thousands of digits
            return Transient("malformed", "200 with JSON that is nested too deeply, or has too long a number")
        if fault.msg == "Extra data":
            return Transient("malformed", "200 with something behind its JSON")
        return Truncated("the body ends inside its JSON")
    if text.startswith((b"data:", b"event:")):
        return Transient("malformed", "200 with an event stream, which was not asked for")
    return Transient("malformed", f"200 with no JSON: {shown(parse_error(body).message, endpoint)}")


def _unusable(problem: ReplyProblem, payload: object, endpoint: Endpoint) -> Outcome:
    match problem.kind:
        case "empty":  # another attempt would be paid for and end the same way
            advice = f"{problem.detail}; raise the stage's max_tokens, or turn thinking off in extra_body"
            return BadRequest("empty_reply", None, advice, problem.usage)
        case "no_choices" if isinstance(payload, dict) and payload.keys() - {"choices"}:
            return Transient(problem.kind, f"{problem.detail}, but {shown(_names(payload), endpoint)}")
        case kind:
            return Transient(kind, problem.detail)


def _names(payload: dict[str, object]) -> str:
    """What a reply without choices holds instead, by name only; a status is worth telling."""
    status = payload.get("status")
    names = [name for name in payload if name not in ("choices", "status")]
    return ", ".join([*names, f"status {status}"] if isinstance(status, str) else names)


def _error_inside(payload: dict[str, object]) -> object | None:
    """The object that holds an error in a 200 reply: the whole, or the first choice (OpenRouter).

    A reply without choices that has something to say says what went wrong.
    """
    if payload.get("error") or payload.get("object") == "error":
        return payload
    choices = payload.get("choices")
    if not isinstance(choices, list) or not choices:
        return payload if error_info(payload).message else None
    return choices[0] if isinstance(choices[0], dict) and choices[0].get("error") else None


def _refusal(reply: _Reply) -> Outcome:
    asked = {"asks_for_json": reply.asks_for_json, "has_system_message": reply.has_system_message}
    return _VERDICTS[verdict(reply.status, reply.info, **asked)](reply)


def _bad_request(kind: BadRequestKind) -> Callable[[_Reply], Outcome]:
    def make(reply: _Reply) -> Outcome:
        parameter = reply.info.parameter and shown(reply.info.parameter, reply.endpoint)
        return BadRequest(kind, parameter, f"{reply.status}: {reply.words}")

    return make


def _fatal(kind: FatalKind, advice: str) -> Callable[[_Reply], Outcome]:
    def make(reply: _Reply) -> Outcome:
        told = advice.format(model=reply.endpoint.model, key=reply.endpoint.api_key_env)
        return Fatal(kind, f"{reply.origin}: {told} (server: {reply.words})", reply.status)

    return make


def _unsupported(reply: _Reply) -> Outcome:
    return BadRequest("unsupported_parameter", unsupported_parameter(reply.status, reply.info), reply.words)


def _reply_format(reply: _Reply) -> Outcome:
    asked = reply.request.reply_format if reply.request is not None else None
    form = asked.form if asked is not None else ReplyForm.JSON_SCHEMA
    told = f"it does not write replies as {form}, which they are asked for in; set model.replies to text in a new run"
    return Fatal("reply_format", f"{reply.origin}: {told} (server: {reply.words})", reply.status)


def _auth(reply: _Reply) -> Outcome:
    if reply.info.is_html:
        return _fatal("protocol", "a proxy or firewall answered, not the model's server; check base_url")(reply)
    if reply.endpoint.api_key is None:
        return _fatal("auth", "it asks for a key and none is set; set {key}, or the endpoint's api_key_env")(reply)
    return _fatal("auth", "the key in {key} was refused; set {key} to a key that may use {model}")(reply)


def _quota(reply: _Reply) -> Outcome:
    """Google words its rate limits as a spent quota, with a hint of seconds: that is a rate limit."""
    hint_s = reply.hint_s
    if reply.status == 429 and "insufficient_quota" not in reply.info.tags and hint_s is not None and hint_s <= 120:
        return RateLimited(hint_s, reply.words)
    told = "the account's quota or credit is used up; add credit or wait until it is renewed, then resume the run"
    return _fatal("quota", told)(reply)


def _rate(reply: _Reply) -> Outcome:
    busy = _BUSY.search(reply.info.message) is not None or "engine_overloaded" in reply.info.tags
    return Overloaded(reply.hint_s, reply.words) if busy else RateLimited(reply.hint_s, reply.words)


def _redirect(reply: _Reply) -> Outcome:
    target = shown(reply.headers.get("location", "").partition("?")[0], reply.endpoint) or "nowhere"
    told = f"it redirects to {target}, which is not followed; put the final address into base_url"
    return Fatal("protocol", f"{reply.origin}: {told}", reply.status)


_VERDICTS: Final[Mapping[str, Callable[[_Reply], Outcome]]] = {
    "auth": _auth,
    "content_filter": _bad_request("content_filter"),
    FAILED_GENERATION: lambda reply: Transient("malformed", f"{reply.status}: {reply.words}"),
    "context_overflow": _bad_request("context_overflow"),
    "model": _fatal("model", "it does not serve the model {model}; set model to one it lists"),
    "no_route": _fatal("protocol", "no such route; a base URL usually ends in /v1"),
    "not_ok": lambda reply: Transient("malformed", f"{reply.status} in place of 200"),
    "other": _bad_request("other"),
    "overloaded": lambda reply: Overloaded(reply.hint_s, reply.words),
    "proxy_auth": _fatal("protocol", "the proxy asks for a password; check HTTPS_PROXY"),
    "quota": _quota,
    "rate": _rate,
    "redirect": _redirect,
    REPLY_FORMAT: _reply_format,
    UNSUPPORTED: _unsupported,
    SYSTEM_ROLE: lambda reply: BadRequest("unsupported_parameter", "system", reply.words),
    "server": lambda reply: Transient("server", f"{reply.status}: {reply.words}"),
    "wrong_route": _fatal("protocol", "{model} is not served on this route; set api to the other of chat, completions"),
}

_ERRNO_KINDS: Final[Mapping[int, str]] = {
    errno.EMFILE: "fd_limit",
    errno.ENFILE: "fd_limit",
    errno.EADDRNOTAVAIL: "ports",
}
# The first that fits; subclasses stand before their bases.
_EXCEPTION_KINDS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (aiohttp.ConnectionTimeoutError, "connect_timeout"),
    (aiohttp.ServerTimeoutError, "idle"),
    (aiohttp.ClientConnectorDNSError, "dns"),
    (aiohttp.ClientProxyConnectionError, "proxy"),
    (aiohttp.ClientHttpProxyError, "proxy"),
    (aiohttp.ClientSSLError, "tls"),
    (aiohttp.ServerFingerprintMismatch, "tls"),
    (ssl.SSLError, "tls"),
    (aiohttp.ClientConnectorError, "connect"),
    (aiohttp.ClientResponseError, "malformed"),
    (aiohttp.ClientConnectionError, "disconnected"),
    (OSError, "disconnected"),
)


def classify_exception(error: BaseException, endpoint: Endpoint, *, reply_begun: bool = False) -> Outcome:
    """What an exception of the HTTP client came to; `reply_begun` says that the reply's headers had arrived.

    A bare `TimeoutError` is the total deadline: the transport reports its other time-outs itself.
    """
    if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError):
        return Deadline()
    if isinstance(error, aiohttp.InvalidURL):
        return Fatal("protocol", f"{endpoint.address}: the HTTP client refuses this address; check base_url")
    kind = next((kind for type_, kind in _EXCEPTION_KINDS if isinstance(error, type_)), "client")
    detail = shown(f"{type(error).__name__}: {_cause(error)}", endpoint)
    if isinstance(error, OSError) and error.errno is not None:
        kind = _ERRNO_KINDS.get(error.errno, kind)
    if isinstance(error, aiohttp.ClientPayloadError) or (reply_begun and kind == "disconnected"):
        return Truncated(detail)
    return Transient(kind, detail)


def _cause(error: BaseException) -> str:
    """The exception's words without the request's: a `ClientResponseError` prints its URL, query included."""
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{error.status} {error.message}"
    return str(error)
