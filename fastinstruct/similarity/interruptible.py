"""Work of kernels that its caller waits for in another thread, so that the wait can be told of and ended.

Knows nothing of what the work is. A kernel hears no signal: Ctrl-C would have to wait until it returns, and two texts
of 2 MB are compared for a minute. So the caller waits as Python does, hears, and raises a flag that kernels look at.
Guarantees that none of the work goes on when a call returns or raises: it would read arrays that move.

A thread costs 50 us, which most calls would feel. So work that can't take a second is done at once, in the caller's.
"""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

import numpy as np
from numpy.typing import NDArray

from fastinstruct.errors import Aborted
from fastinstruct.escaping import package_logger
from fastinstruct_kernels.lcs import QUICK_STEPS

__all__ = ["Interruption", "Workers", "is_quick"]

_LOG = package_logger("fastinstruct.similarity")
_PATIENCE_S = 1.0  # after which somebody may wonder
_TOLD_EVERY_S = 60.0
_THIS_CALL, _FOR_GOOD = 0, 1  # halves of the flag


class Interruption:
    """Ends the calls of the indexes that were made with it, from any thread, for good: they raise `Aborted` soon."""

    def __init__(self) -> None:
        self.flag: NDArray[np.int64] = np.zeros(1, dtype=np.int64)
        """What kernels look at: not 0 where they are to return."""
        self._halves = self.flag.view(np.int32)

    def set(self) -> None:
        """End the call that runs, and each that begins later."""
        self._halves[_FOR_GOOD] = 1

    def check(self) -> None:
        """See that nobody has ended the calls.

        Raises:
            Aborted: somebody has.
        """
        if self.flag[0] != 0:
            raise Aborted("a comparison of texts was interrupted; the same call begins it anew")

    def end_this_call(self, *, is_ended: bool = False) -> None:
        """Let the kernels that run now return; `is_ended`: they have."""
        self._halves[_THIS_CALL] = 0 if is_ended else 1


class Workers:
    """So many threads at most that do an index's work. One thread at a time may use them."""

    def __init__(self, number: int, interruption: Interruption | None = None) -> None:
        self.interruption = interruption or Interruption()
        self._number = number
        self._threads: ThreadPoolExecutor | None = None
        self._threads_of = 0
        self._told: set[str] = set()

    def do(self, work: Sequence[Callable[[], object]], about: Callable[[], str], *, is_quick: bool) -> None:
        """Do all of it, in a thread each unless there is but one piece and that is quick.

        What takes longer than a second is told in a warning: `about` says what it is. The first of its words is what
        kind of work that is, and each is told once; and every minute that it still goes on.

        Raises:
            Aborted: the interruption was set; what the work has brought is worth nothing then.
            BaseException: what a piece of work, or a signal's handler, raised.
        """
        if is_quick and len(work) == 1:
            work[0]()
            self.interruption.check()
            return
        threads = self._own_threads()
        futures = [threads.submit(each) for each in work]
        try:
            if wait(futures, timeout=_PATIENCE_S).not_done:
                self._tell(about())
                self._tell_again_until_done(futures, about)
            for future in futures:
                future.result()
        except BaseException:
            self.interruption.end_this_call()
            raise
        finally:
            _wait_for_all(futures)
            self.interruption.end_this_call(is_ended=True)
        self.interruption.check()

    def _tell(self, about: str) -> None:
        kind = about.partition(" ")[0]
        if kind not in self._told:
            self._told.add(kind)
            _LOG.warning("%s; this takes long, and can be interrupted", about)

    def _tell_again_until_done(self, futures: Sequence[Future[object]], about: Callable[[], str]) -> None:
        begun = time.monotonic() - _PATIENCE_S
        while wait(futures, timeout=_TOLD_EVERY_S, return_when=FIRST_EXCEPTION).not_done:
            if any(future.done() and future.exception() is not None for future in futures):
                return
            _LOG.warning("still %s: %.0f s so far", about(), time.monotonic() - begun)

    def _own_threads(self) -> ThreadPoolExecutor:
        """Threads of this process: those of the one that it was forked from would never answer."""
        if self._threads is None or self._threads_of != os.getpid():
            self._threads = ThreadPoolExecutor(self._number, "fastinstruct-probe")
            self._threads_of = os.getpid()
        return self._threads


def is_quick(num_texts: int, num_tokens: int, num_compared: int) -> bool:
    """Whether comparing so many texts, of so many tokens together, with texts of `num_compared` can't take a second."""
    return (num_texts + num_tokens // 64) * num_compared < QUICK_STEPS


def _wait_for_all(futures: Sequence[Future[object]]) -> None:
    """Wait, whatever comes: a second Ctrl-C is not heard for the few milliseconds that kernels need to return."""
    while True:
        try:
            wait(futures)
        except BaseException:  # noqa: BLE001, S112 - the first is raised already
            continue
        return
