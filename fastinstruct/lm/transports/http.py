"""The way to a model's server: `HttpTransport` sends a request and says what became of it.

Knows nothing of retries, slots, stages or stores, and sets no limit on how many requests are in flight: the scheduler
does. Guarantees: `send` raises nothing but `CancelledError`; a cancelled or overdue request's socket is closed; no key
reaches a log, a repr or a message; a request is sent twice only where the first cannot have been answered (a reused
connection that turned out dead before any byte came back, or a parameter refused).

The environment's proxy is resolved once: aiohttp's `trust_env` asks a thread for it, and for ~/.netrc, per request.
"""

from __future__ import annotations

import asyncio
import socket
import time
import urllib.request
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final, NamedTuple, Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp import http_parser
from multidict import CIMultiDict
from yarl import URL

from fastinstruct.errors import FastInstructError
from fastinstruct.escaping import package_logger
from fastinstruct.lm.endpoints import Endpoint, Request
from fastinstruct.lm.outcomes.classify import classify_exception, classify_reply
from fastinstruct.lm.outcomes.masking import masked_name
from fastinstruct.lm.outcomes.outcomes import BadRequest, Deadline, Fatal, Outcome, Transient
from fastinstruct.lm.process import SMALL, read_in_thread_if_large
from fastinstruct.lm.transports.base import Transport
from fastinstruct.lm.transports.codec import DROPPABLE_PARAMETERS, ROUTES, encode_body, length_limits, parse_json
from fastinstruct.lm.transports.deadlines import Deadlines

__all__ = ["Exchange", "HttpTransport", "Reply", "has_c_parser", "route_address"]

_LOGGER: Final = package_logger("fastinstruct.lm")

_MAX_BODY_BYTES: Final = 16 * 2**20
# What a reply may take on top of its tokens, for each of these (escaped text of 32 characters), and for each of its
# log-probabilities.
_MAX_FRAME_BYTES: Final = 2**20
_MAX_TOKEN_BYTES: Final = 400
_MAX_LOGPROB_BYTES: Final = 300
_KEEPALIVE_LOCAL_S: Final = 4.0  # uvicorn and vLLM close idle connections after 5
_KEEPALIVE_S: Final = 15.0
_DNS_TTL_S: Final = 60
_PROBE_TIMEOUT_S: Final = 30.0
_METRICS_TIMEOUT_S: Final = 5.0
_MAX_METRICS_BYTES: Final = 4 * 2**20
_MAX_LISTED: Final = 1000
# What is told of a refused parameter that something else takes the place of.
_REPLACED: Final = {
    "max_tokens": ("the parameter max_tokens", "max_completion_tokens is sent instead"),
    "system": ("messages of the role system", "what they say is put before the user's message instead"),
}
_VERSIONS: Final = frozenset({"v1", "v2", "v3", "openai"})
_NO_MODEL_LIST: Final = frozenset({404, 405, 501})
# NATs forget silent connections after 120 to 350 s, and a long reply is silent until it is written.
_TCP_KEEPALIVE_S: Final = (("TCP_KEEPIDLE", 60), ("TCP_KEEPALIVE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))

_DEAD_CONNECTION: Final = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionResetError)


class Exchange:
    """One sending of one request: on a connection of its own or not, whether a reply has begun, its most bytes."""

    __slots__ = ("most_bytes", "opened_connection", "reply_begun")

    def __init__(self, most_bytes: int = _MAX_BODY_BYTES) -> None:
        self.most_bytes = most_bytes
        self.opened_connection = False
        self.reply_begun = False


_current_exchange: ContextVar[Exchange] = ContextVar("_current_exchange")


class Reply(NamedTuple):
    """A whole reply as it came."""

    status: int
    headers: Mapping[str, str]  # names compare without case
    body: bytes


def has_c_parser() -> bool:
    """Whether aiohttp's compiled HTTP parser is loaded; the pure-Python one costs 2.6 times as much CPU."""
    return http_parser.HttpResponseParser is not http_parser.HttpResponseParserPy


class HttpTransport(Transport):
    """Sends requests to one endpoint over one connection pool: `async with HttpTransport(endpoint) as transport`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._url = route_address(endpoint, ROUTES[endpoint.api])
        self._dropped: frozenset[str] = frozenset()
        self._deadlines = Deadlines(endpoint.total_timeout_s)
        self._session: aiohttp.ClientSession | None = None
        self._fresh_session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.endpoint.describe()!r})"

    @property
    def dropped_parameters(self) -> frozenset[str]:
        """Wire names of the parameters that the server refused, and that are no longer sent."""
        return self._dropped

    async def __aenter__(self) -> Self:
        keepalive_s = _KEEPALIVE_LOCAL_S if self.endpoint.is_local else _KEEPALIVE_S
        self._session = _session(self.endpoint, self._headers(), _connector(keepalive_s))
        # Resends must not meet a second dead connection in the pool, so they have a pool that keeps none.
        self._fresh_session = _session(self.endpoint, self._headers(), _connector(None))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._deadlines.close()
        for session in (self._session, self._fresh_session):
            if session is not None:
                await session.close()
        self._session = self._fresh_session = None

    async def send(self, request: Request) -> Outcome:
        """What became of one request, within the endpoint's total time-out (resends included)."""
        try:
            with self._deadlines.begin():
                return await self._send_accepted(request)
        except TimeoutError:
            return Deadline()
        except FastInstructError as error:  # a request that cannot be encoded
            return BadRequest("other", None, str(error))

    async def probe(self) -> list[str] | Outcome:
        """The ids that the server lists at `/models`; empty where it has no such route, else what is wrong with it."""
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                reply = await self._exchange(route_address(self.endpoint, "models"), None, Exchange())
        except TimeoutError:
            return Deadline()
        except Exception as error:  # noqa: BLE001 - a transport reports, it does not raise
            return classify_exception(error, self.endpoint)
        if not isinstance(reply, Reply):
            return reply
        if reply.status in _NO_MODEL_LIST:
            return []
        if reply.status == 200:
            return await read_in_thread_if_large(len(reply.body), _model_ids, reply.body, self.endpoint)
        # A key that may only complete (OpenAI's restricted keys) is refused here, and works.
        return [] if reply.status == 403 and b"scope" in reply.body else await self._classify(reply)

    async def metrics(self) -> str | None:
        """What the server reports at `/metrics`, next to the API; None where it does not."""
        try:
            async with asyncio.timeout(_METRICS_TIMEOUT_S):
                reply = await self._exchange(_metrics_address(self.endpoint), None, Exchange())
        except Exception:  # noqa: BLE001 - whoever has no metrics goes without, whatever the reason
            return None
        if not isinstance(reply, Reply) or reply.status != 200:
            return None
        return reply.body[:_MAX_METRICS_BYTES].decode("utf-8", "replace")

    async def _send_accepted(self, request: Request) -> Outcome:
        """Sends, and sends again without it for each parameter that the server refuses."""
        dropped = self._dropped
        body = encode_body(self.endpoint, request, dropped)
        while True:
            outcome = await self._send_body(body, request, length_limits(self.endpoint, request, dropped))
            if not isinstance(outcome, BadRequest) or outcome.kind != "unsupported_parameter":
                return outcome
            self._drop(outcome.parameter, request)
            dropped, previous = self._dropped, body
            body = encode_body(self.endpoint, request, dropped)
            if body == previous:  # what is refused was not ours to drop, extra_body's for example
                return outcome

    def _drop(self, parameter: str | None, request: Request) -> None:
        """Leave `parameter` out for good, with one notice, if that changes anything."""
        if parameter is None or parameter not in DROPPABLE_PARAMETERS or parameter in self._dropped:
            return  # perhaps dropped meanwhile, because of another request
        known = encode_body(self.endpoint, request, self._dropped)
        if encode_body(self.endpoint, request, self._dropped | {parameter}) != known:
            self._dropped |= {parameter}
            self._notify_dropped(parameter)

    def _notify_dropped(self, parameter: str) -> None:
        what, instead = _REPLACED.get(parameter, (f"the parameter {parameter}", "it is no longer sent"))
        _LOGGER.warning("%s refuses %s: %s", self.endpoint.describe(), what, instead)

    def _may_resend(self, request: Request) -> bool:
        return self.may_resend is None or self.may_resend(request)

    async def _send_body(self, body: bytes, request: Request, limits: frozenset[int]) -> Outcome:
        """One exchange, and a second on a new connection if the first met a dead one."""
        exchange = Exchange(_most_bytes(request))
        try:
            try:
                reply = await self._exchange(self._url, body, exchange)
            except _DEAD_CONNECTION as error:
                if not _was_stale(error, exchange) or not self._may_resend(request):
                    raise
                exchange = Exchange(exchange.most_bytes)
                reply = await self._exchange(self._url, body, exchange, fresh=True)
        except Exception as error:  # noqa: BLE001 - a transport reports, it does not raise
            return classify_exception(error, self.endpoint, reply_begun=exchange.reply_begun)
        return await self._classify(reply, request, limits) if isinstance(reply, Reply) else reply

    async def _classify(
        self, reply: Reply, request: Request | None = None, limits: frozenset[int] = frozenset()
    ) -> Outcome:
        if self.on_headers is not None:
            self.on_headers(reply.headers, asyncio.get_running_loop().time())
        if len(reply.body) <= SMALL:  # as mostly, and a call less than to ask
            return self._outcome(reply, request, limits)
        return await asyncio.to_thread(self._outcome, reply, request, limits)

    def _outcome(self, reply: Reply, request: Request | None, limits: frozenset[int]) -> Outcome:
        status, headers, body = reply
        now_s = time.time()
        try:
            return classify_reply(status, headers, body, self.endpoint, now_s=now_s, request=request, limits=limits)
        except Exception as error:  # noqa: BLE001 - a fault of ours in reading one reply must not end the run
            kind = type(error).__name__
            told = f"{self.endpoint.describe()}: a reply of status {status} cannot be read: {kind}"
            _LOGGER.error(told)  # noqa: TRY400 - the exception's text may hold the reply's
            return Transient("malformed", f"{status}: it cannot be read ({kind})")

    def _headers(self) -> CIMultiDict[str]:
        """What every request says; the endpoint's own headers outrank ours."""
        headers = CIMultiDict({"Accept": "application/json", "User-Agent": "fastinstruct"})
        headers["Content-Type"] = "application/json"
        if self.endpoint.api_key is not None:
            headers["Authorization"] = f"Bearer {self.endpoint.api_key}"
        headers.update(self.endpoint.headers)
        return headers

    async def _exchange(
        self,
        url: URL,
        body: bytes | None,
        exchange: Exchange,
        *,
        fresh: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Reply | Outcome:
        """One reply, or why its body could not be read; GET where there is no body to send."""
        session = self._fresh_session if fresh else self._session
        assert session is not None, "HttpTransport is an async context manager"
        _current_exchange.set(exchange)
        method = "GET" if body is None else "POST"
        response = await session.request(method, url, data=body, headers=headers, allow_redirects=False)
        exchange.reply_begun = True
        try:
            content = await _read(response, self.endpoint, exchange.most_bytes)
        except BaseException:
            response.close()  # not released: the rest of the body must not reach the next request
            raise
        if isinstance(content, Transient):
            response.close()
            return content
        return Reply(response.status, response.headers, content)


def _metrics_address(endpoint: Endpoint) -> URL:
    """Next to the API's version, not below it."""
    url = route_address(endpoint, "metrics")
    version = url.parent
    return (version.parent / url.name).with_query(url.query) if version.name in _VERSIONS else url


def route_address(endpoint: Endpoint, route: str) -> URL:
    """The route's URL; with a key, without user-info: HTTP allows one kind of authorization."""
    url = URL(endpoint.url(route))
    return url.with_user(None) if endpoint.api_key or "authorization" in map(str.lower, endpoint.headers) else url


def _session(endpoint: Endpoint, headers: CIMultiDict[str], connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
        # Ours are the total deadline (it covers resends) and the idle time-out (it starts with the first byte).
        timeout=aiohttp.ClientTimeout(total=None, connect=endpoint.connect_timeout_s, sock_read=None),
        proxy=_environment_proxy(endpoint),
    )


def _connector(keepalive_s: float | None) -> aiohttp.TCPConnector:
    if keepalive_s is None:
        return aiohttp.TCPConnector(limit=0, force_close=True, ttl_dns_cache=_DNS_TTL_S, socket_factory=_open_socket)
    return aiohttp.TCPConnector(
        limit=0, keepalive_timeout=keepalive_s, ttl_dns_cache=_DNS_TTL_S, socket_factory=_open_socket
    )


def _environment_proxy(endpoint: Endpoint) -> str | None:
    """HTTP_PROXY, HTTPS_PROXY and NO_PROXY, as urllib reads them; never for the loopback."""
    parts = urlsplit(endpoint.base_url)
    if endpoint.is_local or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    proxy = urllib.request.getproxies().get(parts.scheme)
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def _open_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket with TCP keep-alive; tells the exchange that asked for it (its context) that its connection is new."""
    exchange = _current_exchange.get(None)
    if exchange is not None:
        exchange.opened_connection = True
    family, kind, protocol = address[:3]
    opened = socket.socket(family=family, type=kind, proto=protocol)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _TCP_KEEPALIVE_S:
        option = getattr(socket, name, None)  # each platform has its own
        if option is not None:
            opened.setsockopt(socket.IPPROTO_TCP, option, value)
    return opened


def _was_stale(error: BaseException, exchange: Exchange) -> bool:
    """Whether a kept connection had been closed by the server before it saw the request: no byte came back."""
    if exchange.opened_connection or exchange.reply_begun or isinstance(error, aiohttp.ClientConnectorError):
        return False
    # aiohttp puts a half-received head in place of the words.
    return not isinstance(error, aiohttp.ServerDisconnectedError) or isinstance(error.message, str)


def _most_bytes(request: Request) -> int:
    """The longest body that an answer to this can have; servers that heed no `max_tokens` have room for twice of it."""
    sampling = request.sampling
    if sampling.max_tokens is None:
        return _MAX_BODY_BYTES
    per_token = _MAX_TOKEN_BYTES
    if sampling.num_logprobs is not None:
        per_token += (sampling.num_logprobs + 1) * _MAX_LOGPROB_BYTES
    return min(_MAX_BODY_BYTES, _MAX_FRAME_BYTES + sampling.max_tokens * per_token)


async def _read(response: aiohttp.ClientResponse, endpoint: Endpoint, most: int) -> bytes | Transient:
    """The whole body of at most so many bytes; a refusal's is read as far as it comes: its status says enough.

    Blank lines keep a connection open while the request waits in the server's queue (DeepSeek): they may come for half
    of the total time-out, so that another attempt has a chance.
    """
    idle_s, patience_s = endpoint.idle_timeout_s, max(endpoint.idle_timeout_s, endpoint.total_timeout_s / 2)
    content = response.content
    if content.is_eof() and content.exception() is None:  # it all came at once, as it mostly does
        return content.read_nowait()
    body = bytearray()
    clock = asyncio.get_running_loop().time
    content_at = clock()
    try:
        async with asyncio.timeout(idle_s) as idle:
            while chunk := await content.readany():
                body += chunk
                if len(body) > most:
                    return Transient("too_large", f"a body of more than {most} bytes")
                content_at = content_at if chunk.isspace() else clock()
                idle.reschedule(min(clock() + idle_s, content_at + patience_s))
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        if response.status != 200:
            response.close()
        elif isinstance(error, TimeoutError):
            return Transient("idle", f"nothing of the reply for {clock() - content_at:.2g} s")
        else:
            raise
    return bytes(body)


def _model_ids(body: bytes, endpoint: Endpoint) -> list[str] | Outcome:
    """The ids in `{"data": [{"id": ...}]}` or in a bare list: the endpoint's own and so many others, keys masked."""
    try:
        payload = parse_json(body)
    except ValueError:
        told = f"200 from {endpoint.address}/models: no JSON; check that base_url is an API's, it usually ends in /v1"
        return Fatal("protocol", told, 200)
    listed = payload.get("data") if isinstance(payload, dict) else payload
    entries = listed if isinstance(listed, list) else []
    ids = [id_ for entry in entries if isinstance(entry, dict) and isinstance(id_ := entry.get("id"), str)]
    own = [endpoint.model] if endpoint.model in ids[_MAX_LISTED:] else []
    return [masked_name(id_, endpoint) for id_ in [*ids[:_MAX_LISTED], *own]]
