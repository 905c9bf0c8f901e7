"""The tests' own instruments: what blocks a loop is noticed, and virtual time jumps."""

from __future__ import annotations

import asyncio
import gc
import time

import pytest

from loop_watch import LoopWatch
from virtual_time import VirtualTimeLoop, in_virtual_time, now


def work_for(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def work_in_a_coroutine() -> None:
    work_for(0.02)


def test_a_coroutine_that_computes_too_long_is_named() -> None:
    with LoopWatch(limit_s=0.01) as watch:
        asyncio.run(work_in_a_coroutine())
    assert [name.partition(" ")[0] for name in watch.slow] == ["work_in_a_coroutine"]


def test_a_callback_that_computes_too_long_is_named() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(work_for, 0.02)

    with LoopWatch(limit_s=0.01) as watch:
        asyncio.run(main())
    assert [name.partition(" ")[0] for name in watch.slow] == ["work_for"]


def test_waiting_and_work_in_threads_do_not_count() -> None:
    async def main() -> None:
        await asyncio.to_thread(work_for, 0.02)
        time.sleep(0.02)  # noqa: ASYNC251 - the machine stalls

    with LoopWatch(limit_s=0.01) as watch:
        asyncio.run(main())
    assert watch.slow == []


def test_garbage_collection_does_not_count() -> None:
    rubbish = [[n] for n in range(400_000)]

    async def collect() -> None:
        gc.collect()

    with LoopWatch(limit_s=0.004) as watch:
        started = time.thread_time()
        asyncio.run(collect())
        assert time.thread_time() - started > 0.004
    assert watch.slow == []
    assert len(rubbish) == 400_000


def test_the_watch_leaves_asyncio_as_it_was() -> None:
    before = asyncio.Handle._run
    with LoopWatch():
        assert asyncio.Handle._run is not before
    assert asyncio.Handle._run is before


@in_virtual_time
async def test_an_hour_passes_at_once() -> None:
    started = time.perf_counter()
    await asyncio.sleep(3600)
    assert now() == 3600
    assert time.perf_counter() - started < 5


@in_virtual_time
async def test_timers_fire_in_order_at_their_times() -> None:
    seen: list[float] = []
    loop = asyncio.get_running_loop()
    for delay_s in (5.5, 0.25, 2.0):
        loop.call_later(delay_s, lambda: seen.append(now()))
    assert isinstance(loop, VirtualTimeLoop)
    assert loop.num_timers == 3
    await asyncio.sleep(10)
    assert seen == [0.25, 2.0, 5.5]


def test_a_hang_raises() -> None:
    @in_virtual_time
    async def hang() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="would hang"):
        hang()
