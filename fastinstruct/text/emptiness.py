"""The words that people and models write for "there is no input" and "there is no output".

Knows nothing of where they stand. Every function takes any text, never raises, and takes time linear in its length.
"""

import re

__all__ = ["empty_if_none"]

_NO_INPUT = re.compile(
    r"[<(\[]?\s*(?:n\s?/\s?a|none|null|empty|no[ _-]?input(?:\s(?:is\s)?(?:required|needed|necessary|provided))?)"
    r"\s*[>)\]]?[.]?"
    r"|[-–—]",
    re.IGNORECASE,
)


def empty_if_none(text: str) -> str:
    """Return an input, or "" where it only says that there is none ("N/A", "<noinput>")."""
    return "" if _NO_INPUT.fullmatch(text) else text
