"""`fastinstruct export`: a run's data as files for training."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastinstruct.cli.terminal import tell

if TYPE_CHECKING:
    from fastinstruct.exports import Exported, Format
    from fastinstruct.store import RunReader

__all__ = ["export"]

_STDOUT = Path("-")
_FILES = frozenset({".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".txt"})


def export(
    run: Annotated[Path | None, typer.Argument(help="The run's folder. Default: the newest under runs/.")] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help="alpaca, messages, prompt-completion or reference (the paper's files). May be given several times. "
            "Default: alpaca.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="A file (.json: one JSON array; .jsonl: JSON Lines), a folder for reference or for several "
            "formats, or - for JSON Lines on stdout. Default: in RUN/exports.",
        ),
    ] = None,
    include_seeds: Annotated[bool, typer.Option("--include-seeds", help="Put the seeds' instances first.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files outside RUN/exports.")] = False,
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Leave out what is damaged on disk, and say what.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Say what was written as JSON, one line a format.")] = False,
) -> None:
    """Write a run's examples as training data.

    A run may be exported while it goes on: the files then show the moment the export began. Every row has a stable id.
    """
    from fastinstruct.cli.chosen_run import chosen_run
    from fastinstruct.cli.signals import ended_by_sigterm
    from fastinstruct.exports import format_named
    from fastinstruct.store import RunReader

    wanted = [format_named(name) for name in dict.fromkeys(formats or ["alpaca"])]
    with RunReader(chosen_run(run)) as reader, reader.snapshot():
        needed = tuple({table for each in wanted for table in each.needed})
        for row in reader.check(skip_damaged=skip_damaged, needed=needed):
            tell(f"left out, damaged: {row}, and what follows from it")
        if out == _STDOUT:
            _to_stdout(reader, wanted, include_seeds=include_seeds, as_json=as_json)
            return
        targets = _targets(reader, wanted, out)
        for each, path in targets:
            _check_replaceable(reader, each.existing(reader, path), overwrite=overwrite)
        with ended_by_sigterm():
            for each, path in targets:
                _report(each, each.write(reader, path, include_seeds=include_seeds), as_json=as_json)


def _to_stdout(reader: RunReader, wanted: list[Format], *, include_seeds: bool, as_json: bool) -> None:
    from fastinstruct.cli.terminal import say_json
    from fastinstruct.errors import InputError
    from fastinstruct.exports import SingleFile

    if as_json:
        raise InputError("--json and --out - both write to stdout; leave one out")
    (first, *others) = wanted
    if others or not isinstance(first, SingleFile):
        raise InputError("--out -: stdout takes one format of a single file; give --out FOLDER")
    num_examples = 0
    for row in first.rows(reader, include_seeds=include_seeds):
        say_json(row)
        num_examples += 1
    tell(f"{first.name}: {num_examples:,} examples")


def _targets(reader: RunReader, wanted: list[Format], out: Path | None) -> list[tuple[Format, Path]]:
    """Where each format goes: in the run's exports or, with several formats or a folder, below `out`; else to `out`.

    Raises:
        InputError: `out` is named like a file and would become a folder.
    """
    from fastinstruct.errors import InputError
    from fastinstruct.replaceable import is_folder as is_a_folder

    if out is None:
        return [(each, reader.folder / "exports" / each.default_name) for each in wanted]
    (first, *others) = wanted
    is_folder = bool(others) or not Path(first.default_name).suffix
    if is_folder and not is_a_folder(out) and out.suffix.lower() in _FILES:
        raise InputError(f"{out}: {', '.join(each.name for each in wanted)} is several files; name a folder")
    if others or (is_a_folder(out) and Path(first.default_name).suffix):
        return [(each, out / each.default_name) for each in wanted]
    return [(first, out)]


def _check_replaceable(reader: RunReader, files: list[Path], *, overwrite: bool) -> None:
    """Refuse to replace a file that is not an export of this run, and ever to replace the run itself.

    Raises:
        InputError: which file is in the way.
    """
    from fastinstruct.errors import InputError

    run = Path(os.path.realpath(reader.folder))
    for file in files:
        place = Path(os.path.realpath(file))
        if place.parent == run:
            raise InputError(f"{file}: is the run's own; give another --out")
        if not overwrite and not place.is_relative_to(run / "exports"):
            raise InputError(f"{file}: exists already; give --overwrite to replace it, or another --out")


def _report(each: Format, exported: Exported, *, as_json: bool) -> None:
    from fastinstruct.cli.terminal import printable, say, say_json

    if as_json:
        files = [str(file) for file in exported.files]
        say_json({"format": each.name, "files": files, "num_examples": exported.num_examples})
        return
    for file in exported.files:
        say(printable(str(file)))
    say(f"{each.name}: {exported.num_examples:,} examples")
