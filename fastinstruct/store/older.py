"""Runs of older formats: how they are read as they are, and carried over to the present one.

Formats 1 and 2 kept what stage 2 found in a table of its own, `classification`; format 1 had no checksums.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator

from fastinstruct.store.checksums import checksum, exact

__all__ = ["ANNOTATION_VIEW", "carry_over"]

ANNOTATION_VIEW = """
CREATE TEMP VIEW annotation AS
SELECT instruction_id AS id, 'instruction' AS subject, instruction_id AS subject_id, 'is_classification' AS name,
       CASE WHEN is_classification IS NULL THEN 'null' WHEN is_classification THEN 'true' ELSE 'false' END AS value,
       margin AS confidence, request_id
FROM classification
"""
"""Shows the classifications of an older run as annotations; what hides some of them hides these, too."""

_CLASSIFICATIONS = """
SELECT instruction_id, is_classification, margin, request_id, crc FROM classification ORDER BY instruction_id
"""


def carry_over(connection: sqlite3.Connection, tables: str) -> None:
    """Turn the classifications of formats 1 and 2 into annotations; inside the caller's transaction.

    Args:
        connection: of the run, whose rows are known to be sound and have room for checksums.
        tables: the statements that create the table of annotations.
    """
    for statement in tables.split(";\n"):
        connection.execute(statement)
    connection.executemany(
        "INSERT INTO annotation (subject, subject_id, name, value, confidence, request_id, crc) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        _annotations(connection),
    )
    connection.execute("DROP TABLE classification")
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'draw'").fetchall():
        connection.execute("ALTER TABLE draw ADD COLUMN known TEXT")
        connection.execute(
            "UPDATE draw SET known = CASE WHEN is_classification THEN ? ELSE ? END WHERE is_classification IS NOT NULL",
            [json.dumps({"is_classification": value}) for value in (True, False)],
        )


def _annotations(connection: sqlite3.Connection) -> Iterator[tuple[object, ...]]:
    for instruction_id, is_classification, margin, request_id, crc in connection.execute(_CLASSIFICATIONS).fetchall():
        value = "null" if is_classification is None else json.dumps(bool(is_classification))
        values = ("instruction", instruction_id, "is_classification", value)
        # A row without a checksum gets none: nobody could say that it is as it was written.
        found = None if crc is None else checksum((*values, request_id, exact(margin)))
        yield (*values, margin, request_id, found)
