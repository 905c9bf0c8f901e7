"""How a run is told to end: by whoever started it, by its own rules, or by its clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from fastinstruct.lm.scheduling.scheduler import SchedulerStatistics
from fastinstruct.pipeline.budget.stop_rules import Stop

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
    """What a run does at the moment, and whether it is to end.

    Attributes:
        phase: in a word or two, for a person.
        stopped_by: the rule that ends it, if one does.
        started_at: when its first request could be sent, by the monotonic clock; None before.
        run_dry: asks for no new instructions, while what was admitted is worked up; set by the session.
    """

    def __init__(self) -> None:
        self.phase = "starting"
        self._interrupted = ""
        self.stopped_by: Stop | None = None
        self.run_dry: Callable[[], None] = _nothing
        self.started_at: float | None = None
        self._working: Working | None = None

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
        self._interrupted = self._interrupted or why
        self.phase = "draining"
        self.end_work()

    def abort(self) -> None:
        """Drop what is in flight."""
        self._interrupted = "abort"
        if self._working is not None:
            self._working.abort()

    def end_work(self) -> None:
        """Let what is at work end, though nobody has told the run to."""
        if self._working is not None:
            self._working.stop()

    def heed(self, stop: Stop) -> None:
        """End by a rule, unless it is ending already; what a model gave before it ran dry is worked up."""
        if self._interrupted:
            return
        if stop.rule != "saturation":
            self.stopped_by = stop
            self.stop(stop.rule)
        elif self.run_dry is not _nothing:
            self.stopped_by = self.stopped_by or stop
            self.run_dry()


def _nothing() -> None:
    """Nothing generates yet."""
