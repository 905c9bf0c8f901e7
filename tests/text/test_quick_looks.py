"""Looks that spare most texts a closer one find nothing where the closer one finds something."""

import re
from itertools import pairwise
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from fastinstruct.text import annotations, inline_lists, instruction_items, instruction_noise, numbering
from fastinstruct.text.markup import unwrapped

PARTS = """
Write a poem I A. e.g. mix. IV. vi. (a) [2] 9. 10) task: Task. prompt #tag | / ; ； 一、 二十. ① • ** __ ` “ ” ( ) … - –
No. 9\ufe0f\u20e3 Step 1: \\. 任务1： [x] . ! ? 。 sea, sea
"""
TEXTS = st.lists(st.one_of(st.sampled_from(PARTS.split()), st.text("ab.9 (IVXi)", max_size=3)), max_size=12).map(
    lambda parts: " ".join(" ".join(parts).split())
)
NOTHING, ALL = re.compile(r"(?!)"), re.compile("")


@settings(max_examples=500)
@given(TEXTS)
def test_inline_markers(text: str) -> None:
    with (
        patch.object(numbering, "_PLAIN_PROSE", NOTHING),
        patch.object(numbering, "_MAYBE_INLINE", ALL),
    ):
        expected = numbering.inline_markers(text)
    assert numbering.inline_markers(text) == expected


@settings(max_examples=500)
@given(TEXTS)
def test_faults_of_instructions(text: str) -> None:
    quick = instruction_noise.instruction_fault(text)
    instruction_noise._fault.cache_clear()
    with (
        patch.object(instruction_noise, "is_plain_prose", return_value=False),
        patch.object(numbering, "_PLAIN_PROSE", NOTHING),
    ):
        assert instruction_noise.instruction_fault(text) == quick
    instruction_noise._fault.cache_clear()


@settings(max_examples=500)
@given(TEXTS.filter(bool))
def test_remarks_and_dividers(text: str) -> None:
    tail = text[-100:]
    found = annotations._TRAILING.search(tail) or annotations._TRAILING_DASH.search(tail)
    quick = annotations._trailing(text)
    assert (quick and quick.span()) == (found and found.span())
    is_divided = inline_lists.is_divided(text)
    with patch.object(inline_lists, "_DIVIDER_SIGNS", frozenset(text)):
        assert inline_lists.is_divided(text) == is_divided


@given(TEXTS.filter(bool))
def test_what_encloses_a_text(text: str) -> None:
    if text[0].isalnum():
        assert instruction_items._ENCLOSED.fullmatch(text) is None
        assert unwrapped(text) == text == instruction_items._unenclosed(text)


@settings(max_examples=500)
@given(TEXTS)
def test_repetition(text: str) -> None:
    words = text.casefold().split()
    runs = [1]
    for before, word in pairwise(words):
        runs.append(runs[-1] + 1 if word == before and any(map(str.isalpha, word)) else 1)
    expected = max(runs) > 3 or (max(runs) > 2 and len(words) < 8)
    expected = expected or (len(words) >= 16 and len(set(words)) * 4 < len(words))
    sentences = [part.strip() for part in re.split(r"[.!?。！？]", text.casefold()) if len(part.split()) > 2]
    expected = expected or any(sentences.count(sentence) > 2 for sentence in sentences)
    expected = expected or re.search(r"([^\W\d_])\1{7}", text.casefold()) is not None
    assert instruction_noise.is_repetitive(text) == expected
