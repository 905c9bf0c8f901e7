"""The commit order `windowed`: the same data whatever the latencies, the failures and the kills; and nothing lost."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import string
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastinstruct.errors import Aborted, ConfigError, RunFolderError
from fastinstruct.lm import Deadline, Ok, Outcome, Request
from fastinstruct.lm.scheduling.job import Delivery, FailedAttempt, Job
from fastinstruct.pipeline import Run
from fastinstruct.pipeline.commit.committer import Committer
from fastinstruct.pipeline.commit.early_answers import dumped_answer, loaded_answer
from fastinstruct.pipeline.commit.windowed import InOrder
from fastinstruct.pipeline.stages.base import Task
from fastinstruct.records import Completion, FinishReason, Sampling, Usage
from fastinstruct.scripted_server import Latency, Outage, Script, ScriptedServer
from fastinstruct.store import DrawRow, PendingDraw, RunReader, RunStore
from killing import everything, rows, run_and_kill
from run_stages import STAGES
from windowed_runs import WINDOWED, config_for, until


async def data_of(script: Script, out: Path, flags: dict[str, Any] | None = None) -> dict[str, list[tuple[Any, ...]]]:
    async with ScriptedServer(script) as server:
        result = await Run(config_for(server.base_url, out, flags), env={}).execute()
    assert result.ended_by == "target"
    return everything(out)


# ------------------------------------------------------------------------------------------------------------ one order


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    latency=st.builds(Latency, st.floats(0, 0.01), width_s=st.floats(0, 0.01), sigma=st.floats(0, 1.2)),
    max_in_flight=st.integers(1, 24),
    rates=st.tuples(st.floats(0, 0.1), st.floats(0, 0.1), st.floats(0, 0.1)),
)
def test_data_depends_on_seed_and_replies_alone_whatever_latencies_and_retries(
    tmp_path_factory: pytest.TempPathFactory, latency: Latency, max_in_flight: int, rates: tuple[float, float, float]
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    faults = dict(zip(("500", "reset", "429"), rates, strict=True))
    plain = asyncio.run(data_of(Script(), folder / "plain"))
    script = Script(latency=latency, faults=faults, max_faults_per_prompt=2, retry_after_s=0.0)
    other = asyncio.run(data_of(script, folder / "other", {"runtime.max_in_flight": max_in_flight}))
    assert len(plain["instruction"]) >= 40
    assert other == plain


async def test_arrival_order_depends_on_latencies(tmp_path: Path) -> None:
    # Otherwise the tests above would show nothing.
    flags = {"runtime.commit_order": "arrival"}
    first = await data_of(Script(), tmp_path / "first", flags)
    second = await data_of(Script(latency=Latency(0.005, sigma=1.0)), tmp_path / "second", flags)
    assert first != second


async def test_another_seed_gives_other_data_and_another_window_as_well(tmp_path: Path) -> None:
    plain = await data_of(Script(), tmp_path / "plain")
    assert await data_of(Script(), tmp_path / "seed", {"rng_seed": 1}) != plain
    assert await data_of(Script(), tmp_path / "window", {"runtime.window": 200}) != plain


async def test_a_model_runs_dry_at_the_same_commit_whatever_the_latencies(tmp_path: Path) -> None:
    flags = {"target": 10_000, "saturation.window": 60, "saturation.floor": 0.5}
    found = []
    for name, latency in (("quick", Latency()), ("slow", Latency(0.004, sigma=1.0))):
        async with ScriptedServer(Script(duplicate_rate=0.6, latency=latency)) as server:
            result = await Run(config_for(server.base_url, tmp_path / name, flags), env={}).execute()
        assert result.ended_by == "saturation"
        found.append(everything(tmp_path / name))
    assert found[0] == found[1]
    assert len(found[0]["instruction"]) == len(found[0]["annotation"]) < 10_000


async def test_killed_8_times_with_16_in_flight_the_data_equals_an_uninterrupted_runs(tmp_path: Path) -> None:
    script, size = Script(latency=Latency(0.01, sigma=1.0)), {"target": 120, "in_flight": 16}
    async with ScriptedServer(script) as server:
        await run_and_kill(
            server, tmp_path / "whole", **size, num_kills=0, most=1, rng=random.Random(1), flags=WINDOWED
        )
        num_answers = sum(entry.kind is not None for entry in server.log)
    async with ScriptedServer(script) as server:
        left = await run_and_kill(
            server, tmp_path / "killed", **size, num_kills=8, most=50, rng=random.Random(3), flags=WINDOWED
        )
        num_asked_again = sum(entry.kind is not None for entry in server.log) - num_answers
    assert everything(tmp_path / "killed") == everything(tmp_path / "whole")
    assert 0 < len(left[-1]) < len(rows(tmp_path / "whole", "SELECT id FROM request"))  # killed in the middle
    assert num_asked_again <= 8 * 16  # what was in flight, as kept answers are not
    assert rows(tmp_path / "killed", "SELECT * FROM draw") == []


# ---------------------------------------------------------------------------------------------------------- a straggler


async def test_a_straggler_holds_back_one_window_and_what_came_meanwhile_is_not_asked_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    async with ScriptedServer(Script(outages=(Outage("hang", 1, 1),))) as server:
        run = Run(config_for(server.base_url, folder), env={})
        working = asyncio.create_task(run.execute())
        kept = "SELECT count(*) FROM draw WHERE answer IS NOT NULL"
        # The target of 40 takes five stage-1 requests, and nothing follows from four of them before the first's turn.
        await until(lambda: rows(folder, kept) == [(4,)])
        run.abort()
        with pytest.raises(Aborted):
            await working
        assert rows(folder, "SELECT count(*) FROM request") == [(0,)]
        with RunReader(folder) as reader:
            usage = reader.totals().usage
            assert reader.totals().prompt_tokens == 0
        assert usage["instructions"].num_answered == 4
        assert usage["instructions"].prompt_tokens > 0
        result = await Run(config_for(server.base_url, folder), env={}).execute()
        prompts = Counter(entry.prompt_sha256 for entry in server.log if entry.kind == "instructions")
    assert result.ended_by == "target"
    assert sorted(prompts.values())[-2:] == [1, 2]  # the one that hung was asked again, and no other
    assert everything(folder) == await data_of(Script(), tmp_path / "plain")


async def test_answers_that_wait_for_their_turn_count_towards_a_budget_once(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    async with ScriptedServer(Script(outages=(Outage("hang", 1, 1),))) as server:
        run = Run(config_for(server.base_url, folder, {"budget.max_requests": 30}), env={})
        working = asyncio.create_task(run.execute())
        await until(lambda: rows(folder, "SELECT count(*) FROM draw WHERE answer IS NOT NULL") == [(4,)])
        run.abort()
        with pytest.raises(Aborted):
            await working
        result = await Run(config_for(server.base_url, folder, {"budget.max_requests": 30}), env={}).execute()
        num_asked = sum(entry.kind is not None for entry in server.log)
    assert result.ended_by == "max_requests"
    assert result.progress.num_requests_used == 30
    # What was dropped in flight counts, as it may have been paid for.
    assert num_asked == 30


async def test_instructions_are_worked_up_while_others_are_generated(tmp_path: Path) -> None:
    flags = {"target": 300, "runtime.window": 64}
    data = await data_of(Script(), tmp_path / "run", flags)
    stages = [row[1] for row in data["request"]]
    assert stages[:16] == ["instructions"] * 16  # a quarter of the window
    first_worked_up = stages.index("instances")
    assert first_worked_up < len(stages) / 4
    assert "instructions" in stages[first_worked_up:]


async def test_a_larger_target_goes_on_in_order(tmp_path: Path) -> None:
    async with ScriptedServer(Script(latency=Latency(0.002, sigma=1.0))) as server:
        await Run(config_for(server.base_url, tmp_path / "run"), env={}).execute()
        first = everything(tmp_path / "run")
        result = await Run(config_for(server.base_url, tmp_path / "run", {"target": 80}), env={}).execute()
    assert result.progress.num_admitted >= 80
    assert everything(tmp_path / "run")["request"][: len(first["request"])] == first["request"]
    assert rows(tmp_path / "run", "SELECT * FROM draw") == []


async def test_requests_given_up_take_their_turn_and_are_asked_again_by_the_next_sitting(tmp_path: Path) -> None:
    flags = {"runtime.max_attempts": 1}
    async with ScriptedServer(Script(faults={"500": 0.2}, max_faults_per_prompt=1)) as server:
        result = await Run(config_for(server.base_url, tmp_path / "run", flags), env={}).execute()
        assert result.progress.num_failed > 0
        again = await Run(config_for(server.base_url, tmp_path / "run", flags), env={}).execute()
    assert again.ended_by == "target"
    totals = {table: len(content) for table, content in everything(tmp_path / "run").items()}
    assert totals["annotation"] == totals["instruction"] >= 40


# ------------------------------------------------------------------------------------------------- one run, one order


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"runtime.window": 32}, "runtime.window is 24 there and 32 here"),
        ({"runtime.commit_order": "arrival"}, "runtime.commit_order is windowed there and not set here"),
    ],
)
async def test_a_folder_holds_one_order(tmp_path: Path, flags: dict[str, Any], named: str) -> None:
    async with ScriptedServer(Script()) as server:
        await Run(config_for(server.base_url, tmp_path / "run", {"target": 5}), env={}).execute()
        with pytest.raises(RunFolderError, match=named):
            await Run(config_for(server.base_url, tmp_path / "run", {"target": 5, **flags}), env={}).execute()


def test_a_window_smaller_than_the_slots_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"runtime: window must be at least max_in_flight \(25\)"):
        config_for("http://127.0.0.1:1/v1", tmp_path, {"runtime.max_in_flight": 25})


def test_an_estimate_in_order_is_refused_for_it_would_tell_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"estimate with --set runtime\.commit_order=arrival and another --out"):
        Run(config_for("http://127.0.0.1:1/v1", tmp_path / "run"), env={}, sample=10)
    assert not (tmp_path / "run").exists()


def test_a_run_by_arrival_has_no_table_of_draws(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run.db")
    store.begin([], {})
    assert store.state(STAGES).pending == ()
    store.close()
    connection = sqlite3.connect(tmp_path / "run.db")
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'draw'").fetchone() == (0,)
    connection.close()


# -------------------------------------------------------------------------------------------------- answers, in order


def draw(place: int) -> DrawRow:
    return DrawRow(place=place, stage="classification", number=place)


def delivery(place: int, outcome: Outcome | None = None) -> Delivery[Task]:
    task = Task(stage="classification", number=place, template="classification", instruction="Name a river.")
    request = Request(key=draw(place).key, prompt="", sampling=Sampling())
    completion = Completion(text="No", finish_reason=FinishReason.STOP, usage=Usage(), model="m")
    return Delivery(job=Job(request=request, about=task), outcome=outcome or Ok(completion), failed=(), latency_s=0)


class FakeStore:
    """Keeps answers at once."""

    def __init__(self) -> None:
        self.kept: list[int] = []

    def keep_answer(self, place: int, answer: str, usage: Usage) -> Future[None]:
        self.kept.append(place)
        future: Future[None] = Future()
        future.set_result(None)
        return future


class FakeCommitter:
    """Commits at once."""

    def __init__(self) -> None:
        self.committed: list[int] = []

    async def deliver_all(self, deliveries: Sequence[Delivery[Task]]) -> None:
        self.committed += [one.job.about.number for one in deliveries]


@given(arrivals=st.permutations(range(1, 9)), failed=st.sets(st.integers(1, 8)))
def test_answers_are_committed_in_the_order_of_their_draws_and_good_ones_kept_until_then(
    arrivals: list[int], failed: set[int]
) -> None:
    store, committer, told = FakeStore(), FakeCommitter(), list[str]()
    in_order = InOrder(
        cast(Committer, committer),
        cast(RunStore, store),
        on_kept=told.append,
        pending=[draw(place) for place in range(1, 9)],
        early={},
    )

    async def arrive() -> None:
        for number, place in enumerate(arrivals, 1):
            await in_order.deliver(delivery(place, Deadline() if place in failed else None))
            arrived = set(arrivals[:number])
            turn = next((place for place in range(1, 9) if place not in arrived), 9)
            assert committer.committed == list(range(1, turn))

    asyncio.run(arrive())
    early = [place for n, place in enumerate(arrivals) if set(range(1, place)) - set(arrivals[:n])]
    assert store.kept == [place for place in early if place not in failed]
    assert told == [draw(place).key for place in store.kept]


texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
words = st.text(alphabet=st.sampled_from([*string.printable, "\ud800", "é"]))  # a server's, as they may come


@given(
    text=texts,
    usage=st.builds(Usage, prompt_tokens=st.integers(0, 9), completion_tokens=st.integers(0, 9)),
    logprobs=st.none() | st.dictionaries(texts, st.floats(-9, 0)),
    detail=words,
    shown=st.integers(1, 3),
)
def test_a_kept_answer_comes_back_as_it_was(
    text: str, usage: Usage, logprobs: dict[str, float] | None, detail: str, shown: int
) -> None:
    def job_of(row: DrawRow) -> Job[Task]:
        task = Task(stage=row.stage, number=row.number, template="instructions", in_context=row.in_context)
        return Job(request=Request(key=row.key, prompt="", sampling=Sampling()), about=task, lane=row.stage)

    row = DrawRow(place=1, stage="instructions", number=7, in_context=(4, 2, 9)[:shown])
    answered = Delivery(
        job=job_of(row),
        outcome=Ok(
            Completion(text=text, finish_reason=FinishReason.LENGTH, usage=usage, model="m", top_logprobs=logprobs)
        ),
        failed=(FailedAttempt(attempt=1, outcome="transient", detail=detail, latency_s=0.5),),
        latency_s=1.25,
    )
    whole = DrawRow(place=1, stage="instructions", number=7, in_context=(4, 2, 9))
    assert loaded_answer(PendingDraw(row=whole, answer=dumped_answer(answered)), job_of) == answered
