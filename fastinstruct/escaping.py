r"""Text of unknown origin made safe to show: what a model, a server or a file says must not steer a terminal.

Knows nothing of who says it. Escaped, as `\x1b` or `\u202e`: control characters except newline and tab, what reorders
text (bidirectional controls), line and paragraph separators, halves of surrogate pairs and invisible tag characters.
Everything else, in any script, stays as it is; what is escaped already stays so.

Every way out of the package leads through here: an error's text (`errors.FastInstructError`), a log record
(`package_logger`), and all that the command line prints (`cli.terminal`).
"""

from __future__ import annotations

import json
import logging
import re

__all__ = ["json_escaped", "on_one_line", "package_logger", "printable"]

_HOSTILE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    """The text with every character that could steer a terminal written out."""
    return _HOSTILE.sub(_escaped, text)


def on_one_line(text: str) -> str:
    """The printable text with its line ends written out, too, so that it can't forge a line of ours."""
    return printable(text).replace("\n", "\\n")


def json_escaped(document: str) -> str:
    r"""A JSON document with the same characters as `\u` escapes, which keep it both safe to show and valid."""
    return _HOSTILE.sub(_json_escaped, document)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escaped(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]


class _Escaping(logging.Filter):
    """Makes what is logged printable before any handler, ours or a caller's, sees it."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = printable(record.getMessage()), None
        return True


_ESCAPING = _Escaping()


def package_logger(name: str) -> logging.Logger:
    """Return the logger of this name, whose records are printable; the package logs through no other."""
    logger = logging.getLogger(name)
    logger.addFilter(_ESCAPING)  # a filter is added once, however often it is asked for
    return logger
