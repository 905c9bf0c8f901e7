"""Seed tasks from a JSONL file: one JSON object a line, in the paper's format or in Alpaca's.

Knows nothing of prompts or runs. Guarantees that every task it returns has a unique id, an instruction and at least
one instance with an output, in valid Unicode; anything else is a `SeedError` of one line, `FILE:LINE: what is wrong;
what to do` (without LINE where the trouble is the file itself).

The paper's format: `instruction`, `instances` (a list of `{input, output}`), `is_classification`, `id`, `name`.
Alpaca's, as many users have: `instruction`, `input`, `output`; it becomes a task with one instance. Optional, so that
they may be absent or null: `id` (then `seed_` and the line's index from 0), `name` (then empty), `is_classification`
(then unknown), `input` (then empty). An input that only says that there is none ("<noinput>", "N/A") is empty, too.

A key that is nearly one of these, where the row lacks that one, is a misspelling and refused: what it says would be
lost in silence. Other keys are ignored. Blank lines and a byte order mark are allowed. All other texts are kept as they
are, outer white space included.

A seed that does not say whether it is a classification task shows stage 1 its instruction and nothing else: it is no
demonstration of stages 2 and 3 and calibrates nothing, for each of these depends on the kind, and a kind cannot be told
from the texts (an output of one word is a label, or an answer). The packaged seeds take its place there.
"""

import difflib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import orjson

from fastinstruct.errors import SeedError
from fastinstruct.reading import whole_file
from fastinstruct.records import Instance, SeedTask
from fastinstruct.text.emptiness import empty_if_none
from fastinstruct.text.folder import prompt_folder
from fastinstruct.text.json_lines import BYTE_ORDER_MARK, SPLIT_A_LIST, json_complaint, json_type, repeated_key

__all__ = ["input_of", "kind_notice", "load_seeds", "num_unknown", "packaged_seeds"]

_SAID_NEARLY = 0.8  # as near as `inptu` is to `input`
_MAX_SHOWN = 40  # characters of a misspelt key


def input_of(text: str) -> str:
    """Return a seed's input as it is, or "" where it is blank or only says that there is none."""
    return text if empty_if_none(text.strip()) else ""


def num_unknown(seeds: Iterable[SeedTask]) -> int:
    """Return how many seeds do not say whether they are classification tasks."""
    return sum(seed.is_classification is None for seed in seeds)


def kind_notice(seeds: Collection[SeedTask]) -> str:
    """Say in one line how many seeds do not say their kind, and what follows; "" where all do."""
    unknown = num_unknown(seeds)
    if not unknown:
        return ""
    some = f"{unknown} of {len(seeds)} seeds do" if unknown > 1 else f"1 of {len(seeds)} seeds does"
    return (
        f"{some} not say is_classification: stages 2 and 3 show others in place of such seeds; "
        "add true or false to have them shown"
    )


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
        content = whole_file(path)
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


# A misspelt id or name loses nothing, and words as short as these are near many.
_KEYS_OF_AN_INSTANCE = ("input", "output")
_KEYS_OF_A_TASK = ("instruction", "is_classification")


def _known_keys(row: Collection[str]) -> tuple[str, ...]:
    """The keys of the format that a row is in; those of both where that cannot be told."""
    if "instances" in row:
        return (*_KEYS_OF_A_TASK, "instances")
    return (*_KEYS_OF_A_TASK, *_KEYS_OF_AN_INSTANCE, *(() if "output" in row else ("instances",)))


def _nearest(key: str, known: list[str]) -> str:
    """The known key that this one is nearly; "" if none."""
    spelt = "_".join(key.casefold().replace("-", " ").replace("_", " ").split())
    close = difflib.get_close_matches(spelt, known, n=1, cutoff=_SAID_NEARLY)
    return close[0] if close and len(key) <= _MAX_SHOWN else ""


class _SeedLine:
    """One line of a seed file, which knows its place so that it can name it."""

    def __init__(self, path: Path, number: int) -> None:
        self._path = path
        self._number = number

    def task(self, line: bytes) -> SeedTask:
        row = self._row(line)
        self._refuse_misspelt(row, _known_keys(row))
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
            self._refuse(f"is {json_type(row)}, not an object; {SPLIT_A_LIST}")
        if (twice := repeated_key(line)) is not None:
            self._refuse(f"has the key {twice[:_MAX_SHOWN]!a} twice; keep one of them")
        return row

    def _refuse_misspelt(self, row: dict[str, Any], known: Collection[str], prefix: str = "") -> None:
        """Refuse a key that is nearly a known one which the row lacks."""
        lacking = [key for key in known if key not in row]
        for key in row:
            if key not in known and (close := _nearest(key, lacking)):
                shown = ascii(key[:_MAX_SHOWN]) if not key.isprintable() else repr(key[:_MAX_SHOWN])
                self._refuse(f"unknown key {prefix}{shown} (did you mean {close}?); rename it, or remove it")

    def _id(self, row: dict[str, Any]) -> str:
        name = self._text(row, "id", default=f"seed_{self._number - 1}")
        return name if name.strip() else self._refuse("id is empty; give the task a name of its own, or leave id out")

    def _instances(self, row: dict[str, Any]) -> tuple[Instance, ...]:
        listed = row.get("instances")
        if listed is not None and (both := next((key for key in _KEYS_OF_AN_INSTANCE if row.get(key)), None)):
            self._refuse(f"has instances and {both}, which say what is asked twice; keep one of them")
        if listed is None and "output" in row:  # a row in Alpaca's format
            return (self._instance(row, ""),)
        if not isinstance(listed, list) or not listed:
            found = "missing" if listed is None else "empty" if listed == [] else json_type(listed)
            self._refuse(f"instances is {found}; give a list of at least one object with input and output")
        return tuple(self._instance(item, f"instances[{place}]") for place, item in enumerate(listed))

    def _instance(self, item: object, place: str) -> Instance:
        if not isinstance(item, dict):
            self._refuse(f"{place} is {json_type(item)}; write an object with input and output")
        prefix = f"{place}." if place else ""
        if place:
            self._refuse_misspelt(item, _KEYS_OF_AN_INSTANCE, prefix)
        given = self._text(item, "input", prefix=prefix, default="")
        return Instance(input=input_of(given), output=self._filled(item, "output", prefix=prefix))

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

    def _flag(self, row: dict[str, Any], key: str) -> bool | None:
        value = row.get(key)
        return (
            value
            if value is None or isinstance(value, bool)
            else self._refuse(f"{key} is {json_type(value)}; write true or false")
        )
