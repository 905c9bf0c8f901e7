"""`check_rouge` finds what is wrong with an implementation, shows the smallest case, and lets right ones pass."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rapidfuzz.distance import Indel
from rouge_score.rouge_scorer import RougeScorer

from fastinstruct.errors import FastInstructError, InputError
from fastinstruct.similarity import RougeIndex, tokenize
from fastinstruct.testing import (
    Mismatch,
    check_rouge,
    f_measure,
    lcs_length,
    rouge_l,
    rouge_tokens,
    text_pairs,
    texts,
    token_pairs,
    unicode_2_tokens,
)
from fastinstruct_kernels.lcs import lcs_length as kernel_lcs_length
from fastinstruct_kernels.rouge import f_measure as kernel_f_measure

Tokens = list[str]


def found(implementation: Callable[[Any, Any], object], **settings: Any) -> Mismatch:
    with pytest.raises(Mismatch) as caught:
        check_rouge(implementation, **settings)  # type: ignore[arg-type]  # some give no number
    return caught.value


def lengths(mismatch: Mismatch) -> tuple[int, int, int]:
    """(LCS, tokens of one text, of the other) of the case that was shown."""
    left, right = mismatch.case
    return lcs_length(left, right), len(left), len(right)


# ----------------------------------------------------------------------------------------------------------- right ones


def test_rouge_score_is_right_to_the_bit() -> None:
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    check_rouge(lambda left, right: scorer.score(left, right)["rougeL"].fmeasure)


def test_our_kernels_are_right_to_the_bit() -> None:
    def kernels(left: Tokens, right: Tokens) -> float:
        numbers = {token: number for number, token in enumerate(dict.fromkeys(left + right), 1)}
        one, other = (np.array([numbers[token] for token in tokens], dtype=np.int32) for tokens in (left, right))
        lcs = kernel_lcs_length(one, other, len(numbers) + 1, np.zeros(1, dtype=np.int64))
        return float(kernel_f_measure(lcs, len(left), len(right)))

    check_rouge(kernels, takes="tokens")
    check_rouge(kernels, takes="tokens", threshold=2 / 3)


@pytest.mark.parametrize("tokenizer", ["rouge", "unicode-1", "unicode-2"])
def test_our_index_is_right_to_the_bit_in_every_script(tokenizer: str) -> None:
    index = RougeIndex(tokenizer=tokenizer)
    index.add(["..."])  # which no other text is near

    def score(left: str, right: str) -> float:
        alone = RougeIndex(tokenizer=tokenizer)
        alone.add([left])
        return float(alone.scores(right)[0])

    check_rouge(score, tokenizer=tokenizer, examples=200)


def test_what_rounds_differently_passes_where_a_tolerance_is_given() -> None:
    def rounded(left: Tokens, right: Tokens) -> float:
        return 2 * lcs_length(left, right) / ((len(left) + len(right)) or 1)

    check_rouge(rounded, takes="tokens", tolerance=1e-9)


# ----------------------------------------------------------------------------------------------------------- wrong ones


def by_one_division(left: Tokens, right: Tokens) -> float:
    return 2 * lcs_length(left, right) / ((len(left) + len(right)) or 1)


def test_another_rounding_is_found_by_the_bit_and_where_it_decides() -> None:
    by_the_bit = found(by_one_division, takes="tokens")
    assert by_the_bit.said != by_the_bit.expected
    assert abs(by_the_bit.said - by_the_bit.expected) < 1e-15
    where_it_decides = found(by_one_division, takes="tokens", threshold=0.7)
    lcs, left, right = lengths(where_it_decides)
    assert 20 * lcs == 7 * (left + right)  # just 0.7, in numbers without rounding
    assert (where_it_decides.expected, where_it_decides.said) == (0.7000000000000001, 0.7)
    assert left + right <= 20


def test_at_least_instead_of_above_is_found() -> None:
    def at_least(left: Tokens, right: Tokens) -> float:
        return math.nextafter(score, 1) if (score := rouge_l(left, right)) == 0.7 else score

    mismatch = found(at_least, takes="tokens", threshold=0.7)
    assert mismatch.expected == 0.7
    assert lengths(mismatch) in {(7, 10, 10), (7, 9, 11), (7, 11, 9)}


def test_rapidfuzz_rounds_differently_at_the_threshold_and_calls_texts_without_tokens_equal() -> None:
    assert found(Indel.normalized_similarity, takes="tokens").case == ([], [])
    pairs = token_pairs(0.7, "at")
    assert found(Indel.normalized_similarity, takes="tokens", threshold=0.7, pairs=pairs).said == 0.7


def test_dropped_tokens_are_found_and_shrunk_to_one() -> None:
    def without_short_words(left: str, right: str) -> float:
        return rouge_l(*([token for token in rouge_tokens(text) if len(token) > 1] for text in (left, right)))

    mismatch = found(without_short_words)
    assert (mismatch.expected, mismatch.said) == (1.0, 0.0)
    assert max(len(rouge_tokens(text)) for text in mismatch.case) == 1


def test_repeated_tokens_that_count_once_are_found() -> None:
    def as_sets(left: Tokens, right: Tokens) -> float:
        return rouge_l(list(dict.fromkeys(left)), list(dict.fromkeys(right)))

    _, left, right = lengths(found(as_sets, takes="tokens"))
    assert left + right <= 4


def test_bags_of_words_instead_of_their_order_are_found() -> None:
    def bags(left: Tokens, right: Tokens) -> float:
        return rouge_l(sorted(left), sorted(right))

    mismatch = found(bags, takes="tokens")
    assert sum(map(len, mismatch.case)) <= 6


def test_an_unsound_early_exit_is_found() -> None:
    def early(left: Tokens, right: Tokens) -> float:
        shorter, longer = sorted((len(left), len(right)))
        if shorter < 0.6 * longer:  # 7 / 13 = 0.538 would be right
            return 0.0
        return rouge_l(left, right)

    mismatch = found(early, takes="tokens", threshold=0.7)
    lcs, left, right = lengths(mismatch)
    assert f_measure(lcs, left, right) > 0.7
    assert left + right <= 17


def test_a_word_of_64_bits_that_overflows_is_found() -> None:
    def of_64_tokens(left: Tokens, right: Tokens) -> float:
        return f_measure(lcs_length(left[:64], right), len(left), len(right))

    left, _ = found(of_64_tokens, takes="tokens").case
    assert len(left) in {65, 127, 128, 129}


def test_a_tokenizer_that_forgets_the_kelvin_sign_is_found() -> None:
    def ascii_first(left: str, right: str) -> float:
        return rouge_l(*(rouge_tokens(text.encode("ascii", "replace").decode()) for text in (left, right)))

    mismatch = found(ascii_first, examples=2_000)
    assert any(character in "".join(mismatch.case) for character in "\u212a\u0130")


def test_a_tokenizer_without_normal_forms_is_found() -> None:
    def plain(left: str, right: str) -> float:
        return rouge_l(left.casefold().split(), right.casefold().split())

    assert sum(len(text) for text in found(plain, tokenizer="unicode").case) <= 4


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (math.nan, "nan, which is no number"),
        ("0.5", "'0.5', which is no number"),
        (None, "None, which is no number"),
        (True, "True, which is no number"),
    ],
)
def test_what_is_no_number_is_shown(said: object, shown: str) -> None:
    assert f"said      {shown}" in str(found(lambda left, right: said))


def test_an_exception_is_shown_with_the_texts_that_raised_it() -> None:
    def encoding(left: str, right: str) -> float:
        left.encode(), right.encode()
        return rouge_l(rouge_tokens(left), rouge_tokens(right))

    mismatch = found(encoding, examples=2_000)
    assert isinstance(mismatch.said, UnicodeEncodeError)
    assert "raised UnicodeEncodeError: 'utf-8' codec can't encode character" in str(mismatch)
    assert "\\ud800" in str(mismatch)
    check_rouge(encoding, pairs=text_pairs(surrogates=False))


def test_what_an_exception_says_forges_no_line_and_steers_no_terminal() -> None:
    def hostile(left: str, right: str) -> float:
        raise ValueError("\x1b[2J\n  said      0.0")

    lines = str(found(hostile)).splitlines()
    assert len(lines) == 6
    assert lines[-1] == r"  said      raised ValueError: \x1b[2J\n  said      0.0"


def test_an_implementation_that_never_says_the_same_twice_is_shown() -> None:
    draw = random.Random(0)
    mismatch = found(lambda left, right: draw.random())
    assert isinstance(mismatch.said, float)


# ---------------------------------------------------------------------------------------------------------- the message


def test_a_mismatch_shows_both_texts_what_was_expected_and_what_was_said() -> None:
    with pytest.raises(AssertionError) as caught:
        check_rouge(by_one_division, takes="tokens", threshold=0.7, pairs=token_pairs(0.7, "at"))
    first, *rest = str(caught.value).splitlines()
    assert first == "by_one_division has another ROUGE-L F-measure than the reference"
    assert [line.split("  ")[1] for line in rest] == ["left", "right", "that is", "expected", "said"]
    assert rest[-2:] == [
        "  expected  0.7000000000000001, which is above 0.7",
        "  said      0.7, which is not above 0.7",
    ]
    assert isinstance(caught.value, FastInstructError)


def test_the_same_seed_finds_the_same_case() -> None:
    cases = [found(by_one_division, takes="tokens", seed=seed).case for seed in (1, 1)]
    assert cases[0] == cases[1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"takes": "words"}, "takes must be texts or tokens; got 'words'"),
        (
            {"tokenizer": "bert"},
            "tokenizer must be one of rouge, unicode, unicode-1, unicode-2; got 'bert'",
        ),
    ],
)
def test_a_bad_argument_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        check_rouge(lambda left, right: 0.0, **settings)
    assert str(caught.value) == message


def test_texts_may_be_asked_of_ones_own() -> None:
    same = texts().map(lambda text: (text, text))
    check_rouge(lambda left, right: float(bool(rouge_tokens(left))), pairs=same)


def test_the_plain_tokenizers_and_the_fast_ones_agree_on_the_scripts_that_are_asked() -> None:
    for name, plain in itertools.product(["unicode-2"], [unicode_2_tokens]):
        check_rouge(lambda left, right: rouge_l(plain(left), plain(right)), tokenizer=name, examples=100)  # noqa: B023
    assert tokenize("写一首") == unicode_2_tokens("写一首")
