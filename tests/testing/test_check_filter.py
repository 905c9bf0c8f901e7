"""`check_filter` finds what is wrong with a filter, shows the fewest texts, and lets right ones pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from datasketch import MinHash, MinHashLSH
from hypothesis import strategies as st

from fastinstruct.errors import InputError
from fastinstruct.similarity import LSHIndex, RougeIndex
from fastinstruct.testing import Mismatch, Pool, admitting, check_filter, rouge_l, rouge_tokens, streams

Near = Callable[[list[str], list[list[str]]], bool]


def streaming(near: Near) -> Callable[[list[str]], list[bool]]:
    """The filter that rejects what is `near` its pool, and keeps the rest."""

    def decide(texts: list[str]) -> list[bool]:
        pool, rejected = list[list[str]](), list[bool]()
        for text in texts:
            tokens = rouge_tokens(text)
            rejected.append(near(tokens, pool))
            if not rejected[-1]:
                pool.append(tokens)
        return rejected

    return decide


def above(tokens: list[str], pool: list[list[str]], threshold: float = 0.7) -> bool:
    return any(rouge_l(tokens, other) > threshold for other in pool)


def found(decide: Callable[[list[str]], Any], **settings: Any) -> Mismatch:
    with pytest.raises(Mismatch) as caught:
        check_filter(decide, **settings)
    return caught.value


# ----------------------------------------------------------------------------------------------------------- right ones


def test_a_plain_filter_is_right() -> None:
    check_filter(streaming(above), examples=100)


@pytest.mark.parametrize(("tokenizer", "batch"), [("rouge", None), ("unicode-2", 3)])
@pytest.mark.filterwarnings("ignore")
def test_our_exact_index_is_right(tokenizer: str, batch: int | None) -> None:
    check_filter(admitting(lambda: RougeIndex(0.7, tokenizer), batch), tokenizer=tokenizer, examples=100)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
def test_our_exact_index_is_right_at_other_thresholds(threshold: float) -> None:
    check_filter(admitting(lambda: RougeIndex(threshold, "rouge")), threshold, examples=60)


def test_our_approximate_index_rejects_nothing_wrongly_but_may_miss() -> None:
    check_filter(admitting(lambda: LSHIndex(0.7, "rouge")), may_miss=True, examples=100)
    hardly_any = admitting(lambda: LSHIndex(0.7, "rouge", target_recall=0.01, num_perm=4))
    check_filter(hardly_any, may_miss=True, examples=50)
    assert "kept text" in str(found(hardly_any))


def test_an_index_with_an_admit_of_its_own_may_give_bools() -> None:
    class Plain:
        def __init__(self) -> None:
            self._pool = Pool(0.7)

        def admit(self, texts: list[str]) -> list[bool]:
            return [self._pool.admit(rouge_tokens(text))[0] for text in texts]

    check_filter(admitting(Plain), examples=50)


# ----------------------------------------------------------------------------------------------------------- wrong ones


def test_at_least_instead_of_above_is_found() -> None:
    def at_least(tokens: list[str], pool: list[list[str]]) -> bool:
        return any(rouge_l(tokens, other) >= 0.7 for other in pool)

    mismatch = found(streaming(at_least))
    assert (mismatch.expected, mismatch.said) == (False, True)
    assert "rejected text 1, whose highest F is 0.7, which is not above 0.7" in str(mismatch)
    assert len(mismatch.case) == 2


def test_rejected_texts_that_join_the_pool_are_found() -> None:
    def decide(texts: list[str]) -> list[bool]:
        lists = [rouge_tokens(text) for text in texts]
        return [above(tokens, lists[:place]) for place, tokens in enumerate(lists)]

    mismatch = found(decide)
    assert (mismatch.expected, mismatch.said) == (False, True)
    assert len(mismatch.case) == 3


def test_a_filter_that_forgets_the_last_text_is_found() -> None:
    mismatch = found(streaming(lambda tokens, pool: above(tokens, pool[:-1])))
    assert (mismatch.expected, mismatch.said) == (True, False)
    assert [len(rouge_tokens(text)) for text in mismatch.case] == [1, 1]
    check_filter(streaming(lambda tokens, pool: above(tokens, pool[:-1])), may_miss=True)


def test_a_pool_that_forgets_its_oldest_texts_is_found_in_the_long_stream() -> None:
    mismatch = found(streaming(lambda tokens, pool: above(tokens, pool[-40:])), examples=1)
    assert len(mismatch.case) == 42
    assert str(mismatch).count("kept") == 42


def test_a_last_batch_that_is_not_decided_is_found() -> None:
    decide = streaming(above)
    mismatch = found(lambda texts: decide(texts[: len(texts) // 4 * 4]))
    assert "gave 0 verdicts on 1 texts" in str(mismatch)


def test_texts_of_one_batch_that_are_not_held_against_one_another_are_found() -> None:
    def decide(texts: list[str]) -> list[bool]:
        rejected, pool = list[bool](), list[list[str]]()
        for first in range(0, len(texts), 2):
            batch = [rouge_tokens(text) for text in texts[first : first + 2]]
            rejected += [above(tokens, pool) for tokens in batch]
            pool += batch
        return rejected

    assert len(found(decide).case) == 2


def test_texts_without_tokens_that_are_called_equal_are_found() -> None:
    mismatch = found(streaming(lambda tokens, pool: tokens in pool or above(tokens, pool)))
    assert [rouge_tokens(text) for text in mismatch.case] == [[], []]


def test_minhash_by_itself_rejects_what_only_has_the_same_words() -> None:
    def decide(texts: list[str]) -> list[bool]:
        index, rejected = MinHashLSH(threshold=0.7, num_perm=64), list[bool]()
        for place, text in enumerate(texts):
            sketch = MinHash(num_perm=64)
            sketch.update_batch([token.encode() for token in rouge_tokens(text)])
            rejected.append(bool(index.query(sketch)))
            if not rejected[-1]:
                index.insert(place, sketch)
        return rejected

    mismatch = found(decide, may_miss=True)
    assert (mismatch.expected, mismatch.said) == (False, True)


@pytest.mark.parametrize(
    ("decide", "shown"),
    [
        (lambda texts: [0.5] * len(texts), "gave 0.5 for a verdict, which is no bool"),
        (lambda texts: 1 / 0, "raised ZeroDivisionError: division by zero"),
        (lambda texts: None, "raised TypeError: 'NoneType' object is not iterable"),
        (lambda texts: [False], "gave 1 verdicts on 0 texts"),
    ],
)
def test_what_are_no_verdicts_is_shown(decide: Callable[[list[str]], Any], shown: str) -> None:
    assert str(found(decide)).splitlines()[0] == f"the implementation {shown}"


def test_numpys_bools_are_verdicts() -> None:
    decide = streaming(above)
    check_filter(lambda texts: np.array(decide(texts), dtype=np.bool_), examples=30)


def test_a_filter_that_changes_the_list_it_is_given_changes_nothing_else() -> None:
    decide = streaming(above)

    def emptying(texts: list[str]) -> list[bool]:
        verdicts = decide(texts)
        texts.clear()
        return verdicts

    check_filter(emptying, examples=30)


# ---------------------------------------------------------------------------------------------------------- the message


def test_a_mismatch_shows_what_became_of_each_text() -> None:
    def forgetful(texts: list[str]) -> list[bool]:
        return [False] * len(texts)

    lines = str(found(forgetful, texts=st.just(["a b c", "x", "A b c!", "y"]))).splitlines()
    assert lines == [
        "forgetful kept text 2, whose F with text 0 is 1.0, above 0.7",
        "  0  kept      'a b c'",
        "  1  kept      'x'",
        "  2  ?         'A b c!'  <--",
        "  3  ?         'y'",
    ]


def test_the_same_seed_finds_the_same_texts() -> None:
    wrong = streaming(lambda tokens, pool: above(tokens, pool, 0.69))
    assert found(wrong, seed=3).case == found(wrong, seed=3).case


def test_streams_may_be_without_surrogates() -> None:
    def encoding(texts: list[str]) -> list[bool]:
        return streaming(above)([text.encode().decode() for text in texts])

    assert "raised UnicodeEncodeError" in str(found(encoding))
    check_filter(encoding, texts=streams(surrogates=False), examples=100)


def test_an_object_is_refused_with_what_to_do() -> None:
    with pytest.raises(InputError, match=r"^decide must be a function .*`admitting`$"):
        check_filter(RougeIndex())  # type: ignore[arg-type]  # what is refused at run time
