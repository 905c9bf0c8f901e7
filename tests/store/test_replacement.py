"""A file takes its place when it is whole; what a killed process left behind goes, what a living one writes stays."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastinstruct.cli.scripted_server import _write_whole
from fastinstruct.errors import InputError
from fastinstruct.replaceable import regular_target
from fastinstruct.store.replacement import Replacement

LEAVE_BEHIND = """
import os, sys
from pathlib import Path
from fastinstruct.store.replacement import Replacement

Replacement(Path(sys.argv[1])).open().write(b"half")
os.kill(os.getpid(), 9)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out" / "rows.jsonl"


def test_a_file_appears_when_it_is_put_in_its_place(target: Path) -> None:
    replacement = Replacement(target)
    replacement.open().write(b"all")
    assert [name for name in names(target.parent) if not name.startswith(".")] == []
    replacement.put()
    assert names(target.parent) == ["rows.jsonl"]
    assert target.read_bytes() == b"all"


def test_what_was_there_stays_until_then(target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(b"before")
    replacement = Replacement(target)
    replacement.open().write(b"half")
    replacement.discard()
    assert names(target.parent) == ["rows.jsonl"]
    assert target.read_bytes() == b"before"


def test_what_there_is_of_a_file_can_be_put_aside(target: Path) -> None:
    replacement = Replacement(target)
    replacement.open().write(b"half")
    replacement.put_aside()
    assert names(target.parent) == ["rows.jsonl.partial"]
    assert (target.parent / "rows.jsonl.partial").read_bytes() == b"half"


def test_after_the_file_is_in_its_place_nothing_can_go_wrong_with_it(target: Path) -> None:
    replacement = Replacement(target)
    replacement.open().write(b"all")
    for end in (replacement.put, replacement.put_aside, replacement.discard, replacement.put):
        end()
    assert names(target.parent) == ["rows.jsonl"]


def test_a_link_is_followed(tmp_path: Path, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(b"before")
    link = tmp_path / "link"
    link.symlink_to(target)
    replacement = Replacement(link)
    replacement.open().write(b"after")
    replacement.put()
    assert link.is_symlink()
    assert target.read_bytes() == b"after"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder; name a file in it"):
        Replacement(tmp_path).open()


def left_behind(target: Path) -> str:
    """Let a process be killed while it writes; the name of what it left."""
    before = set(names(target.parent)) if target.parent.exists() else set()
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths}
    subprocess.run([sys.executable, "-c", LEAVE_BEHIND, str(target)], env=environment, check=False)
    (left,) = set(names(target.parent)) - before
    return left


def test_what_a_killed_process_left_is_removed_by_the_next_that_writes_the_file(target: Path) -> None:
    left = left_behind(target)
    assert left.startswith(".rows.jsonl.")
    other = Replacement(target.with_name("other.jsonl"))
    other.open()
    other.discard()
    assert left in names(target.parent)
    replacement = Replacement(target)
    replacement.open().write(b"all")
    assert left not in names(target.parent)
    replacement.put()
    assert target.read_bytes() == b"all"


def test_what_a_living_writer_has_is_left_alone(target: Path) -> None:
    first, second = Replacement(target), Replacement(target)
    first.open().write(b"first")
    second.open().write(b"second")
    assert len(names(target.parent)) == 2
    first.put()
    assert target.read_bytes() == b"first"
    second.put()
    assert target.read_bytes() == b"second"


def test_files_with_like_names_are_no_leftovers(target: Path) -> None:
    target.parent.mkdir()
    likes = [".rows.jsonl.new", ".rows.jsonl.0123456.new", ".rowsxjsonl.01234567.new", ".rows.jsonl.01234567.newer"]
    for name in likes:
        (target.parent / name).touch()
    replacement = Replacement(target)
    replacement.open()
    replacement.put()
    assert names(target.parent) == sorted([*likes, "rows.jsonl"])


def test_what_is_put_aside_replaces_no_pipe(target: Path) -> None:
    target.parent.mkdir()
    os.mkfifo(target.parent / "rows.jsonl.partial")
    replacement = Replacement(target)
    replacement.open().write(b"half")
    replacement.put_aside()
    assert [path.is_fifo() for path in target.parent.iterdir()] == [True]


@pytest.mark.parametrize("name", ["loop", "long" * 100, "zero\0"])
def test_a_name_that_cannot_be_is_refused_in_a_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match="cannot be written"):
        Replacement(tmp_path / name).open()


@pytest.mark.parametrize("name", ["folder", "pipe", "loop", "/dev/null", "zero\0"])
def test_only_regular_files_are_ever_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match=r"is a folder|is no regular file"):
        regular_target(tmp_path / name)
    assert regular_target(tmp_path / "new") == tmp_path / "new"


def test_a_port_file_replaces_no_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "port")
    with pytest.raises(InputError, match="is no regular file"):
        _write_whole(tmp_path / "port", "8000")
    assert [path.is_fifo() for path in tmp_path.iterdir()] == [True]
