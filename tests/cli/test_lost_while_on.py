"""A real run whose folder, lock or database goes while it is on, and starting one over: as commands, to the end."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import command, endpoint, finish, start, until
from fastinstruct.scripted_server import Latency, Script, ScriptedServer
from fastinstruct.store import RunReader
from killing import rows


def prompts_of(server: ScriptedServer) -> Counter[str]:
    """What was asked, and how often."""
    return Counter(entry.prompt_sha256 for entry in server.log if entry.kind is not None)


def moved(folder: Path) -> None:
    folder.rename(folder.with_name("moved"))


def replaced_lock(folder: Path) -> None:
    (folder / "run.lock").unlink()
    (folder / "run.lock").touch()


@pytest.mark.parametrize(
    ("lose", "lost"),
    [
        (shutil.rmtree, "run.lock"),
        (moved, "run.lock"),
        (lambda folder: (folder / "run.lock").unlink(), "run.lock"),
        (replaced_lock, "run.lock"),
        (lambda folder: (folder / "run.db").unlink(), "run.db"),
    ],
    ids=["deleted", "moved", "lock removed", "lock replaced", "database removed"],
)
async def test_a_run_whose_folder_goes_while_it_is_on_ends_in_one_line(
    tmp_path: Path, lose: Callable[[Path], None], lost: str
) -> None:
    folder = tmp_path / "here"
    async with ScriptedServer(Script(latency=Latency(0.01))) as server:
        process = await start(tmp_path, "run", *endpoint(server), "-n", "3000", "-o", "here", "--max-in-flight", "4")
        await until(lambda: len(prompts_of(server)) > 20)
        lose(folder)
        num_asked = len(server.log)
        ended = await finish(process)
        num_asked_since = len(server.log) - num_asked
    assert ended.code == 1
    (line,) = [line for line in ended.err.splitlines() if line.startswith("fastinstruct: ")]
    assert line.startswith(f"fastinstruct: here/{lost}: was removed or replaced while the run went on; nothing more is")
    assert "Traceback" not in ended.err
    assert num_asked_since <= 40  # it ends at the next commit, not at the target
    assert not (folder / lost).exists() or lose is replaced_lock


async def test_a_run_whose_lock_went_goes_on_and_asks_nothing_again(tmp_path: Path) -> None:
    async with ScriptedServer(Script(latency=Latency(0.01))) as server:
        asked = ("run", *endpoint(server), "-n", "40", "-o", "here", "--max-in-flight", "4")
        process = await start(tmp_path, *asked)
        await until(lambda: len(prompts_of(server)) > 20)
        (tmp_path / "here" / "run.lock").unlink()
        assert (await finish(process)).code == 1
        stored = {text for (text,) in rows(tmp_path / "here", "SELECT text FROM request")}
        before = prompts_of(server)
        ended = await command(tmp_path, *asked)
        again = [prompt for prompt, times in prompts_of(server).items() if times > before[prompt] > 0]
    assert ended.code == 0
    assert len(stored) > 5
    assert len(again) <= 4  # what was in flight when it ended
    with RunReader(tmp_path / "here") as reader:
        assert reader.totals().num_admitted >= 40
        reader.check()


async def test_a_run_whose_database_is_lost_is_refused_until_it_is_restarted(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    async with ScriptedServer(Script()) as server:
        asked = ("run", *endpoint(server), "-n", "10", "-o", "here")
        assert (await command(tmp_path, *asked)).code == 0
        manifest, num_asked = json.loads((folder / "manifest.json").read_text()), sum(prompts_of(server).values())
        (folder / "run.db").unlink()
        refused = await command(tmp_path, *asked)
        assert sum(prompts_of(server).values()) == num_asked
        restarted = await command(tmp_path, *asked, "--restart")
    assert refused.code == 2
    assert refused.err.splitlines()[-1] == (
        "fastinstruct: here: manifest.json says that requests were answered, but run.db is missing; "
        "restore it from a copy, or start over with --restart"
    )
    assert restarted.code == 0
    assert "starts over; what was there is in here/earlier/1" in restarted.err
    assert json.loads((folder / "earlier" / "1" / "manifest.json").read_text()) == manifest
    with RunReader(folder) as reader:
        assert reader.totals().num_admitted >= 10


async def test_restart_moves_a_whole_run_aside_asks_all_anew_and_what_was_there_stays_a_run(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    async with ScriptedServer(Script()) as server:
        first = await command(tmp_path, "run", *endpoint(server), "-n", "10", "-o", "here")
        exported = await command(tmp_path, "export", "here", "-o", "-")
        num_asked = sum(prompts_of(server).values())
        # Another identity, which the folder would refuse without --restart.
        asked = ("run", *endpoint(server), "-n", "12", "-o", "here", "--rng-seed", "5")
        refused = await command(tmp_path, *asked)
        assert sum(prompts_of(server).values()) == num_asked
        second = await command(tmp_path, *asked, "--restart")
        again = await command(tmp_path, *asked, "--restart")
        num_asked_anew = sum(prompts_of(server).values()) - num_asked
    assert (first.code, refused.code, second.code, again.code) == (0, 2, 0, 0)
    assert num_asked_anew > num_asked
    assert sorted(path.name for path in (folder / "earlier").iterdir()) == ["1", "2"]
    kept = await command(tmp_path, "export", "here/earlier/1", "-o", "-")
    assert (kept.code, kept.out) == (0, exported.out)
    for run in ("here", "here/earlier/2"):
        told = await command(tmp_path, "status", run, "--json")
        assert json.loads(told.out)["num_admitted"] >= 12


async def test_restart_in_an_empty_folder_is_a_new_run(tmp_path: Path) -> None:
    async with ScriptedServer(Script()) as server:
        ended = await command(tmp_path, "run", *endpoint(server), "-n", "5", "-o", "here", "--restart")
    assert ended.code == 0
    assert "starts over" not in ended.err
    assert not (tmp_path / "here" / "earlier").exists()
