"""What is asked next: later stages first, no more than the target needs, and the same again after an interruption."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fastinstruct.config import RunConfig
from fastinstruct.lm.scheduling.scheduler import Job
from fastinstruct.pipeline.pool.task_pool import TaskPool
from fastinstruct.pipeline.stages.base import Task
from fastinstruct.records import Api, Prompt
from fastinstruct.store import (
    CandidateRow,
    ClassificationRow,
    Commit,
    InstanceRow,
    InstructionRow,
    RequestRow,
    RunStore,
    StoredState,
)
from fastinstruct.text.prompting import PromptSet, load_templates
from run_stages import STAGES

SEEDS = [f"Seed task number {n}." for n in range(10)]
PROMPTS = PromptSet(load_templates(Api.COMPLETIONS, PLACEHOLDERS), classification=(), input_first=(), output_first=())
Asked = tuple[str, int, tuple[int, ...], Prompt, int | None]


def new_work(target: int = 100, machine: Sequence[str] = (), num_items: int = 8) -> Work:
    return Work(
        TaskPool(SEEDS, machine),
        Stages(RunConfig(target=target), dict.fromkeys(STAGES, Api.COMPLETIONS), PROMPTS, with_logprobs=False),
        target=target,
        num_in_context=8,
        num_machine=2,
        rng_seed=0,
        expected_yield=num_items,
    )


def every_lane(_: str) -> bool:
    return True


def drawn(work: Work, most: int = 1000) -> list[Task]:
    """Draw jobs until there are none, or so many."""
    tasks: list[Task] = []
    while len(tasks) < most and (job := work.next(every_lane)) is not None:
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
        to_classify=tuple(to_classify),
        to_instantiate=tuple(to_instantiate),
        next_number=next_number,
        missing_numbers=tuple(missing),
        next_request_id=1,
        next_candidate_id=1,
    )


# ---------------------------------------------------------------------------------------------------------- priorities


def test_later_stages_go_first() -> None:
    work = new_work()
    work.admitted(["a", "b", "c"])
    work.classified(1, is_classification=True)
    work.classified(0, is_classification=None)
    assert names(drawn(work, 6)) == [
        "instances:1",
        "instances:0",
        "classification:0",
        "classification:1",
        "classification:2",
        "instructions:0",
    ]


def test_instances_are_asked_for_as_stage_2_decided() -> None:
    work = new_work(target=1, machine=["a", "b", "c"])
    for instruction_id, answer in enumerate([True, False, None]):
        work.classified(instruction_id, answer)
    tasks = drawn(work)
    assert [(task.template, task.is_classification, task.instruction) for task in tasks] == [
        ("output_first", True, "a"),
        ("input_first", False, "b"),
        ("input_first", None, "c"),
    ]


def test_admitted_instructions_are_numbered_on_and_join_the_pool() -> None:
    work = new_work(target=3, machine=["a"])
    work.admitted(["b", "c"])
    assert [(task.number, task.instruction) for task in drawn(work)] == [(1, "b"), (2, "c")]
    assert work.num_admitted == 3


def test_a_stage_1_prompt_shows_the_pool_as_it_is_when_drawn() -> None:
    work = new_work()
    first = work.next(every_lane)
    work.admitted(["A brand new task.", "Another brand new task."])
    _ = work.next(every_lane), work.next(every_lane)  # the two classifications
    second = work.next(every_lane)
    assert first is not None
    assert second is not None
    assert max(first.about.in_context) < len(SEEDS)
    assert {10, 11} <= set(second.about.in_context)
    texts = [*SEEDS, "A brand new task.", "Another brand new task."]
    assert second.about.shown == tuple(texts[position] for position in second.about.in_context)


# ----------------------------------------------------------------------------------------------------------- the target


@pytest.mark.parametrize(("target", "num_requests"), [(1, 1), (8, 1), (9, 2), (100, 13)])
def test_no_more_is_in_flight_than_the_target_needs(target: int, num_requests: int) -> None:
    assert len(drawn(new_work(target))) == num_requests


def test_nothing_new_is_asked_for_once_the_target_is_reached() -> None:
    work = new_work(target=2)
    assert names(drawn(work)) == ["instructions:0"]
    work.admitted(["a", "b", "c"])
    work.generated(3)
    assert names(drawn(work)) == ["classification:0", "classification:1", "classification:2"]


def test_a_target_that_was_lowered_below_what_there_is_asks_for_nothing() -> None:
    assert drawn(new_work(target=1, machine=["a", "b"])) == []


def test_the_estimate_follows_what_replies_give() -> None:
    """Two new instructions a reply instead of eight: four times as many requests for what is missing."""
    work = new_work(target=1000)
    for _ in range(60):
        assert work.next(every_lane) is not None
        work.generated(2)
    assert len(drawn(work)) == pytest.approx(500, rel=0.1)


def test_replies_without_anything_new_never_ask_for_more_than_four_requests_an_instruction() -> None:
    work = new_work(target=10)
    for _ in range(200):
        assert work.next(every_lane) is not None
        work.generated(0)
    assert len(drawn(work)) == 40


def test_after_closing_only_what_was_admitted_is_worked_up() -> None:
    work = new_work()
    work.next(every_lane)
    work.admitted(["a"])
    work.generated(1)
    work.close()
    assert names(drawn(work)) == ["classification:0"]
    work.classified(0, is_classification=False)
    assert names(drawn(work)) == ["instances:0"]


def test_a_job_that_is_taken_back_is_the_next_one_again_with_the_pool_as_it_is_then() -> None:
    work = new_work(target=100, machine=["a", "b"])
    work.resume(state("ab", to_classify=[1], to_instantiate=[(0, True)]))
    before = []
    for _ in range(3):
        job = work.next(every_lane)
        assert job is not None
        before.append(job)
    for job in reversed(before):
        work.take_back(job)
    work.admitted(["c"])
    again = drawn(work, 4)
    assert names(again) == ["instances:0", "classification:1", "classification:2", "instructions:0"]
    assert again[0].is_classification is True


def test_taking_back_leaves_as_many_requests_to_make_as_before() -> None:
    work = new_work(target=100)
    for _ in range(20):
        job = work.next(every_lane)
        assert job is not None
        work.take_back(job)
    assert names(drawn(work)) == [f"instructions:{n}" for n in range(13)]


# ------------------------------------------------------------------------------------------------------------ resuming


def test_a_resumed_run_takes_up_pending_work_and_holes_first() -> None:
    work = new_work(target=100, machine=["a", "b", "c"])
    work.resume(state("abc", to_classify=[1], to_instantiate=[(0, True), (2, None)], next_number=9, missing=[3, 7]))
    assert names(drawn(work, 6)) == [
        "instances:0",
        "instances:2",
        "classification:1",
        "instructions:3",
        "instructions:7",
        "instructions:9",
    ]


def test_the_same_number_draws_the_same_tasks_and_seed() -> None:
    again, first = new_work(), new_work().next(every_lane)
    again.resume(state(next_number=1, missing=[0]))
    assert again.next(every_lane) == first
    assert first is not None
    assert first.request.sampling.seed == 365476274


@dataclass
class Sitting:
    """A run without a network: every request is answered by a fixed rule, one request at a time."""

    work: Work
    next_request: int = 1
    next_candidate: int = 1
    asked: list[Asked] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)

    def go_on(self) -> None:
        while (job := self.work.next(every_lane)) is not None:
            self.asked.append(identified(job))
            commit = self.answered(job.about)
            self.commits.append(commit)
            self.work.committed(commit)

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
            first, first_id = self.next_candidate, self.work.num_admitted
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
            row = ClassificationRow(instruction_id=task.number, is_classification=answer)
            return Commit(request=request, classification=row)
        rows = [InstanceRow(instruction_id=task.number, item=n, input="", output="o") for n in range(rng.randrange(3))]
        return Commit(request=request, instances=tuple(rows) if request.outcome == "ok" else ())


def identified(job: Job[Task]) -> Asked:
    task, request = job.about, job.request
    return task.stage, task.number, task.in_context, request.prompt, request.sampling.seed


def test_with_one_in_flight_a_run_interrupted_anywhere_asks_exactly_what_it_would_have_asked(tmp_path: Path) -> None:
    """After every possible number of commits, the stored state alone leads to the same requests in the same order."""
    whole = Sitting(new_work(target=12))
    whole.go_on()
    assert len(whole.asked) > 30
    assert {asked[0] for asked in whole.asked} == set(STAGES)
    for num_commits in range(len(whole.commits) + 1):
        store = RunStore(tmp_path / f"{num_commits}.db")
        store.submit(whole.commits[:num_commits]).result(timeout=30)
        found = store.state()
        store.close()
        work = new_work(target=12, machine=found.instructions)
        work.resume(found)
        rest = Sitting(work, next_request=found.next_request_id, next_candidate=found.next_candidate_id)
        rest.go_on()
        assert rest.asked == whole.asked[num_commits:]
        assert rest.commits == whole.commits[num_commits:]


def test_with_many_in_flight_what_was_not_answered_is_asked_again(tmp_path: Path) -> None:
    """Of six stage-1 requests three are answered, out of order; the next sitting asks the others, and then goes on."""
    work, sitting = new_work(target=48), Sitting(new_work(target=48))
    tasks = drawn(work)
    assert [task.number for task in tasks] == [0, 1, 2, 3, 4, 5]
    answered = [sitting.answered(tasks[number]) for number in (4, 0, 3)]
    renumbered = [
        Commit(request=commit.request, candidates=(), instructions=()) for commit in answered
    ]  # without what they admitted: this is about numbers
    store = RunStore(tmp_path / "run.db")
    store.submit(renumbered).result(timeout=30)
    found = store.state()
    store.close()
    again = new_work(target=48)
    again.resume(found)
    # Replies that gave nothing let it ask for more of them than the first time.
    assert [task.number for task in drawn(again)][:6] == [1, 2, 5, 6, 7, 8]
