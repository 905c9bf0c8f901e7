"""The openai SDK as a second transport: it addresses and signs the requests, and our connections carry them.

For what only the SDK does: Azure's addresses and API versions, and signing in to Azure with tokens that expire. What is
written, sent, read, bounded, resent and classified is `HttpTransport`'s, so both transports send the same bytes and
have the same outcomes. The SDK sees neither prompts nor replies: it has nothing to retry, to parse or to log.

Knows nothing of retries, slots, stages or stores. Guarantees what `HttpTransport` does, and that no OPENAI_* or AZURE_*
variable, which the SDK reads, sends data elsewhere, adds a header or stands in for a credential.

Looked at and not used: the SDK's own `DefaultAioHttpClient`. It takes "no limit" for 100 connections, keeps cookies,
reads a refusal without any bound, and calls a lost connection a connect time-out. Its X-Stainless headers, which tell a
server the operating system and the Python version, are not sent either.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Self

import httpx2
import openai
from multidict import CIMultiDict
from yarl import URL

from fastinstruct.lm.endpoints import Endpoint
from fastinstruct.lm.outcomes import Fatal, Outcome
from fastinstruct.lm.transport import Exchange, HttpTransport, Reply
from fastinstruct.lm.wire import ROUTES

__all__ = ["AzureAccess", "OpenAITransport", "TokenProvider"]

TokenProvider = Callable[[], "str | Awaitable[str]"]
"""Returns a token that is valid now. It is called before each request, so it keeps one until that expires."""

_NO_KEY: Final = "no-key"  # the SDK refuses to be made without one; it is never sent
# What the SDK would look up in the environment if it were None.
_NOTHING: Final = {"organization": "", "project": "", "admin_api_key": "", "webhook_secret": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureAccess:
    """How an Azure OpenAI resource is asked: `base_url` is then the resource's address, the model a deployment.

    The endpoint's `api_key` is the resource's key or, with `is_token`, a token of Entra ID; `token_provider` outranks
    both, and `close` is awaited when it is no longer needed.
    """

    api_version: str
    is_token: bool = False
    token_provider: TokenProvider | None = field(default=None, repr=False)
    close: Callable[[], Awaitable[None]] | None = field(default=None, repr=False)


@dataclass(slots=True)
class _Call:
    """What goes past the SDK: what to send and how, and what came of it."""

    body: bytes | None
    exchange: Exchange
    fresh: bool
    found: Reply | Outcome | None = None


_current_call: ContextVar[_Call] = ContextVar("_current_call")


class OpenAITransport(HttpTransport):
    """Sends requests to one endpoint as the openai SDK signs them; a context manager as `HttpTransport` is.

    Args:
        endpoint: where the model is served.
        azure: how it is asked, if it is an Azure OpenAI resource.
    """

    def __init__(self, endpoint: Endpoint, azure: AzureAccess | None = None) -> None:
        super().__init__(endpoint)
        self._azure = azure
        self._credential = _credential(endpoint, azure)
        self._model = str(endpoint.extra_body.get("model", endpoint.model))  # Azure's addresses hold it
        self._client: openai.AsyncOpenAI | None = None

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._client = self._new_client()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None
        if self._azure is not None and self._azure.close is not None:
            await self._azure.close()
        await super().__aexit__(*exc_info)

    async def probe(self) -> list[str] | Outcome:
        """As `HttpTransport.probe`; empty for Azure, which lists models where a request names a deployment."""
        found = await super().probe()
        return [] if self._azure is not None and isinstance(found, list) else found

    def _headers(self) -> CIMultiDict[str]:
        """Leave the credential to each request."""
        headers = super()._headers()
        headers.popall("Authorization", None)
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
        """One reply to this body, at the address that the SDK makes up from the route and the model."""
        assert self._client is not None, "OpenAITransport is an async context manager"
        call = _Call(body, exchange, fresh)
        _current_call.set(call)
        options: Any = {"headers": self._credential}
        try:
            if body is None:
                await self._client.get("/models", cast_to=httpx2.Response, options=options)
            else:
                route, asked = f"/{ROUTES[self.endpoint.api]}", {"model": self._model}
                await self._client.post(route, cast_to=httpx2.Response, body=asked, options=options)
        except openai.APIConnectionError as error:  # a failure of TLS, which the SDK words anew
            raise (error.__cause__ or error) from None
        except Exception:
            if call.found is None:
                raise
        assert call.found is not None, "the SDK returned, so it has sent something"
        return call.found

    async def _carry(self, request: httpx2.Request) -> httpx2.Response:
        """Send what was to be sent over our connections, as the SDK says; it is told the status, for its log."""
        call = _current_call.get()
        url, headers = self._full(request.url), self._signature(request)
        call.found = await super()._exchange(url, call.body, call.exchange, fresh=call.fresh, headers=headers)
        return httpx2.Response(call.found.status if isinstance(call.found, Reply) else 502)

    def _full(self, url: httpx2.URL) -> URL:
        """The address with the endpoint's query and user-info; the SDK has not seen these, for it logs addresses."""
        base = URL(self.endpoint.url(""))
        full = URL(str(url), encoded=True).extend_query(base.query)
        has_credential = bool(self._credential) or "authorization" in map(str.lower, self.endpoint.headers)
        return full if has_credential else full.with_user(base.user).with_password(base.password)

    def _signature(self, request: httpx2.Request) -> CIMultiDict[str]:
        """The credential, and nothing else that a variable may have put among the SDK's headers."""
        names = {name.lower() for name in self._credential}
        if self._azure is not None and self._azure.token_provider is not None:
            names = {"authorization"}
        signature = CIMultiDict((name.title(), value) for name, value in request.headers.items() if name in names)
        signature.update(self.endpoint.headers)
        return signature

    def _new_client(self) -> openai.AsyncOpenAI:
        """The SDK's client; what is not said here, it would look up in the environment."""
        carrier = httpx2.AsyncClient(transport=httpx2.MockTransport(self._carry), trust_env=False)
        settings: dict[str, Any] = {**_NOTHING, "max_retries": 0, "timeout": None, "http_client": carrier}
        key, azure = self.endpoint.api_key or _NO_KEY, self._azure
        if azure is None:
            return openai.AsyncOpenAI(api_key=key, base_url=self.endpoint.address, **settings)
        if azure.token_provider is not None:
            settings["azure_ad_token_provider"] = _asked(azure.token_provider, self.endpoint)
        else:
            settings["azure_ad_token" if azure.is_token else "api_key"] = key
        return openai.AsyncAzureOpenAI(azure_endpoint=self.endpoint.address, api_version=azure.api_version, **settings)


def _credential(endpoint: Endpoint, azure: AzureAccess | None) -> dict[str, str]:
    """The header that says who asks; given with each request, where it outranks what a variable says."""
    if endpoint.api_key is None or (azure is not None and azure.token_provider is not None):
        return {}
    if azure is not None and not azure.is_token:
        return {"api-key": endpoint.api_key}
    return {"Authorization": f"Bearer {endpoint.api_key}"}


def _asked(provider: TokenProvider, endpoint: Endpoint) -> Callable[[], Awaitable[str]]:
    """The provider, with a failure of its own told from one of the server's."""

    async def ask() -> str:
        try:
            found = provider()
            token = await found if inspect.isawaitable(found) else found
            if not token:
                raise ValueError("the token is empty")
        except Exception as error:
            told = f"no token for Azure ({type(error).__name__}); sign in, for example with `az login`"
            _current_call.get().found = Fatal("auth", f"{endpoint.address}: {told}")
            raise
        return token

    return ask
