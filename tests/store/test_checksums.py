"""No bit that flips in a run's database changes an export silently."""

import json
import random
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from built_run import SEEDS, BuiltRun
from fastinstruct.cli.app import app
from fastinstruct.errors import FastInstructError, RunFolderError
from fastinstruct.exports import format_named
from fastinstruct.store import RunReader, RunStore
from fastinstruct.store.checksums import checksum, exact
from older_runs import write_as_older


def built(folder: Path) -> Path:
    with BuiltRun(folder) as run:
        for number in range(5):
            run.admit(f"Write poem {number} about the sea.", (f"sand {number}", f"Waves {number} roll ä."))
    return folder / "run.db"


def exported(folder: Path) -> str:
    with RunReader(folder) as reader, reader.snapshot():
        reader.check()
        return json.dumps(list(format_named("alpaca").rows(reader, include_seeds=True)))  # type: ignore[attr-defined]


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def assert_not_silently_changed(database: Path, content: bytes, bit: int, expected: str) -> None:
    database.write_bytes(flipped(content, bit))
    try:
        found = exported(database.parent)
    except FastInstructError as error:
        found = str(error)
    assert found == expected or (found.startswith(f"{database}: ") and "\n" not in found), bit


def test_a_flip_anywhere_in_the_file_is_named_or_changes_no_export(tmp_path: Path) -> None:
    database = built(tmp_path)
    content, expected, rng = database.read_bytes(), exported(tmp_path), random.Random(5)
    for _ in range(600):
        assert_not_silently_changed(database, content, rng.randrange(len(content) * 8), expected)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flip_in_any_stored_text_is_named(tmp_path: Path, data: st.DataObject) -> None:
    database = tmp_path / "run.db"
    if not (tmp_path / "kept.db").exists():
        (tmp_path / "kept.db").write_bytes(built(tmp_path).read_bytes())
    content = (tmp_path / "kept.db").read_bytes()
    text = data.draw(st.sampled_from([b"poem 3 about", b"sand 2", b"Waves 4 roll", b"Good evening", b"raw instances"]))
    place = content.index(text)
    bit = data.draw(st.integers(place * 8, (place + len(text)) * 8 - 1))
    database.write_bytes(flipped(content, bit))
    with pytest.raises(RunFolderError, match=r"run\.db: damaged: table \w+, row \d+"):
        exported(tmp_path)


def damage(database: Path, sql: str) -> None:
    connection = sqlite3.connect(database)
    connection.execute(sql)
    connection.commit()
    connection.close()


def test_a_damaged_row_is_named_and_left_out_on_demand_only(tmp_path: Path) -> None:
    database = built(tmp_path)
    damage(database, "UPDATE instance SET output = 'forged' WHERE id = 2")
    with RunReader(tmp_path) as reader:
        with pytest.raises(RunFolderError) as caught:
            reader.check()
        assert str(caught.value).startswith(f"{database}: damaged: table instance, row 2; ")
        assert caught.value.exit_code == 2
        assert [str(row) for row in reader.check(skip_damaged=True)] == ["table instance, row 2"]
        assert [example.id for example in reader.examples()] == ["m0-0", "m2-0", "m3-0", "m4-0"]


def test_a_count_that_is_none_is_damage_and_no_traceback(tmp_path: Path) -> None:
    with BuiltRun(tmp_path / "run") as built:
        built.admit("Name a colour.", ("", "Red."))
    with closing(sqlite3.connect(tmp_path / "run" / "run.db")) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = replace(sql, 'prompt_tokens INTEGER NOT NULL', 'prompt_tokens INTEGER')"
        )
    with closing(sqlite3.connect(tmp_path / "run" / "run.db")) as connection, connection:
        connection.execute("UPDATE request SET prompt_tokens = NULL")
    with (
        RunReader(tmp_path / "run") as reader,
        pytest.raises(RunFolderError, match=r"run\.db: is damaged: a stored number"),
    ):
        reader.totals()


def test_a_damaged_run_does_not_go_on(tmp_path: Path) -> None:
    database = built(tmp_path)
    damage(database, "UPDATE instruction SET text = 'forged' WHERE id = 0")
    with pytest.raises(RunFolderError, match="table instruction, row 0"):
        RunStore(database)


def test_a_run_of_the_older_format_is_read_unchecked_and_goes_on(tmp_path: Path) -> None:
    database = built(tmp_path)
    expected = exported(tmp_path)
    write_as_older(database, 1)
    assert exported(tmp_path) == expected
    RunStore(database).close()
    assert exported(tmp_path) == expected
    store = RunStore(database)
    store.begin((*SEEDS, replace(SEEDS[0], id="new")), {})
    store.close()
    damage(database, "UPDATE seed SET name = 'forged' WHERE position = 2")
    with pytest.raises(RunFolderError, match="table seed, row 2"):
        exported(tmp_path)
    with BuiltRun(tmp_path / "other") as run:
        run.admit("Name a river.", ("", "Rhine"))
    assert len(json.loads(exported(tmp_path / "other"))) == 4


def test_what_is_no_text_has_no_checksum_and_does_not_raise() -> None:
    assert checksum(("\udc80",)) == checksum((b"bytes",)) == checksum((2**70,)) == -1
    assert exact(float("nan")) is exact(None) is None
    assert exact(1) == exact(1.0) == "1.0"


def test_export_says_what_is_damaged_and_leaves_it_out_when_told(tmp_path: Path) -> None:
    damage(built(tmp_path), "UPDATE instance SET output = 'forged' WHERE id = 2")
    refused = CliRunner().invoke(app, ["export", str(tmp_path), "-o", "-"])
    assert isinstance(refused.exception, RunFolderError)
    assert refused.stdout == ""
    told = CliRunner().invoke(app, ["export", str(tmp_path), "-o", "-", "--skip-damaged"])
    assert told.exit_code == 0
    assert "left out, damaged: table instance, row 2" in told.stderr
    assert "forged" not in told.stdout
    assert len(told.stdout.splitlines()) == 4
