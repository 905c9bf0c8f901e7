"""From answers to acknowledged commits, in order of arrival: the hand-off between network, judge and store.

Answers that come while others are judged form the next batch. The judge has a thread of its own; nothing is acted
upon before the store has it on disk, and then in the order it was stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from fastinstruct.lm.scheduler import Delivery
from fastinstruct.pipeline.judge import Judge
from fastinstruct.pipeline.stages import Task
from fastinstruct.store import Commit, RunStore

__all__ = ["Committer"]

_Waiting: TypeAlias = "tuple[Delivery[Task], asyncio.Future[None]]"


class Committer:
    """Judges, stores and then acts.

    Args:
        judge: used in `thread` only.
        store: acknowledges in submission order.
        act: what follows from one durable commit; called in commit order.
        thread: the similarity thread, a pool of one.
    """

    def __init__(
        self,
        judge: Judge,
        store: RunStore,
        act: Callable[[Delivery[Task], Commit], Awaitable[None]],
        thread: ThreadPoolExecutor,
    ) -> None:
        self._judge = judge
        self._store = store
        self._act = act
        self._thread = thread
        self._inbox: list[_Waiting] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_judging = False

    async def deliver(self, delivery: Delivery[Task]) -> None:
        """Return when the delivery is durable and acted upon.

        Raises:
            StoreError: it could not be stored; nothing was acted upon.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inbox.append((delivery, done))
        if not self._is_judging:
            self._is_judging = True
            self._start(self._judge_all())
        await done

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _judge_all(self) -> None:
        """Judge batch after batch; while one is being forced to disk the next is judged."""
        loop = asyncio.get_running_loop()
        try:
            while self._inbox:
                batch, self._inbox = self._inbox, []
                try:
                    commits = await loop.run_in_executor(self._thread, self._judge.settle, [d for d, _ in batch])
                    acknowledged = asyncio.wrap_future(self._store.submit(commits))
                except Exception as error:  # noqa: BLE001 - whoever waits for the batch has to know
                    _fail(batch, error)
                else:
                    self._start(self._acknowledge(acknowledged, commits, batch))
        finally:
            self._is_judging = False

    async def _acknowledge(
        self, acknowledged: asyncio.Future[None], commits: list[Commit], batch: list[_Waiting]
    ) -> None:
        try:
            await acknowledged
            for (delivery, done), commit in zip(batch, commits, strict=True):
                await self._act(delivery, commit)
                if not done.done():  # its task may have been cancelled
                    done.set_result(None)
        except Exception as error:  # noqa: BLE001 - as above
            _fail(batch, error)


def _fail(batch: list[_Waiting], error: Exception) -> None:
    for _, done in batch:
        if not done.done():
            done.set_exception(error)
