r"""Text of unknown origin made safe to show: what a model writes must not steer a terminal or forge our layout.

Knows nothing of runs. Escaped, as `\x1b` or `\u202e`: control characters except newline and tab, what reorders text
(bidirectional controls), line and paragraph separators, halves of surrogate pairs and invisible tag characters.
Everything else, in any script, stays as it is.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

__all__ = ["labelled", "printable", "program", "say", "say_json", "shortened"]

_HOSTILE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    """The text with every character that could steer a terminal written out."""
    return _HOSTILE.sub(_escaped, text)


def shortened(text: str, max_chars: int) -> str:
    """The text, or its start and how much more there is."""
    rest = len(text) - max_chars
    return text if rest <= 0 else f"{text[:max_chars]} … ({rest:,} more characters)"


def labelled(label: str, text: str, width: int) -> str:
    """`label: text`, safe to print, with the text's lines below one another, `width` columns from the left."""
    return f"{label + ':':<{width}}{printable(text)}".replace("\n", "\n" + " " * width).rstrip()


def say(text: str) -> None:
    """Print on stdout what has been made printable; characters that its encoding lacks are escaped."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    typer.echo(text.encode(encoding, "backslashreplace").decode(encoding))


def say_json(row: Mapping[str, Any]) -> None:
    r"""Print a JSON object as one line of UTF-8 on stdout; `\u` escapes keep it both safe to show and valid."""
    line = _HOSTILE.sub(_json_escaped, json.dumps(row, ensure_ascii=False))
    typer.echo(line.encode())


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escaped(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]


def program() -> str:
    """Return what a person types to call this program again: its name, or its path where the name is not found."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return "python -m fastinstruct"
    found = shutil.which(called.name)
    is_on_path = found is not None and called.exists() and Path(found).samefile(called)
    return called.name if is_on_path or not called.exists() else os.path.relpath(called)
