"""What `inspect` shows, as plain values: examples, rejects, and everything about one of them.

Knows nothing of how it is shown. Ids: `m12` an admitted instruction, `m12-0` one of its examples, `c37` a candidate,
`<seed id>` and `<seed id>-0` a seed task and one of its instances.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from fastinstruct.errors import InputError, RunFolderError
from fastinstruct.files.against import Place, loaded, places
from fastinstruct.records import RejectReason, example_id, reason_in
from fastinstruct.store import MetaKey, RunReader, read_manifest, without_examples
from fastinstruct.store.queries import inspection

__all__ = ["about", "bare", "examples", "rejects", "threshold_of", "unreadable"]

Row = dict[str, Any]

_KIND = "is_classification"

_INSTRUCTION_ID = re.compile(r"m(\d{1,18})(?:-(\d{1,18}))?", re.ASCII)
_CANDIDATE_ID = re.compile(r"c(\d{1,18})", re.ASCII)


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
    for reply in inspection.unreadable_replies(reader):
        is_whole = reply.outcome == "unreadable"
        yield {
            "id": f"{reply.stage}:{reply.number}",
            "stage": reply.stage,
            "why": "gave nothing" if is_whole else "understood in part",
            "detail": reply.stumbled_over or "",
            "reply": reply.text if is_whole or not reply.rest else reply.rest,
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
    for one in inspection.rejected_candidates(reader, reason):
        row: Row = {"id": f"c{one.id}", "kind": "instruction", "reason": one.reason, "instruction": one.text}
        if one.neighbour is not None:
            name = one.seed if one.seed is not None else f"m{one.instruction_id}"
            row |= {"score": one.score, "nearest_id": name, "nearest": one.neighbour}
        elif one.reason == RejectReason.CONTAMINATED and one.nearest is not None:
            row |= {"score": one.score, **evaluation.neighbour(one.nearest)}
        yield row
    for instance in inspection.rejected_instances(reader, reason):
        yield {
            "id": f"m{instance.instruction_id}",
            "kind": "instance",
            "reason": instance.reason,
            "instruction": instance.instruction,
            "input": instance.input,
            "output": instance.output,
        }


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
            positions = inspection.contaminated_positions(self._reader)
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
    found, instances = inspection.instruction_of(reader, number), inspection.instances_of(reader, number)
    if found is None or (item is not None and int(item) not in [instance.item for instance in instances]):
        return None
    text, candidate_id = found
    annotations = inspection.annotations_of(reader, number)
    kinds = [{"is_classification": a.value, "margin": a.confidence} for a in annotations if a.name == _KIND]
    return {
        "id": f"m{number}",
        "instruction": text,
        "verdict": "admitted",
        "candidate": f"c{candidate_id}",
        "classification": kinds[0] if kinds else None,
        "annotations": {a.name: {"value": a.value, "confidence": a.confidence} for a in annotations},
        "instances": [
            {
                "id": example_id(number, instance.item) if instance.reason is None else None,
                "input": instance.input,
                "output": instance.output,
                "reason": instance.reason,
            }
            for instance in instances
            if item is None or instance.item == int(item)
        ],
        "in_context": _in_context(reader, candidate_id),
        "requests": [
            *inspection.request_of_candidate(reader, candidate_id),
            *inspection.requests_about(reader, number),
        ],
    }


def _candidate(reader: RunReader, number: int) -> Row | None:
    stored = inspection.candidate_of(reader, number)
    if stored is None:
        return None
    text, reason = stored
    found: Row = {"id": f"c{number}", "instruction": text, "verdict": reason or "admitted"}
    if reason is not None:
        found |= next((row for row in rejects(reader, reason) if row["id"] == found["id"]), {})
    elif (instruction := inspection.admitted_as(reader, number)) is not None:
        found["admitted_as"] = f"m{instruction}"
    found["in_context"] = _in_context(reader, number)
    found["requests"] = [
        *inspection.request_of_candidate(reader, number),
        # A refiltered run keeps the answers about an instruction that it does not admit.
        *inspection.requests_about(reader, -number),
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
    return [{"id": task.id, "instruction": task.instruction} for task in inspection.tasks_shown(reader, candidate_id)]
