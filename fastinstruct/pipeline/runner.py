"""A run from start to end: opens everything, joins the stages over one scheduler, and closes everything again.

The only place where store, index, model and stages meet. Guarantees: a run folder has one writer; every sitting ends
with the store closed, whatever happened; running the same configuration again goes on where the last sitting ended.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from fastinstruct import __version__
from fastinstruct.config import RunConfig
from fastinstruct.config.environment import cache_folder, process_environment
from fastinstruct.config.recording import recorded
from fastinstruct.errors import Aborted, EndpointError, FastInstructError
from fastinstruct.files.against import dumped
from fastinstruct.lm import RetryPolicy
from fastinstruct.lm.fleet import Fleet
from fastinstruct.lm.scheduler import Delivery, Scheduler, SchedulerStatistics
from fastinstruct.pipeline.against import indexed
from fastinstruct.pipeline.committer import Committer
from fastinstruct.pipeline.connecting import connected, described, probe_all
from fastinstruct.pipeline.deciding import cached_calibration, calibrate
from fastinstruct.pipeline.judge import Judge
from fastinstruct.pipeline.pool import TaskPool
from fastinstruct.pipeline.preparation import Preparation, prepare
from fastinstruct.pipeline.progress import Counters, Progress
from fastinstruct.pipeline.reading import reading_of
from fastinstruct.pipeline.serving import max_in_flight
from fastinstruct.pipeline.stages import Task
from fastinstruct.pipeline.work import Work
from fastinstruct.records import Example, Stage
from fastinstruct.similarity import RougeIndex, warm_up
from fastinstruct.store import FORMAT_VERSION, Commit, RequestRow, RunFolder, RunReader, RunStore, StoredState

__all__ = ["Run", "RunResult"]

_NOTHING_IN_FLIGHT = SchedulerStatistics(num_in_flight=0, num_waiting=0, num_attempts=0, num_failed_attempts=0)
# So many requests given up in a row: whatever it is, it concerns them all. Fewer will do while none has succeeded.
_MAX_FAILED, _MAX_FAILED_FIRST = 50, 5
_MAX_BARREN = 50  # so many stage-1 requests in a row without one new instruction: the model has run dry

_EXIT_CODES = {"target": 0, "saturation": 3, "interrupt": 130, "terminate": 143}

Listener = Callable[[Example], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Desk:
    """What one sitting works with."""

    store: RunStore
    state: StoredState
    preparation: Preparation
    index: RougeIndex
    against: RougeIndex | None
    thread: ThreadPoolExecutor


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a sitting ended: `ended_by` is target, interrupt, terminate or saturation."""

    folder: Path
    ended_by: str
    progress: Progress

    @property
    def exit_code(self) -> int:
        """Return what a command line exits with: 0 at the target, 3 if it stopped early, 130 and 143 for signals."""
        return _EXIT_CODES[self.ended_by]


class Run:
    """One sitting of a run. Make it, `await execute()` once; `stop` and `abort` may be called meanwhile.

    Args:
        config: what to run; `config.out` names the folder (by default runs/<name of the seed file>).
        env: where keys and the cache folder are looked up; by default the environment of the process.
        on_endpoint: called with the endpoint's description before the first request.
        on_example: awaited with each example once it is durable; a slow listener slows the run.
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        env: Mapping[str, str] | None = None,
        on_endpoint: Callable[[str], None] | None = None,
        on_example: Listener | None = None,
    ) -> None:
        self.config = config
        self.folder = config.out or Path("runs") / (config.seeds.stem if config.seeds else "seed_tasks")
        self._env = process_environment() if env is None else env
        self._on_endpoint = on_endpoint
        self._on_example = on_example
        self._counters: Counters | None = None
        self._scheduler: Scheduler[Task] | Scheduler[int] | None = None
        self._work: Work | None = None
        self.num_against = 0
        """How many evaluation texts new instructions are kept away from, once the files have been read."""
        self._started_at: float | None = None
        self._phase = "starting"
        self._interrupted = ""
        self._failed_in_row = 0
        self._has_succeeded = False

    async def execute(self) -> RunResult:
        """Run until the target is reached, or `stop`, or nothing new comes.

        Raises:
            InputError: seeds, configuration or run folder are unusable.
            EndpointError, EmbeddedModelError: the model is unusable; what was stored stays, and the run can go on.
            StoreError: the disk is full or fails.
            Aborted: `abort` was called; what was in flight is not in the store.
        """
        async with AsyncExitStack() as stack:
            thread = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="fastinstruct-similarity"))
            preparation = await asyncio.to_thread(prepare, self.config, self._env)
            self.num_against = preparation.against.num_texts
            folder = stack.enter_context(RunFolder(self.folder))
            about = {"fastinstruct": __version__, "format": FORMAT_VERSION}
            await asyncio.to_thread(folder.claim, preparation.identity(), about)
            store = await asyncio.to_thread(RunStore, folder.database)
            stack.callback(store.close)
            state = await asyncio.to_thread(self._open, folder, store, preparation)
            indexing = asyncio.get_running_loop().run_in_executor(thread, self._build_indexes, preparation, state)
            await self._emit_stored()
            is_local = any(model.embedded for model in preparation.models.values())
            self._phase = "loading the model" if is_local else "connecting"
            fleet = await stack.enter_async_context(connected(preparation, self._env))
            index, against = await indexing
            desk = _Desk(store=store, state=state, preparation=preparation, index=index, against=against, thread=thread)
            ended_by = await self._sit(desk, fleet)
        self._phase = "done"
        if ended_by == "abort":
            raise Aborted("aborted; what the store had acknowledged is safe: run the same command to go on")
        return RunResult(folder=self.folder, ended_by=ended_by, progress=self._snapshot())

    def stop(self, why: str = "interrupt") -> None:
        """Send nothing new and finish what is in flight; the run can go on later."""
        self._interrupted = self._interrupted or why
        self._phase = "draining"
        if self._scheduler is not None:
            self._scheduler.stop()

    def abort(self) -> None:
        """Drop what is in flight and end; what the store acknowledged is safe."""
        self._interrupted = "abort"
        if self._scheduler is not None:
            self._scheduler.abort()

    def progress(self) -> Progress | None:
        """Return how the run is doing, or None while the folder is not open yet."""
        return None if self._counters is None else self._snapshot()

    def _snapshot(self) -> Progress:
        assert self._counters is not None  # the folder is open
        self._counters.phase = self._phase
        statistics = self._scheduler.statistics() if self._scheduler else _NOTHING_IN_FLIGHT
        elapsed_s = time.monotonic() - self._started_at if self._started_at else 0.0
        return self._counters.snapshot(statistics, elapsed_s)

    def _open(self, folder: RunFolder, store: RunStore, preparation: Preparation) -> StoredState:
        """Record what a new run starts from, read what a resumed one holds, and keep this sitting's configuration."""
        templates = preparation.prompts.templates
        store.begin(preparation.seeds, {name: (t.sha256, t.source) for name, t in templates.items()})
        if preparation.against.files:
            store.set_meta("against", dumped(preparation.against.files))
        folder.write("config.yaml", recorded(self.config, folder.path))
        with RunReader(folder.path) as reader:
            self._counters = Counters(self.config.target, reader.totals())
        return store.state()

    def _build_indexes(self, preparation: Preparation, state: StoredState) -> tuple[RougeIndex, RougeIndex | None]:
        """Load or compile the kernels, index pool and evaluation texts; runs in the similarity thread."""
        warm_up()
        similarity = self.config.similarity
        index = RougeIndex(threshold=similarity.threshold, tokenizer=similarity.tokenizer)
        index.add([seed.instruction for seed in preparation.seeds])
        index.add(list(state.instructions))
        return index, indexed(preparation.against, similarity, preparation.seeds)

    async def _emit_stored(self) -> None:
        if self._on_example is None:
            return
        with RunReader(self.folder) as reader:
            for example in reader.examples():
                await self._on_example(example)

    async def _sit(self, desk: _Desk, fleet: Fleet) -> str:
        """Work from the first request to the last, and record how it ended."""
        if self._on_endpoint is not None:
            self._on_endpoint(described(fleet))
        await asyncio.to_thread(desk.store.begin_sitting, __version__, described(fleet))
        ended_by = "failure"
        try:
            await probe_all(fleet)
            ended_by = await self._generate(desk, fleet)
        finally:
            await asyncio.to_thread(desk.store.end_sitting, ended_by)
        return ended_by

    async def _generate(self, desk: _Desk, fleet: Fleet) -> str:
        """Run all stages at once until there is nothing left to do."""
        self._started_at = time.monotonic()
        threshold = await self._threshold(desk, fleet)
        if interruption := self._interruption():
            return interruption
        self._phase = "generating"
        self._work = work = self._new_work(desk, with_logprobs=threshold is not None)
        judge = Judge(
            reading_of(self.config, desk.preparation.api, desk.preparation.prompts.phrases()),
            desk.index,
            num_seeds=len(desk.preparation.seeds),
            rng_seed=self.config.rng_seed,
            threshold=threshold,
            next_request_id=desk.state.next_request_id,
            next_candidate_id=desk.state.next_candidate_id,
            against=desk.against,
        )
        committer = Committer(judge, desk.store, self._act, desk.thread)
        scheduler: Scheduler[Task] = self._new_scheduler(desk, fleet)
        self._scheduler = scheduler
        try:
            await scheduler.run(work, committer.deliver)
        finally:
            await committer.close()
        if interruption := self._interruption():
            return interruption
        return "target" if work.num_admitted >= self.config.target else "saturation"

    def _interruption(self) -> str:
        """Return why the run was told to end; read anew after every await."""
        return self._interrupted

    async def _act(self, delivery: Delivery[Task], commit: Commit) -> None:
        """Let one durable commit take effect."""
        assert self._counters is not None
        assert self._work is not None
        self._counters.count(commit)
        self._watch_failures(commit.request)
        if commit.request.stage is Stage.INSTRUCTIONS:
            self._generated(self._work, commit)
        if (row := commit.classification) is not None:
            self._work.classified(row.instruction_id, row.is_classification)
        if self._on_example is not None:
            for example in _examples(delivery.job.about, commit):
                await self._on_example(example)

    def _generated(self, work: Work, commit: Commit) -> None:
        """Let new instructions join the pool, and notice when there are none any more."""
        if commit.request.outcome != "ok":
            work.gave_up()
            return
        work.admitted(row.text for row in commit.instructions)
        work.generated(len(commit.instructions))
        if work.num_barren >= _MAX_BARREN:
            work.close()

    def _watch_failures(self, request: RequestRow) -> None:
        """End a run whose requests all fail: each is given up after several attempts, and nothing gets better."""
        self._has_succeeded = self._has_succeeded or request.outcome == "ok"
        self._failed_in_row = 0 if request.outcome == "ok" else self._failed_in_row + 1
        if self._failed_in_row >= (_MAX_FAILED if self._has_succeeded else _MAX_FAILED_FIRST):
            raise EndpointError(
                f"the last {self._failed_in_row} requests failed ({request.outcome}: {request.detail}); "
                "what was answered is stored: run the same command to go on"
            )

    async def _threshold(self, desk: _Desk, fleet: Fleet) -> float | None:
        """Return the log-odds above which stage 2 says yes: the run's own, a cached one, or a fresh calibration."""
        preparation = desk.preparation
        if not preparation.uses_logprobs or self._interruption():
            return None
        stored = await asyncio.to_thread(desk.store.get_meta, "stage2_threshold")
        if stored is not None:
            return cast(float | None, json.loads(stored))
        cache = cache_folder(self._env)
        found = cached_calibration(preparation, cache)
        if found is None:
            self._phase = "calibrating stage 2"
            scheduler: Scheduler[int] = self._new_scheduler(desk, fleet)
            self._scheduler = scheduler
            try:
                found = await calibrate(preparation, scheduler, cache)
            except FastInstructError:
                if self._interruption():
                    return None
                raise
        await asyncio.to_thread(desk.store.set_meta, "stage2_threshold", json.dumps(found.threshold))
        return found.threshold

    def _new_work(self, desk: _Desk, *, with_logprobs: bool) -> Work:
        settings = self.config.instructions
        pool = TaskPool([seed.instruction for seed in desk.preparation.seeds], desk.state.instructions)
        work = Work(
            pool,
            desk.preparation.stages(with_logprobs=with_logprobs),
            target=self.config.target,
            num_in_context=settings.num_in_context,
            num_machine=settings.num_machine_in_context,
            rng_seed=self.config.rng_seed,
            expected_yield=settings.num_items,
        )
        work.resume(desk.state)
        return work

    def _new_scheduler(self, desk: _Desk, fleet: Fleet) -> Scheduler[Any]:
        runtime = self.config.runtime
        return Scheduler(
            fleet,
            max_in_flight=max_in_flight(self.config, desk.preparation.model, len(fleet.channels)),
            policy=RetryPolicy(max_attempts=runtime.max_attempts),
            rng=random.Random(),  # jitter must differ between processes that share a server
            max_outage_s=runtime.max_outage_s,
            drain_timeout_s=runtime.drain_timeout_s,
            strict_model=runtime.strict_model,
        )


def _examples(task: Task, commit: Commit) -> list[Example]:
    return [
        Example(
            id=f"m{row.instruction_id}-{row.item}",
            instruction=task.instruction,
            input=row.input,
            output=row.output,
            is_classification=task.is_classification,
        )
        for row in commit.instances
        if row.reason is None
    ]
