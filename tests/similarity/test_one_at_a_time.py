"""An index refuses a second caller instead of corrupting memory, and outlives a fork."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastinstruct.errors import ConcurrentUse
from fastinstruct.similarity import LSHIndex, RougeIndex
from fastinstruct.similarity.arguments import num_cores
from fastinstruct.similarity.one_at_a_time import OneAtATime, one_at_a_time

HAMMER = """
import sys, threading
from fastinstruct.errors import ConcurrentUse
from fastinstruct.similarity import LSHIndex, RougeIndex

sys.setswitchinterval(1e-5)
index = {"exact": RougeIndex, "exact2": lambda: RougeIndex(threads=2), "lsh": LSHIndex}[sys.argv[1]]()
refused, others = [], []

def hammer(number):
    for turn in range(15):
        texts = [f"word{number} thing{turn} place{each} at {each * 7}" for each in range(200)]
        for call in (index.add, index.admit, index.query, lambda texts: index.most_similar_each(texts[:5], 3)):
            try:
                call(texts)
            except ConcurrentUse as error:
                refused.append(str(error))
            except BaseException as error:
                others.append(repr(error))

threads = [threading.Thread(target=hammer, args=(number,)) for number in range(6)]
for each in threads:
    each.start()
for each in threads:
    each.join()
assert not others, others[:3]
assert refused
assert all("one thread at a time may use it" in each for each in refused)
index.add(["the end"])
assert index.most_similar("the end", 1)[0][1] == 1.0
"""

FORKED = """
import os
from fastinstruct.similarity import LSHIndex, RougeIndex

texts = [f"word{each} thing{each % 7} place{each % 11} at {each * 7}" for each in range(3000)]
for index in (RougeIndex(threads=2), RougeIndex(), LSHIndex()):
    index.add(texts[:1500])
    before = index.query(texts).nearest.tolist()
    child = os.fork()
    if child == 0:
        os._exit(0 if index.query(texts).nearest.tolist() == before and len(index.admit(texts)) == 3000 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert index.query(texts).nearest.tolist() == before
"""


class Slow(OneAtATime):
    """Runs what it is given while it is in use."""

    @one_at_a_time
    def use(self, inside: object = None) -> str:
        if callable(inside):
            inside()
        return "used"


def run_alone(script: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("kind", ["exact", "exact2", "lsh"])
def test_threads_that_share_an_index_are_refused_and_crash_nothing(kind: str) -> None:
    run_alone(HAMMER, kind)


def test_an_index_at_rest_answers_as_before_in_a_forked_process_with_threads_and_without() -> None:
    run_alone(FORKED)


def test_a_second_call_while_one_runs_is_told_what_to_do() -> None:
    slow = Slow()

    def again() -> None:
        with pytest.raises(ConcurrentUse, match=r"^Slow: another call is running; one thread at a time may use it"):
            slow.use()

    assert slow.use(again) == "used"
    assert slow.use() == "used"


@pytest.mark.parametrize("ended_by", [KeyboardInterrupt, ValueError])
def test_a_call_that_fails_leaves_the_object_free(ended_by: type[BaseException]) -> None:
    slow = Slow()

    def fail() -> None:
        raise ended_by

    with pytest.raises(ended_by):
        slow.use(fail)
    assert slow.use() == "used"


@pytest.mark.parametrize("kind", [RougeIndex, LSHIndex])
def test_every_call_but_len_is_refused_while_another_runs(kind: type[RougeIndex | LSHIndex], tmp_path: Path) -> None:
    index = kind()
    index.add(["one text"])
    calls = {
        "admit": (["a"],),
        "add": (["a"],),
        "query": (["a"],),
        "scores": ("a",),
        "most_similar": ("a", 1),
        "most_similar_each": (["a"], 1),
        "average_similarity": ("a",),
        "average_similarity_each": (["a"],),
        "save": (tmp_path / "pool.index",),
        "saved_beside": (tmp_path / "pool.index",),
        "statistics": (),
    }
    if kind is LSHIndex:
        calls |= {"signatures": (["a"],), "to_datasketch": (["a"],), "measured_recall": ()}

    def texts() -> Iterator[str]:
        for name, given in calls.items():
            with pytest.raises(ConcurrentUse):
                getattr(index, name)(*given)
        assert len(index) == 1
        yield "another text altogether"

    index.add(texts())  # type: ignore[arg-type]  # any iterable will do here
    assert len(index) == 2
    public = {name for name in vars(kind) | vars(kind.__mro__[1]) if not name.startswith("_")}
    assert public - set(calls) == {"load", "threshold", "tokenizer"} | ({"bands", "rows_per_band"} & public)


def test_more_threads_than_cores_are_as_many_as_the_cores() -> None:
    index = RougeIndex(threads=10**6)
    index.add([f"text number {each} of many" for each in range(100)])
    assert index._exact._num_threads == num_cores()
