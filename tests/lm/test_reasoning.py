"""Thoughts told from answers: each model family's wrappers, what is content all the same, and hostile texts."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinstruct.lm.transports.reasoning import FAMILIES, Answer, Family, without_reasoning

THOUGHT = "We need tasks that differ.\n1. Maybe ask for a poem?\n2. Maybe ask about tides."
ANSWER = "9. Write a short poem about the sea.\n10. Explain how tides work."


def written(family: Family, thought: str = THOUGHT, answer: str = ANSWER) -> str:
    return family.opening + thought + family.closing + family.answer_opening + answer + family.answer_closing


def answer_of(text: str) -> str:
    return without_reasoning(text).text


def is_whole(text: str) -> bool:
    return without_reasoning(text) == Answer(text=text)


def is_unfinished(text: str) -> bool:
    return without_reasoning(text) == Answer(text="", had_reasoning=True, is_unfinished=True)


NEXT = "<|end|><|start|>assistant<|channel|>"
by_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.models)


@by_family
def test_each_familys_answer_is_told_from_its_thought(family: Family) -> None:
    assert without_reasoning(written(family)) == Answer(text=ANSWER, had_reasoning=True)


@by_family
def test_an_answer_in_json_is_told_from_its_thought(family: Family) -> None:
    answer = '{"tasks": ["Say what </think> and <think> do.", "Add [THINK]"]}'
    assert answer_of(written(family, answer=answer)) == answer


@by_family
def test_blank_lines_before_and_after_are_no_part_of_the_answer(family: Family) -> None:
    assert answer_of(f"\n\n {written(family, answer=f'{chr(10)}{ANSWER}{chr(10)}')}").strip() == ANSWER


@by_family
def test_an_answer_cut_off_before_its_end_is_kept_so_far(family: Family) -> None:
    cut = family._replace(answer_closing="")
    assert answer_of(written(cut)) == ANSWER


@pytest.mark.parametrize("family", [family for family in FAMILIES if family.opening], ids=lambda family: family.models)
def test_of_a_thought_that_never_ends_nothing_is_an_answer(family: Family) -> None:
    assert is_unfinished(family.opening + THOUGHT)
    assert is_unfinished(f"{family.opening}W")


TAGGED = [family for family in FAMILIES if family.closing.strip() and "|message|" not in family.opening]


@pytest.mark.parametrize("family", [f for f in TAGGED if f.models != "Solar Open"], ids=lambda family: family.models)
def test_a_thought_whose_opening_stood_in_the_prompt_ends_at_its_closing_tag(family: Family) -> None:
    text = written(family._replace(opening=""))
    assert without_reasoning(text) == Answer(text=ANSWER, had_reasoning=True)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<THINK>a</THINK>\nb", "b"),
        ('<think type="deep" budget="5">a</think>b', "b"),
        ("<thinking effort=high>\na\n</thinking>\n\nb", "b"),
        ("<think>a</think>\n<think>b</think>\nc", "c"),
        ("<think></think>\n\n<think>\nb\n</think>\n\nc", "c"),
        ("<think>a<think>b</think>c</think>d", "d"),
        ("<think>\n<think>\na\n</think>\nb", "b"),
        ("<thinking>a<reflection>b</reflection>c</thinking>\n<output>d</output>", "d"),
        ("<think>a</thinking>\nb", "b"),
        ("<think>I should use <think> tags and close them.</think>\nb", "b"),
        ('<think>It ends with "</think>" or `</think>`.\n</think>\nb', "b"),
        ("<think>a</think>\nb\n</think>\nc", "c"),
        ("<think/>b", "b"),
        ("<think></think>", ""),
        ("<|im_start|>assistant\n<think>a</think>b", "b"),
        ("\ufeff<think>a</think>b", "b"),
        ("prompted thought</think>\nb", "b"),
        ("prompted thought.</think>Yes", "Yes"),
        ("prompted thought. </think>\n\nYes", "Yes"),
        ("prompted thought\n</think>", ""),
        ("◁think▷a◁/think▷b", "b"),
        ("[THINK]a[/THINK]b", "b"),
        ("<|channel|>final<|message|>b<|return|>", "b"),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b", "b"),
        (
            f"<|channel|>analysis<|message|>a{NEXT}commentary<|message|>c{NEXT}final<|message|>b<|return|>",
            "b",
        ),
        ("<|channel|>analysis<|message|>a<|end|>assistant<|channel|>final<|message|>b", "b"),
        ("analysiswe think so.assistantfinalYes", "Yes"),
        ("commentaryWe think so.assistantfinalYes", "Yes"),
        ("assistantanalysisWe think so.assistantfinalYes", "Yes"),
        ("We think so.assistantfinalYes", "Yes"),
        ("Here's my thought process: a\n\nHere's my response: b", "b"),
        ("**Here is my thought process:**\na\n\n**Here is my response:**\nb", "b"),
        ("<|START_RESPONSE|>b<|END_RESPONSE|>", "b"),
        ("<think>a</think><answer>b", "b"),
    ],
)
def test_wrappers_are_told_in_all_the_ways_they_are_written(text: str, answer: str) -> None:
    found = without_reasoning(text)
    assert (found.text, found.is_unfinished) == (answer, False)


@pytest.mark.parametrize(
    "text",
    [
        "Wrap it in <think> tags.",
        "Wrap it in <think> and </think>.",
        "Close it with </think> and go on.",
        "Close it with `</think>`\nand go on.",
        'The tag "</think>" ends it.',
        "The closing tag (</think>) ends it.",
        "Do not forget **</think>**.",
        "Example 1\nInput: R1\nOutput: It writes <think>\na\n</think>\nand then the answer.",
        "Output:\n```\na\n</think>\nb\n```\n",
        '{"output": "it ends with\\n</think>\\nthen"}',
        '[{"output": "x</think>y"}]',
        "A <think>b</think>c",
        "The turn is <|channel|>final<|message|>text<|return|>.",
        "Each turn ends with <|end|>",
        "analysis of the text: it is short",
        "analysis: short",
        "Analysis\n1. Write",
        "An analysis is followed by assistantfinal and its text.",
        "a [THINK] block",
        "[thinking]",
        "  I think> so",
        "<b>bold</b> text",
        "[1, 2]",
        "",
        "   ",
    ],
)
def test_what_stands_in_the_middle_of_an_answer_is_content(text: str) -> None:
    assert is_whole(text)


@pytest.mark.parametrize(
    "text",
    [
        f"<|channel|>analysis<|message|>a{NEXT}final<|message|>b{NEXT}analysis<|message|>c",
        "analysisWe think.assistantfinalYesassistantfinalNo",
    ],
)
def test_what_could_be_told_apart_in_two_ways_stays_whole(text: str) -> None:
    assert is_whole(text)


@pytest.mark.parametrize(
    "text",
    [
        "<think>",
        "\n<think>never closed",
        "<think>a<think>b",
        "<|channel|>analysis<|message|>a",
        "<|channel|>ana",
        "<|channel|>",
        "analysisWe need tasks.\n1. Maybe a poem?",
        "analysis我们需要任务",
        "thought\nThinking Process:\n1. Maybe a poem?",
        "◁think▷a",
        "<|START_THINKING|>a",
        "Here is my thought process: a",
        "<think>a</think><think>b",
    ],
)
def test_an_unfinished_thought_has_no_answer(text: str) -> None:
    assert is_unfinished(text)


def test_a_last_word_that_is_a_token_is_kept() -> None:
    text = "<|channel|>final<|message|>Each turn ends with <|end|>"
    assert answer_of(text) == "Each turn ends with <|end|>"


def test_what_follows_an_answers_wrapper_is_not_lost() -> None:
    assert answer_of("<think>a</think><answer>b</answer>\nLet me know!") == "<answer>b</answer>\nLet me know!"


PIECES = [
    "<think>",
    "</think>",
    "<think",
    "<think ",
    " </think> ",
    "<|channel|>",
    "<|channel|>final",
    "<|channel|>final<|message|>",
    "<|start|>assistant",
    "<|end|>",
    "analysis",
    "assistantfinal",
    "analysisWe",
    "[THINK]",
    "[/THINK]",
    "◁think▷",
    "<answer>",
    "</answer>",
    "<think></think>",
    "```</think>",
    "`</think>",
    "</think>\n",
    "Here is my thought process:",
    "Here is my response:",
    " ",
    "\n",
    "<",
    "<|",
    "{",
]


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("lead", ["", "<think>", "analysisWe", "<|channel|>analysis<|message|>", "x"])
def test_a_megabyte_of_anything_takes_linear_time(piece: str, lead: str) -> None:
    text = lead + piece * (2**20 // len(piece))
    began = time.process_time()
    without_reasoning(text)
    assert time.process_time() - began < 10  # a second on a quiet machine; minutes if the time were quadratic


@given(st.lists(st.sampled_from([*PIECES, "a", "B.", "\n\n"]), max_size=12).map("".join))
def test_an_answer_is_a_part_of_the_text_and_nothing_raises(text: str) -> None:
    found = without_reasoning(text)
    assert found.text in text
    assert not (found.is_unfinished and found.text)
    if not found.had_reasoning:
        assert found.text == text or text.startswith("<|")
