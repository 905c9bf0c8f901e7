"""Decontamination while generating: what is read of evaluation files, what is kept away from them, and what is said."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import os
import sqlite3
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from fastinstruct.cli.inspect import inspect
from fastinstruct.cli.run import run as run_verb
from fastinstruct.cli.status import status
from fastinstruct.config import RunConfig, SimilarityConfig, load_config
from fastinstruct.errors import FastInstructError, InputError, RunFolderError
from fastinstruct.files.against import AgainstFile, dumped, fingerprint, loaded, places, surveyed, texts_of
from fastinstruct.pipeline import Run, RunResult, prepare
from fastinstruct.pipeline.against import Against, index_of, indexed, survey
from fastinstruct.pipeline.diagnosis import Finding, Level, inputs
from fastinstruct.records import Instance, SeedTask
from fastinstruct.scripted_server import Script, ScriptedServer
from fastinstruct.similarity import RougeIndex
from fastinstruct.store import RunReader

Rows = list[tuple[Any, ...]]
CUT_SHORT = gzip.compress(b'{"instruction": "a"}\n', mtime=0)[:-9]
OPTION = "--against-field, or field in similarity.against"


def jsonl(path: Path, texts: Iterable[str], field: str = "instruction") -> Path:
    path.write_text("".join(json.dumps({field: text, "id": 1}) + "\n" for text in texts), encoding="utf-8")
    return path


def survey_of(*files: object, tokenizer: str = "unicode") -> Against:
    return survey(SimilarityConfig.model_validate({"against": list(files), "tokenizer": tokenizer}))


def texts_in(*files: object) -> list[str]:
    return list(texts_of(survey_of(*files).files))


def refusal(*files: object) -> str:
    with pytest.raises(InputError) as caught:
        survey_of(*files)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def seed(instruction: str, number: int = 0) -> SeedTask:
    case = Instance(input="", output="x")
    return SeedTask(id=f"seed_{number}", name="", instruction=instruction, instances=(case,), is_classification=False)


# ------------------------------------------------------------------------------------------------------ what is read


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_files_are_json_lines_or_lines_of_text_compressed_or_not(tmp_path: Path, suffix: str) -> None:
    ways: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}
    compress = ways.get(suffix, bytes)
    rows, lines = tmp_path / f"a.jsonl{suffix}", tmp_path / f"b.TXT{suffix}"
    rows.write_bytes(compress(b'{"q": {"text": "Name a river."}}\r\n\n{"q": {"text": "Name a lake."}}'))
    lines.write_bytes(compress("\ufeffName a sea.\n\n  Nenne einen Fluß. \n".encode()))
    against = survey_of({"path": rows, "field": "q.text"}, lines)
    assert list(texts_of(against.files)) == ["Name a river.", "Name a lake.", "Name a sea.", "Nenne einen Fluß."]
    assert [(file.path, file.field, file.num_texts, file.num_blank) for file in against.files] == [
        (rows, "q.text", 2, 1),
        (lines, None, 2, 1),
    ]
    assert against.num_texts == 4


def test_the_field_is_that_of_dedup_unless_another_is_named(tmp_path: Path) -> None:
    path = tmp_path / "eval.jsonl"
    path.write_text('{"instruction": "Name a river.", "question": "Which river?"}\n')
    assert texts_in(path) == ["Name a river."]
    assert texts_in({"path": path, "field": "question"}) == ["Which river?"]


def test_a_txt_with_a_field_is_json_lines(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "eval.txt", ["Name a river."])
    assert texts_in({"path": path, "field": "instruction"}) == ["Name a river."]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "eval.jsonl",
            b'{"question": "Name a river.", "answer": "Nile"}',
            f":1: has no field instruction; name the text with {OPTION} (it has question, answer)",
        ),
        (
            "eval.jsonl",
            b'{"instruction": ["Name a river."]}',
            f":1: instruction is a list; name a string with {OPTION}",
        ),
        (
            "eval.txt",
            b'{"instruction": "Name a river."}\n',
            f":1: is a JSON object, but each line of a .txt is a text; name the text in it with {OPTION}",
        ),
        ("eval.txt", b"fine\n\xff\n", ":2: is not UTF-8 (byte 1 of the line); save the file as UTF-8"),
        ("eval.jsonl", b"\n \n", ": holds no text to keep away from; check the path in similarity.against"),
        ("eval.jsonl", CUT_SHORT, ":1: ends in the middle of its compressed"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert refusal(path).startswith(f"{path}{message}")


def test_what_is_missing_or_no_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none") == f"{tmp_path}/none: there is no such file; check the path"
    assert refusal(tmp_path) == f"{tmp_path}: is a folder; name the JSONL file in it"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this platform has no named pipes")
def test_a_pipe_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    message = "is no regular file, and it is read again when the run goes on; name a file"
    assert refusal(tmp_path / "pipe") == f"{tmp_path}/pipe: {message}"


def test_a_line_of_text_may_begin_with_a_brace(tmp_path: Path) -> None:
    (tmp_path / "eval.txt").write_text('{curly} is how it begins\n{"instruction": "only the first line tells"}\n')
    assert len(texts_in(tmp_path / "eval.txt")) == 2


def test_a_large_file_is_never_held_in_memory(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "eval.jsonl", ("x" * 1000 + str(number) for number in range(20_000)))
    survey_of(path)  # let caches fill
    tracemalloc.start()
    try:
        files = survey_of(path).files
        num_texts = sum(1 for _ in texts_of(files))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert num_texts == 20_000
    assert peak < 2_000_000  # the file has 20 MB


# --------------------------------------------------------------------------------------------------------- its identity


def test_the_fingerprint_is_of_the_texts_and_not_of_names_or_layout(tmp_path: Path) -> None:
    texts = ["Name a river.", "Name a lake."]
    plain = survey_of(jsonl(tmp_path / "a.jsonl", texts))
    (tmp_path / "b.gz").write_bytes(gzip.compress(b'{"q":"Name a river."}\n\n\n{"q":"Name a lake."}'))
    (tmp_path / "c.txt").write_text("Name a river.\nName a lake.\n")
    others = [survey_of({"path": tmp_path / "b.gz", "field": "q"}), survey_of(tmp_path / "c.txt")]
    assert {other.sha256 for other in others} == {plain.sha256}


@pytest.mark.parametrize(
    "texts", [["a b"], ["a b", "c", ""], ["a", "bc"], ["c", "a b"], ["a b", "c", "c"], ["a b\nc"], ["a b", "C"]]
)
def test_any_other_texts_have_another_fingerprint(tmp_path: Path, texts: list[str]) -> None:
    this = survey_of(jsonl(tmp_path / "a.jsonl", ["a b", "c"]))
    assert survey_of(jsonl(tmp_path / "b.jsonl", texts)).sha256 != this.sha256


def test_the_order_of_the_files_counts(tmp_path: Path) -> None:
    a, b = jsonl(tmp_path / "a.jsonl", ["a"]), jsonl(tmp_path / "b.jsonl", ["b"])
    assert survey_of(a, b).sha256 != survey_of(b, a).sha256
    assert survey_of().sha256 is None


def test_a_file_that_changes_between_its_two_readings_is_noticed(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "eval.jsonl", ["Name a river."])
    against = survey_of(path)
    jsonl(path, ["Name a lake."])
    with pytest.raises(InputError, match=r"eval\.jsonl: changed while it was read; run the same command again$"):
        index_of(against, SimilarityConfig())


# ----------------------------------------------------------------------------------------------------- where a text is

texts_with_gaps = st.lists(st.one_of(st.none(), st.text("abc ", min_size=1).filter(str.strip)), max_size=12)


@given(st.lists(texts_with_gaps.filter(any), min_size=1, max_size=4))
def test_every_position_is_found_at_its_line(tmp_path_factory: pytest.TempPathFactory, files: list[list[Any]]) -> None:
    """None stands for a blank line."""
    folder = tmp_path_factory.mktemp("against")
    expected, surveys = [], []
    for place, lines in enumerate(files):
        path = folder / f"{place}.txt"
        path.write_text("".join(f"{line or ''}\n" for line in lines))
        expected += [(path, number, line.strip()) for number, line in enumerate(lines, 1) if line is not None]
        surveys.append(surveyed(path, None, lambda row: None))
    found = places(surveys, range(-1, len(expected) + 2))
    assert [(place.path, place.line, place.text) for _, place in sorted(found.items())] == expected
    assert [str(found[position]) for position in found] == [f"{path}:{line}" for path, line, _ in expected]


@pytest.mark.parametrize("change", ["gone", "changed", "cut"])
def test_of_a_file_that_is_not_what_it_was_only_the_number_is_known(tmp_path: Path, change: str) -> None:
    changed = jsonl(tmp_path / "a.jsonl", ["Name a river.", "Name a lake."])
    files = survey_of(changed, jsonl(tmp_path / "b.jsonl", ["Name a sea."])).files
    if change == "gone":
        changed.unlink()
    else:
        jsonl(changed, ["Name a river."] if change == "cut" else ["Name a river.", "Name a pond."])
    found = places(files, [0, 1, 2])
    assert [str(found[position]) for position in range(3)] == [
        f"text 1 of {changed}",
        f"text 2 of {changed}",
        f"{tmp_path}/b.jsonl:1",
    ]
    assert [found[position].text for position in range(3)] == [None, None, "Name a sea."]


def test_what_is_stored_of_the_files_is_read_back_with_full_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    jsonl(Path("eval.jsonl"), ["Name a river."])
    odd = AgainstFile(path=Path("/d\udcff.txt"), field=None, num_texts=2, num_blank=1, sha256="00")
    files = survey_of("eval.jsonl").files
    stored = dumped([*files, odd])
    assert stored.encode()  # a path that is no text must not keep it from being stored
    back = loaded(stored)
    assert (back[0].path, back[0].field) == (tmp_path / "eval.jsonl", "instruction")
    assert fingerprint(back[:1]) == fingerprint(files)
    assert back[1] == odd


@pytest.mark.parametrize("text", [None, "", "{", "[1]", "{}", '{"a": 1}', "7", '[{"path": 7}]', '[{"path": "x"}]'])
def test_what_was_never_stored_is_no_file(text: str | None) -> None:
    assert loaded(text) == ()


# ------------------------------------------------------------------------------------------------- what nothing is near


def test_texts_without_a_word_and_blank_lines_are_counted_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "eval.txt"
    path.write_text("Name a river.\n\n?!\n…\n\n日本\n")
    against = survey_of(path)
    assert (against.num_texts, against.num_tokenless, against.first_tokenless) == (4, 2, f"{path}:3")
    with caplog.at_level(logging.WARNING):
        index = indexed(against, SimilarityConfig(), [seed("Bake bread.")])
    assert [record.getMessage() for record in caplog.records] == [
        f"similarity.against: texts without a word: 2 (first {path}:3), blank lines: 2; nothing is ever near these"
    ]
    assert index is not None
    assert len(index) == 4  # positions count them all


def test_the_reference_tokenizer_has_no_word_for_other_scripts(tmp_path: Path) -> None:
    path = tmp_path / "eval.txt"
    path.write_text("Name a river.\n日本の川\n")
    assert survey_of(path, tokenizer="rouge").num_tokenless == 1
    assert survey_of(path).num_tokenless == 0


def test_seeds_near_an_evaluation_text_are_counted_said_once_and_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = jsonl(tmp_path / "eval.jsonl", ["Bake a cake.", "Name three red fruits."])
    seeds = [seed("Write a poem.", 0), seed("Name three red fruits!", 1), seed("name three big red fruits", 2)]
    with caplog.at_level(logging.WARNING):
        indexed(survey_of(path), SimilarityConfig(), seeds)
    [record] = caplog.records
    assert record.getMessage() == (
        f"seed tasks near a text of similarity.against: 2 of 3 (first seed_1, 1.000 to {path}:2); they stay, and "
        "prompts show them, so the model may echo them; take them out of the seeds"
    )


def test_without_files_there_is_no_index_and_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert indexed(survey_of(), SimilarityConfig(), [seed("Bake bread.")]) is None
    assert caplog.records == []


# ---------------------------------------------------------------------------------------------------------- whole runs


def config_for(server: ScriptedServer, out: Path, target: int = 20, **flags: Any) -> RunConfig:
    given: dict[str, Any] = {
        "model.base_url": server.base_url,
        "model.name": "scripted",
        "model.api": "completions",
        "classification.method": "text",
        "out": out,
        "target": target,
        "runtime.max_in_flight": 1,
        **{key.replace("__", "."): value for key, value in flags.items()},
    }
    return load_config(flags=given)


async def execute(config: RunConfig) -> RunResult:
    return await Run(config, env={}).execute()


def rows(folder: Path, sql: str) -> Rows:
    connection = sqlite3.connect(f"file:{folder / 'run.db'}?mode=ro", uri=True)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def admitted_in(folder: Path) -> list[str]:
    return [text for (text,) in rows(folder, "SELECT text FROM instruction ORDER BY id")]


async def evaluation_set(server: ScriptedServer, tmp_path: Path, share: slice = slice(None, None, 2)) -> Path:
    """A file of texts that a run without it would admit, among others."""
    await execute(config_for(server, tmp_path / "without"))
    texts = admitted_in(tmp_path / "without")[share]
    return jsonl(tmp_path / "eval.jsonl", ["Something else altogether, never asked for.", *texts])


@pytest.mark.parametrize("profile", ["default", "paper"])
async def test_nothing_near_an_evaluation_text_is_admitted_shown_or_exported(tmp_path: Path, profile: str) -> None:
    flags: dict[str, Any] = {"profile": profile, "runtime__max_in_flight": 8}
    async with ScriptedServer(Script(duplicate_rate=0.2)) as server:
        evaluation = await evaluation_set(server, tmp_path)
        config = config_for(server, tmp_path / "run", 40, similarity__against=evaluation, **flags)
        result = await execute(config)
    assert result.ended_by == "target"
    assert result.progress.rejected["contaminated"] > 0
    texts = [json.loads(line)["instruction"] for line in evaluation.read_text().splitlines()]
    index = RougeIndex(tokenizer=config.similarity.tokenizer)
    index.add(texts)
    admitted = admitted_in(tmp_path / "run")
    assert index.query(admitted).admitted.all()
    with RunReader(tmp_path / "run") as reader:
        assert index.query([example.instruction for example in reader.examples()]).admitted.all()
        num_pool = len(reader.seeds()) + len(admitted)
        shown = reader.rows("SELECT in_context FROM request WHERE in_context IS NOT NULL")
        assert max(max(json.loads(positions)) for (positions,) in shown) < num_pool


async def test_a_contaminated_candidate_is_stored_with_its_neighbour_and_score(tmp_path: Path) -> None:
    async with ScriptedServer(Script()) as server:
        evaluation = await evaluation_set(server, tmp_path)
        await execute(config_for(server, tmp_path / "run", similarity__against=evaluation))
    texts = [json.loads(line)["instruction"] for line in evaluation.read_text().splitlines()]
    index = RougeIndex()
    index.add(texts)
    stored = rows(tmp_path / "run", "SELECT text, nearest, score FROM candidate WHERE reason = 'contaminated'")
    assert stored
    for text, nearest, score in stored:
        assert index.query([text])[0].nearest == nearest
        assert score == index.scores(text)[nearest] > 0.7


async def test_the_pools_positions_know_nothing_of_evaluation_texts(tmp_path: Path) -> None:
    async with ScriptedServer(Script(duplicate_rate=0.4)) as server:
        evaluation = await evaluation_set(server, tmp_path)
        await execute(config_for(server, tmp_path / "run", similarity__against=evaluation))
    with RunReader(tmp_path / "run") as reader:
        pool = [task.instruction for task in reader.seeds()]
    pool += admitted_in(tmp_path / "run")
    assert [number for (number,) in rows(tmp_path / "run", "SELECT id FROM instruction ORDER BY id")] == list(
        range(len(pool) - 175)
    )
    index = RougeIndex()
    index.add(pool)
    near = rows(tmp_path / "run", "SELECT text, nearest, score FROM candidate WHERE reason = 'near_duplicate'")
    assert near
    for text, nearest, score in near:
        assert score == index.scores(text)[nearest]


async def test_texts_that_nothing_is_near_change_nothing_but_the_identity(tmp_path: Path) -> None:
    evaluation = jsonl(tmp_path / "eval.jsonl", ["Zwei völlig andere Sätze.", "?!"])
    async with ScriptedServer(Script()) as server:
        await execute(config_for(server, tmp_path / "without"))
        await execute(config_for(server, tmp_path / "with", similarity__against=evaluation))
    sql = "SELECT id, request_id, text, reason, nearest, score FROM candidate ORDER BY id"
    assert rows(tmp_path / "with", sql) == rows(tmp_path / "without", sql)
    identities = [
        json.loads((tmp_path / name / "manifest.json").read_text())["identity"] for name in ("with", "without")
    ]
    assert identities[0]["similarity"].pop("against") == survey_of(evaluation).sha256
    assert identities[0] == identities[1]  # so a run of an earlier version goes on


async def test_an_interrupted_run_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    async with ScriptedServer(Script()) as server:
        evaluation = await evaluation_set(server, tmp_path)
        await execute(config_for(server, tmp_path / "whole", 30, similarity__against=evaluation))
        run = Run(config_for(server, tmp_path / "halves", 30, similarity__against=evaluation), env={})
        task = asyncio.create_task(run.execute())
        while not rows_so_far(run):  # noqa: ASYNC110 - a counter sets no event
            await asyncio.sleep(0)
        run.stop()
        assert (await task).ended_by == "interrupt"
        moved = evaluation.rename(tmp_path / "moved.jsonl")
        result = await execute(config_for(server, tmp_path / "halves", 30, similarity__against=moved))
    assert result.ended_by == "target"
    sql = "SELECT text, reason, nearest, score FROM candidate ORDER BY id"
    assert rows(tmp_path / "halves", sql) == rows(tmp_path / "whole", sql)
    with RunReader(tmp_path / "halves") as reader:
        assert [file.path for file in loaded(reader.meta("against"))] == [moved]


def rows_so_far(run: Run) -> int:
    progress = run.progress()
    return progress.num_candidates if progress else 0


async def test_another_evaluation_set_is_another_run(tmp_path: Path) -> None:
    evaluation = jsonl(tmp_path / "eval.jsonl", ["Name a river."])
    async with ScriptedServer(Script()) as server:
        await execute(config_for(server, tmp_path / "run", 5, similarity__against=evaluation))
        before = rows(tmp_path / "run", "SELECT count(*) FROM request")
        jsonl(evaluation, ["Name a lake."])
        for flags in ({"similarity__against": evaluation}, {}):
            with pytest.raises(RunFolderError, match=r"similarity\.against is \w{16}… there and (\w{16}…|not set) h"):
                await execute(config_for(server, tmp_path / "run", 5, **flags))
    assert rows(tmp_path / "run", "SELECT count(*) FROM request") == before


async def test_a_model_that_only_repeats_the_evaluation_set_runs_dry(tmp_path: Path) -> None:
    async with ScriptedServer(Script(duplicate_rate=1.0)) as server:
        evaluation = await evaluation_set(server, tmp_path, slice(None))
        result = await execute(config_for(server, tmp_path / "run", similarity__against=evaluation))
    assert result.ended_by == "saturation"
    assert result.progress.rejected["contaminated"] > 50 > result.progress.num_admitted


async def test_the_files_are_read_off_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readers: Counter[int] = Counter()
    opened = Path.open

    def watched(path: Path, *arguments: Any, **more: Any) -> Any:
        if path.name == "eval.jsonl":
            readers[threading.get_ident()] += 1
        return opened(path, *arguments, **more)

    evaluation = jsonl(tmp_path / "eval.jsonl", ["Name a river."])
    monkeypatch.setattr(Path, "open", watched)
    async with ScriptedServer(Script()) as server:
        await execute(config_for(server, tmp_path / "run", 2, similarity__against=evaluation))
    assert readers.total() == 2
    assert threading.get_ident() not in readers


async def test_a_file_that_cannot_be_read_leaves_no_run_behind(tmp_path: Path) -> None:
    async with ScriptedServer(Script()) as server:
        with pytest.raises(InputError, match=r"none\.jsonl: there is no such file"):
            await execute(config_for(server, tmp_path / "run", similarity__against=tmp_path / "none.jsonl"))
        assert list(server.log) == []
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------------------------------------------------ the verbs

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
for verb in (run_verb, inspect, status):
    app.command()(verb)


def typed(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, FastInstructError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


async def test_inspect_says_what_it_knows_when_a_file_is_gone(tmp_path: Path) -> None:
    async with ScriptedServer(Script()) as server:
        evaluation = await evaluation_set(server, tmp_path)
        await execute(config_for(server, tmp_path / "run", similarity__against=evaluation))
    evaluation.unlink()
    flags = ("--reason", "contaminated", "--limit", 1)
    assert (
        f"ROUGE-L:        1.000 to text 2 of {evaluation} (the file is gone, or has changed since)\n"
        in typed("inspect", tmp_path / "run", *flags).stdout
    )
    row = json.loads(typed("inspect", tmp_path / "run", *flags, "--json").stdout)
    assert (row["nearest_id"], row["score"], "nearest" in row) == (f"text 2 of {evaluation}", 1.0, False)
    assert typed("inspect", tmp_path / "run", "--rejected", "--search", "never asked for").stdout == ""


def test_a_dry_run_says_what_would_be_kept_away_from(tmp_path: Path) -> None:
    evaluation = jsonl(tmp_path / "eval.jsonl", ["Name a river.", "Name a lake."])
    dry = ("run", "--dry-run", "--base-url", "http://127.0.0.1:9/v1", "--model", "m")
    ended = typed(*dry, "--against", evaluation)
    assert ended.stderr == f"to keep away from: 2 texts of {evaluation}\n"
    assert "Name a river." not in ended.stdout
    assert typed(*dry).stderr == ""


def test_flags_outrank_the_files_list(tmp_path: Path) -> None:
    jsonl(tmp_path / "file.jsonl", ["Name a river."])
    flag = jsonl(tmp_path / "flag.jsonl", ["Name a lake."])
    (tmp_path / "run.yaml").write_text("similarity: {against: [file.jsonl]}\n")
    dry = ("run", "--dry-run", "--base-url", "http://127.0.0.1:9/v1", "--model", "m", "-c", tmp_path / "run.yaml")
    assert typed(*dry).stderr == f"to keep away from: 1 texts of {tmp_path}/file.jsonl\n"
    assert typed(*dry, "--against", flag).stderr == f"to keep away from: 1 texts of {flag}\n"
    assert typed(*dry, "--against", flag, "--set", "similarity.against=[]").stderr == ""


def test_a_field_without_a_file_is_refused() -> None:
    with pytest.raises(InputError, match=r"^--against-field names the text in --against files"):
        typed("run", "--against-field", "question")


# ---------------------------------------------------------------------------------------------------- Python and doctor


def test_from_python_paths_will_do(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "eval.jsonl", ["Name a river."])
    config = RunConfig.model_validate(
        {"similarity": {"against": [path]}, "model": {"base_url": "http://127.0.0.1:9/v1", "name": "m"}}
    )
    assert SimilarityConfig(against=path) == SimilarityConfig(against=(str(path),)) == config.similarity
    preparation = prepare(config, {})
    assert preparation.against.num_texts == 1
    assert preparation.identity()["similarity"]["against"] == preparation.against.sha256


def checked(*files: object, seeds: Sequence[str] = ()) -> Finding:
    tree: dict[str, Any] = {"similarity": {"against": list(files)}}
    return inputs.check_against(RunConfig.model_validate(tree | ({"seeds": seeds[0]} if seeds else {})))


def test_the_doctor_counts_texts_and_seeds_that_are_near_them(tmp_path: Path) -> None:
    evaluation = jsonl(tmp_path / "eval.jsonl", ["Name three red fruits."])
    fine = checked(evaluation)
    assert (fine.level, fine.found, fine.advice) == (Level.OK, f"1 texts of {evaluation}", "")
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text('{"instruction": "Name three red fruits!", "output": "Plums."}\n')
    near = checked(evaluation, seeds=[str(seeds)])
    assert near.level is Level.WARNING
    assert near.found.endswith(f"against: 1 of 1 (first seed_0, 1.000 to {evaluation}:1)")
    assert near.advice.endswith("take them out of the seeds")
    seeds.write_text("{}\n")
    assert checked(evaluation, seeds=[str(seeds)]) == fine  # the seeds are another check's part


def test_the_doctor_reports_a_file_that_cannot_be_read_and_texts_without_a_word(tmp_path: Path) -> None:
    missing = checked(tmp_path / "none.jsonl")
    assert (missing.level, missing.found) == (
        Level.PROBLEM,
        f"{tmp_path}/none.jsonl: there is no such file; check the path",
    )
    evaluation = jsonl(tmp_path / "eval.jsonl", ["Name a river.", "?!"])
    assert checked(evaluation).level is Level.WARNING
