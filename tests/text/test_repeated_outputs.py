"""One output under many instructions: what is counted, and that sittings make no difference."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinstruct.records import RejectReason
from fastinstruct.text.repeated_outputs import RepeatedOutputs
from places import SHARED

ALPACA = SHARED / "data" / "alpaca_52k.jsonl.gz"
SAME = "The cat sat on the mat."


def reasons(counter: RepeatedOutputs, *outputs: str) -> list[str | None]:
    return [None if found is None else str(found.reason) for found in counter.judge(outputs)]


def test_an_output_is_kept_under_so_many_instructions_and_no_more() -> None:
    counter = RepeatedOutputs(3)
    assert [reasons(counter, SAME) for _ in range(4)] == [[None], [None], [None], [RejectReason.REPEATED_OUTPUT]]
    assert reasons(counter, "The dog sat on the mat.") == [None]


@pytest.mark.parametrize("other", ["the cat sat\non the  mat", "The cat sat on the MAT!", " “The cat sat on the mat.”"])
def test_case_white_space_and_closing_punctuation_make_no_difference(other: str) -> None:
    counter = RepeatedOutputs(1)
    counter.count([SAME if not other.startswith(" “") else "“The cat sat on the mat"])
    assert reasons(counter, other) == [RejectReason.REPEATED_OUTPUT]


def test_an_instruction_counts_once_however_often_it_has_the_output() -> None:
    counter = RepeatedOutputs(2)
    assert reasons(counter, SAME, SAME, SAME) == [None, None, None]
    assert reasons(counter, SAME) == [None]
    assert reasons(counter, SAME, "Another one of four words.") == [RejectReason.REPEATED_OUTPUT, None]


@pytest.mark.parametrize("short", ["Yes", "42", "Positive sentiment.", "New York City", "", "…", "是的", "\ud800"])
def test_answers_of_a_few_words_repeat_by_nature(short: str) -> None:
    counter = RepeatedOutputs(1)
    assert [reasons(counter, short) for _ in range(5)] == [[None]] * 5


def test_scripts_without_spaces_are_counted_by_their_words() -> None:
    counter = RepeatedOutputs(1)
    assert reasons(counter, "猫坐在垫子上面。") == [None]
    assert reasons(counter, "猫坐在垫子上面") == [RejectReason.REPEATED_OUTPUT]


def test_without_a_limit_nothing_is_rejected() -> None:
    counter = RepeatedOutputs(None)
    assert [reasons(counter, SAME) for _ in range(50)] == [[None]] * 50


RUNS = st.lists(st.lists(st.sampled_from([SAME, "A b c d.", "a b c D", "One two three four five.", "Yes"]), max_size=4))


def naive(most: int, run: Iterable[Sequence[str]]) -> list[list[bool]]:
    """Whether each output is kept: count over all that was kept before, from the start every time."""
    kept: list[set[str]] = []
    verdicts = []
    for outputs in run:
        folded = [output.lower().rstrip(".") for output in outputs]
        found = [len(text.split()) < 4 or sum(text in earlier for earlier in kept) < most for text in folded]
        kept.append({text for text, is_kept in zip(folded, found, strict=True) if is_kept})
        verdicts.append(found)
    return verdicts


@given(RUNS, st.integers(1, 4), st.data())
def test_the_verdicts_are_those_of_counting_anew_wherever_a_sitting_ends(
    run: list[list[str]], most: int, data: st.DataObject
) -> None:
    counter, verdicts, kept = RepeatedOutputs(most), [], list[list[str]]()
    for outputs in run:
        if data.draw(st.booleans()):  # another sitting begins: what was kept is read from the store
            counter = RepeatedOutputs(most)
            for earlier in kept:
                counter.count(earlier)
        found = [rejection is None for rejection in counter.judge(outputs)]
        kept.append([output for output, is_kept in zip(outputs, found, strict=True) if is_kept])
        verdicts.append(found)
    assert verdicts == naive(most, run)


@pytest.mark.skipif(not ALPACA.exists(), reason="shared/data is not next to this checkout")
def test_the_default_rejects_nothing_that_people_took_for_good_data() -> None:
    counter, seen = RepeatedOutputs(10), set[tuple[str, str]]()
    with gzip.open(ALPACA, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if (pair := (row["instruction"], row["output"])) not in seen:
                seen.add(pair)
                assert counter.judge([row["output"]]) == [None]
