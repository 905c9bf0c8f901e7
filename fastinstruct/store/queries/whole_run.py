"""Queries about a whole run: its sessions, its templates, its instructions with their replies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

from fastinstruct.store.meta import MetaKey
from fastinstruct.store.reader import RunReader

__all__ = [
    "Admitted",
    "Session",
    "admitted_instructions",
    "admitted_with_replies",
    "ids_with_examples",
    "kept_values",
    "num_unknown_kinds",
    "sessions",
    "templates",
]

_SESSIONS = "SELECT started_at, ended_at, ended_by, version, endpoint FROM sitting ORDER BY id"
_UNKNOWN = "SELECT count(*) FROM annotation WHERE name = 'is_classification' AND value = 'null'"
# One row an instruction, with the replies of the first stage and the last; a kind that is NULL was not asked for.
_ADMITTED = """
SELECT i.text, g.number, g.in_context, g.text, g.finish_reason, g.finished_at,
       c.value, r.text, r.finish_reason, r.finished_at
FROM instruction AS i
JOIN candidate AS k ON k.id = i.candidate_id
JOIN request AS g ON g.id = k.request_id
LEFT JOIN annotation AS c ON c.subject = 'instruction' AND c.subject_id = i.id AND c.name = 'is_classification'
LEFT JOIN request AS r ON r.id = (SELECT max(id) FROM request WHERE stage = ? AND number = i.id AND text IS NOT NULL)
ORDER BY i.id
"""


class Session(NamedTuple):
    """One start of the run, until it stopped; `ended_at` and `ended_by` are None while it goes on, or if it was killed.

    Times are UTC, in ISO 8601.
    """

    started_at: str
    ended_at: str | None
    ended_by: str | None
    version: str
    endpoint: str


class Admitted(NamedTuple):
    """One admitted instruction; a reply is its text, its finish_reason and when it came, in seconds since the epoch."""

    instruction: str
    request_idx: int
    in_context: str | None
    reply: tuple[str, str, float]
    is_classified: bool
    is_classification: bool | None
    last_reply: tuple[str | None, str, float]


def sessions(reader: RunReader) -> list[Session]:
    """Return the run's sessions, in order."""
    return [Session(*row) for row in reader.rows(_SESSIONS)]


def num_unknown_kinds(reader: RunReader) -> int:
    """Return of how many instructions it could not be told whether they are classification tasks."""
    ((num_unknown,),) = reader.rows(_UNKNOWN)
    return int(num_unknown)


def ids_with_examples(reader: RunReader) -> list[int]:
    """Return the ids of the instructions that have an example."""
    return [number for (number,) in reader.rows("SELECT DISTINCT instruction_id FROM instance WHERE reason IS NULL")]


def templates(reader: RunReader) -> dict[str, tuple[str, str]]:
    """Return the templates that the run asked with: name -> its SHA-256 and its text."""
    rows = reader.rows("SELECT name, sha256, source FROM template")
    return {name: (sha256, source) for name, sha256, source in rows}


def kept_values(reader: RunReader) -> dict[MetaKey, str]:
    """Return what is kept of the run beside its rows, as far as this version knows it."""
    known = frozenset(MetaKey)
    return {MetaKey(key): value for key, value in reader.rows("SELECT key, value FROM meta") if key in known}


def admitted_instructions(reader: RunReader) -> list[tuple[str, int]]:
    """Return each admitted instruction's text and its candidate's id, in order of admission."""
    return list(reader.rows("SELECT text, candidate_id FROM instruction ORDER BY id"))


def admitted_with_replies(reader: RunReader) -> Iterator[Admitted]:
    """Yield the admitted instructions with the replies of the first stage and the last, in order of admission."""
    for row in reader.rows(_ADMITTED, (reader.stages()[-1],)):
        yield Admitted(
            instruction=row[0],
            request_idx=row[1],
            in_context=row[2],
            reply=row[3:6],
            is_classified=row[6] is not None,
            is_classification=None if row[6] is None else json.loads(row[6]),
            last_reply=row[7:10],
        )
