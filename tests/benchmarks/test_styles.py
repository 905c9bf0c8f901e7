"""No way of writing gives a wrong row, and most true rows are kept: a small version of benchmarks/replies/styles.py."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import pytest

from fastinstruct.records import Instance
from fastinstruct.scripted_server import STYLES, Truth

NUM_REPLIES = 20


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return import_module("benchmarks.replies.style_rows")


def test_a_row_is_wrong_unless_both_its_parts_were_said_together(rows: ModuleType) -> None:
    said = Truth(style="plain", instructions=("Sort  the words.",), instances=(Instance(input="b a", output="a b"),))
    found = [
        ("Sort the words.", Instance(input="b  a", output="a b")),
        ("Sort the words.", Instance(input="b a", output="b a")),
        ("Sort words.", Instance(input="b a", output="a b")),
    ]
    assert list(rows.wrong_rows(found, [said])) == found[1:]


@pytest.mark.parametrize("style", STYLES)
def test_text_in_any_style_gives_no_wrong_row(rows: ModuleType, style: str) -> None:
    found = rows.measure(style, num_replies=NUM_REPLIES, as_json=False)
    assert [surprise for surprise in found.surprises if surprise.wrong] == []
    assert found.num_replies == 4 * NUM_REPLIES


@pytest.mark.parametrize("style", [name for name, style in STYLES.items() if style.json_whole != ("{body}",)])
def test_json_in_any_style_gives_all_true_rows_and_no_other(rows: ModuleType, style: str) -> None:
    found = rows.measure(style, num_replies=NUM_REPLIES, as_json=True)
    assert found.surprises == []


@pytest.mark.parametrize("style", ["plain", "torn"])
def test_plain_json_gives_all_whole_rows(rows: ModuleType, style: str) -> None:
    assert rows.measure(style, num_replies=NUM_REPLIES, as_json=True).surprises == []


def test_over_all_styles_95_percent_of_the_true_rows_are_kept(rows: ModuleType) -> None:
    found = [rows.measure(style, num_replies=NUM_REPLIES // 2, as_json=False) for style in STYLES]
    assert sum(one.num_kept for one in found) >= 0.95 * sum(one.num_true for one in found)
