"""The names of tokenizers: what each means where a person asks for one, and where a file says one.

Knows nothing of texts. A tokenizer never changes once its name is stored: what would find other near-duplicates gets a
name of its own. `unicode` is no such name but a request for the newest of its kind; so identities, indexes and results
hold exact names only. Before there was a second version, files said `unicode` too: there it means the first.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

from fastinstruct.errors import InputError

__all__ = ["NEWEST", "TOKENIZERS", "TokenizerName", "exact_tokenizer", "goes_on_with", "stored_tokenizer"]

TokenizerName: TypeAlias = Literal["unicode", "unicode-1", "unicode-2", "rouge"]
"""What a person may ask for."""

NEWEST = "unicode"
"""The name that always asks for the newest version."""

_MEANINGS: Mapping[str, str] = MappingProxyType(
    {"rouge": "rouge", NEWEST: "unicode-2", "unicode-1": "unicode-1", "unicode-2": "unicode-2"}
)
_STORED: Mapping[str, str] = MappingProxyType({**_MEANINGS, NEWEST: "unicode-1"})

TOKENIZERS = tuple(sorted({*_MEANINGS.values()}))
"""The exact names."""


def exact_tokenizer(name: str) -> str:
    """Return the exact name of the tokenizer that is asked for as `name`.

    Raises:
        InputError: there is none.
    """
    return _meaning(name, _MEANINGS)


def stored_tokenizer(name: str) -> str:
    """Return the exact name of the tokenizer that an index, a manifest or another of our files calls `name`.

    Raises:
        InputError: there is none.
    """
    return _meaning(name, _STORED)


def goes_on_with(stored: str, asked: str) -> bool:
    """Whether what was made with `stored` (an exact name) is what `asked` means: `unicode` takes any version of it."""
    return exact_tokenizer(asked) == stored or (asked == NEWEST and stored.startswith(f"{NEWEST}-"))


def _meaning(name: str, meanings: Mapping[str, str]) -> str:
    meaning = meanings.get(str(name))
    if meaning is None:
        raise InputError(f"tokenizer must be one of {', '.join(sorted(meanings))}; got {name!r}")
    return meaning
