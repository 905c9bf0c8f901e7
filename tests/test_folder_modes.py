"""A run's folder is its owner's alone, whatever the umask, unless `runtime.folder_mode` opens it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastinstruct.config import load_config
from fastinstruct.config.recording import recorded
from fastinstruct.errors import ConfigError
from fastinstruct.pipeline import Run
from fastinstruct.pipeline.refiltering import refilter
from fastinstruct.scripted_server import ScriptedServer
from fastinstruct.store import RunFolder, RunStore

OURS = {"run.lock", "run.db", "run.db-wal", "run.db-shm", "manifest.json", "config.yaml"}


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o377])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def made(path: Path, mode: int | None = None) -> set[int]:
    """The modes of all files, while the database is open and its companions exist."""
    with RunFolder(path, mode) as folder:
        folder.claim({"a": 1}, {})
        store = RunStore(folder.prepare_database())
        store.set_meta("a", "b")
        folder.write("config.yaml", "a: 1")
        names = {file.name for file in path.iterdir()}
        assert names - {"notes.txt"} == OURS
        modes = {file.stat().st_mode & 0o777 for file in path.iterdir()}
        store.close()
    return modes


def test_a_new_folder_and_all_that_is_in_it_are_its_owners_alone(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "run"
    assert made(path) == {0o600}
    assert path.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_was_there_keeps_its_mode_and_its_files_share_it(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "run"
    path.mkdir()
    path.chmod(0o750)
    assert made(path) == {0o640}
    assert path.stat().st_mode & 0o777 == 0o750


def modes_in(folder: Path) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("mode", "of_files"), [(0o750, 0o640), (0o755, 0o644), (0o770, 0o660), (0o700, 0o600)])
def test_a_folder_is_made_with_the_mode_that_is_asked_for_and_its_files_with_what_suits_it(
    tmp_path: Path, umask: int, mode: int, of_files: int
) -> None:
    path = tmp_path / "run"
    assert made(path, mode) == {of_files}
    assert path.stat().st_mode & 0o777 == mode


def test_in_a_folder_that_was_there_the_files_follow_what_is_asked_for_and_it_keeps_its_mode(
    tmp_path: Path, umask: int
) -> None:
    path = tmp_path / "run"
    path.mkdir()
    path.chmod(0o700)
    assert made(path, 0o750) == {0o640}
    assert path.stat().st_mode & 0o777 == 0o700


def test_the_files_of_a_begun_run_follow_too_whichever_way_the_mode_is_changed(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "run"
    made(path)
    assert modes_in(path) == {0o600}
    assert made(path, 0o750) == {0o640}
    assert made(path) == {0o640}, "nothing is asked for, so what was there stays"
    (path / "notes.txt").write_text("mine")
    (path / "notes.txt").chmod(0o604)
    assert made(path, 0o700) - {0o604} == {0o600}
    assert (path / "notes.txt").stat().st_mode & 0o777 == 0o604, "it is not ours"


def test_what_is_set_aside_is_as_open_as_the_rest(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "run"
    made(path, 0o750)
    with RunFolder(path, 0o750) as folder:
        place = folder.set_aside()
    assert place is not None
    assert {folder.stat().st_mode & 0o777 for folder in (place, place.parent)} == {0o750}
    assert modes_in(path) == {0o640}


def test_a_group_that_new_folders_inherit_is_inherited_by_a_runs_files(tmp_path: Path) -> None:
    tmp_path.chmod(0o2770)
    if not tmp_path.stat().st_mode & 0o2000:
        pytest.skip("this file system has no such folders")
    made(tmp_path / "run", 0o750)
    assert (tmp_path / "run").stat().st_mode & 0o7777 == 0o2750


# --- the setting


@pytest.mark.parametrize(
    ("value", "text", "bits"),
    [("0750", "0750", 0o750), ("750", "0750", 0o750), ("0o770", "0770", 0o770), (0o750, "0750", 0o750),
     (750, "0750", 0o750), ("0700", "0700", 0o700), (0o755, "0755", 0o755)],
)  # fmt: skip
def test_a_mode_may_be_written_as_chmod_has_it(tmp_path: Path, value: object, text: str, bits: int) -> None:
    config = load_config(flags={"runtime.folder_mode": value})
    assert config.runtime.folder_mode == text
    assert config.runtime.folder_bits == bits
    (tmp_path / "config.yaml").write_text(recorded(config, tmp_path))
    assert load_config(tmp_path / "config.yaml").runtime == config.runtime
    for written in (text, text.removeprefix("0")):  # YAML takes the first for an octal number, the second for a decimal
        (tmp_path / "config.yaml").write_text(f"runtime: {{folder_mode: {written}}}")
        assert load_config(tmp_path / "config.yaml").runtime == config.runtime


@pytest.mark.parametrize(
    ("value", "why"),
    [("0600", "owner"), ("0570", "owner"), ("0050", "owner"), (0o400, "owner"), ("0777", "everybody"),
     ("0702", "everybody"), ("rwxr-x---", "such as"), ("", "such as"), ("0980", "such as"), ("07500", "such as"),
     ("2750", "such as"), (-1, "such as"), (7.5, "such as"), (True, "such as"), (1e9, "such as"),
     ([7, 5, 0], "such as"), ("०७५०", "such as"), (799, "such as")],
)  # fmt: skip
def test_a_mode_that_locks_the_owner_out_or_lets_everybody_write_is_refused(value: object, why: str) -> None:
    with pytest.raises(ConfigError, match=rf"^command line: runtime\.folder_mode: must .*{why}"):
        load_config(flags={"runtime.folder_mode": value})


def test_it_is_no_part_of_a_runs_identity() -> None:
    assert load_config(flags={"runtime.folder_mode": "0750"}).identity_fields() == load_config().identity_fields()


async def test_a_run_and_what_is_refiltered_from_it_are_as_open_as_asked(tmp_path: Path, umask: int) -> None:
    flags = {"target": 3, "runtime.folder_mode": "0750", "out": tmp_path / "run"}
    async with ScriptedServer() as server:
        model = {"model.base_url": server.base_url, "model.name": server.script.model, "model.api": "completions"}
        await Run(load_config(flags={**flags, **model}), env={"XDG_CACHE_HOME": str(tmp_path / "cache")}).execute()
    refilter(tmp_path / "run", tmp_path / "same", {})
    refilter(tmp_path / "run", tmp_path / "other", {"runtime.folder_mode": "0755"})
    for name, mode, of_files in [("run", 0o750, 0o640), ("same", 0o750, 0o640), ("other", 0o755, 0o644)]:
        assert (tmp_path / name).stat().st_mode & 0o777 == mode
        assert modes_in(tmp_path / name) == {of_files}
