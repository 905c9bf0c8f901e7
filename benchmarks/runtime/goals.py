"""The goals of the runtime, measured: what a request costs, how full slots are kept, what limits and faults come to.

FastInstruct's transport and scheduler beside raw aiohttp with orjson, the openai SDK on its aiohttp backend and as it
comes, and batches on raw aiohttp. The scripted server runs in a process of its own, on the last core, all clients on
the first; what the server can take is shown before. Arms take turns, in another order each round; what is compared are
ratios, as medians over the rounds with their range. A line for each goal: what, bar, measured, met or not. A table for
people, one JSON document as the last line; 20 minutes.

    python -m benchmarks.runtime.goals              # needs the extra `bench`, else some is left out
    python -m benchmarks.runtime.goals --goals g1 g5 e2e  # some of them
    python -m benchmarks.runtime.goals --quick              # to see that it works; its figures mean nothing
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import benchmarks.runtime.server_capacity as server_capacity
from benchmarks.measuring import Goal, How
from benchmarks.runtime.cost import cpu_per_request, requests_per_s, use_of_fixed_slots
from benchmarks.runtime.limits import budgets_kept, queue_found, rate_found
from benchmarks.runtime.memory import memory_in_flight, memory_over_time
from benchmarks.runtime.pipeline import end_to_end, import_time
from benchmarks.runtime.recovery import dead_connections, interrupts, replies_under_faults
from benchmarks.runtime.scripted import stay_on_first_core
from benchmarks.runtime.slots import loop_lag, steady_use, use_with_work

MEASUREMENTS: dict[tuple[str, ...], Callable[[How], list[Goal]]] = {
    ("g1", "g2"): cpu_per_request,
    ("g3",): requests_per_s,
    ("g4",): use_of_fixed_slots,
    ("g5", "g7"): steady_use,
    ("g6",): use_with_work,
    ("g8",): memory_in_flight,
    ("g9",): memory_over_time,
    ("g10",): loop_lag,
    ("g11",): replies_under_faults,
    ("g13",): interrupts,
    ("g14",): rate_found,
    ("g15",): queue_found,
    ("g16",): budgets_kept,
    ("g17",): dead_connections,
    ("g19",): import_time,
    ("e2e",): end_to_end,
}
PACKAGES = ("aiohttp", "openai", "httpx2", "orjson", "uvloop")


def versions() -> dict[str, str]:
    """What is compared, and on what it runs."""
    found = {"python": platform.python_version()}
    for package in ("fastinstruct", *PACKAGES):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def capacity(how: How) -> list[dict[str, Any]]:
    """What the server can answer, under a client that does nothing but write and read sockets."""
    return [asdict(server_capacity.shown(replies, seconds=how.pick(4.0, 0.2))) for replies in ("canned", "quick")]


def show(goal: Goal) -> None:
    verdict = {True: "met", False: "not met", None: "not measured"}[goal.is_met]
    print(f"{goal.name}, {goal.what}: {goal.bar}, {goal.measured}, {verdict}", flush=True)


def main() -> None:
    names = [name for names in MEASUREMENTS for name in names]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--goals", nargs="+", choices=names, default=names, metavar="GOAL", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="a few requests each; the figures mean nothing")
    parser.add_argument("--rounds", type=int, help="repeat each measurement so often, not as usual (7 or 3 times)")
    arguments = parser.parse_args()
    stay_on_first_core()
    stated = versions()
    print(", ".join(f"{package} {number}" for package, number in stated.items()))
    goals = []
    with tempfile.TemporaryDirectory() as name:
        how = How(is_quick=arguments.quick, folder=Path(name), num_rounds=arguments.rounds)
        server = capacity(how)
        for covered, measure in MEASUREMENTS.items():
            if not set(covered) & set(arguments.goals):
                continue
            for goal in measure(how):
                if goal.name.lower() in arguments.goals:
                    goals.append(goal)
                    show(goal)
    print()
    for goal in goals:
        show(goal)
    document = {"benchmark": "runtime", "versions": stated, "machine": platform.machine(), "quick": arguments.quick}
    print(json.dumps({**document, "server": server, "goals": [asdict(goal) for goal in goals]}))


if __name__ == "__main__":
    main()
