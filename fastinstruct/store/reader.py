"""The reading side of a run's database, also while another process writes to it.

Every query sees one consistent state, and all queries inside `snapshot` the same one. Nothing here locks out or slows
the writer.
"""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from fastinstruct.errors import FastInstructError, RunFolderError
from fastinstruct.reading import regular_file
from fastinstruct.records import Example, Instance, SeedTask
from fastinstruct.replaceable import is_there
from fastinstruct.store import schema
from fastinstruct.store.checksums import DamagedRow, leave_out
from fastinstruct.store.draws import early_usage
from fastinstruct.store.rows import ANSWERED, FINAL

__all__ = ["USAGE", "RunReader", "StageUsage", "Totals", "stage_usage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageUsage:
    """What the requests of one stage used that a model has answered, as their servers say."""

    num_answered: int
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Counts over a whole run, all sittings."""

    num_admitted: int
    num_candidates: int
    num_classified: int
    num_classification: int
    num_instantiated: int
    num_worked_up: int
    """instructions that stage 3 has answered, whatever came of it"""
    num_examples: int
    prompt_tokens: int
    completion_tokens: int
    requests: dict[str, dict[str, int]] = field(default_factory=dict)
    """stage -> outcome -> count"""
    rejected: dict[str, int] = field(default_factory=dict)
    """reason -> candidates"""
    rejected_instances: dict[str, int] = field(default_factory=dict)
    """reason -> instances"""
    num_unexplained: int = 0
    """answers that were understood in part only"""
    failed_attempts: dict[str, int] = field(default_factory=dict)
    """outcome -> attempts that were followed by another"""
    usage: dict[str, StageUsage] = field(default_factory=dict)
    """stage -> what it used, answers that wait for their turn included; the counts above leave these out"""


class RunReader:
    """Reads a run folder's database; a context manager.

    Raises:
        RunFolderError: the folder holds no run, or its database is damaged or of another format.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "run.db"
        if not is_there(path):
            raise RunFolderError(f"{folder}: holds no run (there is no run.db); `fastinstruct run` makes one")
        self.folder = folder
        self._connection = schema.connect(path, read_only=True)
        self._path = path
        self._is_checked = False
        try:
            schema.refuse_other_format(self._connection, path)
        except RunFolderError:
            self._connection.close()
            raise

    def __enter__(self) -> RunReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let everything that is read inside see the state of this moment, however the run goes on; it may be nested.

        Raises:
            RunFolderError: the database cannot be read.
        """
        if self._connection.in_transaction:
            yield
            return
        try:
            self._connection.execute("BEGIN")
            self._connection.execute("SELECT count(*) FROM meta").fetchone()  # SQLite takes it at the first read
        except sqlite3.DatabaseError as error:
            raise RunFolderError(f"{self._path}: cannot be read: {error}") from error
        try:
            yield
        finally:
            with suppress(sqlite3.DatabaseError):  # closed, or damaged: what was read has already said so
                self._connection.execute("COMMIT")

    def check(
        self,
        *,
        skip_damaged: bool = False,
        needed: tuple[str, ...] = ("template",),
        tables: Collection[str] | None = None,
    ) -> list[DamagedRow]:
        """See that every row is as it was written; with `skip_damaged`, leave out from now on those that are not.

        Reads the whole database or, of it, `tables`. Rows of the tables in `needed` cannot be left out. Returns what is
        left out. Call it once.

        Raises:
            RunFolderError: which rows are damaged; or the database's structure is, so that rows may be missing.
        """
        damaged = schema.found_damage(self._connection, self._path, tables)
        if without := [row for row in damaged if row.table in needed]:
            raise schema.damage_error(self._path, without, "; nothing can be made without them")
        if damaged and not skip_damaged:
            raise schema.damage_error(self._path, damaged, ", or leave them out with --skip-damaged")
        leave_out(self._connection, damaged)
        self._is_checked = tables is None
        return damaged

    def check_once(self) -> None:
        """See that every row is as it was written, unless `check` has.

        Raises:
            RunFolderError: as `check`.
        """
        if not self._is_checked:
            self.check()

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Let what is read inside be unchecked: what it stumbles over, because it is not of its kind, is damage.

        Raises:
            RunFolderError: it stumbled.
        """
        try:
            yield
        except FastInstructError:
            raise
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            told = "is damaged: a stored number or word is none; restore it from a copy"
            raise RunFolderError(f"{self.folder / 'run.db'}: {told}") from error

    def is_being_written(self) -> bool:
        """Whether a process has the run open for writing at this moment."""
        try:
            with regular_file(self.folder / "run.lock") as file:
                return not _can_lock(file)
        except OSError:  # no lock file, as beside a copied database, or none that a writer could hold
            return False

    def totals(self) -> Totals:
        """Count everything, as of one moment.

        Raises:
            RunFolderError: the database is damaged, also where SQLite takes its rows for sound: a count may be none.
        """
        with self.snapshot(), self.guarded():
            return self._totals()

    def _totals(self) -> Totals:
        requests: dict[str, dict[str, int]] = {}
        for stage, outcome, count in self.rows(
            "SELECT stage, outcome, count(*) FROM request GROUP BY 1, 2 ORDER BY 1, 2"
        ):
            requests.setdefault(stage, {})[outcome] = count
        usage_rows = list(self.rows(USAGE))
        usage = stage_usage(usage_rows)
        classified, classification = self._one(
            "SELECT count(*), count(*) FILTER (WHERE is_classification) FROM classification"
        )
        return Totals(
            num_admitted=self._one("SELECT count(*) FROM instruction")[0],
            num_candidates=self._one("SELECT count(*) FROM candidate")[0],
            num_classified=classified,
            num_classification=classification,
            num_instantiated=self._one("SELECT count(DISTINCT instruction_id) FROM instance WHERE reason IS NULL")[0],
            num_worked_up=self._one(_WORKED_UP)[0],
            num_examples=self._one("SELECT count(*) FROM instance WHERE reason IS NULL")[0],
            prompt_tokens=sum(stage.prompt_tokens for stage in usage.values()),
            completion_tokens=sum(stage.completion_tokens for stage in usage.values()),
            requests=requests,
            num_unexplained=self._one("SELECT count(*) FROM unexplained")[0] if self.keeps_unexplained() else 0,
            rejected=dict(self.rows(_REASONS.format("candidate"))),
            rejected_instances=dict(self.rows(_REASONS.format("instance"))),
            failed_attempts=dict(self.rows("SELECT outcome, count(*) FROM attempt GROUP BY 1 ORDER BY 2 DESC, 1")),
            usage=stage_usage([*usage_rows, *self._early_usage()]),
        )

    def examples(self) -> Iterator[Example]:
        """Yield every kept instance, by instruction and then in order."""
        sql = """SELECT i.id, n.item, i.text, n.input, n.output, c.is_classification
                 FROM instance AS n JOIN instruction AS i ON i.id = n.instruction_id
                 JOIN classification AS c ON c.instruction_id = i.id
                 WHERE n.reason IS NULL ORDER BY i.id, n.item"""
        for instruction_id, item, text, given, output, is_classification in self.rows(sql):
            yield Example(
                id=f"m{instruction_id}-{item}",
                instruction=text,
                input=given,
                output=output,
                is_classification=None if is_classification is None else bool(is_classification),
            )

    def outputs_by_instruction(self) -> Iterator[list[str]]:
        """Yield the kept outputs of each instruction that is no classification task, in the order of their commits."""
        sql = """SELECT n.instruction_id, n.output FROM instance AS n
                 JOIN classification AS c ON c.instruction_id = n.instruction_id
                 WHERE n.reason IS NULL AND c.is_classification IS NOT 1 ORDER BY n.id"""
        for _, rows in itertools.groupby(self.rows(sql), key=lambda row: row[0]):
            yield [output for _, output in rows]

    def seeds(self) -> tuple[SeedTask, ...]:
        """Return the seed tasks the run started from, in pool order."""
        rows = self.rows("SELECT id, name, instruction, instances, is_classification FROM seed ORDER BY position")
        return tuple(
            SeedTask(
                id=id_,
                name=name,
                instruction=instruction,
                instances=tuple(Instance(input=given, output=output) for given, output in json.loads(instances)),
                is_classification=None if is_classification < 0 else bool(is_classification),
            )
            for id_, name, instruction, instances, is_classification in rows
        )

    def meta(self, key: str) -> str | None:
        """Return a value of the run's meta table, or None."""
        rows = list(self.rows("SELECT value FROM meta WHERE key = ?", (key,)))
        return str(rows[0][0]) if rows else None

    def keeps_unexplained(self) -> bool:
        """Whether the run keeps what was not understood; one of an older version does from its next sitting on."""
        try:
            return schema.has_unexplained(self._connection)
        except sqlite3.DatabaseError as error:
            raise RunFolderError(f"{self._path}: cannot be read: {error}") from error

    def rows(self, sql: str, values: tuple[object, ...] = ()) -> Iterator[Any]:
        """Yield the rows of a query in the schema's terms (see `schema`); for exports and inspection."""
        try:
            cursor = self._connection.execute(sql, values)
            try:
                yield from iter(cursor.fetchone, None)  # an iterator without `close`, which would raise as below
            finally:
                with suppress(sqlite3.ProgrammingError):  # the reader may be closed before a caller drops its rows
                    cursor.close()
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise RunFolderError(f"{self._path}: cannot be read: {error}") from error

    def _early_usage(self) -> list[tuple[str, int, int, int]]:
        try:
            return early_usage(self._connection)
        except sqlite3.DatabaseError as error:
            raise RunFolderError(f"{self._path}: cannot be read: {error}") from error

    def _one(self, sql: str) -> Any:  # noqa: ANN401 - one row of any query
        return next(self.rows(sql))


def stage_usage(rows: Iterable[Any]) -> dict[str, StageUsage]:
    """Return rows of stage, requests answered, prompt tokens and completion tokens by stage, added up."""
    sums: dict[str, list[int]] = {}
    for stage, *counts in rows:
        sums[stage] = [a + b for a, b in zip(sums.get(stage, [0, 0, 0]), counts, strict=True)]
    return {
        stage: StageUsage(num_answered=num_answered, prompt_tokens=prompt, completion_tokens=completion)
        for stage, (num_answered, prompt, completion) in sums.items()
    }


def _can_lock(file: IO[bytes]) -> bool:
    """Whether nobody holds the writer's lock; asked by taking a shared one, which closing the file gives back."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]  # Windows only
            msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined,unused-ignore]  # Windows only
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


# Those of a refiltered run that are about no instruction of its own have a negative number.
_WORKED_UP = f"""
SELECT count(*) FROM request
WHERE stage = 'instances' AND outcome IN {FINAL!r} AND number >= 0
"""  # noqa: S608 - constants
USAGE = f"""
SELECT stage, count(*) FILTER (WHERE outcome IN {ANSWERED!r}),
       sum({schema.bounded("prompt_tokens")}), sum({schema.bounded("completion_tokens")})
FROM request GROUP BY 1 ORDER BY 1
"""  # noqa: S608 - constants
"""What each stage's requests used; `stage_usage` takes its rows."""

_REASONS = "SELECT reason, count(*) FROM {} WHERE reason IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1"
