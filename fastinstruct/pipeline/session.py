"""One session: one process at work on a run, with all that it has open, and what it does from start to end.

reply forms, threshold          asked for, or known, before the first draw
admission, commit order         told what earlier sessions left
scheduler                       until there is nothing left to do
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from fastinstruct._version import __version__
from fastinstruct.config import RunConfig
from fastinstruct.config.environment import cache_folder
from fastinstruct.errors import FastInstructError, StoreError
from fastinstruct.lm import RetryPolicy
from fastinstruct.lm.scheduling.fleet import Fleet
from fastinstruct.lm.scheduling.job import Delivery
from fastinstruct.lm.scheduling.scheduler import Scheduler
from fastinstruct.pipeline.budget.ledger import Price
from fastinstruct.pipeline.budget.stop_rules import Stop
from fastinstruct.pipeline.commit.admission import Admission, examples_of
from fastinstruct.pipeline.commit.committer import Effect
from fastinstruct.pipeline.commit.order import OrderParts, open_order
from fastinstruct.pipeline.control import Control
from fastinstruct.pipeline.models.connect import Probing, described
from fastinstruct.pipeline.models.reply_forms import FormProbes, described_forms, settled_forms
from fastinstruct.pipeline.models.threshold import run_threshold
from fastinstruct.pipeline.monitoring.monitor import Monitor
from fastinstruct.pipeline.monitoring.watchdog import Watchdog
from fastinstruct.pipeline.pool.task_pool import TaskPool
from fastinstruct.pipeline.preparation import Preparation
from fastinstruct.pipeline.recipes import Recipe
from fastinstruct.pipeline.stages.base import Task
from fastinstruct.pipeline.stages.bound import Stages
from fastinstruct.records import Example, ReplyForm
from fastinstruct.similarity import RougeIndex
from fastinstruct.store import Commit, RunReader, RunStore, StoredState
from fastinstruct.text.custom_filters import CustomFilter
from fastinstruct.text.repeated_outputs import RepeatedOutputs

__all__ = ["InterruptedSession", "Listeners", "Opening", "Session"]

T = TypeVar("T")


class InterruptedSession(Exception):
    """A session was told to end before everything was open; `Control.interruption` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Who is told what.

    Attributes:
        on_endpoint: the description of the endpoints, before the first request.
        on_note: what may matter to a person, a line each.
        on_example: awaited with each example once it is durable, those of earlier sessions first.
        on_open: told when the run's figures can be read: the preparation, its prices, the monitor.
    """

    on_endpoint: Callable[[str], None]
    on_note: Callable[[str], None]
    on_example: Callable[[Example], Awaitable[None]] | None
    on_open: Callable[[Preparation, Mapping[str, Price | None], Monitor], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a session is asked for.

    Attributes:
        config: what to run.
        folder: the run's.
        env: where keys and the cache folder are looked up.
        recipe: the caller's own; None for the one that the configuration names.
        sample: send at most so many requests of each stage.
        example_filter: the caller's own.
        restart: begin anew, with what is there put aside.
    """

    config: RunConfig
    folder: Path
    env: Mapping[str, str]
    recipe: Recipe | None = None
    sample: int | None = None
    example_filter: CustomFilter | None = None
    restart: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Everything that a session has open; `state` is what earlier ones left, `thread` the similarity thread."""

    opening: Opening
    control: Control
    listeners: Listeners
    preparation: Preparation
    store: RunStore
    state: StoredState
    monitor: Monitor
    index: RougeIndex
    against: RougeIndex | None
    thread: ThreadPoolExecutor
    fleet: Fleet
    watchdog: Watchdog
    began_at: float

    @property
    def config(self) -> RunConfig:
        """The run's configuration."""
        return self.preparation.config

    async def work(self) -> str:
        """Work from the first request to the last, and record how it ended; return why."""
        self.listeners.on_endpoint(described(self.fleet))
        await asyncio.to_thread(self.store.begin_sitting, __version__, described(self.fleet))
        ended_by = "failure"
        try:
            await self._probe()
            gc.collect()  # the scheduler keeps what is garbage now
            with self._time_limit(), self.watchdog:
                ended_by = await self._generate()
        finally:
            with suppress(StoreError):  # it is being reported
                await asyncio.to_thread(self.monitor.budget.write_off)
            await asyncio.to_thread(self.store.end_sitting, ended_by)
        return ended_by

    async def _probe(self) -> None:
        """See that the endpoints are there, unless the session is to end."""
        self.control.enter("waiting for the endpoints to list their models")
        probing = Probing(self.fleet)
        self.control.working(probing)
        await self._asked(probing.ask)

    async def _generate(self) -> str:
        """Run all stages at once until there is nothing left to do."""
        control, monitor = self.control, self.monitor
        control.started_at = time.monotonic()
        forms = await self._asked(self._forms)
        threshold = await self._asked(self._threshold)
        if forms is None or control.interruption():
            return control.interruption()
        control.enter("generating")
        stages = self.preparation.stages(forms, with_logprobs=threshold is not None, threshold=threshold)
        admission = await asyncio.to_thread(self._new_admission, stages)
        order = await open_order(self._order_parts(admission, stages))
        scheduler: Scheduler[Task] = self._new_scheduler(self.fleet, most_of_each=self.opening.sample)
        control.working(scheduler)
        control.run_dry = order.run_dry
        monitor.num_slots = scheduler.max_in_flight
        if (stop := monitor.rules.saturation()) is not None:
            control.heed(stop)
        try:
            await order.begin()
            await scheduler.run(order.source, order.deliver)
        finally:
            await order.close()
        return control.interruption() or self._ending(scheduler)

    def _ending(self, scheduler: Scheduler[Task]) -> str:
        """Return why there was nothing left to do."""
        counters = self.monitor.counters
        if (refused := scheduler.refused) is not None:
            stop = self.monitor.budget.refusal(refused.lane, [refused.request])
            if stop is not None:
                self.control.stopped_by = stop
                return stop.rule
        if self.opening.sample is not None and counters.remaining.is_any:
            return "estimate"
        if counters.remaining.num_to_admit:
            return "saturation"
        if counters.num_examples:
            return "target"
        self.control.stopped_by = Stop(rule="no_examples", used=0, limit=1)
        return "no_examples"

    def _order_parts(self, admission: Admission, stages: Stages) -> OrderParts:
        seeds = [seed.instruction for seed in self.preparation.seeds]
        return OrderParts(
            config=self.config,
            settings=self.preparation.generating,
            admission=admission,
            stages=stages,
            store=self.store,
            thread=self.thread,
            state=self.state,
            new_pool=partial(TaskPool, seeds, self.state.instructions),
            new_saturation=self.monitor.rules.new_saturation,
            effects=self._effects(),
            on_kept=self.monitor.budget.stored,
        )

    def _effects(self) -> tuple[Effect, ...]:
        """What a durable commit leads to, one after another; the queue has heard of it before."""
        monitor, emit = self.monitor, self.listeners.on_example

        def watch(_: Delivery[Task], commit: Commit) -> None:
            if (stop := monitor.rules.watch(commit)) is not None:
                self.control.heed(stop)

        async def show(delivery: Delivery[Task], commit: Commit) -> None:
            assert emit is not None
            for example in examples_of(delivery.job.about, commit):
                await emit(example)

        return (monitor.count, watch) if emit is None else (monitor.count, watch, show)

    async def _asked(self, ask: Callable[[], Awaitable[T | Stop | None]]) -> T | None:
        """Return what is asked of the endpoints before the first draw; None where the session is to end."""
        if self.control.interruption():
            return None
        try:
            found = await ask()
        except FastInstructError:
            if self.control.interruption():
                return None
            raise
        if isinstance(found, Stop):
            self.control.heed(found)
            return None
        return found

    async def _forms(self) -> Mapping[str, ReplyForm] | Stop:
        """How each stage's replies are asked for."""
        self.control.enter("asking what replies the endpoints bear")
        probes = FormProbes(self._new_scheduler)
        self.control.working(probes)
        found = await settled_forms(self.preparation, self.store, self.fleet, self.monitor.budget, probes)
        if not isinstance(found, Stop):
            self.listeners.on_note(described_forms(found))
        return found

    async def _threshold(self) -> float | Stop | None:
        """The log-odds above which stage 2 says yes; None where it reads the reply."""
        if not self.preparation.uses_logprobs:
            return None

        def new_scheduler() -> Scheduler[int]:
            self.control.enter("calibrating stage 2")
            scheduler = self._new_scheduler(self.fleet)
            self.control.working(scheduler)
            return scheduler

        cache = cache_folder(self.opening.env)
        return await run_threshold(self.preparation, self.store, cache, self.monitor.budget, new_scheduler)

    def _new_scheduler(self, fleet: Fleet, most_of_each: int | None = None) -> Scheduler[Any]:
        runtime = self.config.runtime
        scheduler: Scheduler[Any] = Scheduler(
            fleet,
            max_in_flight=fleet.max_in_flight,
            policy=RetryPolicy(max_attempts=runtime.max_attempts),
            rng=random.Random(),  # jitter must differ between processes that share a server
            max_outage_s=runtime.max_outage_s,
            drain_timeout_s=runtime.drain_timeout_s,
            strict_model=runtime.strict_model,
            allowance=self.monitor.budget,
            most_of_each=most_of_each,
        )
        self.watchdog.watch(scheduler)
        return scheduler

    def _new_admission(self, stages: Stages) -> Admission:
        """Return what admits, told what earlier sessions have kept; reads the store."""
        return Admission(
            stages,
            self.index,
            num_seeds=len(self.preparation.seeds),
            next_request_id=self.state.next_request_id,
            next_candidate_id=self.state.next_candidate_id,
            against=self.against,
            example_filter=self.opening.example_filter,
            repeated=self._repeated_outputs(),
        )

    def _repeated_outputs(self) -> RepeatedOutputs | None:
        most = self.config.filters.max_repeated_output
        if self.preparation.recipe.keeps_repeats or most is None:
            return None
        found = RepeatedOutputs(most)
        with RunReader(self.store.path.parent) as reader:
            for outputs in reader.outputs_by_instruction():
                found.count(outputs)
        return found

    @contextmanager
    def _time_limit(self) -> Iterator[None]:
        """Stop the session when its time is up."""
        limit_s = self.config.budget.max_time_s
        if limit_s is None:
            yield
            return
        left_s = limit_s - (time.monotonic() - self.began_at)
        stop = Stop(rule="max_time", used=limit_s, limit=limit_s)
        timer = asyncio.get_running_loop().call_later(max(0.0, left_s), self.control.heed, stop)
        try:
            yield
        finally:
            timer.cancel()
