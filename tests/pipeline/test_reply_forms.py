"""In what form replies are asked for: settled once by asking, stored with the run, never changed by a refusal."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fastinstruct.config import RunConfig, load_config
from fastinstruct.errors import ConfigError, ProtocolMismatch, ReplyFormRefused
from fastinstruct.pipeline import Run, RunResult, prepare
from fastinstruct.records import ReplyForm
from fastinstruct.scripted_server import JsonReplies, Script, ScriptedServer
from fastinstruct.store import MetaKey, RunReader
from run_stages import STAGES

SCHEMA = dict.fromkeys(("classification", "instances", "instructions"), "json_schema")


def config_for(server: ScriptedServer, out: Path, **flags: Any) -> RunConfig:
    given: dict[str, Any] = {
        "model.base_url": server.base_url,
        "model.name": "scripted",
        "out": out,
        "target": 6,
        "runtime.max_in_flight": 4,
        **{key.replace("__", "."): value for key, value in flags.items()},
    }
    return load_config(flags=given)


async def execute(config: RunConfig, notes: list[str] | None = None) -> RunResult:
    kept = [] if notes is None else notes
    return await Run(config, env={"XDG_CACHE_HOME": f"{config.out}-cache"}, on_note=kept.append).execute()


@asynccontextmanager
async def scripted(**script: Any) -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(Script(**script)) as server:
        yield server


def stored(folder: Path) -> tuple[dict[str, str] | None, set[str]]:
    """What the run has settled, and the templates that it has asked with."""
    with RunReader(folder) as reader:
        told = reader.meta(MetaKey.REPLY_FORMS)
        templates = {name for (name,) in reader.rows("SELECT DISTINCT template FROM request")}
    return (None if told is None else json.loads(told)), templates


async def test_a_chat_server_that_bears_schemas_is_asked_by_schema_in_every_stage(tmp_path: Path) -> None:
    notes: list[str] = []
    async with scripted() as server:
        result = await execute(config_for(server, tmp_path / "run"), notes)
        log = list(server.log)
    forms, templates = stored(tmp_path / "run")
    assert forms == SCHEMA
    assert templates <= {"instructions.json", "classification.json", "input_first.json", "output_first.json"}
    assert notes == ["replies are asked for as JSON by schema"]
    assert result.progress.num_examples > 0
    assert result.progress.num_unreadable == {}
    assert sum(entry.path != "/v1/models" for entry in log) == result.progress.num_requests_used


async def test_a_server_that_takes_objects_only_is_asked_for_these(tmp_path: Path) -> None:
    async with scripted(json_replies=JsonReplies.OBJECT_ONLY) as server:
        result = await execute(config_for(server, tmp_path / "run"))
    forms, templates = stored(tmp_path / "run")
    assert forms == dict.fromkeys(SCHEMA, "json_object")
    assert "instructions.json" in templates
    assert result.progress.num_examples > 0


@pytest.mark.parametrize("json_replies", [JsonReplies.IGNORED, JsonReplies.REFUSED])
async def test_a_server_that_ignores_or_refuses_json_is_asked_for_text(
    tmp_path: Path, json_replies: JsonReplies
) -> None:
    async with scripted(json_replies=json_replies) as server:
        result = await execute(config_for(server, tmp_path / "run"))
    forms, templates = stored(tmp_path / "run")
    assert forms == dict.fromkeys(SCHEMA, "text")
    assert templates <= {"instructions", "classification", "input_first", "output_first"}
    assert result.ended_by == "target"


async def test_the_lowest_form_that_all_endpoints_bear_is_taken(tmp_path: Path) -> None:
    async with scripted() as able, scripted(json_replies=JsonReplies.IGNORED) as unable:
        endpoints = [{"base_url": unable.base_url}]
        await execute(config_for(able, tmp_path / "run", model__endpoints=endpoints))
    forms, _ = stored(tmp_path / "run")
    assert forms == dict.fromkeys(SCHEMA, "text")


async def test_what_is_settled_stays_and_is_not_asked_again(tmp_path: Path) -> None:
    async with scripted() as server:
        await execute(config_for(server, tmp_path / "run"))
        num_asked = len(server.log)
        result = await execute(config_for(server, tmp_path / "run", target=12))
        later = list(server.log)[num_asked:]
    assert stored(tmp_path / "run")[0] == SCHEMA
    with RunReader(tmp_path / "run") as reader:
        ((num_requests,),) = reader.rows("SELECT count(*) FROM request")
    assert num_asked + sum(entry.path != "/v1/models" for entry in later) == num_requests + 3 + 1
    assert result.progress.num_admitted >= 12


async def test_a_refusal_after_json_was_settled_ends_the_session_with_advice_and_loses_nothing(tmp_path: Path) -> None:
    async with scripted() as server:
        await execute(config_for(server, tmp_path / "run"))
    async with scripted(json_replies=JsonReplies.REFUSED) as server:
        with pytest.raises(ReplyFormRefused, match=r"model\.replies"):
            await execute(config_for(server, tmp_path / "run", target=12))
    async with scripted() as server:
        result = await execute(config_for(server, tmp_path / "run", target=12))
    assert (result.ended_by, result.progress.num_failed) == ("target", 0)


@pytest.mark.parametrize("json_replies", [JsonReplies.IGNORED, JsonReplies.REFUSED])
async def test_json_that_is_forced_on_a_server_without_it_is_one_line(
    tmp_path: Path, json_replies: JsonReplies
) -> None:
    async with scripted(json_replies=json_replies) as server:
        with pytest.raises(ProtocolMismatch, match=r"model\.replies is json.*set model\.replies to") as caught:
            await execute(config_for(server, tmp_path / "run", model__replies="json"))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1


async def test_text_that_is_asked_for_is_not_probed(tmp_path: Path) -> None:
    async with scripted() as server:
        result = await execute(config_for(server, tmp_path / "run", model__replies="text"))
        num_asked = sum(entry.path != "/v1/models" for entry in server.log)
    with RunReader(tmp_path / "run") as reader:
        ((num_requests,),) = reader.rows("SELECT count(*) FROM request")
    assert num_asked == num_requests == result.progress.num_requests_used


async def test_the_questions_of_form_are_within_the_budget(tmp_path: Path) -> None:
    async with scripted() as server:
        result = await execute(config_for(server, tmp_path / "run", budget__max_requests=2))
        assert sum(entry.path != "/v1/models" for entry in server.log) == 2
    assert (result.ended_by, result.exit_code) == ("max_requests", 3)
    assert stored(tmp_path / "run") == (None, set())


async def test_with_one_slot_the_questions_are_asked_one_after_another(tmp_path: Path) -> None:
    async with scripted() as server:
        result = await execute(config_for(server, tmp_path / "run", runtime__max_in_flight=1))
    assert result.ended_by == "target"
    assert stored(tmp_path / "run")[0] == SCHEMA


def preparation_forms(tmp_path: Path, **flags: Any) -> dict[str, tuple[ReplyForm, ...]]:
    given: dict[str, Any] = {"model.base_url": "http://127.0.0.1:1/v1", "model.name": "m", "out": tmp_path / "run"}
    config = load_config(flags={**given, **{key.replace("__", "."): value for key, value in flags.items()}})
    preparation = prepare(config, {"XDG_CACHE_HOME": str(tmp_path)})
    return {stage: preparation.wanted_forms(stage) for stage in STAGES}


TEXT = (ReplyForm.TEXT,)
ALL = (ReplyForm.JSON_SCHEMA, ReplyForm.JSON_OBJECT, ReplyForm.TEXT)


def test_auto_asks_chat_for_json_and_completions_for_text(tmp_path: Path) -> None:
    assert preparation_forms(tmp_path) == dict.fromkeys(STAGES, ALL)
    assert preparation_forms(tmp_path, model__api="completions") == dict.fromkeys(STAGES, TEXT)
    assert preparation_forms(tmp_path, profile="paper") == dict.fromkeys(STAGES, TEXT)


def test_stage_2_by_log_probabilities_stays_text(tmp_path: Path) -> None:
    forms = preparation_forms(tmp_path, classification__method="logprobs")
    assert forms == {"instructions": ALL, "classification": TEXT, "instances": ALL}


def test_a_response_format_of_ones_own_outranks_auto(tmp_path: Path) -> None:
    extra = {"response_format": {"type": "text"}}
    assert preparation_forms(tmp_path, model__extra_body=extra) == dict.fromkeys(STAGES, TEXT)


def test_a_persons_own_text_template_stays_text_under_auto_and_is_refused_under_json(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "input_first.txt").write_text("[user]\n{demonstrations}\nTask: {instruction}\n", encoding="utf-8")
    forms = preparation_forms(tmp_path, prompts=own)
    assert forms == {"instructions": ALL, "classification": ALL, "instances": TEXT}
    with pytest.raises(
        ConfigError, match=r"input_first\.txt asks for text and model\.replies is json; add input_first"
    ):
        preparation_forms(tmp_path, prompts=own, model__replies="json")
    (own / "input_first.json.txt").write_text("[user]\nJSON: {demonstrations}\nTask: {instruction}\n", encoding="utf-8")
    assert preparation_forms(tmp_path, prompts=own)["instances"] == ALL


def test_an_unknown_value_of_replies_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.replies: .*auto.*json.*text") as caught:
        preparation_forms(tmp_path, model__replies="xml")
    assert "\n" not in str(caught.value)


async def test_text_runs_keep_the_identity_that_older_versions_gave_them(tmp_path: Path) -> None:
    async with scripted() as server:
        await execute(config_for(server, tmp_path / "run", model__replies="text"))
    identity = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))["identity"]
    assert set(identity["prompts"]) == {"instructions", "classification", "input_first", "output_first"}
    assert all("replies" not in identity[stage] for stage in STAGES)


async def test_a_run_of_an_older_version_goes_on_as_text_with_its_tokenizer_and_filters(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its manifest knows neither forms nor a second tokenizer nor the filter of repeated outputs."""
    caplog.set_level(logging.WARNING)
    folder = tmp_path / "run"
    old = {"model__replies": "text", "similarity__tokenizer": "unicode-1"}
    async with scripted() as server:
        await execute(config_for(server, folder, **old))
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        assert manifest["identity"]["similarity"]["tokenizer"] == "unicode-1"
        manifest["identity"]["similarity"]["tokenizer"] = "unicode"  # as older versions wrote it
        del manifest["identity"]["filters"]["max_repeated_output"]
        (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        result = await execute(config_for(server, folder, target=12))
    assert result.ended_by == "target"
    assert stored(folder)[1] <= {"instructions", "classification", "input_first", "output_first"}
    recorded = (folder / "config.yaml").read_text(encoding="utf-8")
    assert "replies: text" in recorded
    assert "tokenizer: unicode-1" in recorded
    assert "max_repeated_output: null" in recorded
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []
