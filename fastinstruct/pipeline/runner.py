"""A run from start to end: opens everything, joins the stages over one scheduler, and closes everything again.

The only place where store, index, model and stages meet. Guarantees: a run folder has one writer; every sitting ends
with the store closed, whatever happened; running the same configuration again goes on where the last sitting ended.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from fastinstruct import __version__
from fastinstruct.config import RunConfig
from fastinstruct.config.environment import cache_folder, process_environment
from fastinstruct.config.recording import recorded
from fastinstruct.errors import Aborted, ConfigError, FastInstructError, StoreError
from fastinstruct.files.against import dumped
from fastinstruct.lm import RetryPolicy
from fastinstruct.lm.fleet import Fleet
from fastinstruct.lm.scheduler import Delivery, Scheduler, SchedulerStatistics
from fastinstruct.pipeline.calibrating import run_threshold
from fastinstruct.pipeline.connecting import connected, described, probe_all
from fastinstruct.pipeline.desk import Desk
from fastinstruct.pipeline.indexes import built
from fastinstruct.pipeline.inheriting import as_begun, begun_identity
from fastinstruct.pipeline.judge import examples_of
from fastinstruct.pipeline.ledger import Price
from fastinstruct.pipeline.loop_calls import LoopCalls
from fastinstruct.pipeline.monitor import Monitor, open_monitor
from fastinstruct.pipeline.ordering import CommitOrder, open_order
from fastinstruct.pipeline.preparation import Preparation, prepare
from fastinstruct.pipeline.prices import described as described_prices
from fastinstruct.pipeline.prices import find_prices
from fastinstruct.pipeline.progress import Progress
from fastinstruct.pipeline.reply_forms import FormProbes, described_forms, settled_forms
from fastinstruct.pipeline.result import RunResult
from fastinstruct.pipeline.spending import Gate
from fastinstruct.pipeline.stages import Task
from fastinstruct.pipeline.stop_rules import Stop
from fastinstruct.pipeline.telemetry import TELEMETRY
from fastinstruct.pipeline.vitals import Vitals
from fastinstruct.records import Example, ReplyForm, Stage
from fastinstruct.similarity import Interruption
from fastinstruct.store import FORMAT_VERSION, Commit, RunFolder, RunReader, RunStore, StoredState
from fastinstruct.text.custom_filters import CustomFilter, ExampleFilter
from fastinstruct.text.seeds import kind_notice

__all__ = ["Run", "RunResult"]

_NOTHING_IN_FLIGHT = SchedulerStatistics(num_in_flight=0, num_waiting=0, num_attempts=0, num_failed_attempts=0)
_ABOUT = {"fastinstruct": __version__, "format": FORMAT_VERSION}
Listener = Callable[[Example], Awaitable[None]]


class Run:
    """One sitting of a run. Make it, `await execute()` once; any thread may call `stop` and `abort` meanwhile.

    Args:
        config: what to run; `config.out` names the folder (by default runs/<name of the seed file>).
        env: where keys and the cache folder are looked up; by default the environment of the process.
        on_endpoint, on_note: called with the endpoint's description before the first request, and with what may matter.
        on_example: awaited with each example once it is durable; a slow listener slows the run.
        sample: send at most so many requests of each stage, to see what the rest will take (`Progress.projection`).
        example_filter: the caller's own: asked about each example that everything else lets through.
        restart: begin anew in the same folder; what an earlier run left is moved to `earlier` in it, not deleted.

    Raises:
        ConfigError: a sample in the commit order `windowed`, where it would tell nothing.
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        env: Mapping[str, str] | None = None,
        on_endpoint: Callable[[str], None] | None = None,
        on_note: Callable[[str], None] | None = None,
        on_example: Listener | None = None,
        sample: int | None = None,
        example_filter: ExampleFilter | None = None,
        restart: bool = False,
    ) -> None:
        if sample is not None and config.runtime.commit_order == "windowed":
            raise ConfigError(
                "runtime.commit_order: a few requests tell nothing in the order windowed, where later stages wait for "
                "all that was drawn before; estimate with --set runtime.commit_order=arrival and another --out"
            )
        self.config = config
        self.folder = config.out or Path("runs") / (config.seeds.stem if config.seeds else "seed_tasks")
        self._env = process_environment() if env is None else env
        self._on_endpoint = on_endpoint
        self._on_note = on_note
        self._on_example = on_example
        self._sample = sample
        self._example_filter = None if example_filter is None else CustomFilter(example_filter)
        self._restart = restart
        self._monitor: Monitor | None = None
        self._scheduler: Scheduler[Task] | Scheduler[int] | FormProbes | None = None
        self._order: CommitOrder | None = None
        self._vitals: Vitals | None = None
        self.num_against = 0
        """How many evaluation texts new instructions are kept away from, once the files have been read."""
        self.prices: list[str] = []
        """What the models cost, one line each, once that has been looked up."""
        self._calls = LoopCalls()
        self._began_at = time.monotonic()
        self._started_at: float | None = None
        self._phase = "starting"
        self._interrupted = ""
        self._comparing = Interruption()
        self._stop: Stop | None = None

    async def execute(self) -> RunResult:
        """Run until the target is reached, or `stop`, or a budget is used up, or nothing new comes.

        Raises:
            InputError: seeds, configuration or run folder are unusable.
            EndpointError, EmbeddedModelError: the model is unusable; what was stored stays, and the run can go on.
            ParserFailed: too many replies could not be parsed.
            StoreError: the disk is full or fails.
            Aborted: `abort` was called; what was in flight is not in the store.
        """
        self._began_at = time.monotonic()
        self._calls.bind()
        async with AsyncExitStack() as stack:
            thread = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="fastinstruct-similarity"))
            stack.callback(self._comparing.set)  # else the thread's end would wait for two long texts
            prices = await asyncio.to_thread(find_prices, self.config)
            self.prices = described_prices(prices, self.config)
            begun = None if self._restart else await asyncio.to_thread(begun_identity, self.folder)
            self.config = self.config if begun is None else as_begun(self.config, begun)
            preparation = await asyncio.to_thread(prepare, self.config, self._env, begun)
            self.num_against = preparation.against.num_texts
            folder = stack.enter_context(RunFolder(self.folder, self.config.runtime.folder_bits))
            if self._restart and (earlier := await asyncio.to_thread(folder.set_aside)):
                self._note(f"starts over; what was there is in {earlier}")
            await asyncio.to_thread(folder.claim, preparation.identity(), _ABOUT)
            store = await asyncio.to_thread(lambda: RunStore(folder.prepare_database(), folder))
            stack.callback(store.close)
            state = await asyncio.to_thread(self._open, folder, store, preparation, prices)
            if notice := kind_notice(preparation.seeds):
                self._note(notice)
            indexing = asyncio.get_running_loop().run_in_executor(thread, built, preparation, state, self._comparing)
            await self._emit_stored()
            is_local = any(model.embedded for model in preparation.models.values())
            self._phase = "loading the model" if is_local else "connecting"
            fleet = await stack.enter_async_context(connected(preparation, self._env))
            indexes = await indexing
            assert self._monitor is not None  # `_open` has made it
            ended_by = self._interrupted
            if indexes is not None:
                desk = Desk(
                    store=store,
                    state=state,
                    preparation=preparation,
                    index=indexes[0],
                    against=indexes[1],
                    thread=thread,
                    monitor=self._monitor,
                )
                ended_by = await self._sit(desk, fleet)
        self._phase = "done"
        if ended_by == "abort":
            raise Aborted("aborted; what the store had acknowledged is safe: run the same command to go on")
        stop = self._stop if self._stop and self._stop.rule == ended_by else None
        return RunResult(folder=self.folder, ended_by=ended_by, progress=self._snapshot(self._monitor), stop=stop)

    def stop(self, why: str = "interrupt") -> None:
        """Send nothing new and finish what is in flight; the run can go on later."""
        self._calls.call(partial(self._stop_now, why))

    def _stop_now(self, why: str) -> None:
        self._interrupted = self._interrupted or why
        self._phase = "draining"
        if self._scheduler is None:
            self._comparing.set()
        else:
            self._scheduler.stop()

    def abort(self) -> None:
        """Drop what is in flight and end; what the store acknowledged is safe."""
        self._calls.call(self._abort_now)

    def _abort_now(self) -> None:
        self._interrupted = "abort"
        self._comparing.set()
        if self._scheduler is not None:
            self._scheduler.abort()

    def progress(self) -> Progress | None:
        """Return how the run is doing, or None while the folder is not open yet."""
        return None if self._monitor is None else self._snapshot(self._monitor)

    def _snapshot(self, monitor: Monitor) -> Progress:
        monitor.counters.phase = self._phase
        statistics = self._scheduler.statistics() if self._scheduler else _NOTHING_IN_FLIGHT
        elapsed_s = time.monotonic() - self._started_at if self._started_at else 0.0
        return monitor.snapshot(statistics, elapsed_s, self._vitals.latest if self._vitals is not None else None)

    def _open(
        self, folder: RunFolder, store: RunStore, preparation: Preparation, prices: Mapping[str, Price | None]
    ) -> StoredState:
        """Record what a new run starts from, read what a resumed one holds, and keep this sitting's configuration."""
        templates = preparation.prompts.templates
        store.begin(preparation.seeds, {name: (t.sha256, t.source) for name, t in templates.items()})
        if preparation.against.files:
            store.set_meta("against", dumped(preparation.against.files))
        folder.write("config.yaml", recorded(self.config, folder.path))
        self._monitor = open_monitor(self.config, prices, folder.path, store, sample=self._sample)
        return store.state()

    async def _emit_stored(self) -> None:
        if self._on_example is None:
            return
        with RunReader(self.folder) as reader:
            for example in reader.examples():
                await self._on_example(example)

    async def _sit(self, desk: Desk, fleet: Fleet) -> str:
        """Work from the first request to the last, and record how it ended."""
        if self._on_endpoint is not None:
            self._on_endpoint(described(fleet))
        await asyncio.to_thread(desk.store.begin_sitting, __version__, described(fleet))
        ended_by = "failure"
        try:
            await probe_all(fleet)
            gc.collect()  # the scheduler keeps what is garbage now
            with self._time_limit(), self._watched(desk, fleet):
                ended_by = await self._generate(desk, fleet)
        finally:
            with suppress(StoreError):  # it is being reported
                await asyncio.to_thread(desk.monitor.accounts.settle)
            await asyncio.to_thread(desk.store.end_sitting, ended_by)
        return ended_by

    @contextmanager
    def _time_limit(self) -> Iterator[None]:
        """Stop the sitting when its time is up."""
        limit_s = self.config.budget.max_time_s
        if limit_s is None:
            yield
            return
        left_s = limit_s - (time.monotonic() - self._began_at)
        stop = Stop(rule="max_time", used=limit_s, limit=limit_s)
        timer = asyncio.get_running_loop().call_later(max(0.0, left_s), self._heed, stop)
        try:
            yield
        finally:
            timer.cancel()

    def _watched(self, desk: Desk, fleet: Fleet) -> Vitals:
        """Watch the process while the sitting works."""

        def end(stop: Stop) -> None:
            if desk.monitor.counters.remaining.is_any:
                self._heed(stop)
            elif self._scheduler is not None:  # all is done already
                self._scheduler.stop()

        record = partial(desk.store.note_meta, TELEMETRY)
        self._vitals = Vitals(fleet, record=record, end=end, max_memory_mib=self.config.runtime.max_memory_mib)
        return self._vitals

    def _heed(self, stop: Stop) -> None:
        """End the sitting by a rule, unless it is ending already; what a model gave before it ran dry is worked up."""
        if self._interrupted:
            return
        if stop.rule != "saturation":
            self._stop = stop
            self.stop(stop.rule)
        elif self._order is not None:
            self._stop = self._stop or stop
            self._order.run_dry()

    async def _generate(self, desk: Desk, fleet: Fleet) -> str:
        """Run all stages at once until there is nothing left to do."""
        self._started_at = time.monotonic()
        forms = await self._forms(desk, fleet)
        threshold = None if forms is None else await self._threshold(desk, fleet)
        if interruption := self._interruption():
            return interruption
        assert forms is not None  # else the sitting was to end
        self._phase = "generating"
        judge = await asyncio.to_thread(desk.new_judge, threshold, self._example_filter)
        stages = desk.preparation.stages(forms, with_logprobs=threshold is not None)
        self._order = order = await open_order(self.config, desk, judge, stages, self._act)
        scheduler: Scheduler[Task] = self._new_scheduler(desk, fleet)
        self._scheduler = scheduler
        desk.monitor.accounts.num_slots = scheduler.max_in_flight
        gate = desk.monitor.accounts.gate(order.source, scheduler)
        if (stop := desk.monitor.rules.saturation()) is not None:
            self._heed(stop)
        try:
            await order.begin()
            await scheduler.run(gate, order.deliver)
        finally:
            await order.close()
        return self._interruption() or self._ending(desk.monitor, gate)

    def _ending(self, monitor: Monitor, gate: Gate[Task]) -> str:
        """Return why there was nothing left to do."""
        if gate.refused is not None:
            self._stop = monitor.accounts.stop(gate.refused)
            return self._stop.rule
        if self._sample is not None and monitor.counters.remaining.is_any:
            return "estimate"
        if monitor.counters.remaining.num_to_admit:
            return "saturation"
        if monitor.counters.num_examples:
            return "target"
        self._stop = Stop(rule="no_examples", used=0, limit=1)
        return self._stop.rule

    def _interruption(self) -> str:
        """Return why the run was told to end; read anew after every await."""
        return self._interrupted

    async def _act(self, delivery: Delivery[Task], commit: Commit) -> None:
        """Let one durable commit take effect."""
        assert self._monitor is not None
        assert self._order is not None  # `_generate` has made it
        stop = self._monitor.count(delivery.job.request.key, commit)
        self._order.committed(commit)
        if stop is not None:
            self._heed(stop)
        if self._on_example is not None:
            for example in examples_of(delivery.job.about, commit):
                await self._on_example(example)

    async def _forms(self, desk: Desk, fleet: Fleet) -> Mapping[Stage, ReplyForm] | None:
        """Return how each stage's replies are asked for; None where the sitting is to end."""
        if self._interruption():
            return None
        self._phase = "asking what replies the endpoints bear"
        self._scheduler = probes = FormProbes(partial(self._new_scheduler, desk))
        try:
            found = await settled_forms(desk.preparation, desk.store, fleet, desk.monitor.accounts, probes)
        except FastInstructError:
            if self._interruption():
                return None
            raise
        if isinstance(found, Stop):
            self._heed(found)
            return None
        self._note(described_forms(found))
        return found

    def _note(self, text: str) -> None:
        if self._on_note is not None:
            self._on_note(text)

    async def _threshold(self, desk: Desk, fleet: Fleet) -> float | None:
        """Return the log-odds above which stage 2 says yes; None where it reads the reply, or the sitting is to end."""
        if not desk.preparation.uses_logprobs or self._interruption():
            return None

        def new_scheduler() -> Scheduler[int]:
            self._phase = "calibrating stage 2"
            self._scheduler = scheduler = self._new_scheduler(desk, fleet)
            return scheduler

        try:
            accounts, cache = desk.monitor.accounts, cache_folder(self._env)
            found = await run_threshold(desk.preparation, desk.store, cache, accounts, new_scheduler)
        except FastInstructError:
            if self._interruption():
                return None
            raise
        if isinstance(found, Stop):
            self._heed(found)
            return None
        return found

    def _new_scheduler(self, desk: Desk, fleet: Fleet) -> Scheduler[Any]:
        runtime = self.config.runtime
        scheduler: Scheduler[Any] = Scheduler(
            fleet,
            max_in_flight=fleet.max_in_flight,
            policy=RetryPolicy(max_attempts=runtime.max_attempts),
            rng=random.Random(),  # jitter must differ between processes that share a server
            max_outage_s=runtime.max_outage_s,
            drain_timeout_s=runtime.drain_timeout_s,
            strict_model=runtime.strict_model,
        )
        assert self._vitals is not None  # `_sit` has made them
        self._vitals.watch(scheduler)
        return scheduler
