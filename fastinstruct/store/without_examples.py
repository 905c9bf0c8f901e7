"""Why an admitted instruction has no example: one reason each.

Knows nothing of how it is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fastinstruct.store.reader import RunReader

__all__ = ["WithoutExample", "without_examples"]

_WITHOUT = """
SELECT i.id, i.text,
       EXISTS (SELECT 1 FROM annotation AS c WHERE c.subject = 'instruction' AND c.subject_id = i.id),
       r.outcome, r.detail, r.text,
       (SELECT group_concat(reason, ', ')
        FROM (SELECT DISTINCT n.reason FROM instance AS n WHERE n.instruction_id = i.id ORDER BY n.id))
FROM instruction AS i
LEFT JOIN request AS r ON r.id = (SELECT max(id) FROM request WHERE stage = ? AND number = i.id)
WHERE NOT EXISTS (SELECT 1 FROM instance AS n WHERE n.instruction_id = i.id AND n.reason IS NULL)
ORDER BY i.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class WithoutExample:
    """An instruction without an example.

    Attributes:
        id: the instruction's.
        instruction: its text.
        reason: `not_classified` (where the recipe has that stage) or `not_asked` (the run has not got there), `failed`
            (asked again when the run goes on), `refused` (by the server), `unreadable`, `parser_failed`, `rejected`
            (each instance) or `nothing_found`.
        detail: the server's words, what the parser stumbled over, or the instances' reasons.
        reply: what the last stage was answered, if it was.
    """

    id: int
    instruction: str
    reason: str
    detail: str
    reply: str | None


def without_examples(reader: RunReader) -> Iterator[WithoutExample]:
    """Yield the instructions that have no kept instance, in order, each with its reason.

    Raises:
        RunFolderError: the database cannot be read.
    """
    stages = reader.stages()
    for id_, text, is_classified, outcome, detail, reply, reasons in reader.rows(_WITHOUT, (stages[-1],)):
        waits = "classification" in stages and not is_classified
        reason, told = _reason(waits, outcome, detail or "", reasons)
        yield WithoutExample(id=id_, instruction=text, reason=reason, detail=told, reply=reply)


def _reason(waits_for_its_kind: bool, outcome: str | None, detail: str, reasons: str | None) -> tuple[str, str]:
    match outcome:
        case None:
            return ("not_classified" if waits_for_its_kind else "not_asked"), ""
        case "ok":
            return ("rejected", reasons) if reasons else ("nothing_found", "")
        case "bad_request":
            return "refused", detail
        case "unreadable" | "parser_failed":
            return outcome, detail
        case _:
            return "failed", f"{outcome}: {detail}" if detail else outcome
