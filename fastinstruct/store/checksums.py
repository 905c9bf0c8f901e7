"""A checksum in each row whose text leaves a run or decides what does, and finding the rows that do not match theirs.

SQLite notices damage to its structure, not to a text. Knows nothing of what the rows mean. Guarantees: any one bit of
a covered value that changes is found. Rows of runs that older versions began have none and are not checked.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from zlib import crc32

import orjson

__all__ = ["COVERED", "DamagedRow", "add_columns", "checksum", "damaged_rows", "exact", "leave_out"]

COVERED = {
    "seed": ("position", "id", "name", "instruction", "instances", "is_classification"),
    "request": (
        "id", "stage", "number", "template", "in_context", "outcome", "text", "finish_reason", "top_logprobs",
    ),
    "candidate": ("id", "request_id", "text", "reason", "nearest", "score"),
    "instruction": ("id", "candidate_id", "text"),
    "annotation": ("subject", "subject_id", "name", "value", "request_id", "confidence"),
    "instance": ("instruction_id", "request_id", "item", "input", "output", "reason"),
}  # fmt: skip
"""Table -> the columns that its checksum is over, in this order. A template has its SHA-256."""

_OF_OLDER_FORMATS = {"classification": ("instruction_id", "request_id", "is_classification", "margin")}
# What a checksum is not over has to be of its kind at least, for SQLite keeps any value in any column.
_OF_THEIR_KIND = {
    "request": "typeof(num_attempts) = 'integer' AND num_attempts BETWEEN 0 AND 1e9 "
    "AND typeof(prompt_tokens) = 'integer' AND typeof(completion_tokens) = 'integer' "
    "AND typeof(latency_ms) = 'integer' AND latency_ms BETWEEN 0 AND 1e12 "
    "AND typeof(finished_at) IN ('real', 'integer') AND finished_at BETWEEN 0 AND 1e11 "
    "AND typeof(detail) IN ('text', 'null') AND typeof(model) IN ('text', 'null')"
}
_WITH_FLOAT = frozenset({"candidate", "annotation", "classification"})  # their last column
_ALL = {**COVERED, **_OF_OLDER_FORMATS}
_KEYS = {"seed": "position", "classification": "instruction_id"}  # of the others: id


@dataclass(frozen=True, slots=True, kw_only=True)
class DamagedRow:
    """A row whose values are not those that were written; `id` is its key in `table`."""

    table: str
    id: int | str

    def __str__(self) -> str:
        return f"table {self.table}, row {self.id}"


def checksum(values: Sequence[object]) -> int:
    """Return the CRC-32 of a row's values as JSON, floats as `exact` gives them: the same before and after storing.

    It is -1, which no row has, for what is no text: SQLite refuses to write that.
    """
    try:
        return crc32(orjson.dumps(values))
    except TypeError:
        return -1


def exact(value: float | None) -> str | None:
    """Return a value of a REAL column as a checksum covers it: as Python writes it; SQLite has no NaN."""
    return None if value is None or value != value else repr(float(value))


def add_columns(connection: sqlite3.Connection) -> None:
    """Give the tables of an older run room for checksums; the rows that are there stay without."""
    for table in _covered(connection):
        connection.execute(f"ALTER TABLE {table} ADD COLUMN crc INTEGER")


def damaged_rows(connection: sqlite3.Connection, tables: Collection[str] | None = None) -> list[DamagedRow]:
    """Return every row that does not match its checksum, table by table: of all tables, or of these.

    Raises:
        sqlite3.DatabaseError: the structure is damaged.
    """
    covered = [table for table in _covered(connection) if tables is None or table in tables]
    found = [row for table in covered for row in _damaged(connection, table)]
    return found + (_damaged_templates(connection) if tables is None or "template" in tables else [])


def _damaged(connection: sqlite3.Connection, table: str) -> list[DamagedRow]:
    try:
        ids = list(_damaged_ids(connection, table))
    except (sqlite3.OperationalError, UnicodeDecodeError):  # mostly a text that is none, which takes longer to read
        with _read_leniently(connection):
            ids = list(_damaged_ids(connection, table))
    return [DamagedRow(table=table, id=id_) for id_ in ids]


def _damaged_ids(connection: sqlite3.Connection, table: str) -> Iterator[int]:
    columns, has_float = _ALL[table], table in _WITH_FLOAT
    rest = f"{_OF_THEIR_KIND.get(table, '1')}, crc, {_KEYS.get(table, 'id')}"
    sql = f"SELECT {', '.join(columns)}, {rest} FROM main.{table} NOT INDEXED"  # noqa: S608 - constants
    for *values, is_of_its_kind, stored, id_ in connection.execute(sql):
        if has_float and type(values[-1]) is float:
            values[-1] = exact(values[-1])
        if (stored is not None and stored != checksum(values)) or not is_of_its_kind:
            yield id_


def _damaged_templates(connection: sqlite3.Connection) -> list[DamagedRow]:
    with _read_leniently(connection):
        rows = connection.execute("SELECT name, sha256, source FROM main.template").fetchall()
    return [
        DamagedRow(table="template", id=name)
        for name, digest, source in rows
        if digest != sha256(str(source).encode("utf-8", "surrogateescape")).hexdigest()
    ]


@contextmanager
def _read_leniently(connection: sqlite3.Connection) -> Iterator[None]:
    """Let texts be read that are none: they match no checksum."""
    factory = connection.text_factory
    connection.text_factory = _decoded
    try:
        yield
    finally:
        connection.text_factory = factory


def leave_out(connection: sqlite3.Connection, rows: Sequence[DamagedRow]) -> None:
    """Let no later query of this connection see these rows: views of the same names hide their tables."""
    for table in dict.fromkeys(row.table for row in rows):
        ids = ", ".join(str(int(row.id)) for row in rows if row.table == table)
        key = _KEYS.get(table, "id")
        connection.execute(
            f"CREATE TEMP VIEW {table} AS SELECT * FROM main.{table} WHERE {key} NOT IN ({ids})"  # noqa: S608 - numbers
        )


def _covered(connection: sqlite3.Connection) -> dict[str, tuple[str, ...]]:
    """The covered tables that a run of this format has."""
    there = {name for (name,) in connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")}
    return {table: columns for table, columns in _ALL.items() if table in there}


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")
