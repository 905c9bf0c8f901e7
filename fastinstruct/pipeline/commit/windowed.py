"""The commit order `windowed`: the same seed and the same replies give the same data, whatever the latencies.

Requests are committed in the order in which they were drawn, and so many at most are drawn ahead of their commit: what
request k asks is decided as of commit k - window. A straggler holds back what was drawn after it; that is the price.

    draw ─► [in flight, any order] ─► kept with its draw ─► its turn: judged, stored together with the draws that follow

`DrawingAdmission` decides, in the similarity thread; `DrawnWork` hands what is durable to the scheduler, and `InOrder`
takes the answers back into order, both on the event loop. Knows nothing of HTTP or SQLite.

To decide by a state that is a bounded number of steps old is the idea of stale synchronous parallel computing (Ho et
al. 2013, "More effective distributed ML via a stale synchronous parallel parameter server").
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from fastinstruct.lm import Ok
from fastinstruct.lm.scheduling.job import Delivery, Job, Source
from fastinstruct.pipeline.budget.stop_rules import Saturation
from fastinstruct.pipeline.commit.admission import Admission
from fastinstruct.pipeline.commit.committer import Committer
from fastinstruct.pipeline.commit.early_answers import dumped_answer
from fastinstruct.pipeline.pool.queue import Queue
from fastinstruct.pipeline.pool.task_pool import TaskPool
from fastinstruct.pipeline.stages.base import Task
from fastinstruct.pipeline.stages.bound import Stages
from fastinstruct.store import Commit, DrawRow, RunStore

__all__ = ["DrawingAdmission", "DrawnWork", "InOrder"]


class DrawingAdmission:
    """Judges answers in the order of their draws, and draws what follows from each. One thread at a time may use it.

    Args:
        admission: judges.
        queue: decides what is asked; this alone uses it.
        saturation: whether the model has run dry; this alone uses it.
        window: how many draws may be pending.
        pending: what earlier sittings drew and did not commit, in order.
    """

    def __init__(
        self, admission: Admission, queue: Queue, saturation: Saturation, *, window: int, pending: Iterable[DrawRow]
    ) -> None:
        self._admission = admission
        self._queue = queue
        self._saturation = saturation
        self._window = window
        self._pending = deque(pending)
        self._num_generating = sum(draw.stage == queue.generating for draw in self._pending)

    def draw(self) -> tuple[DrawRow, ...]:
        """Draw until the window is full or there is nothing to ask.

        No new instructions while the model has run dry, nor more than a quarter of the window at once: else a window
        that is larger than what the target needs would hold nothing else, and nothing would be worked up before all
        instructions are there.
        """
        drawn = []
        while len(self._pending) < self._window and (draw := self._queue.draw(self._may_draw)) is not None:
            self._pending.append(draw)
            self._num_generating += draw.stage == self._queue.generating
            drawn.append(draw)
        return tuple(drawn)

    def settle(self, deliveries: Sequence[Delivery[Task]]) -> list[Commit]:
        """Judge answers, the next in the order of draws each; each commit holds the draws that follow from it."""
        return [self._followed(commit) for commit in self._admission.settle(deliveries)]

    def _may_draw(self, stage: str) -> bool:
        if stage != self._queue.generating:
            return True
        return self._num_generating < max(1, self._window // 4) and self._saturation.stop() is None

    def _followed(self, commit: Commit) -> Commit:
        draw = self._pending.popleft()
        self._num_generating -= draw.stage == self._queue.generating
        assert (draw.stage, draw.number) == (commit.request.stage, commit.request.number)  # `InOrder` sees to it
        self._queue.committed(commit)
        self._saturation.count(commit)
        return replace(commit, place=draw.place, draws=self.draw())


class DrawnWork(Source[Task]):
    """A source of the draws that are durable: the earliest first, of those whose lane is open.

    Args:
        pool: the task pool as far as it is durable; this alone adds to it.
        stages: writes the requests out.
    """

    def __init__(self, pool: TaskPool, stages: Stages) -> None:
        self._pool = pool
        self._stages = stages
        self._unsent: dict[str, deque[DrawRow]] = {stage: deque() for stage in stages.names}
        self._drawn: dict[tuple[str, int], DrawRow] = {}

    def add(self, draws: Iterable[DrawRow]) -> None:
        """Take in draws, now that they are durable."""
        for draw in draws:
            self._unsent[draw.stage].append(draw)

    def job(self, draw: DrawRow) -> Job[Task]:
        """Write a draw out."""
        return self._stages.job(draw, self._pool)

    def next(self, is_open: Callable[[str], bool]) -> Job[Task] | None:
        first = [unsent[0] for stage, unsent in self._unsent.items() if unsent and is_open(stage)]
        if not first:
            return None
        draw = min(first, key=_place)
        self._unsent[draw.stage].popleft()
        self._drawn[draw.stage, draw.number] = draw
        return self.job(draw)

    def take_back(self, job: Job[Task]) -> None:
        task = job.about
        self._unsent[task.stage].appendleft(self._drawn.pop((task.stage, task.number)))

    def smaller(self, job: Job[Task]) -> Job[Task] | None:
        return self._stages.smaller(job)

    def committed(self, commit: Commit) -> None:
        """Let a durable commit take effect: its instructions can be shown, what was drawn after it can be asked."""
        for row in commit.instructions:
            self._pool.append(row.text)
        self._drawn.pop((commit.request.stage, commit.request.number), None)
        self.add(commit.draws)


class InOrder:
    """Takes answers as they come and commits them in the order of their draws.

    Args:
        committer: stores in the order in which it is handed deliveries.
        store: where an answer is kept until its turn, so that nothing paid for is asked again.
        on_kept: told the key of a request whose answer is kept.
        pending: the draws that are not committed, in order.
        early: key -> the answer that an earlier sitting kept.
    """

    def __init__(
        self,
        committer: Committer,
        store: RunStore,
        *,
        on_kept: Callable[[str], None],
        pending: Iterable[DrawRow],
        early: Mapping[str, Delivery[Task]],
    ) -> None:
        self._committer = committer
        self._store = store
        self._on_kept = on_kept
        self._pending = deque(pending)
        self._places = {draw.key: draw.place for draw in self._pending}
        self._arrived: dict[str, Delivery[Task]] = dict(early)

    async def begin(self) -> None:
        """Commit what earlier sittings kept, as far as it is its turn."""
        await self._commit_ready()

    async def deliver(self, delivery: Delivery[Task]) -> None:
        """Return when the delivery is durable: committed and acted upon, or kept until its turn.

        What failed for good waits in memory: asking again costs nothing but time.

        Raises:
            StoreError, Exception: as `Committer.deliver`, for this delivery or one whose turn has come with it.
        """
        key = delivery.job.request.key
        self._arrived[key] = delivery
        if key == self._pending[0].key:
            await self._commit_ready()
        elif isinstance(delivery.outcome, Ok):
            usage = delivery.outcome.completion.usage
            keeping = self._store.keep_answer(self._places[key], dumped_answer(delivery), usage)
            await asyncio.wrap_future(keeping)
            self._on_kept(key)

    def committed(self, commit: Commit) -> None:
        """Expect the draws that follow from a durable commit."""
        self._pending.extend(commit.draws)
        self._places.update((draw.key, draw.place) for draw in commit.draws)

    async def _commit_ready(self) -> None:
        ready = []
        while self._pending and (delivery := self._arrived.pop(self._pending[0].key, None)) is not None:
            del self._places[self._pending.popleft().key]
            ready.append(delivery)
        await self._committer.deliver_all(ready)


def _place(draw: DrawRow) -> int:
    return draw.place
