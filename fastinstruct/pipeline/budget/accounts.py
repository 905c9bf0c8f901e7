"""The spending of one sitting: its books, where they are kept, and what they tell of the rest of the run.

Joins ledger, gate and forecast. Knows nothing of stages' contents or HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from fastinstruct.lm import Request
from fastinstruct.lm.scheduling.job import Source
from fastinstruct.lm.scheduling.scheduler import Scheduler
from fastinstruct.pipeline.budget.ledger import Ledger, dollars
from fastinstruct.pipeline.budget.persistence import dumped_besides, told_by_rows
from fastinstruct.pipeline.budget.spending import Gate, Refusal, Spending, T
from fastinstruct.pipeline.budget.stop_rules import Stop
from fastinstruct.pipeline.monitoring.forecast import Forecast, Projection, Remaining
from fastinstruct.store import Commit, MetaKey, RunStore, finished

__all__ = ["Accounts"]


class Accounts:
    """What a sitting spends.

    Args:
        spending: the run's books, and what reserves and settles there.
        forecast: the last requests of each stage.
        store: where the books are kept.
        sample: how many requests of each stage this sitting sends at most, to estimate the rest; None sends them all.
    """

    def __init__(self, spending: Spending, forecast: Forecast, store: RunStore, *, sample: int | None = None) -> None:
        self.num_slots: int | None = None
        self.sample = sample
        self._spending = spending
        self._forecast = forecast
        self._store = store
        self._kept = dict(spending.ledger.besides)

    @property
    def ledger(self) -> Ledger:
        """Return the run's books."""
        return self._spending.ledger

    def gate(self, source: Source[T], scheduler: Scheduler[T], *, is_sampled: bool = True) -> Gate[T]:
        """Return a source for `scheduler` that lets through what fits the budget, and the sample if there is one."""

        def stop() -> None:
            asyncio.get_running_loop().call_soon(scheduler.stop)  # not while it looks for what to send next

        most = self.sample if is_sampled else None
        return Gate(source, self._spending, most_of_each=most, on_room=scheduler.wake, on_exhausted=stop)

    def refusal(self, lane: str, requests: Sequence[Request]) -> Stop | None:
        """Return the limit that these would break together, if they don't all fit."""
        limit = self._spending.broken_by(lane, requests)
        if limit is None:
            return None
        return self.stop(Refusal(limit=limit, lane=lane, most=self._spending.most(lane, requests)))

    def stop(self, refusal: Refusal) -> Stop:
        """Say how much of a limit was reached, and what would have been next."""
        name = refusal.limit
        figures = (
            self.ledger.used_of(name),
            self.ledger.limit(name),
            self.ledger.worth(name, refusal.lane, refusal.most),
        )
        used, limit, most = (dollars(figure) if name == "max_cost" else figure for figure in figures)
        return Stop(rule=name, used=used, limit=limit, next_use=most)

    def count(self, key: str, commit: Commit) -> None:
        """Take in a request that is stored."""
        self.ledger.stored(key)
        self._forecast.count(finished(commit))
        self._keep()

    def kept(self, key: str) -> None:
        """Take note that an answer is on disk, before its turn to be committed."""
        self.ledger.stored(key)
        self._keep()

    def settle(self) -> None:
        """Expect no more answers to what was sent until now: what they might have cost counts. Waits for the store.

        Raises:
            StoreError: the store has failed.
        """
        self.ledger.write_off()
        if self.ledger.awaits_rows:
            self.ledger.reconcile(told_by_rows(self._store.usage()))
        self._keep()

    def project(self, remaining: Remaining, *, is_over: bool = False) -> Projection | None:
        """Return what the rest of the run will probably take; None while that cannot be told.

        Args:
            remaining: what is left to do.
            is_over: whether this sitting has ended, so that no answer is missed since the last one.
        """
        return self._forecast.project(
            remaining,
            self.ledger,
            num_slots=self.num_slots,
            now=None if is_over else time.time(),
            is_sample=self.sample is not None,
        )

    def _keep(self) -> None:
        if self.ledger.besides != self._kept:
            self._kept = dict(self.ledger.besides)
            self._store.note_meta(MetaKey.USED_BESIDES, dumped_besides(self.ledger))
