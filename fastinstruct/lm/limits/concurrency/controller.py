"""How many requests may be in flight to one endpoint and model: what every controller answers and counts.

Knows nothing of tasks, timers, HTTP or queues of work: time is passed in as monotonic seconds, and what became of
requests as outcomes. Guarantees of every controller: equal calls give equal answers; a limit is at most the hard cap,
and sooner or later at least 1; no call costs more than a few additions.

The scheduler calls, for each request: `limit` (and `wait_s` where the limit holds it back), `on_start` as it is sent,
`on_outcome` once as it ends, whatever it came to (`Aborted` for one that was cancelled).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from fastinstruct.errors import ConfigError
from fastinstruct.lm.outcomes.outcomes import Outcome

__all__ = ["FREEZE_S", "Controller", "ControllerStatistics", "Fixed", "Slots", "at_least_one"]

FREEZE_S = 5.0
"""How long one call of `freeze` keeps a limit from growing, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerStatistics:
    """A snapshot of a controller.

    `limit` is the mean number of slots it aims at, a fraction where less than one request is to be in flight all the
    time; `ceiling` is the number at which the server last said stop, `reason` what the limit is doing, in a few words.
    """

    limit: float
    num_in_flight: int
    num_cuts: int
    ceiling: float | None
    hard_cap: int | None
    reason: str


class Controller(Protocol):
    """Decides how many requests are in flight."""

    def limit(self, now: float) -> int:
        """Return the number of slots; as many as are taken, or fewer, where the next request has to wait a moment."""
        ...

    def wait_s(self, now: float) -> float:
        """Return in how many seconds the limit may rise without an outcome or metrics; infinity where it won't."""
        ...

    def on_start(self, now: float) -> None:
        """Count a request that is sent now."""
        ...

    def on_outcome(self, outcome: Outcome, sent_at: float, now: float) -> None:
        """Learn from what became of a request sent at `sent_at`; its slot is free."""
        ...

    def freeze(self, now: float) -> None:
        """Don't grow for the next `FREEZE_S`: the client is what is slow. To be called while that lasts."""
        ...

    def hard_cap(self, num_slots: int) -> None:
        """Never grant more than `num_slots` again (but at least 1): descriptors or ports are used up."""
        ...

    def statistics(self, now: float) -> ControllerStatistics:
        """Return what it does, and why."""
        ...


class Slots:
    """What every controller counts: requests in flight, the machine's cap, and until when growth is frozen."""

    __slots__ = ("cap", "frozen_until", "maximum", "num_in_flight")

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self.cap: int | None = None
        self.num_in_flight = 0
        self.frozen_until = -math.inf

    @property
    def most(self) -> int:
        """The most slots there may be: the maximum, or the cap where that is lower."""
        return self.maximum if self.cap is None else min(self.cap, self.maximum)

    def lower_cap(self, num_slots: int) -> None:
        """Keep the lowest cap."""
        self.cap = max(1, num_slots if self.cap is None else min(self.cap, num_slots))

    def freeze(self, now: float) -> None:
        """Keep the latest end."""
        self.frozen_until = max(self.frozen_until, now + FREEZE_S)

    def end_one(self) -> int:
        """Take one request off; return how many were in flight with it."""
        num_before = self.num_in_flight
        self.num_in_flight = max(0, num_before - 1)
        return num_before


class Fixed:
    """Always the same number of slots, whatever the server says.

    Raises:
        ConfigError: fewer than one slot.
    """

    def __init__(self, num_slots: int) -> None:
        self._slots = Slots(at_least_one("max_in_flight", num_slots))

    def limit(self, now: float) -> int:
        return self._slots.most

    def wait_s(self, now: float) -> float:
        return math.inf

    def on_start(self, now: float) -> None:
        self._slots.num_in_flight += 1

    def on_outcome(self, outcome: Outcome, sent_at: float, now: float) -> None:
        self._slots.end_one()

    def freeze(self, now: float) -> None:
        """Do nothing: it never grows."""

    def hard_cap(self, num_slots: int) -> None:
        self._slots.lower_cap(num_slots)

    def statistics(self, now: float) -> ControllerStatistics:
        slots = self._slots
        return ControllerStatistics(
            limit=slots.most,
            num_in_flight=slots.num_in_flight,
            num_cuts=0,
            ceiling=None,
            hard_cap=slots.cap,
            reason="fixed" if slots.most == slots.maximum else "at the hard cap",
        )


def at_least_one(name: str, count: int) -> int:
    """Return `count`, or raise ConfigError, which names it, where it is below 1."""
    if count < 1:
        raise ConfigError(f"{name}: must be at least 1, got {count}")
    return count
