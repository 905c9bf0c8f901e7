"""The one place where the command line prints: on stdout data, on stderr all else, and nothing that steers a terminal.

Knows nothing of runs. What is safe to show is for `escaping`; no other module of the command line writes to a stream,
but for the panel that `display` has rich draw.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from fastinstruct.escaping import json_escaped, on_one_line, printable

__all__ = [
    "flushed",
    "labelled",
    "open_closed_streams",
    "printable",
    "program",
    "redraw",
    "say",
    "say_json",
    "shortened",
    "tell",
]


def open_closed_streams() -> None:
    """Give a stand-in to each standard stream that the caller has closed, before anything else takes its descriptor.

    A socket that were number 1 would get what is printed. What is written to a closed stdout fails, in one line: data
    must not vanish; what would be told on a closed stderr is not wanted.
    """
    for descriptor, name, flags, mode in (
        (0, "stdin", os.O_RDONLY, "r"),
        (1, "stdout", os.O_RDONLY, "w"),  # so that writing fails
        (2, "stderr", os.O_WRONLY, "w"),
    ):
        try:
            os.fstat(descriptor)
        except OSError:
            os.dup2(opened := os.open(os.devnull, flags), descriptor)
            if opened != descriptor:
                os.close(opened)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))


def shortened(text: str, max_chars: int) -> str:
    """The text, or its start and how much more there is."""
    rest = len(text) - max_chars
    return text if rest <= 0 else f"{text[:max_chars]} … ({rest:,} more characters)"


def labelled(label: str, text: str, width: int) -> str:
    """`label: text`, safe to print, with the text's lines below one another, `width` columns from the left."""
    return f"{label + ':':<{width}}{printable(text)}".replace("\n", "\n" + " " * width).rstrip()


def say(text: str) -> None:
    """Print on stdout; what could steer a terminal and characters that its encoding lacks are escaped."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    typer.echo(printable(text).encode(encoding, "backslashreplace").decode(encoding))


def tell(text: str) -> None:
    """Print on stderr, where everything but data goes; escaped as by `say`."""
    typer.echo(printable(text), err=True)


def redraw(line: str) -> None:
    """Draw a line on stderr in the place of the last one; nothing where stderr is no terminal."""
    if sys.stderr.isatty():
        typer.echo(f"\r\x1b[K{on_one_line(line)}", err=True, nl=False)


def say_json(row: Mapping[str, Any], *, err: bool = False) -> None:
    """Print a JSON object as one line of UTF-8, on stdout or stderr, safe to show and valid."""
    typer.echo(json_escaped(json.dumps(row, ensure_ascii=False)).encode(), err=err)


def flushed(*, is_told: bool = False) -> int:
    """Write out what stdout still holds; 1 if that fails, which Python would only tell with a traceback, else 0.

    `is_told`: that stdout fails has been said already.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        if not is_told:
            tell(f"fastinstruct: stdout: {error.strerror or error}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for the flush at exit
        return 1
    return 0


def program() -> str:
    """Return what a person types to call this program again: its name, or its path where the name is not found."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return "python -m fastinstruct"
    if called.name.startswith("-"):  # `python -c`: another program calls
        return "fastinstruct"
    found = shutil.which(called.name)
    is_on_path = found is not None and called.exists() and Path(found).samefile(called)
    return called.name if is_on_path or not called.exists() else os.path.relpath(called)
