"""The README and the pages of docs/: their fenced blocks, links and headings, as a reader's browser has them.

Knows nothing of what a block says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGES", "REPOSITORY", "Block", "Link", "anchors", "blocks", "links", "name_of"]

REPOSITORY = Path(__file__).parents[1]
PAGES = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))

_NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
_LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
_CODE = re.compile(r"`[^`]*`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block; `line` is that of its first line of text, `not_run` why it is only to be read ("": it runs)."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str

    @property
    def place(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One link of a page, as it is written."""

    page: Path
    line: int
    target: str


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    found: list[Block] = []
    opened: tuple[int, str, str] | None = None
    lines = page.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.startswith("```"):
            continue
        if opened is None:
            mark = next((text for text in reversed(lines[: number - 1]) if text.strip()), "")
            stated = _NOT_RUN.fullmatch(mark.strip())
            opened = number, line[3:].strip(), stated[1] if stated else ""
            continue
        begin, language, not_run = opened
        text = "\n".join(lines[begin : number - 1]) + "\n"
        found.append(Block(page=page, line=begin + 1, language=language, text=text, not_run=not_run))
        opened = None
    assert opened is None, f"{name_of(page)}: a block is not closed"
    return found


def links(page: Path) -> Iterator[Link]:
    """Yield the links of a page outside its blocks."""
    for number, line in _prose(page):
        for match in _LINK.finditer(_CODE.sub(lambda code: "." * len(code[0]), line)):
            yield Link(page=page, line=number, target=match[1])


def anchors(page: Path) -> set[str]:
    """Return what links to the headings of a page end with, as GitHub makes it of them."""
    found: set[str] = set()
    for _, line in _prose(page):
        if heading := re.fullmatch(r"#{1,6} (.+)", line):
            slug = re.sub(r"[^\w\- ]", "", heading[1].lower()).replace(" ", "-")
            copies = (f"{slug}-{number}" if number else slug for number in range(len(found) + 1))
            found.add(next(copy for copy in copies if copy not in found))
    return found


def _prose(page: Path) -> Iterator[tuple[int, str]]:
    """The lines outside fenced blocks, with their numbers."""
    is_inside = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("```"):
            is_inside = not is_inside
        elif not is_inside:
            yield number, line
