"""A parsed JSON value in words, as a server's message shows it: cut in length and in depth.

Knows nothing of errors or outcomes. Guarantees: whatever the value, nothing raises, the words are at most so many
characters, and no more of the value is looked at than they need; a text stands for itself.

Python's own `str` walks all of a value, and raises RecursionError where it is nested as deep as a parser allows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

__all__ = ["in_words"]

_MAX_DEPTH: Final = 8


def in_words(value: object, most: int) -> str:
    """The value in at most `most` characters; what is nested deeper than eight levels is left out."""
    if isinstance(value, str):
        return value[:most]
    words, room = [], most
    for piece in _pieces(value, most, _MAX_DEPTH):
        words.append(piece)
        room -= len(piece)
        if room <= 0:
            break
    return "".join(words)[:most]


def _pieces(value: object, most: int, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield repr(value[:most])
    elif not isinstance(value, list | Mapping):
        yield str(value)[:most]
    elif value and not depth:
        yield "[…]" if isinstance(value, list) else "{…}"
    elif isinstance(value, list):
        yield "["
        for number, entry in enumerate(value):
            yield ", " if number else ""
            yield from _pieces(entry, most, depth - 1)
        yield "]"
    else:
        yield "{"
        for number, (name, entry) in enumerate(value.items()):
            yield f"{', ' if number else ''}{str(name)[:most]!r}: "
            yield from _pieces(entry, most, depth - 1)
        yield "}"
