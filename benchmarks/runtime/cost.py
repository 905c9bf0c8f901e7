"""What a request costs a client: CPU time and requests a second, against a server that answers at once (G1 to G4).

The arms take turns, in another order each round. CPU is the process's, all threads counted, after a warm-up that opens
every connection. A slow arm is given fewer requests. Garbage collection is on, but passes over what was there before:
the modules of all arms are loaded, and looking through them again and again would cost each arm as much as a request.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.measuring import Goal, How, Ratio, rotated, run_loop
from benchmarks.replies.run_prompts import drawn_prompts
from benchmarks.runtime.arms import Client, Ours, Prompts, RawAiohttp, SdkAiohttp, SdkDefault, missing
from benchmarks.runtime.scripted import serving

_NUM_PROMPTS = 3_000
_WARM_UP = 2  # requests for each connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One measurement."""

    cpu_us: float
    requests_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A client, and how many requests it is given each round."""

    client: type[Ours | RawAiohttp | SdkDefault]
    num_requests: int

    @property
    def name(self) -> str:
        return self.client.name


Rounds = Mapping[str, list[Cost]]


def prompts_of_a_run() -> Prompts:
    """The prompts of a run, over and over."""
    prompts = drawn_prompts(_NUM_PROMPTS)
    return lambda number: prompts[number % _NUM_PROMPTS]


async def cost_of(client: Client, num_requests: int, in_flight: int) -> Cost:
    """Ask the server for so many completions, with so many in flight."""
    async with client:
        await client.ask_all(range(_WARM_UP * in_flight), in_flight)
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        began_s, cpu_s = time.perf_counter(), time.process_time()
        await client.ask_all(range(num_requests), in_flight)
        return Cost(
            cpu_us=(time.process_time() - cpu_s) / num_requests * 1e6,
            requests_per_s=num_requests / (time.perf_counter() - began_s),
        )


def in_turns(arms: Sequence[Arm], in_flight: int, num_rounds: int, *options: str) -> Rounds:
    """Every arm once a round, against one server; prints a line for each."""
    found: dict[str, list[Cost]] = defaultdict(list)
    prompts = prompts_of_a_run()
    with serving(*options) as server:
        for number in range(num_rounds):
            for arm in rotated(arms, number):
                cost = run_loop(cost_of(arm.client(server.url, prompts), arm.num_requests, in_flight))
                found[arm.name].append(cost)
                print(
                    f"  round {number + 1}, {in_flight} in flight: {arm.name:<24}"
                    f"{cost.cpu_us:>9,.0f} us{cost.requests_per_s:>9,.0f}/s",
                    flush=True,
                )
    return found


def usable_arms(arms: Sequence[Arm]) -> tuple[list[Arm], dict[str, str]]:
    """The arms that can be measured here, and why the others cannot."""
    reasons = {arm.name: missing(arm.client) for arm in arms}
    for name, reason in reasons.items():
        if reason:
            print(f"  {name}: {reason}")
    return [arm for arm in arms if not reasons[arm.name]], {name: why for name, why in reasons.items() if why}


def cpu_of(rounds: Rounds, client: type[Ours | RawAiohttp | SdkDefault]) -> list[float]:
    return [cost.cpu_us for cost in rounds[client.name]]


def speed_of(rounds: Rounds, client: type[Ours | RawAiohttp | SdkDefault]) -> list[float]:
    return [cost.requests_per_s for cost in rounds[client.name]]


def medians(rounds: Rounds) -> dict[str, Any]:
    """For the document: what each arm spent."""
    return {
        name: {
            "cpu_us": round(statistics.median(cost.cpu_us for cost in costs), 1),
            "requests_per_s": round(statistics.median(cost.requests_per_s for cost in costs)),
            "rounds": len(costs),
        }
        for name, costs in rounds.items()
    }


def cpu_per_request(how: How) -> list[Goal]:
    """G1 and G2: CPU a request with 256 in flight, beside raw aiohttp and the SDK on aiohttp."""
    in_flight = how.pick(256, 16)
    arms = [
        Arm(client=Ours, num_requests=how.pick(10_000, 100)),
        Arm(client=RawAiohttp, num_requests=how.pick(10_000, 100)),
        Arm(client=SdkAiohttp, num_requests=how.pick(1_500, 40)),
    ]
    usable, left_out = usable_arms(arms)
    rounds = in_turns(usable, in_flight, how.rounds(7), "--replies", "canned")
    details = {"in_flight": in_flight, "arms": medians(rounds)}
    ours = cpu_of(rounds, Ours)
    raw = Ratio.of(ours, cpu_of(rounds, RawAiohttp))
    what = f"CPU a request, {in_flight} in flight, beside"
    g1 = Goal(
        name="G1",
        what=f"{what} {RawAiohttp.name}",
        bar="at most 1.40x",
        measured=raw.text(2),
        is_met=raw.median <= 1.40,
        details=details,
    )
    why = left_out.get(SdkAiohttp.name, "")
    sdk = None if why else Ratio.of(cpu_of(rounds, SdkAiohttp), ours)
    g2 = Goal(
        name="G2",
        what=f"{what} {SdkAiohttp.name}",
        bar="at most 1/5",
        measured=why if sdk is None else f"1/{sdk.text(1, '')}",
        is_met=None if sdk is None else sdk.median >= 5,
        details=details,
    )
    return [g1, g2]


def requests_per_s(how: How) -> list[Goal]:
    """G3: requests a second with 1,024 in flight, beside the SDK in both settings."""
    in_flight = how.pick(1024, 32)
    arms = [
        Arm(client=Ours, num_requests=how.pick(10_000, 100)),
        Arm(client=RawAiohttp, num_requests=how.pick(10_000, 100)),
        Arm(client=SdkAiohttp, num_requests=how.pick(2_048, 40)),
        Arm(client=SdkDefault, num_requests=how.pick(1_024, 40)),
    ]
    usable, left_out = usable_arms(arms)
    rounds = in_turns(usable, in_flight, how.rounds(7), "--replies", "canned")
    details = {"in_flight": in_flight, "arms": medians(rounds)}
    return [_faster(rounds, client, least, left_out, details) for client, least in ((SdkAiohttp, 4), (SdkDefault, 12))]


def _faster(
    rounds: Rounds, client: type[SdkDefault], least: float, left_out: Mapping[str, str], details: dict[str, Any]
) -> Goal:
    why = left_out.get(client.name, "")
    ratio = None if why else Ratio.of(speed_of(rounds, Ours), speed_of(rounds, client))
    return Goal(
        name="G3",
        what=f"requests a second, {details['in_flight']:,} in flight, beside {client.name}",
        bar=f"at least {least}x",
        measured=why if ratio is None else ratio.text(1),
        is_met=None if ratio is None else ratio.median >= least,
        details=details,
    )


def use_of_fixed_slots(how: How) -> list[Goal]:
    """G4: requests a second out of those that 1,000 slots of 500 ms each can give."""
    in_flight, latency_s = how.pick(1_000, 20), how.pick(0.5, 0.05)
    num_requests = how.pick(20, 5) * in_flight
    arms = [Arm(client=client, num_requests=num_requests) for client in (Ours, RawAiohttp)]
    rounds = in_turns(arms, in_flight, how.rounds(3), "--replies", "canned", "--latency", str(latency_s))
    ours, raw = speed_of(rounds, Ours), speed_of(rounds, RawAiohttp)
    use = [statistics.median(speeds) * latency_s / in_flight for speeds in (ours, raw)]
    ratio = Ratio.of([100 * speed for speed in ours], raw)
    return [
        Goal(
            name="G4",
            what=f"use of {in_flight:,} slots, {1000 * latency_s:.0f} ms each, beside {RawAiohttp.name}",
            bar="at least 90%",
            measured=f"{ratio.text(1, '%')}: {use[0]:.1%} of the slots' time, {RawAiohttp.name} {use[1]:.1%}",
            is_met=ratio.median >= 90,
            details={"in_flight": in_flight, "latency_s": latency_s, "use": use, "arms": medians(rounds)},
        )
    ]
