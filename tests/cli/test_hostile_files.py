"""Files of a user may be anything: a device, a pipe, a loop, a bomb, no text. Each is one line, soon, and no harm."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from enum import Enum
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import get_args, get_type_hints

import pytest
from typer.testing import CliRunner

import fastinstruct
from built_run import BuiltRun
from fastinstruct.cli.app import app
from fastinstruct.errors import FastInstructError
from fastinstruct.files.rows import MAX_TEXT_BYTES
from fastinstruct.reading import regular_file, whole_file

SECONDS = 30  # of a whole process on a busy machine; what it does takes less than one
NOBODY = 65534
PATHS = os.pathsep.join(path for path in sys.path if path)


class Purpose(Enum):
    """What a path is given for."""

    READ = "a file, or the folder of a run, that is read"
    WRITTEN = "a file that is written"
    REPLACED = "a file that is written, whatever was in it"
    FOLDER = "a new folder"


_OF_A_RUN = {
    "--config": Purpose.READ,
    "--seeds": Purpose.READ,
    "--prompts": Purpose.READ,
    "--gguf": Purpose.READ,
    "--against": Purpose.READ,
    "--out": Purpose.FOLDER,
}
PURPOSES: dict[str, dict[str, Purpose]] = {
    "run": _OF_A_RUN,
    "doctor": _OF_A_RUN,
    "status": {"": Purpose.READ},
    "inspect": {"": Purpose.READ},
    "export": {"": Purpose.READ, "--out": Purpose.WRITTEN},
    "refilter": {"": Purpose.READ, "--against": Purpose.READ, "--out": Purpose.FOLDER},
    "dedup": {
        "": Purpose.READ,
        "--against": Purpose.READ,
        "--out": Purpose.WRITTEN,
        "--rejected": Purpose.WRITTEN,
        "--index": Purpose.WRITTEN,
    },
    "bench": {"": Purpose.READ},
    "init": {"": Purpose.WRITTEN},
    "scripted-server": {"--port-file": Purpose.REPLACED, "--log": Purpose.REPLACED},
}
# What else a verb has to be given, so that nothing is wrong but the one path.
NEEDED: dict[str, dict[str, str]] = {
    "run": {"--base-url": "http://127.0.0.1:9/v1", "--model": "m", "--out": "new"},
    "doctor": {"--base-url": "http://127.0.0.1:9/v1", "--model": "m", "--out": "new"},
    "status": {"": "run"},
    "inspect": {"": "run"},
    "export": {"": "run", "--out": "rows.jsonl"},
    "refilter": {"": "run", "--out": "new"},
    "dedup": {"": "in.jsonl", "--out": "kept.jsonl"},
    "bench": {"": "in.jsonl"},
    "init": {"": "mine.yaml"},
    "scripted-server": {"--port": "0"},
}
SWITCHES = {"doctor": ["--offline"], "bench": ["--peer", "none", "--rounds", "1"]}


def options() -> Iterator[tuple[str, str]]:
    """Every option and argument of every verb that takes a path, as the command line itself has them."""
    for registered in app.registered_commands:
        verb = registered.callback
        assert verb is not None
        for name, hint in get_type_hints(verb, include_extras=True).items():
            told, *about = get_args(hint) or (hint,)
            names = [decl for one in about for decl in getattr(one, "param_decls", None) or () if decl.startswith("--")]
            is_option = any(type(one).__name__ == "OptionInfo" for one in about)
            if "Path" in str(told):
                option = (names or [f"--{name}".replace("_", "-")])[0] if is_option else ""
                yield verb.__name__.replace("_", "-"), option


def test_every_path_that_a_verb_takes_is_tested() -> None:
    assert set(options()) == {(verb, option) for verb, purposes in PURPOSES.items() for option in purposes}


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


def full(folder: Path) -> Path:
    return Path("/dev/full")


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


def no_text_as_name(folder: Path) -> Path:
    return folder / os.fsdecode(b"caf\xe9")


def unreadable(folder: Path) -> Path:
    (folder / "unreadable").write_text("secret")
    (folder / "unreadable").chmod(0)
    return folder / "unreadable"


KINDS = [missing, a_folder, a_pipe, endless, full, a_loop, too_long, no_text, deep, no_text_as_name, unreadable]
FINE: dict[Purpose, set[Callable[[Path], Path]]] = {
    Purpose.READ: set(),
    Purpose.WRITTEN: {missing, no_text_as_name, endless},
    Purpose.REPLACED: {missing, no_text_as_name, endless, no_text, deep, unreadable, full},
    Purpose.FOLDER: {missing, no_text_as_name, a_folder},
}
# Here a pipe is as good as a file, and whoever has the other end is waited for.
WAIT = {
    ("bench", ""),
    ("dedup", ""),
    ("dedup", "--against"),
    ("dedup", "--out"),
    ("dedup", "--rejected"),
    ("export", "--out"),
}
CASES = [(*one, kind) for one in sorted(set(options())) for kind in KINDS]
IN_PROCESS = [case for case in CASES if case[0] != "scripted-server" and not (case[:2] in WAIT and case[2] is a_pipe)]


@pytest.fixture(scope="module")
def a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "run"
    with BuiltRun(folder) as built:
        built.admit("Name a colour.", ("", "Red."))
    return folder


@pytest.fixture
def place(a_run: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with what verbs need, in which nobody in particular may work."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        shutil.copytree(a_run, folder / "run")
        (folder / "in.jsonl").write_text(2 * '{"instruction": "Say hello."}\n')
        (folder / "bystander.txt").write_text("mine\n")
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o777 if path.is_dir() else 0o666)
        monkeypatch.chdir(folder)
        yield folder


def arguments(verb: str, option: str, path: Path) -> list[str]:
    given = {**NEEDED[verb], option: str(path)}
    if option == "--gguf":
        given = {option: str(path), "--out": "new"}
    named = [word for name, value in given.items() if name for word in (name, value)]
    return [verb, *named, *SWITCHES.get(verb, []), *([given[""]] if "" in given else [])]


def contents(folder: Path) -> dict[Path, bytes]:
    """What every file holds that can be read; the companions of a database come and go."""
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and path.suffix not in {".db-wal", ".db-shm"}
    }


@contextmanager
def nobody_in_particular() -> Iterator[None]:
    """Without the rights of root, who may read everything."""
    if os.geteuid() != 0:
        yield
        return
    for module in walk_packages(fastinstruct.__path__, "fastinstruct."):
        if not module.name.endswith("__main__"):
            import_module(module.name)  # Python itself may lie where only root may read
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(("verb", "option", "kind"), IN_PROCESS)
def test_every_path_of_every_verb_may_be_anything(
    place: Path, verb: str, option: str, kind: Callable[[Path], Path]
) -> None:
    path = kind(place)
    before, devices = contents(place), [Path("/dev/zero").stat(), Path("/dev/full").stat()]
    started = time.monotonic()
    with nobody_in_particular() if kind is unreadable else nullcontext():
        result = CliRunner().invoke(app, arguments(verb, option, path))
    assert time.monotonic() - started < SECONDS
    failure = result.exception
    assert failure is None or isinstance(failure, FastInstructError | SystemExit), repr(failure)
    assert "Traceback" not in result.output
    if isinstance(failure, FastInstructError):
        assert "\n" not in str(failure)
    is_fine = kind in FINE[PURPOSES[verb][option]] or (verb, option, kind) == ("export", "--out", a_folder)
    if not is_fine:
        assert failure is not None
        assert not isinstance(failure, SystemExit) or failure.code
    after = contents(place)
    assert {name: after.get(name) for name in before} == before
    assert [os.path.samestat(*pair) for pair in zip(devices, map(os.stat, ("/dev/zero", "/dev/full")), strict=True)]
    if failure is not None:
        assert {name.name for name in after if name not in before} <= LEFT


# What a call that fails may leave: its locks, what it had written so far, and a run that goes on.
LEFT = {"run.lock", "run.db", "manifest.json", "config.yaml"} | {
    f"{name}.{end}" for name in ("kept.jsonl", "no-text", "deep.json", "unreadable") for end in ("lock", "partial")
}


def process(folder: Path, *command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "fastinstruct", *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": PATHS},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize(("verb", "option"), sorted(WAIT))
def test_who_waits_for_the_other_end_of_a_pipe_is_ended_by_a_signal(place: Path, verb: str, option: str) -> None:
    path = a_pipe(place)
    before = contents(place)
    with process(place, *arguments(verb, option, path)) as waiting:
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                waiting.wait(timeout=4)
            waiting.send_signal(signal.SIGTERM)
            _, said = waiting.communicate(timeout=SECONDS)
        finally:
            waiting.kill()
    assert waiting.returncode in {143, -15}
    assert b"Traceback" not in said
    after = contents(place)
    assert {name: after.get(name) for name in before} == before


@pytest.mark.parametrize(("option", "kind"), [case[1:] for case in CASES if case[0] == "scripted-server"])
def test_the_scripted_server_says_what_is_wrong_with_a_path_or_listens(
    place: Path, option: str, kind: Callable[[Path], Path]
) -> None:
    path = kind(place)
    with process(place, *arguments("scripted-server", option, path)) as server:
        try:
            assert server.stdout is not None
            listens = server.stdout.readline()
            if listens:
                server.send_signal(signal.SIGTERM)
            _, said = server.communicate(timeout=SECONDS)
        finally:
            server.kill()
    assert b"Traceback" not in said
    assert listens or server.returncode in {1, 2}
    if kind not in FINE[Purpose.REPLACED]:
        assert said.count(b"\n") == 1
        assert not listens


@pytest.mark.parametrize("name", ["run.db", "run.db-wal", "run.db-journal", "run.lock", "manifest.json", "config.yaml"])
@pytest.mark.parametrize("verb", ["status", "inspect", "export", "refilter", "run"])
def test_a_pipe_inside_the_folder_of_a_run_keeps_nobody_waiting(place: Path, name: str, verb: str) -> None:
    (place / "run" / name).unlink(missing_ok=True)
    os.mkfifo(place / "run" / name)
    given = {**NEEDED[verb], "--out" if verb == "run" else "": "run"}
    named = [word for option, value in given.items() if option for word in (option, value)]
    result = CliRunner().invoke(app, [verb, *named, *([given[""]] if "" in given else [])])
    assert result.exception is None or isinstance(result.exception, FastInstructError | SystemExit)
    needed = {"run.db", "run.db-wal", "run.db-journal"} | ({"run.lock"} if verb == "run" else set())
    assert result.exit_code != 0 or name not in needed


def test_a_pipe_where_init_writes_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["init", str(a_pipe(tmp_path)), "--force"])
    assert isinstance(result.exception, FastInstructError)
    assert "is no regular file, and nothing else is ever replaced" in str(result.exception)


def test_a_file_that_becomes_a_pipe_between_two_looks_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was opened is looked at, not the name: a look at the name could come before the file is exchanged."""
    pipe = a_pipe(tmp_path)
    regular = tmp_path / "regular"
    regular.write_text("x")
    status = regular.stat()
    monkeypatch.setattr(Path, "stat", lambda *_, **__: status)
    for read in (whole_file, regular_file):
        with pytest.raises(OSError, match="it is a pipe, not a file"):
            read(pipe)


def test_a_pipe_that_a_shell_has_opened_is_read(tmp_path: Path) -> None:
    script = "import sys; from pathlib import Path; from fastinstruct.reading import whole_text; "
    script += "print(whole_text(Path(sys.argv[1])))"
    command = f"{sys.executable} -c '{script}' <(sleep 0.3; echo hello)"
    done = subprocess.run(
        ["bash", "-c", command], env={**os.environ, "PYTHONPATH": PATHS}, capture_output=True, check=False
    )
    assert done.stdout == b"hello\n\n"


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


LIMIT_MIB = 256  # that what is read may add to what the modules take; the bomb stands for 4,700
MEASURED = """
import resource, sys
from fastinstruct.cli.app import main
from fastinstruct.similarity import warm_up
warm_up()
import fastinstruct.deduplication, zstandard
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    main()
finally:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_zstd_bomb_is_one_line_and_fits_into_little_memory(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard", reason="needs the extra zstd")
    bomb = tmp_path / "bomb.jsonl.zst"
    with bomb.open("wb") as file, zstandard.ZstdCompressor(level=19).stream_writer(file) as writer:
        for _ in range(600):  # 4.7 GiB of zeros
            writer.write(bytes(1 << 23))
    assert bomb.stat().st_size < 1 << 20
    command = [sys.executable, "-c", MEASURED, "dedup", str(bomb), "--out", str(tmp_path / "out.jsonl")]
    environment = {**os.environ, "PYTHONPATH": PATHS}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=4 * SECONDS, check=False)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert int(done.stdout) < LIMIT_MIB


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


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_stdout_is_one_line(tmp_path: Path, unbuffered: str) -> None:
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with BuiltRun(tmp_path / "run") as built:
        built.admit("Name a colour.", ("", "Red."))
    with Path("/dev/full").open("wb") as full:
        for verb in (["export", "-o", "-", "-f", "alpaca"], ["status"], ["inspect", "--json"]):
            command = [sys.executable, "-m", "fastinstruct", verb[0], str(tmp_path / "run"), *verb[1:]]
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=SECONDS, check=False, env=env)
            assert done.returncode == 1
            assert done.stderr == b"fastinstruct: stdout: No space left on device\n"
