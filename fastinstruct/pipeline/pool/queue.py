"""What to ask next: later stages first, fresh instructions only as long as the target needs them.

Knows nothing of HTTP or stores; lives on the event loop. With one request in flight its order depends on what was
committed alone, so an interrupted run goes on as if it had not been.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any

from fastinstruct.config import InstructionsConfig
from fastinstruct.lm.scheduling.job import Job, Source
from fastinstruct.pipeline.pool.task_pool import TaskPool, random_stream
from fastinstruct.pipeline.stages.base import Task
from fastinstruct.pipeline.stages.bound import Stages
from fastinstruct.store import FINAL, READ, Commit, DrawRow, StoredState

__all__ = ["Queue"]

_Known = Mapping[str, Any]


class Queue(Source[Task]):
    """The queues of a run, one a stage: a source of jobs for the scheduler.

    Args:
        pool: the task pool that prompts are sampled from.
        stages: makes the requests.
        target: how many machine-generated instructions to admit.
        settings: what a prompt of the first stage shows, and how many tasks it asks for.
        rng_seed: the run's seed.
    """

    def __init__(
        self, pool: TaskPool, stages: Stages, *, target: int, settings: InstructionsConfig, rng_seed: int
    ) -> None:
        self._pool = pool
        self._stages = stages
        self._target = target
        self._settings = settings
        self._rng_seed = rng_seed
        self.generating = stages.names[0]
        self._following = dict(pairwise(stages.names))
        self._expected_yield = float(settings.num_items)  # of one request of the first stage, until it is known
        self._numbers: deque[int] = deque()
        self._next_number = 0
        self._waiting: dict[str, deque[tuple[int, _Known | None]]] = {
            stage: deque() for stage in reversed(stages.names[1:])
        }
        self._known: dict[tuple[str, int], _Known] = {}  # of what is asked about at the moment
        self._num_drawn = 0
        self._num_generating = 0
        self._num_generated = 0
        self._is_closed = False

    @property
    def num_admitted(self) -> int:
        """Return how many machine-generated instructions the pool holds."""
        return len(self._pool) - self._pool.num_seeds

    def resume(self, state: StoredState) -> None:
        """Take up what an earlier sitting left: numbers it sent without an answer are asked again first.

        Where commits keep the order of draws, what is pending counts as drawn.
        """
        for num_admitted in state.yields:
            self._expect(num_admitted)
        self._num_drawn = max((draw.row.place for draw in state.pending), default=0)
        self._num_generating = sum(draw.row.stage == self.generating for draw in state.pending)
        self._known = {(d.row.stage, d.row.number): d.row.known for d in state.pending if d.row.known}
        for stage, items in state.to_do.items():
            self._waiting[stage].extend((number, known or None) for number, known in items)
        self._numbers.extend(state.missing_numbers)
        self._next_number = state.next_number

    def next(self, is_open: Callable[[str], bool]) -> Job[Task] | None:
        """Return the most urgent job: the last stage's, then those before, then new instructions if they are needed."""
        draw = self.draw(is_open)
        return None if draw is None else self._stages.job(draw, self._pool)

    def draw(self, is_open: Callable[[str], bool]) -> DrawRow | None:
        """Decide what is asked next, as `next` does, without writing it out."""
        for stage, waiting in self._waiting.items():
            if waiting and is_open(stage):
                number, known = waiting.popleft()
                return self._drawn(stage, number, known=known)
        if not (self._needs_more() and is_open(self.generating)):
            return None
        number = self._numbers.popleft() if self._numbers else self._take_number()
        self._num_generating += 1
        rng = random_stream(self._rng_seed, self.generating, number)
        settings = self._settings
        in_context = self._pool.sample(rng, settings.num_in_context, settings.num_machine_in_context)
        return self._drawn(self.generating, number, in_context=in_context)

    def take_back(self, job: Job[Task]) -> None:
        """Put a job back where it came from; its prompt is written anew when it is drawn again."""
        task = job.about
        if task.stage == self.generating:
            self._numbers.appendleft(task.number)
            self._num_generating -= 1
        else:
            self._waiting[task.stage].appendleft((task.number, task.known))

    def smaller(self, job: Job[Task]) -> Job[Task] | None:
        """Return the job with half of what its prompt shows and half of the reply's room."""
        return self._stages.smaller(job)

    def committed(self, commit: Commit) -> None:
        """Let a durable commit take effect: new instructions join the pool, and each goes on to its next stage."""
        request = commit.request
        if request.stage != self.generating:
            if request.outcome in FINAL:
                self.answered(request.stage, request.number, {row.name: row.value for row in commit.annotations})
        elif request.outcome in READ:
            self.admitted(row.text for row in commit.instructions)
            self.generated(len(commit.instructions))
        else:
            self.gave_up()

    def admitted(self, texts: Iterable[str]) -> None:
        """Let admitted instructions join the pool, and queue them for the second stage, once they are durable."""
        for text in texts:
            self._go_on(self.generating, self.num_admitted, None)
            self._pool.append(text)

    def answered(self, stage: str, number: int, found: _Known) -> None:
        """Queue an instruction for the stage after this one, which has found this out about it."""
        before = self._known.pop((stage, number), None)
        self._go_on(stage, number, {**before, **found} if before else found)

    def generated(self, num_admitted: int) -> None:
        """Account for an answered request of the first stage, whatever came of it."""
        self._num_generating -= 1
        self._expect(num_admitted)

    def gave_up(self) -> None:
        """Account for a request of the first stage that was never answered."""
        self._num_generating -= 1

    def close(self) -> None:
        """Ask for no more new instructions; what was admitted is still worked up."""
        self._is_closed = True

    def _go_on(self, stage: str, number: int, known: _Known | None) -> None:
        if (following := self._following.get(stage)) is not None:
            self._waiting[following].append((number, known or None))

    def _expect(self, num_admitted: int) -> None:
        """Learn from what a request of the first stage gave."""
        self._num_generated += 1
        # The mean of the last ten or so; one barren reply must not make the estimate zero.
        weight = max(0.1, 1 / (1 + self._num_generated))
        self._expected_yield = max(0.25, (1 - weight) * self._expected_yield + weight * num_admitted)

    def _needs_more(self) -> bool:
        """Whether what is in flight is unlikely to reach the target: late arrivals are kept, so don't overshoot."""
        missing = self._target - self.num_admitted
        return not self._is_closed and missing > 0 and self._num_generating * self._expected_yield < missing

    def _drawn(
        self, stage: str, number: int, in_context: tuple[int, ...] = (), *, known: _Known | None = None
    ) -> DrawRow:
        self._num_drawn += 1
        if known:
            self._known[stage, number] = known
        return DrawRow(place=self._num_drawn, stage=stage, number=number, in_context=in_context, known=known)

    def _take_number(self) -> int:
        self._next_number += 1
        return self._next_number - 1
