"""How full a run keeps its slots while work waits, seen from the server.

A whole run (four stages, filter, store) against the scripted server in a process of its own, with log-normal
latencies. The share of busy slots is the integral of requests in flight over the time from the end of the ramp (the
first moment when all slots are taken) to the last dispatch of a stage-1 request: until then there is always work
waiting. A table for people, one JSON document as the last line.

    python -m benchmarks.runtime.slot_use --in-flight 200 --median 0.5 --sigma 0.8 --target 3000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import benchmarks.runtime.server_capacity as server_capacity
import fastinstruct
from benchmarks.runtime.scripted import serving, stay_on_first_core
from fastinstruct.config import load_config
from fastinstruct.pipeline import Run, RunResult


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotUse:
    """What the server saw. Times in seconds, `busy_share` from 0 to 1."""

    num_slots: int
    window: int | None
    num_requests: int
    max_in_flight: int
    steady_s: float
    busy_share: float
    elapsed_s: float
    num_admitted: int
    num_examples: int


def busy_share(spans: list[tuple[float, float]], num_slots: int, last_dispatch: float) -> tuple[float, float, int]:
    """Return the share of busy slots, the seconds it was taken over, and the most requests at once.

    Args:
        spans: (start, end) of every request at the server.
        num_slots: the client's limit.
        last_dispatch: when the client drew its last job that others were waiting behind.
    """
    events = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    in_flight = most = 0
    ramp_end: float | None = None
    before = area = 0.0
    for moment, change in events:
        if ramp_end is not None and moment <= last_dispatch:
            area += in_flight * (moment - before)
        before = moment
        in_flight += change
        most = max(most, in_flight)
        if ramp_end is None and in_flight >= num_slots:
            ramp_end = moment
    steady_s = max(0.0, last_dispatch - ramp_end) if ramp_end is not None else 0.0
    return (area / (num_slots * steady_s) if steady_s else 0.0), steady_s, most


async def whole_run(arguments: argparse.Namespace, url: str, folder: Path) -> tuple[RunResult, float]:
    """Run to the target; how it ended, and the seconds it took."""
    flags = {
        "model.base_url": url,
        "model.name": "scripted",
        "model.api": "completions",
        "classification.method": "text",
        "out": folder,
        "target": arguments.target,
        "runtime.max_in_flight": arguments.in_flight,
    }
    if arguments.window is not None:
        flags |= {"runtime.commit_order": "windowed", "runtime.window": arguments.window}
    started = time.monotonic()
    result = await Run(load_config(flags=flags), env={}).execute()
    return result, time.monotonic() - started


def measure(arguments: argparse.Namespace, folder: Path) -> SlotUse:
    options = ("--latency", str(arguments.median), "--latency-sigma", str(arguments.sigma))
    with serving(*options, log=folder / "server.jsonl") as server:
        stay_on_first_core()
        result, elapsed_s = asyncio.run(whole_run(arguments, server.url, folder / "run"))
    answered = [span for span in server.spans() if span.kind]
    spans = [(span.started_s, span.ended_s) for span in answered]
    last_dispatch = max(span.started_s for span in answered if span.kind == "instructions")
    share, steady_s, most = busy_share(spans, arguments.in_flight, last_dispatch)
    return SlotUse(
        num_slots=arguments.in_flight,
        window=arguments.window,
        num_requests=len(spans),
        max_in_flight=most,
        steady_s=round(steady_s, 3),
        busy_share=round(share, 4),
        elapsed_s=round(elapsed_s, 3),
        num_admitted=result.progress.num_admitted,
        num_examples=result.progress.num_examples,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--in-flight", type=int, default=200)
    parser.add_argument("--median", type=float, default=0.5, help="median latency in seconds")
    parser.add_argument("--sigma", type=float, default=0.8, help="of the log-normal latency")
    parser.add_argument("--target", type=int, default=3000)
    parser.add_argument("--window", type=int, help="commit in the order of draws, so many ahead; default: by arrival")
    arguments = parser.parse_args()
    server_capacity.shown("written", seconds=1.0)
    with tempfile.TemporaryDirectory() as name:
        found = measure(arguments, Path(name))
    rows = {
        "slots": found.num_slots,
        "commit order": "arrival" if found.window is None else f"windowed, {found.window}",
        "slots busy while work waits": f"{found.busy_share:.1%}",
        "over": f"{found.steady_s:.1f} s",
        "most in flight": found.max_in_flight,
        "requests": found.num_requests,
        "whole run": f"{found.elapsed_s:.1f} s",
        "instructions, examples": f"{found.num_admitted}, {found.num_examples}",
    }
    for label, value in rows.items():
        print(f"{label:<30}{value}")
    fields = {name: getattr(found, name) for name in SlotUse.__slots__}
    print(json.dumps({"benchmark": "slot_use", "fastinstruct": fastinstruct.__version__, **fields}))


if __name__ == "__main__":
    main()
