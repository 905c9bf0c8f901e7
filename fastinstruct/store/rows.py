"""What is written to and read from a run's database: one frozen value a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastinstruct.records import Reason

__all__ = [
    "ANSWERED",
    "FINAL",
    "READ",
    "AnnotationRow",
    "AttemptRow",
    "CandidateRow",
    "Commit",
    "DrawRow",
    "InstanceRow",
    "InstructionRow",
    "PendingDraw",
    "RequestRow",
    "StoredState",
]

READ = ("ok", "unreadable")
"""The outcomes of requests whose answer a parser has read, whatever it found."""

ANSWERED = (*READ, "parser_failed")
"""The outcomes of requests that a model has answered: their reply is stored."""

FINAL = (*ANSWERED, "bad_request")
"""The outcomes of requests that are not asked again: another answer would be no better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """An attempt that failed and was followed by another."""

    attempt: int
    outcome: str
    detail: str
    latency_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """One logical request and how it ended.

    `in_context` holds, in the order of a stage-1 prompt, the pool positions of the tasks it showed; in a refiltered run
    the text itself where such a task is not in the pool. `number` is a stage-1 request's index; in stages 2 and 3 the
    instruction's id or, in a refiltered run that did not admit what was asked about, minus its candidate's id.
    `outcome` is `unreadable` where an answer gave nothing, kept or rejected, and `detail` then says what the parser
    stumbled over. Of an answer that was read in part, `rest` holds the lines that nothing explains.
    """

    id: int
    stage: str
    number: int
    template: str
    in_context: tuple[int | str, ...] | None
    outcome: str
    attempts: tuple[AttemptRow, ...] = ()
    detail: str | None = None
    text: str | None = None
    finish_reason: str | None = None
    model: str | None = None
    top_logprobs: dict[str, float] | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latency_ms: int = 0
    finished_at: float = 0.0
    rest: str = ""
    stumbled_over: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateRow:
    """One candidate instruction and its verdict; `reason` is None where it was admitted.

    `nearest` is a pool position or, where `reason` says contaminated, the position of an evaluation text.
    """

    id: int
    text: str
    reason: Reason | None
    nearest: int | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionRow:
    """One admitted instruction; its pool position is the number of seeds plus `id`."""

    id: int
    candidate_id: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationRow:
    """What a stage found out about an instruction: `value` as JSON has it, None where it could not tell.

    `confidence` is how sure it is, in the stage's own unit.
    """

    instruction_id: int
    name: str
    value: Any
    confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRow:
    """One instance; kept ones are numbered from 0 in `item`, rejected ones have -1 and a reason."""

    instruction_id: int
    item: int
    input: str
    output: str
    reason: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawRow:
    """A request that was decided on: what it asks, and its place in the order in which requests were drawn.

    `number` is as in `RequestRow`; `in_context` holds the pool positions that a stage-1 prompt shows, and `known` what
    a later stage's prompt may go by: the annotations of the instruction, name -> value.
    """

    place: int
    stage: str
    number: int
    in_context: tuple[int, ...] = ()
    known: Mapping[str, Any] | None = None

    @property
    def key(self) -> str:
        """Return what no other request that is on its way is called."""
        return f"{self.stage}:{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingDraw:
    """A draw that is not committed yet; `answer` is what was kept of a reply that came before its turn, as JSON."""

    row: DrawRow
    answer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A request with everything derived from its response: written together or not at all.

    Where commits keep the order of draws, `place` is that of its draw, which is pending no more, and `draws` are those
    that follow from it.
    """

    request: RequestRow
    candidates: tuple[CandidateRow, ...] = ()
    instructions: tuple[InstructionRow, ...] = ()
    annotations: tuple[AnnotationRow, ...] = ()
    instances: tuple[InstanceRow, ...] = ()
    place: int | None = None
    draws: tuple[DrawRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredState:
    """What a run needs to go on: everything else is derived or read when asked for.

    `to_do` holds, by stage, the instructions that it has not answered and the stage before it has, ascending, each with
    its annotations. `missing_numbers` are stage-1 requests below `next_number`
    that were sent but not answered. `yields` says how many instructions each answered stage-1 request gave, in
    commit order. Where commits keep the order of draws, `pending` holds, in this order, the draws that are not
    committed; the other fields leave them out.
    """

    instructions: tuple[str, ...]
    to_do: Mapping[str, tuple[tuple[int, Mapping[str, Any]], ...]]
    next_number: int
    missing_numbers: tuple[int, ...]
    next_request_id: int
    next_candidate_id: int
    pending: tuple[PendingDraw, ...] = ()
    yields: tuple[int, ...] = ()
