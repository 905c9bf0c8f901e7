"""Seed tasks from a JSONL file: one JSON object a line, in the paper's format or in Alpaca's.

Knows nothing of prompts or runs. Guarantees that every task it returns has a unique id, an instruction and at least
one instance with an output, in valid Unicode; anything else is a `SeedError` of one line, `FILE:LINE: what is wrong;
what to do` (without LINE where the trouble is the file itself).

The paper's format: `instruction`, `instances` (a list of `{input, output}`), `is_classification`, `id`, `name`.
Alpaca's, as many users
have: `instruction`, `input`, `output`; it becomes a task with one instance. Optional, so that they may be absent or
null: `id` (then `seed_` and the line's index from 0), `name` (then empty), `is_classification` (then false), `input`
(then empty). Other keys are ignored. Blank lines and a byte order mark are allowed. Texts are kept as they are,
outer white space included.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import orjson

from fastinstruct.errors import SeedError
from fastinstruct.records import Instance, SeedTask
from fastinstruct.text.folder import prompt_folder
from fastinstruct.text.json_lines import BYTE_ORDER_MARK, json_complaint, json_type

__all__ = ["load_seeds", "packaged_seeds"]


def packaged_seeds() -> tuple[SeedTask, ...]:
    """The 175 seed tasks that come with FastInstruct.

    Raises:
        SeedError: the installation is damaged, or the file was edited and is no longer valid.
    """
    return load_seeds(prompt_folder() / "seed_tasks.jsonl")


def load_seeds(path: Path) -> tuple[SeedTask, ...]:
    """The tasks of a seed file, in file order.

    Raises:
        SeedError: the file cannot be read, holds no task, or a line is no valid task.

    Source: arXiv:2212.10560, section 2.2 and appendix A.1; the seed file of its released code.
    """
    tasks: list[SeedTask] = []
    line_of_id: dict[str, int] = {}
    for number, line in _lines(path):
        task = _SeedLine(path, number).task(line)
        if task.id in line_of_id:
            where = f"{path}:{number}"
            raise SeedError(f"{where}: id {task.id!r} is already that of line {line_of_id[task.id]}; make ids unique")
        line_of_id[task.id] = number
        tasks.append(task)
    if not tasks:
        raise SeedError(f"{path}: holds no seed task; write at least one JSON object with instruction and instances")
    return tuple(tasks)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers from 1."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise SeedError(f"{path}: there is no such file; check the path") from None
    except IsADirectoryError:
        raise SeedError(f"{path}: is a folder; name the JSONL file in it") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or "not a valid path"
        raise SeedError(f"{path!s}: cannot be read ({reason}); check the path and its permissions") from error
    for number, line in enumerate(content.removeprefix(BYTE_ORDER_MARK).split(b"\n"), start=1):
        if line.strip():
            yield number, line


class _SeedLine:
    """One line of a seed file, which knows its place so that it can name it."""

    def __init__(self, path: Path, number: int) -> None:
        self._path = path
        self._number = number

    def task(self, line: bytes) -> SeedTask:
        row = self._row(line)
        return SeedTask(
            id=self._id(row),
            name=self._text(row, "name", default=""),
            instruction=self._filled(row, "instruction"),
            instances=self._instances(row),
            is_classification=self._flag(row, "is_classification"),
        )

    def _refuse(self, complaint: str) -> NoReturn:
        raise SeedError(f"{self._path}:{self._number}: {complaint}") from None

    def _row(self, line: bytes) -> dict[str, Any]:
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            self._refuse(json_complaint(line, error))
        if not isinstance(row, dict):
            self._refuse(
                f"is {json_type(row)}, not an object; write one JSON object a line (jq -c '.[]' splits a list)"
            )
        return row

    def _id(self, row: dict[str, Any]) -> str:
        name = self._text(row, "id", default=f"seed_{self._number - 1}")
        return name if name.strip() else self._refuse("id is empty; give the task a name of its own, or leave id out")

    def _instances(self, row: dict[str, Any]) -> tuple[Instance, ...]:
        listed = row.get("instances")
        if listed is None and row.get("output") is not None:  # a row in Alpaca's format
            return (self._instance(row, ""),)
        if not isinstance(listed, list) or not listed:
            found = "missing" if listed is None else "empty" if listed == [] else json_type(listed)
            self._refuse(f"instances is {found}; give a list of at least one object with input and output")
        return tuple(self._instance(item, f"instances[{place}]") for place, item in enumerate(listed))

    def _instance(self, item: object, place: str) -> Instance:
        if not isinstance(item, dict):
            self._refuse(f"{place} is {json_type(item)}; write an object with input and output")
        prefix = f"{place}." if place else ""
        given = self._text(item, "input", prefix=prefix, default="")
        return Instance(input=given, output=self._filled(item, "output", prefix=prefix))

    def _filled(self, row: dict[str, Any], key: str, *, prefix: str = "") -> str:
        text = self._text(row, key, prefix=prefix)
        return text if text.strip() else self._refuse(f"{prefix}{key} is empty; write a text or remove the line")

    def _text(self, row: dict[str, Any], key: str, *, prefix: str = "", default: str | None = None) -> str:
        value = row.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            found = "missing" if value is None else json_type(value)
            self._refuse(f"{prefix}{key} is {found}; write a string")
        return value

    def _flag(self, row: dict[str, Any], key: str) -> bool:
        value = row.get(key)
        if value is None:
            return False
        return value if isinstance(value, bool) else self._refuse(f"{key} is {json_type(value)}; write true or false")
