"""What faults cost: the same requests against the scripted server, without faults and with a seeded mix of them.

The server runs in a process of its own. Every reply is compared with what the server says to that prompt: none may be
missing, come twice or be cut. Goodput is replies a second; the time for which failed attempts keep their slots is taken
off (a hang until the time-out), for that is the server's doing. Fault-free and faulty runs alternate. A table,
one JSON document as the last line; 1 as exit code if a reply is wrong.

    python -m benchmarks.runtime.faults --requests 20000 --in-flight 256 --pairs 3
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import statistics
import time
from collections import Counter
from typing import Any

import benchmarks.runtime.server_capacity as server_capacity
from benchmarks.runtime.scripted import serving
from fastinstruct.lm import Endpoint, HttpTransport, Ok, Request, RetryPolicy
from fastinstruct.lm.limits.breaker import CircuitBreaker
from fastinstruct.lm.limits.concurrency import Fixed
from fastinstruct.lm.scheduling.channel import Channel
from fastinstruct.lm.scheduling.fleet import Fleet
from fastinstruct.lm.scheduling.job import Delivery, Job, ListSource
from fastinstruct.lm.scheduling.scheduler import Scheduler
from fastinstruct.lm.transports.codec import encode_body
from fastinstruct.records import Api, Sampling
from fastinstruct.scripted_server import Script
from fastinstruct.scripted_server.replies import reply_to
from fastinstruct.scripted_server.shapes import read_ask

FAULTS = {"429": 0.05, "reset": 0.01, "500": 0.02, "truncated": 0.01, "hang": 0.01}
TIMEOUT_S = 2.0
STEADY = 0.95  # of the replies are timed: a hang among the last keeps few slots, but the clock, for seconds
LATENCY_S, SIGMA = 0.1, 0.5  # 20 times the median does not come up


async def one_run(base_url: str, num_requests: int, in_flight: int, seed: int) -> dict[str, Any]:
    """Send all; what came of it, and how long it took."""
    endpoint = Endpoint(base_url=base_url, model="scripted", api=Api.COMPLETIONS, total_timeout_s=TIMEOUT_S)
    requests = [
        Request(key=str(number), prompt=f"Task number {number} of {seed}:\n1.", sampling=Sampling(seed=number))
        for number in range(num_requests)
    ]
    deliveries: list[Delivery[int]] = []

    steady_s = 0.0

    async def keep(delivery: Delivery[int]) -> None:
        nonlocal steady_s
        deliveries.append(delivery)
        if len(deliveries) <= STEADY * num_requests:
            steady_s = time.perf_counter() - begin

    async with HttpTransport(endpoint) as transport:
        breaker = CircuitBreaker(random.Random(seed))
        fleet = Fleet.of(Channel(transport, controller=Fixed(in_flight), breaker=breaker))
        policy = RetryPolicy(base_s=0.05, cap_s=0.5)
        scheduler: Scheduler[int] = Scheduler(fleet, max_in_flight=in_flight, policy=policy, rng=random.Random(seed))
        begin = time.perf_counter()
        await scheduler.run(ListSource([Job(request=each, about=n) for n, each in enumerate(requests)]), keep)
        elapsed_s = time.perf_counter() - begin
    held_up_s = sum(failed.latency_s for delivery in deliveries for failed in delivery.failed)
    return {
        "elapsed_s": elapsed_s,
        "steady_s": steady_s,
        "held_up_s": held_up_s / in_flight,
        "attempts": scheduler.statistics().num_attempts,
        **wrong(requests, deliveries, endpoint, seed),
    }


def wrong(requests: list[Request], deliveries: list[Delivery[int]], endpoint: Endpoint, seed: int) -> dict[str, int]:
    """How many requests were lost, given up (two time-outs), answered twice, or with another text than the server's."""
    counts = Counter(delivery.job.about for delivery in deliveries if isinstance(delivery.outcome, Ok))
    script, other = Script(seed=seed), 0
    for delivery in deliveries:
        if isinstance(delivery.outcome, Ok):
            ask = read_ask("/v1/completions", encode_body(endpoint, delivery.job.request, ()))
            assert not isinstance(ask, str)
            other += delivery.outcome.completion.text != reply_to(ask, seed=seed, rates=script).text
    return {
        "lost": len(requests) - len(deliveries),
        "given_up": len(deliveries) - counts.total(),
        "twice": sum(count > 1 for count in counts.values()),
        "other_text": other,
    }


def measured_pairs(num_requests: int, in_flight: int, num_pairs: int) -> dict[str, Any]:
    """Runs without faults and with them, in turns; prints a row for each."""
    pairs, ratios = [], []
    print(f"{'':>14} {'seconds':>9} {'attempts':>9} {'lost':>5} {'twice':>6} {'other text':>11}")
    for seed in range(num_pairs):
        pair = {}
        for name, faults in (("fault-free", {}), ("with faults", FAULTS)):
            drawn = ("--latency", str(LATENCY_S), "--latency-sigma", str(SIGMA), "--seed", str(seed))
            with serving(
                *drawn, *(part for fault, rate in faults.items() for part in ("--fault", f"{fault}={rate}"))
            ) as server:
                pair[name] = row = asyncio.run(one_run(server.url, num_requests, in_flight, seed))
            print(
                f"{name:>14} {row['elapsed_s']:>9.2f} {row['attempts']:>9,} {row['lost']:>5} {row['twice']:>6} "
                f"{row['other_text']:>11}",
                flush=True,
            )
        faulty = pair["with faults"]
        ratios.append(pair["fault-free"]["steady_s"] / (faulty["steady_s"] - STEADY * faulty["held_up_s"]))
        pairs.append(pair)
    return {"faults": FAULTS, "goodput": statistics.median(ratios), "ratios": ratios, "pairs": pairs}


def num_wrong(pairs: list[dict[str, Any]]) -> int:
    """How many replies were lost, came twice or were not the server's."""
    return sum(row[what] for pair in pairs for row in pair.values() for what in ("lost", "twice", "other_text"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=3)
    arguments = parser.parse_args()
    server_capacity.shown("written", seconds=1.0)
    found = measured_pairs(arguments.requests, arguments.in_flight, arguments.pairs)
    ratios = found["ratios"]
    print(f"goodput against fault-free: {found['goodput']:.1%} ({min(ratios):.1%} to {max(ratios):.1%})")
    print(json.dumps({"benchmark": "faults", "machine": platform.machine(), **found}))
    raise SystemExit(num_wrong(found["pairs"]) > 0)


if __name__ == "__main__":
    main()
