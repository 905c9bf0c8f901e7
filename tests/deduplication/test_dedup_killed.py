"""`fastinstruct dedup` in a process of its own, stopped in the midst of its work: what it leaves, and what it says."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastinstruct.cli.signals import ended_by_sigterm
from fastinstruct.exports.files import NewFile

ROWS = [json.dumps({"instruction": f"one{number} two{number} three{number}"}) + "\n" for number in range(1, 1_000)]
ROWS.append('{"instruction": "?!"}\n')  # of which dedup says something, when it has decided the thousand


@contextmanager
def in_its_midst(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has decided a thousand rows and waits for more."""
    paths = os.pathsep.join(path for path in sys.path if path)
    arguments = ["dedup", "-", "-o", "kept.jsonl", "--rejected", "dropped.jsonl", "--index", "kept.index"]
    process = subprocess.Popen(
        [sys.executable, "-m", "fastinstruct", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdin is not None
            assert process.stderr is not None
            process.stdin.writelines(ROWS)
            process.stdin.flush()
            assert process.stderr.readline() == "-:1000: has no word in instruction; such rows are kept and counted\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("number", "code", "how"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_stopped_by_a_signal_it_puts_the_rows_aside_and_says_where(
    tmp_path: Path, number: signal.Signals, code: int, how: str
) -> None:
    (tmp_path / "kept.jsonl.partial").write_text("of an earlier call\n")
    with in_its_midst(tmp_path) as process:
        process.send_signal(number)
        _, said = process.communicate()
    assert process.returncode == code
    assert said == f"fastinstruct: {how}; what was not finished is in kept.jsonl.partial\n"  # and nothing was dropped
    assert (tmp_path / "kept.jsonl.partial").read_text() == "".join(ROWS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.index.lock", "kept.jsonl.partial"]


def test_what_a_killed_call_leaves_is_removed_by_the_next(tmp_path: Path) -> None:
    with in_its_midst(tmp_path) as process:
        process.kill()
        process.communicate()
    hidden = [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert len(hidden) == 2
    (tmp_path / ".kept.index.12345.part").touch()  # as killed while it saved
    with in_its_midst(tmp_path) as process:
        assert process.communicate()[1].startswith("1,000 rows, kept 1,000, ")
    assert process.returncode == 0
    assert (tmp_path / "kept.jsonl").read_text() == "".join(ROWS)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "dropped.jsonl",
        "kept.index",
        "kept.index.lock",
        "kept.jsonl",
    ]


def test_sigterm_ends_an_export_without_a_trace(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def export() -> None:
        with ended_by_sigterm(), NewFile(tmp_path / "alpaca.json") as file:
            file.write("[")
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit) as ended:
        export()
    assert ended.value.code == 143
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == before
