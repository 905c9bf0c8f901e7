"""The answers of a stored run, judged again one after another in commit order.

Knows nothing of folders, files or models. `Admission` decides, as it does in a run; this only finds out what each
stored answer was an answer to, and where that stands in the new pool. Nothing that was paid for is left out: answers
about an instruction that is no longer admitted stay, so that refiltering again finds them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

from fastinstruct.lm import BadRequest, Deadline, Ok, Outcome, Request
from fastinstruct.lm.scheduling.scheduler import Delivery, Job
from fastinstruct.pipeline.commit.admission import Admission
from fastinstruct.pipeline.pool.task_pool import TaskPool
from fastinstruct.pipeline.stages.base import Task
from fastinstruct.pipeline.stages.bound import Stages
from fastinstruct.records import Completion, FinishReason, Sampling, Usage
from fastinstruct.store import FINAL, CandidateRow, Commit, RequestRow

__all__ = ["Rejudge"]


class Rejudge:
    """Turns the requests of one run into the commits of another.

    An instruction is known again by its candidate: the same text in the answer to the same request.

    Args:
        admission: judges for the new run.
        stages: the run's.
        pool: the old run's, to tell what its prompts showed.
        candidate_ids: of the old run, the candidate of each instruction, by the instruction's id.

    Attributes:
        num_kept, num_gained, num_lost: instructions admitted in both runs, in the new one only, in the old one only.
        num_left_out: requests about a candidate that is not found in its answer any more, because this version reads
            the answer in another way; they are the only ones that do not get into the new run.
    """

    def __init__(self, admission: Admission, stages: Stages, pool: TaskPool, candidate_ids: Sequence[int]) -> None:
        self._admission = admission
        self._stages = stages
        self._pool = pool
        self._candidate_ids = candidate_ids
        self._numbers: dict[int, int] = {}  # old candidate id -> new instruction id or, not admitted, -candidate id
        self._admitted: list[str] = []
        self._ids_by_text: dict[str, int] = {}
        self.num_kept = self.num_gained = self.num_lost = self.num_left_out = 0

    def settle(self, request: RequestRow, candidates: Sequence[CandidateRow]) -> Commit | None:
        """Judge the next request of the old run, whose candidates were these; None if it is left out."""
        if request.stage == self._stages.names[0]:
            return self._generated(request, candidates)
        number = self._numbers.get(self._candidate_id(request.number))
        if number is None:
            self.num_left_out += 1
            return None
        if number < 0:
            return Commit(request=replace(request, number=number))
        return self._answered(request, number)

    def _generated(self, request: RequestRow, candidates: Sequence[CandidateRow]) -> Commit:
        in_context = request.in_context
        task = Task(
            stage=request.stage,
            number=request.number,
            template=request.template,
            shown=tuple(self._text(shown) for shown in in_context or ()),
        )
        commit = self._judged(request, task)
        placed = None if in_context is None else tuple(self._placed(shown) for shown in in_context)
        self._follow(candidates, commit)
        return replace(commit, request=replace(commit.request, in_context=placed))

    def _answered(self, request: RequestRow, number: int) -> Commit:
        """Read an answer about an instruction in the form it was asked for, whatever is known of that by now."""
        task = Task(
            stage=request.stage,
            number=request.number,  # the draw among surplus instances goes by it, and is to stay as it was
            template=request.template,
            instruction=self._admitted[number],
            known=self._stages[request.stage].known_by(request.template),
        )
        commit = self._judged(request, task)
        return replace(
            commit,
            request=replace(commit.request, number=number),
            annotations=tuple(replace(row, instruction_id=number) for row in commit.annotations),
            instances=tuple(replace(row, instruction_id=number) for row in commit.instances),
        )

    def _judged(self, request: RequestRow, task: Task) -> Commit:
        """Let admission have the stored answer; the request stays as it was, but for whether it could be read."""
        asked = Request(key=f"{request.stage}:{request.number}", prompt="", sampling=Sampling())
        job = Job(request=asked, about=task)
        [commit] = self._admission.settle([Delivery(job=job, outcome=_outcome(request), failed=(), latency_s=0.0)])
        stored = replace(request, number=task.number)
        if request.text is not None:
            judged = commit.request
            stored = replace(stored, outcome=judged.outcome, detail=judged.detail)
            stored = replace(stored, rest=judged.rest, stumbled_over=judged.stumbled_over)
        return replace(commit, request=stored)

    def _follow(self, old: Sequence[CandidateRow], commit: Commit) -> None:
        """Note where the candidates of a request have gone."""
        ids = {row.candidate_id: row.id for row in commit.instructions}
        for row in commit.instructions:
            self._ids_by_text.setdefault(row.text, row.id)
            self._admitted.append(row.text)
        num_admitted = sum(row.reason is None for row in old)
        num_kept = 0
        for before, after in _pairs(old, commit.candidates):
            self._numbers[before.id] = ids.get(after.id, -after.id)
            num_kept += before.reason is None and after.reason is None
        self.num_kept += num_kept
        self.num_gained += len(ids) - num_kept
        self.num_lost += num_admitted - num_kept

    def _candidate_id(self, number: int) -> int:
        """The old candidate that a request of stages 2 and 3 was about."""
        return self._candidate_ids[number] if number >= 0 else -number

    def _text(self, shown: int | str) -> str:
        return shown if isinstance(shown, str) else self._pool[shown]

    def _placed(self, shown: int | str) -> int | str:
        """Where a task that a prompt showed stands in the new pool; its text if it does not."""
        num_seeds = self._pool.num_seeds
        if isinstance(shown, str):
            found = self._ids_by_text.get(shown)
        elif shown < num_seeds:
            return shown
        else:
            found = self._numbers.get(self._candidate_ids[shown - num_seeds])
        return self._text(shown) if found is None or found < 0 else num_seeds + found


def _pairs(old: Sequence[CandidateRow], new: Sequence[CandidateRow]) -> Iterator[tuple[CandidateRow, CandidateRow]]:
    """Yield the same candidates of one answer: equal texts, in their order."""
    waiting: dict[str, deque[CandidateRow]] = {}
    for row in new:
        waiting.setdefault(row.text, deque()).append(row)
    for row in old:
        if same := waiting.get(row.text):
            yield row, same.popleft()


def _outcome(request: RequestRow) -> Outcome:
    """What admission has to know of a stored request: its answer, or whether it is to be asked again."""
    if request.text is None:
        return BadRequest("other", None, request.detail or "") if request.outcome in FINAL else Deadline()
    completion = Completion(
        text=request.text,
        finish_reason=FinishReason(request.finish_reason or FinishReason.OTHER),
        usage=Usage(prompt_tokens=request.prompt_tokens, completion_tokens=request.completion_tokens),
        model=request.model or "",
        top_logprobs=request.top_logprobs,
    )
    return Ok(completion)
