"""The strings of a list of tasks that is JSON lose what stands before or around all of them."""

import json
from collections.abc import Callable

import pytest

from fastinstruct.records import Api, FinishReason, RejectReason
from fastinstruct.text.parsed import Parsed
from fastinstruct.text.parsing_instructions import parse_instructions, refined
from fastinstruct.text.string_markers import without_markers
from fastinstruct.text.structured import read_tasks

SEA = "Write a short poem about the quiet sea."
TIDES = "Explain how ocean tides work to children."
FOOD = "Suggest three healthy breakfasts for a busy week."
THREE = (SEA, TIDES, FOOD)


def read_json(*strings: str) -> Parsed[str]:
    text = json.dumps({"tasks": strings})
    return refined(read_tasks(text, max_items=20, is_torn=False))


def read_text(*strings: str) -> Parsed[str]:
    text = json.dumps(strings, ensure_ascii=False)
    return parse_instructions(text, api=Api.CHAT, first_number=9, max_items=20, finish_reason=FinishReason.STOP)


@pytest.mark.parametrize("read", [read_json, read_text])
@pytest.mark.parametrize(
    "before",
    [
        *[
            ("9. ", "10. ", "11. "),
            ("(9) ", "(10) ", "(11) "),
            ("**9.** ", "**10.** ", "**11.** "),
            ("1. ", "1. ", "1. "),
        ],
        *[("IX. ", "X. ", "XI. "), ("i) ", "ii) ", "iii) "), ("a) ", "b) ", "c) "), ("A. ", "B. ", "C. ")],
        *[("⑨ ", "⑩ ", "⑪ "), ("九、", "十、", "十一、"), ("9️⃣ ", "🔟 ", "11. "), ("٩. ", "١٠. ", "١١. ")],
        *[("9. ", "11. ", "12. "), ("第九题：", "第十题：", "第十一题：")],
        *[
            ("Task 9: ", "Task 10: ", "Task 11: "),
            ("任务9：", "任务10：", "任务11："),
            ("タスク9：", "タスク10：", "タスク11："),
        ],
        *[(sign,) * 3 for sign in ("- ", "* ", "• ", "- [ ] ", "### ", "> ", "> - ", "\u200b", "\u2060\u200f", "➤ ")],
        *[(label,) * 3 for label in ("Task: ", "**Task:** ", "任务：", "タスク：", "작업: ", "Aufgabe: ", "Tâche : ")],
        *[
            (label,) * 3
            for label in ("Tarea: ", "Tarefa: ", "Compito: ", "Задание: ", "المهمة: ", "कार्य: ", "- Task: ")
        ],
        *[
            ("**Sea:** ", "**Tides:** ", "**Food:** "),
            ("Sea: ", "Tides: ", "Food: "),
            ("**Sea** – ", "**Tides** – ", "**Food** – "),
        ],
    ],
)
def test_what_all_strings_begin_with_is_taken_off(read: Callable[..., Parsed[str]], before: tuple[str, ...]) -> None:
    assert read(*map("".join, zip(before, THREE, strict=True))).kept == THREE


@pytest.mark.parametrize(
    ("first", "second"),
    [("- ", ""), ("⑨ ", ""), ("IX. ", ""), ("a) ", ""), ("9. ", ""), ("9. ", "2. "), ("> ", ""), ("# ", "")],
)
def test_a_marker_that_one_string_alone_has_is_rejected(first: str, second: str) -> None:
    parsed = read_json(first + SEA, second + TIDES)
    assert (first + SEA, RejectReason.MARKER) in parsed.rejected
    assert SEA not in parsed.kept


@pytest.mark.parametrize(
    "strings",
    [
        ("2016. It was a warm year: say why.", "2017. It was a wet year: say why."),
        ("A. Smith wrote this. Say who he was.", "C. Jones sang. Say who he was."),
        ("C# or Java: which is older?", "F# or Java: which is older?"),
        (SEA, TIDES),
        (),
    ],
)
def test_content_that_begins_like_a_marker_stays(strings: tuple[str, ...]) -> None:
    assert without_markers(strings) == list(strings)
    assert read_json(*strings).kept == strings
