"""What `inspect` shows, as plain values: examples, rejects, and everything about one of them.

Knows nothing of how it is shown. Ids: `m12` an admitted instruction, `m12-0` one of its examples, `c37` a candidate,
`<seed id>` and `<seed id>-0` a seed task and one of its instances.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from fastinstruct.errors import InputError, RunFolderError
from fastinstruct.files.against import Place, loaded, places
from fastinstruct.records import RejectReason, reason_in
from fastinstruct.store import MetaKey, RunReader, read_manifest, without_examples

__all__ = ["about", "bare", "examples", "read_by", "rejects", "threshold_of", "unreadable"]

Row = dict[str, Any]

_INSTRUCTION_ID = re.compile(r"m(\d{1,18})(?:-(\d{1,18}))?", re.ASCII)
_CANDIDATE_ID = re.compile(r"c(\d{1,18})", re.ASCII)

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
_READ_BY = {
    "about": ("seed", "request", "candidate", "instruction", "classification", "instance"),
    "bare": ("request", "instruction", "classification", "instance"),
    "examples": ("instruction", "classification", "instance"),
    "rejects": ("seed", "candidate", "instruction", "instance"),
    "unreadable": ("request",),
}
_REQUEST_COLUMNS = (
    "stage", "outcome", "text", "finish_reason", "model", "template", "num_attempts", "detail", "prompt_tokens",
    "completion_tokens", "latency_ms",
)  # fmt: skip


def read_by(name: str) -> tuple[str, ...]:
    """Return the tables whose rows the function `name` of this module shows."""
    return _READ_BY[name]


def examples(reader: RunReader) -> Iterator[Row]:
    """Yield every example, by instruction and number."""
    for example in reader.examples():
        yield {
            "id": example.id,
            "instruction": example.instruction,
            "input": example.input,
            "output": example.output,
            "is_classification": example.is_classification,
        }


def bare(reader: RunReader) -> Iterator[Row]:
    """Yield the instructions without an example, each with its reason."""
    for row in without_examples(reader):
        detail = {"detail": row.detail} if row.detail else {}
        reply = {} if row.reply is None else {"reply": row.reply}
        yield {"id": f"m{row.id}", "instruction": row.instruction, "why": row.reason, **detail, **reply}


def unreadable(reader: RunReader) -> Iterator[Row]:
    """Yield the replies that gave nothing, and of those understood in part what nothing explains, in commit order."""
    sql = _UNREADABLE if reader.keeps_unexplained() else _UNREADABLE_ALONE
    for stage, number, outcome, stumbled_over, text, rest in reader.rows(sql):
        is_whole = outcome == "unreadable"
        yield {
            "id": f"{stage}:{number}",
            "stage": stage,
            "why": "gave nothing" if is_whole else "understood in part",
            "detail": stumbled_over or "",
            "reply": text if is_whole or not rest else rest,
        }


def rejects(reader: RunReader, reason: str | None) -> Iterator[Row]:
    """Yield rejected candidates, with the nearest neighbour of those that are too near to something, then instances.

    The neighbour of a contaminated one is an evaluation text, `nearest_id` its FILE:LINE; where the file is not what
    it was, there is no `nearest`.

    Args:
        reader: the run.
        reason: only what has this reason; `forbidden` is every rule's, `forbidden:NAME` one rule's, and so is its
            bare name.

    Raises:
        InputError: there is no such reason.
    """
    if reason is not None:
        reason = _known_reason(reader, reason)
    evaluation = _Evaluation(reader)
    for id_, why, text, nearest, score, seed, number, neighbour in reader.rows(_REJECTED_CANDIDATES, (reason,)):
        row = {"id": f"c{id_}", "kind": "instruction", "reason": why, "instruction": text}
        if neighbour is not None:
            row |= {"score": score, "nearest_id": seed if seed is not None else f"m{number}", "nearest": neighbour}
        elif why == RejectReason.CONTAMINATED:
            row |= {"score": score, **evaluation.neighbour(nearest)}
        yield row
    for id_, why, text, given, output in reader.rows(_REJECTED_INSTANCES, (reason,)):
        yield {
            "id": f"m{id_}", "kind": "instance", "reason": why, "instruction": text, "input": given, "output": output,
        }  # fmt: skip


def _known_reason(reader: RunReader, reason: str) -> str:
    """The reason as it is stored, which may be given by a rule's name alone."""
    totals = reader.totals()
    stored = {*totals.rejected, *totals.rejected_instances}
    named = [one for one in stored if one.partition(":")[2] == reason]
    if len(named) == 1:
        return named[0]
    try:
        reason_in(reason)
    except ValueError:
        rules = sorted(one for one in stored if ":" in one)
        known = ", ".join([*RejectReason, *rules])
        raise InputError(f"no such reason: {reason[:40]!r}; there are {known}") from None
    return reason


def threshold_of(reader: RunReader) -> float:
    """Return the similarity above which the run rejects; 1 where its manifest does not say."""
    try:
        return float(read_manifest(reader.folder)["identity"]["similarity"]["threshold"])
    except (RunFolderError, KeyError, TypeError, ValueError):
        return 1.0


class _Evaluation:
    """The evaluation texts that a run's candidates came too near to, found in their files when first asked for."""

    def __init__(self, reader: RunReader) -> None:
        self._reader = reader
        self._places: dict[int, Place] | None = None

    def neighbour(self, position: int) -> Row:
        """`nearest_id` and, where its file is still what it was, `nearest`."""
        if self._places is None:
            sql = "SELECT DISTINCT nearest FROM candidate WHERE reason = ? AND nearest IS NOT NULL"
            positions = [nearest for (nearest,) in self._reader.rows(sql, (RejectReason.CONTAMINATED,))]
            self._places = places(loaded(self._reader.meta(MetaKey.AGAINST)), positions)
        place = self._places.get(position)
        if place is None:
            return {"nearest_id": f"evaluation text {position + 1}"}
        return {"nearest_id": str(place)} | ({} if place.text is None else {"nearest": place.text})


def about(reader: RunReader, wanted: str) -> Row:
    """Return everything about an instruction, example, candidate or seed.

    Raises:
        InputError: the run holds nothing of that id.
    """
    if match := _INSTRUCTION_ID.fullmatch(wanted):
        found = _instruction(reader, int(match[1]), match[2])
    elif match := _CANDIDATE_ID.fullmatch(wanted):
        found = _candidate(reader, int(match[1]))
    else:
        found = None
    found = found or _seed(reader, wanted)
    if found is None:
        raise InputError(f"the run holds no {wanted[:40]!r}; `inspect` and `inspect --rejected` show ids")
    return found


def _instruction(reader: RunReader, number: int, item: str | None) -> Row | None:
    rows = list(reader.rows("SELECT text, candidate_id FROM instruction WHERE id = ?", (number,)))
    kept = list(
        reader.rows("SELECT item, input, output, reason FROM instance WHERE instruction_id = ? ORDER BY id", (number,))
    )
    if not rows or (item is not None and int(item) not in [place for place, *_ in kept]):
        return None
    ((text, candidate_id),) = rows
    answers = list(
        reader.rows(
            "SELECT value, confidence FROM annotation "
            "WHERE subject = 'instruction' AND subject_id = ? AND name = 'is_classification'",
            (number,),
        )
    )
    classified = [{"is_classification": json.loads(answer), "margin": margin} for answer, margin in answers]
    return {
        "id": f"m{number}",
        "instruction": text,
        "verdict": "admitted",
        "candidate": f"c{candidate_id}",
        "classification": classified[0] if classified else None,
        "instances": [
            {"id": f"m{number}-{place}" if why is None else None, "input": given, "output": output, "reason": why}
            for place, given, output, why in kept
            if item is None or place == int(item)
        ],
        "in_context": _in_context(reader, candidate_id),
        "requests": [
            *_requests(reader, "id = (SELECT request_id FROM candidate WHERE id = ?)", candidate_id),
            *_requests(reader, "number = ? AND stage <> ?", number, reader.stages()[0]),
        ],
    }


def _candidate(reader: RunReader, number: int) -> Row | None:
    rows = list(reader.rows("SELECT text, reason FROM candidate WHERE id = ?", (number,)))
    if not rows:
        return None
    ((text, reason),) = rows
    found: Row = {"id": f"c{number}", "instruction": text, "verdict": reason or "admitted"}
    if reason is None:
        for (instruction,) in list(reader.rows("SELECT id FROM instruction WHERE candidate_id = ?", (number,))):
            found["admitted_as"] = f"m{instruction}"
    else:
        found |= next((row for row in rejects(reader, reason) if row["id"] == found["id"]), {})
    found["in_context"] = _in_context(reader, number)
    found["requests"] = [
        *_requests(reader, "id = (SELECT request_id FROM candidate WHERE id = ?)", number),
        # A refiltered run keeps the answers about an instruction that it does not admit.
        *_requests(reader, "number = -? AND stage <> ?", number, reader.stages()[0]),
    ]
    return found


def _seed(reader: RunReader, wanted: str) -> Row | None:
    for seed in reader.seeds():
        instances = [
            {"id": f"{seed.id}-{place}", "input": case.input, "output": case.output, "reason": None}
            for place, case in enumerate(seed.instances)
        ]
        if wanted == seed.id or wanted in [case["id"] for case in instances]:
            return {
                "id": seed.id,
                "instruction": seed.instruction,
                "verdict": "seed",
                "name": seed.name,
                "classification": {"is_classification": seed.is_classification, "margin": None},
                "instances": [case for case in instances if wanted in (seed.id, case["id"])],
            }
    return None


def _in_context(reader: RunReader, candidate_id: int) -> list[Row]:
    """The tasks that the prompt of a candidate showed, in the prompt's order; without those that are left out."""
    sql = "SELECT r.in_context FROM request AS r JOIN candidate AS c ON c.request_id = r.id WHERE c.id = ?"
    positions = next((positions for (positions,) in list(reader.rows(sql, (candidate_id,)))), None)
    num_seeds = next(reader.rows("SELECT count(*) FROM main.seed"))[0]  # those left out, too: they keep their places
    shown = []
    for position in json.loads(positions or "[]"):
        if isinstance(position, str):  # a refiltered run's pool does not hold it
            rows: list[tuple[Any, str]] = [(None, position)]
        elif position < num_seeds:
            rows = list(reader.rows("SELECT id, instruction FROM seed WHERE position = ?", (position,)))
        else:
            number = position - num_seeds
            rows = [
                (f"m{number}", text) for (text,) in reader.rows("SELECT text FROM instruction WHERE id = ?", (number,))
            ]
        shown += [{"id": name, "instruction": text} for name, text in rows]
    return shown


def _requests(reader: RunReader, condition: str, *values: int | str) -> list[Row]:
    sql = f"SELECT {', '.join(_REQUEST_COLUMNS)} FROM request WHERE {condition} ORDER BY id"  # noqa: S608 - constants
    return [dict(zip(_REQUEST_COLUMNS, row, strict=True)) for row in reader.rows(sql, values)]
