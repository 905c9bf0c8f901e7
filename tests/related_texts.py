"""Texts near one another, and verdicts that can be compared to the bit."""

import random
from collections.abc import Sequence

from hypothesis import strategies as st

import naive
from fastinstruct.similarity import RougeIndex, Verdicts
from fastinstruct_kernels.pool import SPLIT_SIZE

Judgement = tuple[bool, int | None, float]


thresholds = st.one_of(st.sampled_from([0.0, 0.3, 0.5, 2 / 3, 0.7, 0.8, 0.9, 1.0]), st.floats(0, 1))


texts_of_few_words = st.lists(
    st.lists(st.sampled_from("abcdefg"), max_size=12).map(" ".join),
    max_size=25,
)


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
    pool = naive.Pool(threshold)
    return [comparable(pool.admit(text.split())) for text in texts]


def edited(text: list[str], edits: int, draw: random.Random) -> list[str]:
    """The text with words replaced, dropped, doubled or moved."""
    words = list(text)
    for _ in range(edits):
        place = draw.randrange(len(words))
        kind = draw.randrange(4)
        if kind == 0:
            words[place] = f"w{draw.randrange(60)}"
        elif kind == 1 and len(words) > 1:
            del words[place]
        elif kind == 2:
            words.insert(place, words[place])
        else:
            words.insert(draw.randrange(len(words)), words.pop(place))
    return words


def related_texts(count: int, longest: int, seed: int) -> list[str]:
    """Texts of which many have an edited copy, so that scores crowd around every threshold."""
    draw = random.Random(seed)
    texts: list[list[str]] = []
    for _ in range(count):
        if texts and draw.random() < 0.7:
            original = draw.choice(texts)
            texts.append(edited(original, draw.randrange(len(original) // 2 + 2), draw))
        else:
            texts.append([f"w{int(60 * draw.random() ** 2)}" for _ in range(draw.randint(1, longest))])
    return [" ".join(text) for text in texts]
