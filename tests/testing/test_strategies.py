"""Strategies make what they promise, and the package needs Hypothesis only where it is used."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastinstruct.testing
from fastinstruct.errors import InputError
from fastinstruct.similarity import tokenize
from fastinstruct.testing import related_texts, rouge_l, rouge_tokens, streams, texts, token_lists, token_pairs, written
from fastinstruct.testing.smallest import fewest
from fastinstruct.testing.writing import SCRIPTS
from fastinstruct.tokenizer_names import TOKENIZERS

claim = settings(deadline=None, max_examples=150, derandomize=True, database=None)


@given(token_pairs(0.7, "at"))
@claim
def test_pairs_at_the_threshold_differ_from_it_in_the_last_bits_at_most(pair: tuple[list[str], list[str]]) -> None:
    assert rouge_l(*pair) in {0.7, 0.7000000000000001, 0.7000000000000002, 0.6999999999999998}


@given(token_pairs(0.7, "above"), token_pairs(0.7, "below"))
@claim
def test_pairs_above_and_below_a_threshold_are_one_common_token_away_from_it(
    above: tuple[list[str], list[str]], below: tuple[list[str], list[str]]
) -> None:
    for (left, right), is_above in ((above, True), (below, False)):
        score, step = rouge_l(left, right), 2 / (len(left) + len(right))
        assert (score > 0.7) == is_above
        assert abs(score - 0.7) <= step + 1e-9


def test_the_pairs_of_a_threshold_are_on_both_sides_of_its_last_bit() -> None:
    found = set()

    @given(token_pairs(0.7, "at"))
    @settings(claim, max_examples=400)
    def collect(pair: tuple[list[str], list[str]]) -> None:
        found.add(rouge_l(*pair) > 0.7)

    collect()
    assert found == {True, False}


def test_no_pair_lies_at_a_threshold_that_no_fraction_has() -> None:
    with pytest.raises(InputError, match=r"^no two lists of up to 20 tokens lie at F = 0\.7123"):
        token_pairs(0.7123, "at")


@given(token_lists().flatmap(lambda tokens: st.tuples(st.just(tokens), written(tokens))))
@claim
def test_a_written_text_has_its_tokens_by_every_tokenizer(pair: tuple[list[str], str]) -> None:
    tokens, text = pair
    assert [tokenize(text, name) for name in TOKENIZERS] == [tokens] * len(TOKENIZERS)


def test_texts_are_of_all_kinds() -> None:
    seen: set[str] = set()

    @given(texts())
    @settings(claim, max_examples=600)
    def collect(text: str) -> None:
        seen.add("empty" if not text else "text")
        if text and not any(map(str.isalpha, text)):
            seen.add("without letters")
        if any("\ud800" <= character <= "\udfff" for character in text):
            seen.add("surrogates")
        if any(text in script for script in SCRIPTS if not script.isascii()):
            seen.add("scripts")
        if "\u0301" in text or "\u200b" in text:
            seen.add("marks")

    collect()
    assert seen == {"empty", "text", "without letters", "surrogates", "scripts", "marks"}


@given(texts(surrogates=False), streams(surrogates=False))
@claim
def test_texts_without_surrogates_can_be_encoded(text: str, stream: list[str]) -> None:
    assert all(each.encode() is not None for each in [text, *stream])


def test_related_texts_follow_from_the_seed_and_crowd_around_thresholds() -> None:
    made = related_texts(100, longest=12, seed=1)
    assert made == related_texts(100, longest=12, seed=1) != related_texts(100, longest=12, seed=2)
    lists = [rouge_tokens(text) for text in made]
    best = [max(rouge_l(lists[place], other) for other in lists[:place]) for place in range(1, 100)]
    assert 20 < sum(score > 0.7 for score in best) < 95
    assert sum(0.6 < score < 0.8 for score in best) > 10


def test_the_fewest_items_keep_the_fault_and_their_order() -> None:
    found = fewest(list(range(100)), lambda items: "fault" if {17, 60} <= set(items) else None)
    assert found == ([17, 60], "fault")
    assert fewest([1, 2], lambda items: None) is None
    assert fewest([1, 2], lambda items: "always") == ([], "always")


def run(program: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)


def test_without_hypothesis_one_line_says_what_to_install() -> None:
    done = run("import sys; sys.modules['hypothesis'] = None; import fastinstruct; import fastinstruct.testing")
    last = done.stderr.splitlines()[-1]
    assert last == ("ModuleNotFoundError: fastinstruct.testing needs Hypothesis; pip install 'fastinstruct[testing]'")


def test_the_oracles_load_no_kernels_and_the_package_loads_no_hypothesis() -> None:
    heavy = "print(sorted({'numba', 'fastinstruct_kernels', 'fastinstruct.similarity'} & set(sys.modules)))"
    assert run(f"import sys, fastinstruct.testing; {heavy}").stdout == "[]\n"
    script = "import sys, fastinstruct, fastinstruct.similarity; print('hypothesis' in sys.modules)"
    assert run(script).stdout == "False\n"


def test_public_names_are_sorted() -> None:
    assert fastinstruct.testing.__all__ == sorted(fastinstruct.testing.__all__)
