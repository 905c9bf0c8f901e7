"""What stands around a field, in text and in JSON: taken off where that is certain, else the row is rejected."""

from __future__ import annotations

import json

import pytest

from fastinstruct.records import FinishReason, Instance
from fastinstruct.text.parsing import parse_classification, parse_instances
from fastinstruct.text.sifting import sift_instances
from fastinstruct.text.structured import read_examples


def kept(text: str, *, instruction: str = "Write a line.") -> list[tuple[str, str]]:
    parsed = parse_instances(text, is_classification=False, finish_reason=FinishReason.STOP, instruction=instruction)
    return [(one.input, one.output) for one in sift_instances(parsed.kept, instruction=instruction).kept]


def read(*examples: tuple[str, str], **beside: str) -> list[tuple[str, str]]:
    told = {"examples": [{"input": given, "output": output, **beside} for given, output in examples]}
    parsed = read_examples(json.dumps(told), is_torn=False)
    return [(one.input, one.output) for one in parsed.kept]


def test_quotes_around_all_are_taken_off_where_all_fields_have_them_even_around_quotes() -> None:
    code = 'Example 1\nInput: "one"\nOutput: "x = 1"\n\nExample 2\nInput: "two"\nOutput: "x = 2\nprint("is", x)"'
    assert kept(code) == [("one", "x = 1"), ("two", 'x = 2\nprint("is", x)')]


@pytest.mark.parametrize("output", ['"Sí" and "No"', "“Sí” and “No”"])
def test_quotes_that_enclose_words_only_are_content(output: str) -> None:
    assert kept(f"Output: {output}") == [("", output)]


def test_a_quote_around_one_field_that_holds_quotes_is_uncertain() -> None:
    assert kept('Output: "print("a")"') == []


@pytest.mark.parametrize(
    "note",
    ["(Note: this is only one of many possibilities.)", "[Note: others may do.]", "(Hinweis: nur ein Beispiel.)"],
)
def test_a_note_in_brackets_is_no_part_of_an_answer(note: str) -> None:
    assert kept(f"Output: Still water holds the moon.\n\n{note}") == [("", "Still water holds the moon.")]


@pytest.mark.parametrize("said", ["Would you like more?", "That's it!", "Happy to help with more!"])
def test_a_short_closing_line_is_no_part_of_an_answer(said: str) -> None:
    assert kept(f"Output: Still water holds the moon.\n\n{said}") == [("", "Still water holds the moon.")]


@pytest.mark.parametrize(
    "hole",
    ["<poem>", "{poem}", "【图片】", "![photo](image.png)", "XXXX", "Dear <name>, welcome.", "Dear {name}, hello."],
)
def test_holes_of_every_shape_are_no_answers(hole: str) -> None:
    assert kept(f"Output: {hole}") == []


@pytest.mark.parametrize("output", ["<br>", "Use {name} in braces.", "x = {a}", "Dear Ann, welcome."])
def test_what_only_looks_like_a_hole_is_content(output: str) -> None:
    assert kept(f"Output: {output}") == [("", output)]


@pytest.mark.parametrize(
    "refusal",
    ["I need the text to summarize it.", "The input is missing.", "Sure, please share the article."],
)
def test_whoever_was_given_nothing_answers_nothing(refusal: str) -> None:
    assert kept(f"Output: {refusal}") == []


def test_an_output_that_is_a_pair_in_json_is_uncertain() -> None:
    assert kept('Output: {"input": "The dog barks.", "output": "El perro ladra."}') == []


@pytest.mark.parametrize(
    ("name", "other"), [("Input: ", "Output: "), ("输入：", "输出："), ("**Input:** ", "**Output:** ")]
)
def test_a_field_in_json_loses_the_marker_of_its_own_kind(name: str, other: str) -> None:
    assert read((f"{name}The dog barks.", f"{other}El perro ladra.")) == [("The dog barks.", "El perro ladra.")]


def test_a_marker_of_another_kind_inside_a_field_in_json_is_content() -> None:
    assert read(("a", "Input: b\nOutput: c")) == [("a", "Input: b\nOutput: c")]
    assert read(("Output: a", "b")) == [("Output: a", "b")]


def test_fences_and_quotes_around_all_fields_in_json_are_taken_off() -> None:
    assert read(("```\na\n```", "```\nb\n```")) == [("a", "b")]
    assert read(('"The dog barks."', '"El perro ladra."')) == [("The dog barks.", "El perro ladra.")]


def test_a_reason_beside_input_and_output_in_json_costs_no_row() -> None:
    assert read(("a", "b"), why="because") == [("a", "b")]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"is_classification": false}', False),
        ("```json\n{'is_classification': True}\n```", True),
        ("Here you go:\n\nNo.", False),
        ("Sure! Yes.", True),
        ("好的，是的", True),
        ("Sure! It could be yes or no.", None),
        ("Here you go:", None),
    ],
)
def test_yes_and_no_are_found_behind_a_preamble_and_in_json(text: str, *, answer: bool | None) -> None:
    assert parse_classification(text) is answer


def test_headings_with_an_escaped_sign_are_headings() -> None:
    text = "Example 1\\.\nInput: a dog\nOutput: un perro\n\nExample 2\\.\nInput: a cat\nOutput: un gato"
    assert kept(text) == [("a dog", "un perro"), ("a cat", "un gato")]
    assert (
        Instance(input="a dog", output="un perro")
        in parse_instances(text, is_classification=False, finish_reason=FinishReason.STOP).kept
    )
