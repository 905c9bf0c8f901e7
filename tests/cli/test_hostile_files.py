"""Files of a user may be anything: a device, a pipe, a loop, a bomb, no text. Each is one line, soon, and no harm."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from typer.testing import CliRunner

from built_run import BuiltRun
from fastinstruct.cli.app import app
from fastinstruct.errors import FastInstructError
from fastinstruct.files.rows import MAX_TEXT_BYTES

SECONDS = 30  # of a whole process on a busy machine; what it does takes less than one
EXTRAS = {
    "run": ["--base-url", "http://127.0.0.1:9/v1", "--model", "m", "--dry-run"],
    "doctor": ["--base-url", "http://127.0.0.1:9/v1", "--model", "m", "--offline"],
    "refilter": [],
}


def options() -> Iterator[tuple[str, str]]:
    """Every option and argument of every verb that takes a path."""
    for registered in app.registered_commands:
        verb = registered.callback
        assert verb is not None
        for name, hint in get_type_hints(verb, include_extras=True).items():
            told, *about = get_args(hint) or (hint,)
            names = [decl for one in about for decl in getattr(one, "param_decls", None) or () if decl.startswith("--")]
            is_option = any(type(one).__name__ == "OptionInfo" for one in about)
            if "Path" in str(told) and verb.__name__ != "scripted_server":
                yield verb.__name__, (names or [f"--{name}".replace("_", "-")])[0] if is_option else ""


def missing(folder: Path) -> Path:
    return folder / "missing"


def a_folder(folder: Path) -> Path:
    (folder / "folder").mkdir()
    return folder / "folder"


def a_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def endless(folder: Path) -> Path:
    return Path("/dev/zero")


def a_loop(folder: Path) -> Path:
    (folder / "loop").symlink_to(folder / "loop")
    return folder / "loop"


def too_long(folder: Path) -> Path:
    return folder / ("a" * 300)


def no_text(folder: Path) -> Path:
    (folder / "no-text").write_bytes(b"\xff\xfe\x00{" * 50)
    return folder / "no-text"


def deep(folder: Path) -> Path:
    (folder / "deep.json").write_text("[" * 3_000 + "]" * 3_000)
    return folder / "deep.json"


KINDS = [missing, a_folder, a_pipe, endless, a_loop, too_long, no_text, deep]


# `dedup` reads pipes, and waits for who writes to one.
CASES = [(*one, kind) for one in sorted(set(options())) for kind in KINDS if (one[0], kind) != ("dedup", a_pipe)]


@pytest.mark.parametrize(("verb", "option", "kind"), CASES)
def test_every_path_of_every_verb_may_be_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, option: str, kind: Callable[[Path], Path]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = str(kind(tmp_path))
    before = Path("/dev/zero").stat().st_mode
    given = [option, path] if option else [path]
    if verb == "dedup" and option:
        (tmp_path / "in.jsonl").write_text('{"instruction": "Say hello."}\n')
        given.append(str(tmp_path / "in.jsonl"))
    if verb == "refilter" and option != "--out":
        given += ["--out", "new"]
    started = time.monotonic()
    result = CliRunner().invoke(app, [verb, *given, *EXTRAS.get(verb, [])])
    assert time.monotonic() - started < SECONDS
    failure = result.exception
    assert failure is None or isinstance(failure, FastInstructError | OSError | SystemExit), repr(failure)
    if isinstance(failure, FastInstructError):
        assert "\n" not in str(failure)
    assert Path("/dev/zero").stat().st_mode == before


@pytest.mark.parametrize("name", ["manifest.json", "config.yaml"])
@pytest.mark.parametrize("content", ["[" * 3_000, '{"identity":' + '{"a":' * 3_000 + "1" + "}" * 3_001, "\x00", "{}"])
@pytest.mark.parametrize("verb", ["status", "inspect", "export", "refilter"])
def test_a_damaged_file_of_a_run_is_one_line(tmp_path: Path, name: str, content: str, verb: str) -> None:
    with BuiltRun(tmp_path / "run") as built:
        built.admit("Name a colour.", ("", "Red."))
    (tmp_path / "run" / name).write_text(content)
    extra = ["--out", str(tmp_path / "new")] if verb == "refilter" else []
    result = CliRunner().invoke(app, [verb, str(tmp_path / "run"), *extra])
    assert result.exception is None or isinstance(result.exception, FastInstructError), repr(result.exception)


def limited(*command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a command with little memory beyond what its modules take."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))

    return subprocess.run(
        [sys.executable, "-m", "fastinstruct", *command],
        input=stdin, capture_output=True, timeout=4 * SECONDS, preexec_fn=limit, check=False,
    )  # fmt: skip


def test_a_zstd_bomb_is_one_line_and_fits_into_little_memory(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard", reason="needs the extra zstd")
    bomb = tmp_path / "bomb.jsonl.zst"
    with bomb.open("wb") as file, zstandard.ZstdCompressor(level=19).stream_writer(file) as writer:
        for _ in range(600):  # 4.7 GiB of zeros
            writer.write(bytes(1 << 23))
    assert bomb.stat().st_size < 1 << 20
    done = limited("dedup", str(bomb), "--out", str(tmp_path / "out.jsonl"))
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_a_text_too_long_to_compare_is_refused_with_the_way_to_take_it(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    text = "a b c " * (MAX_TEXT_BYTES // 6 + 1)
    file.write_text(json.dumps({"instruction": text}) + "\n")
    result = CliRunner().invoke(app, ["dedup", str(file), "--out", str(tmp_path / "out.jsonl")])
    assert isinstance(result.exception, FastInstructError)
    assert f"{file}:1: its text is {len(text):,} bytes long; --max-text-bytes {len(text)}" in str(result.exception)
    taken = CliRunner().invoke(
        app,
        ["dedup", str(file), "--out", str(tmp_path / "out.jsonl"), "--overwrite", "--max-text-bytes", str(len(text))],
    )
    assert taken.exit_code == 0


def test_a_full_disk_behind_stdout_is_one_line(tmp_path: Path) -> None:
    with BuiltRun(tmp_path / "run") as built:
        built.admit("Name a colour.", ("", "Red."))
    with Path("/dev/full").open("wb") as full:
        for verb in (["export", "-o", "-", "-f", "alpaca"], ["status"], ["inspect", "--json"]):
            command = [sys.executable, "-m", "fastinstruct", verb[0], str(tmp_path / "run"), *verb[1:]]
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=SECONDS, check=False)
            assert done.returncode == 1
            assert done.stderr == b"fastinstruct: stdout: No space left on device\n"
