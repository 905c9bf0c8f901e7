"""Where a model is served and what one request asks of it: two frozen values, validated when they are made.

Knows nothing of HTTP, retries, stages or stores. Guarantees: no repr and no message of theirs holds
a key, a header, user-info, a query or a prompt; an `Endpoint` that exists has a usable URL.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, unquote_plus, urlsplit, urlunsplit

from fastinstruct.errors import ConfigError
from fastinstruct.records import Api, Prompt, ReplyFormat, Sampling

__all__ = ["Endpoint", "Request"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Endpoint:
    """A model behind an OpenAI-compatible base URL (which includes `/v1`, as in the SDKs).

    `extra_body` is merged last into every request; `headers` outrank our own, `Authorization` included; a query in
    `base_url` (Azure's `?api-version=...`) is kept, and `query` is added to it, or takes the place of what has the same
    name there. `api_key_env` only names the variable in messages to the user.

    Raises:
        ConfigError: an empty model, a URL that is not http(s), a key, header or query with control characters, a
            time-out of 0 or less.
    """

    base_url: str
    model: str
    api: Api = Api.CHAT
    api_key: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    query: Mapping[str, str] = field(default_factory=dict, hash=False)
    extra_body: Mapping[str, object] = field(default_factory=dict, hash=False)
    total_timeout_s: float = 600.0
    connect_timeout_s: float = 10.0
    idle_timeout_s: float = 120.0

    def __post_init__(self) -> None:
        _check_url(self.base_url)
        if not self.model:
            raise ConfigError("model: must name a model, got an empty string")
        for name in ("total_timeout_s", "connect_timeout_s", "idle_timeout_s"):
            seconds = getattr(self, name)
            if not 0 < seconds < math.inf:
                raise ConfigError(f"{name}: must be above 0 and finite, got {seconds}")
        parts = urlsplit(self.base_url.strip())
        object.__setattr__(self, "base_url", urlunsplit(parts._replace(path=parts.path.rstrip("/"), fragment="")))
        object.__setattr__(self, "api_key", _checked_key(self.api_key, self.api_key_env))
        for name, value in self.headers.items():
            if not (name + value).isprintable():
                raise ConfigError(f"headers: {name.strip()!r} holds a control character; write it on one line")
        for name, value in self.query.items():
            if not name or not (name + value).isprintable():
                shown = name.strip() or "a name"
                raise ConfigError(f"query: {shown!r} is empty or holds a character that no address does; copy it again")
        object.__setattr__(self, "headers", dict(self.headers))
        object.__setattr__(self, "query", dict(self.query))
        object.__setattr__(self, "extra_body", dict(self.extra_body))

    def __repr__(self) -> str:
        return f"Endpoint({self.describe()!r})"

    @property
    def is_local(self) -> bool:
        """Whether the host is this machine's loopback: no proxy, and the short keep-alive of local servers."""
        host = urlsplit(self.base_url).hostname or ""
        if host == "localhost" or host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    @property
    def address(self) -> str:
        """The base URL as it may be shown: without user-info and query."""
        parts = urlsplit(self.base_url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))

    def url(self, route: str) -> str:
        """The address of one route (`chat/completions`, `models`), with the base URL's user-info and both queries."""
        parts = urlsplit(self.base_url)
        return urlunsplit(parts._replace(path=f"{parts.path}/{route}", query=self._whole_query))

    @property
    def _whole_query(self) -> str:
        """What stands behind the ? of every address: the base URL's query, and our own."""
        pieces = urlsplit(self.base_url).query.split("&")
        kept = [piece for piece in pieces if piece and unquote_plus(piece.partition("=")[0]) not in self.query]
        own = [f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in self.query.items()]
        return "&".join([*kept, *own])

    def describe(self) -> str:
        """`MODEL at URL (chat)`: fit for a terminal or a log."""
        return f"{self.model} at {self.address} ({self.api})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One completion to be asked for; `key` identifies it in the store and in messages.

    `reply_format` is the JSON that the reply is to be; None asks for text.
    """

    key: str
    prompt: Prompt = field(repr=False)
    sampling: Sampling
    reply_format: ReplyFormat | None = field(default=None, repr=False)


def _check_url(base_url: str) -> None:
    try:
        parts: SplitResult = urlsplit(base_url.strip())
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a broken IPv6 address
        usable = False
    if not usable or any(character.isspace() for character in base_url.strip()):
        # What it got is not repeated: it may hold user-info or a key.
        raise ConfigError("base_url: must be http://HOST[:PORT]/v1 or https://HOST/v1, got something else")


def _checked_key(api_key: str | None, name: str) -> str | None:
    """The key without the newline that `$(cat file)` or an editor left; None where it is empty."""
    key = (api_key or "").strip()
    if any(not character.isprintable() for character in key):
        raise ConfigError(f"{name}: the key holds a control character; copy it again")
    return key or None
