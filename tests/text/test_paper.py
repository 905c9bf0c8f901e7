"""The profile `paper` does what the reference did, on its own raw replies and in its quirks."""

import json
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastinstruct.records import Candidate, FinishReason, Instance, Rejection, RejectReason
from fastinstruct.text.paper import is_classification, parse_instances, parse_instructions
from places import SHARED

RUN = SHARED / "data" / "upstream_run"
STOP, LENGTH = FinishReason.STOP, FinishReason.LENGTH

needs_run = pytest.mark.skipif(not RUN.is_dir(), reason="shared/data/upstream_run is not next to this checkout")


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (RUN / name).read_text(encoding="utf-8").splitlines()]


def finish_reason(metadata: dict[str, Any]) -> FinishReason:
    return FinishReason(metadata["response"]["choices"][0]["finish_reason"])


def verdicts(text: str, reason: FinishReason = STOP) -> list[tuple[str, str | None]]:
    found = parse_instructions(text, reason)
    return [(one.text, one.rejection.reason.value if one.rejection else None) for one in found]


def kept(text: str, *, is_label: bool = False, reason: FinishReason = STOP) -> list[tuple[str, str]]:
    sifted = parse_instances(text, is_classification=is_label, finish_reason=reason)
    return [(one.input, one.output) for one in sifted.kept]


@needs_run
def test_the_raw_replies_of_a_real_run_give_exactly_its_instances() -> None:
    answers = {row["instruction"]: row["is_classification"] for row in rows("is_clf_or_not_davinci_template_1.jsonl")}
    ours: Counter[tuple[str, str, str]] = Counter()
    for row in rows("machine_generated_instances.jsonl"):
        sifted = parse_instances(
            row["raw_instances"],
            is_classification=is_classification(answers[row["instruction"]]),
            finish_reason=finish_reason(row["instance_metadata"]),
        )
        ours.update((row["instruction"].strip(), one.input, one.output) for one in sifted.kept)
    theirs = Counter((row["instruction"], row["input"], row["output"]) for row in rows("all_generated_instances.jsonl"))
    assert ours == theirs
    assert ours.total() == 40


@needs_run
def test_the_raw_replies_of_a_real_run_hold_every_instruction_it_stored() -> None:
    stored = rows("machine_generated_instructions.jsonl")
    assert len(stored) == 30
    for row in stored:
        text = row["metadata"]["response"]["choices"][0]["text"]
        found = parse_instructions(text, finish_reason(row["metadata"]))
        assert Candidate(text=row["instruction"]) in found


def test_everything_after_the_first_letter_becomes_lower_case() -> None:
    assert verdicts(" Explain  NASA's\nPython code.\n10. école d'ÉTÉ is what now?") == [
        ("Explain nasa's python code.", None),
        ("École d'été is what now?", "non_ascii"),
    ]


def test_items_are_split_at_any_number_that_starts_a_line() -> None:
    assert [text for text, _ in verdicts("A b c d.\n10. E f g h\n3 . I j k l\n2016. M n o p\n7.Q")] == [
        "A b c d.",
        "E f g h",
        "I j k l",
        "M n o p 7.q",
    ]


def test_each_filter_of_the_reference_gives_its_reason_in_its_order() -> None:
    reply = (
        "\n10. Too short here\n11. Draw a nice map now\n12. Write a Program to sort it\n13. (one) two three four"
        "\n14. 请 写 一 首\n15. " + "word " * 151 + "\n16. Just a good one"
    )
    assert [reason for _, reason in verdicts(reply)] == [
        "empty",
        "too_short",
        "keyword",
        "write_a_program",
        "punctuation",
        "non_ascii",
        "too_long",
        None,
    ]


def test_a_reply_that_broke_off_is_rejected_whole() -> None:
    assert verdicts("Write a poem now.\n10. Sort i", LENGTH) == [
        ("Write a poem now.", "truncated"),
        ("Sort i", "truncated"),
    ]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [("Yes", True), (" yes\n", True), ("YES", True), ("Yes.", False), ("yEs", False), ("", False), (" No", False)],
)
def test_only_three_spellings_are_a_yes(reply: str, expected: bool) -> None:
    assert is_classification(reply) is expected


def test_the_word_example_splits_anywhere() -> None:
    assert kept("Example 1\nInput: a\nOutput: For Example 2, b\nExample3 c") == [("a", "For"), ("", ", b"), ("", "c")]


def test_markers_count_anywhere_and_may_have_numbers() -> None:
    assert kept("Input 1: a Output 2 : b Input: c") == [("a", "b")]
    assert kept("Input: a\nOutput: b\nOutput: c") == [("a", "b")]
    assert kept("Sentence: a\nOutput: b") == [("Sentence: a", "b")]


def test_without_a_marker_there_is_no_instance() -> None:
    assert kept("Just text.") == kept("Just text.", is_label=True) == kept("") == []


def test_labels_come_first_for_classification() -> None:
    assert kept("x Class label: A\nInput: a\nClass label:\nB\nb\nClass label: C", is_label=True) == [
        ("Input: a", "A"),
        ("b", "B"),
        ("", "C"),
    ]


def test_what_is_dropped_is_returned_with_its_reason() -> None:
    reply = (
        "Example 1\nInput: a\nOutput: A\nExample 2\nInput: a\nOutput: A\nExample 3\nList:\nExample 4\nInput: b\nOutp"
    )
    sifted = parse_instances(reply, is_classification=False, finish_reason=LENGTH)
    assert sifted.kept == (Instance(input="a", output="A"),)
    assert sifted.rejected == (
        (Instance(input="a", output="A"), Rejection(reason=RejectReason.DUPLICATE)),
        (Instance(input="", output="List:"), Rejection(reason=RejectReason.TRAILING_COLON)),
        (Instance(input="", output=""), Rejection(reason=RejectReason.TRUNCATED)),
    )


def test_of_more_than_five_instances_five_are_drawn() -> None:
    reply = "".join(f"Example {number}\nInput: {number}\nOutput: x\n" for number in range(1, 9))
    sifted = parse_instances(reply, is_classification=False, finish_reason=STOP, rng=random.Random(7))
    assert [one.input for one in sifted.kept] == ["1", "2", "4", "5", "6"]
    assert [rejection.reason.value for _, rejection in sifted.rejected] == ["surplus"] * 3


PIECES = ["Example 1", "Input:", "Output 2:", "Class label:", "\n10. ", "\n", " ", ": ", "Word", "map"]


@settings(deadline=None, max_examples=200)
@given(text=st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=20).map("".join))
def test_any_reply_is_read(text: str) -> None:
    for one in parse_instructions(text, STOP):
        assert one.text == " ".join(one.text.split())
    for is_label in (False, True):
        sifted = parse_instances(text, is_classification=is_label, finish_reason=STOP)
        assert len(sifted.kept) == len(set(sifted.kept)) <= 5
