"""What the runtime makes of trouble: faults, a Ctrl-C, connections that the server has closed (G11, G13, G17)."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import benchmarks.runtime.faults as faults
from benchmarks.measuring import Goal, How, run_loop
from benchmarks.runtime.arms import Ours
from benchmarks.runtime.cost import prompts_of_a_run
from benchmarks.runtime.scripted import Server, serving
from fastinstruct.lm import Ok
from fastinstruct.lm.scheduling.job import Delivery

_MS = 1000.0


def replies_under_faults(how: How) -> list[Goal]:
    """G11: the result of faults.py."""
    num_requests, in_flight, num_pairs = how.pick((20_000, 256, 3), (100, 20, 1))
    found = faults.measured_pairs(num_requests, in_flight, num_pairs)
    wrong, given_up = faults.num_wrong(found["pairs"]), sum(p["with faults"]["given_up"] for p in found["pairs"])
    return [
        Goal(
            name="G11",
            what="replies lost, twice or cut under faults (429 5%, 500 2%, reset, truncated, hang 1%); goodput",
            bar="0; at least 90%",
            measured=f"{wrong}; {found['goodput']:.1%} ({min(found['ratios']):.1%} to {max(found['ratios']):.1%})",
            is_met=wrong == 0 and found["goodput"] >= 0.9,
            details={"wrong": wrong, "given_up": given_up, "goodput": found["ratios"]},
        )
    ]


# ----------------------------------------------------------------------------------------------------------- interrupts


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a whole run took two interrupts: the last dispatch after the first, all sockets closed after the second.

    Both as the server sees it, in ms, to 2 ms or so; 0 for a last dispatch before the signal.
    """

    last_dispatch_ms: float
    closed_ms: float
    exit_code: int


class Watch:
    """Looks at a server's counts many times a second, over one connection."""

    def __init__(self, server: Server) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port)

    def look(self) -> dict[str, Any]:
        self._connection.request("GET", "/stats")
        return dict(json.load(self._connection.getresponse()))

    def close(self) -> None:
        self._connection.close()

    def last_dispatch(self, seconds: float) -> float:
        """For so many seconds: when the last request came, in seconds after now; 0 if none does."""
        begin_s, last_s, known = time.monotonic(), 0.0, self.look()["num_requests"]
        while (now_s := time.monotonic()) < begin_s + seconds:
            if (number := self.look()["num_requests"]) != known:
                known, last_s = number, now_s - begin_s
            time.sleep(0.001)
        return last_s

    def time_to(self, field: str, number: int, seconds: float) -> float:
        """After how many seconds this count is as low or high as it should be; infinity if it never is."""
        begin_s = time.monotonic()
        while time.monotonic() < begin_s + seconds:
            if self.look()[field] == number:
                return time.monotonic() - begin_s
            time.sleep(0.001)
        return float("inf")


def interrupts(how: How) -> list[Goal]:
    """G13: `fastinstruct run` with 200 requests in flight is interrupted, and once more."""
    endings = [interrupted(how.folder / f"interrupted-{number}", how.pick(200, 10)) for number in range(how.rounds(7))]
    last, closed = [ending.last_dispatch_ms for ending in endings], [ending.closed_ms for ending in endings]
    return [
        Goal(
            name="G13",
            what="Ctrl-C: the last dispatch after it; again: all sockets closed",
            bar="at most 50 ms; 200 ms",
            measured=f"{max(last):.0f} ms; {max(closed):.0f} ms (the most of {len(endings)})",
            is_met=max(last) <= 50 and max(closed) <= 200 and {ending.exit_code for ending in endings} == {130},
            details={"last_dispatch_ms": last, "closed_ms": closed},
        )
    ]


def interrupted(folder: Path, in_flight: int) -> Ending:
    """Start a run, wait until its slots are full, and interrupt it twice."""
    command = [sys.executable, "-m", "fastinstruct", "run", "--model", "scripted", "--out", str(folder)]
    command += ["--target", "100000", "--max-in-flight", str(in_flight)]
    with serving("--latency", "2", "--latency-sigma", "0.8") as server:
        run = subprocess.Popen([*command, "--base-url", server.url], stderr=subprocess.DEVNULL)
        watch = Watch(server)
        assert watch.time_to("max_in_flight", in_flight, 120) < 120, "the run did not fill its slots"
        time.sleep(0.5)
        run.send_signal(signal.SIGINT)
        last_s = watch.last_dispatch(0.5)
        run.send_signal(signal.SIGINT)
        closed_s = watch.time_to("num_connections", 1, 10)  # which is the watch's own
        watch.close()
        code = run.wait(60)
    print(f"  last dispatch after {_MS * last_s:.0f} ms, sockets closed after {_MS * closed_s:.0f} ms", flush=True)
    return Ending(last_dispatch_ms=_MS * last_s, closed_ms=_MS * closed_s, exit_code=code)


# ---------------------------------------------------------------------------------------------------- dead connections

_LATENCY_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Latencies of the replies in ms, and how many requests came to nothing."""

    latencies_ms: list[float]
    num_errors: int


def dead_connections(how: How) -> list[Goal]:
    """G17: connections die while they are idle, some of them just as they are used again.

    Errors are counted with a server that closes after 1 s, asked again after some 1 s. What a dead connection costs is
    measured where every other request meets one: the server closes it instead of an answer.
    """
    idle = ("--idle-close", str(how.pick(1.0, 0.2)), "--latency", str(_LATENCY_S), "--replies", "canned")
    pauses_s = [how.pick(1.0, 0.2) + 0.002 * step for step in range(-10, 11)]
    with serving(*idle) as server:
        aged = run_loop(_answers(server.url, pauses_s[:: how.pick(1, 5)], burst=64))
    num_requests = how.pick(400, 20)
    plain_ms, dead_ms = [
        statistics.median(_one_by_one(num_requests, *options)) for options in ((), ("--fault", "stale=1"))
    ]
    extra_ms = dead_ms - plain_ms
    return [
        Goal(
            name="G17",
            what=f"errors where the server closes idle connections; what a dead one adds at {_MS * _LATENCY_S:.0f} ms",
            bar="0; at most a round trip",
            measured=f"{aged.num_errors} of {len(aged.latencies_ms) + aged.num_errors:,}; {extra_ms:.1f} ms",
            is_met=aged.num_errors == 0 and extra_ms <= _MS * _LATENCY_S,
            details={
                "num_errors": aged.num_errors,
                "extra_ms": extra_ms,
                "median_ms_after_idling": statistics.median(aged.latencies_ms),
                "most_ms_after_idling": max(aged.latencies_ms),
            },
        )
    ]


def _one_by_one(num_requests: int, *options: str) -> list[float]:
    """The latencies in ms of requests one after another; of those that meet a dead connection if there are any."""
    with serving("--latency", str(_LATENCY_S), "--replies", "quick", *options) as server:
        answers = run_loop(_answers(server.url, [0.0] * num_requests, burst=1))
        num_stale = server.stats()["num_by_fault"].get("stale", 0)
    assert answers.num_errors == 0, f"{answers.num_errors} of {num_requests} failed"
    ordered = sorted(answers.latencies_ms)
    return ordered[len(ordered) - num_stale :] if num_stale else ordered


async def _answers(url: str, pauses_s: Sequence[float], burst: int) -> Answers:
    """Ask `burst` at once, again and again, with a pause after each."""
    latencies_ms, num_errors = list[float](), 0

    async def keep(delivery: Delivery[int]) -> None:
        nonlocal num_errors
        if isinstance(delivery.outcome, Ok) and not delivery.failed:
            latencies_ms.append(_MS * delivery.latency_s)
        else:
            num_errors += 1

    prompts = prompts_of_a_run()
    async with Ours(url, prompts, deliver=keep) as ours:
        for number, pause_s in enumerate(pauses_s):
            await ours.ask_all(range(number * burst, (number + 1) * burst), burst)
            await asyncio.sleep(pause_s)
    return Answers(latencies_ms=latencies_ms, num_errors=num_errors)
