"""A text that comes alone: the same verdicts as in a batch, whatever has to grow, and never a crash of Python's."""

from __future__ import annotations

import pickle
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinstruct.errors import Aborted
from fastinstruct.similarity import Interruption, RougeIndex
from fastinstruct_kernels.bags import fill_bag
from fastinstruct_kernels.judgement import new_scratch
from fastinstruct_kernels.one_text import MOST_BYTES
from fastinstruct_kernels.pool import new_pool, note_text
from related_texts import judgements, naive_admissions, rebuilding_index, related_texts, texts_of_few_words, thresholds


@given(texts_of_few_words, thresholds)
def test_one_at_a_time_is_as_plain_as_can_be(texts: list[str], threshold: float) -> None:
    index = rebuilding_index(threshold)
    told = [judgements(index.admit([text]))[0] for text in texts]
    assert told == naive_admissions(texts, threshold)


@given(st.lists(st.text(max_size=30), max_size=12), st.sampled_from(["rouge", "unicode-1", "unicode-2"]))
def test_any_text_is_judged_alone_as_in_a_batch(texts: list[str], tokenizer: str) -> None:
    alone, together = RougeIndex(0.5, tokenizer), RougeIndex(0.5, tokenizer)
    assert [judgements(alone.admit([text]))[0] for text in texts] == judgements(together.admit(texts))
    assert [judgements(alone.query([text]))[0] for text in texts] == judgements(together.query(texts))


def test_nothing_is_lost_while_everything_grows() -> None:
    """New words, texts, long texts, postings and lists, each past its first room, and lists made anew in between."""
    draw = random.Random(7)
    texts = related_texts(1_500, 60, seed=3) + [" ".join(f"new{draw.randrange(10**6)}" for _ in range(40))] * 2
    texts += [f"word{number} other{number} third{number}" for number in range(3_000)]
    draw.shuffle(texts)
    alone, together = RougeIndex(), RougeIndex()
    expected = judgements(together.admit(texts))
    assert [judgements(alone.admit([text]))[0] for text in texts] == expected
    assert len(alone) == len(together)


def test_most_texts_of_a_loop_go_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    index, long_ways = RougeIndex(), []
    judge = index._exact.judge

    def counted(*arguments: object) -> object:
        long_ways.append(arguments)
        return judge(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(index._exact, "judge", counted)
    texts = related_texts(2_000, 30, seed=5)
    for text in texts:
        index.admit([text])
    assert 0 < len(long_ways) < 100  # where something had to grow, and at 1,024 texts


@pytest.mark.parametrize("num_bytes", [0, 1, MOST_BYTES - 1, MOST_BYTES, MOST_BYTES + 1, 5 * MOST_BYTES])
@pytest.mark.parametrize("piece", ["a ", "word ", "ä "])
def test_texts_of_any_length(num_bytes: int, piece: str) -> None:
    text = (piece * num_bytes)[:num_bytes]
    index = RougeIndex(tokenizer="unicode")
    first, again = index.admit([text]), index.admit([text])
    assert first[0].admitted
    assert again[0].admitted == (not text.split())
    assert index.query([text])[0] == again[0] or not text.split()


def test_an_interrupted_index_says_so() -> None:
    interruption = Interruption()
    index = RougeIndex(interruption=interruption)
    index.admit(["one text"])
    interruption.set()
    with pytest.raises(Aborted):
        index.admit(["another one"])
    assert len(index) == 1


def test_arrays_of_one_verdict() -> None:
    index = RougeIndex()
    index.admit(["the cat sat on the mat"])
    verdicts = index.query(["the cat sat on the mat now"])
    dtypes = [array.dtype.name for array in (verdicts.admitted, verdicts.nearest, verdicts.scores)]
    assert dtypes == ["bool", "int64", "float64"]
    assert (verdicts.admitted.tolist(), verdicts.nearest.tolist()) == ([False], [0])
    assert verdicts.scores is verdicts.scores
    assert len(verdicts) == 1
    assert list(verdicts) == [verdicts[0]] == [verdicts[-1]] == list(verdicts[:1])
    assert judgements(pickle.loads(pickle.dumps(verdicts))) == judgements(verdicts)
    with pytest.raises(IndexError):
        verdicts[1]


def test_a_verdict_is_not_changed_by_the_next_call() -> None:
    index = RougeIndex()
    index.admit(["the cat sat on the mat"])
    rejected = index.query(["the cat sat on the mat now"])
    index.query(["nothing of this kind"])
    assert not rejected.admitted[0]
    assert rejected.scores[0] > 0.7


def test_a_part_of_kernels_refuses_python() -> None:
    """Numba would jump to address 0."""
    keys = np.zeros(1, dtype=np.int64)
    with pytest.raises(TypeError, match="note_text is a part of kernels"):
        note_text(new_pool(0.7), 0, keys, 0, 1)
    assert new_scratch(1, 1, 1, 1, 1, stop=keys).counters.sum() == 0
    fill_bag(keys, 0, 1, np.zeros(2, dtype=np.uint64), 0, 2)  # a kernel, which doesn't
