"""Whole runs with a budget, over real HTTP: never more than it, said when it is used up, resumed with a larger one."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fastinstruct.config import RunConfig, load_config
from fastinstruct.errors import ConfigError, ParserFailed
from fastinstruct.lm import HttpTransport, Ok, Outcome, Request
from fastinstruct.pipeline import Run, RunResult
from fastinstruct.pipeline.budget.persistence import read_ledger
from fastinstruct.pipeline.budget.stop_rules import Stop
from fastinstruct.records import Completion, Usage
from fastinstruct.scripted_server import Latency, Script, ScriptedServer
from fastinstruct.scripted_server.faults import Fault
from fastinstruct.store import RunReader
from fastinstruct.text.parsing import parse_instances
from places import REPOSITORY

PRICES = {"scripted": {"input": 1.0, "output": 4.0}}
NOT_COUNTED = {Fault.RATE_LIMITED}  # what the server answers so is not worked on, so nothing is owed for it


def config_for(server: ScriptedServer, out: Path, target: int = 60, **flags: Any) -> RunConfig:
    given: dict[str, Any] = {
        "model.base_url": server.base_url,
        "model.name": "scripted",
        "model.api": "completions",
        "model.replies": "text",
        "classification.method": "text",
        "out": out,
        "target": target,
        "runtime.max_in_flight": 64,
        "prices": PRICES,
        **{key.replace("__", "."): value for key, value in flags.items()},
    }
    return load_config(flags=given)


async def execute(config: RunConfig, sample: int | None = None) -> RunResult:
    return await Run(config, env={"XDG_CACHE_HOME": f"{config.out}-cache"}, sample=sample).execute()


@asynccontextmanager
async def scripted(**script: Any) -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(Script(**script)) as server:
        yield server


def asked(server: ScriptedServer) -> int:
    """How many requests the server worked on."""
    return sum(entry.path != "/v1/models" and entry.fault not in NOT_COUNTED for entry in server.log)


def stored(folder: Path) -> tuple[int, int, int]:
    """Requests, prompt and completion tokens that the server told of answers that are stored."""
    with RunReader(folder) as reader:
        totals = reader.totals()
    return (
        sum(usage.num_answered for usage in totals.usage.values()),
        totals.prompt_tokens,
        totals.completion_tokens,
    )


def cost_of(folder: Path) -> float:
    _, prompt_tokens, completion_tokens = stored(folder)
    return (prompt_tokens + 4 * completion_tokens) / 1e6


def rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(f"file:{folder / 'run.db'}?mode=ro", uri=True)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


# --------------------------------------------------------------------------------------------------------------- limits


async def test_never_more_requests_than_allowed_and_a_larger_budget_goes_on(tmp_path: Path) -> None:
    async with scripted(latency=Latency(0.005)) as server:
        first = await execute(config_for(server, tmp_path / "run", budget__max_requests=50))
        assert (first.ended_by, first.exit_code) == ("max_requests", 3)
        assert first.stop == Stop(rule="max_requests", used=50, limit=50, next_use=1)
        assert asked(server) == 50
        again = await execute(config_for(server, tmp_path / "run", budget__max_requests=50))
        assert (again.ended_by, again.exit_code, asked(server)) == ("max_requests", 3, 50)
        second = await execute(config_for(server, tmp_path / "run", budget__max_requests=70))
        assert (second.ended_by, asked(server)) == ("max_requests", 70)
        last = await execute(config_for(server, tmp_path / "run", budget__max_requests=10_000))
    assert (last.ended_by, last.exit_code, last.stop) == ("target", 0, None)
    assert max(Counter(rows(tmp_path / "run", "SELECT stage, number FROM request")).values()) == 1
    ends = [why for (why,) in rows(tmp_path / "run", "SELECT ended_by FROM sitting ORDER BY id")]
    assert ends == ["max_requests", "max_requests", "max_requests", "target"]


@pytest.mark.parametrize("api", ["completions", "chat"])
async def test_never_more_tokens_than_allowed_and_hardly_any_left(tmp_path: Path, api: str) -> None:
    async with scripted(latency=Latency(0.005)) as server:
        config = config_for(server, tmp_path / "run", 300, model__api=api, budget__max_tokens=60_000)
        result = await execute(config)
        num_requests, prompt_tokens, completion_tokens = stored(tmp_path / "run")
        assert asked(server) == num_requests
    assert result.ended_by == "max_tokens"
    assert result.stop is not None
    assert result.stop.used == prompt_tokens + completion_tokens == result.progress.num_tokens_used <= 60_000
    assert result.stop.next_use is not None
    assert result.stop.used + result.stop.next_use > 60_000


async def test_never_more_dollars_than_allowed_and_the_same_command_again_sends_nothing(tmp_path: Path) -> None:
    async with scripted(latency=Latency(0.005)) as server:
        config = config_for(server, tmp_path / "run", 300, budget__max_cost=0.08)
        result = await execute(config)
        num_asked = asked(server)
        assert result.ended_by == "max_cost"
        assert result.progress.cost == pytest.approx(cost_of(tmp_path / "run"))
        assert 0.06 < cost_of(tmp_path / "run") <= 0.08
        again = await execute(config)
        assert (again.ended_by, asked(server)) == ("max_cost", num_asked)
        assert again.progress.cost == result.progress.cost
        free = config_for(
            server, tmp_path / "run", 60, budget__max_cost=0.08, prices={"scripted": {"input": 0, "output": 0}}
        )
        assert (await execute(free)).ended_by == "target"


async def test_attempts_that_failed_count_as_what_they_may_have_cost_in_later_sittings_too(tmp_path: Path) -> None:
    faults = {"429": 0.1, "500": 0.1, "reset": 0.05, "truncated": 0.1, "malformed": 0.05}
    async with scripted(faults=faults, retry_after_s=0.0) as server:
        limits = {"budget__max_requests": 90, "budget__max_tokens": 400_000}
        result = await execute(config_for(server, tmp_path / "run", 300, **limits))
        assert result.ended_by in {"max_requests", "max_tokens"}
        assert asked(server) <= result.progress.num_requests_used <= 90
        assert sum(stored(tmp_path / "run")[1:]) < result.progress.num_tokens_used <= 400_000
        num_asked = asked(server)
        again = await execute(config_for(server, tmp_path / "run", 300, **limits))
        assert asked(server) == num_asked
        assert again.progress.num_tokens_used == result.progress.num_tokens_used
        assert again.progress.num_requests_used == result.progress.num_requests_used
        last = await execute(config_for(server, tmp_path / "run", 60))
    assert last.ended_by == "target"
    assert max(Counter(rows(tmp_path / "run", "SELECT stage, number FROM request")).values()) == 1


async def test_what_was_dropped_counts_in_full(tmp_path: Path) -> None:
    async with scripted(latency=Latency(30.0)) as server:
        config = config_for(server, tmp_path / "run", budget__max_requests=10, runtime__drain_timeout_s=0.05)
        run = Run(config, env={})
        task = asyncio.create_task(run.execute())
        while server.num_in_flight < 8:  # noqa: ASYNC110 - a server's counter sets no event
            await asyncio.sleep(0.005)
        run.stop()
        result = await task
        num_sent = asked(server)
    assert (result.ended_by, result.progress.num_dropped) == ("interrupt", num_sent)
    assert result.progress.num_requests_used == num_sent == 8
    async with scripted() as server:
        again = await execute(config_for(server, tmp_path / "run", budget__max_requests=10))
        assert (again.ended_by, asked(server)) == ("max_requests", 2)


async def test_a_budget_without_a_price_is_refused_before_anything_is_sent_or_written(tmp_path: Path) -> None:
    async with scripted() as server:
        with pytest.raises(ConfigError, match=r"budget\.max_cost: no price is known for the model scripted"):
            await execute(config_for(server, tmp_path / "run", budget__max_cost=1, prices={}))
        assert server.log == []
    assert not (tmp_path / "run").exists()


async def test_a_reply_without_usage_counts_as_the_most_it_may_have_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = HttpTransport.send

    async def silent(self: HttpTransport, request: Request) -> Outcome:
        outcome = await send(self, request)
        assert isinstance(outcome, Ok)
        found = outcome.completion
        return Ok(Completion(text=found.text, finish_reason=found.finish_reason, usage=Usage(), model=found.model))

    monkeypatch.setattr(HttpTransport, "send", silent)
    async with scripted() as server:
        result = await execute(config_for(server, tmp_path / "run", budget__max_tokens=50_000))
        num_asked = asked(server)
        again = await execute(config_for(server, tmp_path / "run", budget__max_tokens=50_000))
        assert (again.ended_by, asked(server)) == ("max_tokens", num_asked)
    assert sum(stored(tmp_path / "run")[1:]) == 0
    assert 40_000 < result.progress.num_tokens_used == again.progress.num_tokens_used <= 50_000
    assert again.progress.projection is None or again.progress.projection.num_tokens is None


# ---------------------------------------------------------------------------------------------------------- calibration


async def test_a_calibration_is_paid_for_in_full_or_not_begun(tmp_path: Path) -> None:
    async with scripted() as server:
        flags: dict[str, Any] = {"classification__method": "logprobs", "classification__num_calibration_seeds": 20}
        small = await execute(config_for(server, tmp_path / "run", budget__max_requests=19, **flags))
        assert (small.ended_by, small.stop, asked(server)) == (
            "max_requests",
            Stop(rule="max_requests", used=0, limit=19, next_use=20),
            0,
        )
        larger = await execute(config_for(server, tmp_path / "run", budget__max_requests=30, **flags))
        assert (larger.ended_by, asked(server)) == ("max_requests", 30)
        assert stored(tmp_path / "run")[0] == 10
        again = await execute(config_for(server, tmp_path / "run", budget__max_requests=35, **flags))
        assert (again.progress.num_requests_used, asked(server)) == (35, 35)


# ----------------------------------------------------------------------------------------------------- the other rules


async def test_time_ends_a_sitting_and_the_next_one_has_its_own(tmp_path: Path) -> None:
    async with scripted(latency=Latency(0.05)) as server:
        short = config_for(server, tmp_path / "run", 2000, budget__max_time_s=1.5, runtime__max_in_flight=4)
        first, second = await execute(short), await execute(short)
    assert (first.ended_by, first.exit_code, first.stop) == ("max_time", 3, Stop(rule="max_time", used=1.5, limit=1.5))
    assert second.ended_by == "max_time"
    assert second.progress.num_dropped == first.progress.num_dropped == 0
    assert stored(tmp_path / "run")[0] == asked(server)


async def test_too_many_failures_stop_a_run_that_can_go_on(tmp_path: Path) -> None:
    limits: dict[str, Any] = {"budget__max_error_rate": 0.2, "budget__error_window": 20, "runtime__max_attempts": 1}
    async with scripted(faults={"500": 0.35}, max_faults_per_prompt=99, latency=Latency(0.002)) as server:
        result = await execute(config_for(server, tmp_path / "run", 300, **limits))
    assert (result.ended_by, result.exit_code) == ("error_rate", 3)
    assert result.stop is not None
    assert result.stop.used > 0.2
    async with scripted() as server:
        assert (await execute(config_for(server, tmp_path / "run", **limits))).ended_by == "target"


async def test_a_model_that_ran_dry_is_not_asked_again_unless_that_is_wanted(tmp_path: Path) -> None:
    async with scripted(junk_rate=1.0) as server:
        first = await execute(config_for(server, tmp_path / "run", saturation__window=60))
        num_asked = asked(server)
        assert (first.ended_by, first.exit_code, first.stop) == (
            "saturation",
            3,
            Stop(rule="saturation", used=0.0, limit=0.01),
        )
        again = await execute(config_for(server, tmp_path / "run", saturation__window=60))
        assert (again.ended_by, asked(server)) == ("saturation", num_asked)
    async with scripted() as server:
        flags: dict[str, Any] = {"saturation": {"window": 60, "floor": None}}
        assert (await execute(config_for(server, tmp_path / "run", **flags))).ended_by == "target"


async def test_what_was_admitted_before_a_model_ran_dry_is_worked_up(tmp_path: Path) -> None:
    async with scripted(duplicate_rate=0.9) as server:
        flags = {"saturation__window": 40, "saturation__floor": 0.3, "runtime__max_in_flight": 4}
        result = await execute(config_for(server, tmp_path / "run", 500, **flags))
    assert result.ended_by == "saturation"
    assert result.progress.num_admitted > 0
    with RunReader(tmp_path / "run") as reader:
        assert reader.totals().num_worked_up == result.progress.num_admitted


async def test_replies_that_cannot_be_parsed_stop_the_run_with_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = itertools.count()

    def broken(*given: Any, **named: Any) -> Any:
        if next(calls) % 10 == 0:
            raise ZeroDivisionError
        return parse_instances(*given, **named)

    monkeypatch.setattr("fastinstruct.pipeline.stages.generate_instances.parse_instances", broken)
    async with scripted() as server:
        with pytest.raises(ParserFailed, match=r"^\d+ of 1\d\d replies could not be parsed; they are stored"):
            await execute(config_for(server, tmp_path / "run", 200))
        with RunReader(tmp_path / "run") as reader:
            assert read_ledger(reader, reader.totals()).num_requests == asked(server)
    (unparsed,) = rows(tmp_path / "run", "SELECT count(*), count(text) FROM request WHERE outcome = 'parser_failed'")
    assert unparsed[0] == unparsed[1] > 0


# ------------------------------------------------------------------------------------------------ what is still to come


async def test_an_estimate_sends_a_few_requests_of_each_stage_and_the_run_goes_on_from_there(tmp_path: Path) -> None:
    async with scripted(latency=Latency(0.02)) as server:
        config = config_for(server, tmp_path / "run", 300)
        result = await execute(config, sample=5)
        assert (result.ended_by, result.exit_code, asked(server)) == ("estimate", 0, 15)
        told = result.progress.projection
        assert told is not None
        last = await execute(config)
        num_asked = asked(server) - 15
    assert last.ended_by == "target"
    assert last.progress.projection is not None
    assert last.progress.projection.num_calls == 0
    assert told.num_calls == pytest.approx(num_asked, rel=0.15)
    assert told.num_requests["classification"] == told.num_requests["instances"] == 295
    assert told.num_tokens == pytest.approx(sum(stored(tmp_path / "run")[1:]), rel=0.25)
    assert told.cost == pytest.approx(cost_of(tmp_path / "run"), rel=0.25)
    assert told.time_s is not None
    (ends,) = zip(*rows(tmp_path / "run", "SELECT ended_by FROM sitting ORDER BY id"), strict=True)
    assert ends == ("estimate", "target")


async def test_a_sample_that_is_the_whole_run_reaches_the_target(tmp_path: Path) -> None:
    async with scripted() as server:
        assert (await execute(config_for(server, tmp_path / "run", 3), sample=50)).ended_by == "target"


async def test_a_projection_becomes_known_while_a_run_goes_on(tmp_path: Path) -> None:
    async with scripted(latency=Latency(0.01)) as server:
        run = Run(config_for(server, tmp_path / "run", 150, runtime__max_in_flight=8), env={})
        task = asyncio.create_task(run.execute())
        told: list[int] = []
        while not task.done():
            await asyncio.sleep(0.01)
            progress = run.progress()
            if progress is not None and progress.projection is not None:
                told.append(progress.projection.num_calls)
        await task
    assert told[0] > told[-1]
    assert told[0] == pytest.approx(300 + 150 / 6, rel=0.4)


# ----------------------------------------------------------------------------------------------------- the command line


async def command(folder: Path, *arguments: str) -> tuple[int | None, str, str]:
    paths = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "kernels")))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "fastinstruct", *arguments),
        cwd=folder,
        env={"PYTHONPATH": paths, "HOME": str(Path.home()), "PATH": os.defpath},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_the_command_says_which_limit_how_much_and_what_goes_on(tmp_path: Path) -> None:
    async with scripted() as server:
        run = ("run", "--base-url", server.base_url, "--model", "scripted", "-n", "40", "-o", "here", "--show", "0")
        prices = ("--set", "prices={scripted: {input: 1, output: 4}}")
        code, out, err = await command(tmp_path, *run, *prices, "--estimate", "--estimate-requests", "4")
        num_of_forms = 3  # what each stage's replies are asked for as
        assert (code, out, asked(server)) == (0, "", 12 + num_of_forms)
        assert "scripted costs 1 in, 4 out: dollars per million tokens, as configured" in err
        assert "Estimated from a few requests" in err
        assert " instructions need " in err
        code, out, err = await command(tmp_path, *run, "--max-requests", "20")
        assert (code, out, asked(server)) == (3, "", 20)
        told = "Stopped at --max-requests: 20 of 20 requests are used; the same command with a larger one goes on."
        assert told in err
        code, out, err = await command(tmp_path, *run, *prices, "--max-cost", "0.03", "--json")
        summary = json.loads(out)
        assert code == 3
        assert (summary["ended_by"], summary["stop"]["limit"]) == ("max_cost", 0.03)
        assert summary["stop"]["used"] == summary["cost_dollars"] <= 0.03
        assert summary["cost_per_example_dollars"] == pytest.approx(summary["cost_dollars"] / summary["num_examples"])
        status = json.loads((await command(tmp_path, "status", "here", "--json"))[1])
        keys = ("num_requests_used", "num_tokens_used", "cost_dollars", "tokens_per_example")
        assert [status[key] for key in keys] == [summary[key] for key in keys]
        assert status["projection"]["num_requests"] == summary["projection"]["num_requests"]
        assert [sitting["ended_by"] for sitting in status["sittings"]] == ["estimate", "max_requests", "max_cost"]
        await command(tmp_path, *run, *prices, "--max-cost", "0.03")  # ends at once, and changes nothing
        again = json.loads((await command(tmp_path, "status", "here", "--json"))[1])
        assert len(again["sittings"]) == 4
        assert again["projection"] == status["projection"]
        shown = (await command(tmp_path, "status", "here"))[1]
        assert f"used:           {summary['num_requests_used']} requests, " in shown
        assert "still to come:  at " in shown
        code, _, err = await command(tmp_path, *run, "--max-time", "soon")
        assert (code, len(err.splitlines())) == (2, 1)
        assert "budget.max_time_s: must be seconds, or hours and minutes such as 90m or 2h30m, got 'soon'" in err
