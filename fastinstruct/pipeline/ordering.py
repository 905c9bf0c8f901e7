"""The two orders in which answers are committed: as they arrive, or as they were drawn (`windowed`).

Joins work, judge, store and committer for either. Knows nothing of endpoints.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from fastinstruct.config import RunConfig
from fastinstruct.lm.jobs import Delivery, Source
from fastinstruct.pipeline.committer import Committer
from fastinstruct.pipeline.desk import Desk
from fastinstruct.pipeline.early_answers import loaded_answer
from fastinstruct.pipeline.judge import Judge
from fastinstruct.pipeline.stages import Stages, Task
from fastinstruct.pipeline.windowed import DrawingJudge, DrawnWork, InOrder
from fastinstruct.pipeline.work import Work
from fastinstruct.store import Commit, PendingDraw, damaged_draw

__all__ = ["CommitOrder", "open_order"]

Act: TypeAlias = Callable[[Delivery[Task], Commit], Awaitable[None]]


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
    def committed(self, commit: Commit) -> None:
        """Let a durable commit take effect: what can be shown, and what is asked next."""

    @abstractmethod
    def run_dry(self) -> None:
        """Ask for no more new instructions; what was admitted is still worked up."""

    @abstractmethod
    async def close(self) -> None:
        """Commit nothing more."""


async def open_order(config: RunConfig, desk: Desk, judge: Judge, stages: Stages, act: Act) -> CommitOrder:
    """Return the configured order. `act` is told each commit, in order, once it is durable."""
    work = _new_work(config, desk, stages)
    if config.runtime.commit_order == "arrival":
        return _Arrival(work, Committer(judge, desk.store, act, desk.thread))
    pending = [draw.row for draw in desk.state.pending]
    saturation = desk.monitor.rules.new_saturation()
    drawing = DrawingJudge(judge, work, saturation, window=config.runtime.window, pending=pending)
    drawn = drawing.draw()
    await asyncio.to_thread(desk.store.keep_draws, drawn)
    source = DrawnWork(desk.new_pool(), stages)
    source.add([*(draw.row for draw in desk.state.pending if draw.answer is None), *drawn])
    early = [_early(desk, draw, source) for draw in desk.state.pending if draw.answer is not None]
    committer = Committer(drawing, desk.store, act, desk.thread)
    in_order = InOrder(
        committer,
        desk.store,
        on_kept=desk.monitor.accounts.kept,
        pending=[*pending, *drawn],
        early={delivery.job.request.key: delivery for delivery in early},
    )
    return _Windowed(source, in_order, committer)


def _early(desk: Desk, draw: PendingDraw, source: DrawnWork) -> Delivery[Task]:
    """Return the answer that an earlier sitting kept.

    Raises:
        RunFolderError: it is damaged.
    """
    try:
        return loaded_answer(draw, source.job)
    except ValueError as error:
        raise damaged_draw(desk.store.path, draw.row.place) from error


def _new_work(config: RunConfig, desk: Desk, stages: Stages) -> Work:
    settings = config.instructions
    work = Work(
        desk.new_pool(),
        stages,
        target=config.target,
        num_in_context=settings.num_in_context,
        num_machine=settings.num_machine_in_context,
        rng_seed=config.rng_seed,
        expected_yield=settings.num_items,
    )
    work.resume(desk.state)
    return work


class _Arrival(CommitOrder):
    def __init__(self, work: Work, committer: Committer) -> None:
        self.source = self._work = work
        self._committer = committer

    async def deliver(self, delivery: Delivery[Task]) -> None:
        await self._committer.deliver(delivery)

    def committed(self, commit: Commit) -> None:
        self._work.committed(commit)

    def run_dry(self) -> None:
        self._work.close()

    async def close(self) -> None:
        await self._committer.close()


class _Windowed(CommitOrder):
    def __init__(self, source: DrawnWork, in_order: InOrder, committer: Committer) -> None:
        self.source = self._drawn = source
        self._in_order = in_order
        self._committer = committer

    async def begin(self) -> None:
        await self._in_order.begin()

    async def deliver(self, delivery: Delivery[Task]) -> None:
        await self._in_order.deliver(delivery)

    def committed(self, commit: Commit) -> None:
        self._in_order.committed(commit)
        self._drawn.committed(commit)

    def run_dry(self) -> None:
        """Do nothing: the judge sees by itself that the model has run dry, at the same place in every run."""

    async def close(self) -> None:
        await self._committer.close()
