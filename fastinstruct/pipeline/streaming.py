"""A run as an asynchronous iterator of examples."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

from fastinstruct.config import RunConfig
from fastinstruct.pipeline.run import Run, RunResult
from fastinstruct.records import Example

__all__ = ["stream"]

_MAX_UNREAD = 256
# A generator that a loop was left by is closed by asyncio a turn of the event loop later, in a task that begins another
# turn later; only then it is known that its run is ending.
_TURNS = 3
_ENDING: dict[Path, asyncio.Task[RunResult]] = {}


async def stream(config: RunConfig, *, env: Mapping[str, str] | None = None) -> AsyncGenerator[Example, None]:
    """Run `config` and yield its examples: first those the run folder already holds, then new ones as they come.

    An example is yielded once it is durable. The run waits for whoever iterates; leaving the loop ends the run, which
    goes on when the same configuration is streamed again, at once too: the new sitting waits for the old one's end. It
    ends at the target, when a budget is used up, or when the model has run dry; the run's sittings tell which.

    Args:
        config: what to run; `config.out` names the folder (by default runs/<name of the seed file>).
        env: where keys and the cache folder are looked up; by default the environment of the process.

    Raises:
        FastInstructError: as `Run.execute`.
    """
    unread: asyncio.Queue[Example] = asyncio.Queue(maxsize=_MAX_UNREAD)
    sitting = Run(config, env=env, on_example=unread.put)
    folder = _one_name(sitting.folder)
    await _ended_before(folder)
    run = asyncio.create_task(sitting.execute())
    try:
        while not run.done():
            getting = asyncio.ensure_future(unread.get())
            try:
                await asyncio.wait({getting, run}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not getting.done():
                    getting.cancel()
            if getting.done():
                yield getting.result()
        while not unread.empty():
            yield unread.get_nowait()
        await run
    finally:
        run.cancel()
        await _ended(run, folder)


def _one_name(folder: Path) -> Path:
    return Path(os.path.realpath(folder))


async def _ended_before(folder: Path) -> None:
    """Wait for the end of a run in this folder whose loop has been left."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    ending = _ENDING.get(folder)
    if ending is not None and ending.get_loop() is asyncio.get_running_loop():
        await asyncio.wait({ending})


async def _ended(run: asyncio.Task[RunResult], folder: Path) -> None:
    if not run.done():
        _ENDING[folder] = run
    try:
        await asyncio.gather(run, return_exceptions=True)
    finally:
        if _ENDING.get(folder) is run:
            del _ENDING[folder]
