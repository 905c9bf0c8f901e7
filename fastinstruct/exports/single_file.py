"""Formats of one file with one row an example: what they have in common.

Knows nothing of any format's columns. A path that ends with `.json` gets one JSON array, a row a line; `.jsonl`,
`.ndjson` or none gets JSON Lines; the suffix of another format is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastinstruct.exports.files import NewFile
from fastinstruct.exports.formats import Exported
from fastinstruct.files.json_rows import json_row, refuse_other_format
from fastinstruct.records import Example
from fastinstruct.replaceable import is_file
from fastinstruct.store import RunReader
from fastinstruct.text.seeds import input_of

__all__ = ["SingleFile", "examples_of", "seed_examples", "task_text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleFile:
    """A format whose `row` makes a JSON object of an example."""

    name: str
    description: str
    default_name: str
    row: Callable[[Example], dict[str, Any]]
    needed: tuple[str, ...] = ("template",)

    def existing(self, reader: RunReader, path: Path) -> list[Path]:
        """The file itself, if it is there."""
        return [path] if is_file(path) else []

    def rows(self, reader: RunReader, *, include_seeds: bool = False) -> Iterator[dict[str, Any]]:
        """Yield the run's rows: seeds in pool order if wanted, then examples by instruction and number.

        Raises:
            RunFolderError: a row of the run is damaged; `RunReader.check` leaves it out, if that is wanted.
        """
        with reader.snapshot():
            reader.check_once()
            for example in examples_of(reader, include_seeds=include_seeds):
                yield self.row(example)

    def write(self, reader: RunReader, path: Path, *, include_seeds: bool = False) -> Exported:
        """Write all rows to the file `path`.

        Raises:
            InputError, RunFolderError, StoreError: as `Format.write` says.
        """
        refuse_other_format(path)
        rows = map(json_row, self.rows(reader, include_seeds=include_seeds))
        with NewFile(path) as file:
            num_examples = _write_array(file, rows) if path.suffix.lower() == ".json" else _write_lines(file, rows)
        return Exported(files=(path,), num_examples=num_examples)


def examples_of(reader: RunReader, *, include_seeds: bool) -> Iterator[Example]:
    """Yield the seeds' examples, if they are wanted, then the run's."""
    if include_seeds:
        yield from seed_examples(reader)
    yield from reader.examples()


def seed_examples(reader: RunReader) -> Iterator[Example]:
    """Yield every instance of the seeds as an example `<seed id>-<number>`.

    Runs of older versions hold "<noinput>" where their seed files said so; here it is no input, as in newer ones.
    """
    for seed in reader.seeds():
        for number, case in enumerate(seed.instances):
            yield Example(
                id=f"{seed.id}-{number}",
                instruction=seed.instruction,
                input=input_of(case.input),
                output=case.output,
                is_classification=seed.is_classification,
            )


def task_text(example: Example) -> str:
    """The instruction and, after an empty line, the input where there is one."""
    return f"{example.instruction}\n\n{example.input}" if example.input else example.instruction


def _write_lines(file: NewFile, rows: Iterable[str]) -> int:
    num_rows = 0
    for row in rows:
        file.write(f"{row}\n")
        num_rows += 1
    return num_rows


def _write_array(file: NewFile, rows: Iterable[str]) -> int:
    num_rows = 0
    file.write("[")
    for row in rows:
        file.write(f"{',' if num_rows else ''}\n{row}")
        num_rows += 1
    file.write("\n]\n" if num_rows else "]\n")
    return num_rows
