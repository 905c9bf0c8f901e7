"""Two long texts may be compared for a minute; signals and other threads end that at once, and nothing is half done."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastinstruct.config import load_config
from fastinstruct.errors import Aborted
from fastinstruct.pipeline import Run
from fastinstruct.pipeline.commit.admission import Admission
from fastinstruct.scripted_server import Script, ScriptedServer
from fastinstruct.similarity import Interruption, LSHIndex, RougeIndex
from fastinstruct.similarity.interruptible import Workers, is_quick
from fastinstruct.store import RunReader
from fastinstruct_kernels.lcs import STOPPED, lcs_length
from places import REPOSITORY
from run_stages import stages_of

PATHS = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "kernels")))
SECONDS = 5.0  # to end after a signal, on a busy machine; the comparison alone would take over 20
TOLD = "this takes long, and can be interrupted"
Kind = Callable[..., RougeIndex | LSHIndex]


def two_long_texts(num_words: int = 600_000) -> tuple[str, str]:
    """Two near-duplicates of few distinct words, for which a comparison takes the longest."""
    drawn = random.Random(1)
    words = drawn.choices(["w1", "w2", "w3", "w4"], k=num_words)
    return " ".join(words), " ".join(drawn.choice("ab") if drawn.random() < 0.1 else word for word in words)


LONG, NEAR = two_long_texts()
SEED = json.dumps({"instruction": LONG, "instances": [{"input": "", "output": "x"}]}) + "\n"
ASKED = ["name a colour", "name a big colour", "something else altogether", "w1 w2 w3"]


def after(seconds: float, act: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()


@pytest.mark.parametrize("kind", [RougeIndex, LSHIndex])
@pytest.mark.parametrize("call", ["query", "admit", "scores", "most_similar"])
@pytest.mark.may_block("the test is the main thread")
def test_ctrl_c_ends_a_comparison_and_leaves_the_index_whole(kind: Kind, call: str) -> None:
    index, reference = kind(), kind()
    for each in (index, reference):
        each.add(["name a colour", LONG])
    texts: list[str] = ["a new text of its own", NEAR]
    after(0.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    started = time.monotonic()
    given: dict[str, tuple[Any, ...]] = {"scores": (NEAR,), "most_similar": (NEAR, 1)}
    with pytest.raises(KeyboardInterrupt):
        getattr(index, call)(*given.get(call, (texts,)))
    assert time.monotonic() - started < SECONDS
    reference.add(texts[: len(index) - 2])  # those that had joined by then
    found, expected = index.admit(ASKED), reference.admit(ASKED)
    assert found.nearest.tolist() == expected.nearest.tolist()
    assert np.array_equal(found.scores, expected.scores, equal_nan=True)
    assert index.scores("name a colour").tolist() == reference.scores("name a colour").tolist()


@pytest.mark.parametrize("kind", [RougeIndex, lambda **given: RougeIndex(threads=2, **given), LSHIndex])
def test_another_thread_ends_the_call_that_runs_and_all_that_follow(kind: Kind) -> None:
    interruption = Interruption()
    index = kind(interruption=interruption)
    index.add([LONG])
    after(0.5, interruption.set)
    started = time.monotonic()
    with pytest.raises(Aborted, match="a comparison of texts was interrupted"):
        index.query([NEAR])
    assert time.monotonic() - started < SECONDS
    with pytest.raises(Aborted):
        index.query(["a short one"])


@pytest.mark.parametrize("kind", [RougeIndex, LSHIndex])
def test_what_takes_longer_than_a_second_is_told_once(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    interruption = Interruption()
    index = kind(interruption=interruption)
    index.add([LONG])
    after(1.5, interruption.set)
    with pytest.raises(Aborted):
        index.query([NEAR])
    assert [record.getMessage().endswith(TOLD) for record in caplog.records] == [True]
    assert "texts of up to 600,000 words" in caplog.text


def test_it_is_told_again_while_it_goes_on(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastinstruct.similarity.interruptible._PATIENCE_S", 0.01)
    monkeypatch.setattr("fastinstruct.similarity.interruptible._TOLD_EVERY_S", 0.05)

    def until_told_again() -> None:
        while len(caplog.records) < 3:
            time.sleep(0.001)

    Workers(1).do([until_told_again], lambda: "comparing two texts", is_quick=False)
    told = [record.getMessage() for record in caplog.records]
    assert told[0] == f"comparing two texts; {TOLD}"
    assert 1 <= len(told[1:]) <= 6
    assert all(message.startswith("still comparing two texts: ") for message in told[1:])


def test_a_failure_is_not_kept_back_by_what_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastinstruct.similarity.interruptible._PATIENCE_S", 0.01)
    workers = Workers(2)

    def until_ended() -> None:
        while workers.interruption.flag[0] == 0:
            time.sleep(0.001)

    def failing() -> None:
        time.sleep(0.05)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        workers.do([failing, until_ended], lambda: "comparing", is_quick=False)


@pytest.mark.parametrize("call", [RougeIndex, LSHIndex])
def test_many_short_texts_are_ended_too(call: Kind) -> None:
    """Words in another order have one signature, so that all are compared with all: none of it takes long by itself."""
    drawn, words = random.Random(2), [f"word{number}" for number in range(24)]
    texts = [" ".join(drawn.sample(words, len(words))) for _ in range(60_000)]
    interruption = Interruption()
    index = call(interruption=interruption)
    index.add(texts[:40_000])
    after(0.3, interruption.set)
    started = time.monotonic()
    with pytest.raises(Aborted):
        index.query(texts[40_000:] * 100)
    assert time.monotonic() - started < SECONDS


def test_the_kernel_says_that_it_was_stopped_and_compares_short_texts_all_the_same() -> None:
    raised = np.ones(1, dtype=np.int64)
    few, many = np.arange(1, 65, dtype=np.int32), np.arange(1, 66, dtype=np.int32)
    assert lcs_length(few, few, 100, raised) == 64
    assert lcs_length(many, many, 100, raised) == STOPPED
    assert lcs_length(many, many, 100, np.zeros(1, dtype=np.int64)) == 65


def test_only_what_may_take_a_second_is_done_in_a_thread() -> None:
    assert is_quick(1, 20, 100_000_000)
    assert is_quick(1_000, 12_000, 100_000)
    assert not is_quick(1, 600_000, 600_000)
    names: list[str] = []
    workers = Workers(1)

    def note() -> None:
        names.append(threading.current_thread().name)

    workers.do([note], str, is_quick=True)
    workers.do([note], str, is_quick=False)
    assert names[0] == threading.current_thread().name
    assert names[1].startswith("fastinstruct-probe")


def test_an_interrupted_comparison_is_no_answer_that_cannot_be_parsed() -> None:
    """It must not be stored as one: nothing is known of it, and the next sitting asks again."""
    from fastinstruct.lm import Ok, Request
    from fastinstruct.lm.scheduling.job import Delivery, Job
    from fastinstruct.pipeline.stages.base import Task
    from fastinstruct.records import Completion, FinishReason, Sampling, Usage

    interruption = Interruption()
    admission = Admission(stages_of(), RougeIndex(interruption=interruption), num_seeds=0)
    interruption.set()
    task = Task(stage="instructions", number=0, template="instructions")
    answer = Completion(
        text=" Write a poem about the sea.\n",
        finish_reason=FinishReason.STOP,
        usage=Usage(prompt_tokens=1, completion_tokens=1),
        model="m",
    )
    job = Job(request=Request(key="k", prompt="", sampling=Sampling()), about=task)
    with pytest.raises(Aborted):
        admission.settle([Delivery(job=job, outcome=Ok(answer), failed=(), latency_s=0.0)])


# ---------------------------------------------------------------------------------------------- verbs, as processes


def jsonl(path: Path, *texts: str) -> Path:
    path.write_text("".join(json.dumps({"instruction": text}) + "\n" for text in texts))
    return path


def ended_by(number: signal.Signals, folder: Path, *arguments: str) -> tuple[int, str]:
    """Start a verb, send the signal when it says that it takes long; its exit code and what else it said."""
    environment = {**os.environ, "PYTHONPATH": PATHS}
    command = [sys.executable, "-m", "fastinstruct", *arguments]
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = line = ""
            while not ("comparing texts" in line and TOLD in line):
                line = process.stderr.readline()
                assert line, said
                said += line
            process.send_signal(number)
            started = time.monotonic()
            said += process.communicate(timeout=60)[1]
            assert time.monotonic() - started < SECONDS
        finally:
            process.kill()
    assert "Traceback" not in said
    return process.returncode, said


SIGNALS = [(signal.SIGTERM, 143), (signal.SIGINT, 130)]


@pytest.mark.parametrize(("number", "code"), SIGNALS)
@pytest.mark.parametrize("method", ["exact", "lsh"])
def test_a_signal_ends_dedup_amid_a_comparison(tmp_path: Path, number: signal.Signals, code: int, method: str) -> None:
    jsonl(tmp_path / "first.jsonl", "Name a colour.")
    index = ["--index", "kept.index", "--method", method]
    paths = {**os.environ, "PYTHONPATH": PATHS}
    command = [sys.executable, "-m", "fastinstruct", "dedup", "first.jsonl", "--out", "out.jsonl", *index]
    subprocess.run(command, cwd=tmp_path, env=paths, check=True, capture_output=True)
    before = {name: (tmp_path / name).read_bytes() for name in ("kept.index", "out.jsonl")}
    jsonl(tmp_path / "in.jsonl", LONG, NEAR)
    ended, said = ended_by(number, tmp_path, "dedup", "in.jsonl", "--out", "out.jsonl", "--overwrite", *index)
    assert ended == code
    assert said.endswith(("fastinstruct: terminated\n", "fastinstruct: interrupted\n"))  # no row was written yet
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    left = {path.name for path in tmp_path.iterdir()} - {"first.jsonl", "in.jsonl", *before}
    assert left == {"kept.index.lock"}


class Server(ThreadingHTTPServer):
    """A model that always has the same to say; a context manager."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        address = f"http://127.0.0.1:{self.server_port}/v1"
        self.options = ("--base-url", address, "--model", "m", "-n", "1", "--set", "model.replies=text")

    def __enter__(self) -> Server:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class Answering(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        content = "No" if b"Label task (answer" in body else "Output: Red."
        if b"Now write tasks" in body:
            content = "".join(f"{number}. Name a colour that the sea has.\n" for number in range(2, 10))
        message = {"role": "assistant", "content": content}
        usage = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        reply = json.dumps({"model": "m", "choices": [choice], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


def run_to_its_end(folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "fastinstruct", *arguments]
    paths = {**os.environ, "PYTHONPATH": PATHS}
    done = subprocess.run(command, cwd=folder, env=paths, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode in {0, 3}, done.stderr


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_ends_refilter_amid_a_comparison(tmp_path: Path, number: signal.Signals, code: int) -> None:
    (tmp_path / "seeds.jsonl").write_text(SEED)
    with Server() as server:
        run_to_its_end(tmp_path, "run", *server.options, "--seeds", "seeds.jsonl", "--out", "old")
    away = jsonl(tmp_path / "away.jsonl", NEAR)
    ended, _ = ended_by(number, tmp_path, "refilter", "old", "--out", "new", "--against", str(away))
    assert ended == code
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["run.lock"]


@pytest.mark.may_block("indexes a long text")
async def test_an_abort_ends_a_run_that_judges_and_nothing_of_the_answer_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_comparing = threading.Event()

    def compare(admission: Admission, _: object) -> None:
        admission._index.add([LONG])
        is_comparing.set()
        admission._index.query([NEAR])

    monkeypatch.setattr(Admission, "_rejections", compare)
    async with ScriptedServer(Script()) as server:
        model = {"model.base_url": server.base_url, "model.name": "scripted", "model.replies": "text"}
        run = Run(load_config(flags={**model, "out": tmp_path / "run"}), env={"XDG_CACHE_HOME": str(tmp_path)})
        work = asyncio.create_task(run.execute())
        while not (is_comparing.is_set() or work.done()):  # noqa: ASYNC110 - set in another thread
            await asyncio.sleep(0.01)
        run.stop()
        await asyncio.sleep(0.3)
        assert not work.done()  # what is in flight is judged, and what takes long is told
        started = time.monotonic()
        run.abort()
        with pytest.raises(Aborted):
            await work
        assert time.monotonic() - started < SECONDS
    with RunReader(tmp_path / "run") as reader:
        assert "instructions" not in reader.totals().requests


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_ends_a_run_that_compares_its_seeds(tmp_path: Path, number: signal.Signals, code: int) -> None:
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text(SEED)
    away = jsonl(tmp_path / "away.jsonl", NEAR)
    server = ("--base-url", "http://127.0.0.1:9/v1", "--model", "m")
    ended, _ = ended_by(number, tmp_path, "run", *server, "--seeds", str(seeds), "--against", str(away), "--out", "new")
    assert ended == code


COMPILED = """
import sys
from pathlib import Path
from fastinstruct.errors import Aborted
from fastinstruct.similarity import Interruption, warm_up
interruption, told = Interruption(), []
def first():
    told.append(1)
    interruption.set()
try:
    warm_up(interruption, first)
except Aborted:
    print(told, len([*Path(sys.argv[1]).rglob("*.nbc")]))
"""


def test_compiling_is_told_of_once_and_ends_between_two_kernels(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMPILED, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": PATHS, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout in ("[1] 0\n", "[1] 1\n")  # of some forty
