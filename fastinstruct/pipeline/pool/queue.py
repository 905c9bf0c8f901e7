"""What to ask next: later stages first, fresh instructions only as long as the target needs them.

Knows nothing of HTTP or stores; lives on the event loop. With one request in flight its order depends on what was
committed alone, so an interrupted run goes on as if it had not been.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from fastinstruct.lm.scheduling.job import Job, Source
from fastinstruct.pipeline.pool.task_pool import TaskPool, random_stream
from fastinstruct.pipeline.stages.requests import Stages, Task
from fastinstruct.records import Stage
from fastinstruct.store import READ, Commit, DrawRow, StoredState

__all__ = ["Work"]


class Work(Source[Task]):
    """The queues of a run: a source of jobs for the scheduler.

    Args:
        pool: the task pool that stage-1 prompts are sampled from.
        stages: makes the requests.
        target: how many machine-generated instructions to admit.
        num_in_context, num_machine: what a stage-1 prompt shows.
        rng_seed: the run's seed.
        expected_yield: how many admitted instructions a stage-1 request may give, until it is known.
    """

    def __init__(
        self,
        pool: TaskPool,
        stages: Stages,
        *,
        target: int,
        num_in_context: int,
        num_machine: int,
        rng_seed: int,
        expected_yield: int,
    ) -> None:
        self._pool = pool
        self._stages = stages
        self._target = target
        self._num_in_context = num_in_context
        self._num_machine = num_machine
        self._rng_seed = rng_seed
        self._expected_yield = float(expected_yield)
        self._numbers: deque[int] = deque()
        self._next_number = 0
        self._to_classify: deque[int] = deque()
        self._to_instantiate: deque[tuple[int, bool | None]] = deque()
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
        self._num_generating = sum(draw.row.stage is Stage.INSTRUCTIONS for draw in state.pending)
        self._to_classify.extend(state.to_classify)
        self._to_instantiate.extend(state.to_instantiate)
        self._numbers.extend(state.missing_numbers)
        self._next_number = state.next_number

    def next(self, is_open: Callable[[str], bool]) -> Job[Task] | None:
        """Return the most urgent job: instances, then classification, then new instructions if more are needed."""
        draw = self.draw(is_open)
        return None if draw is None else self._stages.job(draw, self._pool)

    def draw(self, is_open: Callable[[str], bool]) -> DrawRow | None:
        """Decide what is asked next, as `next` does, without writing it out."""
        if self._to_instantiate and is_open(Stage.INSTANCES):
            number, is_classification = self._to_instantiate.popleft()
            return self._drawn(Stage.INSTANCES, number, is_classification=is_classification)
        if self._to_classify and is_open(Stage.CLASSIFICATION):
            return self._drawn(Stage.CLASSIFICATION, self._to_classify.popleft())
        if not (self._needs_more() and is_open(Stage.INSTRUCTIONS)):
            return None
        number = self._numbers.popleft() if self._numbers else self._take_number()
        self._num_generating += 1
        rng = random_stream(self._rng_seed, Stage.INSTRUCTIONS, number)
        in_context = self._pool.sample(rng, self._num_in_context, self._num_machine)
        return self._drawn(Stage.INSTRUCTIONS, number, in_context=in_context)

    def take_back(self, job: Job[Task]) -> None:
        """Put a job back where it came from; its prompt is written anew when it is drawn again."""
        task = job.about
        match task.stage:
            case Stage.INSTRUCTIONS:
                self._numbers.appendleft(task.number)
                self._num_generating -= 1
            case Stage.CLASSIFICATION:
                self._to_classify.appendleft(task.number)
            case Stage.INSTANCES:
                self._to_instantiate.appendleft((task.number, task.is_classification))

    def smaller(self, job: Job[Task]) -> Job[Task] | None:
        """Return the job with half of what its prompt shows and half of the reply's room."""
        return self._stages.smaller(job)

    def committed(self, commit: Commit) -> None:
        """Let a durable commit take effect: new instructions join the pool, and each goes on to its next stage."""
        if commit.request.stage is Stage.INSTRUCTIONS:
            if commit.request.outcome in READ:
                self.admitted(row.text for row in commit.instructions)
                self.generated(len(commit.instructions))
            else:
                self.gave_up()
        if (row := commit.classification) is not None:
            self.classified(row.instruction_id, row.is_classification)

    def admitted(self, texts: Iterable[str]) -> None:
        """Let admitted instructions join the pool and queue them for stage 2; call it once they are durable."""
        for text in texts:
            self._to_classify.append(self.num_admitted)
            self._pool.append(text)

    def classified(self, instruction_id: int, is_classification: bool | None) -> None:
        """Queue an instruction for stage 3."""
        self._to_instantiate.append((instruction_id, is_classification))

    def generated(self, num_admitted: int) -> None:
        """Account for an answered stage-1 request, whatever came of it."""
        self._num_generating -= 1
        self._expect(num_admitted)

    def gave_up(self) -> None:
        """Account for a stage-1 request that was never answered."""
        self._num_generating -= 1

    def close(self) -> None:
        """Ask for no more new instructions; what was admitted is still worked up."""
        self._is_closed = True

    def _expect(self, num_admitted: int) -> None:
        """Learn from what a stage-1 request gave."""
        self._num_generated += 1
        # The mean of the last ten or so; one barren reply must not make the estimate zero.
        weight = max(0.1, 1 / (1 + self._num_generated))
        self._expected_yield = max(0.25, (1 - weight) * self._expected_yield + weight * num_admitted)

    def _needs_more(self) -> bool:
        """Whether what is in flight is unlikely to reach the target: late arrivals are kept, so don't overshoot."""
        missing = self._target - self.num_admitted
        return not self._is_closed and missing > 0 and self._num_generating * self._expected_yield < missing

    def _drawn(
        self, stage: Stage, number: int, in_context: tuple[int, ...] = (), *, is_classification: bool | None = None
    ) -> DrawRow:
        self._num_drawn += 1
        return DrawRow(
            place=self._num_drawn,
            stage=stage,
            number=number,
            in_context=in_context,
            is_classification=is_classification,
        )

    def _take_number(self) -> int:
        self._next_number += 1
        return self._next_number - 1
