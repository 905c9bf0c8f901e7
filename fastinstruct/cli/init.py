"""`fastinstruct init`: write a configuration to start from.

The text is `config_template.yaml` beside this file: every key with its default, so what is written changes nothing
until somebody edits it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastinstruct.cli.terminal import program, tell

__all__ = ["init"]

_OTHER_FORMATS = frozenset({".json", ".toml"})


def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("fastinstruct.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a configuration with every key and its default."""
    _write(path, _template(), force=force)
    from shlex import quote

    file = quote(str(path))
    tell(
        f"wrote {path}; say there what to generate and which model answers, then:\n"
        f"  {program()} doctor --config {file}   checks seeds, machine and model\n"
        f"  {program()} run --config {file}      generates; the same command again goes on where it stopped"
    )


def _template() -> str:
    from importlib.resources import files

    return (files("fastinstruct") / "cli" / "config_template.yaml").read_text(encoding="utf-8")


def _write(path: Path, text: str, *, force: bool) -> None:
    from fastinstruct.errors import FastInstructError, InputError
    from fastinstruct.exports.files import NewFile
    from fastinstruct.replaceable import regular_target

    if path.suffix.lower() in _OTHER_FORMATS:
        raise InputError(f"{path}: the configuration is written in YAML; give it a name that ends in .yaml")
    try:
        if force:
            with NewFile(regular_target(path)) as file:
                file.write(text)
        else:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except FastInstructError:
        raise
    except FileExistsError as error:
        raise InputError(f"{path}: exists already; --force overwrites it") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte
        reason = getattr(error, "strerror", None) or "not a valid path"
        raise InputError(f"{path}: cannot be written: {reason}; check its folder") from error
