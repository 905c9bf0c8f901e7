"""Structured replies: schemas that strict servers take, and rows of which only the certain ones are kept."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinstruct.records import Instance, RejectReason, ReplyForm
from fastinstruct.text import structured_examples, structured_tasks
from fastinstruct.text.parsed import Parsed
from fastinstruct.text.structured import (
    examples_format,
    is_answer,
    is_classification_format,
    is_json_like,
    read_examples,
    read_is_classification,
    read_tasks,
    satisfies,
    tasks_format,
)

UNCERTAIN, TRUNCATED = RejectReason.UNCERTAIN, RejectReason.TRUNCATED
FORMATS = [
    tasks_format(ReplyForm.JSON_SCHEMA, max_items=8),
    is_classification_format(ReplyForm.JSON_SCHEMA),
    examples_format(ReplyForm.JSON_SCHEMA, max_instances=5, output_first=False),
    examples_format(ReplyForm.JSON_OBJECT, max_instances=5, output_first=True),
]
TASKS = ["Write a poem about the sea.", 'Explain the word "tide".', "请写一首诗。"]


def tasks(text: str, max_items: int = 20) -> Parsed[str]:
    return read_tasks(text, max_items=max_items, is_torn=False)


def pairs(text: str, instruction: str = "") -> list[tuple[str, str]]:
    """The inputs and outputs that are kept."""
    return [(one.input, one.output) for one in read_examples(text, is_torn=False, instruction=instruction).kept]


def reasons(text: str) -> list[RejectReason]:
    return [reason for _, reason in read_examples(text, is_torn=False).rejected]


# -------------------------------------------------------------------------------------------------------------- schemas


def schemas(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield schema
    for inner in (*schema.get("properties", {}).values(), *filter(None, [schema.get("items")])):
        yield from schemas(inner)


@pytest.mark.parametrize("asked", FORMATS, ids=lambda asked: asked.name)
def test_every_schema_is_one_that_strict_servers_take(asked: Any) -> None:
    """Source: OpenAI, structured outputs: an object at the root, all keys required, no other one."""
    assert asked.schema["type"] == "object"
    for schema in schemas(asked.schema):
        assert schema.keys() <= {"type", "properties", "required", "additionalProperties", "items", "maxItems"}
        if schema["type"] == "object":
            assert schema["required"] == list(schema["properties"])
            assert schema["additionalProperties"] is False


def test_the_form_is_said_and_a_label_stands_before_its_input() -> None:
    assert [asked.form for asked in FORMATS] == [ReplyForm.JSON_SCHEMA] * 3 + [ReplyForm.JSON_OBJECT]
    keys = [list(schema["properties"]) for schema in map(_example_schema, FORMATS[2:])]
    assert keys == [["input", "output"], ["output", "input"]]


def _example_schema(asked: Any) -> Mapping[str, Any]:
    schema: Mapping[str, Any] = asked.schema["properties"]["examples"]["items"]
    return schema


@pytest.mark.parametrize(
    ("asked", "reply", "expected"),
    [
        (FORMATS[0], '{"tasks": ["a", "b"]}', True),
        (FORMATS[0], '{"tasks": []}', True),
        (FORMATS[0], '{"tasks": ["a", 1]}', False),
        (FORMATS[0], '{"tasks": "a"}', False),
        (FORMATS[0], '{"tasks": ["a"], "n": 1}', False),
        (FORMATS[0], "{}", False),
        (FORMATS[0], json.dumps({"tasks": ["a"] * 9}), False),
        (FORMATS[0], '["a"]', False),
        (FORMATS[0], '{"tasks": ["a"', False),
        (FORMATS[0], 'So: {"tasks": ["a"]}', False),
        (FORMATS[0], "[" * 100_000, False),
        (FORMATS[0], "1" * 100_000, False),
        (FORMATS[0], "", False),
        (FORMATS[1], '{"is_classification": false}', True),
        (FORMATS[1], '{"is_classification": "no"}', False),
        (FORMATS[1], '{"is_classification": 0}', False),
        (FORMATS[2], '{"examples": [{"output": "a", "input": ""}]}', True),
        (FORMATS[2], '{"examples": [{"output": "a"}]}', False),
    ],
)
def test_an_answer_is_valid_as_a_whole_or_not_at_all(asked: Any, reply: str, expected: bool) -> None:
    assert is_answer(asked.schema, reply) is expected


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"type": "integer"}, 1, True),
        ({"type": "integer"}, True, False),
        ({"type": "number"}, 1.5, True),
        ({"type": "null"}, None, True),
        ({"type": "unheard of"}, None, False),
        ({"enum": ["a", 1]}, "a", True),
        ({"enum": ["a", 1]}, True, False),
        ({"enum": ["a", 1]}, "b", False),
        ({}, object(), True),
    ],
)
def test_types_and_enums_are_held_to(schema: Mapping[str, object], value: object, expected: bool) -> None:
    assert satisfies(schema, value) is expected


# ---------------------------------------------------------------------------------------------------------------- tasks


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"tasks": TASKS}),
        json.dumps({"tasks": TASKS}, ensure_ascii=False, indent=2),
        json.dumps(TASKS),
        json.dumps([f"{number}. {task}" for number, task in enumerate(TASKS, 9)]),
        json.dumps([f"Task {number}: {task}" for number, task in enumerate(TASKS, 1)]),
        json.dumps([f"**{number}.** {task}" for number, task in enumerate(TASKS, 1)]),
        json.dumps([{"instruction": task, "id": number} for number, task in enumerate(TASKS)]),
        json.dumps({"Tasks": [{"Task": task, "category": "writing"} for task in TASKS]}),
        json.dumps({str(number): task for number, task in enumerate(TASKS, 1)}),
        json.dumps({"tasks": {f"task_{number}": task for number, task in enumerate(TASKS, 1)}}),
        json.dumps({"response": {"new_tasks": TASKS}}),
        "\n".join(json.dumps({"task": task}) for task in TASKS),
        f"Sure! Here are three tasks:\n\n```json\n{json.dumps(TASKS, indent=1)}\n```\n\nLet me know if you need more!",
        str(TASKS),
        "\ufeff" + json.dumps({"tasks": TASKS})[:-1] + ",}",
        json.dumps({"tasks": TASKS})[:-2],
    ],
)
def test_tasks_are_read_out_of_every_shape_without_numbers(text: str) -> None:
    parsed = tasks(text)
    assert list(parsed.kept) == TASKS
    assert (parsed.rejected, parsed.rest) == ((), "")
    assert is_json_like(text)


def test_a_number_that_only_one_string_has_is_its_own() -> None:
    assert tasks('["1984. Who wrote it?", "Name a bird."]').kept == ("1984. Who wrote it?", "Name a bird.")
    assert tasks('["3. Go there.", "7. Come back."]').kept == ("3. Go there.", "7. Come back.")
    assert tasks('["1984. Who wrote it?"]').kept == ("1984. Who wrote it?",)
    assert tasks('["3.5 miles are how many km?"]').kept == ("3.5 miles are how many km?",)
    assert tasks('["9. Name a bird."]').kept == ("Name a bird.",)


def test_a_task_is_one_line() -> None:
    assert tasks('["Sort  these:\\n- a\\r\\n\\u0000- b"]').kept == ("Sort these: - a - b",)


@pytest.mark.parametrize(
    ("text", "kept", "rejected"),
    [
        ('{"tasks": ["a b", "c d", "e', ["a b", "c d"], [("e", TRUNCATED)]),
        ('[{"task": "a"}, {"task": "b", "n', ["a"], [("b", TRUNCATED)]),
        ('["a", "Say "hi" to me", "b"]', ["a", "b"], [('Say "hi" to me', UNCERTAIN)]),
        ('["a", 5, null, ["x"], "b"]', ["a", "b"], [("5", UNCERTAIN), ("null", UNCERTAIN), ('["x"]', UNCERTAIN)]),
        ('["a", "", "  "]', ["a"], [("", RejectReason.EMPTY), ("", RejectReason.EMPTY)]),
        ('[{"task": "a", "text": "b"}, "c"]', ["c"], [('{"task": "a", "text": "b"}', UNCERTAIN)]),
        ('[{"title": "x"}, "c"]', ["c"], [('{"title": "x"}', UNCERTAIN)]),
        ('{"tasks": ["a"]} wait, better: {"tasks": ["b"]}', [], [("a", UNCERTAIN), ("b", UNCERTAIN)]),
    ],
)
def test_what_is_not_certain_is_rejected_with_its_reason(
    text: str, kept: list[str], rejected: list[tuple[str, RejectReason]]
) -> None:
    parsed = tasks(text)
    assert (list(parsed.kept), list(parsed.rejected)) == (kept, rejected)
    assert parsed.stumbled_over or RejectReason.EMPTY in {reason for _, reason in rejected} or not kept or "[" in text


def test_tasks_beyond_the_number_asked_for_are_surplus() -> None:
    parsed = tasks('["a", "b", "c"]', max_items=2)
    assert (parsed.kept, parsed.rejected) == (("a", "b"), (("c", RejectReason.SURPLUS),))


def test_what_stands_beside_a_task_is_not_lost() -> None:
    parsed = tasks('Well then\n[{"instruction": "Sum it up.", "input": "a text", "id": 4}] and so on')
    assert (parsed.kept, parsed.rest) == (("Sum it up.",), 'Well then\nand so on\ninput: "a text"')


@pytest.mark.parametrize(
    "text", ["", "No.", "{}", "[]", '{"tasks": []}', "[1, 2]", '{"type": "object"}', '{"tasks": [']
)
def test_a_reply_without_a_task_is_unreadable_and_shown(text: str) -> None:
    parsed = tasks(text)
    assert parsed.is_unreadable
    assert (parsed.rest, parsed.stumbled_over) == (text.strip(), f"no tasks in JSON: {text!r}")


# ------------------------------------------------------------------------------------------------------------- stage 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"is_classification": true}', True),
        ('{"is_classification":false}', False),
        ('```json\n{"is_classification": false}\n```', False),
        ("{'isClassification': True}", True),
        ('{"classification": "No"}', False),
        ('Sure: {"answer": "yes"}', True),
        ('{"response": {"is_classification": true}}', True),
        ('{"is_classification": true', True),
        ('{"is_classification": true, "why": "It has two lab', True),
        ("true", True),
        (" No.\n", False),
        ("**Yes**", True),
        ('{"is_classification": tru', None),
        ('{"is_classification": "unsure"}', None),
        ('{"is_classification": null}', None),
        ('{"is_free_text": true}', None),
        ('{"is_classification": true, "is_classification": false}', None),
        ('{"is_classification": true}\n{"is_classification": false}', None),
        ("Maybe", None),
        ("", None),
    ],
)
def test_the_answer_of_stage_2_is_a_boolean_or_nothing(text: str, expected: bool | None) -> None:
    assert read_is_classification(text) is expected


# ------------------------------------------------------------------------------------------------------------ examples

PAIRS = [("The dog barks.", "El perro ladra."), ("", 'Er sagt: "Guten Tag."\nOutput: x'), ("5 & <b>", "1. a\n2. b")]


def rows(keys: Sequence[str] = ("input", "output")) -> list[dict[str, str]]:
    return [dict(zip(keys, pair, strict=True)) for pair in PAIRS]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"examples": rows()}),
        json.dumps({"examples": rows()}, indent=2, ensure_ascii=False),
        json.dumps({"examples": [{"output": row["output"], "input": row["input"]} for row in rows()]}),
        json.dumps(rows()),
        "\n".join(map(json.dumps, rows())),
        json.dumps(rows(("Input", "Expected_Output"))),
        json.dumps(rows(("text", "label"))),
        json.dumps(rows(("question", "Answer"))),
        json.dumps(rows(("输入", "输出"))),
        json.dumps({"instances": [{"id": 1, "explanation": "", **row} for row in rows()]}),
        json.dumps({f"example {number}": row for number, row in enumerate(rows(), 1)}),
        json.dumps([{"example": row} for row in rows()]),
        "\n\n".join(f"### Example {n}\n```json\n{json.dumps(row)}\n```" for n, row in enumerate(rows(), 1)),
        f"Sure! Here they are:\n{json.dumps({'examples': rows()})}\nI hope this helps!",
        str(rows()),
        json.dumps({"examples": rows()}).replace("}]", ",},]").replace("}, {", "} {"),
        json.dumps({"examples": rows()})[:-2],
    ],
)
def test_examples_are_read_out_of_every_shape_and_markers_in_their_strings_are_content(text: str) -> None:
    parsed = read_examples(text, is_torn=False)
    assert [(one.input, one.output) for one in parsed.kept] == PAIRS
    assert (parsed.rejected, parsed.rest) == ((), "")
    assert is_json_like(text)


@pytest.mark.parametrize("none", ['"N/A"', '""', "null", '" "', '"<noinput>"', "None"])
def test_an_input_that_says_there_is_none_is_empty(none: str) -> None:
    assert pairs(f'[{{"input": {none}, "output": "a"}}]') == [("", "a")]


def test_an_example_may_do_without_an_input_but_not_without_an_output() -> None:
    assert pairs('{"examples": [{"output": "a"}, {"input": "b"}, {"input": "c", "output": null}]}') == [("", "a")]
    assert reasons('{"examples": [{"output": "a"}, {"input": "b"}, {"input": "c", "output": null}]}') == [
        UNCERTAIN,
        RejectReason.EMPTY_OUTPUT,
    ]


@pytest.mark.parametrize(
    ("written", "text"), [("4", "4"), ("-17", "-17"), ("true", "true"), ("False", "false"), ("2.50", "2.50")]
)
def test_a_number_or_a_boolean_is_its_text(written: str, text: str) -> None:
    assert pairs(f'[{{"input": {written}, "output": {written}}}]') == [(text, text)]


@pytest.mark.parametrize(
    "row",
    [
        '{"input": "a", "output": {"b": "c"}}',
        '{"input": ["a", "b"], "output": "c"}',
        '{"input": "a", "output": NaN}',
        '{"input": "a", "output": 1e5}',
        '{"input": "a", "output": "b", "output": "c"}',
        '{"input": "a", "output": "b", "answer": "c"}',
        '{"input": "a", "context": "b", "output": "c"}',
        '{"input": "a", "output": "b", "tone": "c"}',
        '{"instruction": "Do it.", "input": "a", "output": "b"}',
        '{"input": "He said "hi" to me", "output": "b"}',
        r'{"input": "\frac{1}{2}", "output": "b"}',
        '{"input": "a", "output": b}',
        '"a"',
    ],
)
def test_a_row_that_leaves_a_doubt_is_rejected_and_the_row_before_it_is_kept(row: str) -> None:
    text = f'[{{"input": "x", "output": "y"}}, {row}]'
    assert pairs(text) == [("x", "y")]
    assert reasons(text) == [UNCERTAIN]
    assert read_examples(text, is_torn=False).stumbled_over


def test_a_row_that_repeats_its_instruction_is_certain() -> None:
    text = '{"instruction": "Do  IT.", "input": "a", "output": "b"}'
    assert pairs(text, "do it.") == [("a", "b")]
    assert pairs(text, "Do something else.") == []


@given(st.data())
def test_of_a_torn_reply_the_whole_rows_are_kept_and_the_torn_one_is_known(data: st.DataObject) -> None:
    text = json.dumps({"examples": rows()})
    at = data.draw(st.integers(1, len(text) - 1))
    parsed = read_examples(text[:at], is_torn=True)
    kept = [(one.input, one.output) for one in parsed.kept]
    assert kept == PAIRS[: len(kept)]
    assert {reason for _, reason in parsed.rejected} <= {TRUNCATED}
    assert parsed.is_unreadable or len(kept) == text[:at].count("}")


def test_examples_with_prose_between_them_are_drafts_of_one_another() -> None:
    text = '{"examples":[{"input":"a","output":"b"}]}\nHmm, better say\n{"examples":[{"input":"a","output":"c"}]}'
    parsed = read_examples(text, is_torn=False)
    assert (parsed.kept, [reason for _, reason in parsed.rejected]) == ((), [UNCERTAIN, UNCERTAIN])
    assert parsed.rest == "Hmm, better say"
    assert parsed.stumbled_over == "prose between two JSON values: 'Hmm, better say'"


def test_what_is_said_beside_the_examples_is_not_lost() -> None:
    text = 'First thoughts\n{"input": "a", "output": "b", "explanation": "so it is"}\nfin'
    assert read_examples(text, is_torn=False) == Parsed(
        kept=(Instance(input="a", output="b"),), rest='First thoughts\nfin\nexplanation: "so it is"'
    )


@pytest.mark.parametrize(
    "text",
    [
        "Example 1\nInput: a\nOutput: b",
        'Input: {"input": "a"}\nOutput: {"output": "b"}',
        'Input:\n{"input": "a", "output": "b"}\nOutput:\nvalid',
        'Class label: valid\n{"input": "a", "output": "b"}',
        'Output:\n["a", "b"]',
        '输出：\n["a", "b"]',
        '1. Explain ["a", "b"]\n2. Sort',
        '1. Sort this list.\n["a", "b"]',
        '{"name": "x"}',
        "[1, 2, 3]",
        "Yes",
        "",
    ],
)
def test_a_reply_in_the_text_format_is_not_json_like_though_it_holds_json(text: str) -> None:
    assert not is_json_like(text)


@given(st.one_of(st.text(), st.text('{}[]"\\,:a1 \ninput', max_size=40)))
def test_no_text_raises_and_none_is_lost(text: str) -> None:
    for parsed in (read_tasks(text, max_items=8, is_torn=True), read_examples(text, is_torn=True)):
        assert parsed.rest == text.strip() or not parsed.is_unreadable
    read_is_classification(text)
    is_json_like(text)


@pytest.mark.parametrize(
    "part", ['{"input": "', '{"tasks": [', '["a",', "Example 1\n", '{"a":"b"}\n', "x", "\n", '"},{"', "[[", ": "]
)
def test_a_million_characters_take_less_than_a_second(part: str) -> None:
    text = part * (1_000_000 // len(part))
    for read in (lambda: tasks(text), lambda: read_examples(text, is_torn=True), lambda: is_json_like(text)):
        assert any(_seconds(read) < 1.0 for _ in range(3))


def _seconds(read: Any) -> float:
    started_s = time.process_time()
    read()
    return time.process_time() - started_s


# What the quick reader of sound replies takes, and what it must leave to the other one.
PIECES = st.sampled_from(
    [
        "9. ",
        "**",
        '"',
        "Input: ",
        "Output: ",
        "```\n",
        "\n```",
        "<think>",
        "\\",
        "\x00",
        "\u2028",
        "\ud7ff",
        "input",
        "N/A",
    ]
)
STRINGS = st.lists(st.one_of(PIECES, st.text(max_size=8), st.sampled_from(TASKS)), max_size=4).map("".join)
VALUES = st.one_of(STRINGS, STRINGS, STRINGS, st.none(), st.booleans(), st.integers(), st.lists(STRINGS, max_size=2))


def as_json(value: object, *, is_ascii: bool, doubled: str) -> str:
    """The value as JSON, its first key `doubled` written twice."""
    text = json.dumps(value, ensure_ascii=is_ascii)
    return text.replace("{", f'{{"{doubled}": "twice", ', 1) if doubled else text


def thoroughly(read: Callable[[], Parsed[Any]]) -> Parsed[Any]:
    """What the reader of all replies makes of one, sound or not."""
    places = (structured_tasks, structured_examples)
    with (
        patch.object(places[0], "by_the_letter", return_value=None),
        patch.object(places[1], "by_the_letter", return_value=None),
    ):
        return read()


@given(st.lists(VALUES, max_size=5), st.booleans(), st.sampled_from(["", "", "", "tasks", "other"]), st.integers(0, 6))
def test_sound_tasks_are_read_alike_by_both_readers(
    strings: list[object], is_ascii: bool, doubled: str, max_items: int
) -> None:
    text = as_json({"tasks": strings}, is_ascii=is_ascii, doubled=doubled)
    assert tasks(text, max_items) == thoroughly(lambda: tasks(text, max_items))


@given(
    st.lists(st.fixed_dictionaries({"output": VALUES}, optional={"input": VALUES, "why": STRINGS}), max_size=4),
    st.booleans(),
    st.sampled_from(["", "", "", "examples", "input"]),
    st.sampled_from(["", "Write a line.", "Quote the text."]),
)
def test_sound_examples_are_read_alike_by_both_readers(
    pairs: list[dict[str, object]], is_ascii: bool, doubled: str, instruction: str
) -> None:
    text = as_json({"examples": pairs}, is_ascii=is_ascii, doubled=doubled)
    read = partial(read_examples, text, is_torn=False, instruction=instruction)
    assert read() == thoroughly(read)


def test_a_key_that_stands_twice_is_not_taken_for_sound() -> None:
    text = '{"examples": [{"input": "a", "input": "b", "output": "c"}]}'
    assert read_examples(text, is_torn=False).kept == ()
