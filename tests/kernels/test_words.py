"""The byte tokenizer and its table of words: the tokens of `tokenize`, one number for each, whatever the hashes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastinstruct.similarity.lexicon import Lexicon
from fastinstruct.similarity.tokenizers import tokenize
from fastinstruct_kernels import words as kernels

claim = settings(deadline=None, max_examples=300, derandomize=True, database=None)

any_texts = st.lists(
    st.text(st.one_of(st.characters(exclude_categories=()), st.sampled_from("aZ09 _-\x00\u0130\u212a\ud800写é"))),
    max_size=8,
)


def numbered(lexicon: Lexicon, texts: list[str], *, adding: bool = True) -> list[list[str]]:
    """The tokens that the numbers stand for; `?` for none."""
    numbers, starts = lexicon.number(texts, adding=adding)
    assert (numbers.dtype.name, starts.dtype.name, len(starts)) == ("int32", "int64", len(texts) + 1)
    tokens = ["?", *lexicon.tokens()]
    assert len(set(tokens)) == len(tokens)
    return [[tokens[number] for number in numbers[starts[i] : starts[i + 1]]] for i in range(len(texts))]


@pytest.mark.parametrize("tokenizer", ["rouge", "unicode"])
@given(texts=any_texts)
@claim
def test_numbers_stand_for_the_tokens_of_the_tokenizer(tokenizer: str, texts: list[str]) -> None:
    lexicon = Lexicon(tokenizer)
    expected = [tokenize(text, tokenizer) for text in texts]
    assert numbered(lexicon, texts) == expected
    assert numbered(lexicon, texts[::-1], adding=False) == expected[::-1]


def test_numbers_follow_the_first_meeting() -> None:
    lexicon = Lexicon("unicode")
    numbers, starts = lexicon.number(["the cat", "", "The CAT sat\x00the"], adding=True)
    assert numbers.tolist() == [1, 2, 1, 2, 3, 1]
    assert starts.tolist() == [0, 2, 2, 6]


def test_asking_without_adding_leaves_no_trace() -> None:
    lexicon = Lexicon("rouge")
    lexicon.number(["known words"], adding=True)
    assert numbered(lexicon, ["known unknown words", "写"], adding=False) == [["known", "?", "words"], []]
    assert lexicon.tokens() == ["known", "words"]


def test_a_hundred_thousand_words_each_keep_their_number() -> None:
    texts = [f"w{n} v{n * n} {'x' * (n % 50)}{n}" for n in range(50_000)]
    lexicon = Lexicon("rouge")
    for first in range(0, 50_000, 7_000):
        lexicon.number(texts[first : first + 7_000], adding=True)
    assert numbered(lexicon, texts, adding=False) == [text.split() for text in texts]
    assert len(lexicon) > 100_000


def test_a_word_longer_than_all_room_is_one_word() -> None:
    lexicon = Lexicon("rouge")
    assert numbered(lexicon, ["short " + "y" * 100_000 + " short"]) == [["short", "y" * 100_000, "short"]]


def test_words_with_the_same_hash_are_told_apart_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """In plain Python, where the hash can be taken away."""
    monkeypatch.setattr(kernels, "_PRIME", np.uint64(0))
    plain: Any = kernels
    for name in ("_number_of", "_same"):
        monkeypatch.setattr(kernels, name, getattr(plain, name).py_func)
    text = b"ab ba abc ab b a ba"
    numbers, starts = np.zeros(20, dtype=np.int32), np.zeros(2, dtype=np.int64)
    adding = True
    done = plain.number_words.py_func(
        kernels.new_words(), np.frombuffer(text, np.uint8), np.array([len(text)]), 0, adding, numbers, starts
    )
    assert done == 1
    assert numbers[: starts[1]].tolist() == [1, 2, 3, 1, 4, 5, 2]
