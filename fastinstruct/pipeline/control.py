"""How a run is told to end: by whoever started it, by its own rules, or by its clock."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

from fastinstruct.lm.scheduling.statistics import SchedulerStatistics
from fastinstruct.pipeline.budget.stop_rules import Stop
from fastinstruct.similarity import Interruption

__all__ = ["Control", "Working"]

_NOTHING_IN_FLIGHT = SchedulerStatistics(num_in_flight=0, num_waiting=0, num_attempts=0, num_failed_attempts=0)


class Working(Protocol):
    """What is at work and may be told to end: a scheduler, or several."""

    def stop(self) -> None:
        """Send nothing new and finish what is in flight."""

    def abort(self) -> None:
        """Drop what is in flight."""

    def statistics(self) -> SchedulerStatistics:
        """Return the counters of what is in flight."""


class Control:
    """What a run does at the moment, and whether it is to end. Any thread may call `stop` and `abort`.

    Attributes:
        phase: in a word or two, for a person.
        stopped_by: the rule that ends it, if one does.
        started_at: when its first request could be sent, by the monotonic clock; None before.
        run_dry: asks for no new instructions, while what was admitted is worked up; set by the session.
        was_terminated: what was told first, of what was aborted, was "terminate".
        comparing: ends the comparison that is going on; else a thread's end would wait for two long texts.
    """

    def __init__(self) -> None:
        self.phase = "starting"
        self.stopped_by: Stop | None = None
        self.started_at: float | None = None
        self.run_dry: Callable[[], None] = _nothing
        self.comparing = Interruption()
        self.was_terminated = False
        self._interrupted = ""
        self._working: Working | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    def bind(self) -> None:
        """Belong to the event loop that is running, and to its thread."""
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()

    def interruption(self) -> str:
        """Return why it was told to end; "" while it was not. Ask anew after every await."""
        return self._interrupted

    def working(self, one: Working) -> None:
        """Let this be what is told to end from now on."""
        self._working = one

    def statistics(self) -> SchedulerStatistics:
        """Return the counters of what is in flight."""
        return _NOTHING_IN_FLIGHT if self._working is None else self._working.statistics()

    def stop(self, why: str) -> None:
        """Send nothing new and finish what is in flight."""
        self._call(partial(self._stop, why))

    def abort(self) -> None:
        """Drop what is in flight."""
        self._call(self._abort)

    def end_work(self) -> None:
        """Let what is at work end, though nobody has told the run to."""
        if self._working is not None:
            self._working.stop()

    def enter(self, phase: str) -> None:
        """Let it be at this from now on, unless it is ending."""
        if not self._interrupted:
            self.phase = phase

    def heed(self, stop: Stop) -> None:
        """End by a rule, unless it is ending already; what a model gave before it ran dry is worked up."""
        if self._interrupted:
            return
        if stop.rule != "saturation":
            self.stopped_by = stop
            self._stop(stop.rule)
        elif self.run_dry is not _nothing:
            self.stopped_by = self.stopped_by or stop
            self.run_dry()

    def _stop(self, why: str) -> None:
        self._interrupted = self._interrupted or why
        self.phase = "draining"
        if self._working is None:
            self.comparing.set()
        else:
            self._working.stop()

    def _abort(self) -> None:
        self.was_terminated = self.was_terminated or self._interrupted == "terminate"
        self._interrupted = "abort"
        self.comparing.set()
        if self._working is not None:
            self._working.abort()

    def _call(self, what: Callable[[], None]) -> None:
        """Call at once in the loop's thread, and soon from another; never, if the loop has ended by then."""
        if self._loop is None or threading.get_ident() == self._thread:
            what()
        else:
            with suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(what)


def _nothing() -> None:
    """Nothing generates yet."""
