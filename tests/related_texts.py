"""Texts near one another, and verdicts that can be compared to the bit."""

from collections.abc import Sequence

from hypothesis import strategies as st

from fastinstruct.similarity import RougeIndex, Verdicts
from fastinstruct.testing import Pool, related_texts, token_lists
from fastinstruct.testing import thresholds as any_threshold
from fastinstruct_kernels.pool import SPLIT_SIZE

__all__ = [
    "comparable",
    "judgements",
    "naive_admissions",
    "rebuilding_index",
    "related_texts",
    "texts_of_few_words",
    "thresholds",
]

Judgement = tuple[bool, int | None, float]


thresholds = any_threshold()
texts_of_few_words = st.lists(token_lists().map(" ".join), max_size=25)


def rebuilding_index(threshold: float = 0.7, tokenizer: str = "unicode", threads: int = 1) -> RougeIndex:
    """An index that makes its lists anew at 3, 6, 12, ... texts, not at 1,024, 2,048, ..., and splits them at 2."""
    index = RougeIndex(threshold, tokenizer, threads=threads)
    index._exact.rebuild_at = 3
    index._exact.pool.counters[SPLIT_SIZE] = 2
    return index


def judgements(verdicts: Verdicts) -> list[tuple[bool, int | None, str]]:
    return [comparable((verdict.admitted, verdict.nearest, verdict.score)) for verdict in verdicts]


def comparable(judgement: Judgement) -> tuple[bool, int | None, str]:
    """With the score as text, so that NaN equals NaN and every bit counts."""
    return (*judgement[:2], judgement[2].hex())


def naive_admissions(texts: Sequence[str], threshold: float) -> list[tuple[bool, int | None, str]]:
    pool = Pool(threshold)
    return [comparable(pool.admit(text.split())) for text in texts]
