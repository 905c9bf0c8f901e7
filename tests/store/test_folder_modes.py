"""A run's folder is its owner's alone, whatever the umask."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastinstruct.store import MetaKey, RunFolder, RunStore


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o377])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def made(path: Path) -> set[int]:
    """The modes of all files, while the database is open and its companions exist."""
    with RunFolder(path) as folder:
        folder.claim({"a": 1}, {})
        store = RunStore(folder.prepare_database())
        store.set_meta(MetaKey.THRESHOLD, "0.5")
        folder.write("config.yaml", "a: 1")
        names = {file.name for file in path.iterdir()}
        assert names == {"run.lock", "run.db", "run.db-wal", "run.db-shm", "manifest.json", "config.yaml"}
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
