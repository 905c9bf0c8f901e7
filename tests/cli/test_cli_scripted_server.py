"""`fastinstruct scripted-server`: starts, answers, stops; one line for a wrong option."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import json
import os
import re
import socket
import sys
from pathlib import Path

import aiohttp
import pytest

import fastinstruct.cli.scripted_server as verb
from fastinstruct.cli.app import main as command_line
from fastinstruct.scripted_server import (
    Episode,
    Fault,
    JsonReplies,
    Latency,
    Metrics,
    Outage,
    Overflow,
    Replies,
    RetryHint,
    Script,
    ScriptedServer,
    UntilReady,
)
from fastinstruct.scripted_server.replies import ReplyRates, reply_to
from fastinstruct.scripted_server.shapes import Ask
from scripted_http import (
    INSTRUCTIONS,
)


async def test_the_verb_starts_answers_and_stops_on_sigterm(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    port_file, log_file = tmp_path / "port", tmp_path / "log.jsonl"
    options = f"--port 0 --port-file {port_file} --log {log_file} --seed 3 --latency 0.001 --latency-sigma 0.5"
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fastinstruct", "scripted-server", *options.split(), "--api-key", "k"),
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    url = (await child.stdout.readline()).decode().removeprefix("listening on ").strip()
    assert url == f"http://127.0.0.1:{port_file.read_text()}/v1"
    request = {"model": "scripted", "prompt": INSTRUCTIONS}
    async with http.post(f"{url}/completions", json=request, headers={"Authorization": "Bearer k"}) as response:
        body = await response.json()
    asked = Ask(chat=False, model="scripted", prompt=INSTRUCTIONS)
    assert body["choices"][0]["text"] == reply_to(asked, seed=3, rates=ReplyRates()).text
    assert json.loads(log_file.read_bytes())["reply_id"] == body["id"]
    child.terminate()
    assert await child.communicate() == (b"", b"")
    assert child.returncode == 0


EVERYTHING = """
    --port 0 --seed 5 --model m --new-model other@500 --api-key k --replies quick --style bold
    --json-replies refused --duplicate-rate 0.1 --junk-rate 0.2 --length-rate 0.3
    --latency 1 --latency-width 2 --latency-sigma 0.5 --latency-per-token 0.01 --slots 8 --max-queue 9
    --metrics sglang --tokens-per-minute 600 --rate-schedule 0:100,60:200 --burst 0.5 --retry-after 7 --retry-hint date
    --max-model-len 4096 --overflow vllm --refuse-parameter stop --refuse-parameter seed --fault 500=0.02
    --fault hang=0.1 --max-faults-per-prompt 3 --episode 429=0.01x20 --outage 500-:401 --outage 10-20:503
    --drip-every 0.5 --num-drips 4 --idle-close 5 --ready-after 6 --until-ready refused
"""


def test_every_option_reaches_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[ScriptedServer] = []
    monkeypatch.setattr(verb, "_serve_until_stopped", lambda server, _: started.append(server))
    monkeypatch.setattr(sys, "argv", ["fastinstruct", "scripted-server", *EVERYTHING.split()])
    with pytest.raises(SystemExit) as exit_:
        command_line()
    assert exit_.value.code == 0
    assert started[0].script == Script(
        seed=5,
        model="m",
        new_model="other",
        new_model_after=500,
        api_key="k",
        replies=Replies.QUICK,
        style="bold",
        json_replies=JsonReplies.REFUSED,
        duplicate_rate=0.1,
        junk_rate=0.2,
        length_rate=0.3,
        latency=Latency(1.0, 2.0, 0.5, 0.01),
        slots=8,
        max_queue=9,
        metrics=Metrics.SGLANG,
        tokens_per_minute=600.0,
        rate_schedule=((0.0, 100.0), (60.0, 200.0)),
        burst_s=0.5,
        retry_after_s=7.0,
        retry_hint=RetryHint.DATE,
        max_model_len=4096,
        overflow=Overflow.VLLM,
        refused_parameters=("stop", "seed"),
        faults={"500": 0.02, "hang": 0.1},
        max_faults_per_prompt=3,
        episodes=(Episode("429", 0.01, 20),),
        outages=(Outage("401", 500), Outage("503", 10, 20)),
        drip_every_s=0.5,
        num_drips=4,
        idle_close_s=5.0,
        ready_after_s=6.0,
        until_ready=UntilReady.REFUSED,
    )


def test_without_options_the_script_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[ScriptedServer] = []
    monkeypatch.setattr(verb, "_serve_until_stopped", lambda server, _: started.append(server))
    monkeypatch.setattr(sys, "argv", ["fastinstruct", "scripted-server"])
    with pytest.raises(SystemExit):
        command_line()
    assert started[0].script == Script()


def test_every_field_of_a_script_has_an_option() -> None:
    named = {name.removesuffix("_s") for name in inspect.signature(verb.scripted_server).parameters}
    plural = {"faults": "fault", "episodes": "episode", "outages": "outage", "refused_parameters": "refuse_parameter"}
    for field in dataclasses.fields(Script):
        assert plural.get(field.name, field.name.removesuffix("_s")) in named | {"new_model_after"}


def test_the_help_names_every_fault_and_every_choice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fastinstruct", "scripted-server", "--help"])
    with pytest.raises(SystemExit):
        command_line()
    shown = capsys.readouterr().out
    words = set(re.split(r"[\s,.:;()]+", shown))
    for choices in (Fault, JsonReplies, Metrics, Overflow, Replies, RetryHint, UntilReady):
        assert set(map(str, choices)) - words == set()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--fault", "429=2"], "faults: 429: must be within 0..1, got 2.0"),
        (["--fault", "429"], "faults: '429' should be a name and a share, such as 500=0.02"),
        (["--retry-hint", "soon"], "retry_hint: there is no 'soon'; there are seconds, date, ms, reset, words, none"),
        (["--outage", "9"], "outages: '9' should be first-last:name, such as 500-520:503 or 500-:401"),
        (["--new-model", "m"], "new_model: 'm' should be a name and a number of replies, such as other@500"),
        (["--log", "/nowhere/log"], "/nowhere/log: No such file or directory; give another --port or --log"),
    ],
)
def test_the_verb_refuses_a_wrong_option_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["fastinstruct", "scripted-server", "--port", "0", *arguments])
    with pytest.raises(SystemExit) as exit_:
        command_line()
    assert exit_.value.code == 2
    assert capsys.readouterr().err == f"fastinstruct: {line}\n"


def test_a_port_that_is_taken_is_named_and_one_out_of_range_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for given, line in (
            (port, f"fastinstruct: port {port}: Address already in use; give another --port or --log"),
            (99999, "Invalid value for '--port'"),
        ):
            monkeypatch.setattr(sys, "argv", ["fastinstruct", "scripted-server", "--port", str(given)])
            with pytest.raises(SystemExit) as exit_:
                command_line()
            assert exit_.value.code == 2
            assert line in capsys.readouterr().err
