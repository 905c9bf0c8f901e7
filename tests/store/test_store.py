"""One durable run: what is acknowledged survives, in order; what is damaged, locked or another's is refused by name."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from fastinstruct.errors import RunFolderError, StoreError
from fastinstruct.records import Example, Instance, RejectReason, SeedTask
from fastinstruct.store import (
    FORMAT_VERSION,
    AnnotationRow,
    AttemptRow,
    CandidateRow,
    Commit,
    Finished,
    InstanceRow,
    InstructionRow,
    MetaKey,
    RequestRow,
    RunFolder,
    RunReader,
    RunStore,
    StageUsage,
    StoredState,
    finished,
    recent,
)
from run_stages import STAGES

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
SEED = SeedTask(
    id="s1",
    name="greet",
    instruction="Greet somebody.",
    instances=(Instance(input="Ann", output="Hello, Ann!"), Instance(input="", output="Hello!")),
    is_classification=False,
)
EMPTY = StoredState(
    instructions=(),
    to_do={"classification": (), "instances": ()},
    next_number=0,
    missing_numbers=(),
    next_request_id=1,
    next_candidate_id=1,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    opened = RunStore(tmp_path / "run.db")
    yield opened
    opened.close()


def request(id_: int, stage: str = "instructions", number: int | None = None, outcome: str = "ok") -> RequestRow:
    return RequestRow(
        id=id_,
        stage=stage,
        number=id_ - 1 if number is None else number,
        template=str(stage),
        in_context=(0, 1) if stage == "instructions" else None,
        outcome=outcome,
    )


def generated(id_: int, *texts: str, number: int | None = None, first: int = 0) -> Commit:
    """A stage-1 commit that admits these texts, the first of them as instruction `first`."""
    return Commit(
        request=request(id_, number=number),
        candidates=tuple(CandidateRow(id=first + i + 1, text=text, reason=None) for i, text in enumerate(texts)),
        instructions=tuple(
            InstructionRow(id=first + i, candidate_id=first + i + 1, text=text) for i, text in enumerate(texts)
        ),
    )


def noted(instruction_id: int, answer: bool | None) -> AnnotationRow:
    return AnnotationRow(instruction_id=instruction_id, name="is_classification", value=answer)


def classified(id_: int, instruction_id: int, answer: bool | None) -> Commit:
    return Commit(
        request=request(id_, "classification", instruction_id),
        annotations=(noted(instruction_id, answer),),
    )


def instantiated(id_: int, instruction_id: int, *outputs: str, outcome: str = "ok") -> Commit:
    rows = [
        InstanceRow(instruction_id=instruction_id, item=item, input="", output=output)
        for item, output in enumerate(outputs)
    ]
    return Commit(request=request(id_, "instances", instruction_id, outcome), instances=tuple(rows))


def to_do(
    to_classify: Sequence[int], to_instantiate: Sequence[tuple[int, bool | None]]
) -> dict[str, tuple[tuple[int, dict[str, bool | None]], ...]]:
    """What a state says is left for stages 2 and 3: instructions, for stage 3 with their kind."""
    return {
        "classification": tuple((number, {}) for number in to_classify),
        "instances": tuple((number, {"is_classification": answer}) for number, answer in to_instantiate),
    }


def submit(store: RunStore, *commits: Commit) -> None:
    store.submit(commits).result(timeout=30)


def _wait_for(gate: threading.Event) -> None:
    gate.wait(30)


def stored_numbers(path: Path) -> list[int]:
    with RunReader(path) as reader:
        return [number for (number,) in reader.rows("SELECT number FROM request ORDER BY id")]


# ---------------------------------------------------------------------------------------------- writing and durability


def test_commits_are_stored_in_submission_order_and_survive_reopening(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run.db")
    futures = [store.submit([generated(n, number=n + 100)]) for n in range(1, 301)]
    for future in futures:
        future.result(timeout=30)
    store.close()
    assert stored_numbers(tmp_path) == list(range(101, 401))
    again = RunStore(tmp_path / "run.db")
    assert again.state(STAGES).next_request_id == 301
    again.close()


def test_writes_that_wait_share_one_transaction(store: RunStore) -> None:
    """Every write sees those of its group before the group is committed."""
    gate, entered = threading.Event(), threading.Event()

    def hold(_: sqlite3.Connection) -> None:
        entered.set()
        gate.wait(30)

    held = store._writer.submit(hold)
    entered.wait(30)
    changes: list[int] = []
    futures = [store._writer.submit(lambda c: changes.append(c.total_changes)) for _ in range(3)]
    stored = store.submit([generated(1)])
    gate.set()
    for future in (held, *futures, stored):
        future.result(timeout=30)
    assert len(set(changes)) == 1


def test_an_acknowledged_commit_is_visible_to_every_other_connection(store: RunStore) -> None:
    seen: list[int] = []
    for n in range(1, 20):
        submit(store, generated(n))
        seen.append(len(stored_numbers(store.path.parent)))
    assert seen == list(range(1, 20))


def test_nothing_is_acknowledged_before_it_is_on_disk(store: RunStore) -> None:
    """While a group's transaction is open, its futures are not done and no reader sees its rows."""
    gate, entered = threading.Event(), threading.Event()

    def hold(_: sqlite3.Connection) -> None:
        entered.set()
        gate.wait(30)

    futures = [store._writer.submit(hold)]
    entered.wait(30)
    futures.append(store.submit([generated(1)]))
    assert stored_numbers(store.path.parent) == []
    assert [future.done() for future in futures] == [False, False]
    gate.set()
    futures[1].result(timeout=30)
    assert stored_numbers(store.path.parent) == [0]


def test_what_was_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    script = f"""
import os, signal
from pathlib import Path
from fastinstruct.store import Commit, RequestRow, RunFolder, RunStore
with RunFolder(Path({str(tmp_path)!r})) as folder:
    store = RunStore(folder.database)
    for n in range(20):
        row = RequestRow(id=n + 1, stage="instructions", number=n, template="t", in_context=(), outcome="ok")
        store.submit([Commit(request=row)]).result()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    child = subprocess.run([sys.executable, "-c", script], env=ENVIRONMENT, check=False, timeout=60)
    assert child.returncode == -signal.SIGKILL
    with RunFolder(tmp_path) as folder:
        assert stored_numbers(tmp_path) == list(range(20))
        store = RunStore(folder.database)
        assert store.state(STAGES).next_number == 20
        store.close()


def test_closing_finishes_what_was_submitted(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run.db")
    futures = [store.submit([generated(n)]) for n in range(1, 100)]
    store.close()
    assert all(future.done() and future.exception() is None for future in futures)
    assert len(stored_numbers(tmp_path)) == 99


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run.db")
    store.close()
    store.close()
    assert stored_numbers(tmp_path) == []


def test_a_commit_after_closing_fails_and_does_not_hang(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run.db")
    store.close()
    with pytest.raises(StoreError, match=r"run\.db: is closed"):
        store.submit([generated(1)]).result(timeout=5)
    store.end_sitting("late")


def test_a_store_that_was_opened_before_a_fork_fails_in_the_child_and_stays_whole(tmp_path: Path) -> None:
    script = """
import os, sys
from pathlib import Path
from fastinstruct.errors import StoreError
from fastinstruct.store import RunReader, RunStore
store = RunStore(Path(sys.argv[1]))
store.set_meta("before", "1")
child = os.fork()
if child == 0:
    told = []
    state = lambda: store.state(["instructions"])
    for call in (lambda: store.submit([]).result(5), lambda: store.set_meta("k", "v"), store.usage, state):
        try:
            call()
        except StoreError as error:
            told.append(str(error))
    store.end_sitting("late")
    store.close()
    is_right = told == [f"{sys.argv[1]}: was opened before this process was forked; open it here"] * 4
    os._exit(0 if is_right else 1)
assert os.waitpid(child, 0)[1] == 0
store.set_meta("after", "2")
store.close()
with RunReader(Path(sys.argv[1]).parent) as reader:
    reader.check()
    assert (reader.meta("before"), reader.meta("after"), reader.meta("k")) == ("1", "2", None)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "run.db")],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_every_commit_submitted_while_another_thread_closes_is_stored_or_fails(tmp_path: Path) -> None:
    for attempt in range(5):
        path = tmp_path / str(attempt) / "run.db"
        path.parent.mkdir()
        store = RunStore(path)
        futures: list[Future[None]] = []
        closer = threading.Thread(target=store.close)
        for n in range(1, 200):
            if n == 20 * (attempt + 1):
                closer.start()
            futures.append(store.submit([generated(n)]))
        closer.join(30)
        outcomes = [future.exception(timeout=5) for future in futures]
        assert stored_numbers(path.parent) == [n for n, error in enumerate(outcomes) if error is None]


def test_a_caller_that_gives_up_does_not_stop_the_writer(store: RunStore) -> None:
    """Cancelling a future that the writer is about to resolve must not end its thread."""
    gate = threading.Event()
    held = store._writer.submit(lambda _: _wait_for(gate))
    given_up = store.submit([generated(1)])
    assert given_up.cancel() is False
    gate.set()
    held.result(timeout=30)
    submit(store, generated(2))
    assert stored_numbers(store.path.parent) == [0, 1]


def test_a_loop_that_is_closed_before_the_acknowledgement_does_no_harm(
    store: RunStore, caplog: pytest.LogCaptureFixture
) -> None:
    gate = threading.Event()
    held = store._writer.submit(lambda _: _wait_for(gate))

    async def wait_for_ever() -> None:
        await asyncio.wrap_future(store.submit([generated(2)]))

    async def leave() -> None:
        kept = asyncio.wrap_future(store.submit([generated(1)])), asyncio.create_task(wait_for_ever())
        await asyncio.sleep(0)
        assert not any(one.done() for one in kept)

    asyncio.run(leave())
    gate.set()
    held.result(timeout=30)
    submit(store, generated(3))
    assert stored_numbers(store.path.parent) == [0, 1, 2]
    assert caplog.messages == []


# ------------------------------------------------------------------------------------------------------------ failures


def test_a_failed_write_fails_all_later_ones_and_nothing_is_stored_after_the_gap(store: RunStore) -> None:
    submit(store, generated(1))
    with pytest.raises(StoreError, match="UNIQUE constraint failed"):
        submit(store, generated(1))
    with pytest.raises(StoreError, match="UNIQUE constraint failed"):
        submit(store, generated(2))
    with pytest.raises(StoreError, match="UNIQUE constraint failed"):
        store.state(STAGES)
    assert stored_numbers(store.path.parent) == [0]


def test_a_group_with_a_failed_write_is_stored_not_at_all(store: RunStore) -> None:
    with pytest.raises(StoreError):
        submit(store, generated(1), generated(2), generated(1))
    assert stored_numbers(store.path.parent) == []


def test_a_commit_is_stored_with_all_its_rows_or_not_at_all(store: RunStore) -> None:
    whole = generated(1, "One", "Two")
    clash = Commit(request=request(2), candidates=(CandidateRow(id=1, text="x", reason=None),))
    submit(store, whole)
    with pytest.raises(StoreError, match=r"candidate\.id"):
        submit(store, clash)
    assert stored_numbers(store.path.parent) == [0]


def test_a_failure_keeps_its_cause(store: RunStore) -> None:
    submit(store, generated(1))
    error = store.submit([generated(1)]).exception(timeout=30)
    assert isinstance(error, StoreError)
    assert isinstance(error.__cause__, sqlite3.IntegrityError)


def test_a_full_disk_is_named_and_what_was_stored_before_stays(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run.db")
    submit(store, generated(1))
    store._writer.submit(lambda c: c.execute("PRAGMA max_page_count = 1").close()).result(timeout=30)
    huge = generated(2, "x" * 1_000_000)
    with pytest.raises(StoreError) as caught:
        submit(store, huge)
    assert str(caught.value) == (
        f"{tmp_path / 'run.db'}: the disk is full; free some space and run the same command to go on"
    )
    with pytest.raises(StoreError, match="the disk is full"):
        submit(store, generated(3))
    store.end_sitting("failure")
    store.close()
    assert stored_numbers(tmp_path) == [0]
    again = RunStore(tmp_path / "run.db")
    submit(again, huge)
    again.close()


def test_a_bug_in_a_write_reaches_its_caller(store: RunStore) -> None:
    def buggy(_: sqlite3.Connection) -> None:
        raise KeyError("rows")

    with pytest.raises(StoreError, match=r"run\.db: a write failed: KeyError: 'rows'"):
        store._writer.submit(buggy).result(timeout=30)


def test_half_of_a_surrogate_pair_is_a_store_error_of_one_line(store: RunStore) -> None:
    """Such a text cannot be written as UTF-8; `lm.wire` replaces it, so none should ever come."""
    with pytest.raises(StoreError) as caught:
        submit(store, generated(1, "private \ud83d text"))
    assert "surrogates not allowed" in str(caught.value)
    assert "private" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["a\x00b", "\x00", "🦜 naïve 中文", "é", "", "  \n\t ", "'; DROP TABLE request; --", "x" * 10_000_000]
)
def test_any_text_comes_back_as_it_was(store: RunStore, text: str) -> None:
    row = request(1)
    submit(
        store,
        Commit(
            request=RequestRow(
                id=1, stage=row.stage, number=0, template="t", in_context=None, outcome="ok", text=text, model=text[:9]
            ),
            candidates=(CandidateRow(id=1, text=text, reason=None),),
            instructions=(InstructionRow(id=0, candidate_id=1, text=text),),
        ),
    )
    assert store.state(STAGES).instructions == (text,)
    with RunReader(store.path.parent) as reader:
        assert list(reader.rows("SELECT text, model FROM request")) == [(text, text[:9])]


# ----------------------------------------------------------------------------------------------------- damaged or alien


def filled(path: Path) -> Path:
    store = RunStore(path)
    for n in range(1, 60):
        submit(store, generated(n, f"Task {n} " * 60, first=n - 1))
    store.close()
    return path


DAMAGED = "the database is damaged; restore it from a copy, or give another --out"


def test_a_file_that_is_no_database_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    path.write_text("Dear diary, " * 500)
    with pytest.raises(RunFolderError) as caught:
        RunStore(path)
    assert str(caught.value) == f"{path}: {DAMAGED}"
    with pytest.raises(RunFolderError, match="is damaged"):
        RunReader(tmp_path)


def test_a_truncated_database_is_refused_by_name(tmp_path: Path) -> None:
    path = filled(tmp_path / "run.db")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(RunFolderError) as caught:
        RunStore(path)
    assert str(caught.value) == f"{path}: {DAMAGED}"


def test_an_overwritten_page_is_refused_by_name(tmp_path: Path) -> None:
    path = filled(tmp_path / "run.db")
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xff" * 3 * 4096)
    with pytest.raises(RunFolderError) as caught:
        RunStore(path)
    assert str(caught.value) == f"{path}: {DAMAGED}"


def test_a_reader_of_a_damaged_database_names_it(tmp_path: Path) -> None:
    path = filled(tmp_path / "run.db")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(RunFolderError, match=str(path)), RunReader(tmp_path) as reader:
        reader.totals()


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 7, -1])
def test_another_versions_format_is_refused_by_writer_and_reader(tmp_path: Path, version: int) -> None:
    path = filled(tmp_path / "run.db")
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    before = path.read_bytes()
    expected = f"{path}: written in format {version}, this version reads 3; give another --out"
    with pytest.raises(RunFolderError) as caught:
        RunStore(path)
    assert str(caught.value) == expected
    with pytest.raises(RunFolderError) as caught:
        RunReader(tmp_path)
    assert str(caught.value) == expected
    assert caught.value.exit_code == 2
    assert path.read_bytes() == before


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(RunFolderError, match="written in format 0"):
        RunStore(path)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    connection.close()


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError) as caught:
        RunReader(tmp_path)
    assert str(caught.value) == f"{tmp_path}: holds no run (there is no run.db); `fastinstruct run` makes one"


def test_a_run_that_was_killed_before_its_first_table_can_be_started_again(tmp_path: Path) -> None:
    (tmp_path / "run.db").touch()
    with pytest.raises(RunFolderError, match="holds no run yet"):
        RunReader(tmp_path)
    store = RunStore(tmp_path / "run.db")
    assert store.state(STAGES) == EMPTY
    store.close()


def test_a_path_may_hold_characters_that_mean_something_in_a_uri(tmp_path: Path) -> None:
    folder = tmp_path / "a b?mode=ro#c%20d"
    folder.mkdir()
    store = RunStore(folder / "run.db")
    submit(store, generated(1))
    store.close()
    assert stored_numbers(folder) == [0]
    assert [entry.name for entry in tmp_path.iterdir()] == ["a b?mode=ro#c%20d"]


# ------------------------------------------------------------------------------------------------------------- folder


IDENTITY = {"profile": "default", "similarity": {"threshold": 0.7}, "model": {"name": "m", "extra_body": {}}}


def test_a_second_writer_in_the_same_process_is_refused(tmp_path: Path) -> None:
    with RunFolder(tmp_path), pytest.raises(RunFolderError) as caught, RunFolder(tmp_path):
        pass
    assert str(caught.value) == (
        f"{tmp_path}: another process is writing to this run; wait for it, or give another --out"
    )
    with RunFolder(tmp_path):
        pass


LOCK = """
import sys
from pathlib import Path
from fastinstruct.errors import RunFolderError
from fastinstruct.store import RunFolder
try:
    with RunFolder(Path(sys.argv[1])):
        print("locked", flush=True)
        sys.stdin.readline()
except RunFolderError as error:
    print(error, flush=True)
"""


def lock_in_a_child(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", LOCK, str(path)],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_lock_keeps_other_processes_out_and_ends_with_its_own(tmp_path: Path) -> None:
    with RunFolder(tmp_path), lock_in_a_child(tmp_path) as child:
        answer, _ = child.communicate(timeout=60)
        assert answer.startswith(f"{tmp_path}: another process is writing to this run")
    with lock_in_a_child(tmp_path) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "locked\n"
        with pytest.raises(RunFolderError, match="another process is writing"), RunFolder(tmp_path):
            pass
        child.kill()
        child.wait(60)
        with RunFolder(tmp_path) as folder:
            assert folder.database == tmp_path / "run.db"


def test_a_file_system_without_locks_is_not_taken_for_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(RunFolderError, match="cannot be locked: Operation not supported"), RunFolder(tmp_path):
        pass


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("file", "is a file; give a folder as --out"),
        ("file/run", "cannot be written: .*; give another --out"),
        ("file/deeper/run", "cannot be written: .*; give another --out"),
    ],
)
def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    path = tmp_path / name
    with pytest.raises(RunFolderError, match=why) as caught, RunFolder(path):
        pass
    assert str(caught.value).startswith(f"{path}: ")


def test_the_same_identity_may_come_again(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder:
        folder.claim(IDENTITY, {"format": 1})
        folder.claim(IDENTITY, {"format": 2})
    manifest = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    assert manifest == {"identity": IDENTITY, "format": 1}


def test_an_identity_that_json_writes_differently_is_the_same(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder:
        folder.claim({"keywords": ("image", "map"), "extra": {1: None}}, {})
        folder.claim({"keywords": ("image", "map"), "extra": {1: None}}, {})
        folder.claim({"keywords": ["image", "map"], "extra": {"1": None}}, {})


def test_another_identity_is_refused_with_what_differs(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder:
        folder.claim(IDENTITY, {})
        filled(folder.database)
        with pytest.raises(RunFolderError) as caught:
            folder.claim({**IDENTITY, "similarity": {"threshold": 0.6}, "rng_seed": 5}, {})
    assert str(caught.value) == (
        f"{tmp_path}: belongs to another run (rng_seed is not set there and 5 here; "
        "similarity.threshold is 0.7 there and 0.6 here); give another --out, or use the same settings to resume it"
    )


def test_long_values_are_shortened_and_few_differences_shown(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder:
        folder.claim({f"k{n}": "a" * 64 for n in range(9)}, {})
        filled(folder.database)
        with pytest.raises(RunFolderError) as caught:
            folder.claim({f"k{n}": "b" * 64 for n in range(9)}, {})
    assert f"k3 is {'a' * 16}… there and {'b' * 16}… here" in str(caught.value)
    assert "k4" not in str(caught.value)


def test_a_folder_without_a_single_answer_is_made_anew(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder:
        folder.claim(IDENTITY, {})
        store = RunStore(folder.database)
        store.begin([SEED], {})
        store.close()
        folder.claim({"rng_seed": 5}, {})
        assert not folder.database.exists()
    assert json.loads((tmp_path / "manifest.json").read_text()) == {"identity": {"rng_seed": 5}}


def test_asking_whether_a_run_is_written_disturbs_no_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The asker holds the lock for an instant; a writer that comes in it waits."""
    filled(tmp_path / "run.db")
    with RunReader(tmp_path) as reader:
        assert not reader.is_being_written()
        with RunFolder(tmp_path):
            assert reader.is_being_written()
        assert not reader.is_being_written()
    with (tmp_path / "run.lock").open("rb") as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        monkeypatch.setattr("fastinstruct.store.folder.time.sleep", lambda _: fcntl.flock(asking, fcntl.LOCK_UN))
        with RunFolder(tmp_path), RunReader(tmp_path) as reader:
            assert reader.is_being_written()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"identity": 3}', "{}", "null", "\ufeff"])
def test_a_damaged_manifest_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content, encoding="utf-8")
    with RunFolder(tmp_path) as folder, pytest.raises(RunFolderError) as caught:
        folder.claim(IDENTITY, {})
    assert str(caught.value) == (
        f"{tmp_path / 'manifest.json'}: is damaged; restore it from a copy, or give another --out"
    )


def test_a_database_without_a_manifest_is_not_claimed(tmp_path: Path) -> None:
    filled(tmp_path / "run.db")
    with RunFolder(tmp_path) as folder, pytest.raises(RunFolderError, match=r"holds a run\.db but no manifest\.json"):
        folder.claim(IDENTITY, {})


def test_writing_replaces_a_file_whole_and_leaves_nothing_else(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder:
        folder.write("config.yaml", "a: 1\n" * 1000)
        folder.write("config.yaml", "naïve: 中文\n")
    assert (tmp_path / "config.yaml").read_bytes() == "naïve: 中文\n".encode()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["config.yaml", "run.lock"]


def test_a_file_that_cannot_be_written_is_a_store_error_and_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with RunFolder(tmp_path) as folder:
        folder.write("config.yaml", "old")
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match=r"config\.yaml: cannot be written: No space left on device"):
            folder.write("config.yaml", "new")
    assert (tmp_path / "config.yaml").read_text() == "old"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["config.yaml", "run.lock"]


# --------------------------------------------------------------------------------------------------- what is left to do


def test_a_new_run_has_nothing_behind_it(store: RunStore) -> None:
    assert store.state(STAGES) == EMPTY


def test_numbers_without_an_answer_are_holes(store: RunStore) -> None:
    submit(store, generated(1, number=0), generated(2, number=3), generated(3, number=5))
    state = store.state(STAGES)
    assert (state.next_number, state.missing_numbers, state.next_request_id) == (6, (1, 2, 4), 4)


def test_a_failed_stage_1_request_leaves_no_hole(store: RunStore) -> None:
    submit(store, Commit(request=request(1, number=0, outcome="deadline")), generated(2, number=1))
    assert store.state(STAGES).missing_numbers == ()


def test_pending_work_is_listed_by_instruction(store: RunStore) -> None:
    submit(
        store,
        generated(1, "a", "b", "c", "d", "e"),
        classified(2, 3, answer=None),
        classified(3, 1, answer=True),
        classified(4, 0, answer=False),
        instantiated(5, 1, "done"),
    )
    state = store.state(STAGES)
    assert state.instructions == ("a", "b", "c", "d", "e")
    assert state.to_do == to_do([2, 4], [(0, False), (3, None)])
    assert state.next_candidate_id == 6


@pytest.mark.parametrize("outcome", ["deadline", "transient", "truncated", "rate_limited", "overloaded"])
def test_a_stage_2_or_3_request_that_failed_is_asked_again(store: RunStore, outcome: str) -> None:
    submit(
        store,
        generated(1, "a", "b"),
        Commit(request=request(2, "classification", 0, outcome)),
        classified(3, 1, answer=True),
        instantiated(4, 1, outcome=outcome),
    )
    assert store.state(STAGES).to_do == to_do([0], [(1, True)])


@pytest.mark.parametrize("outcome", ["ok", "bad_request", "parser_failed"])
def test_a_stage_3_request_that_was_answered_or_refused_is_not_asked_again(store: RunStore, outcome: str) -> None:
    submit(store, generated(1, "a"), classified(2, 0, answer=True), instantiated(3, 0, outcome=outcome))
    assert store.state(STAGES).to_do == to_do([], [])


def test_an_instruction_that_stage_2_refused_goes_on_as_unknown(store: RunStore) -> None:
    refused = Commit(
        request=request(2, "classification", 0, "bad_request"),
        annotations=(noted(0, None),),
    )
    submit(store, generated(1, "a"), refused)
    assert store.state(STAGES).to_do == to_do([], [(0, None)])


def test_meta_is_remembered_and_replaced(store: RunStore) -> None:
    assert store.get_meta(MetaKey.THRESHOLD) is None
    store.set_meta(MetaKey.THRESHOLD, "0.5")
    store.set_meta(MetaKey.THRESHOLD, "1.5")
    assert store.get_meta(MetaKey.THRESHOLD) == "1.5"
    with RunReader(store.path.parent) as reader:
        assert (reader.meta(MetaKey.THRESHOLD), reader.meta(MetaKey.TELEMETRY)) == ("1.5", None)


def test_seeds_come_back_and_a_second_start_changes_nothing(store: RunStore) -> None:
    store.begin([SEED], {"instructions": ("abc", "text {tasks}")})
    store.begin([SEED], {"instructions": ("xyz", "other")})
    with RunReader(store.path.parent) as reader:
        assert reader.seeds() == (SEED,)
        assert list(reader.rows("SELECT name, sha256, source FROM template")) == [
            ("instructions", "abc", "text {tasks}")
        ]


def test_each_sitting_has_a_row_with_its_end(store: RunStore) -> None:
    store.begin_sitting("0.1.0", "m at http://127.0.0.1/v1")
    store.end_sitting("interrupt")
    store.begin_sitting("0.1.1", "m at http://127.0.0.1/v1")
    with RunReader(store.path.parent) as reader:
        rows = list(reader.rows("SELECT id, version, ended_by, ended_at IS NULL FROM sitting ORDER BY id"))
    assert rows == [(1, "0.1.0", "interrupt", 0), (2, "0.1.1", None, 1)]


# ------------------------------------------------------------------------------------------------------------- reading


def test_totals_count_all_sittings(store: RunStore) -> None:
    first = Commit(
        request=RequestRow(
            id=1,
            stage="instructions",
            number=0,
            template="instructions",
            in_context=(0,),
            outcome="ok",
            attempts=(AttemptRow(attempt=1, outcome="transient", detail="server: 500", latency_ms=12),),
            top_logprobs={"Yes": -0.25},
            prompt_tokens=100,
            completion_tokens=30,
        ),
        candidates=(
            CandidateRow(id=1, text="a", reason=None),
            CandidateRow(id=2, text="b", reason=RejectReason.TOO_SHORT),
            CandidateRow(id=3, text="c", reason=RejectReason.NEAR_DUPLICATE, nearest=0, score=0.75),
            CandidateRow(id=4, text="d", reason=RejectReason.TOO_SHORT),
        ),
        instructions=(InstructionRow(id=0, candidate_id=1, text="a"),),
    )
    kept = [InstanceRow(instruction_id=0, item=item, input=f"i{item}", output="o") for item in range(2)]
    surplus = InstanceRow(instruction_id=0, item=-1, input="i", output="o", reason=RejectReason.SURPLUS)
    submit(
        store,
        first,
        classified(2, 0, answer=True),
        Commit(request=request(3, "instances", 0), instances=(*kept, surplus)),
        Commit(request=request(4, number=1, outcome="deadline")),
    )
    with RunReader(store.path.parent) as reader:
        totals = reader.totals()
        assert list(reader.rows("SELECT * FROM attempt")) == [(1, 1, "transient", "server: 500", 12)]
        assert list(reader.rows("SELECT num_attempts, in_context, top_logprobs FROM request WHERE id = 1")) == [
            (2, "[0]", '{"Yes": -0.25}')
        ]
    assert totals.num_candidates == 4
    assert (totals.num_admitted, totals.num_classified, totals.num_classification) == (1, 1, 1)
    assert (totals.num_instantiated, totals.num_examples) == (1, 2)
    assert (totals.prompt_tokens, totals.completion_tokens) == (100, 30)
    assert totals.requests == {
        "classification": {"ok": 1},
        "instances": {"ok": 1},
        "instructions": {"deadline": 1, "ok": 1},
    }
    assert totals.rejected == {"too_short": 2, "near_duplicate": 1}
    assert totals.rejected_instances == {"surplus": 1}


def test_usage_counts_what_a_model_has_answered_and_sees_what_was_submitted_before(store: RunStore) -> None:
    answered = replace(request(1), prompt_tokens=10, completion_tokens=3)
    unparsed = replace(request(2, outcome="parser_failed"), prompt_tokens=20, completion_tokens=4)
    store.submit([Commit(request=answered), Commit(request=unparsed), Commit(request=request(3, outcome="deadline"))])
    expected = {"instructions": StageUsage(num_answered=2, prompt_tokens=30, completion_tokens=7)}
    assert store.usage() == expected
    with RunReader(store.path.parent) as reader:
        assert reader.totals().usage == expected


def test_only_instructions_of_this_run_are_worked_up(store: RunStore) -> None:
    ends = ["ok", "bad_request", "parser_failed", "deadline"]
    submit(store, *(instantiated(n + 1, n, outcome=outcome) for n, outcome in enumerate(ends)), instantiated(9, -5))
    with RunReader(store.path.parent) as reader:
        assert reader.totals().num_worked_up == 3


def test_the_last_requests_of_each_stage_come_in_the_order_they_were_stored(store: RunStore) -> None:
    first = generated(1, "a", "b")
    rejected = CandidateRow(id=3, text="c", reason=RejectReason.TOO_SHORT)
    timed = replace(request(4), prompt_tokens=10, completion_tokens=3, latency_ms=1500, finished_at=7.5)
    later = Commit(request=timed, candidates=(rejected,))
    submit(
        store, first, classified(2, 0, answer=True), classified(3, 1, answer=None), later, classified(5, 2, answer=None)
    )
    with RunReader(store.path.parent) as reader:
        last = recent(reader, {"instructions": 2, "classification": 1, "instances": 5})
    assert last == [finished(first), finished(later), finished(classified(5, 2, answer=None))]
    assert (last[0].num_candidates, last[0].num_admitted) == (2, 2)
    assert last[1] == Finished(
        stage="instructions",
        is_ok=True,
        prompt_tokens=10,
        completion_tokens=3,
        latency_s=1.5,
        finished_at=7.5,
        num_candidates=1,
        num_admitted=0,
    )


def test_candidates_older_than_what_is_asked_for_are_not_counted(store: RunStore) -> None:
    submit(store, generated(1, "a", "b"), generated(2, "c", first=2), generated(3, "d", "e", "f", first=3))
    with RunReader(store.path.parent) as reader:
        last = recent(reader, {"instructions": 2})
    assert [(request.num_candidates, request.num_admitted) for request in last] == [(1, 1), (3, 3)]
    with RunReader(store.path.parent) as reader:
        assert recent(reader, {}) == []


def test_a_note_is_stored_without_anybody_waiting_for_it(store: RunStore) -> None:
    store.note_meta(MetaKey.TELEMETRY, "1")
    store.note_meta(MetaKey.TELEMETRY, "2")
    assert store.get_meta(MetaKey.TELEMETRY) == "2"


def test_examples_come_by_instruction_with_stable_ids(store: RunStore) -> None:
    submit(
        store,
        generated(1, "First task", "Second task"),
        classified(2, 1, answer=None),
        classified(3, 0, answer=True),
        instantiated(4, 1, "x"),
        instantiated(5, 0, "y", "z"),
    )
    with RunReader(store.path.parent) as reader:
        examples = list(reader.examples())
    assert examples == [
        Example(id="m0-0", instruction="First task", input="", output="y", is_classification=True),
        Example(id="m0-1", instruction="First task", input="", output="z", is_classification=True),
        Example(id="m1-0", instruction="Second task", input="", output="x", is_classification=None),
    ]


def test_a_seed_that_does_not_say_its_kind_comes_back_as_it_was(store: RunStore) -> None:
    kinds = (True, False, None)
    seeds = [SeedTask(id=str(kind), name="", instruction="I", instances=(), is_classification=kind) for kind in kinds]
    store.begin(seeds, {})
    with RunReader(store.path.parent) as reader:
        assert reader.seeds() == tuple(seeds)


def test_a_run_is_read_while_it_is_written(store: RunStore) -> None:
    """An iteration that has begun sees the state it began with; the next one sees what came meanwhile."""
    submit(store, generated(1, "a"), classified(2, 0, answer=True), instantiated(3, 0, *("x" * 9)))
    with RunReader(store.path.parent) as reader:
        examples = reader.examples()
        assert next(examples).id == "m0-0"
        submit(store, generated(4, "b", number=1, first=1), classified(5, 1, answer=True), instantiated(6, 1, "y"))
        assert [example.id for example in examples] == [f"m0-{item}" for item in range(1, 9)]
        assert [example.id for example in reader.examples()][-1] == "m1-0"


def test_totals_are_those_of_one_moment(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit between two of its queries is in all counts or in none."""
    original, pending = RunReader.rows, [generated(n, f"t{n}", first=n - 1) for n in range(2, 9)]
    submit(store, generated(1, "t1"))

    def rows_with_a_commit_before(self: RunReader, sql: str, values: tuple[object, ...] = ()) -> Iterator[object]:
        if pending:
            submit(store, pending.pop(0))
        return original(self, sql, values)

    monkeypatch.setattr(RunReader, "rows", rows_with_a_commit_before)
    with RunReader(store.path.parent) as reader:
        totals = reader.totals()
        assert totals.requests == {"instructions": {"ok": 1}}
        assert (totals.num_admitted, totals.num_candidates) == (1, 1)
        assert reader.totals().num_candidates == 8


def test_a_folder_with_files_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("mine", encoding="utf-8")
    with RunFolder(tmp_path) as folder, pytest.raises(RunFolderError, match=r"holds config\.yaml and no run"):
        folder.claim({"a": 1}, {})
    assert (tmp_path / "config.yaml").read_text(encoding="utf-8") == "mine"


def test_a_database_whose_log_is_left_over_does_not_become_a_run(tmp_path: Path) -> None:
    """What is in the log only would be lost with its name."""

    def build(folder: RunFolder) -> None:
        with folder.building({"a": 1}, {}) as unfinished:
            unfinished.touch()
            unfinished.with_name(f"{unfinished.name}-wal").touch()

    with RunFolder(tmp_path / "run") as folder:
        with pytest.raises(StoreError, match="cannot be completed"):
            build(folder)
        assert [path.name for path in folder.path.iterdir()] == ["run.lock"]
        with folder.building({"a": 1}, {"b": 2}) as unfinished:
            unfinished.touch()
            assert not folder.database.exists()
    assert json.loads((tmp_path / "run" / "manifest.json").read_text()) == {"identity": {"a": 1}, "b": 2}
