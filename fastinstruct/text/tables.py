"""Rows of a markdown table with tasks in them.

Knows nothing of the reply around the table. Takes any lines, never raises, and takes time linear in their length. Which
cell holds the task is certain only if a column's name says so, or if no other column than a number's is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from fastinstruct.text.markup import collapsed
from fastinstruct.text.numbering import Marker, markers_of

__all__ = ["is_row", "rows"]

_ROW = re.compile(r"[ \t>]{0,8}\|.*\|[ \t]*\Z")
_SEPARATOR = re.compile(r"[\s:|+-]+")
_CELL_END = re.compile(r"(?<!\\)\|")
_NUMBER = re.compile(r"[*_#№ ]{0,4}(\d{1,4})[.)*_ ]{0,4}")
_TASK_COLUMN = re.compile(
    r"[*_ ]{0,4}(?:(?:new |the )?(?:tasks?|instructions?|prompts?|questions?)|任务|任務|指令|题目|タスク|指示|課題|"
    r"과제|지시|작업|aufgaben?|"
    r"anweisung(?:en)?|tâches?|consignes?|tareas?|instrucci[óo]n(?:es)?|tarefas?|instruç(?:ão|ões)|compit[oi]|"
    r"istruzion[ei]|"
    r"задани[ея]|задач[аи]|инструкци[яи]|المهمة|المهام|कार्य|निर्देश)[*_ ]{0,4}",
    re.IGNORECASE,
)


def is_row(line: str) -> bool:
    """Whether the line is a row of a table: it begins and ends with a bar."""
    return "|" in line and _ROW.match(line) is not None


def rows(lines: Sequence[str]) -> Iterator[Marker | str]:
    """The rows of one table but for its head: a marker with the task where it is certain, else the row's text."""
    cells = [_cells(line) for line in lines]
    ruled = next((place for place, line in enumerate(lines) if _is_separator(line)), None)
    head = cells[ruled - 1] if ruled else None
    start = 0 if ruled is None else ruled + 1
    named = _task_column(head) if head else None
    for line, row in zip(lines[start:], cells[start:], strict=True):
        if not _is_separator(line):
            yield _task(row, named, is_ruled=ruled is not None) or collapsed(line)


def _is_separator(line: str) -> bool:
    return "-" in line and _SEPARATOR.fullmatch(line) is not None


def _cells(line: str) -> list[str]:
    inner = line.strip().lstrip("> ").removeprefix("|").removesuffix("|")
    return [collapsed(cell.replace("\\|", "|")) for cell in _CELL_END.split(inner)]


def _task_column(head: Sequence[str]) -> int | None:
    named = [place for place, cell in enumerate(head) if _TASK_COLUMN.fullmatch(cell)]
    return named[0] if len(named) == 1 else None


def _task(row: Sequence[str], named: int | None, *, is_ruled: bool) -> Marker | None:
    number = _NUMBER.fullmatch(row[0])
    value = int(number[1]) if number else 0
    texts = row[1:] if number else row
    if named is not None and named < len(row):
        text = row[named]
    elif len(texts) == 1 and (number or is_ruled):
        text = texts[0]
    else:
        return None
    inner = markers_of(text)
    return Marker(style="table", number=value, rest=inner[0].rest if inner else text)
