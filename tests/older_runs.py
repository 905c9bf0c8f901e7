"""Runs as older versions wrote them: the tables of formats 1 and 2, filled with what a run of today holds.

Those versions kept what stage 2 found in a table of its own, and format 1 had no checksums.
"""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from fastinstruct.store.checksums import checksum, exact

__all__ = ["write_as_older"]

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE seed (
    position INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    instruction TEXT NOT NULL,
    instances TEXT NOT NULL,
    is_classification INTEGER NOT NULL,
    crc INTEGER
);
CREATE TABLE template (
    name TEXT PRIMARY KEY,
    sha256 TEXT NOT NULL,
    source TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE sitting (
    id INTEGER PRIMARY KEY,
    started_at TEXT NOT NULL,
    ended_at TEXT,
    version TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    ended_by TEXT
);
CREATE TABLE request (
    id INTEGER PRIMARY KEY,
    stage TEXT NOT NULL,
    number INTEGER NOT NULL,
    template TEXT NOT NULL,
    in_context TEXT,
    outcome TEXT NOT NULL,
    num_attempts INTEGER NOT NULL,
    detail TEXT,
    text TEXT,
    finish_reason TEXT,
    model TEXT,
    top_logprobs TEXT,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    latency_ms INTEGER NOT NULL,
    finished_at REAL NOT NULL,
    crc INTEGER
);
CREATE INDEX request_by_number ON request (stage, number);
CREATE TABLE attempt (
    request_id INTEGER NOT NULL REFERENCES request (id),
    attempt INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT,
    latency_ms INTEGER NOT NULL
);
CREATE TABLE candidate (
    id INTEGER PRIMARY KEY,
    request_id INTEGER NOT NULL REFERENCES request (id),
    text TEXT NOT NULL,
    reason TEXT,
    nearest INTEGER,
    score REAL,
    crc INTEGER
);
CREATE INDEX candidate_by_reason ON candidate (reason);
CREATE TABLE instruction (
    id INTEGER PRIMARY KEY,
    candidate_id INTEGER NOT NULL REFERENCES candidate (id),
    text TEXT NOT NULL,
    crc INTEGER
);
CREATE TABLE classification (
    instruction_id INTEGER PRIMARY KEY REFERENCES instruction (id),
    request_id INTEGER NOT NULL REFERENCES request (id),
    is_classification INTEGER,
    margin REAL,
    crc INTEGER
);
CREATE TABLE instance (
    id INTEGER PRIMARY KEY,
    instruction_id INTEGER NOT NULL REFERENCES instruction (id),
    request_id INTEGER NOT NULL REFERENCES request (id),
    item INTEGER NOT NULL,
    input TEXT NOT NULL,
    output TEXT NOT NULL,
    reason TEXT,
    crc INTEGER
);
CREATE INDEX instance_by_instruction ON instance (instruction_id, item);
CREATE INDEX instance_by_reason ON instance (reason);
"""
_LATER_TABLES = {
    "draw": """
CREATE TABLE draw (
    place INTEGER PRIMARY KEY,
    stage TEXT NOT NULL,
    number INTEGER NOT NULL,
    in_context TEXT NOT NULL,
    is_classification INTEGER,
    answer TEXT,
    prompt_tokens INTEGER NOT NULL DEFAULT 0,
    completion_tokens INTEGER NOT NULL DEFAULT 0
);
""",
    "unexplained": """
CREATE TABLE unexplained (
    request_id INTEGER PRIMARY KEY REFERENCES request (id),
    stumbled_over TEXT NOT NULL,
    rest TEXT NOT NULL
);
""",
}
"""What only some runs have."""


def write_as_older(database: Path, version: int) -> None:
    """Write a run of today anew, as one of format 1 or 2."""
    newer = database.rename(database.with_name("newer.db"))
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("ATTACH ? AS newer", (str(newer),))
        there = {name for (name,) in connection.execute("SELECT name FROM newer.sqlite_master WHERE type = 'table'")}
        tables = _TABLES + "".join(sql for name, sql in _LATER_TABLES.items() if name in there)
        if version == 1:
            tables = re.sub(r",\n    crc INTEGER", "", tables)
        connection.executescript(f"BEGIN; {tables} PRAGMA user_version = {version};")
        for table in there - {"annotation", "draw"}:
            columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
            connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM newer.{table}")
        _write_classifications(connection, with_checksums=version > 1)
        if "draw" in there:
            _write_draws(connection)
        connection.execute("COMMIT")
    for file in (newer, *newer.parent.glob("newer.db-*")):
        file.unlink()


def _write_classifications(connection: sqlite3.Connection, *, with_checksums: bool) -> None:
    found = connection.execute("SELECT subject_id, request_id, value, confidence FROM newer.annotation").fetchall()
    for instruction_id, request_id, value, margin in found:
        kind = None if json.loads(value) is None else int(json.loads(value))
        row: tuple[object, ...] = (instruction_id, request_id, kind, margin)
        if with_checksums:
            row = (*row, checksum((instruction_id, request_id, kind, exact(margin))))
        connection.execute(f"INSERT INTO main.classification VALUES ({', '.join('?' * len(row))})", row)


def _write_draws(connection: sqlite3.Connection) -> None:
    shared = "place, stage, number, in_context, answer, prompt_tokens, completion_tokens"
    for *row, known in connection.execute(f"SELECT {shared}, known FROM newer.draw").fetchall():
        kind = None if known is None else json.loads(known)["is_classification"]
        connection.execute(
            f"INSERT INTO main.draw ({shared}, is_classification) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, None if kind is None else int(kind)),
        )
