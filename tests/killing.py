"""A run in a process of its own, killed again and again, and what that leaves."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import sys
from pathlib import Path
from typing import Any

from fastinstruct.scripted_server import ScriptedServer
from places import REPOSITORY

DRIVER = """
import asyncio, json, os, sys
from pathlib import Path
from fastinstruct.config import load_config
from fastinstruct import stream

url, folder, target, in_flight, flags = sys.argv[1:]
config = load_config(flags={
    "model.base_url": url, "model.name": "scripted", "model.api": "completions", "classification.method": "text",
    "out": folder, "target": int(target), "runtime.max_in_flight": int(in_flight), **json.loads(flags),
})

async def main():
    acknowledged = os.open(folder + ".acknowledged", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    async for example in stream(config, env={}):
        os.write(acknowledged, (example.id + "\\n").encode())

asyncio.run(main())
"""


class Sitting:
    """One start of the run in a process of its own."""

    def __init__(
        self, server: ScriptedServer, folder: Path, target: int, in_flight: int, flags: dict[str, Any]
    ) -> None:
        self._arguments = [server.base_url, str(folder), str(target), str(in_flight), json.dumps(flags)]
        self._server = server

    async def __aenter__(self) -> asyncio.subprocess.Process:
        path = ":".join(map(str, (REPOSITORY, REPOSITORY / "kernels")))
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", DRIVER, *self._arguments, env={"PYTHONPATH": path, "HOME": str(Path.home())}
        )
        return self._process

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


async def run_and_kill(
    server: ScriptedServer,
    folder: Path,
    *,
    target: int,
    in_flight: int,
    num_kills: int,
    most: int,
    rng: random.Random,
    flags: dict[str, Any] | None = None,
) -> list[list[tuple[Any, ...]]]:
    """Kill the run `num_kills` times, each after 1 to `most` answers, then let it end; return what each kill left."""
    left: list[list[tuple[Any, ...]]] = []
    for _ in range(num_kills):
        enough = len(server.log) + rng.randint(1, most)
        async with Sitting(server, folder, target, in_flight, flags or {}) as process:
            while len(server.log) < enough and process.returncode is None:  # noqa: ASYNC110 - a log sets no event
                await asyncio.sleep(rng.uniform(0, 0.004))  # not a wait for something: a random moment
            if process.returncode is None:
                process.kill()
        left.append(rows(folder, "SELECT id, stage, number, text FROM request ORDER BY id"))
    async with Sitting(server, folder, target, in_flight, flags or {}) as process:
        assert await process.wait() == 0
    return left


def rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    if not (folder / "run.db").exists():
        return []
    connection = sqlite3.connect(folder / "run.db")
    try:
        return connection.execute(sql).fetchall()
    except sqlite3.OperationalError as error:
        is_empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        if is_empty or str(error) == "no such table: draw":  # killed before the tables, or the first draws, were made
            return []
        raise
    finally:
        connection.close()


def everything(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return the data of a run, without times."""
    request = "id, stage, number, template, in_context, outcome, text, finish_reason, prompt_tokens, completion_tokens"
    return {
        "request": rows(folder, f"SELECT {request} FROM request ORDER BY id"),
        "candidate": rows(folder, "SELECT * FROM candidate ORDER BY id"),
        "instruction": rows(folder, "SELECT * FROM instruction ORDER BY id"),
        "annotation": rows(folder, "SELECT * FROM annotation ORDER BY id"),
        "instance": rows(folder, "SELECT * FROM instance ORDER BY id"),
    }
