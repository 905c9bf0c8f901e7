"""What a run may still spend: every attempt is asked for here before it is sent, and settled here once it has ended.

Lives on the event loop. Guarantees: an attempt that is sent is reserved as its worst case before, and settled once
after, however it ends; what a reply used counts as the server says it, or as its worst case where the server says
nothing. What was spent is kept in the run's folder, so that the next session knows it.

What an attempt that failed cost, nobody says. One that the server refused (429, 4xx) or never saw counts as nothing,
any other as its worst case.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastinstruct.escaping import package_logger
from fastinstruct.lm import BadRequest, Fatal, Ok, Outcome, Overloaded, RateLimited, Request, Transient
from fastinstruct.lm.scheduling.job import Allowance, Job
from fastinstruct.pipeline.budget.ledger import Ledger, Use, dollars
from fastinstruct.pipeline.budget.persistence import dumped_besides, told_by_rows
from fastinstruct.pipeline.budget.stop_rules import Stop
from fastinstruct.pipeline.budget.worst_case import WorstCase
from fastinstruct.records import MOST_TOKENS, Usage
from fastinstruct.store import MetaKey, RunStore

__all__ = ["Budget"]

_LOG = package_logger("fastinstruct.pipeline")
_NEVER_SENT = frozenset({"connect", "connect_timeout", "dns", "tls", "proxy", "fd_limit", "ports"})


class Budget(Allowance):
    """The budget of one run.

    Args:
        ledger: its books.
        worst_case: what a request may use at most.
        store: where they are kept; None keeps them nowhere.
    """

    def __init__(self, ledger: Ledger, worst_case: WorstCase, store: RunStore | None = None) -> None:
        self.ledger = ledger
        self._worst_case = worst_case
        self._store = store
        self._kept = dict(ledger.besides)
        self._has_noticed = False

    @property
    def has_reserved(self) -> bool:
        return self.ledger.num_reserved > 0

    def reserve(self, job: Job[Any]) -> bool:
        request = job.request
        if self.ledger.holds(request.key):
            return True
        return self.ledger.reserve(request.key, job.lane, self._worst_case.of(job.lane, request)) is None

    def resend(self, request: Request) -> bool:
        return not self.ledger.holds(request.key) or self.ledger.reserve_again(request.key)

    def settle(self, job: Job[Any], outcome: Outcome) -> None:
        lane, request = job.lane, job.request
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

    def refusal(self, lane: str, requests: Sequence[Request]) -> Stop | None:
        """Return the limit that one attempt at each of these would break together, at worst; None if they all fit."""
        most = sum((self._worst_case.of(lane, request) for request in requests), Use())
        name = self.ledger.broken_by(lane, most)
        if name is None:
            return None
        figures = (self.ledger.used_of(name), self.ledger.limit(name), self.ledger.worth(name, lane, most))
        used, limit, next_use = (dollars(figure) if name == "max_cost" else figure for figure in figures)
        return Stop(rule=name, used=used, limit=limit, next_use=next_use)

    def stored(self, key: str) -> None:
        """Take note that the answer to a request is on disk, committed or waiting for its turn."""
        self.ledger.stored(key)
        self._keep()

    def write_off(self) -> None:
        """Expect no more answers to what was sent until now: what they might have cost counts. Waits for the store.

        Raises:
            StoreError: the store has failed.
        """
        self.ledger.write_off()
        if self.ledger.awaits_rows and self._store is not None:
            self.ledger.reconcile(told_by_rows(self._store.usage()))
        self._keep()

    def _keep(self) -> None:
        if self._store is not None and self.ledger.besides != self._kept:
            self._kept = dict(self.ledger.besides)
            self._store.note_meta(MetaKey.USED_BESIDES, dumped_besides(self.ledger))

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
