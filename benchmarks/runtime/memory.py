"""What a request in flight holds of the memory, and whether a long run keeps what it should not (G8, G9).

Each arm in a process of its own, so that none inherits what another left to the allocator. Linux only: elsewhere the
goals are left out.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
from collections.abc import Iterator

from benchmarks.measuring import Goal, How, in_own_process, resident_bytes, rotated, run_loop
from benchmarks.runtime.arms import Client, Ours, RawAiohttp, SdkAiohttp, SdkDefault, missing
from benchmarks.runtime.cost import prompts_of_a_run
from benchmarks.runtime.scripted import serving

_ARMS: tuple[type[Ours | RawAiohttp | SdkDefault], ...] = (Ours, RawAiohttp, SdkAiohttp)
_PROMPT_BYTES = 4_096
_NO_PROC = "left out: this platform has no /proc/self/status"


def long_prompt(number: int) -> str:
    """A prompt of 4 kB, no two alike."""
    text = f"Task {number}: describe what may go wrong. "
    return (text * (_PROMPT_BYTES // len(text) + 1))[:_PROMPT_BYTES]


# ----------------------------------------------------------------------------------------------------- each in flight


def memory_in_flight(how: How) -> list[Goal]:
    """G8: how much more is resident for each request in flight, between 1,000 and 3,000 of them."""
    few, many = how.pick((1_000, 3_000), (50, 150))
    about = f"memory a request in flight, prompt of 4 kB, {few:,} to {many:,} of them"
    if resident_bytes() is None:
        return [Goal(name="G8", what=about, bar="at most 32 kB", measured=_NO_PROC, is_met=None)]
    usable = [arm for arm in _ARMS if not missing(arm)]
    found: dict[str, list[float]] = {arm.name: [] for arm in usable}
    with serving("--replies", "canned", "--latency", "600") as server:
        for number in range(how.rounds(3)):
            for arm in rotated(usable, number):
                grown = in_own_process(grown_bytes, arm, server.url, few, many)
                found[arm.name].append(grown / (many - few) / 1000)
                print(f"  {arm.name:<24}{found[arm.name][-1]:>7.1f} kB a request", flush=True)
    kilobytes = {name: statistics.median(each) for name, each in found.items()}
    others = [f"{arm.name} {kilobytes[arm.name]:.0f} kB" for arm in usable if arm is not Ours]
    others += [f"{arm.name} {missing(arm)}" for arm in _ARMS if arm not in usable]
    return [
        Goal(
            name="G8",
            what=about,
            bar="at most 32 kB",
            measured=f"{kilobytes[Ours.name]:.1f} kB; {', '.join(others)}",
            is_met=kilobytes[Ours.name] <= 32,
            details={"few": few, "many": many, "kilobytes": found},
        )
    ]


def grown_bytes(arm: type[Ours | RawAiohttp | SdkDefault], url: str, few: int, many: int) -> int:
    """How much more is resident with `many` requests in flight than with `few`."""
    return run_loop(_grown(arm(url, long_prompt), few, many))


async def _grown(client: Client, few: int, many: int) -> int:
    async with client:
        asking = [asyncio.create_task(client.ask_all(range(few), few))]
        before = await _settled()
        asking.append(asyncio.create_task(client.ask_all(range(few, many), many - few)))
        after = await _settled()
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    return after - before


async def _settled() -> int:
    """What is resident once nothing more is added."""
    known, sizes = resident_bytes() or 0, 0
    while sizes != known:
        sizes = known
        await asyncio.sleep(1.0)
        gc.collect()
        known = resident_bytes() or 0
    return known


# ----------------------------------------------------------------------------------------------------------- over time


def memory_over_time(how: How) -> list[Goal]:
    """G9: how much more is resident after 200,000 requests than after the first 20,000."""
    num_requests, in_flight = how.pick(200_000, 1_000), how.pick(256, 16)
    step = num_requests // 10
    about = f"memory that {num_requests:,} requests add after the first {step:,}"
    if resident_bytes() is None:
        return [Goal(name="G9", what=about, bar="under 5 MB", measured=_NO_PROC, is_met=None)]
    with serving("--replies", "canned") as server:
        sizes = in_own_process(sizes_over_time, server.url, num_requests, in_flight, step)
    grown_mb = (sizes[-1] - sizes[0]) / 1e6
    most_mb = (max(sizes) - sizes[0]) / 1e6
    return [
        Goal(
            name="G9",
            what=about,
            bar="under 5 MB",
            measured=f"{grown_mb:.1f} MB (at most {most_mb:.1f} MB meanwhile)",
            is_met=most_mb < 5,
            details={"num_requests": num_requests, "in_flight": in_flight, "resident_bytes": sizes},
        )
    ]


def sizes_over_time(url: str, num_requests: int, in_flight: int, step: int) -> list[int]:
    """What is resident each time `step` more requests have been drawn, and at the end."""
    prompts = prompts_of_a_run()
    sizes = list[int]()

    def numbers() -> Iterator[int]:
        for number in range(num_requests):
            if number and number % step == 0:
                sizes.append(resident_bytes() or 0)
            yield number

    run_loop(_asked(Ours(url, prompts), numbers(), in_flight))
    sizes.append(resident_bytes() or 0)
    return sizes


async def _asked(client: Client, numbers: Iterator[int], in_flight: int) -> None:
    async with client:
        await client.ask_all(numbers, in_flight)
