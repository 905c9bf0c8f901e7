"""`fastinstruct scripted-server`: starts, answers, stops; one line for a wrong option."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import aiohttp
import pytest

from fastinstruct.cli.app import main as command_line
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


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--fault", "429=2"], "faults: 429: must be within 0..1, got 2.0"),
        (["--fault", "429"], "faults: '429' should be a name and a share, such as 500=0.02"),
        (["--log", "/nowhere/log"], "the server cannot start: No such file or directory; see --port and --log"),
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
