"""SIGKILL at random moments, then resume: what the store acknowledged is there once, and the data comes out the same.

The run is a process of its own and reports each example it was given after the store's acknowledgement; the scripted
server lives in the test and knows what it answered.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from fastinstruct.scripted_server import Latency, Script, ScriptedServer
from killing import everything, rows, run_and_kill


async def test_killed_14_times_every_acknowledged_response_is_there_once(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    async with ScriptedServer(Script(latency=Latency(0.01, sigma=0.8))) as server:
        left = await run_and_kill(server, folder, target=250, in_flight=16, num_kills=14, most=70, rng=random.Random(7))
    final = rows(folder, "SELECT id, stage, number, text FROM request ORDER BY id")
    assert max(Counter((stage, number) for _, stage, number, _ in final).values()) == 1
    for survived in left:
        assert final[: len(survived)] == survived
    assert sum(a < b for a, b in zip([0, *map(len, left)], map(len, left), strict=False)) >= 4  # so many got on
    acknowledged = folder.with_suffix(".acknowledged").read_text().split()
    stored = {f"m{i}-{k}" for i, k in rows(folder, "SELECT instruction_id, item FROM instance WHERE reason IS NULL")}
    assert set(acknowledged) == stored
    numbers = [number for _, stage, number, _ in final if stage == "instructions"]
    assert sorted(numbers) == list(range(len(numbers)))
    num_instructions = len(rows(folder, "SELECT id FROM instruction"))
    assert num_instructions >= 250
    assert Counter(stage for _, stage, _, _ in final)["instances"] == num_instructions


async def test_killed_6_times_with_one_request_in_flight_the_data_equals_an_uninterrupted_runs(tmp_path: Path) -> None:
    script = Script(latency=Latency(0.002))
    async with ScriptedServer(script) as server:
        await run_and_kill(
            server, tmp_path / "whole", target=80, in_flight=1, num_kills=0, most=1, rng=random.Random(1)
        )
    async with ScriptedServer(script) as server:
        left = await run_and_kill(
            server, tmp_path / "killed", target=80, in_flight=1, num_kills=6, most=30, rng=random.Random(2)
        )
    assert 0 < len(left[-1]) < len(rows(tmp_path / "whole", "SELECT id FROM request"))
    assert everything(tmp_path / "killed") == everything(tmp_path / "whole")
