"""What all tests share: repeatable generators, and a failure for whatever blocks an event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from loop_watch import LIMIT_S, LoopWatch

if TYPE_CHECKING:
    import aiohttp

settings.register_profile("fastinstruct", deadline=None, derandomize=True, database=None)
settings.load_profile("fastinstruct")


@pytest.fixture(autouse=True)
def nothing_blocks_the_event_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test during which one callback kept an event loop from everything else.

    `@pytest.mark.may_block("reason")` turns it off.
    """
    with LoopWatch() as watch:
        yield
    if watch.slow and request.node.get_closest_marker("may_block") is None:
        pytest.fail(f"blocked the event loop for more than {LIMIT_S} s: {'; '.join(watch.slow)}", pytrace=False)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """Yield an HTTP client of its own, which keeps its connections alive."""
    import aiohttp

    async with aiohttp.ClientSession() as session:
        yield session
