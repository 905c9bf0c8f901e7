"""Styled replies: what they say is what their truth says, in every style, and a reader's strictness has its price."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from fastinstruct import RougeIndex
from fastinstruct.config import load_config
from fastinstruct.records import FinishReason, Instance, ReplyForm
from fastinstruct.scripted_server import MIXED, STYLES, Truth
from fastinstruct.scripted_server.json_asks import JsonAsk
from fastinstruct.scripted_server.numerals import numerals
from fastinstruct.scripted_server.replies import Kind, asked_number
from fastinstruct.scripted_server.shapes import Ask, Reply, reply_body
from fastinstruct.scripted_server.styled import styled_reply
from fastinstruct.text.filters import InstructionFilter
from fastinstruct.text.sifting import sift_instances
from fastinstruct.text.structured import examples_format, is_classification_format, satisfies, tasks_format

JSON = JsonAsk("response_format", ReplyForm.JSON_SCHEMA)
IN_JSON = ("json-in-text", "loose-json")
WHOLE = [name for name, style in STYLES.items() if not style.is_torn]


def said(style: str, kind: Kind, number: int = 0, **fields: Any) -> Reply:
    ask = Ask(chat=True, model="m", prompt="Now write tasks 9 to 16", **{"max_tokens": 900, **fields})
    return styled_reply(ask, kind, f"prompt {number}", seed=0, style=style)


def truth_of(reply: Reply) -> Truth:
    assert reply.truth is not None
    return reply.truth


def fields_of(truth: Truth) -> Iterator[str]:
    for row in truth.rows:
        if isinstance(row, Instance):
            yield from filter(None, (row.input, row.output))
        elif isinstance(row, str):
            yield row


# ------------------------------------------------------------------------------------------------------------ the truth


def rest_of(reply: Reply) -> str:
    """The text without the true fields and without what no row may hold; an absent one is an error."""
    text, truth = reply.text, truth_of(reply)
    for field in sorted(fields_of(truth), key=len, reverse=True):
        assert field in text, field
        text = text.replace(field, "", 1) if " " in field else text  # a label's word stands elsewhere, too
    for said_around in sorted(truth.never, key=len, reverse=True):
        assert said_around in text, said_around
        text = text.replace(said_around, "")
    return text


@pytest.mark.parametrize("style", [name for name in WHOLE if name not in IN_JSON])
def test_every_true_field_stands_in_the_reply_and_nothing_else_is_said(style: str) -> None:
    for kind in (Kind.INSTRUCTIONS, Kind.INPUT_FIRST, Kind.OUTPUT_FIRST):
        for number in range(20):
            rest = rest_of(said(style, kind, number))
            assert re.search(r"(?:[a-z]+[ ,;]+){9}", rest) is None, rest


def test_plain_replies_say_their_truth_as_a_reader_of_their_own_finds_it() -> None:
    for number in range(50):
        reply = said("plain", Kind.INSTRUCTIONS, number)
        assert tuple(re.split(r"(?:^|\n)\d+\. ", reply.text)[1:]) == truth_of(reply).instructions
        reply = said("plain", Kind.INPUT_FIRST, number)
        blocks = re.split(r"(?:^|\n\n)Example \d\n(?=Input: (?!\[))", reply.text)
        pairs = [block.partition("\nOutput: ") for block in blocks if not block.startswith("Output: ") and block]
        found = [Instance(input=given.removeprefix("Input: "), output=output) for given, _, output in pairs]
        alone = [Instance(input="", output=reply.text.removeprefix("Output: "))]
        assert tuple(found or alone) == truth_of(reply).instances


@pytest.mark.parametrize("style", IN_JSON)
def test_json_in_text_decodes_to_its_truth(style: str) -> None:
    for number in range(30):
        reply = said(style, Kind.INPUT_FIRST, number)
        body = reply.text[min(reply.text.index(sign) for sign in "[{" if sign in reply.text) :].removesuffix("\n```")
        try:
            found = json.loads(body)
        except ValueError:
            found = ast.literal_eval(body.replace(",\n", "\n") if '",\n' in body else body) if "'" in body else None
            found = found if found is not None else json.loads(re.sub(r",(?=\s*[\]}])", "", body))
        rows = found["examples"] if isinstance(found, dict) else found
        assert tuple(Instance(**row) for row in rows) == truth_of(reply).instances


@pytest.mark.parametrize("kind", [Kind.INSTRUCTIONS, Kind.INPUT_FIRST, Kind.OUTPUT_FIRST])
@pytest.mark.parametrize("json_ask", [None, JSON])
def test_a_torn_reply_is_without_its_last_row_and_used_all_its_tokens(kind: Kind, json_ask: JsonAsk | None) -> None:
    reasons = set()
    for number in range(30):
        reply = said("torn", kind, number, json=json_ask)
        truth = truth_of(reply)
        assert reply.num_tokens == 900
        assert truth.never
        assert truth.never[-1] not in (reply.text if json_ask is None else json.dumps(reply.text))
        assert all(
            json.dumps(field)[1:-1] in reply.text or field in reply.text
            for field in fields_of(truth)
            if field.isascii()
        )
        reasons.add(reply.finish_reason)
    assert reasons == {FinishReason.LENGTH, FinishReason.STOP}
    assert said("torn", kind, max_tokens=None).finish_reason is FinishReason.LENGTH


@pytest.mark.parametrize("style", ["reasoning", "harmony", "harmony-stripped"])
def test_drafts_stand_before_the_answer_and_are_no_truth(style: str) -> None:
    for kind in (Kind.INSTRUCTIONS, Kind.INPUT_FIRST):
        reply = said(style, kind)
        truth = truth_of(reply)
        ends = [reply.text.index(text) + len(text) for text in truth.never]
        assert max(ends) < min(map(reply.text.index, fields_of(truth)))
        assert not set(truth.never) & set(fields_of(truth))


def test_the_next_task_comes_after_the_truth() -> None:
    reply = said("next-task", Kind.INPUT_FIRST)
    truth = truth_of(reply)
    assert min(map(reply.text.index, truth.never)) > max(map(reply.text.index, fields_of(truth)))


# ------------------------------------------------------------------------------------------------------------- contents


def many(kind: Kind, count: int) -> list[Truth]:
    return [truth_of(said("plain", kind, number)) for number in range(count)]


@pytest.mark.parametrize("kind", [Kind.INSTRUCTIONS, Kind.INPUT_FIRST, Kind.OUTPUT_FIRST])
def test_a_tenth_of_the_rows_holds_marker_like_content(kind: Kind) -> None:
    truths = many(kind, 500)
    share = sum(len(truth.marker_like) for truth in truths) / sum(len(truth.rows) for truth in truths)
    assert share == pytest.approx(0.1, abs=0.025)


def test_marker_like_content_is_of_all_kinds() -> None:
    truths = many(Kind.INPUT_FIRST, 500)
    texts = "\n".join(truth.instances[place].output for truth in truths for place in truth.marker_like)
    for sign in (
        "\nTask: ",
        "\nInput: ",
        'print("Output:"',
        "\nExample 1:\n",
        "1. ",
        "writes Input: before",
        "\n## ",
        ": Then",
    ):
        assert sign in texts


def test_instructions_stay_apart_and_pass_the_filters() -> None:
    texts = [text for truth in many(Kind.INSTRUCTIONS, 300) for text in truth.instructions]
    judge = InstructionFilter(keywords=load_config(flags={"out": "x"}).filters.keywords).judge
    assert [text for text in texts if judge(text) is not None] == []
    admitted = [verdict.admitted for verdict in RougeIndex(threshold=0.7).admit(texts)]
    assert admitted.count(False) < len(texts) / 100


def test_instances_pass_the_filters() -> None:
    for kind in (Kind.INPUT_FIRST, Kind.OUTPUT_FIRST):
        for truth in many(kind, 200):
            assert sift_instances(truth.instances).kept == truth.instances


# ----------------------------------------------------------------------------------------------------------------- JSON


@pytest.mark.parametrize("style", ["plain", "bold", "chinese", "quoted", "json-in-text"])
def test_json_is_valid_by_the_schema_that_asked_for_it(style: str) -> None:
    form = ReplyForm.JSON_SCHEMA
    formats = {
        Kind.INSTRUCTIONS: tasks_format(form, max_items=8),
        Kind.CLASSIFICATION: is_classification_format(form),
        Kind.INPUT_FIRST: examples_format(form, max_instances=5, output_first=False),
        Kind.OUTPUT_FIRST: examples_format(form, max_instances=5, output_first=True),
    }
    for kind, asked in formats.items():
        for number in range(20):
            found = json.loads(said(style, kind, number, json=JSON).text)
            assert satisfies(asked.schema, found)
            if kind is Kind.OUTPUT_FIRST:
                assert list(found["examples"][0]) == ["output", "input"]


def test_json_and_text_tell_their_style() -> None:
    assert truth_of(said("bold", Kind.INSTRUCTIONS)).style == "bold"
    assert truth_of(said("bold", Kind.INSTRUCTIONS, json=JSON)).style == "json bold"


# ---------------------------------------------------------------------------------------------------------- determinism


def test_replies_depend_on_seed_style_prompt_and_request_alone() -> None:
    assert said("bold", Kind.INPUT_FIRST) == said("bold", Kind.INPUT_FIRST)
    others = [
        said("bold", Kind.INPUT_FIRST, 1),
        said("plain", Kind.INPUT_FIRST),
        said("bold", Kind.INPUT_FIRST, seed=3),
    ]
    assert len({said("bold", Kind.INPUT_FIRST).text, *(other.text for other in others)}) == 4


def test_mixed_draws_every_style() -> None:
    drawn = {truth_of(said(MIXED, Kind.CLASSIFICATION, number)).style for number in range(600)}
    assert drawn == set(STYLES)


def test_a_completions_reply_goes_on_inside_the_item_that_the_prompt_broke_off_at() -> None:
    ask = Ask(chat=False, model="m", prompt="A list:\n8. Name a river.\n9.")
    reply = styled_reply(ask, Kind.INSTRUCTIONS, "p", seed=0, style="plain")
    assert reply.text.startswith(f" {truth_of(reply).instructions[0]}\n10. ")
    assert reply_body(ask, reply, reply_id="r", model="m")["choices"][0]["text"] == reply.text


@pytest.mark.parametrize(
    ("prompt", "number"), [("Now write tasks 9 to 16, one a line.", 9), ("8. a\n9.", 9), ("Some tasks, please.", None)]
)
def test_the_number_asked_for_is_read_from_the_end_of_the_prompt(prompt: str, number: int | None) -> None:
    assert asked_number(prompt) == number


def test_numbers_are_written_in_seven_ways_and_in_digits_where_there_is_no_sign() -> None:
    expected = {"n": "9", "word": "Nine", "roman": "IX", "letter": "i", "capital": "I", "circled": "⑨", "cjk": "九"}
    assert numerals(9) == expected
    assert [numerals(n)["roman"] for n in (4, 14, 40, 49, 88)] == ["IV", "XIV", "XL", "XLIX", "LXXXVIII"]
    assert [numerals(n)["cjk"] for n in (10, 11, 20, 99)] == ["十", "十一", "二十", "九十九"]
    assert set(numerals(1000).values()) == {"1000"}
