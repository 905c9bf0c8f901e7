"""What the stages of a run have not answered yet, instruction by instruction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from fastinstruct.store.rows import FINAL

__all__ = ["to_do"]

# A request that the server refused for its content is answered: asking again would be refused again.
_ANSWERED = f"""
SELECT 1 FROM request AS r WHERE r.stage = ? AND r.number = i.id AND r.outcome IN {FINAL!r}
"""  # noqa: S608 - constants
_TO_DO = f"SELECT i.id FROM instruction AS i WHERE NOT EXISTS ({_ANSWERED}) ORDER BY i.id"  # noqa: S608 - constants
_READY = f"""
SELECT i.id FROM instruction AS i WHERE NOT EXISTS ({_ANSWERED}) AND EXISTS ({_ANSWERED}) ORDER BY i.id
"""  # noqa: S608 - constants
_KNOWN = "SELECT name, value FROM annotation WHERE subject = 'instruction' AND subject_id = ?"


def to_do(
    connection: sqlite3.Connection, stages: Sequence[str]
) -> dict[str, tuple[tuple[int, Mapping[str, Any]], ...]]:
    """Return, by stage, the instructions that it has not answered and the stage before it has.

    Args:
        connection: of the run.
        stages: the run's, in order, of which the first asks about no instruction.

    Returns:
        stage -> instructions, ascending: the id, and what the stages before found out about it.
    """
    found: dict[str, tuple[tuple[int, Mapping[str, Any]], ...]] = {}
    for place, (before, stage) in enumerate(pairwise(stages)):
        # What the first stage gave is admitted: that is all the second waits for.
        rows = connection.execute(_READY, (stage, before)) if place else connection.execute(_TO_DO, (stage,))
        ids = [int(number) for (number,) in rows.fetchall()]
        found[stage] = tuple((number, _known(connection, number) if place else {}) for number in ids)
    return found


def _known(connection: sqlite3.Connection, instruction_id: int) -> dict[str, Any]:
    return {name: json.loads(value) for name, value in connection.execute(_KNOWN, (instruction_id,))}
