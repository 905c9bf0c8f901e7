"""Whole runs under faults, killed again and again, until the time is up or store and server disagree.

Each run, in one commit order or the other, goes against the scripted server in a process of its own: latencies with a
long tail, and a mix of rate limits, errors, hangs, resets, truncated and malformed bodies. The run is killed (SIGKILL)
at random moments and started again until it ends; sometimes the server is killed and started again, too.
Then the server's log and the store are compared:

- what a kill left in the store is there to the end, in the same order: the same committed prefix;
- every answer in the store is, to the character, what the server says to the prompt that the store tells of;
- nothing is asked twice: stage and number are unique, and stage 1's numbers have no gap, but where a kill dropped
  requests that the target did not need any more when the run went on (in the order of draws they are asked even so);
- nothing is lost but what a kill may lose: answers of the server that are not in the store are at most as many, for
  each kill, as could be in flight;
- every instruction has its classification and an answer in stage 3 (a reply that the server cut may be unreadable: it
  is stored, and not asked again), no draw is left over, and the database is sound.

A table for people, one JSON document as the last line; 1 as exit code after a difference.

    python -m benchmarks.soak.runs --minutes 120
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from fastinstruct.config import load_config
from fastinstruct.lm import Endpoint
from fastinstruct.lm.transports.codec import encode_body
from fastinstruct.pipeline.preparation import prepare
from fastinstruct.pipeline.stages.base import Item
from fastinstruct.records import Api
from fastinstruct.scripted_server import Script
from fastinstruct.scripted_server.draws import text_sha256
from fastinstruct.scripted_server.replies import reply_to
from fastinstruct.scripted_server.shapes import read_ask
from fastinstruct.store import ANSWERED

FAULTS = {"429": 0.05, "500": 0.02, "reset": 0.01, "truncated": 0.01, "malformed": 0.005, "hang": 0.005}
TIMEOUT_S = 2.0
HARD_STOP_S = 600.0
MOST_LAST_SITTINGS = 5  # on a machine with much else to do, a request may time out again and again


@dataclass(kw_only=True)
class Plan:
    """One run."""

    seed: int
    in_flight: int
    target: int
    is_windowed: bool
    kills: int
    server_kills: int

    @classmethod
    def drawn(cls, seed: int) -> Plan:
        rng = random.Random(seed)
        in_flight = rng.choice([1, 8, 64, 200])
        return cls(
            seed=seed,
            in_flight=in_flight,
            target=rng.choice([100, 200]) if in_flight == 1 else rng.choice([300, 1_500, 4_000]),
            is_windowed=rng.random() < 0.4,
            kills=rng.choice([0, 2, 6, 12]),
            server_kills=rng.choice([0, 0, 1, 3]),
        )


@dataclass(kw_only=True)
class Totals:
    """What all runs came to."""

    runs: int = 0
    kills: int = 0
    server_kills: int = 0
    answers: int = 0
    stored: int = 0
    unreadable: int = 0
    unacknowledged: int = 0
    failed_attempts: int = 0
    given_up: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)


class Server:
    """The scripted server in a process of its own, always on the same port, its log going on."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.log = folder / "server.jsonl"
        self._port_file = folder / "port"
        self._plan = plan
        self._port = "0"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    async def start(self) -> None:
        self._port_file.unlink(missing_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "fastinstruct", "scripted-server"),
            *("--port", self._port, "--port-file", str(self._port_file), "--log", str(self.log)),
            # One fault in a row: after two time-outs a request is given up, which is no difference.
            *("--max-faults-per-prompt", "1", "--seed", str(self._plan.seed)),
            *("--latency", "0.01", "--latency-sigma", "0.8"),
            *(part for name, rate in FAULTS.items() for part in ("--fault", f"{name}={rate}")),
            stdout=asyncio.subprocess.DEVNULL,
        )
        while not self._port_file.exists():  # noqa: ASYNC110 - a file sets no event
            await asyncio.sleep(0.01)
        self._port = self._port_file.read_text().strip()

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()


async def sitting(command: list[str], kill_after_s: float | None) -> int:
    """Start the run; kill it after a while unless it ends before. Returns its exit code, -9 if it was killed."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        _, errors = await asyncio.wait_for(process.communicate(), kill_after_s or HARD_STOP_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        return -signal.SIGKILL
    if process.returncode not in (0, None):
        sys.stderr.write(errors.decode("utf-8", "replace")[-2000:])
    return process.returncode or 0


async def one_run(folder: Path, plan: Plan, totals: Totals) -> None:
    rng = random.Random(plan.seed)
    run, server, left = folder / "run", Server(folder, plan), list[list[tuple[Any, ...]]]()
    await server.start()
    flags = {
        "model.base_url": server.base_url,
        "model.name": "scripted",
        "model.api": "completions",
        "model.total_timeout_s": TIMEOUT_S,
        "classification.method": "text",
        "runtime.max_in_flight": plan.in_flight,
        "runtime.commit_order": "windowed" if plan.is_windowed else "arrival",
        "target": plan.target,
        "rng_seed": plan.seed,
        "out": str(run),
    }
    command = [sys.executable, "-m", "fastinstruct", "run", "--json", "--show", "0"]
    command += [part for name, value in flags.items() for part in ("--set", f"{name}={value}")]
    try:
        for number in range(plan.kills):
            if number < plan.server_kills:
                asyncio.get_running_loop().call_later(rng.uniform(1, 3), asyncio.ensure_future, restart(server))
            code = await sitting(command, rng.uniform(1.0, 6.0))
            totals.kills += code == -signal.SIGKILL
            left.append(committed(run))
            if code == 0:
                break
        await asyncio.sleep(4 if plan.server_kills else 0)
        code = -1
        for _ in range(MOST_LAST_SITTINGS):  # what was given up in stages 2 and 3 is asked again by the next sitting
            code = await sitting(command, None)
            if code == 0 and num_unfinished(run) == 0:
                break
        totals.server_kills += min(plan.server_kills, plan.kills)
        if code != 0:
            totals.differences.append(f"seed {plan.seed}: the run ended with exit code {code}")
    finally:
        await server.kill()
    compare(run, server.log, plan, flags, totals)
    final = committed(run)
    if any(final[: len(prefix)] != prefix for prefix in left):
        totals.differences.append(f"seed {plan.seed}: what a kill had left was changed")


def committed(run: Path) -> list[tuple[Any, ...]]:
    """What is stored, in commit order."""
    if not (run / "run.db").exists():
        return []
    connection = sqlite3.connect(run / "run.db")
    try:
        return connection.execute("SELECT id, stage, number, outcome, text FROM request ORDER BY id").fetchall()
    except sqlite3.OperationalError:  # killed before there were tables
        return []
    finally:
        connection.close()


def num_unfinished(run: Path) -> int:
    """How many instructions stage 3 has not answered."""
    connection = sqlite3.connect(run / "run.db")
    sql = (
        "SELECT (SELECT count(*) FROM instruction) - count(*) FROM request "
        f"WHERE stage = 'instances' AND outcome IN {ANSWERED}"
    )
    (count,) = connection.execute(sql).fetchone()
    connection.close()
    return int(count)


async def restart(server: Server) -> None:
    await server.kill()
    await asyncio.sleep(0.5)
    await server.start()


def compare(run: Path, log: Path, plan: Plan, flags: dict[str, Any], totals: Totals) -> None:
    """Compare what the server answered with what is stored."""
    answered = Counter(
        entry["prompt_sha256"]
        for entry in map(orjson.loads, log.read_bytes().splitlines())
        if entry["reply_id"] is not None
    )
    connection = sqlite3.connect(run / "run.db")
    totals.failed_attempts += connection.execute("SELECT count(*) FROM attempt").fetchone()[0]
    given_up = f"SELECT outcome || ': ' || coalesce(detail, '') FROM request WHERE outcome NOT IN {ANSWERED}"
    totals.unreadable += connection.execute("SELECT count(*) FROM request WHERE outcome = 'unreadable'").fetchone()[0]
    totals.given_up.update(why for (why,) in connection.execute(given_up))
    found = [*problems(connection, answered, plan, flags, totals)]
    connection.close()
    totals.differences += [f"seed {plan.seed}: {problem}" for problem in found]


def problems(
    connection: sqlite3.Connection, answered: Counter[str], plan: Plan, flags: dict[str, Any], totals: Totals
) -> Iterator[str]:
    if connection.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
        yield "the database is damaged"
    rows = connection.execute(
        f"SELECT stage, number, in_context, template, text FROM request WHERE outcome IN {ANSWERED}"
    )
    stored: Counter[str] = Counter()
    asked: Counter[tuple[str, int]] = Counter()
    expected = Expected(connection, plan, flags)
    for stage, number, in_context, template, text in rows:
        asked[stage, number] += 1
        sha256, said = expected.answer(stage, number, in_context, template)
        stored[sha256] += 1
        if text != said:
            yield f"{stage} {number}: stored {text[:60]!r}, said {said[:60]!r}"
    totals.answers += answered.total()
    totals.stored += stored.total()
    yield from (f"{name} is stored {count} times" for name, count in asked.items() if count > 1)
    if extra := stored - answered:
        yield f"{extra.total()} answers are stored that the server did not give"
    lost = (answered - stored).total()
    totals.unacknowledged += lost
    if lost > (plan.kills + 1) * plan.in_flight:
        yield f"{lost} answers are not stored"
    sql = "SELECT DISTINCT number FROM request WHERE stage = ? ORDER BY number"
    numbers = [number for (number,) in connection.execute(sql, ("instructions",))]
    num_missing = len(set(range(max(numbers, default=-1) + 1)) - set(numbers))
    if num_missing > (0 if plan.is_windowed else plan.kills * plan.in_flight):
        yield f"{num_missing} of stage 1's numbers are missing"
    if plan.is_windowed and connection.execute("SELECT count(*) FROM draw").fetchone() != (0,):
        yield "draws are left over"
    for table in ("annotation", "instruction"):
        count = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        if count != sum(stage == "instances" for stage, _ in asked):
            yield f"{count} rows in {table}, and another number of answers for instances"


class Expected:
    """What the server says to the prompt that a stored request had."""

    def __init__(self, connection: sqlite3.Connection, plan: Plan, flags: dict[str, Any]) -> None:
        self._preparation = prepare(load_config(flags=flags, env={}), {})
        self._stages = self._preparation.stages()
        self._script = Script(seed=plan.seed)
        self._endpoint = Endpoint(base_url=flags["model.base_url"], model="scripted", api=Api.COMPLETIONS)
        self._texts = [text for (text,) in connection.execute("SELECT text FROM instruction ORDER BY id")]
        self._pool = [*(seed.instruction for seed in self._preparation.seeds), *self._texts]

    def answer(self, stage: str, number: int, in_context: str | None, template: str) -> tuple[str, str]:
        """The sha256 of the prompt, and the reply's text."""
        if stage == "instructions":
            positions = tuple(json.loads(in_context or "[]"))
            item = Item(number, in_context=positions, shown=tuple(self._pool[position] for position in positions))
        else:
            item = Item(number, self._texts[number], self._stages[stage].known_by(template))
        job = self._stages[stage].build(item)
        ask = read_ask("/v1/completions", encode_body(self._endpoint, job.request, ()))
        assert not isinstance(ask, str), ask
        return text_sha256(ask.prompt), reply_to(ask, seed=self._script.seed, rates=self._script).text


async def soak(minutes: float, first: int, runs: int | None) -> Totals:
    totals, begin, seed = Totals(), time.monotonic(), first
    while time.monotonic() - begin < 60 * minutes and (runs is None or totals.runs < runs):
        plan = Plan.drawn(seed)
        folder = Path(tempfile.mkdtemp(prefix="fastinstruct-soak-"))
        try:
            await one_run(folder, plan, totals)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        totals.runs += 1
        seed += 1
        print(
            f"{(time.monotonic() - begin) / 60:7.1f} min: runs {totals.runs:,}, kills {totals.kills:,}, of the server "
            f"{totals.server_kills:,}, answers {totals.answers:,}, stored {totals.stored:,}, failed attempts "
            f"{totals.failed_attempts:,}, differences {len(totals.differences)}",
            flush=True,
        )
        if totals.differences:
            break
    return totals


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--first", type=int, default=0, help="the first run's seed")
    parser.add_argument("--runs", type=int, default=None)
    arguments = parser.parse_args()
    begin = time.monotonic()
    totals = asyncio.run(soak(arguments.minutes, arguments.first, arguments.runs))
    for difference in totals.differences:
        print(f"DIFFERENCE {difference}")
    document = {**vars(totals), "minutes": (time.monotonic() - begin) / 60, "machine": platform.machine()}
    print(json.dumps({"benchmark": "soak_runs", **document}))
    raise SystemExit(1 if totals.differences else 0)


if __name__ == "__main__":
    main()
