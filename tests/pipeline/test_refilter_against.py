"""Refiltering by evaluation sets: put in after the fact, taken out again, or kept, if they are what they were."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from fastinstruct.cli.inspect import inspect
from fastinstruct.cli.refilter import refilter as refilter_verb
from fastinstruct.cli.status import status
from fastinstruct.config import RunConfig, load_config
from fastinstruct.errors import FastInstructError, InputError
from fastinstruct.files.against import loaded
from fastinstruct.pipeline import Run, refilter
from fastinstruct.records import RejectReason
from fastinstruct.scripted_server import Script, ScriptedServer
from fastinstruct.similarity import RougeIndex
from fastinstruct.store import MetaKey, RunReader, history

TABLES = ("request", "candidate", "instruction", "annotation", "instance", "seed", "attempt")
SCRIPT = Script(duplicate_rate=0.4, junk_rate=0.1)


def jsonl(path: Path, texts: Iterable[str], field: str = "instruction") -> Path:
    path.write_text("".join(json.dumps({field: text}) + "\n" for text in texts), encoding="utf-8")
    return path


def config_for(server: ScriptedServer, out: Path, **flags: Any) -> RunConfig:
    known: dict[str, Any] = {
        "model.base_url": server.base_url,
        "model.name": "scripted",
        "model.api": "completions",
        "classification.method": "text",
        "out": out,
        "target": 30,
        "runtime.max_in_flight": 1,
    }
    return load_config(flags=known | {key.replace("__", "."): value for key, value in flags.items()})


def made(folder: Path, **flags: Any) -> Path:
    async def run() -> None:
        async with ScriptedServer(SCRIPT) as server:
            await Run(config_for(server, folder, **flags), env={}).execute()

    asyncio.run(run())
    return folder


def rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{folder / 'run.db'}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def tables(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    return {name: rows(folder, f"SELECT * FROM {name} ORDER BY rowid") for name in TABLES}


def admitted_in(folder: Path) -> list[str]:
    return [text for (text,) in rows(folder, "SELECT text FROM instruction ORDER BY id")]


def identity_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["identity"]
    return found


def files_of(folder: Path) -> list[Path]:
    with RunReader(folder) as reader:
        return [file.path for file in loaded(reader.meta(MetaKey.AGAINST))]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that keeps away from nothing; read-only for all tests."""
    return made(tmp_path_factory.mktemp("plain") / "run")


@pytest.fixture(scope="module")
def evaluation(run: Path) -> Path:
    """Every third instruction that the run admitted, and one that nothing is near."""
    return jsonl(run.parent / "eval.jsonl", ["Something else altogether, never asked for.", *admitted_in(run)[::3]])


@pytest.fixture
def kept_away(run: Path, evaluation: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A run that keeps away from a file of its own, and that file."""
    own = tmp_path / "own.jsonl"
    own.write_bytes(evaluation.read_bytes())
    refilter(run, tmp_path / "away", {"similarity.against": [own]})
    return tmp_path / "away", own


# ------------------------------------------------------------------------------------------------------ what is decided


@settings(max_examples=12, deadline=None)
@given(
    threshold=st.one_of(st.floats(0, 1), st.sampled_from([0.4, 0.6, 2 / 3, 0.7, 1.0])),
    tokenizer=st.sampled_from(["unicode", "rouge"]),
    picked=st.sets(st.integers(0, 60), max_size=12),
)
def test_every_candidate_is_decided_as_two_indexes_decide_and_back_again(
    run: Path, threshold: float, tokenizer: str, picked: set[int]
) -> None:
    pool, away = (RougeIndex(threshold=threshold, tokenizer=tokenizer) for _ in range(2))
    with RunReader(run) as reader:
        pool.add([seed.instruction for seed in reader.seeds()])
        stored = [row for _, candidates in history(reader) for row in candidates]
    texts = ["Bake a cake without flour.", *(row.text for n, row in enumerate(stored) if n in picked)]
    away.add(texts)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        changes = {"similarity.threshold": threshold, "similarity.tokenizer": tokenizer}
        file = jsonl(folder / "eval.jsonl", texts)
        refilter(run, folder / "there", changes | {"similarity.against": [file]})
        with RunReader(folder / "there") as reader:
            decided = [row for _, candidates in history(reader) for row in candidates]
        back = {"similarity.threshold": 0.7, "similarity.tokenizer": "unicode", "similarity.against": []}
        refilter(folder / "there", folder / "back", back)
        assert tables(folder / "back") == tables(run)
    heuristics = {*RejectReason} - {RejectReason.NEAR_DUPLICATE, RejectReason.CONTAMINATED}
    for old, new in zip(stored, decided, strict=True):
        if old.reason in heuristics:
            assert (new.reason, new.nearest, new.score) == (old.reason, None, None)
            continue
        (verdict,), reason = away.query([old.text]), "contaminated"
        if verdict.admitted:
            (verdict,), reason = pool.admit([old.text]), "near_duplicate"
        expected = (None, None, None) if verdict.admitted else (reason, verdict.nearest, verdict.score)
        assert (new.reason, new.nearest, new.score) == expected


def test_a_run_that_keeps_away_from_texts_is_decided_as_it_was(run: Path, evaluation: Path, tmp_path: Path) -> None:
    old = made(tmp_path / "old", similarity__against=evaluation)
    assert rows(old, "SELECT count(*) FROM candidate WHERE reason = 'contaminated'") != [(0,)]
    found = refilter(old, tmp_path / "new", {})
    assert found.changes == {}
    assert tables(tmp_path / "new") == tables(old)
    assert identity_of(tmp_path / "new") == identity_of(old)
    assert files_of(tmp_path / "new") == [evaluation]


def test_what_is_recorded_of_the_new_run(run: Path, evaluation: Path, kept_away: tuple[Path, Path]) -> None:
    away, own = kept_away
    there, here = identity_of(run), identity_of(away)
    assert len(here["similarity"].pop("against")) == 64
    assert here == there
    assert files_of(away) == [own]
    assert [file.path for file in load_config(away / "config.yaml").similarity.against] == [own]
    origin = json.loads((away / "manifest.json").read_text())["refiltered_from"]
    assert origin["changes"] == {"similarity.against": [[], [{"path": str(own), "field": None}]]}


def test_removal_leaves_no_trace(run: Path, kept_away: tuple[Path, Path], tmp_path: Path) -> None:
    away, own = kept_away
    own.unlink()
    found = refilter(away, tmp_path / "back", {"similarity.against": []})
    assert found.num_lost == 0 < found.num_gained
    assert (tables(tmp_path / "back"), identity_of(tmp_path / "back")) == (tables(run), identity_of(run))
    assert files_of(tmp_path / "back") == []
    assert load_config(tmp_path / "back" / "config.yaml").similarity.against == ()
    others = "SELECT key FROM meta WHERE key != 'telemetry'"
    assert rows(tmp_path / "back", "SELECT key FROM meta") == rows(run, others)


async def test_the_new_run_goes_on_with_its_own_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with ScriptedServer(SCRIPT) as server:
        await Run(config_for(server, tmp_path / "old"), env={}).execute()
        texts = admitted_in(tmp_path / "old")[::2]
        jsonl(Path("eval.jsonl"), texts, "question")
        changes = {"similarity.against": {"path": "eval.jsonl", "field": "question"}}
        found = await asyncio.to_thread(refilter, tmp_path / "old", tmp_path / "new", changes)
        monkeypatch.chdir("/")
        result = await Run(load_config(tmp_path / "new" / "config.yaml"), env={}).execute()
    assert found.after.num_admitted < 30 <= result.progress.num_admitted
    assert result.ended_by == "target"
    index = RougeIndex()
    index.add(texts)
    assert index.query(admitted_in(tmp_path / "new")).admitted.all()
    assert files_of(tmp_path / "new") == [tmp_path / "eval.jsonl"]
    # Whatever the sittings before it decided, a refilter of the whole decides again.
    await asyncio.to_thread(refilter, tmp_path / "new", tmp_path / "again", {})
    assert tables(tmp_path / "again") == tables(tmp_path / "new")


# ----------------------------------------------------------------------------------------------------- what files hold

ADVICE = "put it back, or say with --set similarity.against=[...] what to keep away from"


def refusal(run: Path, out: Path, changes: dict[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        refilter(run, out, changes)
    assert "\n" not in str(caught.value)
    assert not (out / "run.db").exists()
    return str(caught.value)


def test_a_file_that_is_gone_or_changed_is_named(kept_away: tuple[Path, Path], tmp_path: Path) -> None:
    away, own = kept_away
    texts = own.read_bytes()
    jsonl(own, ["Name a river."])
    what = "does not hold what the run was kept away from"
    assert refusal(away, tmp_path / "new", {}) == f"similarity.against: {own} {what}; {ADVICE}"
    own.unlink()
    message = f"similarity.against: {own}: there is no such file; check the path; {ADVICE}"
    assert refusal(away, tmp_path / "new", {"similarity.threshold": 0.5}) == message
    own.write_bytes(texts)
    refilter(away, tmp_path / "new", {"similarity.threshold": 0.5})


def test_a_list_of_files_that_was_edited_is_refused(kept_away: tuple[Path, Path], tmp_path: Path) -> None:
    away, _ = kept_away
    config = load_config(away / "config.yaml").model_dump(mode="json")
    config["similarity"]["against"] = []
    (away / "config.yaml").write_text(json.dumps(config))
    expected = f"similarity.against: the files do not hold what the run was kept away from; {ADVICE}"
    assert refusal(away, tmp_path / "new", {}) == expected


def test_the_same_texts_in_another_place_are_no_change(kept_away: tuple[Path, Path], tmp_path: Path) -> None:
    away, own = kept_away
    moved = own.rename(tmp_path / "moved.jsonl")
    found = refilter(away, tmp_path / "new", {"similarity.against": [moved]})
    assert found.changes == {}
    assert tables(tmp_path / "new") == tables(away)
    assert identity_of(tmp_path / "new") == identity_of(away)
    assert files_of(tmp_path / "new") == [moved]


def test_a_file_with_other_texts_is_taken_if_it_is_named(kept_away: tuple[Path, Path], tmp_path: Path) -> None:
    away, own = kept_away
    jsonl(own, ["Name a river."])
    found = refilter(away, tmp_path / "new", {"similarity.against": [own]})
    assert found.changes.keys() == {"similarity.against"}
    assert found.after.rejected.get("contaminated", 0) < found.before.rejected["contaminated"]
    assert identity_of(tmp_path / "new")["similarity"]["against"] != identity_of(away)["similarity"]["against"]


@pytest.mark.parametrize("value", [None, "none.jsonl", [{"file": "x"}], 7])
def test_what_names_no_file_is_refused(run: Path, tmp_path: Path, value: Any) -> None:
    if value is None:  # a flag that was not given
        assert refilter(run, tmp_path / "new", {"similarity.against": value}).changes == {}
    else:
        refusal(run, tmp_path / "new", {"similarity.against": value})


# ------------------------------------------------------------------------------------------------------- as it is typed

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
for verb in (inspect, refilter_verb, status):
    app.command()(verb)


def typed(*arguments: str | Path) -> tuple[str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, FastInstructError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def test_the_verb_takes_evaluation_sets_and_the_views_know_them(
    run: Path, evaluation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(evaluation.parent)
    out, _ = typed("refilter", run, "-o", tmp_path / "new", "--set", "similarity.against=[eval.jsonl]")
    assert out.startswith(f"similarity.against: none -> {evaluation}\n")
    num_contaminated = len(rows(tmp_path / "new", "SELECT id FROM candidate WHERE reason = 'contaminated'"))
    assert ["contaminated", "0", str(num_contaminated)] in [line.split() for line in out.splitlines()]
    num_texts = len(evaluation.read_text().splitlines())
    assert json.loads(typed("status", tmp_path / "new", "--json")[0])["against"] == [
        {"file": str(evaluation), "num_texts": num_texts}
    ]
    shown = typed("inspect", tmp_path / "new", "--reason", "contaminated", "--limit", "99", "--json")[0].splitlines()
    assert len(shown) == num_contaminated
    by_line = dict(enumerate((json.loads(line)["instruction"] for line in evaluation.read_text().splitlines()), 1))
    for row in map(json.loads, shown):
        assert by_line[int(row["nearest_id"].removeprefix(f"{evaluation}:"))] == row["nearest"]
    out, _ = typed("refilter", tmp_path / "new", "-o", tmp_path / "back", "--set", "similarity.against=[]", "--json")
    assert json.loads(out)["changes"]["similarity.against"]["after"] == []
    assert tables(tmp_path / "back") == tables(run)
    assert "against" not in typed("status", tmp_path / "back")[0]


def test_options_name_files_and_field_and_other_texts_are_said(run: Path, tmp_path: Path) -> None:
    file = jsonl(tmp_path / "eval.jsonl", admitted_in(run)[:2], "question")
    out, _ = typed("refilter", run, "-o", tmp_path / "a", "--against", file, "--against-field", "question")
    contaminated = rows(tmp_path / "a", "SELECT id FROM candidate WHERE reason = 'contaminated'")
    assert len(contaminated) >= 2
    assert ["contaminated", "0", str(len(contaminated))] in [line.split() for line in out.splitlines()]
    jsonl(file, admitted_in(run)[:1], "question")
    out, _ = typed("refilter", tmp_path / "a", "-o", tmp_path / "b", "--against", file, "--against-field", "question")
    assert out.startswith(f"similarity.against: {file} -> other texts\n")
    with pytest.raises(InputError, match="--against-field names the text in --against files; give both"):
        typed("refilter", run, "-o", tmp_path / "c", "--against-field", "question")


def test_what_a_run_cannot_mend_is_said_on_stderr(run: Path, tmp_path: Path) -> None:
    with RunReader(run) as reader:
        near = reader.seeds()[3]
    file = jsonl(tmp_path / "eval.jsonl", ["?!", near.instruction])
    _, err = typed("refilter", run, "-o", tmp_path / "new", "--against", file)
    assert f"warning: similarity.against: texts without a word: 1 (first {file}:1)" in err
    assert (
        f"warning: seed tasks near a text of similarity.against: 1 of 175 (first {near.id}, 1.000 to {file}:2)" in err
    )
