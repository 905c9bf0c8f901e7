"""What the benchmarks build on: the soak notices wrong verdicts, and a stream with edits is the same everywhere."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from fastinstruct.similarity import RougeIndex, Verdicts
from places import REPOSITORY


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return import_module("benchmarks.soak.decisions")


@pytest.fixture
def edits(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return import_module("benchmarks.similarity.edits")


def test_random_streams_are_decided_as_by_brute_force(soak: ModuleType, tmp_path: Path) -> None:
    run = soak.Soak(7, tmp_path)
    for number in range(12):
        run.run_stream(number)
    assert run.counts["streams"] == 12
    assert run.counts["decisions"] > run.counts["rejected"] > 100


def test_one_wrong_verdict_stops_the_soak_and_tells_how_to_see_it_again(
    soak: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit = RougeIndex.admit

    def wrong(index: RougeIndex, texts: list[str]) -> Verdicts:
        verdicts = admit(index, texts)
        verdicts.scores[:] = np.nextafter(verdicts.scores, 2.0)
        return verdicts

    monkeypatch.setattr(RougeIndex, "admit", wrong)
    difference, _ = soak.soak(soak.Soak(7, tmp_path), 0, 12, 1.0)
    assert difference is not None
    assert "benchmarks.soak.decisions --seed 7 --first 0 --streams 1" in difference


def test_edited_copies_follow_their_originals(edits: ModuleType) -> None:
    texts = [f"text number {number} has these seven words" for number in range(1_000)]
    stream = edits.with_edits(texts)
    assert stream == edits.with_edits(texts)
    assert 60 < len(stream) - len(texts) < 140
    assert [text for text in dict.fromkeys(stream) if text in set(texts)] == texts


def test_copies_edited_at_a_rate_lie_anywhere_from_one_to_below_the_threshold(edits: ModuleType) -> None:
    texts = [" ".join(f"w{60 * number + place}" for place in range(60)) for number in range(500)]
    stream = edits.with_edits(texts, share=1.0, rate=0.5)
    assert stream == edits.with_edits(texts, share=1.0, rate=0.5)
    assert len(stream) == 1_000
    index = RougeIndex()
    index.add(texts)
    copies = [text for text in stream if text not in set(texts)]
    scores = [index.most_similar(text, 1)[0][1] for text in copies]
    assert min(scores) < 0.7 < 0.95 < max(scores)
    assert 0.6 < sum(score > 0.7 for score in scores) / len(scores) < 0.99
    assert min(scores) > 0.5


def test_hostile_replies_bodies_files_and_run_folders_do_no_harm() -> None:
    command = [sys.executable, "-m", "benchmarks.soak.hostile", "--seed", "1", "--cases", "80"]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=110, check=False, cwd=REPOSITORY
    )  # its memory alone
    told = json.loads(ended.stdout.splitlines()[-1])
    assert (ended.returncode, told["harm"]) == (0, ""), ended.stderr
    assert told["cases"] == dict.fromkeys(("reply", "body", "file", "run folder"), 20)


def test_the_hostile_soak_notices_harm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hostile = import_module("benchmarks.soak.hostile")

    def harmful(*_: object) -> None:
        raise RecursionError

    monkeypatch.setitem(hostile.KINDS, "body", harmful)
    with pytest.raises(hostile.Harm, match="body 1: RecursionError"):
        hostile.run_case(0, 1, tmp_path)
    monkeypatch.setitem(hostile.KINDS, "body", lambda *_: None)
    monkeypatch.setattr(hostile, "_MOST_MIB", 1)
    with pytest.raises(hostile.Harm, match=r"body 1: [0-9]+ MiB of memory"):
        hostile.run_case(0, 1, tmp_path)
