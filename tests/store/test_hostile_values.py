"""Whatever value stands in whichever column of a run's database, every verb works, or refuses in one line."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from built_run import BuiltRun
from fastinstruct.cli.app import app
from fastinstruct.errors import FastInstructError, RunFolderError
from fastinstruct.records import RejectReason
from fastinstruct.store import Commit, DrawRow, RunStore
from run_stages import STAGES

VALUES = {
    "text": "'x\x1b'",
    "number": "-7",
    "large": "9223372036854775807",
    "fraction": "2.5",
    "infinity": "9e999",
    "blob": "x'ff00'",
    "no text": "CAST(x'ffc0' AS TEXT)",
    "nothing": "NULL",
}


def built(folder: Path) -> Path:
    """A run with rows in every table."""
    with BuiltRun(folder) as run:
        for number in range(3):
            run.admit(f"Write poem {number} about the sea.", (f"sand {number}", f"Waves {number} roll."))
        run.admit("Name a colour of the rainbow.")
        run.reject("Write poem 1 about the sea!", RejectReason.NEAR_DUPLICATE, nearest=3, score=0.9).result()
        run.store.keep_draws([DrawRow(place=1, stage="instructions", number=90, in_context=(0,))])
        torn = run._request("instructions", 91, "1.", (0,))
        run.store.submit([Commit(request=torn)]).result()
    with closing(sqlite3.connect(folder / "run.db")) as connection, connection:
        connection.execute("INSERT INTO unexplained VALUES (1, 'a', 'b')")
        connection.execute("INSERT INTO attempt VALUES (1, 1, 'timeout', 'slow', 5)")
        connection.execute("INSERT INTO meta VALUES ('stage2_threshold', '0.5')")
    return folder


def columns(database: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(database)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [(t, row[1]) for t in tables for row in connection.execute(f"PRAGMA table_info({t})")]


def set_to(database: Path, table: str, column: str, value: str) -> bool:
    """Set a column of the first row; False where SQLite refuses."""
    with closing(sqlite3.connect(database)) as connection, connection:
        first = f"(SELECT min({column}) FROM {table})"
        try:
            connection.execute(f"UPDATE {table} SET {column} = {value} WHERE {column} IS {first}")
        except sqlite3.IntegrityError:
            return False
    return True


def told(verb: str, folder: Path, *more: str) -> str | None:
    """What a verb prints; None where it refuses."""
    result = CliRunner().invoke(app, [verb, str(folder), *more])
    if result.exception is None:
        return result.stdout
    assert isinstance(result.exception, FastInstructError), repr(result.exception)
    assert "\n" not in str(result.exception)
    return None


def opened(folder: Path) -> str | None:
    """What a sitting that goes on finds to do."""
    try:
        store = RunStore(folder / "run.db")
    except FastInstructError:
        return None
    try:
        store.usage()
        return repr(store.state(STAGES))
    except FastInstructError:
        return None
    finally:
        store.close()


VERBS: dict[str, Callable[[Path], str | None]] = {
    "status": lambda folder: told("status", folder),
    "status --json": lambda folder: told("status", folder, "--json"),
    "inspect": lambda folder: told("inspect", folder, "--limit", "99"),
    "inspect, the rest": lambda folder: told("inspect", folder, "--skip-damaged", "--json", "--limit", "99"),
    "inspect --rejected": lambda folder: told("inspect", folder, "--rejected"),
    "inspect --rejected, the rest": lambda folder: told("inspect", folder, "--rejected", "--skip-damaged"),
    "inspect --without-examples": lambda folder: told("inspect", folder, "--without-examples"),
    "inspect --unreadable": lambda folder: told("inspect", folder, "--unreadable"),
    "inspect --id": lambda folder: told("inspect", folder, "--id", "m0"),
    "inspect --id, the rest": lambda folder: told("inspect", folder, "--id", "m0", "--skip-damaged"),
    "inspect --id c1, the rest": lambda folder: told("inspect", folder, "--id", "c1", "--skip-damaged"),
    "export": lambda folder: told("export", folder, "-o", "-", "--include-seeds"),
    "export, the rest": lambda folder: told("export", folder, "-o", "-", "--include-seeds", "--skip-damaged"),
    "export reference, the rest": lambda folder: told("export", folder, "-f", "reference", "--skip-damaged"),
    "refilter": lambda folder: told("refilter", folder, "--out", str(folder.parent / "new")),
    "refilter, the rest": lambda folder: told("refilter", folder, "--out", str(folder.parent / "n"), "--skip-damaged"),
    "going on": opened,
}


def test_every_verb_takes_the_run_as_it_is(tmp_path: Path) -> None:
    folder = built(tmp_path / "run")
    found = {name: verb(folder) for name, verb in VERBS.items()}
    assert [name for name, text in found.items() if text is None] == []
    assert str(found["export"]).count("\n") == 3 + 3


STUMBLES = {
    ("sitting", "started_at"): "text",
    ("request", "latency_ms"): "text",
    ("request", "prompt_tokens"): "text",
    ("request", "finished_at"): "infinity",
    ("candidate", "request_id"): "text",
    ("draw", "number"): "text",
    ("draw", "in_context"): "number",
}


def test_a_request_s_number_that_is_beyond_all_others_fills_no_memory(tmp_path: Path) -> None:
    folder = built(tmp_path)
    assert set_to(folder / "run.db", "draw", "number", VALUES["large"])
    store = RunStore(folder / "run.db")
    with pytest.raises(RunFolderError, match=r"run\.db: damaged: a request has the number 9,223,372,036,854,775,807"):
        store.state(STAGES)
    store.close()


@pytest.mark.parametrize("part", range(4))
def test_no_value_in_any_column_is_a_traceback_or_reaches_an_export_in_silence(tmp_path: Path, part: int) -> None:
    """Each column has one of the values; the hostile soak draws any of them."""
    whole = built(tmp_path / "whole")
    expected = VERBS["export"](whole)
    values = dict(zip(columns(whole / "run.db"), itertools.cycle(VALUES), strict=False)) | STUMBLES
    for (table, column), value in list(values.items())[part::4]:
        folder = Path(shutil.copytree(whole, tmp_path / "run"))
        if set_to(folder / "run.db", table, column, VALUES[value]):
            for name, verb in VERBS.items():
                try:
                    found = verb(folder)
                except BaseException as error:
                    raise AssertionError(f"{name} with {value} in {table}.{column}: {error!r}") from error
                assert name != "export" or found in {expected, None}, (table, column)
        for path in (folder, tmp_path / "new", tmp_path / "n"):
            shutil.rmtree(path, ignore_errors=True)
