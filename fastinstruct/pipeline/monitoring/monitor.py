"""What a sitting's durable commits tell: how the run is doing, what it has spent, and whether it should end.

Joins counters, accounts and stop rules. Knows nothing of how work is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fastinstruct.lm.scheduling.scheduler import SchedulerStatistics
from fastinstruct.pipeline.budget.accounts import Accounts
from fastinstruct.pipeline.budget.ledger import Price
from fastinstruct.pipeline.budget.persistence import dumped_prices, limits_of, open_ledger
from fastinstruct.pipeline.budget.spending import Spending
from fastinstruct.pipeline.budget.stop_rules import Stop, StopRules
from fastinstruct.pipeline.budget.worst_case import WorstCase
from fastinstruct.pipeline.monitoring.forecast import WINDOW, Forecast
from fastinstruct.pipeline.monitoring.progress import Counters, Progress
from fastinstruct.pipeline.monitoring.telemetry import Telemetry
from fastinstruct.pipeline.preparation import Preparation
from fastinstruct.store import Commit, MetaKey, RunReader, RunStore, recent

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
    preparation: Preparation,
    prices: Mapping[str, Price | None],
    folder: Path,
    store: RunStore,
    *,
    sample: int | None = None,
) -> Monitor:
    """Return the monitor of a run's next sitting, which knows what the earlier ones did.

    Args:
        preparation: the limits, the target and the stages.
        prices: stage -> what its model costs.
        folder: the run's.
        store: where its books are kept.
        sample: how many requests of each stage this sitting sends at most.
    """
    config, stages = preparation.config, preparation.recipe.names
    store.set_meta(MetaKey.PRICES, dumped_prices(prices))
    most = dict.fromkeys(stages, WINDOW) | {stages[0]: max(WINDOW, config.saturation.window)}
    with RunReader(folder) as reader:
        totals = reader.totals()
        last = recent(reader, most)
        ledger = open_ledger(reader, totals, limits_of(config.budget), prices)
    spending = Spending(ledger, WorstCase({stage: config.model_of(stage).extra_body for stage in stages}))
    return Monitor(
        Counters(config.target, totals, stages),
        Accounts(spending, Forecast(stages, last), store, sample=sample),
        StopRules(config, preparation.generating, stages[0], last),
    )
