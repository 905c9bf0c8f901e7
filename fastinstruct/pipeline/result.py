"""How a sitting ended, for whoever started it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fastinstruct.pipeline.budget.stop_rules import Stop
from fastinstruct.pipeline.monitoring.progress import Progress

__all__ = ["RunResult"]

_EXIT_CODES = {"target": 0, "estimate": 0, "interrupt": 130, "terminate": 143}
_STOPPED_EARLY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a sitting ended.

    `ended_by` is target, estimate, interrupt, terminate, or the rule that `stop` tells of: max_cost, max_tokens,
    max_requests, max_time, max_memory, error_rate or saturation.
    """

    folder: Path
    ended_by: str
    progress: Progress
    stop: Stop | None = None

    @property
    def exit_code(self) -> int:
        """Return what a command line exits with: 0 if done or estimated, 3 if stopped early, else 130 or 143."""
        return _EXIT_CODES.get(self.ended_by, _STOPPED_EARLY)
