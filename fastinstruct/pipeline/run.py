"""A run, for whoever starts it: begin it, ask how it is doing, tell it to end."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fastinstruct.config import RunConfig
from fastinstruct.config.environment import process_environment
from fastinstruct.errors import Aborted, ConfigError, Terminated
from fastinstruct.pipeline.budget.ledger import Price
from fastinstruct.pipeline.budget.prices import described as described_prices
from fastinstruct.pipeline.budget.stop_rules import Stop
from fastinstruct.pipeline.control import Control
from fastinstruct.pipeline.monitoring.monitor import Monitor
from fastinstruct.pipeline.monitoring.progress import Progress
from fastinstruct.pipeline.opening import opened
from fastinstruct.pipeline.preparation import Preparation
from fastinstruct.pipeline.recipes import Recipe
from fastinstruct.pipeline.session import InterruptedSession, Listeners, Opening
from fastinstruct.records import Example
from fastinstruct.text.custom_filters import CustomFilter, ExampleFilter

__all__ = ["Run", "RunResult", "run_folder"]

Listener = Callable[[Example], Awaitable[None]]


class Run:
    """One session of a run. Make it, `await execute()` once; any thread may call `stop` and `abort` meanwhile.

    Guarantees: a run folder has one writer; every session ends with the store closed, whatever happened; running the
    same configuration again goes on where the last session ended.

    Args:
        config: what to run; `config.out` names the folder (by default runs/<name of the seed file>).
        env: where keys and the cache folder are looked up; by default the environment of the process.
        on_endpoint, on_note: called with the endpoint's description before the first request, and with what may matter.
        on_example: awaited with each example once it is durable; a slow listener slows the run.
        sample: send at most so many requests of each stage, to see what the rest will take (`Progress.projection`).
        example_filter: the caller's own: asked about each example that everything else lets through.
        restart: begin anew in the same folder; what an earlier run left is moved to `earlier` in it, not deleted.
        recipe: the caller's own stages; by default those that the configuration names.

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
        recipe: Recipe | None = None,
    ) -> None:
        if sample is not None and config.runtime.commit_order == "windowed":
            raise ConfigError(
                "runtime.commit_order: a few requests tell nothing in the order windowed, where later stages wait for "
                "all that was drawn before; estimate with --set runtime.commit_order=arrival and another --out"
            )
        self.config = config if recipe is None else config.model_copy(update={"recipe": recipe.name})
        self.folder = run_folder(config)
        self.num_against = 0
        """How many evaluation texts new instructions are kept away from, once the files have been read."""
        self.prices: list[str] = []
        """What the models cost, one line each, once that has been looked up."""
        self._opening = Opening(
            config=self.config,
            folder=self.folder,
            env=process_environment() if env is None else env,
            recipe=recipe,
            sample=sample,
            example_filter=None if example_filter is None else CustomFilter(example_filter),
            restart=restart,
        )
        self._listeners = Listeners(
            on_endpoint=on_endpoint or _ignored,
            on_note=on_note or _ignored,
            on_example=on_example,
            on_open=self._opened,
        )
        self._control = Control()
        self._monitor: Monitor | None = None

    async def execute(self) -> RunResult:
        """Run until the target is reached, or `stop`, or a budget is used up, or nothing new comes.

        Raises:
            InputError: seeds, configuration or run folder are unusable.
            EndpointError, EmbeddedModelError: the model is unusable; what was stored stays, and the run can go on.
            ParserFailed: too many replies could not be parsed.
            StoreError: the disk is full or fails.
            Aborted: `abort` was called; what was in flight is not in the store.
        """
        control = self._control
        try:
            async with opened(self._opening, control, self._listeners) as session:
                ended_by = await session.work()
        except InterruptedSession:
            ended_by = control.interruption()
        control.phase = "done"
        if ended_by == "abort":
            told = "aborted; what the store had acknowledged is safe: run the same command to go on"
            raise (Terminated if control.was_terminated else Aborted)(told)
        stop = control.stopped_by if control.stopped_by and control.stopped_by.rule == ended_by else None
        assert self._monitor is not None  # a session that was open, or nearly, has told of it
        return RunResult(folder=self.folder, ended_by=ended_by, progress=self._snapshot(self._monitor), stop=stop)

    def stop(self, why: str = "interrupt") -> None:
        """Send nothing new and finish what is in flight; the run can go on later."""
        self._control.stop(why)

    def abort(self) -> None:
        """Drop what is in flight and end; what the store acknowledged is safe."""
        self._control.abort()

    def progress(self) -> Progress | None:
        """Return how the run is doing, or None while the folder is not open yet."""
        return None if self._monitor is None else self._snapshot(self._monitor)

    def _snapshot(self, monitor: Monitor) -> Progress:
        control = self._control
        elapsed_s = time.monotonic() - control.started_at if control.started_at is not None else 0.0
        return monitor.snapshot(control.phase, control.statistics(), elapsed_s)

    def _opened(self, preparation: Preparation, prices: Mapping[str, Price | None], monitor: Monitor) -> None:
        self.config = preparation.config
        self.num_against = preparation.against.num_texts
        self.prices = described_prices(prices, self.config)
        self._monitor = monitor


def run_folder(config: RunConfig) -> Path:
    """Return the folder of a run, whether it is there or not."""
    return config.out or Path("runs") / (config.seeds.stem if config.seeds else "seed_tasks")


def _ignored(_: str) -> None:
    """Nobody listens."""


_EXIT_CODES = {"target": 0, "estimate": 0, "interrupt": 130, "terminate": 143}
_STOPPED_EARLY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a sitting ended.

    `ended_by` is target, estimate, interrupt, terminate, or the rule that `stop` tells of: max_cost, max_tokens,
    max_requests, max_time, max_memory, error_rate or saturation.
    """

    folder: Path
    ended_by: str
    progress: Progress
    stop: Stop | None = None

    @property
    def exit_code(self) -> int:
        """Return what a command line exits with: 0 if done or estimated, 3 if stopped early, else 130 or 143."""
        return _EXIT_CODES.get(self.ended_by, _STOPPED_EARLY)
