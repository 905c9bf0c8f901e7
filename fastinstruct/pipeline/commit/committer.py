"""From answers to acknowledged commits, in order of arrival: the hand-off between network, judge and store.

Answers that come while others are judged form the next batch. The judge has a thread of its own; nothing is acted
upon before the store has it on disk, and then one commit after another in the order they were stored.

The first failure is final. If judging or storing fails, nothing is stored or acted upon after the gap; if acting
fails, answers that still come are stored, for they were paid for, but nothing follows from them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeAlias

from fastinstruct.errors import StoreError
from fastinstruct.lm.scheduling.scheduler import Delivery
from fastinstruct.pipeline.stages.base import Task
from fastinstruct.store import Commit, RunStore

__all__ = ["Committer", "Effect", "Judging"]

Effect: TypeAlias = "Callable[[Delivery[Task], Commit], Awaitable[None] | None]"
"""What a durable commit leads to; what it returns, if anything, is awaited before the next."""

_Waiting: TypeAlias = "tuple[Delivery[Task], asyncio.Future[None]]"
_Submitted: TypeAlias = "tuple[asyncio.Future[None], list[Commit], list[_Waiting]]"


class Judging(Protocol):
    """What decides about answers: `Admission`, or what draws after each (`windowed`)."""

    def settle(self, deliveries: Sequence[Delivery[Task]], /) -> list[Commit]:
        """Judge answers in this order; the commits are stored in the same order."""
        ...


class Committer:
    """Judges, stores and then acts.

    Args:
        judge: used in `thread` only.
        store: acknowledges in submission order.
        effects: what follows from one durable commit, one after another; called in commit order, never twice at a time.
        thread: the similarity thread, a pool of one.
    """

    def __init__(
        self,
        judge: Judging,
        store: RunStore,
        effects: Sequence[Effect],
        thread: ThreadPoolExecutor,
    ) -> None:
        self._judge = judge
        self._store = store
        self._effects = tuple(effects)
        self._thread = thread
        self._inbox: list[_Waiting] = []
        self._submitted: deque[_Submitted] = deque()
        self._unanswered: set[asyncio.Future[None]] = set()
        self._judging: asyncio.Task[None] | None = None
        self._acting: asyncio.Task[None] | None = None
        self._gap: Exception | None = None  # why nothing more is stored
        self._failure: Exception | None = None  # why nothing more is acted upon

    async def deliver(self, delivery: Delivery[Task]) -> None:
        """Return when the delivery is durable and acted upon.

        Raises:
            StoreError: it could not be stored, or this is closed; nothing was acted upon.
            Exception: what an effect raised, for this delivery or one before it.
        """
        done = self._taken_in(delivery)
        try:
            await done
        finally:
            self._unanswered.discard(done)

    async def deliver_all(self, deliveries: Sequence[Delivery[Task]]) -> None:
        """Return when these, in this order and with none between them, are durable and acted upon.

        Raises:
            StoreError, Exception: as `deliver`, for the first that fails.
        """
        waiting = [self._taken_in(delivery) for delivery in deliveries]
        try:
            await asyncio.gather(*waiting)
        finally:
            self._unanswered.difference_update(waiting)

    def _taken_in(self, delivery: Delivery[Task]) -> asyncio.Future[None]:
        """Queue a delivery; the future tells when it is durable and acted upon."""
        if self._gap is not None:
            raise self._gap
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._unanswered.add(done)
        self._inbox.append((delivery, done))
        if self._judging is None:
            self._judging = asyncio.create_task(self._judge_all())
        return done

    async def close(self) -> None:
        """Store and act upon nothing more; whoever still waits is cancelled. Call it before the store is closed."""
        self._gap = self._gap or StoreError("the run is closed")
        tasks = [task for task in (self._judging, self._acting) if task is not None]
        unneeded = [*(acknowledged for acknowledged, _, _ in self._submitted), *self._unanswered]
        for one in [*tasks, *unneeded]:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _judge_all(self) -> None:
        """Judge batch after batch; while one is being forced to disk the next is judged."""
        loop = asyncio.get_running_loop()
        try:
            while self._inbox:
                batch, self._inbox = self._inbox, []
                try:
                    commits = await loop.run_in_executor(self._thread, self._judge.settle, [d for d, _ in batch])
                    if self._gap is not None:
                        raise self._gap
                    acknowledged = asyncio.wrap_future(self._store.submit(commits))
                except Exception as error:  # noqa: BLE001 - whoever waits for the batch has to know
                    self._gap = self._gap or error
                    _answer(batch, self._gap)
                    continue
                self._submitted.append((acknowledged, commits, batch))
                if self._acting is None:
                    self._acting = asyncio.create_task(self._act_all())
        finally:
            self._judging = None

    async def _act_all(self) -> None:
        """Act upon batch after batch, as the store acknowledges them."""
        try:
            while self._submitted:
                acknowledged, commits, batch = self._submitted.popleft()
                try:
                    await acknowledged
                except Exception as error:  # noqa: BLE001 - as above
                    self._gap = self._gap or error
                    self._failure = self._failure or error
                await self._act_upon(commits, batch)
        finally:
            self._acting = None

    async def _act_upon(self, commits: list[Commit], batch: list[_Waiting]) -> None:
        for waiting, commit in zip(batch, commits, strict=True):
            if self._failure is None:
                try:
                    for effect in self._effects:
                        found = effect(waiting[0], commit)
                        if found is not None:
                            await found
                except Exception as error:  # noqa: BLE001 - as above, and for all that come later
                    self._failure = error
            _answer([waiting], self._failure)


def _answer(batch: Iterable[_Waiting], failure: Exception | None) -> None:
    for _, done in batch:
        if done.done():  # its task was cancelled
            continue
        if failure is None:
            done.set_result(None)
        else:
            done.set_exception(failure)
