"""Where a reply is read: on the event loop while that is surely short, in a thread otherwise.

Knows nothing of replies. Guarantees that what is at most `SMALL` long costs one comparison more than the call itself,
and that whatever is longer keeps neither other requests nor signals waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

__all__ = ["SMALL", "read_in_thread_if_large"]

P = ParamSpec("P")
T = TypeVar("T")

SMALL: Final = 8 * 2**10
"""Bytes or characters whose reading takes at most some milliseconds whatever they are, and 0.05 of one mostly.

Nearly all replies are shorter; a hop to a thread and back costs as much as reading an ordinary reply of this length.
"""


async def read_in_thread_if_large(size: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The function's result; from a thread where what it reads is larger than `SMALL`."""
    if size <= SMALL:
        return function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)
