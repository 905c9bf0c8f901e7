"""How full slots are kept under log-normal latencies, as the server sees it, and what that is worth (G5 to G7, G10).

The share of busy slots is an integral over the server's log, between the end of the ramp and the last dispatch
(slot_use.py). Latencies are drawn by prompt, so that every client meets the same ones.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmarks.measuring import Goal, How, Ratio, run_loop
from benchmarks.runtime.arms import MODEL, Batches, Client, Drawn, Ours, Prompts
from benchmarks.runtime.cost import prompts_of_a_run
from benchmarks.runtime.scripted import Server, serving
from benchmarks.runtime.slot_use import busy_share
from fastinstruct.config import load_config
from fastinstruct.lm.scheduling.job import Delivery, Job
from fastinstruct.pipeline.commit.admission import Admission
from fastinstruct.pipeline.commit.committer import Committer
from fastinstruct.pipeline.preparation import Preparation, prepare
from fastinstruct.pipeline.stages.base import Item, Task
from fastinstruct.pipeline.stages.bound import Stages
from fastinstruct.similarity import RougeIndex, warm_up
from fastinstruct.store import Commit, RunStore

_SIGMA = 0.8
_WORK_S = 0.001
_BLOCK = bytes(1 << 16)
_PROBE_EVERY_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotUse:
    """What the server saw: the share of busy slots, the seconds it was taken over, and from first byte to last."""

    share: float
    steady_s: float
    wall_s: float


def slot_use(server: Server, num_slots: int) -> SlotUse:
    """Read it off the log of a server that has ended."""
    spans = [(span.started_s, span.ended_s) for span in server.spans()]
    share, steady_s, _ = busy_share(spans, num_slots, max(started for started, _ in spans))
    wall_s = max(ended for _, ended in spans) - min(started for started, _ in spans)
    return SlotUse(share=share, steady_s=steady_s, wall_s=wall_s)


def log_normal(median_s: float, seed: int = 0, replies: str = "canned") -> tuple[str, ...]:
    """The server's options."""
    drawn = ("--latency", str(median_s), "--latency-sigma", str(_SIGMA), "--seed", str(seed))
    return (*drawn, "--replies", replies, "--log-every", "0.5")


def unlike_prompts() -> Prompts:
    """The prompts of a run, each made another by its number: latencies are drawn by prompt."""
    prompts = prompts_of_a_run()
    return lambda number: f"Task {number}.\n{prompts(number)}"


async def _ask_all(client: Client, num_requests: int, in_flight: int) -> None:
    async with client:
        await client.ask_all(range(num_requests), in_flight)


def steady_use(how: How) -> list[Goal]:
    """G5 and G7: 20 requests for each of 512 slots, in order of arrival; and the same in batches."""
    in_flight, median_s = how.pick(512, 8), how.pick(1.0, 0.03)
    prompts, found = unlike_prompts(), dict[str, list[SlotUse]]()
    for arm, num_rounds in ((Ours, how.rounds(3)), (Batches, 1)):
        for seed in range(num_rounds):
            log = how.folder / f"steady-{arm.name}-{seed}.jsonl"
            with serving(*log_normal(median_s, seed), log=log) as server:
                run_loop(_ask_all(arm(server.url, prompts), 20 * in_flight, in_flight))
            use = slot_use(server, in_flight)
            found.setdefault(arm.name, []).append(use)
            print(f"  {arm.name:<24}{use.share:>7.1%} busy over {use.steady_s:.1f} s, {use.wall_s:.1f} s", flush=True)
    ours, batches = found[Ours.name], found[Batches.name][0]
    shares = [use.share for use in ours]
    ratio = Ratio.of([batches.wall_s] * len(ours), [use.wall_s for use in ours])
    drawn = f"{in_flight} slots, log-normal latencies (median {median_s:g} s, sigma {_SIGMA})"
    details = {
        "in_flight": in_flight,
        "median_s": median_s,
        "shares": shares,
        "wall_s": [use.wall_s for use in ours],
        "batches_share": batches.share,
        "batches_wall_s": batches.wall_s,
    }
    return [
        Goal(
            name="G5",
            what=f"slots busy while work waits: {drawn}",
            bar="at least 99%",
            measured=f"{_percents(shares)}; {Batches.name} {batches.share:.0%}",
            is_met=statistics.median(shares) >= 0.99,
            details=details,
        ),
        Goal(
            name="G7",
            what=f"time for 20 requests a slot, with the drain, beside {Batches.name}",
            bar="at least 4x faster",
            measured=ratio.text(1),
            is_met=ratio.median >= 4,
            details=details,
        ),
    ]


def _percents(shares: list[float]) -> str:
    return f"{statistics.median(shares):.2%} ({min(shares):.2%} to {max(shares):.2%})"


# --------------------------------------------------------------------------------------------- with work for each reply


class _Toiling(Admission):
    """Judges, and computes for 1 ms for each answer, the interpreter's lock released, as in the filter's kernels."""

    def settle(self, deliveries: Sequence[Delivery[Task]]) -> list[Commit]:
        for _ in deliveries:
            end_s = time.thread_time() + _WORK_S
            while time.thread_time() < end_s:
                sha256(_BLOCK)
        return super().settle(deliveries)


def use_with_work(how: How) -> list[Goal]:
    """G6: the same slots, while every reply is parsed, stored, and takes 1 ms of CPU off the loop."""
    in_flight, median_s = how.pick(512, 8), how.pick(1.0, 0.1)
    warm_up()
    shares = []
    for seed in range(how.rounds(3)):
        folder = how.folder / f"work-{seed}"
        folder.mkdir()
        with serving(*log_normal(median_s, seed, "quick"), log=folder / "server.jsonl") as server:
            run_loop(_judged(server.url, folder, 20 * in_flight, in_flight))
        use = slot_use(server, in_flight)
        shares.append(use.share)
        print(f"  with 1 ms of work a reply {use.share:.1%} busy over {use.steady_s:.1f} s", flush=True)
    return [
        Goal(
            name="G6",
            what="slots busy, each reply parsed and stored, with 1 ms of CPU in the judge's thread (lock released)",
            bar="at least 97%",
            measured=_percents(shares),
            is_met=statistics.median(shares) >= 0.97,
            details={"in_flight": in_flight, "median_s": median_s, "shares": shares},
        )
    ]


async def _judged(url: str, folder: Path, num_requests: int, in_flight: int) -> None:
    """Stage 2 of a run, through the run's own committer and store: what a reply takes is the 1 ms, or hardly more."""
    flags = {"model.base_url": url, "model.name": MODEL, "out": folder / "run"}
    preparation = prepare(load_config(flags=flags), {})
    stages = preparation.stages()
    seed = preparation.seeds[0].instruction

    def make(number: int) -> Job[Task]:
        return stages["classification"].build(Item(number, f"{seed} ({number})"))  # latencies are drawn by prompt

    store = RunStore(folder / "run.db")
    templates = preparation.prompts.templates
    store.begin(preparation.seeds, {name: (each.sha256, each.source) for name, each in templates.items()})
    try:
        with ThreadPoolExecutor(1) as thread:
            committer = Committer(_toiling(preparation, stages), store, (), thread)
            async with Ours(url, prompts_of_a_run()) as ours:
                await ours.run(Drawn(make, range(num_requests)), committer.deliver, in_flight)
            await committer.close()
    finally:
        store.close()


def _toiling(preparation: Preparation, stages: Stages) -> Admission:
    index = RougeIndex(threshold=preparation.config.similarity.threshold)
    index.add([seed.instruction for seed in preparation.seeds])
    return _Toiling(stages, index, num_seeds=len(preparation.seeds))


# ------------------------------------------------------------------------------------------------------------------ lag


def loop_lag(how: How) -> list[Goal]:
    """G10: how late the event loop is with 2,000 requests in flight; and with none, which is the machine's part."""
    in_flight, median_s, seconds = how.pick((2_000, 4.0, 60.0), (50, 0.2, 1.0))
    ramp_s = how.pick(5.0, 0.3)
    idle = run_loop(_looks(how.pick(15.0, 0.5)))
    with serving(*log_normal(median_s)) as server:
        lags = run_loop(_lags(Ours(server.url, unlike_prompts()), in_flight, seconds))
    begin_s = lags[0][0] + ramp_s
    steady = [(at_s, lag_s) for at_s, lag_s in lags if at_s > begin_s]
    ramp_ms = max(1000 * lag_s for at_s, lag_s in lags if at_s <= begin_s)
    p99_ms, idle_ms = _p99_ms(steady), _p99_ms(idle)
    return [
        Goal(
            name="G10",
            what=f"how late the event loop is (99th percentile), {in_flight:,} in flight (median {median_s:g} s)",
            bar="at most 10 ms",
            measured=f"{p99_ms:.1f} ms (with none {idle_ms:.1f} ms; most in the first {ramp_s:g} s {ramp_ms:.0f} ms)",
            is_met=p99_ms <= 10,
            details={
                "in_flight": in_flight,
                "p99_ms": p99_ms,
                "p50_ms": 1000 * statistics.median(lag_s for _, lag_s in steady),
                "idle_p99_ms": idle_ms,
                "most_in_ramp_ms": ramp_ms,
                "num_looks": len(steady),
            },
        )
    ]


def _p99_ms(lags: list[tuple[float, float]]) -> float:
    ordered = sorted(lag_s for _, lag_s in lags)
    return 1000 * ordered[int(0.99 * len(ordered))]


async def _lags(ours: Ours, in_flight: int, seconds: float) -> list[tuple[float, float]]:
    """What is seen while so many requests are in flight."""
    async with ours:
        asking: asyncio.Task[Any] = asyncio.create_task(ours.ask_all(itertools.count(), in_flight))
        found = await _looks(seconds)
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
    return found


async def _looks(seconds: float) -> list[tuple[float, float]]:
    """(when, how late in seconds) of looks 20 times a second."""
    found, end_s = [], time.perf_counter() + seconds
    while (before_s := time.perf_counter()) < end_s:
        await asyncio.sleep(_PROBE_EVERY_S)
        found.append((before_s, time.perf_counter() - before_s - _PROBE_EVERY_S))
    return found
