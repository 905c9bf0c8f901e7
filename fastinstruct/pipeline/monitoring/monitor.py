"""What a session's durable commits tell: how the run is doing, what it has spent and will, and whether it should end.

Knows nothing of how work is done.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from fastinstruct.lm.scheduling.job import Delivery
from fastinstruct.lm.scheduling.statistics import SchedulerStatistics
from fastinstruct.pipeline.budget.budget import Budget
from fastinstruct.pipeline.budget.ledger import Price
from fastinstruct.pipeline.budget.persistence import dumped_prices, limits_of, open_ledger
from fastinstruct.pipeline.budget.stop_rules import StopRules
from fastinstruct.pipeline.budget.worst_case import WorstCase
from fastinstruct.pipeline.monitoring.forecast import WINDOW, Forecast
from fastinstruct.pipeline.monitoring.progress import Counters, Progress
from fastinstruct.pipeline.monitoring.telemetry import Telemetry
from fastinstruct.pipeline.preparation import Preparation
from fastinstruct.pipeline.stages.base import Task
from fastinstruct.store import Commit, MetaKey, RunReader, RunStore, finished, recent

__all__ = ["Monitor", "open_monitor"]


class Monitor:
    """The gauges of one session.

    Attributes:
        counters: what was done, over all sessions.
        budget: what may be spent.
        forecast: what the rest will take.
        rules: when a run ends before its target.
        num_slots: how many requests may be in flight; None before that is known.
        telemetry: how hard it works, a second old at most; None before the first second.
    """

    def __init__(
        self, counters: Counters, budget: Budget, forecast: Forecast, rules: StopRules, *, is_sample: bool
    ) -> None:
        self.counters = counters
        self.budget = budget
        self.forecast = forecast
        self.rules = rules
        self.num_slots: int | None = None
        self.telemetry: Telemetry | None = None
        self._is_sample = is_sample

    def look(self, telemetry: Telemetry) -> None:
        """Take in how hard the session works."""
        self.telemetry = telemetry

    def count(self, delivery: Delivery[Task], commit: Commit) -> None:
        """Take in one durable commit."""
        self.counters.count(commit)
        self.budget.stored(delivery.job.request.key)
        self.forecast.count(finished(commit))

    def snapshot(self, phase: str, statistics: SchedulerStatistics, elapsed_s: float) -> Progress:
        """Return the run as it is now."""
        self.counters.phase = phase
        projection = self.forecast.project(
            self.counters.remaining,
            self.budget.ledger,
            num_slots=self.num_slots,
            now=None if phase == "done" else time.time(),  # of a session that is over, no answer is missed
            is_sample=self._is_sample,
        )
        return self.counters.snapshot(statistics, elapsed_s, self.budget.ledger, projection, self.telemetry)


def open_monitor(
    preparation: Preparation,
    prices: Mapping[str, Price | None],
    folder: Path,
    store: RunStore,
    *,
    is_sample: bool = False,
) -> Monitor:
    """Return the monitor of a run's next session, which knows what the earlier ones did.

    Args:
        preparation: the limits, the target and the stages.
        prices: stage -> what its model costs.
        folder: the run's.
        store: where its books are kept.
        is_sample: whether this session sends a few requests only, to estimate the rest.
    """
    config, stages = preparation.config, preparation.recipe.names
    store.set_meta(MetaKey.PRICES, dumped_prices(prices))
    most = dict.fromkeys(stages, WINDOW) | {stages[0]: max(WINDOW, config.saturation.window)}
    with RunReader(folder) as reader:
        totals = reader.totals()
        last = recent(reader, most)
        ledger = open_ledger(reader, totals, limits_of(config.budget), prices)
    return Monitor(
        Counters(config.target, totals, stages),
        Budget(ledger, WorstCase({stage: config.model_of(stage).extra_body for stage in stages}), store),
        Forecast(stages, last),
        StopRules(config, preparation.generating, stages[0], last),
        is_sample=is_sample,
    )
