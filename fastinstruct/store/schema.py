"""The tables of `run.db`, and opening them.

One row of `request` is one logical request, however many attempts it took. Everything derived from its response is
written in the same transaction, so no table is ever ahead of another.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path

from fastinstruct.errors import RunFolderError, StoreError
from fastinstruct.records import MOST_TOKENS
from fastinstruct.replaceable import is_replaceable
from fastinstruct.store.checksums import DamagedRow, add_columns, damaged_rows

__all__ = [
    "FORMAT_VERSION",
    "bounded",
    "bring_up_to_date",
    "connect",
    "create",
    "create_draws",
    "create_unexplained",
    "damage_error",
    "damaged_meta",
    "found_damage",
    "has_answers",
    "has_checksums",
    "has_draws",
    "has_unexplained",
    "refuse_damaged",
    "refuse_other_format",
    "store_error",
]

FORMAT_VERSION = 2
_WITHOUT_CHECKSUMS = 1  # is read as it is; the next sitting makes it the present one

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE seed (
    position INTEGER PRIMARY KEY,      -- its place in the pool, from 0
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    instruction TEXT NOT NULL,
    instances TEXT NOT NULL,           -- JSON [[input, output], ...]
    is_classification INTEGER NOT NULL, -- -1: the seed does not say; NULL would need another table in older runs
    crc INTEGER                        -- see `checksums`; NULL: written before there were any
);
CREATE TABLE template (
    name TEXT PRIMARY KEY,
    sha256 TEXT NOT NULL,
    source TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE sitting (                 -- one start of the run, until it stops
    id INTEGER PRIMARY KEY,
    started_at TEXT NOT NULL,          -- UTC, ISO 8601
    ended_at TEXT,
    version TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    ended_by TEXT
);
CREATE TABLE request (
    id INTEGER PRIMARY KEY,            -- commit order, from 1
    stage TEXT NOT NULL,
    number INTEGER NOT NULL,           -- stage 1: the request's index; stages 2 and 3: the instruction's id, or
                                       -- minus its candidate's id where a refiltered run did not admit it
    template TEXT NOT NULL,            -- name of the template that was filled
    in_context TEXT,                   -- stage 1: JSON list of pool positions, in prompt order; the text of a task
                                       -- in its place where a refiltered run's pool does not hold it
    outcome TEXT NOT NULL,
    num_attempts INTEGER NOT NULL,
    detail TEXT,                       -- of a failure: what the server said, shortened; of a reply that gave nothing
                                       -- (outcome unreadable): what the parser stumbled over
    text TEXT,                         -- the response
    finish_reason TEXT,
    model TEXT,
    top_logprobs TEXT,                 -- JSON {token: log-probability} of the first token
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    latency_ms INTEGER NOT NULL,       -- of the last attempt
    finished_at REAL NOT NULL,        -- seconds since the epoch
    crc INTEGER                        -- see `checksums`; NULL: written before there were any
);
CREATE INDEX request_by_number ON request (stage, number);
CREATE TABLE attempt (                 -- those that failed and were tried again
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
    reason TEXT,                       -- NULL: admitted
    nearest INTEGER,                   -- near_duplicate: pool position; contaminated: position in `against` (meta)
    score REAL,                       -- their ROUGE-L F-measure
    crc INTEGER                        -- see `checksums`; NULL: written before there were any
);
CREATE INDEX candidate_by_reason ON candidate (reason);
CREATE TABLE instruction (             -- the admitted ones; pool position = number of seeds + id
    id INTEGER PRIMARY KEY,            -- from 0, in order of admission
    candidate_id INTEGER NOT NULL REFERENCES candidate (id),
    text TEXT NOT NULL,
    crc INTEGER                        -- see `checksums`; NULL: written before there were any
);
CREATE TABLE classification (
    instruction_id INTEGER PRIMARY KEY REFERENCES instruction (id),
    request_id INTEGER NOT NULL REFERENCES request (id),
    is_classification INTEGER,         -- NULL: stage 2 could not tell
    margin REAL,                      -- log P(yes) - log P(no), where it was asked for
    crc INTEGER                        -- see `checksums`; NULL: written before there were any
);
CREATE TABLE instance (
    id INTEGER PRIMARY KEY,
    instruction_id INTEGER NOT NULL REFERENCES instruction (id),
    request_id INTEGER NOT NULL REFERENCES request (id),
    item INTEGER NOT NULL,             -- its place among the instruction's kept instances, from 0; -1 if rejected
    input TEXT NOT NULL,
    output TEXT NOT NULL,
    reason TEXT,                      -- NULL: kept
    crc INTEGER                        -- see `checksums`; NULL: written before there were any
);
CREATE INDEX instance_by_instruction ON instance (instruction_id, item);
CREATE INDEX instance_by_reason ON instance (reason);
"""

_DRAWS = """
CREATE TABLE IF NOT EXISTS draw (      -- where commits keep the order of draws: those that are not committed yet
    place INTEGER PRIMARY KEY,         -- the order
    stage TEXT NOT NULL,
    number INTEGER NOT NULL,           -- as in request
    in_context TEXT NOT NULL,          -- JSON list of pool positions
    is_classification INTEGER,
    answer TEXT,                       -- JSON of a reply that came before its turn; NULL: not answered yet
    prompt_tokens INTEGER NOT NULL DEFAULT 0,
    completion_tokens INTEGER NOT NULL DEFAULT 0
);
"""

_UNEXPLAINED = """
CREATE TABLE IF NOT EXISTS unexplained ( -- replies that were understood in part only
    request_id INTEGER PRIMARY KEY REFERENCES request (id),
    stumbled_over TEXT NOT NULL,       -- what kept the parser from reading on
    rest TEXT NOT NULL                 -- the lines that nothing explains
);
"""

_BESIDE = ("-wal", "-shm", "-journal")  # what SQLite opens with a database
_ANY_ANSWER = {
    "request": "SELECT 1 FROM request LIMIT 1",
    "draw": "SELECT 1 FROM draw WHERE answer IS NOT NULL LIMIT 1",
}


def bounded(column: str) -> str:
    """Return a column of token counts in SQL, each within what sums bear: older versions believed larger ones."""
    return f"CAST(min(max({column}, 0), {MOST_TOKENS}) AS INTEGER)"


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the database of a run; transactions are explicit, and commits are on disk when they return.

    Raises:
        RunFolderError: there is none, it cannot be opened, or it is no database.
    """
    for name in (path.name, *(f"{path.name}{suffix}" for suffix in _BESIDE)):
        if not is_replaceable(path.with_name(name)):  # a pipe, for whose other end SQLite would wait
            raise RunFolderError(f"{path.with_name(name)}: is no regular file; restore the run's folder from a copy")
    mode = "ro" if read_only else "rwc"
    connection: sqlite3.Connection | None = None
    try:
        # A connection moves from the thread that opens it to the writer thread, which then owns it alone.
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=10,
        )
        if not read_only:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # it may name a damaged table in what is no text
        if connection is not None:
            connection.close()
        raise _open_error(path, error) from error
    return connection


def create(connection: sqlite3.Connection) -> None:
    """Create the tables of an empty database, all or none."""
    connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {FORMAT_VERSION}; COMMIT;")


def create_draws(connection: sqlite3.Connection) -> None:
    """Create the table of draws, unless it is there: only runs whose commits keep the order of draws have one."""
    connection.execute(_DRAWS)


def create_unexplained(connection: sqlite3.Connection) -> None:
    """Create the table of what was not understood, unless it is there: runs of older versions have none."""
    connection.execute(_UNEXPLAINED)


def has_unexplained(connection: sqlite3.Connection) -> bool:
    """Say whether there is a table of what was not understood."""
    return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'unexplained'").fetchall())


def has_draws(connection: sqlite3.Connection) -> bool:
    """Say whether there is a table of draws."""
    return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'draw'").fetchall())


def refuse_damaged(connection: sqlite3.Connection, path: Path) -> None:
    """Check structure and version before anything is read from or added to a run.

    Raises:
        RunFolderError: SQLite finds damage, or the format is another version's.
    """
    try:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        raise _open_error(path, error) from error
    if verdict != "ok":
        raise RunFolderError(f"{path}: the database is damaged; restore it from a copy, or give another --out")
    refuse_other_format(connection, path)


def refuse_other_format(connection: sqlite3.Connection, path: Path) -> None:
    """Check the version, which is quick even where the database is large.

    Raises:
        RunFolderError: the format is another version's, or there are no tables yet.
    """
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (num_tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        raise _open_error(path, error) from error
    if num_tables == 0:
        raise RunFolderError(f"{path}: holds no run yet; `fastinstruct run` makes one")
    if version not in {FORMAT_VERSION, _WITHOUT_CHECKSUMS}:
        raise RunFolderError(
            f"{path}: written in format {version}, this version reads {FORMAT_VERSION}; give another --out"
        )


def bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Make a run of the older format one of the present: its rows stay as they are, without checksums."""
    if not has_checksums(connection):
        connection.execute("BEGIN IMMEDIATE")
        add_columns(connection)
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        connection.execute("COMMIT")


def has_checksums(connection: sqlite3.Connection) -> bool:
    """Say whether the run is of a format in which rows have checksums."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return bool(version != _WITHOUT_CHECKSUMS)


def found_damage(connection: sqlite3.Connection, path: Path, tables: Collection[str] | None = None) -> list[DamagedRow]:
    """Return the rows that are not as they were written: of the whole database, or of these tables.

    Raises:
        RunFolderError: the structure is damaged, so that rows may be missing; looked at in the whole database only.
    """
    try:
        verdict = "ok"
        if tables is None:
            (verdict,) = connection.execute("PRAGMA main.integrity_check(1)").fetchone()
        if verdict == "ok":
            return damaged_rows(connection, tables) if has_checksums(connection) else []
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise _open_error(path, error) from error
    raise RunFolderError(f"{path}: the database is damaged; restore it from a copy, or give another --out")


def damage_error(path: Path, rows: Sequence[DamagedRow], advice: str) -> RunFolderError:
    """Say which rows are damaged, in one line."""
    more = f" and {len(rows) - 3:,} more" if len(rows) > 3 else ""
    named = "; ".join(map(str, rows[:3]))
    return RunFolderError(f"{path}: damaged: {named}{more}; restore it from a copy{advice}")


def damaged_meta(path: Path, key: str) -> RunFolderError:
    """Say that what a run keeps under a key of its table meta is not what was written."""
    return damage_error(path, [DamagedRow(table="meta", id=key)], "")


def has_answers(path: Path) -> bool:
    """Say whether a run's database holds any answer; True where it cannot be told.

    Raises:
        RunFolderError: the file is no database.
    """
    if not path.exists():
        return False
    connection = connect(path, read_only=True)
    try:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        asked = [_ANY_ANSWER[table] for table in _ANY_ANSWER if table in tables]
        return any(connection.execute(sql).fetchone() is not None for sql in asked)
    except sqlite3.DatabaseError:
        return True
    finally:
        connection.close()


def store_error(path: Path, error: sqlite3.Error) -> StoreError:
    """Say a failed write or read in one line."""
    what = f"{error}; what was acknowledged before is safe"
    if _primary_code(error) == sqlite3.SQLITE_FULL:
        what = "the disk is full; free some space and run the same command to go on"
    failure = StoreError(f"{path}: {what}")
    failure.__cause__ = error  # it is handed over, not raised here
    return failure


def _open_error(path: Path, error: sqlite3.DatabaseError | UnicodeDecodeError) -> RunFolderError:
    if isinstance(error, UnicodeDecodeError) or _primary_code(error) in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
        return RunFolderError(f"{path}: the database is damaged; restore it from a copy, or give another --out")
    return RunFolderError(f"{path}: cannot be opened: {error}")


def _primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's code without the extension that tells, say, one kind of damage from another; 0 if it has none."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF
