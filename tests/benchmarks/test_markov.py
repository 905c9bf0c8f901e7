"""The benchmark's texts are the same everywhere, and over a stream of them the index says what a full scan says."""

import importlib.util
import sys
from itertools import islice
from types import ModuleType

import numpy as np
import pytest

from fastinstruct.similarity import RougeIndex, tokenize
from fastinstruct_kernels.pool import SPLIT_SIZE
from places import BENCHMARKS


@pytest.fixture(scope="module")
def markov() -> ModuleType:
    """benchmarks/ is no package that tests could import."""
    path = BENCHMARKS / "similarity" / "markov.py"
    spec = importlib.util.spec_from_file_location("benchmark_markov", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_same_seed_gives_the_same_texts(markov: ModuleType) -> None:
    chain = markov.build_chain(list(markov._made_up_sentences(2_000)))
    texts = [text for block in markov.blocks(chain, 10_000, seed=3) for text in block]
    again = [text for block in markov.blocks(chain, 9_000, seed=3) for text in block]
    other = next(islice(markov.blocks(chain, 10, seed=4), 1))
    assert len(texts) == 10_000
    assert texts[:9_000] == again
    assert texts[:10] != other
    assert 9 < np.mean([len(tokenize(text)) for text in texts]) < 14


@pytest.mark.parametrize("threads", [1, 2])
def test_verdicts_on_a_stream_are_those_of_a_full_scan(markov: ModuleType, threads: int) -> None:
    chain = markov.build_chain(markov.corpus())
    index = RougeIndex(tokenizer="rouge", threads=threads)
    index._exact.pool.counters[SPLIT_SIZE] = 32
    rejected = 0
    for number, texts in enumerate(markov.blocks(chain, 60_000)):
        sample = texts[number::60]
        for text, verdict in zip(sample, index.query(sample), strict=True):
            scores = index.scores(text)
            nearest = int(np.argmax(scores)) if len(scores) and scores.max() > 0.7 else None
            assert verdict.nearest == nearest
            rejected += nearest is not None
        index.admit(texts)
    assert (index._exact.pool.split > 0).sum() > 100
    assert rejected > 100
