"""Runs of older formats: read as they are, carried over whole, and never misread."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from built_run import SEEDS
from fastinstruct.errors import RunFolderError, StoreError
from fastinstruct.records import Example, RejectReason, Usage
from fastinstruct.store import (
    AnnotationRow,
    AttemptRow,
    CandidateRow,
    Commit,
    DrawRow,
    InstanceRow,
    InstructionRow,
    MetaKey,
    RequestRow,
    RunReader,
    RunStore,
    StoredState,
    history,
    older,
    recent,
    without_examples,
)
from fastinstruct.store.checksums import damaged_rows
from older_runs import write_as_older
from run_stages import STAGES

formats = pytest.mark.parametrize("version", [1, 2])
UNKNOWN = {"is_classification": None}


def request(id_: int, stage: str, number: int, outcome: str = "ok", **facts: Any) -> RequestRow:
    template = {"instances": "input_first"}.get(stage, stage)
    known: dict[str, Any] = {"template": template, "in_context": None, "finished_at": 1e9 + id_, "latency_ms": 7}
    known |= {"text": f"reply {id_}", "model": "m", "prompt_tokens": 10 * id_, "completion_tokens": id_}
    return RequestRow(id=id_, stage=stage, number=number, outcome=outcome, **(known | facts))


def classified(
    id_: int, number: int, kind: bool | None, margin: float | None = None, outcome: str = "ok", **facts: Any
) -> Commit:
    row = AnnotationRow(instruction_id=number, name="is_classification", value=kind, confidence=margin)
    return Commit(request=request(id_, "classification", number, outcome, **facts), annotations=(row,))


def instances(id_: int, number: int, *outputs: str, outcome: str = "ok", **facts: Any) -> Commit:
    rows = tuple(
        InstanceRow(instruction_id=number, item=item, input="", output=text) for item, text in enumerate(outputs)
    )
    return Commit(request=request(id_, "instances", number, outcome, **facts), instances=rows)


def commits() -> Iterator[Commit]:
    """Eight instructions, of which stage 2 was asked about six, and stage 3 about three."""
    texts = [f"Write poem {number} about the sea." for number in range(8)]
    admitted = [CandidateRow(id=number + 1, text=text, reason=None) for number, text in enumerate(texts)]
    near = CandidateRow(id=9, text="Write poem 1 of the sea.", reason=RejectReason.NEAR_DUPLICATE, nearest=3, score=0.8)
    short = CandidateRow(id=10, text="Draw.", reason=RejectReason.TOO_SHORT)
    attempt = AttemptRow(attempt=1, outcome="transient", detail="server: 500", latency_ms=9)
    yield Commit(
        request=request(1, "instructions", 0, in_context=(0, 1, "a task of another run"), attempts=(attempt,)),
        candidates=(*admitted, near, short),
        instructions=tuple(InstructionRow(id=row.id - 1, candidate_id=row.id, text=row.text) for row in admitted),
    )
    yield classified(2, 0, kind=True, margin=1.25, top_logprobs={"Yes": -0.1, "No": -1.35})
    yield classified(3, 1, kind=False, margin=-0.1)
    yield classified(4, 2, kind=None, outcome="unreadable", detail="neither yes nor no", text="Perhaps")
    yield classified(5, 3, kind=None, outcome="bad_request", detail="content_filter", text=None)
    yield classified(6, 4, kind=True)
    yield classified(7, 7, kind=False)
    kept = instances(8, 0, "sad", "glad", template="output_first")
    twin = InstanceRow(instruction_id=0, item=-1, input="", output="sad", reason=RejectReason.DUPLICATE)
    yield replace(kept, instances=(*kept.instances, twin))
    yield instances(9, 1, outcome="unreadable", detail="prose", text="I had rather not.")
    yield instances(10, 2, "Waves.", rest="a remark", stumbled_over="a heading")
    yield Commit(request=request(11, "instructions", 2, "deadline", text=None, in_context=(1, 0)))


DRAWS = (
    DrawRow(place=12, stage="instances", number=3, known=UNKNOWN),
    DrawRow(place=13, stage="instances", number=4, known={"is_classification": True}),
    DrawRow(place=14, stage="classification", number=5),
    DrawRow(place=15, stage="instructions", number=3, in_context=(1, 0, 4)),
)


def built(folder: Path) -> Path:
    """A run of today that commits in the order of draws, and has four of these pending, one of them answered."""
    folder.mkdir(exist_ok=True)
    store = RunStore(folder / "run.db")
    store.begin(
        (*SEEDS, replace(SEEDS[0], id="seed_2", is_classification=None)),
        {"instructions": (sha256(b"{tasks}").hexdigest(), "{tasks}")},
    )
    store.begin_sitting("0.1.0", "scripted")
    store.set_meta(MetaKey.THRESHOLD, "0.5")
    store.keep_draws(DRAWS)
    store.submit(list(commits())).result(timeout=30)
    store.keep_answer(13, '{"text": "kept"}', Usage(prompt_tokens=3, completion_tokens=4)).result(timeout=30)
    store.end_sitting("interrupted")
    store.close()
    return folder / "run.db"


def all_that_is_read(folder: Path) -> dict[str, Any]:
    with RunReader(folder) as reader, reader.snapshot():
        return {
            "damaged": reader.check(),
            "totals": reader.totals(),
            "examples": list(reader.examples()),
            "without": list(without_examples(reader)),
            "outputs": list(reader.outputs_by_instruction()),
            "history": list(history(reader)),
            "recent": recent(reader, dict.fromkeys(STAGES, 3)),
            "seeds": reader.seeds(),
            "stages": reader.stages(),
            "threshold": reader.meta(MetaKey.THRESHOLD),
            "unexplained": list(reader.rows("SELECT * FROM unexplained")),
            "annotations": list(reader.rows(f"SELECT {ANNOTATION} FROM annotation ORDER BY subject_id")),
        }


ANNOTATION = "subject, subject_id, name, value, confidence, request_id"


def tables(database: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of a run but for those of draws, which an older table holds in another order."""
    with closing(sqlite3.connect(database)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        assert "classification" not in names
        return {name: connection.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in {*names} - {"draw"}}


def state_of(database: Path) -> StoredState:
    store = RunStore(database)
    try:
        return store.state(STAGES)
    finally:
        store.close()


def test_an_older_run_is_what_older_versions_wrote(tmp_path: Path) -> None:
    """What the other tests begin with, row by row: they would prove little if it were not."""
    write_as_older(built(tmp_path), 1)
    with closing(sqlite3.connect(tmp_path / "run.db")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT * FROM classification").fetchall() == [
            (0, 2, 1, 1.25),
            (1, 3, 0, -0.1),
            (2, 4, None, None),
            (3, 5, None, None),
            (4, 6, 1, None),
            (7, 7, 0, None),
        ]
        assert connection.execute("SELECT place, number, is_classification FROM draw").fetchall() == [
            (12, 3, None),
            (13, 4, 1),
            (14, 5, None),
            (15, 3, None),
        ]
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert tables == {
            *("meta", "seed", "template", "sitting", "request", "attempt", "candidate", "instruction"),
            *("classification", "instance", "draw", "unexplained"),
        }


@formats
def test_an_older_run_is_read_as_it_is(tmp_path: Path, version: int) -> None:
    database = built(tmp_path)
    expected = all_that_is_read(tmp_path)
    write_as_older(database, version)
    before = database.read_bytes()
    assert all_that_is_read(tmp_path) == expected
    assert database.read_bytes() == before
    assert expected["examples"] == [
        Example(id="m0-0", instruction="Write poem 0 about the sea.", input="", output="sad", is_classification=True),
        Example(id="m0-1", instruction="Write poem 0 about the sea.", input="", output="glad", is_classification=True),
        Example(
            id="m2-0", instruction="Write poem 2 about the sea.", input="", output="Waves.", is_classification=None
        ),
    ]
    assert [(number, value, margin) for _, number, _, value, margin, _ in expected["annotations"]] == [
        (0, "true", 1.25),
        (1, "false", -0.1),
        (2, "null", None),
        (3, "null", None),
        (4, "true", None),
        (7, "false", None),
    ]
    totals = expected["totals"]
    assert (totals.num_admitted, totals.num_classified, totals.num_classification, totals.num_worked_up) == (8, 6, 2, 3)
    assert [(row.id, row.reason) for row in expected["without"]] == [
        (1, "unreadable"),
        (3, "not_asked"),
        (4, "not_asked"),
        (5, "not_classified"),
        (6, "not_classified"),
        (7, "not_asked"),
    ]


@formats
def test_an_older_run_is_carried_over_with_every_row_and_its_checksum(tmp_path: Path, version: int) -> None:
    database = built(tmp_path)
    read, rows = all_that_is_read(tmp_path), tables(database)
    if version == 1:  # had no checksums: nobody could say that a row is as it was written
        rows = {name: [(*row[:-1], None) if name in SUMMED else row for row in found] for name, found in rows.items()}
    write_as_older(database, version)
    RunStore(database).close()
    assert all_that_is_read(tmp_path) == read
    assert tables(database) == rows
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert list(damaged_rows(connection)) == []
    before = database.read_bytes()
    RunStore(database).close()
    assert database.read_bytes() == before


SUMMED = frozenset({"seed", "request", "candidate", "instruction", "annotation", "instance"})


@formats
def test_an_older_run_goes_on_where_it_stopped(tmp_path: Path, version: int) -> None:
    database = built(tmp_path)
    expected = state_of(database)
    write_as_older(database, version)
    found = state_of(database)
    # It wrote alike that stage 2 could not tell and that it was not asked; either is asked about in the same way.
    pending = tuple(replace(draw, row=replace(draw.row, known=None if draw.row.known == UNKNOWN else draw.row.known))
                    for draw in expected.pending)  # fmt: skip
    assert found == replace(expected, pending=pending)
    assert found.to_do == {"classification": ((6, {}),), "instances": ((7, {"is_classification": False}),)}
    assert [(draw.row.number, draw.row.known, draw.answer) for draw in found.pending] == [
        (3, None, None),
        (4, {"is_classification": True}, '{"text": "kept"}'),
        (5, None, None),
        (3, None, None),
    ]
    assert (found.next_number, found.missing_numbers, found.next_request_id) == (4, (1,), 12)


@formats
def test_what_is_written_to_a_run_that_was_carried_over_has_checksums(tmp_path: Path, version: int) -> None:
    write_as_older(built(tmp_path), version)
    store = RunStore(tmp_path / "run.db")
    store.submit([replace(classified(12, 5, kind=True, margin=2.0), place=14)]).result(timeout=30)
    store.keep_draws([DrawRow(place=16, stage="instances", number=5, known=UNKNOWN)])
    assert store.state(STAGES).pending[-1].row.known == UNKNOWN
    assert [draw.row.place for draw in store.state(STAGES).pending] == [12, 13, 15, 16]
    store.close()
    with closing(sqlite3.connect(tmp_path / "run.db")) as connection, connection:
        connection.execute("UPDATE annotation SET value = 'false' WHERE request_id = 12")
    with pytest.raises(RunFolderError, match="damaged: table annotation, row 7"):
        RunStore(tmp_path / "run.db")


def test_damage_in_a_run_of_format_2_is_named_and_not_carried_over(tmp_path: Path) -> None:
    database = built(tmp_path)
    write_as_older(database, 2)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE classification SET is_classification = 0 WHERE instruction_id = 0")
    before = database.read_bytes()
    with pytest.raises(RunFolderError, match="damaged: table classification, row 0"):
        RunStore(database)
    assert database.read_bytes() == before
    with RunReader(tmp_path) as reader:
        assert [str(row) for row in reader.check(skip_damaged=True)] == ["table classification, row 0"]
        assert [example.is_classification for example in reader.examples()] == [None] * 3
        assert reader.totals().num_classified == 5


@formats
def test_a_carry_over_that_breaks_off_leaves_the_run_as_it_was(
    tmp_path: Path, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = built(tmp_path)
    expected = all_that_is_read(tmp_path)
    write_as_older(database, version)

    def torn(connection: sqlite3.Connection) -> Iterator[tuple[object, ...]]:
        yield ("instruction", 0, "is_classification", "true", None, 2, None)
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(older, "_annotations", torn)
        with pytest.raises(StoreError, match="disk I/O error"):
            RunStore(database)
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (version,)
    assert all_that_is_read(tmp_path) == expected
    RunStore(database).close()
    assert all_that_is_read(tmp_path) == expected


@formats
def test_an_older_run_by_arrival_has_no_draws_to_carry_over(tmp_path: Path, version: int) -> None:
    store = RunStore(tmp_path / "run.db")
    store.submit(list(commits())).result(timeout=30)
    expected = store.state(STAGES)
    store.close()
    with closing(sqlite3.connect(tmp_path / "run.db")) as connection, connection:
        connection.execute("DROP TABLE unexplained")  # the first versions had none
    write_as_older(tmp_path / "run.db", version)
    with RunReader(tmp_path) as reader:
        assert not reader.keeps_unexplained()
    assert state_of(tmp_path / "run.db") == expected
    assert expected.pending == ()
