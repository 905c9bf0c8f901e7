"""Queries about single things: what was rejected or not understood, and all about one instruction or candidate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from fastinstruct.records import RejectReason
from fastinstruct.store.reader import RunReader

__all__ = [
    "TABLES",
    "Annotated",
    "RejectedCandidate",
    "RejectedInstance",
    "ShownTask",
    "StoredInstance",
    "UnreadableReply",
    "admitted_as",
    "annotations_of",
    "candidate_of",
    "contaminated_positions",
    "instances_of",
    "instruction_of",
    "rejected_candidates",
    "rejected_instances",
    "request_of_candidate",
    "requests_about",
    "tasks_shown",
    "unreadable_replies",
]

_REJECTED_CANDIDATES = """
SELECT c.id, c.reason, c.text, c.nearest, c.score, s.id, n.id, coalesce(s.instruction, n.text)
FROM candidate AS c
LEFT JOIN seed AS s ON s.position = c.nearest AND c.reason = 'near_duplicate'
LEFT JOIN instruction AS n ON n.id = c.nearest - (SELECT count(*) FROM main.seed) AND c.reason = 'near_duplicate'
WHERE c.reason IS NOT NULL AND coalesce(?, c.reason) IN (c.reason, substr(c.reason, 1, instr(c.reason, ':') - 1))
ORDER BY c.id
"""
_REJECTED_INSTANCES = """
SELECT i.id, n.reason, i.text, n.input, n.output
FROM instance AS n JOIN instruction AS i ON i.id = n.instruction_id
WHERE n.reason IS NOT NULL AND coalesce(?, n.reason) IN (n.reason, substr(n.reason, 1, instr(n.reason, ':') - 1))
ORDER BY n.id
"""
_UNREADABLE_ALONE = """
SELECT stage, number, outcome, detail, text, NULL FROM request WHERE outcome = 'unreadable' ORDER BY id
"""
_UNREADABLE = """
SELECT r.stage, r.number, r.outcome, coalesce(u.stumbled_over, r.detail), r.text, u.rest
FROM request AS r LEFT JOIN unexplained AS u ON u.request_id = r.id
WHERE r.outcome = 'unreadable' OR u.request_id IS NOT NULL ORDER BY r.id
"""
_REQUEST_COLUMNS = (
    "stage", "outcome", "text", "finish_reason", "model", "template", "num_attempts", "detail", "prompt_tokens",
    "completion_tokens", "latency_ms",
)  # fmt: skip
_REQUESTS = f"SELECT {', '.join(_REQUEST_COLUMNS)} FROM request WHERE "  # noqa: S608 - constants
_OF_CANDIDATE = "id = (SELECT request_id FROM candidate WHERE id = ?) ORDER BY id"
_ABOUT = "number = ? AND stage <> ? ORDER BY id"

_KINDS = ("annotation", "classification")  # by the format; see `older`
TABLES = {
    "about": ("seed", "request", "candidate", "instruction", "instance", *_KINDS),
    "bare": ("request", "instruction", "instance", *_KINDS),
    "examples": ("instruction", "instance", *_KINDS),
    "rejects": ("seed", "candidate", "instruction", "instance"),
    "unreadable": ("request",),
}
"""What is looked at -> the tables whose rows it shows."""


class RejectedCandidate(NamedTuple):
    """A candidate that was not admitted; of a near-duplicate, the neighbour: a seed, or an instruction by its id."""

    id: int
    reason: str
    text: str
    nearest: int | None
    score: float | None
    seed: str | None
    instruction_id: int | None
    neighbour: str | None


class RejectedInstance(NamedTuple):
    """An instance that was not kept."""

    instruction_id: int
    reason: str
    instruction: str
    input: str
    output: str


class UnreadableReply(NamedTuple):
    """A reply that gave nothing (outcome `unreadable`), or was understood in part: `rest` is what nothing explains."""

    stage: str
    number: int
    outcome: str
    stumbled_over: str | None
    text: str | None
    rest: str | None


class StoredInstance(NamedTuple):
    """An instance; `reason` is None where it was kept."""

    item: int
    input: str
    output: str
    reason: str | None


class Annotated(NamedTuple):
    """What a stage found out about an instruction."""

    name: str
    value: Any
    confidence: float | None


class ShownTask(NamedTuple):
    """A task that a prompt showed; `id` is None where a refiltered run's pool does not hold it."""

    id: str | None
    instruction: str


def rejected_candidates(reader: RunReader, reason: str | None) -> Iterator[RejectedCandidate]:
    """Yield the candidates with this reason, by default with any; `forbidden` stands for every rule's."""
    return (RejectedCandidate(*row) for row in reader.rows(_REJECTED_CANDIDATES, (reason,)))


def rejected_instances(reader: RunReader, reason: str | None) -> Iterator[RejectedInstance]:
    """Yield the instances with this reason, as `rejected_candidates` does."""
    return (RejectedInstance(*row) for row in reader.rows(_REJECTED_INSTANCES, (reason,)))


def unreadable_replies(reader: RunReader) -> Iterator[UnreadableReply]:
    """Yield the replies that were not understood, or in part, in commit order."""
    sql = _UNREADABLE if reader.keeps_unexplained() else _UNREADABLE_ALONE
    return (UnreadableReply(*row) for row in reader.rows(sql))


def contaminated_positions(reader: RunReader) -> list[int]:
    """Return the places, among the evaluation texts, of those that some candidate was too near to."""
    sql = "SELECT DISTINCT nearest FROM candidate WHERE reason = ? AND nearest IS NOT NULL"
    return [nearest for (nearest,) in reader.rows(sql, (RejectReason.CONTAMINATED,))]


def instruction_of(reader: RunReader, number: int) -> tuple[str, int] | None:
    """Return an admitted instruction's text and its candidate's id; None if there is none of this id."""
    return next(iter(list(reader.rows("SELECT text, candidate_id FROM instruction WHERE id = ?", (number,)))), None)


def instances_of(reader: RunReader, number: int) -> list[StoredInstance]:
    """Return an instruction's instances, the rejected ones included."""
    sql = "SELECT item, input, output, reason FROM instance WHERE instruction_id = ? ORDER BY id"
    return [StoredInstance(*row) for row in reader.rows(sql, (number,))]


def annotations_of(reader: RunReader, number: int) -> list[Annotated]:
    """Return what stages found out about an instruction."""
    sql = "SELECT name, value, confidence FROM annotation WHERE subject = 'instruction' AND subject_id = ? ORDER BY id"
    return [Annotated(name, json.loads(value), confidence) for name, value, confidence in reader.rows(sql, (number,))]


def candidate_of(reader: RunReader, number: int) -> tuple[str, str | None] | None:
    """Return a candidate's text and why it was rejected, if it was; None if there is none of this id."""
    return next(iter(list(reader.rows("SELECT text, reason FROM candidate WHERE id = ?", (number,)))), None)


def admitted_as(reader: RunReader, candidate_id: int) -> int | None:
    """Return the id of the instruction that a candidate became; None if it became none."""
    rows = list(reader.rows("SELECT id FROM instruction WHERE candidate_id = ?", (candidate_id,)))
    return rows[0][0] if rows else None


def request_of_candidate(reader: RunReader, candidate_id: int) -> list[dict[str, Any]]:
    """Return the request whose answer held a candidate, by the names of its columns."""
    return _requests(reader, _OF_CANDIDATE, candidate_id)


def requests_about(reader: RunReader, number: int) -> list[dict[str, Any]]:
    """Return the requests about an instruction; `number` is minus a candidate's id where it was not admitted."""
    return _requests(reader, _ABOUT, number, reader.stages()[0])


def tasks_shown(reader: RunReader, candidate_id: int) -> list[ShownTask]:
    """Return the tasks that the prompt of a candidate showed, in the prompt's order; without those left out."""
    sql = "SELECT r.in_context FROM request AS r JOIN candidate AS c ON c.request_id = r.id WHERE c.id = ?"
    positions = next((positions for (positions,) in list(reader.rows(sql, (candidate_id,)))), None)
    ((num_seeds,),) = reader.rows("SELECT count(*) FROM main.seed")  # those left out, too: they keep their places
    shown: list[ShownTask] = []
    for position in json.loads(positions or "[]"):
        if isinstance(position, str):
            shown.append(ShownTask(None, position))
        elif position < num_seeds:
            found = reader.rows("SELECT id, instruction FROM seed WHERE position = ?", (position,))
            shown += [ShownTask(*row) for row in found]
        else:
            number = position - num_seeds
            found = reader.rows("SELECT text FROM instruction WHERE id = ?", (number,))
            shown += [ShownTask(f"m{number}", text) for (text,) in found]
    return shown


def _requests(reader: RunReader, condition: str, *values: int | str) -> list[dict[str, Any]]:
    return [dict(zip(_REQUEST_COLUMNS, row, strict=True)) for row in reader.rows(_REQUESTS + condition, values)]
