"""The reader of torn and broken JSON: what it calls whole was written so, whatever was done to it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastinstruct.text.torn_json import MAX_DEPTH, JsonKind, JsonState, JsonValue, read_json

# Backspaces and form feeds are what is left of LaTeX.
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\"“”„‘’'\\\b\f"), max_size=12)
ANY = st.text(st.characters(codec="utf-8", exclude_characters="\b\f"), max_size=12)
TEXTS = st.one_of(WORDS, ANY, st.text('ab "\\,:{}[]/\n\u2028é', max_size=12))
SCALARS = st.one_of(
    TEXTS, st.none(), st.booleans(), st.integers(-(10**9), 10**9), st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)
DOCUMENTS = st.one_of(st.lists(VALUES, max_size=5), st.dictionaries(TEXTS, VALUES, max_size=5))
ROWS = st.lists(st.fixed_dictionaries({"input": TEXTS, "output": TEXTS}), min_size=1, max_size=4)


def plain(value: JsonValue) -> Any:
    """What `json.loads` would return."""
    match value.kind:
        case JsonKind.OBJECT:
            return {key: plain(one) for key, one in value.members}
        case JsonKind.LIST:
            return [plain(one) for one in value.items]
        case JsonKind.STRING:
            return value.content
        case _:
            return json.loads(value.content)


def only(text: str) -> JsonValue:
    (value,) = read_json(text)
    return value


def whole_items(text: str) -> list[Any]:
    """The items that are whole of all lists that stand in a text."""
    return [plain(item) for value in read_json(text) for item in value.items if item.is_whole]


def states(text: str) -> list[JsonState]:
    return [item.state for value in read_json(text) for item in value.items]


WHOLE, TORN, UNCERTAIN = JsonState.WHOLE, JsonState.TORN, JsonState.UNCERTAIN


# --------------------------------------------------------------------------------------------------------- sound JSON


@given(DOCUMENTS, st.booleans(), st.sampled_from([None, 1]))
def test_sound_json_is_whole_and_reads_as_the_standard_library_reads_it(
    document: Any, is_ascii: bool, indent: int | None
) -> None:
    text = json.dumps(document, ensure_ascii=is_ascii, indent=indent)
    value = only(text)
    assert (value.state, value.start, value.end) == (WHOLE, 0, len(text))
    assert plain(value) == json.loads(text)


def test_a_value_says_where_it_begins_and_ends() -> None:
    text = 'Sure! Here it is:\n```json\n{"tasks": ["a"]}\n```\nBye'
    value = only(text)
    assert text[value.start : value.end] == '{"tasks": ["a"]}'
    ((key, tasks),) = value.members
    assert (key, text[tasks.start : tasks.end]) == ("tasks", '["a"]')
    assert text[tasks.items[0].start : tasks.items[0].end] == '"a"'


def test_several_values_are_read_one_after_another() -> None:
    text = '{"a": 1}\n{"a": 2}\n\n{"a": 3} {"a": 4},{"a":5}'
    assert [plain(value) for value in read_json(text)] == [{"a": number} for number in range(1, 6)]


def test_half_of_a_surrogate_pair_is_a_replacement_character_and_a_pair_is_one() -> None:
    assert whole_items(r'["\ud83d\ude00", "\ud83d x", "x \ude00", "\ud83d\ud83d\ude00"]') == [
        "😀",
        "\ufffd x",
        "x \ufffd",
        "\ufffd😀",
    ]
    assert whole_items(r"['\ud83d\ude00 \'', '\ud83d \'', '\ud83d\u0041\'']") == ["😀 '", "\ufffd '", "\ufffdA'"]
    assert whole_items('["\ud800"]') == ["\ufffd"]


# ---------------------------------------------------------------------------------------------------------- torn JSON


@given(ROWS, st.data())
def test_of_a_text_that_was_cut_anywhere_the_whole_rows_are_kept_and_no_torn_one(
    rows: list[dict[str, str]], data: st.DataObject
) -> None:
    text = json.dumps(rows)
    at = data.draw(st.integers(1, len(text)))
    expected: list[dict[str, str]] = []
    for row in rows:
        if not text[:at].startswith(json.dumps([*expected, row])[:-1]):
            break
        expected.append(row)
    assert whole_items(text[:at]) == expected


@given(st.lists(TEXTS, min_size=1, max_size=5), st.data())
def test_a_string_that_was_cut_is_never_whole(texts: list[str], data: st.DataObject) -> None:
    text = json.dumps(texts)
    found = whole_items(text[: data.draw(st.integers(1, len(text)))])
    assert found == texts[: len(found)]


@given(DOCUMENTS, st.data())
def test_what_was_cut_is_never_whole(document: Any, data: st.DataObject) -> None:
    """Torn, or uncertain, where a quote before the cut may have been a stray one: neither is kept."""
    text = json.dumps(document)
    at = data.draw(st.integers(1, len(text)))
    found = read_json(text[:at])
    assert len(found) == 1
    assert (found[0].state is WHOLE) is (at == len(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('["a", "b', [WHOLE, TORN]),
        ('["a", "b"', [WHOLE, WHOLE]),
        ('["a", "b",', [WHOLE, WHOLE]),
        ('["a", "b\\', [WHOLE, TORN]),
        ('["a", "b\\"', [WHOLE, TORN]),
        ('["a", "b\\u12', [WHOLE, TORN]),
        ("[1, 23", [WHOLE, TORN]),
        ("[1, -", [WHOLE, TORN]),
        ("[true, fal", [WHOLE, TORN]),
        ("[1, true", [WHOLE, WHOLE]),
        ('[{"a": 1}, {"a": 2', [WHOLE, TORN]),
        ('[{"a": 1}, {"a":', [WHOLE, TORN]),
        ('[{"a": 1}, {"a', [WHOLE, TORN]),
        ('[{"a": 1}, {', [WHOLE, TORN]),
        ("[{a: 1}, {a", [WHOLE, TORN]),
    ],
)
def test_the_last_item_of_a_cut_list_is_torn_unless_it_was_closed(text: str, expected: list[JsonState]) -> None:
    assert states(text) == expected
    assert only(text).state is TORN


def test_white_space_to_the_end_is_a_torn_reply() -> None:
    value = only('{"examples": [{"input": "a", "output": "b"},' + " \n\t" * 500)
    assert value.state is TORN
    assert plain(value.members[0][1].items[0]) == {"input": "a", "output": "b"}


# -------------------------------------------------------------------------------------------------------- broken JSON

BREAKS: dict[str, Callable[[Any], str]] = {
    "a fence": lambda rows: f"```json\n{json.dumps(rows, indent=2)}\n```",
    "a fence that is left open": lambda rows: f"```\n{json.dumps(rows)}",
    "prose around": lambda rows: f"Sure! Here [as you asked] are {{some}} of them:\n{json.dumps(rows)}\nAnything else?",
    "a byte order mark": lambda rows: "\ufeff" + json.dumps(rows),
    "trailing commas": lambda rows: "[" + "".join(json.dumps(row)[:-1] + " ,}," for row in rows) + "]",
    "no commas between objects": lambda rows: "[" + "\n".join(map(json.dumps, rows)) + "]",
    "comments": lambda rows: (
        '// "first"\n[' + ",".join(f"/* {{ */ {json.dumps(row)} // it's\n" for row in rows) + "# ] that's it\n]"
    ),
    "raw line breaks": lambda rows: json.dumps(rows).replace("\\n", "\n").replace("\\t", "\t"),
    "keys without quotes": lambda rows: (
        json.dumps(rows).replace('{"input":', "{input:").replace('"output":', "output:")
    ),
    "line breaks everywhere": lambda rows: json.dumps(rows, indent=8).replace("\n", "\r\n"),
}


@given(st.lists(st.fixed_dictionaries({"input": WORDS, "output": WORDS}), min_size=1, max_size=4))
@pytest.mark.parametrize("way", list(BREAKS))
def test_json_that_is_broken_beyond_doubt_is_read_as_it_was_meant(way: str, rows: list[dict[str, str]]) -> None:
    assert whole_items(BREAKS[way](rows)) == rows


@given(ROWS)
@pytest.mark.parametrize("way", [way for way in BREAKS if way != "raw line breaks"])
def test_whatever_its_strings_hold(way: str, rows: list[dict[str, str]]) -> None:
    if way != "keys without quotes" or '":' not in "".join(text for row in rows for text in row.values()):
        assert whole_items(BREAKS[way](rows)) == rows


@given(st.lists(st.one_of(TEXTS, st.none(), st.booleans()), max_size=5))
def test_what_python_writes_is_never_read_as_something_else(values: list[Any]) -> None:
    value = only(repr(values))
    assert all(plain(item) == meant for item, meant in zip(value.items, values, strict=True) if item.is_whole)
    if repr(values).isprintable() and not any(mark in repr(values) for mark in ("\\x", "\\u", "\\U", "'\"")):
        assert [item.is_whole for item in value.items] == [True] * len(values)


@given(st.lists(st.fixed_dictionaries({"input": WORDS, "output": WORDS}), min_size=1, max_size=4))
def test_typographic_quotes_are_quotes_where_they_delimit(rows: list[dict[str, str]]) -> None:
    written = ("{" + ", ".join(f"“{key}”: “{text}”" for key, text in row.items()) + "}" for row in rows)
    text = "[" + ", ".join(written) + "]"
    assert whole_items(text) == rows


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": “b”, "c": "“d” and ‘e’"}', {"a": "b", "c": "“d” and ‘e’"}),
        ("{'a': 'it\\'s \"so\"', 'b': None, 'c': True}", {"a": 'it\'s "so"', "b": None, "c": True}),
        ('{"a": "it\'s", \'b\': "c"}', {"a": "it's", "b": "c"}),
        ("{a: NULL, b_2: FALSE, c: undefined}", {"a": None, "b_2": False, "c": None}),
        ('{"a": "one\ntwo\ttabs"}', {"a": "one\ntwo\ttabs"}),
        (r'{"a": "x\ty\nz \/ \\frac \u00e9"}', {"a": "x\ty\nz / \\frac é"}),
        ('{"a": -1.5e3, "b": 0}', {"a": -1500.0, "b": 0}),
        ('{"a": "http://x.org // no comment # either"}', {"a": "http://x.org // no comment # either"}),
        ('{"a": {}, "b": [[]]}', {"a": {}, "b": [[]]}),
    ],
)
def test_a_value_in_the_ways_of_other_languages_is_whole(text: str, expected: Any) -> None:
    assert only(text).state is WHOLE
    assert plain(only(text)) == expected


def test_nan_is_a_number_that_no_text_stands_for() -> None:
    nan, infinite = only('{"a": NaN, "b": -Infinity}').members
    assert [(one.kind, one.content) for _, one in (nan, infinite)] == [(JsonKind.NUMBER, "NaN")] * 2


# -------------------------------------------------------------------------------------------------- what is uncertain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"a": "x"}, {"a": "He said "hi" to me", "b": "y"}, {"a": "z"}]', [WHOLE, UNCERTAIN, WHOLE]),
        ('["a", "Say "yes", "no", "maybe" or leave", "b"]', [WHOLE, UNCERTAIN, UNCERTAIN, UNCERTAIN, WHOLE]),
        ('["Choose "yes" or "no"", "b"]', [UNCERTAIN, WHOLE]),
        ("['It's late', 'b']", [UNCERTAIN, WHOLE]),
        ("[“He said “hi” to me”, “b”]", [UNCERTAIN, WHOLE]),
        ('[{"a": "{"b": "c"}"}, {"a": "z"}]', [UNCERTAIN, WHOLE]),
        ('[{"a": "x"}, {"a": "c" "b": "d"}, {"a": "z"}]', [WHOLE, UNCERTAIN, WHOLE]),
        ('[{"a": "x", "a": "y"}, {"a": "z"}]', [UNCERTAIN, WHOLE]),
        (r'["x \frac{1}{2}", "b"]', [UNCERTAIN, WHOLE]),
        (r'["x \times y", "\text{a}", "a \neq b", "\theta", "\nTheta", "\tTimes"]', [UNCERTAIN] * 4 + [WHOLE] * 2),
        (r'["x \(y\)", "\d+", "b"]', [UNCERTAIN, UNCERTAIN, WHOLE]),
        ('["a", "b "c" d", "e', [WHOLE, UNCERTAIN, UNCERTAIN]),
    ],
)
def test_what_leaves_a_doubt_is_uncertain_and_spoils_nothing_beyond_it(text: str, expected: list[JsonState]) -> None:
    assert states(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('["a", ...]', ["a"]),
        ('["a", "b"; "c"]', ["a"]),
        ('[{"a": "b"}, {"a" "b"}, {"a": "e"}]', [{"a": "b"}]),
        ('[{"a": "b"}, {"a": b}, {"a": "e"}]', [{"a": "b"}]),
        ('[{"a": "b"}, {"a": "c"], {"a": "e"}]', [{"a": "b"}]),
    ],
)
def test_nothing_is_read_inside_a_value_after_a_place_that_cannot_be_read(text: str, expected: list[Any]) -> None:
    assert whole_items(text) == expected
    assert only(text).state is UNCERTAIN


def test_a_line_that_cannot_be_read_does_not_spoil_the_next_lines() -> None:
    text = '{"a": "b"}\n{"a": "c" "b": "d"}\n{"a": "e"}\n'
    assert [value.state for value in read_json(text)] == [WHOLE, UNCERTAIN, WHOLE]


def test_a_form_that_is_spoken_of_does_not_hide_what_follows() -> None:
    text = 'I answer as {"input": ..., "output": ...}:\n[{"input": "a", "output": "b"}]'
    assert whole_items(text) == [{"input": "a", "output": "b"}]


QUOTED = st.lists(
    st.one_of(
        st.sampled_from(["word", "and", "or", "x", "5"]),
        st.sampled_from(['"hi"', '"yes",', '"no".', '("a")', '""', '"two words"', '"q"?', '5"', '"a": "b"']),
    ),
    min_size=1,
    max_size=7,
).map(" ".join)


@given(st.lists(st.fixed_dictionaries({"input": QUOTED, "output": QUOTED}), min_size=1, max_size=4))
@example([{"input": '"yes", 5', "output": '5" and "a": "b"'}])
def test_a_row_with_quotes_that_nobody_escaped_is_never_read_as_another_row(rows: list[dict[str, str]]) -> None:
    found = whole_items(json.dumps(rows).replace('\\"', '"'))
    assert all(row in rows for row in found)
    assert all('"' not in row["input"] + row["output"] for row in found)


# ---------------------------------------------------------------------------------------------------- any text at all


@given(st.one_of(st.text(), st.text("{}[]\"'\\,:a1 \n/*#“”.tf", max_size=60)))
def test_any_text_is_read_into_spans_that_lie_in_order(text: str) -> None:
    end = 0
    for value in read_json(text):
        assert end <= value.start < value.end <= len(text)
        assert text[value.start] in "{["
        end = value.end
        for inner in _all(value):
            assert value.start <= inner.start <= inner.end <= value.end
            assert inner.state <= value.state


def _all(value: JsonValue) -> Iterator[JsonValue]:
    yield value
    for inner in (*value.items, *(one for _, one in value.members)):
        yield from _all(inner)


def test_nesting_is_read_to_a_bound() -> None:
    assert only("[" * MAX_DEPTH + "]" * MAX_DEPTH).state is WHOLE
    assert {value.state for value in read_json("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))} == {UNCERTAIN}
    assert max(len([*_all(value)]) for value in read_json("[" * 10**5)) == MAX_DEPTH


PARTS = [
    *('{"', "[", '"', '\\"', "\\", '{"a":', '["a",', "['", "[“", "{a:", '"a":"b",', "[1,", "[-", "[tru", "{", "}", "]"),
    *(
        '{"a":"b"}\n',
        '{"a":}\n',
        '["\n',
        "[/*\n",
        "#\n",
        "//\n",
        '"//',
        '["//"',
        '"a"#"\n',
        " [ ",
        "[ ,",
        "\n",
        " ",
        "\x00",
    ),
    *('{"a":"b" //"', "\\u", "\\ud83d", "[\\", "/*", "*/", '["a" "', "'", '", ', '"}', '"},{"', "```json\n[", "\\frac"),
]


@pytest.mark.parametrize("beginning", ["", '["a", ', '{"tasks": ["', '["' + '"//' * 90 + "\n"])
@pytest.mark.parametrize("part", PARTS)
def test_a_million_characters_are_read_within_a_second(beginning: str, part: str) -> None:
    text = beginning + part * (1_000_000 // len(part))
    assert any(_seconds(text) < 1.0 for _ in range(3))


def _seconds(text: str) -> float:
    started_s = time.process_time()
    read_json(text)
    return time.process_time() - started_s
