"""An event loop whose time jumps to the next timer: hours of waiting pass at once, and to the exact second.

Where nothing is left that could ever happen it raises, so a program that hangs fails at once, too.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            msg = "nothing is scheduled any more: what is tested here would hang"
            raise RuntimeError(msg)
        if not ready and timeout is not None:
            self.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop that starts at 0 s and never waits. Not for programs with threads: it would not wait for them either."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def stand_still(self, seconds: float) -> None:
        """Let time pass while nothing runs: a callback that computes, or a machine that is busy with others."""
        self._jumping.now += seconds

    @property
    def num_timers(self) -> int:
        scheduled: list[asyncio.TimerHandle] = getattr(self, "_scheduled")  # noqa: B009 - typeshed hides it
        return sum(not timer.cancelled() for timer in scheduled)


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Run a coroutine function on a `VirtualTimeLoop` of its own."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            return runner.run(test(*args, **kwargs))

    return run


def now() -> float:
    """Return the loop's time, in seconds since it began."""
    return asyncio.get_running_loop().time()
