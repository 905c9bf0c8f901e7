"""The writing side of a run's database, and reading back what a resumed run needs.

`RunStore` belongs to one process at a time (the folder's lock sees to it); `RunReader` is for everybody else.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from fastinstruct.errors import RunFolderError, StoreError
from fastinstruct.records import SeedTask, Usage
from fastinstruct.store import schema
from fastinstruct.store.checksums import checksum, exact
from fastinstruct.store.draws import early_usage, pending_draws, settle_draws, write_answer, write_draws
from fastinstruct.store.folder import RunFolder
from fastinstruct.store.locking import is_still
from fastinstruct.store.meta import STAGES_OF_OLDER_RUNS, MetaKey
from fastinstruct.store.reader import USAGE, StageUsage, stage_usage
from fastinstruct.store.rows import (
    ANSWERED,
    READ,
    AnnotationRow,
    CandidateRow,
    Commit,
    DrawRow,
    InstanceRow,
    RequestRow,
    StoredState,
)
from fastinstruct.store.to_do import to_do
from fastinstruct.store.writer import Writer

__all__ = ["RunStore"]

T = TypeVar("T")


class RunStore:
    """The database of one run, open for writing.

    With `folder`, its manifest records the first answer, and nothing is written once the folder is another's.

    Raises:
        RunFolderError: the database is damaged or of another format.
        StoreError: from any method, when the disk is full or fails.
    """

    def __init__(self, path: Path, folder: RunFolder | None = None) -> None:
        self.path = path
        self._folder = folder
        self._is_answered = False
        connection = schema.connect(path)
        try:
            (num_tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if num_tables == 0:
                schema.create(connection)
            schema.refuse_damaged(connection, path)
            if damaged := schema.found_damage(connection, path):
                raise schema.damage_error(path, damaged, "; `fastinstruct export --skip-damaged` saves the rest")
            schema.bring_up_to_date(connection)
            schema.create_unexplained(connection)
        except sqlite3.Error as error:
            connection.close()
            raise schema.store_error(path, error) from error
        except Exception:
            connection.close()
            raise
        self._connection = connection
        opened = path.stat()
        self._writer = Writer(connection, path, lambda: self._check_held(opened))
        self._sitting = 0

    def submit(self, commits: Sequence[Commit]) -> Future[None]:
        """Write these in order; the future is done when they are on disk."""

        def write(connection: sqlite3.Connection) -> None:
            if not self._is_answered and any(commit.request.outcome in ANSWERED for commit in commits):
                self._record_answers()
            _insert(connection, commits)

        return self._writer.submit(write)

    def keep_draws(self, rows: Sequence[DrawRow]) -> None:
        """Record what was decided to ask, from now on for this run; waits until it is on disk."""
        self._writer.submit(lambda connection: write_draws(connection, rows)).result()

    def keep_answer(self, place: int, answer: str, usage: Usage) -> Future[None]:
        """Keep an answer whose turn has not come with its draw; the future is done when it is on disk."""

        def write(connection: sqlite3.Connection) -> None:
            if not self._is_answered:
                self._record_answers()
            write_answer(connection, place, answer, usage)

        return self._writer.submit(write)

    def begin(
        self,
        seeds: Sequence[SeedTask],
        templates: Mapping[str, tuple[str, str]],
        stages: Sequence[str] = STAGES_OF_OLDER_RUNS,
    ) -> None:
        """Record the seeds, templates and stages of a new run; a resumed one has them already.

        Args:
            seeds: in pool order.
            templates: name -> (sha256, source).
            stages: their names, in order, the one that makes candidates first.
        """
        seed_rows = [
            _summed((i, s.id, s.name, s.instruction, _dump([[c.input, c.output] for c in s.instances]), int(_kind(s))))
            for i, s in enumerate(seeds)
        ]
        template_rows = [(name, sha256, source) for name, (sha256, source) in templates.items()]

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany("INSERT OR IGNORE INTO seed VALUES (?, ?, ?, ?, ?, ?, ?)", seed_rows)
            connection.executemany("INSERT OR IGNORE INTO template VALUES (?, ?, ?)", template_rows)
            if tuple(stages) != STAGES_OF_OLDER_RUNS:
                _execute(connection, "INSERT OR IGNORE INTO meta VALUES (?, ?)", (MetaKey.STAGES, _dump(list(stages))))

        self._writer.submit(write).result()

    def begin_sitting(self, version: str, endpoint: str) -> None:
        """Record that the run starts or goes on."""
        (last,) = self._read("SELECT coalesce(max(id), 0) FROM sitting")[0]
        self._sitting = int(last) + 1
        row = (self._sitting, _now(), version, endpoint)
        sql = "INSERT INTO sitting (id, started_at, version, endpoint) VALUES (?, ?, ?, ?)"
        self._writer.submit(lambda connection: _execute(connection, sql, row)).result()

    def end_sitting(self, ended_by: str) -> None:
        """Record why this sitting ended; a store that has failed keeps silent, for its failure is being reported."""
        sql = "UPDATE sitting SET ended_at = ?, ended_by = ? WHERE id = ?"
        row = (_now(), ended_by, self._sitting)
        with suppress(StoreError):
            self._writer.submit(lambda connection: _execute(connection, sql, row)).result()

    def get_meta(self, key: MetaKey) -> str | None:
        """Return a value stored by `set_meta`, or None."""
        rows = self._read("SELECT value FROM meta WHERE key = ?", (key,))
        return str(rows[0][0]) if rows else None

    def set_meta(self, key: MetaKey, value: str) -> None:
        """Store a value under a key, replacing an older one."""
        sql = "INSERT OR REPLACE INTO meta VALUES (?, ?)"
        self._writer.submit(lambda connection: _execute(connection, sql, (key, value))).result()

    def note_meta(self, key: MetaKey, value: str) -> None:
        """Store a value under a key without waiting for it; a failure shows in whatever is stored next."""
        sql = "INSERT OR REPLACE INTO meta VALUES (?, ?)"
        self._writer.submit(lambda connection: _execute(connection, sql, (key, value)))

    def usage(self) -> dict[str, StageUsage]:
        """Return what the requests submitted until now used, by stage; answers that wait for their turn included."""
        return stage_usage([*self._read(USAGE), *self._ask(early_usage)])

    def state(self, stages: Sequence[str]) -> StoredState:
        """Return what a resumed run of these stages needs, the one that makes candidates first.

        Call it before the first `submit`. A request that failed for good in an earlier sitting (time-outs, 5xx) counts
        as not answered: its instruction is tried again. Requests of the first stage that failed are not: a fresh one
        takes their place.

        Raises:
            RunFolderError: a draw or a request's number is damaged.
        """
        pending = self._ask(lambda connection: pending_draws(connection, self.path))
        drawn = {stage: {draw.row.number for draw in pending if draw.row.stage == stage} for stage in stages}
        first = stages[0]
        numbers = {int(n) for (n,) in self._read("SELECT DISTINCT number FROM request WHERE stage = ?", (first,))}
        numbers |= drawn[first]
        next_number = max(numbers, default=-1) + 1
        if next_number - len(numbers) > _MOST_MISSING:
            told = f"damaged: a request has the number {next_number - 1:,}, and {len(numbers):,} are there"
            raise RunFolderError(f"{self.path}: {told}; restore it from a copy")
        (next_request,) = self._read("SELECT coalesce(max(id), 0) + 1 FROM request")[0]
        (next_candidate,) = self._read("SELECT coalesce(max(id), 0) + 1 FROM candidate")[0]
        found = self._ask(lambda connection: to_do(connection, stages))
        return StoredState(
            instructions=tuple(str(t) for (t,) in self._read("SELECT text FROM instruction ORDER BY id")),
            to_do={stage: tuple(item for item in found[stage] if item[0] not in drawn[stage]) for stage in found},
            next_number=next_number,
            missing_numbers=tuple(sorted(set(range(next_number)) - numbers)),
            next_request_id=int(next_request),
            next_candidate_id=int(next_candidate),
            pending=pending,
            yields=tuple(int(num) for (num,) in self._read(_YIELDS, (first,))),
        )

    def close(self) -> None:
        """Finish writing and close the database."""
        self._writer.close()

    def _record_answers(self) -> None:
        """Let the folder know of the first answer, just before it is on disk; in the writer's thread."""
        if self._folder is not None:
            self._folder.record_answers()
        self._is_answered = True

    def _check_held(self, opened: os.stat_result) -> None:
        """See that what is written would be found again; once a transaction, so it costs no request anything."""
        if self._folder is not None:
            self._folder.check_held()
        if not is_still(self.path, opened):
            raise StoreError(f"{self.path}: was removed or replaced while the run went on; nothing more is written")

    def _read(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        return self._ask(lambda connection: connection.execute(sql, values).fetchall())

    def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Read on the writer's connection, in the writer's thread: everything submitted before is seen."""
        answers: list[T] = []
        refusals: list[RunFolderError] = []

        def ask(connection: sqlite3.Connection) -> None:
            try:
                answers.append(question(connection))
            except RunFolderError as error:  # no failure of the writer's
                refusals.append(error)

        self._writer.submit(ask).result()
        if refusals:
            raise refusals[0]
        return answers[0]


_MOST_MISSING = 1_000_000  # what was in flight as sittings ended; a number that is damaged would fill the memory
_ENCODER = json.JSONEncoder(ensure_ascii=False)  # `json.dumps` would make one for each value

_YIELDS = f"""
SELECT coalesce(c.num, 0) FROM request AS r
LEFT JOIN (SELECT request_id, count(*) AS num FROM candidate WHERE reason IS NULL GROUP BY 1) AS c
    ON c.request_id = r.id
WHERE r.stage = ? AND r.outcome IN {READ!r} ORDER BY r.id
"""  # noqa: S608 - constants


def _insert(connection: sqlite3.Connection, commits: Sequence[Commit]) -> None:
    """Write commits table by table: five statements however many there are."""
    requests = [_request_values(c.request) for c in commits]
    attempts = [
        (c.request.id, a.attempt, a.outcome, a.detail, a.latency_ms) for c in commits for a in c.request.attempts
    ]
    candidates = [_candidate_values(c.request.id, row) for c in commits for row in c.candidates]
    instructions = [_summed((row.id, row.candidate_id, row.text)) for c in commits for row in c.instructions]
    annotations = [_annotation_values(c.request.id, row) for c in commits for row in c.annotations]
    instances = [_instance_values(c.request.id, row) for c in commits for row in c.instances]
    unexplained = [
        (c.request.id, c.request.stumbled_over, c.request.rest)
        for c in commits
        if c.request.rest or c.request.stumbled_over
    ]
    connection.executemany(f"INSERT INTO request VALUES ({', '.join('?' * 17)})", requests)  # noqa: S608 - constant
    connection.executemany("INSERT INTO attempt VALUES (?, ?, ?, ?, ?)", attempts)
    connection.executemany("INSERT INTO candidate VALUES (?, ?, ?, ?, ?, ?, ?)", candidates)
    connection.executemany("INSERT INTO instruction VALUES (?, ?, ?, ?)", instructions)
    connection.executemany(
        "INSERT INTO annotation (subject, subject_id, name, value, confidence, request_id, crc) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        annotations,
    )
    connection.executemany(
        "INSERT INTO instance (instruction_id, request_id, item, input, output, reason, crc) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        instances,
    )
    if unexplained:
        connection.executemany("INSERT INTO unexplained VALUES (?, ?, ?)", unexplained)
    if any(commit.place is not None for commit in commits):
        settle_draws(connection, commits)


def _request_values(row: RequestRow) -> tuple[object, ...]:
    in_context = None if row.in_context is None else _dump(list(row.in_context))
    top_logprobs = None if row.top_logprobs is None else _dump(row.top_logprobs)
    return (
        row.id, row.stage, row.number, row.template, in_context, row.outcome, len(row.attempts) + 1, row.detail,
        row.text, row.finish_reason, row.model, top_logprobs, row.prompt_tokens, row.completion_tokens, row.latency_ms,
        row.finished_at,
        checksum(
            (row.id, row.stage, row.number, row.template, in_context, row.outcome, row.text, row.finish_reason,
             top_logprobs)
        ),
    )  # fmt: skip


def _candidate_values(request_id: int, row: CandidateRow) -> tuple[object, ...]:
    values = (row.id, request_id, row.text, row.reason, row.nearest)
    return (*values, row.score, checksum((*values, exact(row.score))))


def _annotation_values(request_id: int, row: AnnotationRow) -> tuple[object, ...]:
    values = ("instruction", row.instruction_id, row.name, _dump(row.value))
    return (*values, row.confidence, request_id, checksum((*values, request_id, exact(row.confidence))))


def _instance_values(request_id: int, row: InstanceRow) -> tuple[object, ...]:
    return _summed((row.instruction_id, request_id, row.item, row.input, row.output, row.reason))


def _summed(values: tuple[object, ...]) -> tuple[object, ...]:
    """Return a row of a table all of whose columns are covered, with its checksum."""
    return (*values, checksum(values))


def _kind(seed: SeedTask) -> int:
    return -1 if seed.is_classification is None else seed.is_classification


def _execute(connection: sqlite3.Connection, sql: str, values: Sequence[object]) -> None:
    connection.execute(sql, values)


def _dump(value: object) -> str:
    return _ENCODER.encode(value)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
