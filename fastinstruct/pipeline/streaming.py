"""A run as an asynchronous iterator of examples."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping

from fastinstruct.config import RunConfig
from fastinstruct.pipeline.runner import Run
from fastinstruct.records import Example

__all__ = ["stream"]

_MAX_UNREAD = 256


async def stream(config: RunConfig, *, env: Mapping[str, str] | None = None) -> AsyncGenerator[Example, None]:
    """Run `config` and yield its examples: first those the run folder already holds, then new ones as they come.

    An example is yielded once it is durable. The run waits for whoever iterates; leaving the loop ends the run, which
    goes on when the same configuration is streamed again. It ends at the target, when a budget is used up, or when the
    model has run dry; the run's sittings tell which.

    Args:
        config: what to run; `config.out` names the folder (by default runs/<name of the seed file>).
        env: where keys and the cache folder are looked up; by default the environment of the process.

    Raises:
        FastInstructError: as `Run.execute`.
    """
    unread: asyncio.Queue[Example] = asyncio.Queue(maxsize=_MAX_UNREAD)
    run = asyncio.create_task(Run(config, env=env, on_example=unread.put).execute())
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
        await asyncio.gather(run, return_exceptions=True)
