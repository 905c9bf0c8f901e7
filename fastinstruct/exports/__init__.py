"""A run taken out as files that trainers read: one module a format, all behind one interface.

Knows nothing of models or of how a run is made; reads it through `RunReader`, also while it goes on. Guarantees: an
export shows one moment of the run, its rows are in a stable order with stable ids, and a file appears whole or not at
all.

    reference           the files of Self-Instruct's released code
    alpaca              instruction, input, output
    messages            a conversation of a user and an assistant
    prompt-completion   a prompt and its completion, plain
"""

from __future__ import annotations

import difflib

from fastinstruct.errors import InputError
from fastinstruct.exports.alpaca import ALPACA
from fastinstruct.exports.formats import Exported, Format
from fastinstruct.exports.messages import MESSAGES
from fastinstruct.exports.prompt_completion import PROMPT_COMPLETION
from fastinstruct.exports.reference import REFERENCE
from fastinstruct.exports.single_file import SingleFile

__all__ = ["FORMATS", "Exported", "Format", "SingleFile", "format_named"]

FORMATS: dict[str, Format] = {each.name: each for each in (ALPACA, MESSAGES, PROMPT_COMPLETION, REFERENCE)}
"""Every format by its name."""


def format_named(name: str) -> Format:
    """The format of that name.

    Raises:
        InputError: there is none.
    """
    if name in FORMATS:
        return FORMATS[name]
    close = difflib.get_close_matches(name, FORMATS, n=1, cutoff=0.5)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise InputError(f"no such format: {name[:40]!r}{hint}; there are {', '.join(FORMATS)}")
