"""How limits are found and kept, in real time and over HTTP: refusals, a server's queue, budgets (G14 to G16).

The controllers' behaviour over many rates and latencies is tested in virtual time (tests/test_concurrency_goals.py).
"""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import suppress
from typing import Any

from benchmarks.measuring import Goal, How, run_loop
from benchmarks.runtime.arms import Ours
from benchmarks.runtime.scripted import Server, Span, serving
from benchmarks.runtime.slots import unlike_prompts
from fastinstruct.lm.limits.concurrency import Aimd, Controller, Fixed, QueueAware
from fastinstruct.lm.limits.rate_budget import RateBudget
from fastinstruct.lm.scheduling.job import Delivery

_MOST_IN_FLIGHT = 2_000


async def _whatever_comes(_delivery: Delivery[int]) -> None:
    """The server's counts say how it went."""


def client(url: str, controller: Controller, budget: RateBudget | None = None) -> Ours:
    return Ours(url, unlike_prompts(), deliver=_whatever_comes, controller=controller, budget=budget)


async def counts(ours: Ours, server: Server, moments_s: tuple[float, ...]) -> list[dict[str, Any]]:
    """The server's counts at these moments, in seconds after the first request; then everything is dropped."""
    async with ours:
        asking: asyncio.Task[Any] = asyncio.create_task(ours.ask_all(itertools.count(), _MOST_IN_FLIGHT))
        begin_s, found = time.monotonic(), []
        for moment_s in moments_s:
            await asyncio.sleep(begin_s + moment_s - time.monotonic())
            found.append(await asyncio.to_thread(server.stats))
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
    return found


# ------------------------------------------------------------------------------------------------------------- refusals


def rate_found(how: How) -> list[Goal]:
    """G14: `aimd` against a token bucket that tells nothing, and whose rate doubles in mid-run."""
    rate, latency_s = how.pick(100.0, 100.0), how.pick(0.5, 0.02)
    known_s, doubled_s, again_s, end_s = how.pick((60.0, 90.0, 120.0, 150.0), (0.5, 1.0, 1.5, 2.0))
    log = how.folder / "rate.jsonl"
    options = ("--rate-schedule", f"0:{rate},{doubled_s}:{2 * rate}", "--retry-hint", "none", "--replies", "quick")
    drawn = ("--latency", str(latency_s), "--latency-sigma", "0.8", "--log-every", "0.1")
    with serving(*options, *drawn, log=log) as server:
        run_loop(counts(client(server.url, Aimd(maximum=_MOST_IN_FLIGHT)), server, (end_s,)))
    spans = server.spans()
    begin_s = min(span.started_s for span in spans)
    goodput, refused = share_of(spans, rate, begin_s + known_s, begin_s + doubled_s)
    doubled, _ = share_of(spans, 2 * rate, begin_s + again_s, begin_s + end_s)
    return [
        Goal(
            name="G14",
            what=f"of {rate:.0f} requests a second that a server allows: answered, refused; 30 s after it allows 200",
            bar="at least 90%, at most 3%; at least 90%",
            measured=f"{goodput:.1%}, {refused:.1%}; {doubled:.1%}",
            is_met=goodput >= 0.9 and refused <= 0.03 and doubled >= 0.9,
            details={"goodput": goodput, "refused": refused, "goodput_doubled": doubled, "latency_s": latency_s},
        )
    ]


def share_of(spans: list[Span], rate: float, begin_s: float, end_s: float) -> tuple[float, float]:
    """Of the requests that came in this time: those answered as a share of the rate's, and the share refused."""
    came = [span for span in spans if begin_s <= span.started_s < end_s]
    num_refused = sum(span.status == 429 for span in came)
    return (len(came) - num_refused) / (rate * (end_s - begin_s)), num_refused / max(1, len(came))


# ---------------------------------------------------------------------------------------------------------------- queue


def queue_found(how: How) -> list[Goal]:
    """G15: `queue` against a server of 256 slots that lets everything wait, as vLLM does, and reports it."""
    slots, latency_s = how.pick(256, 8), how.pick(1.0, 0.1)
    begin_s, end_s = how.pick((20.0, 60.0), (0.5, 1.5))
    options = ("--slots", str(slots), "--metrics", "vllm", "--replies", "quick")
    with serving(*options, "--latency", str(latency_s), "--latency-sigma", "0.8") as server:
        ours = client(server.url, QueueAware(maximum=_MOST_IN_FLIGHT))
        before, after = run_loop(counts(ours, server, (begin_s, end_s)))
    slot_s = slots * (after["elapsed_s"] - before["elapsed_s"])
    busy = (after["busy_slot_s"] - before["busy_slot_s"]) / slot_s
    waiting = (after["waiting_s"] - before["waiting_s"]) / slot_s
    return [
        Goal(
            name="G15",
            what=f"of a server's {slots} slots, its queue read at /metrics: busy; waiting on average",
            bar="at least 97%; at most 10%",
            measured=f"{busy:.1%}; {waiting:.1%}",
            is_met=busy >= 0.97 and waiting <= 0.1,
            details={"slots": slots, "busy": busy, "waiting": waiting, "max_waiting": after["max_waiting"]},
        )
    ]


# -------------------------------------------------------------------------------------------------------------- budgets


def budgets_kept(how: How) -> list[Goal]:
    """G16: a budget of requests a minute, and one of tokens, each against a server that only counts."""
    requests, tokens = 3_000.0, 2_000_000.0
    begin_s, end_s = how.pick((30.0, 90.0), (0.5, 1.5))
    options = ("--replies", "quick", "--latency", "0.5", "--latency-sigma", "0.8")
    with serving(*options) as first, serving(*options) as second:
        pair = (
            (client(first.url, Fixed(_MOST_IN_FLIGHT), RateBudget(requests, None)), first),
            (client(second.url, Fixed(_MOST_IN_FLIGHT), RateBudget(None, tokens)), second),
        )
        of_requests, of_tokens = run_loop(_both(pair, (begin_s, end_s)))
    share = (end_s - begin_s) / 60
    used = (
        _change(of_requests, "num_requests") / share / requests,
        (_change(of_tokens, "num_prompt_tokens") + _change(of_tokens, "num_completion_tokens")) / share / tokens,
    )
    most = (of_requests[1]["max_requests_in_60_s"] / requests, of_tokens[1]["max_tokens_in_60_s"] / tokens)
    return [
        Goal(
            name="G16",
            what=f"of {limit:,.0f} {kind} a minute: used; the most in any minute",
            bar="at least 97%; at most 102%",
            measured=f"{each_used:.1%}; {each_most:.1%}",
            is_met=each_used >= 0.97 and each_most <= 1.02,
            details={"kind": kind, "used": each_used, "most": each_most},
        )
        for kind, limit, each_used, each_most in zip(
            ("requests", "tokens"), (requests, tokens), used, most, strict=True
        )
    ]


async def _both(
    pair: tuple[tuple[Ours, Server], tuple[Ours, Server]], moments_s: tuple[float, ...]
) -> list[list[dict[str, Any]]]:
    return await asyncio.gather(*(counts(ours, server, moments_s) for ours, server in pair))


def _change(found: list[dict[str, Any]], field: str) -> float:
    return float(found[1][field] - found[0][field])
