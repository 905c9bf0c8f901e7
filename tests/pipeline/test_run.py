"""Whole runs against the scripted server, over real HTTP: what is asked, kept, refused and resumed."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import fastinstruct
from fastinstruct.config import RunConfig, load_config
from fastinstruct.errors import (
    Aborted,
    AuthenticationFailed,
    ConfigError,
    EndpointError,
    EndpointUnreachable,
    ModelUnknown,
    ProtocolMismatch,
    RunFolderError,
    StoreError,
    Terminated,
)
from fastinstruct.pipeline import Run, RunResult
from fastinstruct.pipeline.monitoring import watchdog
from fastinstruct.pipeline.monitoring.telemetry import figures, loaded
from fastinstruct.records import Example
from fastinstruct.scripted_server import Latency, Script, ScriptedServer
from fastinstruct.scripted_server.replies import Kind
from fastinstruct.similarity import RougeIndex
from fastinstruct.store import MetaKey, RunReader, schema

KEY = "sk-test-0123456789abcdef"


def config_for(server: ScriptedServer, out: Path, target: int = 30, flags: dict[str, Any] | None = None) -> RunConfig:
    given: dict[str, Any] = {
        "model.base_url": server.base_url,
        "model.name": "scripted",
        "model.api": "completions",
        "classification.method": "text",
        "out": out,
        "target": target,
        "runtime.max_in_flight": 16,
        **(flags or {}),
    }
    return load_config(flags=given)


async def execute(config: RunConfig, env: dict[str, str] | None = None) -> RunResult:
    return await Run(config, env=env or {"XDG_CACHE_HOME": str(config.out) + "-cache"}).execute()


def rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(f"file:{folder / 'run.db'}?mode=ro", uri=True)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for is a file or a counter, which set no event
        await asyncio.sleep(0)


def num_admitted(run: Run) -> int:
    progress = run.progress()
    return progress.num_admitted if progress else 0


@asynccontextmanager
async def scripted(**script: Any) -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(Script(**script)) as server:
        yield server


@pytest.mark.parametrize("api", ["completions", "chat"])
async def test_a_run_reaches_its_target_and_works_every_instruction_up(tmp_path: Path, api: str) -> None:
    async with scripted() as server:
        result = await execute(config_for(server, tmp_path / "run", flags={"model.api": api}))
    assert result.ended_by == "target"
    assert result.exit_code == 0
    with RunReader(tmp_path / "run") as reader:
        totals = reader.totals()
        examples = list(reader.examples())
    assert totals.num_admitted >= 30
    assert totals.num_classified == totals.num_admitted
    assert totals.requests["instances"] == {"ok": totals.num_admitted}
    assert len(examples) == totals.num_examples == result.progress.num_examples
    assert len({example.id for example in examples}) == len(examples)


async def test_no_two_admitted_instructions_are_near_duplicates_of_each_other_or_of_a_seed(tmp_path: Path) -> None:
    async with scripted(duplicate_rate=0.4) as server:
        result = await execute(config_for(server, tmp_path / "run", target=60))
    assert result.progress.rejected["near_duplicate"] > 0
    with RunReader(tmp_path / "run") as reader:
        pool = [seed.instruction for seed in reader.seeds()]
        admitted = [text for (text,) in reader.rows("SELECT text FROM instruction ORDER BY id")]
    index = RougeIndex(threshold=0.7)
    index.add(pool)
    assert all(verdict.admitted for verdict in index.admit(admitted))


async def test_a_near_duplicate_is_stored_with_its_neighbour_and_score(tmp_path: Path) -> None:
    async with scripted(duplicate_rate=0.5) as server:
        await execute(config_for(server, tmp_path / "run"))
    with RunReader(tmp_path / "run") as reader:
        num_seeds = len(reader.seeds())
        pool = [seed.instruction for seed in reader.seeds()]
        pool += [text for (text,) in reader.rows("SELECT text FROM instruction ORDER BY id")]
        rejected = list(reader.rows("SELECT text, nearest, score FROM candidate WHERE reason = 'near_duplicate'"))
    assert num_seeds == 175
    assert rejected
    index = RougeIndex()
    index.add(pool)
    for text, nearest, score in rejected:
        assert score == index.scores(text)[nearest] > 0.7


async def test_running_the_same_command_again_sends_nothing_when_all_is_done(tmp_path: Path) -> None:
    async with scripted() as server:
        first = await execute(config_for(server, tmp_path / "run"))
        num_requests = len(server.log)
        second = await execute(config_for(server, tmp_path / "run"))
        posts = [entry for entry in server.log[num_requests:] if entry.path != "/v1/models"]
    assert posts == []
    assert second.progress.num_examples == first.progress.num_examples


async def test_a_larger_target_goes_on_where_the_smaller_one_ended(tmp_path: Path) -> None:
    async with scripted() as server:
        first = await execute(config_for(server, tmp_path / "run", target=20))
        before = rows(tmp_path / "run", "SELECT * FROM request ORDER BY id")
        second = await execute(config_for(server, tmp_path / "run", target=50))
    after = rows(tmp_path / "run", "SELECT * FROM request ORDER BY id")
    assert second.progress.num_admitted >= 50 > first.progress.num_admitted
    assert after[: len(before)] == before
    assert max(Counter((row[1], row[2]) for row in after).values()) == 1


async def test_url_key_concurrency_and_time_outs_may_change_between_sittings(tmp_path: Path) -> None:
    async with scripted() as server:
        await execute(config_for(server, tmp_path / "run", target=10))
    async with scripted(api_key=KEY) as server:
        changed = config_for(
            server, tmp_path / "run", target=20, flags={"runtime.max_in_flight": 2, "model.total_timeout_s": 30}
        )
        result = await execute(changed, {"OPENAI_API_KEY": KEY})
    assert result.progress.num_admitted >= 20


async def test_the_configuration_in_a_runs_folder_resumes_it_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.jsonl").write_text(json.dumps({"instruction": "Name three rivers of Asia.", "output": "Ob."}))
    async with scripted() as server:
        await execute(config_for(server, Path("run"), target=5, flags={"seeds": "mine.jsonl"}))
        monkeypatch.chdir("/")
        config = load_config(tmp_path / "run" / "config.yaml", flags={"target": 10})
        result = await execute(config)
    assert result.folder == tmp_path / "run"
    assert result.progress.num_admitted >= 10 > result.progress.num_admitted_here


async def test_a_masked_header_is_not_sent_in_a_keys_place(tmp_path: Path) -> None:
    async with scripted() as server:
        await execute(config_for(server, tmp_path / "run", target=5, flags={"model.headers": {"X-Key": KEY}}))
        num_requests = len(server.log)
        with pytest.raises(ConfigError, match=r"model\.headers\.X-Key: a run's config\.yaml does not hold its value"):
            await execute(load_config(tmp_path / "run" / "config.yaml"))
        assert len(server.log) == num_requests


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"similarity.threshold": 0.6}, "similarity.threshold is 0.7 there and 0.6 here"),
        ({"rng_seed": 1}, "rng_seed is 0 there and 1 here"),
        ({"instructions.sampling.temperature": 0.1}, "instructions.sampling.temperature is 0.9 there and 0.1 here"),
        ({"model.api": "chat"}, "model.api is completions there and chat here"),
    ],
)
async def test_a_folder_of_another_identity_is_refused_with_what_differs(
    tmp_path: Path, flags: dict[str, Any], named: str
) -> None:
    async with scripted() as server:
        await execute(config_for(server, tmp_path / "run", target=5))
        before = rows(tmp_path / "run", "SELECT count(*) FROM request")
        with pytest.raises(RunFolderError, match=named):
            await execute(config_for(server, tmp_path / "run", target=5, flags=flags))
    assert rows(tmp_path / "run", "SELECT count(*) FROM request") == before


async def test_a_run_in_which_nothing_was_answered_does_not_hold_its_folder(tmp_path: Path) -> None:
    async with scripted() as server:
        with pytest.raises(ModelUnknown):
            await execute(config_for(server, tmp_path / "run", flags={"model.name": "scriptde"}))
        result = await execute(config_for(server, tmp_path / "run", target=5))
    assert result.ended_by == "target"


async def test_other_seeds_are_another_run(tmp_path: Path) -> None:
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text(json.dumps({"instruction": "Name three uses for an old bicycle tyre.", "output": "A swing."}))
    async with scripted() as server:
        await execute(config_for(server, tmp_path / "run", target=5))
        with pytest.raises(RunFolderError, match="seeds is"):
            await execute(config_for(server, tmp_path / "run", target=5, flags={"seeds": seeds}))


async def test_two_runs_cannot_write_to_one_folder(tmp_path: Path) -> None:
    async with scripted(latency=Latency(0.05)) as server:
        config = config_for(server, tmp_path / "run", target=20)
        first = asyncio.create_task(execute(config))
        await until((tmp_path / "run" / "run.db").exists)
        with pytest.raises(RunFolderError, match="another process is writing to this run"):
            await execute(config)
        assert (await first).ended_by == "target"


async def test_faults_cost_nothing_but_time(tmp_path: Path) -> None:
    async with scripted(
        faults={"429": 0.1, "500": 0.05, "reset": 0.05, "truncated": 0.05}, retry_after_s=0.0
    ) as server:
        result = await execute(config_for(server, tmp_path / "run", target=40))
    assert result.ended_by == "target"
    assert result.progress.num_failed == 0
    assert result.progress.num_failed_attempts > 0
    stored = Counter((row[0], row[1]) for row in rows(tmp_path / "run", "SELECT stage, number FROM request"))
    assert max(stored.values()) == 1
    outcomes = {outcome for (outcome,) in rows(tmp_path / "run", "SELECT DISTINCT outcome FROM attempt")}
    assert outcomes <= {"rate_limited", "transient", "truncated"}
    with RunReader(tmp_path / "run") as reader:
        assert sum(reader.totals().failed_attempts.values()) == result.progress.num_failed_attempts


async def test_a_wrong_key_ends_the_run_at_once_and_is_not_told(tmp_path: Path) -> None:
    async with scripted(api_key=KEY) as server:
        with pytest.raises(AuthenticationFailed) as caught:
            await execute(config_for(server, tmp_path / "run"), {"OPENAI_API_KEY": "sk-wrong-key-000000000000"})
    assert "OPENAI_API_KEY" in str(caught.value)
    assert "sk-wrong" not in str(caught.value)


async def test_the_key_reaches_no_file_of_the_run(tmp_path: Path) -> None:
    async with scripted(api_key=KEY) as server:
        flags: dict[str, Any] = {"model.headers": {"X-Secret": "s3cr3t-header"}}
        await execute(config_for(server, tmp_path / "run", target=5, flags=flags), {"OPENAI_API_KEY": KEY})
    for path in (tmp_path / "run").iterdir():
        content = path.read_bytes()
        assert KEY.encode() not in content
        assert b"s3cr3t-header" not in content


async def test_an_unknown_model_ends_the_run_with_its_name(tmp_path: Path) -> None:
    async with scripted() as server:
        with pytest.raises(ModelUnknown, match="gpt-unknown"):
            await execute(config_for(server, tmp_path / "run", flags={"model.name": "gpt-unknown"}))


async def test_nothing_listening_ends_the_run_at_once(tmp_path: Path) -> None:
    async with scripted() as server:
        config = config_for(server, tmp_path / "run")
    with pytest.raises(EndpointUnreachable, match="check that the server runs"):
        await execute(config)


async def test_html_instead_of_json_ends_the_run(tmp_path: Path) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = b"<html><body>Welcome to the portal</body></html>"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        flags = {
            "model.base_url": f"http://127.0.0.1:{port}/v1",
            "model.name": "m",
            "out": tmp_path / "run",
            "runtime.max_attempts": 1,
        }
        with pytest.raises(ProtocolMismatch, match="no JSON; check that base_url"):
            await execute(load_config(flags=flags))


async def test_stop_finishes_what_is_in_flight_and_the_run_goes_on_later(tmp_path: Path) -> None:
    async with scripted(latency=Latency(0.01)) as server:
        config = config_for(server, tmp_path / "run", target=60)
        run = Run(config, env={})
        task = asyncio.create_task(run.execute())
        await until(lambda: num_admitted(run) >= 10)
        run.stop()
        result = await task
        answered = sum(entry.status == 200 and entry.path != "/v1/models" for entry in server.log)
        assert result.ended_by == "interrupt"
        assert result.exit_code == 130
        assert rows(tmp_path / "run", "SELECT count(*) FROM request") == [(answered,)]
        assert (await execute(config)).ended_by == "target"
    assert rows(tmp_path / "run", "SELECT ended_by FROM sitting ORDER BY id") == [("interrupt",), ("target",)]


async def test_abort_drops_what_is_in_flight_and_keeps_what_is_stored(tmp_path: Path) -> None:
    async with scripted(latency=Latency(0.02)) as server:
        config = config_for(server, tmp_path / "run", target=60)
        run = Run(config, env={})
        task = asyncio.create_task(run.execute())
        await until(lambda: num_admitted(run) >= 10)
        run.stop()
        run.abort()
        with pytest.raises(Aborted):
            await task
        assert (await execute(config)).ended_by == "target"


@pytest.mark.parametrize("name", ["stop", "abort"])
async def test_waiting_for_an_endpoint_to_list_its_models_ends_at_once(tmp_path: Path, name: str) -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(never, "127.0.0.1", 0) as silent:
        url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}/v1"
        run = Run(load_config(flags={"model.base_url": url, "model.name": "m", "out": tmp_path / "run"}), env={})
        task = asyncio.create_task(run.execute())
        waiting = "waiting for the endpoints to list their models"
        await until(lambda: (progress := run.progress()) is not None and progress.phase == waiting)
        await until(lambda: (progress := run.progress()) is not None and progress.num_in_flight == 1)
        run.stop("terminate")
        if name == "abort":
            run.abort()
        begin = time.monotonic()
        if name == "stop":
            assert (await task).exit_code == 143
        else:
            with pytest.raises(Terminated):
                await task
        assert time.monotonic() - begin < 10  # not the 30 s that an endpoint has
        assert rows(tmp_path / "run", "SELECT count(*) FROM request") == [(0,)]


@pytest.mark.parametrize("name", ["stop", "abort"])
async def test_a_run_is_stopped_and_aborted_from_another_thread(tmp_path: Path, name: str) -> None:
    async with scripted(latency=Latency(0.02)) as server:
        config = config_for(server, tmp_path / "run", target=60)
        run = Run(config, env={})
        task = asyncio.create_task(run.execute())
        await until(lambda: num_admitted(run) >= 10)
        await asyncio.gather(*(asyncio.to_thread(getattr(run, name)) for _ in range(3)))
        if name == "stop":
            assert (await task).ended_by == "interrupt"
        else:
            with pytest.raises(Aborted):
                await task
        assert (await execute(config)).ended_by == "target"


def test_a_run_is_stopped_from_another_thread_before_it_begins_and_after_it_has_ended(tmp_path: Path) -> None:
    async def sit() -> tuple[Run, str]:
        async with scripted() as server:
            run = Run(config_for(server, tmp_path / "run"), env={})
            await asyncio.to_thread(run.stop)
            return run, (await run.execute()).ended_by

    run, ended_by = asyncio.run(sit())
    assert ended_by == "interrupt"
    run.abort()
    ended = Thread(target=run.abort)
    ended.start()
    ended.join(10)
    assert not ended.is_alive()


async def test_a_model_that_gives_nothing_new_ends_the_run(tmp_path: Path) -> None:
    async with scripted(junk_rate=1.0) as server:
        result = await execute(config_for(server, tmp_path / "run"))
    assert result.ended_by == "saturation"
    assert result.exit_code == 3
    assert sum(result.progress.rejected.values()) == result.progress.num_candidates - result.progress.num_admitted


async def test_a_server_that_fails_every_request_ends_the_run_in_the_end(tmp_path: Path) -> None:
    async with scripted(faults={"500": 1.0}, max_faults_per_prompt=99) as server:
        flags = {"runtime.max_attempts": 1}
        with pytest.raises(EndpointError, match=r"the last 5 requests failed \(transient: server: 500"):
            await execute(config_for(server, tmp_path / "run", flags=flags))
    assert rows(tmp_path / "run", "SELECT DISTINCT stage, outcome FROM request") == [("instructions", "transient")]


async def test_progress_tells_slots_machine_and_endpoints_and_the_store_keeps_the_latest(tmp_path: Path) -> None:
    async with scripted() as first, scripted() as second:
        flags = {"model.endpoints": [{"base_url": second.base_url}]}
        result = await execute(config_for(first, tmp_path / "run", flags=flags))
        answered = [sum(entry.reply_id is not None for entry in server.log) for server in (first, second)]
    told = result.progress.telemetry
    assert told is not None
    assert [channel.address for channel in told.channels] == [first.base_url, second.base_url]
    assert [channel.outcomes["ok"] for channel in told.channels] == answered
    assert told.slot_use is not None
    assert 0 < told.slot_use <= 1
    assert (told.num_slots, told.num_in_flight, told.num_delivering) == (16, 0, 0)
    assert sum(channel.completion_tokens for channel in told.channels) == result.progress.completion_tokens
    with RunReader(tmp_path / "run") as reader:
        kept = dict(loaded(reader.meta(MetaKey.TELEMETRY)) or {})
    assert kept.pop("at")
    assert kept == json.loads(json.dumps(figures(told)))


async def test_the_latest_telemetry_holds_neither_keys_nor_texts(tmp_path: Path) -> None:
    async with scripted(api_key=KEY) as server:
        await execute(config_for(server, tmp_path / "run"), {"OPENAI_API_KEY": KEY, "XDG_CACHE_HOME": str(tmp_path)})
    with RunReader(tmp_path / "run") as reader:
        kept = reader.meta(MetaKey.TELEMETRY) or ""
        texts = [text for (text,) in reader.rows("SELECT text FROM instruction")]
    assert '"ok": ' in kept
    assert KEY not in kept
    assert not any(text in kept for text in texts)


async def test_a_run_that_cannot_keep_its_memory_limit_ends_early_and_goes_on_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watchdog, "_BEAT_S", 0.02)
    async with scripted(latency=Latency(0.05)) as server:
        stopped = await execute(config_for(server, tmp_path / "run", flags={"runtime.max_memory_mib": 1}))
        assert (stopped.ended_by, stopped.exit_code) == ("max_memory", 3)
        assert stopped.stop is not None
        assert (stopped.stop.limit, stopped.progress.num_dropped) == (1, 0)
        warnings = [record.getMessage() for record in caplog.records if "runtime.max_memory_mib=1:" in record.message]
        assert len(warnings) == 1
        assert (await execute(config_for(server, tmp_path / "run"))).ended_by == "target"


async def test_a_full_disk_ends_the_run_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = schema.connect

    def small(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
        connection = connect(path, read_only=read_only)
        if not read_only:
            connection.execute("PRAGMA max_page_count = 60")
        return connection

    async with scripted() as server:
        config = config_for(server, tmp_path / "run", target=200)
        with monkeypatch.context() as patch:
            patch.setattr(schema, "connect", small)
            with pytest.raises(StoreError, match="the disk is full"):
                await execute(config)
        before = rows(tmp_path / "run", "SELECT * FROM request ORDER BY id")
        assert before
        await execute(config)
    assert rows(tmp_path / "run", "SELECT * FROM request ORDER BY id")[: len(before)] == before


@pytest.mark.parametrize("seed", [{"instruction": "Nenne drei Flüsse in Europa.", "output": "Rhein, Donau, Elbe"}])
async def test_a_single_seed_task_is_enough(tmp_path: Path, seed: dict[str, str]) -> None:
    seeds = tmp_path / "mine.jsonl"
    seeds.write_text(json.dumps(seed) + "\n", encoding="utf-8")
    async with scripted() as server:
        result = await execute(config_for(server, tmp_path / "run", target=20, flags={"seeds": seeds}))
    assert result.progress.num_admitted >= 20
    first = rows(tmp_path / "run", "SELECT in_context FROM request WHERE stage = 'instructions' AND number = 0")
    assert first == [("[0]",)]


async def test_profile_paper_keeps_the_references_capitalisation(tmp_path: Path) -> None:
    async with scripted() as server:
        await execute(config_for(server, tmp_path / "run", flags={"profile": "paper"}))
    admitted = [text for (text,) in rows(tmp_path / "run", "SELECT text FROM instruction")]
    assert admitted
    assert all(text == text.capitalize() for text in admitted)


async def test_log_probabilities_calibrate_stage_two_once_and_are_remembered(tmp_path: Path) -> None:
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    flags: dict[str, Any] = {"classification.method": "auto"}
    async with scripted() as server:
        await execute(config_for(server, tmp_path / "one", target=5, flags=flags), env)
        asked_first = sum(entry.kind is Kind.CLASSIFICATION for entry in server.log)
        await execute(config_for(server, tmp_path / "two", target=5, flags=flags), env)
        asked_then = sum(entry.kind is Kind.CLASSIFICATION for entry in server.log) - asked_first
    with RunReader(tmp_path / "one") as reader:
        admitted = reader.totals().num_admitted
        threshold = reader.meta(MetaKey.THRESHOLD)
    assert asked_first > admitted
    assert asked_first - admitted <= 40
    assert asked_then == rows(tmp_path / "two", "SELECT count(*) FROM instruction")[0][0]
    assert threshold is not None
    assert float(threshold) == float(threshold)
    assert rows(tmp_path / "one", "SELECT count(*) FROM annotation WHERE confidence IS NULL") == [(0,)]


async def collect(config: RunConfig, most: int | None = None) -> list[Example]:
    found: list[Example] = []
    examples = fastinstruct.stream(config, env={})
    async for example in examples:
        found.append(example)
        if most is not None and len(found) >= most:
            break
    await examples.aclose()
    return found


async def test_stream_yields_every_example_and_stored_ones_first_when_resumed(tmp_path: Path) -> None:
    async with scripted() as server:
        config = config_for(server, tmp_path / "run", target=20)
        some = await collect(config, most=5)
        all_of_them = await collect(config)
        again = await collect(config)
    with RunReader(tmp_path / "run") as reader:
        stored = list(reader.examples())
    assert len(some) == 5
    assert {example.id for example in some} <= {example.id for example in all_of_them}
    assert sorted(all_of_them, key=lambda example: example.id) == sorted(stored, key=lambda example: example.id)
    assert again == stored


async def test_a_loop_that_was_left_can_be_streamed_again_at_once(tmp_path: Path) -> None:
    ids: list[set[str]] = []
    async with scripted() as server:
        config = config_for(server, tmp_path / "run", target=20)
        for most in (2, 4, 6):
            found = set[str]()
            async for example in fastinstruct.stream(config, env={}):  # asyncio closes it some time after it is left
                found.add(example.id)
                if len(found) >= most:
                    break
            ids.append(found)
        rest = await collect(config)
    assert [len(found) for found in ids] == [2, 4, 6]
    assert set.union(*ids) <= {example.id for example in rest}


async def test_stream_passes_a_failure_on(tmp_path: Path) -> None:
    async with scripted() as server:
        config = config_for(server, tmp_path / "run")
    with pytest.raises(EndpointUnreachable):
        await collect(config)
