"""Commands in processes of their own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fastinstruct.scripted_server import ScriptedServer
from places import REPOSITORY

PATHS = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "kernels")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int | None
    out: str
    err: str


async def start(folder: Path, *arguments: str, **env: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "fastinstruct",
        *arguments,
        cwd=folder,
        env={"PYTHONPATH": PATHS, "HOME": str(Path.home()), "PATH": os.defpath, **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def finish(process: asyncio.subprocess.Process) -> Ended:
    out, err = await process.communicate()
    return Ended(code=process.returncode, out=out.decode(), err=err.decode())


async def command(folder: Path, *arguments: str, **env: str) -> Ended:
    return await finish(await start(folder, *arguments, **env))


def endpoint(server: ScriptedServer) -> tuple[str, ...]:
    return ("--base-url", server.base_url, "--model", "scripted", "--set", "model.replies=text")


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - a server's log sets no event
        await asyncio.sleep(0.005)
