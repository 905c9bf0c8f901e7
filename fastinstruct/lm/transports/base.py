"""The contract of a transport: one way to one endpoint."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Self

from fastinstruct.lm.endpoints import Endpoint, Request
from fastinstruct.lm.outcomes.outcomes import Outcome

__all__ = ["Transport"]


class Transport(ABC):
    """Sends requests to `endpoint` and says what became of each; opened and closed as an async context manager.

    It knows nothing of retries, slots, stages or stores, and sets no limit on how many requests are in flight.
    """

    endpoint: Endpoint
    on_headers: Callable[[Mapping[str, str], float], None] | None = None
    """Told the headers of every reply and the loop's time: a server tells of its limits there."""
    may_resend: Callable[[Request], bool] | None = None
    """Asked before a request is sent again within one `send`, since the server may have done what it closed on."""

    @abstractmethod
    async def send(self, request: Request) -> Outcome:
        """Return what became of the request; raise nothing but CancelledError."""

    async def probe(self) -> list[str] | Outcome:
        """Return the names of the models that it lists, empty where it lists none, or what is wrong with it."""
        return []

    async def metrics(self) -> str | None:
        """Return what the server reports of its queue, in the text format of Prometheus; None where it does not."""
        return None

    @property
    def dropped_parameters(self) -> frozenset[str]:
        """Return the wire names of the parameters that the server refused, and that are no longer sent."""
        return frozenset()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:  # noqa: B027 - there may be nothing to close
        """Close what was opened."""
