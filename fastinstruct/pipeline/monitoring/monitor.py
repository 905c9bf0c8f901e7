"""What a sitting's durable commits tell: how the run is doing, what it has spent, and whether it should end.

Joins counters, accounts and stop rules. Knows nothing of how work is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fastinstruct.config import RunConfig
from fastinstruct.lm.scheduling.scheduler import SchedulerStatistics
from fastinstruct.pipeline.budget.accounts import Accounts
from fastinstruct.pipeline.budget.ledger import Price
from fastinstruct.pipeline.budget.persistence import PRICES, dumped_prices, limits_of, open_ledger
from fastinstruct.pipeline.budget.spending import Spending
from fastinstruct.pipeline.budget.stop_rules import Stop, StopRules
from fastinstruct.pipeline.budget.worst_case import WorstCase
from fastinstruct.pipeline.monitoring.forecast import WINDOW, Outlook
from fastinstruct.pipeline.monitoring.progress import Counters, Progress
from fastinstruct.pipeline.monitoring.telemetry import Telemetry
from fastinstruct.records import Stage
from fastinstruct.store import Commit, RunReader, RunStore, recent

__all__ = ["Monitor", "open_monitor"]


class Monitor:
    """Watches one sitting."""

    def __init__(self, counters: Counters, accounts: Accounts, rules: StopRules) -> None:
        self.counters = counters
        self.accounts = accounts
        self.rules = rules

    def count(self, key: str, commit: Commit) -> Stop | None:
        """Take in one durable commit, of the request with this key; return the stop rule that it meets, if any.

        Raises:
            EndpointError, ParserFailed: going on is pointless.
        """
        self.counters.count(commit)
        self.accounts.count(key, commit)
        return self.rules.watch(commit)

    def snapshot(self, statistics: SchedulerStatistics, elapsed_s: float, telemetry: Telemetry | None) -> Progress:
        """Return the run as it is now."""
        return self.counters.snapshot(statistics, elapsed_s, self.accounts, telemetry)


def open_monitor(
    config: RunConfig, prices: Mapping[str, Price | None], folder: Path, store: RunStore, *, sample: int | None = None
) -> Monitor:
    """Return the monitor of a run's next sitting, which knows what the earlier ones did.

    Args:
        config: the limits, and the target.
        prices: stage -> what its model costs.
        folder: the run's.
        store: where its books are kept.
        sample: how many requests of each stage this sitting sends at most.
    """
    store.set_meta(PRICES, dumped_prices(prices))
    most = dict.fromkeys(Stage, WINDOW) | {Stage.INSTRUCTIONS: max(WINDOW, config.saturation.window)}
    with RunReader(folder) as reader:
        totals = reader.totals()
        last = recent(reader, most)
        ledger = open_ledger(reader, totals, limits_of(config.budget), prices)
    spending = Spending(ledger, WorstCase({stage: config.model_of(stage).extra_body for stage in Stage}))
    return Monitor(
        Counters(config.target, totals),
        Accounts(spending, Outlook(last), store, sample=sample),
        StopRules(config, last),
    )
