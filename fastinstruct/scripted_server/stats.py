"""What the scripted server counts: requests, answers, load, and the most that came within a minute.

Knows nothing of HTTP; clocks are passed in. Counts are exact; the minute moves in steps of 10 ms, and one step longer
than a minute is counted, so that the highest count is never understated.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import Any, Final

__all__ = ["WINDOW_S", "SlidingMax", "Stats"]

WINDOW_S: Final = 60.0
_STEPS_PER_S: Final = 100


class SlidingMax:
    """The highest sum of amounts within any `width_s` seconds; times must not go back."""

    def __init__(self, width_s: float = WINDOW_S) -> None:
        self.highest = 0
        self._num_steps = round(width_s * _STEPS_PER_S)
        self._step = -1
        self._total = 0
        self._steps: deque[list[int]] = deque()  # (step, amount), of the last `_num_steps` and the one under way

    def add(self, now_s: float, amount: int) -> None:
        step = int(now_s * _STEPS_PER_S)
        if step != self._step:
            self._step = step
            self._steps.append([step, 0])
            while self._steps[0][0] < step - self._num_steps:
                self._total -= self._steps.popleft()[1]
        self._steps[-1][1] += amount
        self._total += amount
        if self._total > self.highest:
            self.highest = self._total


class Stats:
    """Counts of the requests that ask the model, since `started_s`.

    A request in flight is being served or waits for a slot; `busy_slot_s` and `waiting_s` are the integrals of these
    two over time.
    """

    def __init__(self, started_s: float) -> None:
        self.num_requests = 0
        self.num_by_status: Counter[int | None] = Counter()  # None: ended without a whole answer
        self.num_by_fault: Counter[str] = Counter()
        self.num_serving = self.num_waiting = 0
        self.max_in_flight = self.max_waiting = 0
        self.num_prompt_tokens = self.num_completion_tokens = 0
        self.num_connections = self.num_connections_opened = self.max_connections = 0
        self.requests_a_minute = SlidingMax()
        self.tokens_a_minute = SlidingMax()
        self._started_s = self._changed_s = started_s
        self._busy_slot_s = self._waiting_s = 0.0

    @property
    def num_in_flight(self) -> int:
        return self.num_serving + self.num_waiting

    def change_load(self, now_s: float, *, serving: int = 0, waiting: int = 0) -> None:
        """Add to the requests being served and to those that wait."""
        self._settle(now_s)
        self.num_serving += serving
        self.num_waiting += waiting
        if self.num_waiting > self.max_waiting:
            self.max_waiting = self.num_waiting
        if self.num_serving + self.num_waiting > self.max_in_flight:
            self.max_in_flight = self.num_serving + self.num_waiting

    def came(self, now_s: float, num_requests: int = 1) -> None:
        """Count requests that came."""
        self.num_requests += num_requests
        self.requests_a_minute.add(now_s, num_requests)

    def granted(self, now_s: float, prompt_tokens: int, completion_tokens: int) -> None:
        """Count the tokens of a request when it is accepted: its prompt's and its reply's to be."""
        self.num_prompt_tokens += prompt_tokens
        self.num_completion_tokens += completion_tokens
        self.tokens_a_minute.add(now_s, prompt_tokens + completion_tokens)

    def change_connections(self, change: int) -> None:
        """Count a connection that was opened (1) or closed (-1)."""
        self.num_connections += change
        self.num_connections_opened += change > 0
        self.max_connections = max(self.max_connections, self.num_connections)

    def as_json(self, now_s: float) -> dict[str, Any]:
        """All counts by name; `cpu_s` is the process's."""
        self._settle(now_s)
        return {
            "elapsed_s": now_s - self._started_s,
            "cpu_s": time.process_time(),
            "num_requests": self.num_requests,
            "num_by_status": {str(status or "none"): count for status, count in self.num_by_status.items()},
            "num_by_fault": {str(fault): count for fault, count in self.num_by_fault.items()},
            "num_in_flight": self.num_in_flight,
            "max_in_flight": self.max_in_flight,
            "num_serving": self.num_serving,
            "num_waiting": self.num_waiting,
            "max_waiting": self.max_waiting,
            "busy_slot_s": self._busy_slot_s,
            "waiting_s": self._waiting_s,
            "max_requests_in_60_s": self.requests_a_minute.highest,
            "max_tokens_in_60_s": self.tokens_a_minute.highest,
            "num_prompt_tokens": self.num_prompt_tokens,
            "num_completion_tokens": self.num_completion_tokens,
            "num_connections": self.num_connections,
            "num_connections_opened": self.num_connections_opened,
            "max_connections": self.max_connections,
        }

    def _settle(self, now_s: float) -> None:
        passed_s = now_s - self._changed_s
        self._changed_s = now_s
        self._busy_slot_s += self.num_serving * passed_s
        self._waiting_s += self.num_waiting * passed_s
