"""Replies of stage 3, as the profile `default` reads them."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastinstruct.records import FinishReason, Instance
from fastinstruct.text.markup import cleaned
from fastinstruct.text.parsing import parse_instances

STOP, LENGTH = FinishReason.STOP, FinishReason.LENGTH


def pairs(text: str, finish_reason: FinishReason = STOP, instruction: str = "") -> list[tuple[str, str]]:
    found = parse_instances(text, is_classification=False, finish_reason=finish_reason, instruction=instruction)
    return [(instance.input, instance.output) for instance in found]


def labelled(text: str, finish_reason: FinishReason = STOP) -> list[tuple[str, str]]:
    found = parse_instances(text, is_classification=True, finish_reason=finish_reason)
    return [(instance.output, instance.input) for instance in found]


def squeezed(text: str) -> str:
    return re.sub(r"[\s*_=-]+", "", text)


# Stage 3, input-first


def test_example_blocks_are_instances() -> None:
    reply = 'Example 1\nInput: "Python"\nOutput: "nohtyP"\nExample 2\nInput: ab\ncd\nOutput:\ndc\n\nba\n\n'
    assert pairs(reply) == [('"Python"', '"nohtyP"'), ("ab\ncd", "dc\n\nba")]


def test_an_output_alone_needs_no_input() -> None:
    assert pairs("Output: 42\n\n") == [("", "42")]
    assert pairs("Example 1\nA poem.\nExample 2\nAnother.") == [("", "A poem."), ("", "Another.")]


def test_a_reply_without_any_marker_yields_nothing() -> None:
    assert pairs("Roses are red.") == pairs("") == pairs("Here are some examples:\n\nInput: a") == []


@pytest.mark.parametrize(
    "reply",
    [
        "Example 1\nInput: a\nOutput: b\nExample 2\nInput: c\nOutput: d",
        "Example 1:\nInput: a\nOutput: b\n\nExample 2:\nInput: c\nOutput: d",
        "Example 1.\nInput 1: a\nOutput 1: b\nExample 2.\nInput 2: c\nOutput 2: d",
        "**Example 1**\n\n**Input:** a\n\n**Output:** b\n\n---\n\n**Example 2**\n\n**Input**: c\n\n**Output**: d\n---",
        "### Example 1\n#### Input\na\n#### Output\nb\n### Example 2\n#### Input:\nc\n#### Output:\nd",
        "Example 1: Input: a\nOutput: b\nExample 2: Input: c\nOutput: d",
        "Sure! Here are two:\n\nExample 1\nInput: a\nOutput: b\nExample 2\nInput: c\nOutput: d",
        "```\nExample 1\nInput: a\nOutput: b\nExample 2\nInput: c\nOutput: d\n```",
        "Example 1\nInput：a\nOutput：b\nExample 2\nInput：c\nOutput：d",
        "Example 1\nInput: a\nOutput: b\nExample 2\nInput: c\nOutput: d\n\nTask: Next.\nExample 1\nInput: e\nOutput: f",
        "Example 1\nInput: a\nOutput: b\nInput: x\nExample 2\nInput: c\nOutput: d\nOutput: d",
        "Example 1\r\nInput: a\r\nOutput: b\r\nExample 2\r\nInput: c\r\nOutput: d<|im_end|>",
    ],
)
def test_examples_are_read_whatever_their_markup(reply: str) -> None:
    assert pairs(reply) == [("a", "b"), ("c", "d")]


def test_markers_inside_content_split_nothing() -> None:
    given = "For Example 2 see below. Output: none"
    output = "Example of Input: x\nExample 2 shows it.\n    Output: y"
    assert pairs(f"Example 1\nInput: {given}\nOutput: {output}") == [(given, output)]


def test_other_fields_are_input() -> None:
    assert pairs("Sentence: a\nWord: b\nOutput: c") == [("Sentence: a\nWord: b", "c")]
    assert pairs("Example 1\nInput: 1\nInput: 2\nOutput: 3") == [("1\nInput: 2", "3")]
    assert pairs("Numbers:\n1 2\nOutput: 3") == [("Numbers:\n1 2", "3")]


def test_a_preamble_before_the_input_is_dropped() -> None:
    assert pairs("Sure! Here's one:\n\nInput: a\nOutput: b") == [("a", "b")]
    assert pairs("Here is an example:\nInput: a\nOutput: b") == [("a", "b")]


@pytest.mark.parametrize(
    "nothing",
    ["N/A", "n/a", "None", "(none)", "No input", "<noinput>", "<No input>", "-", "[None]", "No input needed."],
)
def test_words_for_no_input_are_no_input(nothing: str) -> None:
    assert pairs(f"Input: {nothing}\nOutput: b") == [("", "b")]


def test_content_that_begins_like_no_input_is_input() -> None:
    assert pairs("Input: None of these\nOutput: b") == [("None of these", "b")]


def test_length_drops_the_torn_instance() -> None:
    assert pairs("Example 1\nInput: a\nOutput: b\nExample 2\nInput: c\nOutp", LENGTH) == [("a", "b")]
    assert pairs("Output: torn", LENGTH) == []


def test_length_drops_nothing_if_the_model_had_gone_on_to_another_task() -> None:
    assert pairs("Output: whole\n\nTask: Sort it.\nOutput: to", LENGTH) == [("", "whole")]


def test_a_repeated_task_is_skipped_and_another_one_ends_the_reply() -> None:
    assert pairs("**Task:** Sort  it.\nOutput: 1", instruction="sort it.") == [("", "1")]
    assert pairs("Task: Count.\nOutput: 1", instruction="Sort it.") == []


FIELDS = st.from_regex(r"[a-z]{1,6}( [a-zA-Z0-9,.:]{1,6}){0,6}(\n[a-z ,.]{1,9}[a-z])?\.", fullmatch=True)
CASES = st.lists(st.builds(Instance, input=FIELDS, output=FIELDS), min_size=1, max_size=5)


@settings(deadline=None, max_examples=100)
@given(cases=CASES)
def test_rendered_examples_read_back(cases: list[Instance]) -> None:
    blocks = (f"Example {number}\nInput: {one.input}\nOutput: {one.output}\n" for number, one in enumerate(cases, 1))
    assert parse_instances("".join(blocks), is_classification=False, finish_reason=STOP) == cases


# Stage 3, output-first


def test_a_label_is_the_output_and_the_rest_its_input() -> None:
    reply = "Class label: Spam\nEmail: Win now!\nCall us.\nClass label: Not spam\nEmail: Hi, Ann.\n\n"
    assert labelled(reply) == [("Spam", "Email: Win now!\nCall us."), ("Not spam", "Email: Hi, Ann.")]


@pytest.mark.parametrize(
    "reply",
    [
        "Class label: A\nx\nClass label: B\ny",
        "**Class label:** A\nInput: x\n\n**Class label:** B\nInput: y",
        "### Class label: A\n**Input:** x\n### Class label: B\n**Input:** y",
        "Class Label: **A**\nx\nClass Label: `B`\ny",
        "Class label:\nA\nx\nClass label:\nB\ny",
        "Here are they:\n\nExample 1\nClass label: A\nx\n\nExample 2\nClass label: B\ny",
        "Class label 1: A\nInput:\nx\nClass label 2: B\nInput:\ny\n\nTask: Next.\nClass label: C\nz",
    ],
)
def test_labels_are_read_whatever_their_markup(reply: str) -> None:
    assert labelled(reply) == [("A", "x"), ("B", "y")]


def test_a_label_inside_a_line_splits_nothing() -> None:
    assert labelled("Class label: A\nIts Class label: B is odd.") == [("A", "Its Class label: B is odd.")]


def test_length_drops_the_torn_label() -> None:
    assert labelled("Class label: A\nx\nClass label: B\ntor", LENGTH) == [("A", "x")]


@settings(deadline=None, max_examples=100)
@given(cases=CASES)
def test_rendered_labels_read_back(cases: list[Instance]) -> None:
    cases = [Instance(input=one.input, output=one.output.replace("\n", " ")) for one in cases]
    blocks = (f"Class label: {one.output}\n{one.input}\n" for one in cases)
    assert parse_instances("".join(blocks), is_classification=True, finish_reason=STOP) == cases


PIECES = ["Example 1", "Input:", "Output:", "Class label:", "Task:", "**", "# ", "```", "\n", "\n", ": ", "x", "N/A"]


@settings(deadline=None, max_examples=400)
@given(
    text=st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=25).map("".join),
    is_classification=st.booleans(),
    reason=st.sampled_from(FinishReason),
)
def test_any_reply_gives_instances_made_of_it(text: str, is_classification: bool, reason: FinishReason) -> None:
    for one in parse_instances(text, is_classification=is_classification, finish_reason=reason):
        for part in (one.input, one.output):
            assert part == part.strip()
            assert squeezed(part) in squeezed(cleaned(text))


@pytest.mark.parametrize(
    "piece",
    [
        "Example 1\n",
        "Example ",
        "Example 1 ",
        "Example 1: ",
        "Input:",
        "Output:\n",
        "Output: x\n",
        "Class label: ",
        "\n",
        "```\n",
        "**",
    ],
)
def test_a_megabyte_of_anything_is_read(piece: str) -> None:
    text = piece * ((200_000 if "\n" in piece else 1_000_000) // len(piece))  # lines take longer
    assert all(len(given) + len(output) <= len(text) for given, output in pairs(text) + labelled(text))
    assert len(pairs(text)) <= 1
