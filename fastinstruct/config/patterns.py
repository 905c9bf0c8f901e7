"""Regular expressions that a user writes and hostile texts are searched by.

Only google-re2 compiles them: it takes time linear in the text, whatever the expression, where Python's `re` may take
for ever. The factor is the expression's size: one with large counted repetitions, such as `(.{1,500}){2}`, can take
seconds a megabyte.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

__all__ = ["compiled"]


@lru_cache(maxsize=64)
def compiled(pattern: str) -> Callable[[str], bool]:
    """Return what says whether a text holds a match of `pattern`, which is in RE2's syntax.

    `.` matches no line feed and case matters, unless the expression says otherwise: `(?s)`, `(?i)`, and `(?m)` for
    lines. What is no text, half of a surrogate pair, is searched as a question mark.

    Raises:
        ValueError: it is no such expression, or the extra re2 is not installed; the message follows a key's name.
    """
    try:
        import re2
    except ImportError:
        msg = "needs google-re2 (pip install 'fastinstruct[re2]')"
        raise ValueError(msg) from None
    options = re2.Options()
    options.log_errors = False  # the message below says it
    options.never_capture = True
    try:
        search = re2.compile(pattern, options).search
    except (re2.error, UnicodeEncodeError) as error:
        msg = f"is no regular expression of RE2 ({_why(error)})"
        raise ValueError(msg) from error
    return lambda text: search(text.encode("utf-8", "replace")) is not None


def _why(error: Exception) -> str:
    """What RE2 says, on one printable line; it gives bytes."""
    if isinstance(error, UnicodeEncodeError):
        return "it holds half of a surrogate pair"
    said = error.args[0] if error.args else ""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return text[:60] if text.isprintable() else ascii(text)[1:61]
