"""The two orders in which answers are committed: as they arrive, or as they were drawn (`windowed`).

Joins work, judge, store and committer for either. Knows nothing of endpoints.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fastinstruct.config import InstructionsConfig, RunConfig
from fastinstruct.lm.scheduling.job import Delivery, Source
from fastinstruct.pipeline.budget.stop_rules import Saturation
from fastinstruct.pipeline.commit.admission import Admission
from fastinstruct.pipeline.commit.committer import Committer, Effect
from fastinstruct.pipeline.commit.early_answers import loaded_answer
from fastinstruct.pipeline.commit.windowed import DrawingAdmission, DrawnWork, InOrder
from fastinstruct.pipeline.pool.queue import Queue
from fastinstruct.pipeline.pool.task_pool import TaskPool
from fastinstruct.pipeline.stages.base import Task
from fastinstruct.pipeline.stages.bound import Stages
from fastinstruct.store import Commit, DrawRow, PendingDraw, RunStore, StoredState, damaged_draw

__all__ = ["CommitOrder", "OrderParts", "open_order"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderParts:
    """What either order is made of.

    Attributes:
        config: the run's.
        settings: of the stage that makes candidates.
        admission: judges.
        stages: writes requests out.
        store, thread: where answers are kept, and the similarity thread.
        state: what earlier sessions left.
        new_pool: returns a task pool that holds what is durable.
        new_saturation: returns the rule that says whether a model has run dry.
        effects: what follows from a durable commit, after its order has heard of it.
        on_kept: told the key of a request whose answer is kept until its turn.
    """

    config: RunConfig
    settings: InstructionsConfig
    admission: Admission
    stages: Stages
    store: RunStore
    thread: ThreadPoolExecutor
    state: StoredState
    new_pool: Callable[[], TaskPool]
    new_saturation: Callable[[], Saturation]
    effects: Sequence[Effect]
    on_kept: Callable[[str], None]


class CommitOrder(ABC):
    """Where jobs come from, and what becomes of their answers. `source` is for the scheduler, `deliver` as well."""

    source: Source[Task]

    async def begin(self) -> None:  # noqa: B027 - an order may have nothing to do here
        """Commit what an earlier sitting left to be committed; call it once, before the first delivery."""

    @abstractmethod
    async def deliver(self, delivery: Delivery[Task]) -> None:
        """Return when a delivery is durable, and acted upon if it is its turn.

        Raises:
            Exception: it could not be stored or acted upon; nothing more will be.
        """

    @abstractmethod
    def run_dry(self) -> None:
        """Ask for no more new instructions; what was admitted is still worked up."""

    @abstractmethod
    async def close(self) -> None:
        """Commit nothing more."""


async def open_order(parts: OrderParts) -> CommitOrder:
    """Return the configured order."""
    queue = Queue(
        parts.new_pool(),
        parts.stages,
        target=parts.config.target,
        settings=parts.settings,
        rng_seed=parts.config.rng_seed,
    )
    queue.resume(parts.state)
    return _Arrival(parts, queue) if parts.config.runtime.commit_order == "arrival" else await _windowed(parts, queue)


async def _windowed(parts: OrderParts, queue: Queue) -> CommitOrder:
    pending = [draw.row for draw in parts.state.pending]
    drawing = DrawingAdmission(
        parts.admission, queue, parts.new_saturation(), window=parts.config.runtime.window, pending=pending
    )
    drawn = drawing.draw()
    await asyncio.to_thread(parts.store.keep_draws, drawn)
    source = DrawnWork(parts.new_pool(), parts.stages)
    source.add([*(draw.row for draw in parts.state.pending if draw.answer is None), *drawn])
    early = [_early(parts, draw, source) for draw in parts.state.pending if draw.answer is not None]
    return _Windowed(parts, drawing, source, pending=[*pending, *drawn], early=early)


def _early(parts: OrderParts, draw: PendingDraw, source: DrawnWork) -> Delivery[Task]:
    """Return the answer that an earlier session kept.

    Raises:
        RunFolderError: it is damaged.
    """
    try:
        return loaded_answer(draw, source.job)
    except ValueError as error:
        raise damaged_draw(parts.store.path, draw.row.place) from error


class _Arrival(CommitOrder):
    def __init__(self, parts: OrderParts, queue: Queue) -> None:
        self.source = self._queue = queue
        self._committer = Committer(parts.admission, parts.store, (self._committed, *parts.effects), parts.thread)

    async def deliver(self, delivery: Delivery[Task]) -> None:
        await self._committer.deliver(delivery)

    def run_dry(self) -> None:
        self._queue.close()

    async def close(self) -> None:
        await self._committer.close()

    def _committed(self, _: Delivery[Task], commit: Commit) -> None:
        self._queue.committed(commit)


class _Windowed(CommitOrder):
    def __init__(
        self,
        parts: OrderParts,
        drawing: DrawingAdmission,
        source: DrawnWork,
        *,
        pending: Sequence[DrawRow],
        early: Sequence[Delivery[Task]],
    ) -> None:
        self.source = self._drawn = source
        self._committer = Committer(drawing, parts.store, (self._committed, *parts.effects), parts.thread)
        self._in_order = InOrder(
            self._committer,
            parts.store,
            on_kept=parts.on_kept,
            pending=pending,
            early={delivery.job.request.key: delivery for delivery in early},
        )

    async def begin(self) -> None:
        await self._in_order.begin()

    async def deliver(self, delivery: Delivery[Task]) -> None:
        await self._in_order.deliver(delivery)

    def run_dry(self) -> None:
        """Do nothing: admission sees by itself that the model has run dry, at the same place in every run."""

    async def close(self) -> None:
        await self._committer.close()

    def _committed(self, _: Delivery[Task], commit: Commit) -> None:
        self._in_order.committed(commit)
        self._drawn.committed(commit)
