"""Retry decisions: pure, with a seeded generator."""

from __future__ import annotations

import random

import pytest

from fastinstruct.errors import ConfigError
from fastinstruct.lm.limits.retry_policy import GiveUp, Retry, RetryPolicy
from fastinstruct.lm.outcomes.outcomes import (
    Aborted,
    BadRequest,
    Deadline,
    Fatal,
    Ok,
    Outcome,
    Overloaded,
    RateLimited,
    Transient,
    Truncated,
)
from fastinstruct.records import Completion, FinishReason, Usage

POLICY = RetryPolicy()
OK = Ok(Completion(text="x", finish_reason=FinishReason.STOP, usage=Usage(), model="m"))


class Highest(random.Random):
    """Draws the upper end of every interval."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


@pytest.mark.parametrize(("attempt", "longest_s"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0)])
def test_backoff_doubles_from_half_a_second(attempt: int, longest_s: float) -> None:
    assert POLICY.decide(Transient("server", "500"), attempt, 0, Highest()) == Retry(longest_s, counts=True)


def test_backoff_never_exceeds_the_cap_and_keeps_its_jitter_there() -> None:
    policy = RetryPolicy(max_attempts=5000)
    rng = random.Random(1)
    delays = [
        decision.delay_s
        for decision in (policy.decide(Truncated("cut"), 4000, 0, rng) for _ in range(500))
        if isinstance(decision, Retry)
    ]
    assert len(delays) == 500
    assert max(delays) <= 30.0
    assert min(delays) < 1.0
    assert 13.0 < sum(delays) / len(delays) < 17.0


def test_the_last_attempt_is_not_retried() -> None:
    assert isinstance(POLICY.decide(Transient("server", "500"), 5, 0, Highest()), Retry)
    assert POLICY.decide(Transient("server", "500"), 6, 0, Highest()) == GiveUp()
    assert POLICY.decide(Truncated("cut"), 6, 0, Highest()) == GiveUp()


def test_retry_after_overrides_backoff_with_up_to_a_tenth_more() -> None:
    assert POLICY.decide(RateLimited(20.0), 1, 0, Highest()) == Retry(22.0, counts=False)
    rng = random.Random(2)
    for _ in range(100):
        decision = POLICY.decide(RateLimited(20.0), 1, 0, rng)
        assert isinstance(decision, Retry)
        assert 20.0 <= decision.delay_s <= 22.0


@pytest.mark.parametrize(("hint_s", "longest_s"), [(3600.0, 132.0), (-5.0, 0.0), (0.0, 0.0)])
def test_a_hint_is_kept_between_0_and_120_seconds(hint_s: float, longest_s: float) -> None:
    assert POLICY.decide(Overloaded(hint_s), 1, 0, Highest()) == Retry(longest_s, counts=False)


@pytest.mark.parametrize("outcome", [RateLimited(None), Overloaded(None)])
def test_a_wait_is_no_attempt_and_backs_off_by_the_number_of_waits(outcome: Outcome) -> None:
    assert POLICY.decide(outcome, 6, 0, Highest()) == Retry(0.5, counts=False)
    assert POLICY.decide(outcome, 6, 3, Highest()) == Retry(4.0, counts=False)
    assert POLICY.decide(outcome, 1, 19, Highest()) == Retry(30.0, counts=False)


def test_twenty_waits_are_the_cap() -> None:
    assert POLICY.decide(RateLimited(1.0), 1, 20, Highest()) == GiveUp()


def test_a_deadline_is_retried_once() -> None:
    assert POLICY.decide(Deadline(), 1, 0, Highest()) == Retry(0.5, counts=True)
    assert POLICY.decide(Deadline(), 2, 0, Highest()) == GiveUp()


@pytest.mark.parametrize("outcome", [OK, BadRequest("other", None, "no"), Fatal("auth", "no", 401), Aborted()])
def test_what_another_attempt_cannot_mend_is_not_retried(outcome: Outcome) -> None:
    assert POLICY.decide(outcome, 1, 0, Highest()) == GiveUp()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("max_attempts", 0, "max_attempts: must be at least 1, got 0"),
        ("max_rate_limit_waits", -1, "max_rate_limit_waits: must be at least 0, got -1"),
        ("base_s", 31, r"base_s: must be between 0 and cap_s \(30.0\), got 31"),
        ("cap_s", float("nan"), r"base_s: must be between 0 and cap_s \(nan\), got 0.5"),
    ],
)
def test_a_policy_out_of_range_is_refused(name: str, value: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RetryPolicy(**{name: value})  # type: ignore[arg-type]  # the wrong value is the point
