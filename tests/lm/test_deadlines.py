"""One timer for many blocks: each ends when its own time is up, and a cancellation stays one."""

from __future__ import annotations

import asyncio

import pytest

from fastinstruct.lm.transports.deadlines import Deadlines
from virtual_time import VirtualTimeLoop, in_virtual_time, now


async def sleep_within(deadlines: Deadlines, seconds: float) -> str:
    """Say when and how a block ended that sleeps so long."""
    try:
        with deadlines.begin():
            await asyncio.sleep(seconds)
    except TimeoutError:
        return f"too long at {now():g}"
    return f"done at {now():g}"


async def begun_at(moment: float, deadlines: Deadlines, seconds: float) -> str:
    await asyncio.sleep(moment)
    return await sleep_within(deadlines, seconds)


@in_virtual_time
async def test_a_block_ends_when_its_time_is_up() -> None:
    assert await sleep_within(Deadlines(10.0), 11.0) == "too long at 10"


@in_virtual_time
async def test_a_block_that_is_done_in_time_is_left_alone() -> None:
    deadlines = Deadlines(10.0)
    assert await sleep_within(deadlines, 9.0) == "done at 9"
    await asyncio.sleep(100.0)


@in_virtual_time
async def test_each_of_many_has_its_own_time() -> None:
    deadlines = Deadlines(10.0)
    blocks = [(0.0, 20.0), (1.0, 2.0), (4.0, 20.0), (4.0, 9.5), (30.0, 20.0)]
    ended = await asyncio.gather(*(begun_at(begin, deadlines, seconds) for begin, seconds in blocks))
    assert ended == ["too long at 10", "done at 3", "too long at 14", "done at 13.5", "too long at 40"]


@in_virtual_time
async def test_however_many_blocks_there_are_one_timer_waits_for_them() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    deadlines = Deadlines(10.0)
    blocks = [deadlines.begin() for _ in range(100)]
    for block in blocks:
        block.__enter__()
    assert loop.num_timers == 1
    for block in blocks:
        block.__exit__(None, None, None)
    deadlines.close()
    assert loop.num_timers == 0


@in_virtual_time
async def test_a_cancellation_from_outside_stays_one() -> None:
    task = asyncio.create_task(sleep_within(Deadlines(10.0), 20.0))
    await asyncio.sleep(5.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@in_virtual_time
async def test_a_cancellation_at_the_moment_of_the_deadline_is_not_swallowed() -> None:
    task = asyncio.create_task(sleep_within(Deadlines(10.0), 20.0))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_at(10.0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task


@in_virtual_time
async def test_an_error_of_the_block_itself_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError), Deadlines(10.0).begin():
        raise ZeroDivisionError


@in_virtual_time
async def test_a_task_whose_block_timed_out_is_not_cancelled_any_more() -> None:
    deadlines = Deadlines(1.0)
    assert await sleep_within(deadlines, 2.0) == "too long at 1"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert await sleep_within(deadlines, 2.0) == "too long at 2"
