"""Watching a sitting's process, in virtual time: what holds it back, what lifts that, and what a snapshot says."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from fastinstruct.lm import Endpoint, Outcome, RetryPolicy
from fastinstruct.lm.limits.breaker import CircuitBreaker
from fastinstruct.lm.limits.concurrency import Aimd, Controller, Fixed
from fastinstruct.lm.outcomes.outcomes import RateLimited
from fastinstruct.lm.scheduling.channel import Channel
from fastinstruct.lm.scheduling.fleet import Fleet
from fastinstruct.lm.scheduling.job import Delivery
from fastinstruct.lm.scheduling.scheduler import Scheduler
from fastinstruct.pipeline.budget.stop_rules import Stop
from fastinstruct.pipeline.monitoring.telemetry import Telemetry, figures, loaded
from fastinstruct.pipeline.monitoring.watchdog import Watchdog
from fastinstruct.records import Usage
from played import OK, SERVER_ERROR, Inbox, Jobs, Longest, Sender, Server, Step, ok
from virtual_time import VirtualTimeLoop, in_virtual_time, now

MIB = 2**20


@dataclass
class Sitting:
    """A scheduler over played servers that is watched; `memory` may be changed while it runs."""

    servers: Sequence[Server | Sender] = field(default_factory=lambda: [Server()])
    controller: Callable[[], Controller] = lambda: Fixed(1000)
    max_in_flight: int = 4
    has_breaker: bool = False
    max_memory_mib: float | None = None
    memory: int | None = 100 * MIB
    records: list[dict[str, Any]] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    inbox: Inbox = field(default_factory=Inbox)

    def __post_init__(self) -> None:
        self.fleet = Fleet.of(*map(self._channel, self.servers))
        self.scheduler: Scheduler[str] = Scheduler(
            self.fleet, max_in_flight=self.max_in_flight, policy=RetryPolicy(), rng=Longest()
        )
        self.watchdog = Watchdog(
            self.fleet,
            record=lambda text: self.records.append(dict(loaded(text) or {})),
            end=self._end,
            max_memory_mib=self.max_memory_mib,
            memory=lambda: self.memory,
        )

    def _channel(self, server: Server | Sender) -> Channel:
        breaker = CircuitBreaker(Longest()) if self.has_breaker else None
        return Channel(server, controller=self.controller(), breaker=breaker)

    def _end(self, stop: Stop) -> None:
        self.stops.append(stop)
        self.scheduler.stop()

    async def run(self, num_jobs: int, deliver: Callable[[Delivery[str]], Any] | None = None) -> Telemetry:
        with self.watchdog:
            self.watchdog.watch(self.scheduler)
            await self.scheduler.run(Jobs(deque(map(str, range(num_jobs)))), deliver or self.inbox.deliver)
        assert self.watchdog.latest is not None
        return self.watchdog.latest

    def limit(self) -> float:
        return self.fleet.channels[0].controller.statistics(now()).limit

    def seen(self, at_s: float, look: Callable[[], object]) -> list[object]:
        """What a look finds so many seconds after now."""
        found: list[object] = []
        asyncio.get_running_loop().call_later(at_s, lambda: found.append(look()))
        return found


def block_every(interval_s: float, seconds: float, until_s: float) -> None:
    """Let the loop stand still again and again, as a client does that has too much to do."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    if now() < until_s:
        loop.stand_still(seconds)
        loop.call_later(interval_s, block_every, interval_s, seconds, until_s)


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def growing() -> Controller:
    return Aimd(maximum=64, initial=1)


async def answered(_: object) -> Outcome:
    await asyncio.sleep(1)
    return OK


# ------------------------------------------------------------------------------------------------------ what holds back


@in_virtual_time
async def test_a_late_loop_keeps_limits_from_growing_warns_once_and_is_forgiven(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sitting = Sitting(servers=[Sender(answered)], controller=growing, max_in_flight=64)
    block_every(0.1, 0.5, until_s=20.0)
    early, late, after, reasons = (
        sitting.seen(10, sitting.limit),
        sitting.seen(25, sitting.limit),
        sitting.seen(120, sitting.limit),
        sitting.seen(15, lambda: sitting.watchdog.latest and sitting.watchdog.latest.held_back),
    )
    loop = asyncio.get_running_loop()
    loop.call_later(125, sitting.scheduler.abort)
    told = await sitting.run(20_000)
    assert early == late
    assert reasons == ["client-bound: limits don't grow"]
    assert after == [64]
    assert isinstance(early[0], float)
    assert early[0] < 16
    assert told.held_back == ""
    (warning,) = warnings_of(caplog)
    assert warning.startswith("client-bound: this process comes more than 250 ms late to its answers")
    assert "--max-in-flight" in warning
    assert "several processes" in warning


@in_virtual_time
async def test_without_lag_limits_grow_and_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    sitting = Sitting(controller=growing, max_in_flight=64)
    told = await sitting.run(2000)
    assert sitting.fleet.channels[0].controller.statistics(now()).limit > 60
    assert told.held_back == ""
    assert told.loop_lag_p99_ms == pytest.approx(0.0)
    assert warnings_of(caplog) == []


@in_virtual_time
async def test_a_slow_consumer_stops_dispatch_at_the_slots_and_growth_with_it() -> None:
    """Row 24: an answer keeps its slot until it is stored, so what waits is never more than the slots."""
    server = Server(usual=(0.1, OK))
    sitting = Sitting([server], controller=growing, max_in_flight=16)
    most_waiting = 0
    stored_by = asyncio.Lock()

    async def deliver(delivery: Delivery[str]) -> None:
        nonlocal most_waiting
        statistics = sitting.scheduler.statistics()
        most_waiting = max(most_waiting, statistics.num_in_flight - sitting.fleet.num_in_flight)
        async with stored_by:
            await asyncio.sleep(1.0)
        await sitting.inbox.deliver(delivery)

    held = sitting.seen(5.5, lambda: sitting.watchdog.latest and sitting.watchdog.latest.held_back)
    frozen, later = sitting.seen(5.5, sitting.limit), sitting.seen(50.5, sitting.limit)
    delivering = sitting.seen(30.5, lambda: sitting.watchdog.latest and sitting.watchdog.latest.num_delivering)
    await sitting.run(100, deliver)
    assert len(sitting.inbox.names) == 100
    assert most_waiting <= 16
    assert server.most_in_flight <= 16
    assert held == ["answers wait for the store: limits don't grow"]
    assert frozen == later
    assert delivering == [16]


@in_virtual_time
async def test_over_the_memory_limit_nothing_is_sent_until_it_is_less(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    sitting = Sitting([server], max_memory_mib=500)
    loop = asyncio.get_running_loop()

    def use(num_mib: int) -> None:
        sitting.memory = num_mib * MIB

    loop.call_later(3.5, use, 501)
    loop.call_later(8.5, use, 499)
    held = sitting.seen(6.5, lambda: sitting.watchdog.latest and sitting.watchdog.latest.held_back)
    await sitting.run(40)
    times = [time for time, _ in server.sent]
    assert len(sitting.inbox.names) == 40  # what was in flight was finished, and the rest sent later
    assert sorted({round(time, 6) for time in times}) == [0, 1, 2, 3, 9, 10, 11, 12, 13, 14]
    assert held == ["over the memory limit: nothing is sent"]
    (warning,) = warnings_of(caplog)
    assert warning == (
        "501 MiB of memory are used, more than runtime.max_memory_mib=500: nothing is sent until it is less"
    )
    assert sitting.stops == []


@in_virtual_time
async def test_with_too_much_memory_from_the_start_not_even_the_first_request_is_sent() -> None:
    server = Server()
    sitting = Sitting([server], max_memory_mib=500, memory=501 * MIB)
    await sitting.run(40)
    assert server.sent == []
    assert [stop.rule for stop in sitting.stops] == ["max_memory"]


@in_virtual_time
async def test_memory_that_stays_over_its_limit_with_nothing_in_flight_ends_the_sitting() -> None:
    sitting = Sitting(max_memory_mib=50, memory=40 * MIB, servers=[Server(usual=(5.0, OK))])
    asyncio.get_running_loop().call_later(0.5, setattr, sitting, "memory", 100 * MIB)
    await sitting.run(40)
    assert sitting.stops == [Stop(rule="max_memory", used=100, limit=50)]
    assert len(sitting.inbox.names) == 4
    assert now() == pytest.approx(15)  # nothing is in flight from the fifth second on


@in_virtual_time
async def test_a_system_that_tells_no_memory_sets_no_limit() -> None:
    sitting = Sitting(max_memory_mib=0.5, memory=None)
    told = await sitting.run(40)
    assert (len(sitting.inbox.names), told.memory_mib) == (40, None)


# --------------------------------------------------------------------------------------------------- what is told of it


@in_virtual_time
async def test_slot_use_is_what_was_in_flight_of_what_could_have_been() -> None:
    told = await Sitting(max_in_flight=4).run(40)
    assert told.slot_use == pytest.approx(1.0)
    assert told.num_slots == 4
    # The last round has two requests for four slots: 10 x 4 + 2 of 11 x 4 slot seconds.
    assert (await Sitting(max_in_flight=4).run(42)).slot_use == pytest.approx(42 / 44)


@in_virtual_time
async def test_slots_that_a_drain_leaves_empty_are_not_held_against_the_sitting() -> None:
    sitting = Sitting([Server(usual=(10.0, OK))], max_in_flight=4)
    asyncio.get_running_loop().call_later(15.5, sitting.scheduler.stop)
    told = await sitting.run(100)
    assert len(sitting.inbox.names) == 8
    assert told.slot_use == pytest.approx(1.0)


@in_virtual_time
async def test_an_endpoints_own_limit_bounds_the_slots_that_count() -> None:
    told = await Sitting(max_in_flight=16, controller=lambda: Fixed(2)).run(20)
    assert told.slot_use == pytest.approx(1.0)
    assert told.num_slots == 2


@in_virtual_time
async def test_the_slots_of_an_endpoint_that_only_pauses_are_offered_and_an_outage_shows() -> None:
    """Eleven rounds of four requests, 1 s each; the last one says to wait for 300 s."""
    scripts: dict[str, Sequence[Step]] = {"40": [(1.0, RateLimited(retry_after_s=300.0)), (1.0, OK)]}
    sitting = Sitting([Server(scripts=scripts)], max_in_flight=4, has_breaker=True)
    during = sitting.seen(60.5, lambda: sitting.watchdog.latest)
    asyncio.get_running_loop().call_later(61, sitting.scheduler.stop)
    await sitting.run(100)
    (told,) = during
    assert isinstance(told, Telemetry)
    assert (told.num_in_flight, told.num_slots) == (0, 4)
    assert [channel.is_asked for channel in told.channels] == [False]
    assert told.slot_use == pytest.approx(44 / (4 * 60))


@in_virtual_time
async def test_the_slots_of_an_endpoint_that_is_asked_no_more_are_not_offered() -> None:
    sitting = Sitting(
        [Server(), Server(endpoint=Endpoint(base_url="http://b/v1", model="m"))],
        controller=lambda: Fixed(2),
        max_in_flight=16,
    )
    seen = sitting.seen(5.5, lambda: sitting.watchdog.latest and sitting.watchdog.latest.num_slots)
    asyncio.get_running_loop().call_later(2.5, sitting.fleet.close, sitting.fleet.channels[1], "the key is wrong")
    await sitting.run(40)
    assert seen == [2]


@in_virtual_time
async def test_a_request_that_hangs_shows_by_its_age() -> None:
    hanging: dict[str, Sequence[Step]] = {"7": [(300.0, OK)]}
    servers = [Server(scripts=hanging), Server(scripts=hanging, endpoint=Endpoint(base_url="http://b/v1", model="m"))]
    sitting = Sitting(servers, max_in_flight=4)
    seen = sitting.seen(245.5, lambda: sitting.watchdog.latest)
    ended = await sitting.run(1000)
    (told,) = seen
    assert isinstance(told, Telemetry)
    assert told.oldest_s == pytest.approx(244.0)  # since the second round, as of the latest snapshot
    assert sorted(channel.oldest_s or 0 for channel in told.channels) == [pytest.approx(1.0), pytest.approx(244.0)]
    assert ended.oldest_s is None


@in_virtual_time
async def test_every_endpoint_is_told_with_outcomes_latency_and_tokens() -> None:
    answer = ok(usage=Usage(prompt_tokens=10, completion_tokens=3))
    servers = [
        Server(usual=(2.0, answer), endpoint=Endpoint(base_url="http://a/v1", model="m")),
        Server(usual=(0.5, SERVER_ERROR), endpoint=Endpoint(base_url="http://b/v1", model="m", api_key="secret")),
    ]
    told = figures(await Sitting(servers=servers, max_in_flight=2).run(6))
    assert told is not None
    a, b = told["channels"]
    assert (a["address"], a["outcomes"], a["latency_p50_s"]) == ("http://a/v1", {"ok": 6}, pytest.approx(2, rel=0.03))
    assert (a["prompt_tokens"], a["completion_tokens"]) == (60, 18)
    assert b["outcomes"] == {"transient: server": len(servers[1].sent)}
    assert b["latency_p50_s"] is None
    assert "secret" not in json.dumps(told)


@in_virtual_time
async def test_tokens_a_second_are_those_of_the_last_half_minute() -> None:
    """40 tokens a second, for 20 s; then none is answered for 100 s. A second's last four may count for the next."""
    answer = ok(usage=Usage(prompt_tokens=1, completion_tokens=10))
    silent: dict[str, Sequence[Step]] = {str(n): [(100.0, answer)] for n in range(80, 84)}
    sitting = Sitting([Server(scripts=silent, usual=(1.0, answer))], max_in_flight=4)
    seen = [
        sitting.seen(at, lambda: sitting.watchdog.latest and sitting.watchdog.latest.tokens_per_s)
        for at in (15, 40, 60)
    ]
    await sitting.run(84)
    assert [told for (told,) in seen] == [pytest.approx(40 * 14 / 15), pytest.approx(44 / 3), 0.0]


@in_virtual_time
async def test_a_snapshot_is_recorded_in_the_first_second_every_five_and_at_the_end() -> None:
    sitting = Sitting(max_in_flight=1)
    await sitting.run(12)
    assert [record["channels"][0]["outcomes"] for record in sitting.records] == [{}, {"ok": 5}, {"ok": 10}, {"ok": 12}]
    assert sitting.records[-1]["num_in_flight"] == 0
    assert {"at", "slot_use", "loop_lag_p99_ms", "cpu_share", "memory_mib"} <= set(sitting.records[-1])


@in_virtual_time
async def test_what_is_watched_leaves_no_timer_behind_however_it_ends() -> None:
    sitting, loop = Sitting(), asyncio.get_running_loop()
    with pytest.raises(ZeroDivisionError), sitting.watchdog:
        raise ZeroDivisionError
    assert isinstance(loop, VirtualTimeLoop)
    assert loop.num_timers == 0
    assert len(sitting.records) == 1


@pytest.mark.parametrize("text", [None, "", "{", "[1]", "7"])
def test_what_is_no_snapshot_is_read_as_none(text: str | None) -> None:
    assert loaded(text) is None
