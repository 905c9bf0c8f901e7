"""How a refusal says when to come back: headers, or words in its message.

Knows nothing of what was refused; clocks are passed in. Source: RFC 9110 section 10.2.3 (Retry-After); OpenAI API
guide, "Rate limits" (x-ratelimit-*, retry-after-ms).
"""

from __future__ import annotations

import math
from email.utils import formatdate
from enum import StrEnum

__all__ = ["RetryHint", "budget_headers", "hint_headers", "hint_words"]


class RetryHint(StrEnum):
    """How a 429 says when to come back.

    `seconds`, `date`: Retry-After, with a date next to Date. `ms`: retry-after-ms. `reset`: x-ratelimit-reset-requests.
    `words`: in the message. `none`: not at all.
    """

    SECONDS = "seconds"
    DATE = "date"
    MS = "ms"
    RESET = "reset"
    WORDS = "words"
    NONE = "none"


def hint_headers(hint: RetryHint, wait_s: float, unix_s: float) -> str:
    """The header lines that say to wait; `unix_s` is the time now. Dates have whole seconds, and so are rounded up."""
    match hint:
        case RetryHint.SECONDS:
            return f"Retry-After: {wait_s:g}\r\n"
        case RetryHint.DATE:
            then = formatdate(math.ceil(unix_s + wait_s), usegmt=True)
            return f"Date: {formatdate(unix_s, usegmt=True)}\r\nRetry-After: {then}\r\n"
        case RetryHint.MS:
            return f"retry-after-ms: {math.ceil(wait_s * 1000)}\r\n"
        case RetryHint.RESET:
            return f"x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: {_duration(wait_s)}\r\n"
        case _:
            return ""


def hint_words(hint: RetryHint, wait_s: float) -> str:
    """What the message adds."""
    return f" Please try again in {_duration(wait_s)}." if hint == RetryHint.WORDS else ""


def budget_headers(name: str, *, limit: float, remaining: float, reset_s: float) -> str:
    """The header lines that tell a budget of `limit` a minute: what remains, and when it is whole again."""
    return (
        f"x-ratelimit-limit-{name}: {limit:.0f}\r\nx-ratelimit-remaining-{name}: {max(remaining, 0):.0f}\r\n"
        f"x-ratelimit-reset-{name}: {_duration(reset_s)}\r\n"
    )


def _duration(seconds: float) -> str:
    """As OpenAI writes it: 20ms, 1.5s, 6m0s."""
    milliseconds = math.ceil(max(seconds, 0.0) * 1000 - 1e-6)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes}m{rest / 1000:g}s" if minutes else f"{rest / 1000:g}s"
