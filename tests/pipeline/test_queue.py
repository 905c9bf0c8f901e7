"""What is asked next: later stages first, no more than the target needs, and the same again after an interruption."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fastinstruct.config import InstructionsConfig, RunConfig
from fastinstruct.lm.scheduling.job import Job
from fastinstruct.pipeline.pool.queue import Queue
from fastinstruct.pipeline.pool.task_pool import TaskPool
from fastinstruct.pipeline.stages.base import Task
from fastinstruct.records import Prompt
from fastinstruct.store import (
    AnnotationRow,
    CandidateRow,
    Commit,
    InstanceRow,
    InstructionRow,
    RequestRow,
    RunStore,
    StoredState,
)
from run_stages import STAGES, stages_of

SEEDS = [f"Seed task number {n}." for n in range(10)]
Asked = tuple[str, int, tuple[int, ...], Prompt, int | None]


def new_queue(target: int = 100, machine: Sequence[str] = ()) -> Queue:
    pool = TaskPool(SEEDS, machine)
    settings = InstructionsConfig(num_in_context=8, num_machine_in_context=2, num_items=8)
    return Queue(pool, stages_of(RunConfig(target=target)), target=target, settings=settings, rng_seed=0)


def classified(queue: Queue, number: int, *, answer: bool | None) -> None:
    queue.answered("classification", number, {"is_classification": answer})


def every_lane(_: str) -> bool:
    return True


def drawn(queue: Queue, most: int = 1000) -> list[Task]:
    """Draw jobs until there are none, or so many."""
    tasks: list[Task] = []
    while len(tasks) < most and (job := queue.next(every_lane)) is not None:
        tasks.append(job.about)
    return tasks


def names(tasks: Sequence[Task]) -> list[str]:
    return [f"{task.stage}:{task.number}" for task in tasks]


def state(
    instructions: Sequence[str] = (),
    to_classify: Sequence[int] = (),
    to_instantiate: Sequence[tuple[int, bool | None]] = (),
    next_number: int = 0,
    missing: Sequence[int] = (),
) -> StoredState:
    return StoredState(
        instructions=tuple(instructions),
        to_do={
            "classification": tuple((number, {}) for number in to_classify),
            "instances": tuple((number, {"is_classification": answer}) for number, answer in to_instantiate),
        },
        next_number=next_number,
        missing_numbers=tuple(missing),
        next_request_id=1,
        next_candidate_id=1,
    )


# ---------------------------------------------------------------------------------------------------------- priorities


def test_later_stages_go_first() -> None:
    queue = new_queue()
    queue.admitted(["a", "b", "c"])
    classified(queue, 1, answer=True)
    classified(queue, 0, answer=None)
    assert names(drawn(queue, 6)) == [
        "instances:1",
        "instances:0",
        "classification:0",
        "classification:1",
        "classification:2",
        "instructions:0",
    ]


def test_instances_are_asked_for_as_stage_2_decided() -> None:
    queue = new_queue(target=1, machine=["a", "b", "c"])
    for instruction_id, answer in enumerate([True, False, None]):
        classified(queue, instruction_id, answer=answer)
    tasks = drawn(queue)
    assert [(task.template, task.is_classification, task.instruction) for task in tasks] == [
        ("output_first", True, "a"),
        ("input_first", False, "b"),
        ("input_first", None, "c"),
    ]


def test_admitted_instructions_are_numbered_on_and_join_the_pool() -> None:
    queue = new_queue(target=3, machine=["a"])
    queue.admitted(["b", "c"])
    assert [(task.number, task.instruction) for task in drawn(queue)] == [(1, "b"), (2, "c")]
    assert queue.num_admitted == 3


def test_a_stage_1_prompt_shows_the_pool_as_it_is_when_drawn() -> None:
    queue = new_queue()
    first = queue.next(every_lane)
    queue.admitted(["A brand new task.", "Another brand new task."])
    _ = queue.next(every_lane), queue.next(every_lane)  # the two classifications
    second = queue.next(every_lane)
    assert first is not None
    assert second is not None
    assert max(first.about.in_context) < len(SEEDS)
    assert {10, 11} <= set(second.about.in_context)
    texts = [*SEEDS, "A brand new task.", "Another brand new task."]
    assert second.about.shown == tuple(texts[position] for position in second.about.in_context)


# ----------------------------------------------------------------------------------------------------------- the target


@pytest.mark.parametrize(("target", "num_requests"), [(1, 1), (8, 1), (9, 2), (100, 13)])
def test_no_more_is_in_flight_than_the_target_needs(target: int, num_requests: int) -> None:
    assert len(drawn(new_queue(target))) == num_requests


def test_nothing_new_is_asked_for_once_the_target_is_reached() -> None:
    queue = new_queue(target=2)
    assert names(drawn(queue)) == ["instructions:0"]
    queue.admitted(["a", "b", "c"])
    queue.generated(3)
    assert names(drawn(queue)) == ["classification:0", "classification:1", "classification:2"]


def test_a_target_that_was_lowered_below_what_there_is_asks_for_nothing() -> None:
    assert drawn(new_queue(target=1, machine=["a", "b"])) == []


def test_the_estimate_follows_what_replies_give() -> None:
    """Two new instructions a reply instead of eight: four times as many requests for what is missing."""
    queue = new_queue(target=1000)
    for _ in range(60):
        assert queue.next(every_lane) is not None
        queue.generated(2)
    assert len(drawn(queue)) == pytest.approx(500, rel=0.1)


def test_replies_without_anything_new_never_ask_for_more_than_four_requests_an_instruction() -> None:
    queue = new_queue(target=10)
    for _ in range(200):
        assert queue.next(every_lane) is not None
        queue.generated(0)
    assert len(drawn(queue)) == 40


def test_after_closing_only_what_was_admitted_is_worked_up() -> None:
    queue = new_queue()
    queue.next(every_lane)
    queue.admitted(["a"])
    queue.generated(1)
    queue.close()
    assert names(drawn(queue)) == ["classification:0"]
    classified(queue, 0, answer=False)
    assert names(drawn(queue)) == ["instances:0"]


def test_a_job_that_is_taken_back_is_the_next_one_again_with_the_pool_as_it_is_then() -> None:
    queue = new_queue(target=100, machine=["a", "b"])
    queue.resume(state("ab", to_classify=[1], to_instantiate=[(0, True)]))
    before = []
    for _ in range(3):
        job = queue.next(every_lane)
        assert job is not None
        before.append(job)
    for job in reversed(before):
        queue.take_back(job)
    queue.admitted(["c"])
    again = drawn(queue, 4)
    assert names(again) == ["instances:0", "classification:1", "classification:2", "instructions:0"]
    assert again[0].is_classification is True


def test_taking_back_leaves_as_many_requests_to_make_as_before() -> None:
    queue = new_queue(target=100)
    for _ in range(20):
        job = queue.next(every_lane)
        assert job is not None
        queue.take_back(job)
    assert names(drawn(queue)) == [f"instructions:{n}" for n in range(13)]


# ------------------------------------------------------------------------------------------------------------ resuming


def test_a_resumed_run_takes_up_pending_work_and_holes_first() -> None:
    queue = new_queue(target=100, machine=["a", "b", "c"])
    queue.resume(state("abc", to_classify=[1], to_instantiate=[(0, True), (2, None)], next_number=9, missing=[3, 7]))
    assert names(drawn(queue, 6)) == [
        "instances:0",
        "instances:2",
        "classification:1",
        "instructions:3",
        "instructions:7",
        "instructions:9",
    ]


def test_the_same_number_draws_the_same_tasks_and_seed() -> None:
    again, first = new_queue(), new_queue().next(every_lane)
    again.resume(state(next_number=1, missing=[0]))
    assert again.next(every_lane) == first
    assert first is not None
    assert first.request.sampling.seed == 365476274


@dataclass
class Sitting:
    """A run without a network: every request is answered by a fixed rule, one request at a time."""

    queue: Queue
    next_request: int = 1
    next_candidate: int = 1
    asked: list[Asked] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)

    def go_on(self) -> None:
        while (job := self.queue.next(every_lane)) is not None:
            self.asked.append(identified(job))
            commit = self.answered(job.about)
            self.commits.append(commit)
            self.queue.committed(commit)

    def answered(self, task: Task) -> Commit:
        rng = random.Random(f"{task.stage}:{task.number}:{task.shown}")
        request = RequestRow(
            id=self.next_request,
            stage=task.stage,
            number=task.number,
            template=task.template,
            in_context=task.in_context,
            outcome="bad_request" if rng.random() < 0.1 else "ok",
        )
        self.next_request += 1
        if task.stage == "instructions":
            texts = [] if request.outcome != "ok" else [f"Task {rng.random()}" for _ in range(rng.randrange(4))]
            first, first_id = self.next_candidate, self.queue.num_admitted
            self.next_candidate += len(texts)
            return Commit(
                request=request,
                candidates=tuple(CandidateRow(id=first + n, text=text, reason=None) for n, text in enumerate(texts)),
                instructions=tuple(
                    InstructionRow(id=first_id + n, candidate_id=first + n, text=text) for n, text in enumerate(texts)
                ),
            )
        if task.stage == "classification":
            answer = rng.choice([True, False, None]) if request.outcome == "ok" else None
            row = AnnotationRow(instruction_id=task.number, name="is_classification", value=answer)
            return Commit(request=request, annotations=(row,))
        rows = [InstanceRow(instruction_id=task.number, item=n, input="", output="o") for n in range(rng.randrange(3))]
        return Commit(request=request, instances=tuple(rows) if request.outcome == "ok" else ())


def identified(job: Job[Task]) -> Asked:
    task, request = job.about, job.request
    return task.stage, task.number, task.in_context, request.prompt, request.sampling.seed


def test_with_one_in_flight_a_run_interrupted_anywhere_asks_exactly_what_it_would_have_asked(tmp_path: Path) -> None:
    """After every possible number of commits, the stored state alone leads to the same requests in the same order."""
    whole = Sitting(new_queue(target=12))
    whole.go_on()
    assert len(whole.asked) > 30
    assert {asked[0] for asked in whole.asked} == set(STAGES)
    for num_commits in range(len(whole.commits) + 1):
        store = RunStore(tmp_path / f"{num_commits}.db")
        store.submit(whole.commits[:num_commits]).result(timeout=30)
        found = store.state(STAGES)
        store.close()
        queue = new_queue(target=12, machine=found.instructions)
        queue.resume(found)
        rest = Sitting(queue, next_request=found.next_request_id, next_candidate=found.next_candidate_id)
        rest.go_on()
        assert rest.asked == whole.asked[num_commits:]
        assert rest.commits == whole.commits[num_commits:]


def test_with_many_in_flight_what_was_not_answered_is_asked_again(tmp_path: Path) -> None:
    """Of six stage-1 requests three are answered, out of order; the next sitting asks the others, and then goes on."""
    queue, sitting = new_queue(target=48), Sitting(new_queue(target=48))
    tasks = drawn(queue)
    assert [task.number for task in tasks] == [0, 1, 2, 3, 4, 5]
    answered = [sitting.answered(tasks[number]) for number in (4, 0, 3)]
    renumbered = [
        Commit(request=commit.request, candidates=(), instructions=()) for commit in answered
    ]  # without what they admitted: this is about numbers
    store = RunStore(tmp_path / "run.db")
    store.submit(renumbered).result(timeout=30)
    found = store.state(STAGES)
    store.close()
    again = new_queue(target=48)
    again.resume(found)
    # Replies that gave nothing let it ask for more of them than the first time.
    assert [task.number for task in drawn(again)][:6] == [1, 2, 5, 6, 7, 8]
