"""The stage `respond` and the recipe `direct`: one answer an instruction, and everything else follows from that."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fastinstruct.cli.app import app
from fastinstruct.config import RunConfig, load_config
from fastinstruct.errors import ConfigError
from fastinstruct.pipeline import Run, RunResult, dry_run, prepare, refilter
from fastinstruct.pipeline.recipes import RECIPES
from fastinstruct.pipeline.stages.base import Item, Read, Stage
from fastinstruct.records import Api, Completion, FinishReason, Instance, ReplyForm, Usage
from fastinstruct.scripted_server import Script, ScriptedServer
from fastinstruct.store import RunReader, read_manifest
from fastinstruct.store.without_examples import without_examples
from run_stages import stages_of

DIRECT = RECIPES["direct"]
ASKED = Item(7, "Summarise the report in a sentence.")


def respond(api: Api = Api.CHAT, form: ReplyForm = ReplyForm.TEXT) -> Stage:
    return stages_of(RunConfig(recipe="direct"), api, forms={"respond": form})["respond"]


def read(stage: Stage, text: str, finish_reason: FinishReason = FinishReason.STOP) -> Read:
    completion = Completion(text=text, finish_reason=finish_reason, usage=Usage(), model="m")
    return stage.parse(completion, stage.build(ASKED).about)


def config_for(server: ScriptedServer, out: Path, **flags: Any) -> RunConfig:
    given: dict[str, Any] = {
        "model.base_url": server.base_url,
        "model.name": "scripted",
        "recipe": "direct",
        "out": out,
        "target": 12,
        "runtime.max_in_flight": 4,
    }
    return load_config(flags=given | flags)


async def execute(config: RunConfig, **settings: Any) -> RunResult:
    return await Run(config, env={"XDG_CACHE_HOME": str(config.out) + "-cache"}, **settings).execute()


@pytest.mark.parametrize("api", list(Api))
def test_the_prompt_holds_the_instruction_and_no_demonstration(api: Api) -> None:
    job = respond(api).build(ASKED)
    prompt = job.request.prompt
    text = prompt if isinstance(prompt, str) else "\n".join(message.content for message in prompt)
    assert text.count("Task:") == 1
    assert f"Task: {ASKED.instruction}" in text
    assert (job.lane, job.request.key, job.about.template) == ("respond", "respond:7", "respond")


def test_one_example_is_asked_for_by_schema_and_only_one_is_kept() -> None:
    stage = respond(form=ReplyForm.JSON_SCHEMA)
    asked = stage.build(ASKED).request.reply_format
    assert asked is not None
    examples: Any = asked.schema["properties"]
    assert examples["examples"]["maxItems"] == 1
    rows = [{"input": "The report says that sales grew.", "output": "Sales grew."}, {"input": "b", "output": "Two."}]
    found = read(stage, json.dumps({"examples": rows}))
    assert found.kept == (Instance(input=rows[0]["input"], output="Sales grew."),)
    assert [why.reason for _, why in found.rejected] == ["surplus"]


def test_a_text_is_read_with_its_input_or_without() -> None:
    stage = respond()
    found = read(stage, "Input: The report says that sales grew.\nOutput: Sales grew.")
    assert found.kept == (Instance(input="The report says that sales grew.", output="Sales grew."),)
    assert read(stage, "Output: Sales grew by a tenth.").kept == (Instance(input="", output="Sales grew by a tenth."),)
    assert read(stage, "I'm sorry, but I can't help with that.").kept == ()


def test_what_is_no_answer_is_unreadable_and_a_torn_one_is_not_kept() -> None:
    assert read(respond(), "").is_unreadable
    torn = read(
        respond(form=ReplyForm.JSON_SCHEMA), '{"examples": [{"input": "", "output": "Sales', FinishReason.LENGTH
    )
    assert not torn.kept


async def test_a_run_gives_one_example_an_instruction_and_goes_on_where_it_was_left(tmp_path: Path) -> None:
    async with ScriptedServer(Script()) as server:
        first = await execute(config_for(server, tmp_path / "run", target=6))
        second = await execute(config_for(server, tmp_path / "run"))
        asked = [entry.kind for entry in server.log]
    assert (first.ended_by, second.ended_by) == ("target", "target")
    with RunReader(tmp_path / "run") as reader:
        totals, examples = reader.totals(), list(reader.examples())
        assert reader.stages() == ("instructions", "respond")
    assert totals.num_answered["respond"] == totals.num_admitted >= 12
    assert len({example.id for example in examples}) == len(examples) == totals.num_examples
    assert {example.id.partition("-")[2] for example in examples} == {"0"}
    assert all(example.is_classification is None for example in examples)
    assert "classification" not in asked
    identity = read_manifest(tmp_path / "run")["identity"]
    assert (identity["recipe"], "classification" in identity, "instances" in identity) == ("direct", False, False)
    assert identity["stages"]["respond"]["sampling"]["temperature"] == 0.7


async def test_the_stage_may_have_a_model_of_its_own(tmp_path: Path) -> None:
    async with ScriptedServer(Script()) as weak, ScriptedServer(Script(model="strong")) as strong:
        own = {"base_url": strong.base_url, "name": "strong"}
        await execute(config_for(weak, tmp_path / "run", stages={"respond": {"model": own}}))
        assert {entry.kind for entry in weak.log if entry.kind} == {"instructions"}
        assert {entry.kind for entry in strong.log if entry.kind} == {"input-first"}
    assert read_manifest(tmp_path / "run")["identity"]["stages"]["respond"]["model"]["name"] == "strong"


@pytest.mark.may_block("refiltering runs in this thread")
async def test_its_run_is_refiltered_back_to_itself_shown_and_exported(tmp_path: Path) -> None:
    async with ScriptedServer(Script()) as server:
        await execute(config_for(server, tmp_path / "run"))
    found = refilter(tmp_path / "run", tmp_path / "new", {})
    assert (found.num_gained, found.num_lost, dict(found.num_to_ask)) == (0, 0, {"respond": 0})
    with RunReader(tmp_path / "run") as old, RunReader(tmp_path / "new") as new:
        examples = list(old.examples())
        assert list(new.examples()) == examples
    for verb in (["status"], ["inspect"], ["inspect", "--id", "m0"], ["inspect", "--without-examples"]):
        shown = CliRunner().invoke(app, [verb[0], str(tmp_path / "run"), *verb[1:]])
        assert (shown.exit_code, shown.exception) == (0, None), verb
    out = tmp_path / "data.jsonl"
    assert CliRunner().invoke(app, ["export", str(tmp_path / "run"), "-f", "alpaca", "-o", str(out)]).exit_code == 0
    assert len(out.read_text(encoding="utf-8").splitlines()) == len(examples)


def test_a_dry_run_shows_its_prompt(tmp_path: Path) -> None:
    config = RunConfig(recipe="direct", out=tmp_path, model={"base_url": "http://127.0.0.1:9/v1", "name": "m"})
    shown = dry_run(prepare(config, {"XDG_CACHE_HOME": str(tmp_path)}))
    assert [(title, stage) for title, stage, _ in shown] == [
        ("1 generate instructions", "instructions"),
        ("2 respond", "respond"),
    ]


async def test_an_instruction_that_was_not_answered_yet_waits_for_no_classification(tmp_path: Path) -> None:
    async with ScriptedServer(Script()) as server:
        await execute(config_for(server, tmp_path / "run"))
    with closing(sqlite3.connect(tmp_path / "run" / "run.db")) as connection, connection:
        connection.execute("DELETE FROM request WHERE stage = 'respond'")
        connection.execute("DELETE FROM instance")
    with RunReader(tmp_path / "run") as reader:
        assert {row.reason for row in without_examples(reader)} == {"not_asked"}


def test_another_stages_settings_are_refused(tmp_path: Path) -> None:
    config = load_config(flags={"recipe": "direct", "stages": {"respnd": {"sampling": {"temperature": 0.1}}}})
    with pytest.raises(ConfigError) as refused:
        prepare(config, {"XDG_CACHE_HOME": str(tmp_path)})
    assert str(refused.value) == "stages.respnd: recipe direct has no such stage (did you mean respond?)"
