"""The names that models give to the parts of an example, in many languages: `prompts/markers.txt`, read once.

Knows nothing of replies. Guarantees that a file with a mistake is one `ConfigError` that names file and line.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from fastinstruct.errors import ConfigError
from fastinstruct.reading import whole_text
from fastinstruct.text.folder import prompt_folder

__all__ = ["FORMAT_CHARACTERS", "Kind", "MarkerNames", "folded_name", "load_marker_names", "packaged_marker_names"]

FORMAT_CHARACTERS = "\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
"""Zero-width and direction marks, as a character class without its brackets: they are not seen and say nothing."""

_FORMAT = {
    ord(character): None
    for first, last in (
        (173, 173),
        (1564, 1564),
        (6158, 6158),
        (8203, 8207),
        (8234, 8238),
        (8288, 8292),
        (8294, 8297),
        (65279, 65279),
    )
    for character in map(chr, range(first, last + 1))
}


class Kind(StrEnum):
    """What a marker begins; the values are the headings of the file."""

    EXAMPLE = "example"
    INPUT = "input"
    OUTPUT = "output"
    ANSWER = "answer"
    LABEL = "label"
    CATEGORY = "category"
    TASK = "task"
    ROLE = "role"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MarkerNames:
    """What each name means, by its folded form; one is another only if it is the same object."""

    kinds: Mapping[str, Kind]

    def of(self, *kinds: Kind) -> tuple[str, ...]:
        """Return the folded names of these kinds, the longest first."""
        return tuple(sorted((name for name, kind in self.kinds.items() if kind in kinds), key=len, reverse=True))


def folded_name(text: str) -> str:
    """How names are compared: without case, width, format characters and white space at the ends."""
    if text.isascii():
        return " ".join(text.lower().split())
    return " ".join(unicodedata.normalize("NFKC", text.translate(_FORMAT)).casefold().split())


@cache
def packaged_marker_names() -> MarkerNames:
    """Return the names of the packaged file.

    Raises:
        ConfigError: as `load_marker_names`.
    """
    return load_marker_names(prompt_folder() / "markers.txt")


def load_marker_names(path: Path) -> MarkerNames:
    """Read a file of names: parts such as `[input]`, lines `language: name, name`, and comments that begin with #.

    Raises:
        ConfigError: the file cannot be read, a name is empty or stands twice, or a line or part is none.
    """
    try:
        source = whole_text(path)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    kinds: dict[str, Kind] = {}
    lines: dict[str, int] = {}
    for number, kind, name in _names(source, str(path)):
        folded = folded_name(name)
        if not folded:
            raise ConfigError(f"{path}, line {number}: an empty name; write names between commas")
        if folded in kinds:
            raise ConfigError(
                f"{path}, line {number}: the name {name.strip()!r} stands on line {lines[folded]} already"
            )
        kinds[folded], lines[folded] = kind, number
    for kind in Kind:
        if kind not in kinds.values():
            raise ConfigError(f"{path}: the part [{kind}] has no names")
    return MarkerNames(kinds=kinds)


def _names(source: str, where: str) -> Iterator[tuple[int, Kind, str]]:
    kind: Kind | None = None
    for number, line in enumerate(source.split("\n"), 1):
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            kind = _kind(line[1:-1].strip(), f"{where}, line {number}")
        elif line and not line.startswith("#"):
            language, colon, names = line.partition(":")
            if kind is None or not colon or not language.strip():
                raise ConfigError(
                    f"{where}, line {number}: is neither a part such as [input] nor `language: name, name`"
                )
            for name in names.split(","):
                yield number, kind, name


def _kind(name: str, where: str) -> Kind:
    try:
        return Kind(name)
    except ValueError as error:
        raise ConfigError(f"{where}: [{name}] is no part; they are called {', '.join(Kind)}") from error
