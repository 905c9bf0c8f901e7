"""The gate that every request passes: it is sent only if its worst case still fits what the run may use.

Knows nothing of stages, prices or stores; lives on the event loop. Guarantees: an attempt that is sent is reserved as
its worst case before, and settled once after, however it ends; what a reply used counts as the server says it, or as
its worst case where the server says nothing.

What an attempt that failed cost, nobody says. One that the server refused (429, 4xx) or never saw counts as nothing,
any other as its worst case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from fastinstruct.escaping import package_logger
from fastinstruct.lm import BadRequest, Fatal, Ok, Outcome, Overloaded, RateLimited, Request, Transient
from fastinstruct.lm.jobs import Job, Source
from fastinstruct.pipeline.ledger import Ledger, Use
from fastinstruct.pipeline.worst_case import WorstCase
from fastinstruct.records import MOST_TOKENS, Usage

__all__ = ["Gate", "Refusal", "Spending"]

_LOG = package_logger("fastinstruct.pipeline")
_NEVER_SENT = frozenset({"connect", "connect_timeout", "dns", "tls", "proxy", "fd_limit", "ports"})

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The limit that a job of a lane would break, and what it uses at most."""

    limit: str
    lane: str
    most: Use


class Spending:
    """Keeps the books while requests are sent.

    Args:
        ledger: the run's books.
        worst_case: what a request may use at most.
    """

    def __init__(self, ledger: Ledger, worst_case: WorstCase) -> None:
        self.ledger = ledger
        self._worst_case = worst_case
        self._has_noticed = False

    def reserve(self, lane: str, request: Request) -> str | None:
        """Set the worst case of an attempt aside, once; return the limit that it would break, or None."""
        if self.ledger.holds(request.key):
            return None
        return self.ledger.reserve(request.key, lane, self._worst_case.of(lane, request))

    def broken_by(self, lane: str, requests: Sequence[Request]) -> str | None:
        """Return the first limit that these would break together, at worst; None if they all fit."""
        return self.ledger.broken_by(lane, self.most(lane, requests))

    def most(self, lane: str, requests: Sequence[Request]) -> Use:
        """Return what one attempt at each of these uses at most."""
        return sum((self._worst_case.of(lane, request) for request in requests), Use())

    def settle(self, lane: str, request: Request, outcome: Outcome) -> None:
        """Replace what was set aside for an attempt by what it came to."""
        if not self.ledger.holds(request.key):
            return
        most = self.ledger.reserved(request.key)
        if isinstance(outcome, Ok):
            usage = outcome.completion.usage
            self._worst_case.learn(lane, request, usage)
            told = Use(num_requests=1, prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens)
            tells_all = usage.prompt_tokens > 0 and usage.completion_is_told and not usage.cached_tokens
            self._notice(lane, usage)
            self.ledger.answer(request.key, told if tells_all else _use(usage, most), told)
        elif isinstance(outcome, BadRequest) and outcome.usage is not None:
            self.ledger.fail(request.key, _use(outcome.usage, most))
        elif _is_refused(outcome):
            self.ledger.release(request.key)
        else:
            self.ledger.fail(request.key, most)

    def _notice(self, lane: str, usage: Usage) -> None:
        """Say once that a server's counts cannot be right, though they count."""
        if max(usage.prompt_tokens, usage.completion_tokens) < MOST_TOKENS or self._has_noticed:
            return
        self._has_noticed = True
        _LOG.warning(
            "the server of %s says that one reply took %s tokens or more; it counts as so many, and budgets end soon: "
            "look at what it reports as usage",
            lane,
            f"{MOST_TOKENS:,}",
        )


class Gate(Source[T]):
    """A source that lets through what fits.

    What does not fit goes back to its source and is asked for again when something has settled, so what is more urgent
    by then goes first. Once nothing is in flight that could make room, this source is empty: `refused` says why.

    Args:
        source: where jobs come from.
        spending: the run's books.
        most_of_each: how many jobs of each lane are let through at all; None sets no limit.
        on_room: called when an attempt has settled while something was kept back.
        on_exhausted: called each time another attempt at a job does not fit and nothing is in flight, so that it never
            will: whoever waits for that job waits in vain.
    """

    def __init__(
        self,
        source: Source[T],
        spending: Spending,
        *,
        most_of_each: int | None = None,
        on_room: Callable[[], object] = lambda: None,
        on_exhausted: Callable[[], object] = lambda: None,
    ) -> None:
        self._source = source
        self._spending = spending
        self._most_of_each = most_of_each
        self._on_room = on_room
        self._on_exhausted = on_exhausted
        self._num_sent: dict[str, int] = {}
        self._refused: dict[str, Refusal] = {}
        self._refused_again: dict[str, Refusal] = {}

    @property
    def refused(self) -> Refusal | None:
        """Return what keeps back the most urgent job that was last asked for; None if nothing does."""
        return next(iter([*self._refused.values(), *self._refused_again.values()]), None)

    def next(self, is_open: Callable[[str], bool]) -> Job[T] | None:
        """Return the most urgent job that fits."""
        self._refused = {}

        def may_be_asked(lane: str) -> bool:
            return lane not in self._refused and self._is_wanted(lane) and is_open(lane)

        while (job := self._source.next(may_be_asked)) is not None:
            limit = self._spending.reserve(job.lane, job.request)
            if limit is None:
                self._num_sent[job.lane] = self._num_sent.get(job.lane, 0) + 1
                return job
            self._refused[job.lane] = self._refusal(job, limit)
            self._source.take_back(job)
        return None

    def may_send(self, job: Job[T]) -> bool:
        """Whether another attempt at a job fits; if so, its worst case is set aside."""
        key = job.request.key
        limit = self._spending.reserve(job.lane, job.request)
        if limit is None:
            self._refused_again.pop(key, None)
        else:
            self._refused_again[key] = self._refusal(job, limit)
            if not self._spending.ledger.num_reserved:
                self._on_exhausted()
        return limit is None

    def attempted(self, job: Job[T], outcome: Outcome) -> None:
        """Settle an attempt."""
        self._spending.settle(job.lane, job.request, outcome)
        self._source.attempted(job, outcome)
        if self._refused or self._refused_again:
            self._on_room()

    def smaller(self, job: Job[T]) -> Job[T] | None:
        """Return the job with a shorter prompt, if there is one."""
        return self._source.smaller(job)

    def take_back(self, job: Job[T]) -> None:
        """Give a job back that is not to be sent after all."""
        self._spending.ledger.release(job.request.key)
        self._source.take_back(job)

    def _refusal(self, job: Job[T], limit: str) -> Refusal:
        return Refusal(limit=limit, lane=job.lane, most=self._spending.most(job.lane, [job.request]))

    def _is_wanted(self, lane: str) -> bool:
        return self._most_of_each is None or self._num_sent.get(lane, 0) < self._most_of_each


def _use(usage: Usage, most: Use) -> Use:
    """What a reply used; what it does not say, it may have used up."""
    says_nothing = usage.prompt_tokens == usage.completion_tokens == 0
    is_told = usage.completion_is_told and not says_nothing
    return Use(
        num_requests=1,
        prompt_tokens=usage.prompt_tokens or most.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens if is_told else most.completion_tokens,
    )


def _is_refused(outcome: Outcome) -> bool:
    """Whether the server did nothing for it."""
    match outcome:
        case RateLimited() | Overloaded() | Fatal() | BadRequest():
            return True
        case Transient(kind=kind):
            return kind in _NEVER_SENT
        case _:
            return False
