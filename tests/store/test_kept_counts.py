"""What a run's database says of tokens is bounded and read with care, whoever wrote it and whatever became of it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from built_run import BuiltRun
from fastinstruct.cli.app import app
from fastinstruct.errors import Aborted, RunFolderError
from fastinstruct.lm.endpoints import Request
from fastinstruct.lm.scheduling.job import Job
from fastinstruct.pipeline import Run
from fastinstruct.pipeline.commit.early_answers import loaded_answer
from fastinstruct.pipeline.models.reply_forms import stored_forms
from fastinstruct.pipeline.models.threshold import stored_threshold
from fastinstruct.pipeline.stages.base import Task
from fastinstruct.records import MOST_TOKENS, Sampling
from fastinstruct.scripted_server import Outage, Script, ScriptedServer
from fastinstruct.store import DrawRow, PendingDraw, RunReader, history, recent
from killing import rows
from run_stages import STAGES
from windowed_runs import config_for, until

HUGE = 2**62


def doctored(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "run.db")) as connection, connection:
        for sql in statements:
            connection.execute(sql)


def status_of(folder: Path) -> dict[str, Any]:
    told = CliRunner().invoke(app, ["status", str(folder), "--json"], catch_exceptions=False)
    assert told.exit_code == 0
    return dict(json.loads(told.stdout))


@pytest.mark.parametrize(("stored", "read"), [(str(HUGE), MOST_TOKENS), ("-5", 0), ("9e30", MOST_TOKENS), ("2.5", 2)])
def test_counts_of_an_older_version_are_bounded_wherever_they_are_read(tmp_path: Path, stored: str, read: int) -> None:
    with BuiltRun(tmp_path) as built:
        for number in range(3):
            built.admit(f"Write poem {number} about the sea.", ("", f"Waves {number} roll."))
    doctored(tmp_path, f"UPDATE request SET prompt_tokens = {stored}, completion_tokens = {stored}")
    with RunReader(tmp_path) as reader:
        totals = reader.totals()
        assert (totals.prompt_tokens, totals.completion_tokens) == (9 * read, 9 * read)
        kept: list[Any] = [*recent(reader, dict.fromkeys(STAGES, 9)), *(request for request, _ in history(reader))]
        assert {(one.prompt_tokens, one.completion_tokens) for one in kept} == {(read, read)}
        assert len(kept) == 18
    assert status_of(tmp_path)["num_tokens_used"] == 18 * read


async def left_with_kept_answers(folder: Path, url: str) -> None:
    """Abort a run whose first request hangs while four later answers wait for their turn."""
    run = Run(config_for(url, folder), env={})
    working = asyncio.create_task(run.execute())
    await until(lambda: rows(folder, "SELECT count(*) FROM draw WHERE answer IS NOT NULL") == [(4,)])
    run.abort()
    with pytest.raises(Aborted):
        await working


async def test_a_run_goes_on_after_counts_that_no_sum_of_sqlite_bears(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    async with ScriptedServer(Script(outages=(Outage("hang", 1, 1),))) as server:
        await left_with_kept_answers(folder, server.base_url)
        (answer,) = rows(folder, "SELECT answer FROM draw WHERE answer IS NOT NULL LIMIT 1")[0]
        told = json.loads(answer)
        told["completion"]["usage"] |= {"prompt_tokens": HUGE, "completion_tokens": HUGE, "thoughts": "none"}
        with closing(sqlite3.connect(folder / "run.db")) as connection, connection:
            connection.execute("UPDATE draw SET prompt_tokens = ?, completion_tokens = ?", (HUGE, HUGE))
            connection.execute("UPDATE draw SET answer = ? WHERE answer = ?", (json.dumps(told), answer))
        assert status_of(folder)["num_tokens_used"] >= 8 * MOST_TOKENS
        result = await Run(config_for(server.base_url, folder), env={}).execute()
    assert result.ended_by == "target"
    assert max(rows(folder, "SELECT max(prompt_tokens), max(completion_tokens) FROM request")) == (
        MOST_TOKENS,
        MOST_TOKENS,
    )


async def test_a_kept_answer_that_is_none_is_named_and_nothing_is_asked(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    async with ScriptedServer(Script(outages=(Outage("hang", 1, 1),))) as server:
        await left_with_kept_answers(folder, server.base_url)
        doctored(folder, """UPDATE draw SET answer = '{"completion": []}' WHERE answer IS NOT NULL""")
        num_asked = sum(entry.kind is not None for entry in server.log)
        with pytest.raises(RunFolderError, match=r"run\.db: damaged: table draw, row \d+; restore it from a copy, or"):
            await Run(config_for(server.base_url, folder), env={}).execute()
        assert sum(entry.kind is not None for entry in server.log) == num_asked


def answer(**changes: object) -> dict[str, object]:
    completion: dict[str, object] = {
        "text": "a",
        "finish_reason": "stop",
        "usage": {},
        "model": "m",
        "top_logprobs": None,
    }
    kept: dict[str, object] = {"completion": completion, "failed": [], "latency_s": 0.5, "in_context": [0]}
    for name, value in changes.items():
        (completion if name in completion else kept)[name] = value
    return kept


def job_of(row: DrawRow) -> Job[Task]:
    pool = ["one", "two"]
    task = Task(
        stage=row.stage, number=row.number, template="instructions", shown=tuple(pool[at] for at in row.in_context)
    )
    return Job(request=Request(key=row.key, prompt="", sampling=Sampling()), about=task, lane=row.stage)


def loaded(kept: object) -> object:
    return loaded_answer(
        PendingDraw(row=DrawRow(place=1, stage="instructions", number=7), answer=json.dumps(kept)), job_of
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(
    name=st.sampled_from([*answer(), "text", "finish_reason", "usage", "model", "top_logprobs"]),
    value=json_values,
    make=st.sampled_from([lambda value: value, lambda value: [value], lambda value: {"prompt_tokens": value}]),
)
def test_whatever_stands_in_place_of_a_kept_answer_is_one_or_is_refused(
    name: str, value: object, make: Callable[[object], object]
) -> None:
    assert loaded(answer())
    for kept in (value, answer(**{name: make(value)})):
        try:
            found: Any = loaded(kept)
        except ValueError:
            continue
        usage = found.outcome.completion.usage
        assert 0 <= usage.cached_tokens <= usage.prompt_tokens <= MOST_TOKENS
        assert 0 <= usage.completion_tokens <= MOST_TOKENS
        assert isinstance(found.outcome.completion.text, str)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("used_besides", '{"instructions": {"prompt_tokens": "many"}}'),
        ("used_besides", '{"instructions": {"smell": 1}}'),
        ("used_besides", "[1]"),
        ("used_besides", "{"),
        ("prices", '{"instances": 4}'),
        ("prices", "[" * 100_000),
    ],
)
def test_books_that_are_none_are_damage_and_no_traceback(tmp_path: Path, key: str, value: str) -> None:
    with BuiltRun(tmp_path) as built:
        built.admit("Name a colour.", ("", "Red."))
    doctored(tmp_path, f"INSERT INTO meta VALUES ('{key}', '{value}')")
    told = CliRunner().invoke(app, ["status", str(tmp_path)])
    assert isinstance(told.exception, RunFolderError)
    assert str(told.exception) == f"{tmp_path / 'run.db'}: damaged: table meta, row {key}; restore it from a copy"


@pytest.mark.parametrize("told", ["", "x", "[", "[" * 100_000, '"0.5"', "true", "NaN", "[0.5]"])
def test_a_threshold_that_is_none_is_damage(tmp_path: Path, told: str) -> None:
    with pytest.raises(RunFolderError, match=r"run\.db: damaged: table meta, row stage2_threshold; restore it"):
        stored_threshold(told, tmp_path / "run.db")


def test_a_threshold_is_a_number_or_none() -> None:
    assert [stored_threshold(told, Path("run.db")) for told in ("0.5", "-2", "null")] == [0.5, -2, None]


@pytest.mark.parametrize("told", ["", "[]", "[" * 100_000, '{"instances": "song"}', '{"instances": []}'])
def test_forms_of_replies_that_are_none_are_refused(told: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        stored_forms(told, STAGES)
