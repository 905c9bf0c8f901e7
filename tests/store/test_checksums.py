"""No bit that flips in a run's database changes an export silently."""

import json
import random
import re
import sqlite3
from collections.abc import Collection
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from built_run import SEEDS, BuiltRun
from fastinstruct.cli.app import app
from fastinstruct.config import load_config
from fastinstruct.errors import FastInstructError, RunFolderError
from fastinstruct.exports import format_named
from fastinstruct.pipeline import stream
from fastinstruct.records import RejectReason
from fastinstruct.scripted_server import Script, ScriptedServer
from fastinstruct.store import RunReader, RunStore, schema
from fastinstruct.store.checksums import DamagedRow, checksum, exact
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


DAMAGE = {
    "seed": "UPDATE seed SET instances = '[]' WHERE position = 1",
    "request": "UPDATE request SET text = 'forged' WHERE id = 1",
    "candidate": "UPDATE candidate SET reason = 'echo' WHERE id = 1",
    "instruction": "UPDATE instruction SET text = 'forged' WHERE id = 1",
    "annotation": "UPDATE annotation SET value = 'true' WHERE subject_id = 1",
    "instance": "UPDATE instance SET output = 'forged' WHERE id = 1",
    "template": "UPDATE template SET source = 'forged'",
}


@pytest.mark.parametrize("table", DAMAGE)
def test_whoever_reads_a_damaged_row_names_it(tmp_path: Path, table: str) -> None:
    damage(built(tmp_path / "run"), DAMAGE[table])
    row = r"damaged: table {}, row \w+; restore it from a copy".format
    for format_ in (format_named("alpaca"), format_named("reference")):
        with RunReader(tmp_path / "run") as reader, pytest.raises(RunFolderError, match=row(table)):
            format_.write(reader, tmp_path / "out")
    for verb in (["refilter", "--out", str(tmp_path / "new")], ["export", "-o", "-"]):
        told = CliRunner().invoke(app, [verb[0], str(tmp_path / "run"), *verb[1:]])
        assert isinstance(told.exception, RunFolderError)
        assert re.search(row(table), str(told.exception))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("table", DAMAGE)
def test_refilter_leaves_out_what_it_makes_anew_and_nothing_else(tmp_path: Path, table: str) -> None:
    damage(built(tmp_path / "run"), DAMAGE[table])
    told = CliRunner().invoke(
        app, ["refilter", str(tmp_path / "run"), "--out", str(tmp_path / "new"), "--skip-damaged"]
    )
    assert (told.exit_code == 0) is (table in {"annotation", "instance"})
    assert f"damaged: table {table}, row " in told.stderr + str(told.exception)


@pytest.mark.parametrize("table", DAMAGE)
def test_inspect_refuses_what_it_would_show_and_leaves_it_out_on_demand(tmp_path: Path, table: str) -> None:
    damage(built(tmp_path), DAMAGE[table])
    shown = {
        (): {"instruction", "annotation", "instance"},
        ("--rejected",): {"seed", "candidate", "instruction", "instance"},
        ("--without-examples",): {"request", "instruction", "annotation", "instance"},
        ("--unreadable",): {"request"},
        ("--id", "m2"): {*DAMAGE} - {"template"},
        ("--id", "seed_0"): {*DAMAGE} - {"template"},
    }
    for options, tables in shown.items():
        told = CliRunner().invoke(app, ["inspect", str(tmp_path), "--json", *options])
        assert isinstance(told.exception, RunFolderError if table in tables else type(None))
        rest = CliRunner().invoke(app, ["inspect", str(tmp_path), "--json", *options, "--skip-damaged"])
        assert rest.exit_code == 0
        assert (f"left out, damaged: table {table}, row " in rest.stderr) is (table in tables)
        assert "forged" not in rest.stdout


def test_what_stands_before_a_row_that_is_left_out_keeps_its_place(tmp_path: Path) -> None:
    with BuiltRun(tmp_path) as run:
        run.admit("Name a colour.", ("", "Red."))
        run.reject("Name a color.", RejectReason.NEAR_DUPLICATE, nearest=2, score=0.9)
    damage(tmp_path / "run.db", DAMAGE["seed"])
    told = CliRunner().invoke(app, ["inspect", str(tmp_path), "--rejected", "--json", "--skip-damaged"])
    assert json.loads(told.stdout)["nearest"] == "Name a colour."
    (shown,) = json.loads(
        CliRunner().invoke(app, ["inspect", str(tmp_path), "--id", "m0", "--json", "--skip-damaged"]).stdout
    )["in_context"]
    assert shown["id"] == "seed_0"
    refused = CliRunner().invoke(app, ["export", str(tmp_path), "-f", "reference", "--skip-damaged"])
    assert isinstance(refused.exception, RunFolderError)  # its prompts and similarities go by places in the pool
    assert "nothing can be made without them" in str(refused.exception)


def test_a_format_checks_once_and_takes_what_a_caller_has_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(built(tmp_path), DAMAGE["instance"])
    looked: list[Path] = []
    found = schema.found_damage

    def counted(connection: sqlite3.Connection, path: Path, *tables: Collection[str] | None) -> list[DamagedRow]:
        looked.append(path)
        return found(connection, path, *tables)

    monkeypatch.setattr(schema, "found_damage", counted)
    with RunReader(tmp_path) as reader:
        reader.check(skip_damaged=True)
        for _ in range(2):
            assert len(list(format_named("alpaca").rows(reader))) == 4  # type: ignore[attr-defined]
    assert len(looked) == 1


@pytest.mark.parametrize(
    "value",
    [
        "prompt_tokens = 'x'",
        "latency_ms = -1",
        "finished_at = 9e999",
        "detail = x'00'",
        "model = x'00'",
        "num_attempts = 'x'",
    ],
)
def test_a_number_that_no_checksum_is_over_has_to_be_one(tmp_path: Path, value: str) -> None:
    damage(built(tmp_path), f"UPDATE request SET {value} WHERE id = 3")
    with RunReader(tmp_path) as reader, pytest.raises(RunFolderError, match="table request, row 3"):
        reader.check()
    with pytest.raises(RunFolderError, match="table request, row 3"):
        RunStore(tmp_path / "run.db")


async def test_a_stream_of_a_damaged_run_yields_nothing(tmp_path: Path) -> None:
    async with ScriptedServer(Script()) as server:
        flags = {"model.base_url": server.base_url, "model.name": "scripted", "target": 5, "out": tmp_path / "run"}
        config = load_config(flags=flags, env={})
        assert [example async for example in stream(config, env={})]
        damage(tmp_path / "run" / "run.db", "UPDATE instance SET output = 'forged' WHERE id = 1")
        with pytest.raises(RunFolderError, match="table instance, row 1"):
            await anext(stream(config, env={}))
