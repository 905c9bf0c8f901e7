"""How a run is doing: a frozen snapshot, and the counters behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastinstruct.lm.scheduling.statistics import SchedulerStatistics
from fastinstruct.pipeline.budget.ledger import Ledger, dollars
from fastinstruct.pipeline.monitoring.forecast import Projection, Remaining
from fastinstruct.pipeline.monitoring.telemetry import Telemetry
from fastinstruct.store import FINAL, READ, Commit, Totals

__all__ = ["Counters", "Progress"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A run at one moment. Counts cover all sittings, rates this one.

    Attributes:
        phase: what it is doing: starting, loading the model, calibrating, generating, draining, done.
        num_admitted: machine-generated instructions in the pool, of `target`.
        num_candidates: candidate instructions seen; the acceptance rate is admitted / candidates.
        num_examples: kept instances.
        num_with_examples: instructions that have one.
        num_unreadable: stage -> replies that gave nothing, kept or rejected.
        num_unexplained: replies that were understood in part only.
        rejected: reason -> candidates; rejected_instances: reason -> instances.
        num_in_flight, num_waiting: requests sent, and waiting for another attempt.
        num_failed_attempts: attempts of this sitting that were, or will be, repeated.
        num_failed: requests given up in this run; those of stages 2 and 3 are asked again by the next sitting.
        num_dropped: requests of this sitting that were sent and then cancelled.
        prompt_tokens, completion_tokens: used by this run, as the server says.
        num_requests_used, num_tokens_used: what counts towards a budget: also failed attempts, at what they may have
            cost.
        cost: of these, in dollars; None where a price is unknown.
        projection: what reaching the target will still take; None while that cannot be told.
        elapsed_s: seconds since this sitting's first request.
        num_admitted_here, completion_tokens_here: this sitting's share.
        telemetry: slots, endpoints and machine, a second old at most; None before the first second.
    """

    phase: str
    target: int
    num_admitted: int
    num_candidates: int
    num_examples: int
    num_with_examples: int
    num_unreadable: Mapping[str, int]
    num_unexplained: int
    rejected: Mapping[str, int]
    rejected_instances: Mapping[str, int]
    num_in_flight: int
    num_waiting: int
    num_failed_attempts: int
    num_failed: int
    num_dropped: int
    prompt_tokens: int
    completion_tokens: int
    num_requests_used: int
    num_tokens_used: int
    cost: float | None
    projection: Projection | None
    elapsed_s: float
    num_admitted_here: int
    completion_tokens_here: int
    telemetry: Telemetry | None = None

    @property
    def acceptance_rate(self) -> float | None:
        """Return the share of candidates that were admitted, or None before there are any."""
        return self.num_admitted / self.num_candidates if self.num_candidates else None

    @property
    def tokens_per_s(self) -> float:
        """Return the completion tokens a second: of the last half minute; at the end, of the sitting."""
        if self.phase != "done" and self.telemetry is not None and self.telemetry.tokens_per_s is not None:
            return self.telemetry.tokens_per_s
        return self.completion_tokens_here / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def tokens_per_example(self) -> float | None:
        """Return the tokens that count, for each kept example; None before there is one."""
        return self.num_tokens_used / self.num_examples if self.num_examples else None

    @property
    def cost_per_example(self) -> float | None:
        """Return the dollars for each kept example; None before there is one, or where a price is unknown."""
        return self.cost / self.num_examples if self.num_examples and self.cost is not None else None

    @property
    def eta_s(self) -> float | None:
        """Return the seconds until the target, or None where it cannot be told."""
        return self.projection.time_s if self.projection is not None else None


class Counters:
    """Counts commits as they become durable, from where an earlier sitting left off.

    Args:
        target: how many instructions to admit.
        earlier: what earlier sittings did.
        stages: the run's, in order, of which the first makes candidates.
    """

    def __init__(self, target: int, earlier: Totals, stages: Sequence[str]) -> None:
        self.phase = "starting"
        self.target = target
        self.num_admitted = earlier.num_admitted
        self.num_candidates = earlier.num_candidates
        self.num_examples = earlier.num_examples
        self.num_with_examples = earlier.num_instantiated
        self.num_unreadable = Counter(
            {stage: outcomes["unreadable"] for stage, outcomes in earlier.requests.items() if "unreadable" in outcomes}
        )
        self.num_unexplained = earlier.num_unexplained
        self.num_failed = sum(
            count for outcomes in earlier.requests.values() for name, count in outcomes.items() if name not in READ
        )
        self.rejected = Counter(earlier.rejected)
        self.rejected_instances = Counter(earlier.rejected_instances)
        self.prompt_tokens = earlier.prompt_tokens
        self.completion_tokens = earlier.completion_tokens
        self._num_answered = {stage: earlier.num_answered.get(stage, 0) for stage in stages[1:]}
        self._admitted_before = earlier.num_admitted
        self._tokens_before = earlier.completion_tokens

    @property
    def remaining(self) -> Remaining:
        """Return what is left to do."""
        return Remaining(
            num_to_admit=max(0, self.target - self.num_admitted),
            num_to_ask={stage: self.num_admitted - count for stage, count in self._num_answered.items()},
        )

    def count(self, commit: Commit) -> None:
        """Take in one durable commit."""
        request = commit.request
        self.num_admitted += len(commit.instructions)
        self.num_candidates += len(commit.candidates)
        self.num_failed += request.outcome not in READ
        self.num_unexplained += bool(request.rest or request.stumbled_over)
        if request.outcome == "unreadable":
            self.num_unreadable[str(request.stage)] += 1
        self.num_with_examples += any(instance.reason is None for instance in commit.instances)
        for candidate in commit.candidates:
            if candidate.reason is not None:
                self.rejected[str(candidate.reason)] += 1
        for instance in commit.instances:
            if instance.reason is None:
                self.num_examples += 1
            else:
                self.rejected_instances[str(instance.reason)] += 1
        self.prompt_tokens += request.prompt_tokens
        self.completion_tokens += request.completion_tokens
        if request.outcome in FINAL and request.stage in self._num_answered:
            self._num_answered[request.stage] += 1

    def snapshot(
        self,
        statistics: SchedulerStatistics,
        elapsed_s: float,
        ledger: Ledger,
        projection: Projection | None,
        telemetry: Telemetry | None = None,
    ) -> Progress:
        """Return the run as it is now."""
        return Progress(
            phase=self.phase,
            target=self.target,
            num_admitted=self.num_admitted,
            num_candidates=self.num_candidates,
            num_examples=self.num_examples,
            num_with_examples=self.num_with_examples,
            num_unreadable=dict(self.num_unreadable),
            num_unexplained=self.num_unexplained,
            rejected=dict(self.rejected.most_common()),
            rejected_instances=dict(self.rejected_instances.most_common()),
            num_in_flight=statistics.num_in_flight,
            num_waiting=statistics.num_waiting,
            num_failed_attempts=statistics.num_failed_attempts,
            num_failed=self.num_failed,
            num_dropped=statistics.num_dropped,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            num_requests_used=ledger.num_requests,
            num_tokens_used=ledger.num_tokens,
            cost=None if ledger.cost is None else dollars(ledger.cost),
            projection=projection,
            elapsed_s=elapsed_s,
            num_admitted_here=self.num_admitted - self._admitted_before,
            completion_tokens_here=self.completion_tokens - self._tokens_before,
            telemetry=telemetry,
        )
