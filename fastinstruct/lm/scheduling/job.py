"""What the scheduler is given and what it gives back: jobs, where they come from, and their deliveries.

Knows nothing of endpoints, clocks or retries.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastinstruct.lm.endpoints import Request
from fastinstruct.lm.outcomes.outcomes import BadRequest, Fatal, Outcome, Overloaded, RateLimited, Transient, Truncated

__all__ = ["Allowance", "Delivery", "FailedAttempt", "Job", "ListSource", "Source", "detail_of"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Generic[T_co]):
    """A request, what its owner wants to know it by, and which lane of the fleet serves it."""

    request: Request
    about: T_co
    lane: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedAttempt:
    """One attempt that was followed by another."""

    attempt: int
    outcome: str
    detail: str
    latency_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery(Generic[T]):
    """A job's final outcome, with the attempts that failed before it; `latency_s` is the last attempt's."""

    job: Job[T]
    outcome: Outcome
    failed: tuple[FailedAttempt, ...]
    latency_s: float


class Source(ABC, Generic[T]):
    """Where jobs come from. Everything is called on the event loop and returns at once."""

    @abstractmethod
    def next(self, is_open: Callable[[str], bool]) -> Job[T] | None:
        """Return the most urgent job whose lane `is_open`, or None while there is none; deliveries may bring more."""

    @abstractmethod
    def take_back(self, job: Job[T]) -> None:
        """Take back the job that `next` has just given, because it is not to be sent now; `next` may give it again."""

    def smaller(self, job: Job[T]) -> Job[T] | None:
        """Return the job with a shorter prompt, for a model whose context it does not fit; None if there is none."""
        return None


class Allowance:
    """What may be spent on requests: asked once before each attempt, told once what came of it. This one is unlimited.

    Everything is called on the event loop and returns at once.
    """

    @property
    def has_reserved(self) -> bool:
        """Whether an attempt is out that may give back some of what was set aside for it."""
        return True

    def reserve(self, job: Job[Any]) -> bool:
        """Set aside what an attempt may use at most; return False if that does not fit now."""
        return True

    def resend(self, request: Request) -> bool:
        """Whether a request may go out once more within its attempt, what went out before counting as used up."""
        return True

    def settle(self, job: Job[Any], outcome: Outcome) -> None:
        """Replace what was set aside by what the attempt came to; `Aborted` for one that was cancelled."""


class ListSource(Source[T]):
    """A source that holds its jobs from the start."""

    def __init__(self, jobs: Sequence[Job[T]]) -> None:
        self._jobs = deque(jobs)

    def next(self, is_open: Callable[[str], bool]) -> Job[T] | None:
        return self._jobs.popleft() if self._jobs and is_open(self._jobs[0].lane) else None

    def take_back(self, job: Job[T]) -> None:
        self._jobs.appendleft(job)


def detail_of(outcome: Outcome) -> str:
    """Return what the server said of a failure, in one line without prompts or keys."""
    match outcome:
        case Transient(kind=kind, detail=detail):
            return f"{kind}: {detail}"
        case Truncated(detail=detail):
            return detail
        case BadRequest(message=message) | Fatal(message=message):
            return message
        case RateLimited(words=words) | Overloaded(words=words) if words:
            return words
        case _:
            return outcome.name
