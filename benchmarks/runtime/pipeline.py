"""A whole run on one core, and what importing costs: end to end requests a second, and G19.

The run goes on from a store that holds 52,002 instructions, all worked up: Alpaca's where they are at hand, else text
from benchmarks/markov.py. So each candidate is judged against so many. The server answers at once, from another core,
with replies that suit every stage. The rate is taken from the server's log, between a ramp and the last dispatch of a
stage-1 request: until then there is always work.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import subprocess
import sys
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import benchmarks.runtime.server_capacity as server_capacity
import benchmarks.similarity.markov as markov
from benchmarks.measuring import Goal, How, run_loop
from benchmarks.runtime.arms import MODEL
from benchmarks.runtime.scripted import Span, serving
from fastinstruct import __version__
from fastinstruct.config import load_config
from fastinstruct.pipeline import Run
from fastinstruct.pipeline.preparation import prepare
from fastinstruct.similarity import warm_up
from fastinstruct.store import (
    FORMAT_VERSION,
    AnnotationRow,
    CandidateRow,
    Commit,
    InstanceRow,
    InstructionRow,
    RequestRow,
    RunFolder,
    RunStore,
)

_ITEMS = 8  # instructions of a stage-1 reply
_LOOK_EVERY_S = 0.1
_IMPORT = "import time; begin = time.perf_counter(); import fastinstruct; print(time.perf_counter() - begin)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How much CPU was used at a moment: by the whole process, and by the thread of the event loop."""

    at_s: float
    process_s: float
    loop_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """What a run did while there was always work."""

    requests_per_s: float
    cpu_us: float
    loop_cpu_us: float
    core_share: float
    seconds: float
    by_stage: dict[str, int]


def texts_of_pool(size: int) -> list[str]:
    """So many instructions."""
    texts = markov.corpus()
    if len(texts) < size:
        texts = [text for block in markov.blocks(markov.build_chain(texts), size) for text in block]
    return texts[:size]


def build_run(folder: Path, flags: dict[str, Any], texts: list[str]) -> None:
    """Leave a run folder as a run would that has admitted these instructions and worked them up."""
    preparation = prepare(load_config(flags=flags), {})
    templates = preparation.prompts.templates
    with RunFolder(folder) as opened:
        opened.claim(preparation.identity(), {"fastinstruct": __version__, "format": FORMAT_VERSION})
        store = RunStore(opened.database)
        try:
            store.begin(preparation.seeds, {name: (each.sha256, each.source) for name, each in templates.items()})
            store.submit(list(commits_of(texts))).result()
        finally:
            store.close()


def commits_of(texts: list[str]) -> Iterator[Commit]:
    """The commits that these instructions came by."""
    ids = count(1)

    def request(stage: str, number: int, template: str, text: str) -> RequestRow:
        in_context = tuple(range(_ITEMS)) if stage == "instructions" else None
        return RequestRow(
            id=next(ids),
            stage=stage,
            number=number,
            template=template,
            in_context=in_context,
            outcome="ok",
            text=text,
            finish_reason="stop",
            model=MODEL,
        )

    for first in range(0, len(texts), _ITEMS):
        rows = [
            InstructionRow(id=first + place, candidate_id=first + place + 1, text=text)
            for place, text in enumerate(texts[first : first + _ITEMS])
        ]
        yield Commit(
            request=request("instructions", first // _ITEMS, "instructions", "\n".join(row.text for row in rows)),
            candidates=tuple(CandidateRow(id=row.candidate_id, text=row.text, reason=None) for row in rows),
            instructions=tuple(rows),
        )
        for row in rows:
            yield Commit(
                request=request("classification", row.id, "classification", "No"),
                annotations=(AnnotationRow(instruction_id=row.id, name="is_classification", value=False),),
            )
            yield Commit(
                request=request("instances", row.id, "input_first", "Output: One."),
                instances=(InstanceRow(instruction_id=row.id, item=0, input="", output="One."),),
            )


def end_to_end(how: How) -> list[Goal]:
    """Whole runs, all stages at once, filter and store included."""
    pool, more, in_flight, ramp_s = how.pick((52_002, 15_000, 256, 2.0), (500, 300, 16, 0.2))
    flags = {"model.base_url": "http://127.0.0.1:1/v1", "model.name": MODEL}
    built = how.folder / "built"
    build_run(built, flags, texts_of_pool(pool))
    warm_up()
    posted = server_capacity.bodies()
    found, bare_us = [], []
    for number in range(how.rounds(5)):
        folder = how.folder / f"run-{number}"
        shutil.copytree(built, folder)
        log = how.folder / f"pipeline-{number}.jsonl"
        with serving("--replies", "quick", "--log-every", "0.5", "--seed", str(number), log=log) as server:
            asked = {"model.base_url": server.url, "out": folder, "target": pool + more}
            looks = run_loop(_whole_run({**flags, **asked, "runtime.max_in_flight": in_flight}))
        found.append(steady := steady_part(server.spans(), looks, ramp_s))
        asking = server_capacity.client_cpu_us(posted, seconds=how.pick(2.0, 0.2), in_flight=in_flight)
        bare_us.append(run_loop(asking))  # how fast the machine is just now
        print(
            f"  whole run {steady.requests_per_s:,.0f} requests/s over {steady.seconds:.1f} s, {steady.cpu_us:.0f} us "
            f"of CPU each, of which the loop {steady.loop_cpu_us:.0f}; {steady.core_share:.0%} of the core; "
            f"a bare aiohttp client takes {bare_us[-1]:.0f} us",
            flush=True,
        )
    times_bare = statistics.median(steady.cpu_us / bare for steady, bare in zip(found, bare_us, strict=True))
    rates = [steady.requests_per_s for steady in found]
    cpu_us, share = (statistics.median(getattr(steady, name) for steady in found) for name in ("cpu_us", "core_share"))
    return [
        Goal(
            name="E2E",
            what=f"requests a second of a whole run in one process, {pool:,} instructions in the pool",
            bar="at least 3,000",
            measured=f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f}); "
            f"{cpu_us:.0f} us of CPU each ({times_bare:.1f} times a bare aiohttp client's), {share:.0%} of a core: "
            f"{1e6 / cpu_us:,.0f} for a second of it",
            is_met=statistics.median(rates) >= 3_000,
            details={
                "pool": pool,
                "in_flight": in_flight,
                "requests_per_s": rates,
                "cpu_us": cpu_us,
                "loop_cpu_us": statistics.median(steady.loop_cpu_us for steady in found),
                "core_share": share,
                "bare_client_cpu_us": bare_us,
                "times_bare_client": times_bare,
                "by_stage": found[0].by_stage,
            },
        )
    ]


async def _whole_run(flags: dict[str, Any]) -> list[Look]:
    looks = list[Look]()
    looking = asyncio.create_task(_look_on(looks))
    await Run(load_config(flags=flags), env={}).execute()
    looking.cancel()
    with suppress(asyncio.CancelledError):
        await looking
    return looks


async def _look_on(looks: list[Look]) -> None:
    while True:
        looks.append(Look(at_s=time.monotonic(), process_s=time.process_time(), loop_s=time.thread_time()))
        await asyncio.sleep(_LOOK_EVERY_S)


def steady_part(spans: list[Span], looks: list[Look], ramp_s: float) -> Steady:
    """The part of a run in which there was always work, to the nearest looks; all of it if the run is over too soon."""
    first = min(span.started_s for span in spans)
    last = max(span.started_s for span in spans if span.kind == "instructions")
    times = [look.at_s for look in looks]
    begin, end = (looks[min(bisect_left(times, at_s), len(looks) - 1)] for at_s in (first + ramp_s, last))
    if not any(begin.at_s <= span.ended_s < end.at_s for span in spans):
        begin, end = looks[0], looks[-1]
    during = [span for span in spans if begin.at_s <= span.ended_s < end.at_s]
    seconds = end.at_s - begin.at_s
    return Steady(
        requests_per_s=len(during) / seconds,
        cpu_us=(end.process_s - begin.process_s) / len(during) * 1e6,
        loop_cpu_us=(end.loop_s - begin.loop_s) / len(during) * 1e6,
        core_share=(end.process_s - begin.process_s) / seconds,
        seconds=seconds,
        by_stage=dict(Counter(str(span.kind) for span in during)),
    )


def import_time(how: How) -> list[Goal]:
    """G19: `import fastinstruct` in fresh processes."""
    taken_ms = [
        1000 * float(subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=True).stdout)
        for _ in range(how.pick(15, 2))
    ]
    median_ms = statistics.median(taken_ms)
    return [
        Goal(
            name="G19",
            what="`import fastinstruct`",
            bar="at most 150 ms",
            measured=f"{median_ms:.0f} ms ({min(taken_ms):.0f} to {max(taken_ms):.0f})",
            is_met=median_ms <= 150,
            details={"ms": taken_ms},
        )
    ]
