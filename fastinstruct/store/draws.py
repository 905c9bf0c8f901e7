"""The draws of a run whose commits keep the order of draws: what was decided to ask and is not committed yet.

A draw and the commit that it follows from are one transaction, so what is pending is known exactly, whenever a process
dies. An answer that comes before its turn is kept with its draw until then. Only such runs have the table.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from fastinstruct.errors import RunFolderError
from fastinstruct.records import Usage
from fastinstruct.store import schema
from fastinstruct.store.checksums import DamagedRow
from fastinstruct.store.rows import Commit, DrawRow, PendingDraw

__all__ = ["damaged_draw", "early_usage", "pending_draws", "settle_draws", "write_answer", "write_draws"]

_PENDING = "SELECT place, stage, number, in_context, known, answer FROM draw ORDER BY place"
_EARLY = f"""
SELECT stage, count(*), sum({schema.bounded("prompt_tokens")}), sum({schema.bounded("completion_tokens")})
FROM draw WHERE answer IS NOT NULL GROUP BY 1
"""  # noqa: S608 - constants


def write_draws(connection: sqlite3.Connection, rows: Iterable[DrawRow]) -> None:
    """Add draws; makes their table if there is none."""
    schema.create_draws(connection)
    _insert(connection, rows)


def settle_draws(connection: sqlite3.Connection, commits: Sequence[Commit]) -> None:
    """Take away the draws that these commits settle, and add those that follow."""
    places = [(commit.place,) for commit in commits if commit.place is not None]
    if places:
        connection.executemany("DELETE FROM draw WHERE place = ?", places)
        _insert(connection, (row for commit in commits for row in commit.draws))


def write_answer(connection: sqlite3.Connection, place: int, answer: str, usage: Usage) -> None:
    """Keep an answer with its draw."""
    connection.execute(
        "UPDATE draw SET answer = ?, prompt_tokens = ?, completion_tokens = ? WHERE place = ?",
        (answer, usage.prompt_tokens, usage.completion_tokens, place),
    )


def pending_draws(connection: sqlite3.Connection, path: Path) -> tuple[PendingDraw, ...]:
    """Return what is not committed yet, in order; `path` is the database's.

    Raises:
        RunFolderError: a draw is damaged.
    """
    if not schema.has_draws(connection):
        return ()
    found = []
    for place, *values in connection.execute(_PENDING).fetchall():
        try:
            found.append(_pending(place, *values))
        except (TypeError, ValueError, RecursionError) as error:
            raise damaged_draw(path, place) from error
    return tuple(found)


def damaged_draw(path: Path, place: int) -> RunFolderError:
    """Say that a draw, or the answer kept with it, is not what was written."""
    advice = ", or go on without what is pending: `fastinstruct refilter` makes a run of the rest"
    return schema.damage_error(path, [DamagedRow(table="draw", id=place)], advice)


def _pending(place: int, stage: str, number: object, in_context: str, known: str | None, answer: object) -> PendingDraw:
    positions, annotations = json.loads(in_context), None if known is None else json.loads(known)
    if not (
        type(number) is int
        and isinstance(positions, list)
        and all(type(position) is int for position in positions)
        and isinstance(annotations, dict | None)
        and (answer is None or isinstance(answer, str))
    ):
        raise TypeError("no draw")
    return PendingDraw(
        row=DrawRow(
            place=place,
            stage=stage,
            number=number,
            in_context=tuple(positions),
            known=annotations,
        ),
        answer=answer,
    )


def early_usage(connection: sqlite3.Connection) -> list[tuple[str, int, int, int]]:
    """Return what the answers used that wait for their turn: stage, how many, prompt tokens, completion tokens."""
    return connection.execute(_EARLY).fetchall() if schema.has_draws(connection) else []


def _insert(connection: sqlite3.Connection, rows: Iterable[DrawRow]) -> None:
    connection.executemany(
        "INSERT INTO draw (place, stage, number, in_context, known) VALUES (?, ?, ?, ?, ?)",
        [
            (row.place, row.stage, row.number, json.dumps(row.in_context), row.known and json.dumps(row.known))
            for row in rows
        ],
    )
