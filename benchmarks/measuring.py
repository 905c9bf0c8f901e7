"""What the benchmarks of the runtime have in common: goals with their bars, and comparisons in turns.

Knows nothing of clients or servers. Guarantees that a goal which could not be measured says why, and is not met.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One line of the result: what was to be reached, and what was; `is_met` is None where nothing was measured."""

    name: str
    what: str
    bar: str
    measured: str
    is_met: bool | None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How thoroughly to measure; `folder` is for files that go when the benchmark ends."""

    is_quick: bool
    folder: Path
    num_rounds: int | None = None

    def pick(self, full: T, quick: T) -> T:
        """The first for figures, the second to see that it works."""
        return quick if self.is_quick else full

    def rounds(self, usual: int) -> int:
        """How often to repeat what is usually repeated so often."""
        return self.pick(self.num_rounds or usual, 1)


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median of paired ratios and their range."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
        """Ours divided by theirs, round by round."""
        ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
        return cls(statistics.median(ratios), min(ratios), max(ratios))

    @property
    def inverse(self) -> Ratio:
        return Ratio(1 / self.median, 1 / self.highest, 1 / self.lowest)

    def text(self, digits: int, unit: str = "x") -> str:
        """`1.21x (1.18 to 1.30)`."""
        return f"{self.median:.{digits}f}{unit} ({self.lowest:.{digits}f} to {self.highest:.{digits}f})"


def rotated(arms: Sequence[T], first: int) -> list[T]:
    """The arms in another order for each round, so that none always comes after the same."""
    place = first % len(arms)
    return [*arms[place:], *arms[:place]]


def run_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run on uvloop where the platform has it, as `fastinstruct run` does."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work)


def in_own_process(work: Callable[..., T], *arguments: object) -> T:
    """Call a function of a module in a new process, which has nothing of this one's memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        return executor.submit(work, *arguments).result()


def resident_bytes() -> int | None:
    """What this process holds of the memory now; None where the platform does not tell."""
    try:
        fields = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next(1024 * int(line.split()[1]) for line in fields if line.startswith("VmRSS"))
