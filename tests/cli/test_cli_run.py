"""The command itself, as a process of its own: exit codes, signals, what goes to which stream."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import sys
from pathlib import Path

import pytest

from commands import PATHS, command, endpoint, finish, start, until
from fastinstruct.errors import RunFolderError
from fastinstruct.scripted_server import Latency, Script, ScriptedServer
from fastinstruct.store import MetaKey, RunReader


def meta_of(folder: Path, key: MetaKey) -> str | None:
    """What a run's store holds under a key; None while there is no such run yet."""
    try:
        with RunReader(folder) as reader:
            return reader.meta(key)
    except RunFolderError:
        return None


async def test_a_run_prints_examples_on_stdout_and_everything_else_on_stderr(tmp_path: Path) -> None:
    async with ScriptedServer(Script()) as server:
        ended = await command(tmp_path, "run", *endpoint(server), "--target", "10", "--show", "2")
    assert ended.code == 0
    assert ended.out.count("instruction:") == 2
    assert ended.out.count("output:") == 2
    assert "The target is reached." in ended.err
    assert "export runs/seed_tasks" in ended.err
    assert f"scripted at {server.base_url} (chat) -> runs/seed_tasks" in ended.err


async def test_json_prints_one_object_that_agrees_with_the_store(tmp_path: Path) -> None:
    async with ScriptedServer(Script()) as server:
        ended = await command(tmp_path, "run", *endpoint(server), "-n", "10", "-o", "here", "--json")
    summary = json.loads(ended.out)
    with RunReader(tmp_path / "here") as reader:
        totals = reader.totals()
    assert summary["run"] == "here"
    assert summary["ended_by"] == "target"
    assert (summary["num_admitted"], summary["num_examples"]) == (totals.num_admitted, totals.num_examples)


async def test_status_shows_how_a_going_run_works_its_endpoints_and_the_summary_how_it_did(tmp_path: Path) -> None:
    async with ScriptedServer(Script(latency=Latency(0.05))) as first, ScriptedServer(Script()) as second:
        more = f"model.endpoints=[{{base_url: {second.base_url}}}]"
        limits = ("--target", "5000", "--max-in-flight", "8")
        process = await start(tmp_path, "run", *endpoint(first), "--set", more, *limits, "-o", "here")
        await until(lambda: meta_of(tmp_path / "here", MetaKey.TELEMETRY) is not None)
        going = await command(tmp_path, "status", "here")
        told = json.loads((await command(tmp_path, "status", "here", "--json")).out)["telemetry"]
        process.send_signal(signal.SIGINT)
        ended = await finish(process)
        done = json.loads((await command(tmp_path, "status", "here", "--json")).out)["telemetry"]
    assert "a process is writing to it" in going.out
    assert "latest sitting, as of 20" in going.out
    assert f"  {first.base_url}" in going.out
    assert [channel["address"] for channel in told["channels"]] == [first.base_url, second.base_url]
    assert told["num_slots"] == 8
    assert "Effort: slots " in ended.err
    assert f"  {second.base_url}  0/8 in flight, " in ended.err
    assert done["num_in_flight"] == 0
    assert done["at"] >= told["at"]


async def test_too_few_descriptors_mean_fewer_requests_at_once_and_one_warning(tmp_path: Path) -> None:
    async with ScriptedServer(Script(latency=Latency(0.02))) as server:
        call = shlex.join([sys.executable, "-m", "fastinstruct", "run", *endpoint(server), "-n", "30", "--json"])
        process = await asyncio.create_subprocess_exec(
            *("sh", "-c", f"ulimit -n 96; exec {call} --max-in-flight 300"),
            cwd=tmp_path,
            env={"PYTHONPATH": PATHS, "HOME": str(Path.home()), "PATH": os.defpath},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        ended = await finish(process)
    assert ended.code == 0
    told = "96 file descriptors are allowed: 48 requests in flight instead of 300; `ulimit -n 364` allows them all"
    assert [line for line in ended.err.splitlines() if line.startswith("warning")] == [f"warning: {told}"]
    assert json.loads(ended.out)["telemetry"]["num_slots"] == 48


@pytest.mark.parametrize(
    ("number", "code", "ending"), [(signal.SIGINT, 130, "Interrupted"), (signal.SIGTERM, 143, "Terminated")]
)
async def test_the_first_signal_drains_and_the_same_command_goes_on(
    tmp_path: Path, number: signal.Signals, code: int, ending: str
) -> None:
    async with ScriptedServer(Script(latency=Latency(0.05))) as server:
        arguments = ("run", *endpoint(server), "--target", "150", "--max-in-flight", "8")
        process = await start(tmp_path, *arguments)
        await until(lambda: len(server.log) > 30)
        process.send_signal(number)
        ended = await finish(process)
        assert ended.code == code
        assert f"{ending}; the same command goes on." in ended.err
        assert server.num_in_flight == 0
        answered = sum(entry.reply_id is not None for entry in server.log)
        with RunReader(tmp_path / "runs" / "seed_tasks") as reader:
            assert (
                sum(count for outcomes in reader.totals().requests.values() for count in outcomes.values()) == answered
            )
        assert (await command(tmp_path, *arguments)).code == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_the_second_signal_aborts(tmp_path: Path, number: signal.Signals, code: int) -> None:
    async with ScriptedServer(Script(latency=Latency(30.0))) as server:
        process = await start(tmp_path, "run", *endpoint(server), "--max-in-flight", "8")
        await until(lambda: server.num_in_flight == 8)
        process.send_signal(number)
        assert process.stderr is not None
        while b"once more to abort" not in (line := await process.stderr.readline()):
            assert line
        process.send_signal(number)
        ended = await finish(process)
    assert ended.code == code
    assert "the same command" in ended.err
    assert "Traceback" not in ended.err


async def test_dry_run_prints_a_filled_prompt_for_each_stage_and_sends_nothing(tmp_path: Path) -> None:
    async with ScriptedServer(Script()) as server:
        ended = await command(tmp_path, "run", *endpoint(server), "--dry-run")
        assert list(server.log) == []
    assert ended.code == 0
    assert [line.split()[1] for line in ended.out.splitlines() if line.startswith("=====")] == ["1", "2", "3", "3"]
    assert re.search(r"\{[a-z_]+\}", ended.out) is None
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - one look at an empty folder


async def test_evaluation_files_are_kept_away_from_and_inspect_shows_file_line_and_text(tmp_path: Path) -> None:
    async with ScriptedServer(Script()) as server:
        run = ("run", *endpoint(server), "-n", "5", "--max-in-flight", "1", "--show", "0")
        await command(tmp_path, *run, "-o", "without")
        with RunReader(tmp_path / "without") as reader:
            texts = [text for (text,) in reader.rows("SELECT text FROM instruction ORDER BY id")]
        first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
        first.write_text('{"question": "Never asked for by anybody."}\n' + json.dumps({"question": texts[1]}))
        second.write_text(json.dumps({"question": texts[0]}))
        files = ("--against", "first.jsonl", "--against", "second.jsonl", "--against-field", "question")
        ended = await command(tmp_path, *run, *files, "-o", "run", "--json")
    assert "evaluation texts to keep away from: 3" in ended.err.splitlines()
    assert json.loads(ended.out)["rejected"]["contaminated"] == 2
    found = (await command(tmp_path, "inspect", "run", "--rejected", "--json")).out.splitlines()
    reject = {"kind": "instruction", "reason": "contaminated", "score": 1.0}
    assert [json.loads(line) for line in found[:2]] == [
        {**reject, "id": "c1", "instruction": texts[0], "nearest_id": f"{second}:1", "nearest": texts[0]},
        {**reject, "id": "c2", "instruction": texts[1], "nearest_id": f"{first}:2", "nearest": texts[1]},
    ]
    shown = (await command(tmp_path, "inspect", "run", "--reason", "contaminated")).out
    assert f"ROUGE-L:        1.000 to {first}:2: {texts[1]}" in shown.splitlines()
    shown = (await command(tmp_path, "inspect", "run", "--id", "c2")).out
    assert f"ROUGE-L:        1.0 to {first}:2: {texts[1]}" in shown.splitlines()
    stands = (await command(tmp_path, "status", "run")).out.splitlines()
    assert {f"against:        3 texts of {first}, {second}", "          2  contaminated"} <= set(stands)
    (status,) = (await command(tmp_path, "status", "run", "--json")).out.splitlines()
    assert json.loads(status)["against"] == [
        {"file": str(first), "num_texts": 2},
        {"file": str(second), "num_texts": 1},
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--seeds", "none.jsonl"), "none.jsonl: "),
        (("--against", "none.jsonl"), "none.jsonl: there is no such file; check the path"),
        (("--against", "-"), "similarity.against.0.path: must be a file: stdin cannot be read again"),
        (("--against-field", "question"), "--against-field names the text in --against files; give both"),
        (("--set", "similarity.treshold=0.5"), "unknown key similarity.treshold (did you mean similarity.threshold?)"),
        (("--threshold", "1.5"), "similarity.threshold: input should be less than or equal to 1, got 1.5"),
        (("--config", "none.yaml"), "none.yaml: no such file"),
        (("--gguf", "none.gguf"), "none.gguf: cannot be read"),
        (("--model", "gpt"), "--base-url"),
        (("--out", "file/run", "--base-url", "http://127.0.0.1:9/v1", "--model", "m"), "file/run: cannot be written"),
    ],
)
async def test_bad_input_gets_one_line_and_a_non_zero_exit(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "file").touch()
    ended = await command(tmp_path, "run", *arguments)
    assert ended.code in {1, 2}
    assert ended.out == ""
    assert len(ended.err.splitlines()) == 1
    assert message in ended.err


async def test_the_environment_fills_in_what_neither_flags_nor_file_say(tmp_path: Path) -> None:
    async with ScriptedServer(Script(api_key="sk-environment")) as server:
        env = {"OPENAI_API_KEY": "sk-environment", "OPENAI_BASE_URL": server.base_url, "FASTINSTRUCT_TARGET": "5"}
        ended = await command(tmp_path, "run", "--model", "scripted", "--json", **env)
    assert json.loads(ended.out)["target"] == 5
    assert "sk-environment" not in ended.out + ended.err


async def test_no_traceback_and_exit_code_1_when_the_endpoint_is_wrong(tmp_path: Path) -> None:
    async with ScriptedServer(Script()) as server:
        ended = await command(tmp_path, "run", "--base-url", server.base_url, "--model", "scriptde")
    assert ended.code == 1
    assert "scriptde" in ended.err
    assert "Traceback" not in ended.err
