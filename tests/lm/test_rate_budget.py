"""Requests and tokens per minute: what is let through when, what headers change, and that no minute holds too much."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastinstruct.errors import ConfigError
from fastinstruct.lm.limits.concurrency import Fixed
from fastinstruct.lm.limits.rate_budget import Lease, RateBudget
from fastinstruct.records import Usage
from simulated_server import Client, Job, MeteredServer, Timeline, fullest_window, log_normal


def reserve(budget: RateBudget, num_tokens: int, now: float) -> Lease:
    lease = budget.try_reserve(num_tokens, now)
    assert isinstance(lease, Lease)
    return lease


def wait(budget: RateBudget, num_tokens: int, now: float) -> float:
    wait_s = budget.try_reserve(num_tokens, now)
    assert isinstance(wait_s, float)
    assert wait_s == budget.wait_s(now)
    return wait_s


def send_until(budget: RateBudget, end: float, num_tokens: Callable[[], int], start: float = 0.0) -> list[float]:
    """Send whenever the budget lets a request through; return when."""
    sent: list[float] = []
    now = start
    while now < end:
        got = budget.try_reserve(num_tokens(), now)
        if isinstance(got, Lease):
            sent.append(now)
        else:
            now += got
    return sent


def test_without_a_limit_nothing_waits() -> None:
    budget = RateBudget()
    for _ in range(10_000):
        reserve(budget, 10**9, 0.0)
    assert budget.wait_s(0.0) == 0.0
    assert budget.statistics(0.0).requests_per_minute is None


def test_a_burst_is_a_fifth_of_a_second_and_then_requests_come_evenly() -> None:
    sent = send_until(RateBudget(6000), 1.0, lambda: 1)
    assert sent[:19] == [0.0] * 19  # 0.2 s at 99 a second
    assert sent[20] - sent[19] == pytest.approx(1 / 99)
    assert len(sent) == 19 + 99


def test_a_slow_limit_lets_one_request_through_at_once_and_spaces_the_others() -> None:
    sent = send_until(RateBudget(5), 60.0, lambda: 1)
    assert sent == pytest.approx([0, 60 / 4.95, 120 / 4.95, 180 / 4.95, 240 / 4.95])


def test_a_request_larger_than_the_burst_is_served_and_owed() -> None:
    budget = RateBudget(None, 60_000)
    reserve(budget, 5000, 0.0)  # the burst is 198 tokens
    assert wait(budget, 1, 0.0) == pytest.approx((5000 - 198) / 990)


def test_a_wait_is_the_same_for_a_small_and_a_large_request() -> None:
    budget = RateBudget(None, 60_000)
    reserve(budget, 5000, 0.0)
    assert wait(budget, 1, 1.0) == wait(budget, 50_000, 1.0)


def test_an_estimate_that_was_too_high_is_credited_and_one_too_low_charged() -> None:
    budget = RateBudget(None, 60_000)
    lease = reserve(budget, 5000, 0.0)
    lease.settle(1198, 0.0)
    assert wait(budget, 1, 0.0) == pytest.approx(1000 / 990)
    other = RateBudget(None, 60_000)
    reserve(other, 198, 0.0).settle(1188, 0.0)
    assert wait(other, 1, 0.0) == pytest.approx(1.0)


def test_an_unknown_use_leaves_the_estimate() -> None:
    budget = RateBudget(None, 60_000)
    reserve(budget, 1188, 0.0).settle(None, 0.0)
    assert wait(budget, 1, 0.0) == pytest.approx(1.0)


def test_a_refund_gives_the_request_back_too() -> None:
    budget = RateBudget(60, 60_000)
    lease = reserve(budget, 5000, 0.0)
    assert budget.wait_s(0.0) > 0
    lease.refund(0.0)
    assert budget.wait_s(0.0) == 0.0
    assert budget.statistics(0.0).num_unsettled == 0


def test_a_lease_is_settled_once() -> None:
    budget = RateBudget(60, 60_000)
    lease = reserve(budget, 1188, 0.0)
    lease.settle(1188, 0.0)
    lease.settle(0, 0.0)
    lease.refund(0.0)
    assert budget.wait_s(0.0) == pytest.approx(1 / 0.99)
    assert budget.statistics(0.0).num_unsettled == 0


def test_credit_from_estimates_that_were_too_high_does_not_overfill_a_minute() -> None:
    """All requests use 1,000; for the first 20 s, until the first reply, they are taken for 5,000.

    What comes back from then on may be sent at once, but a minute that begins just then would hold too much.
    """
    budget = RateBudget(None, 1_000_000)
    leases: deque[tuple[float, Lease]] = deque()
    sent: list[tuple[float, float]] = []
    now = 0.0
    while now < 200.0:
        while leases and leases[0][0] <= now:
            leases.popleft()[1].settle(1000, now)
        got = budget.try_reserve(5000 if now < 20.0 else 1000, now)
        if isinstance(got, Lease):
            leases.append((now + 20.0, got))
            sent.append((now, 1000))
        else:
            now = min(now + got, leases[0][0])
    assert fullest_window(sent) <= 1_001_000


@pytest.mark.parametrize("name", ["requests_per_minute", "tokens_per_minute"])
@pytest.mark.parametrize("limit", [0, -1, math.inf, math.nan])
def test_a_limit_that_is_no_positive_number_is_refused(name: str, limit: float) -> None:
    with pytest.raises(ConfigError, match=f"{name}: must be above 0 and finite, got {limit}"):
        RateBudget(**{name: limit})


# ---------------------------------------------------------------------------------------------------- what servers tell


def told(**values: str) -> dict[str, str]:
    """Headers by short names: limit_requests="60" is x-ratelimit-limit-requests: 60."""
    return {f"x-ratelimit-{name.replace('_', '-')}": value for name, value in values.items()}


def test_a_limit_in_the_headers_is_followed_where_none_is_configured() -> None:
    budget = RateBudget()
    budget.observe(told(limit_requests="60", remaining_requests="59", reset_requests="1s"), 0.0)
    assert budget.statistics(0.0).requests_per_minute == 60
    reserve(budget, 1, 0.0)
    assert wait(budget, 1, 0.0) == pytest.approx(1 / 0.99)


def test_a_limit_that_shrinks_brings_the_ceiling_down_and_never_above_what_is_configured() -> None:
    budget = RateBudget(600, 90_000)
    budget.observe(told(limit_requests="60", limit_tokens="40000"), 1.0)
    assert budget.statistics(1.0).requests_per_minute == 60
    assert budget.statistics(1.0).tokens_per_minute == 40_000
    budget.observe(told(limit_requests="10000", limit_tokens="1000000"), 2.0)
    assert budget.statistics(2.0).requests_per_minute == 600
    assert budget.statistics(2.0).tokens_per_minute == 90_000


@pytest.mark.parametrize(("reset", "reset_s"), [("1s", 1), ("20ms", 0.02), ("1m6s", 66), ("7.66s", 7.66), ("12", 12)])
def test_nothing_remaining_closes_the_budget_until_its_reset(reset: str, reset_s: float) -> None:
    budget = RateBudget(600)
    budget.observe(told(remaining_requests="0", reset_requests=reset), 10.0)
    assert wait(budget, 1, 10.0) == pytest.approx(reset_s)
    reserve(budget, 1, 10.0 + reset_s)


def test_a_reset_after_minutes_closes_the_budget_for_two_at_most() -> None:
    budget = RateBudget(600, 60_000)
    budget.observe(told(remaining_tokens="0", reset_tokens="6m0s"), 0.0)
    assert wait(budget, 1, 0.0) == pytest.approx(120.0)


def test_where_a_bucket_refills_steadily_nothing_remaining_costs_one_unit_only() -> None:
    budget = RateBudget(60)
    budget.observe(told(limit_requests="60", remaining_requests="30", reset_requests="30s"), 0.0)
    budget.observe(told(limit_requests="60", remaining_requests="0", reset_requests="1m0s"), 30.0)
    assert wait(budget, 1, 30.0) == pytest.approx(1 / 0.99)


@pytest.mark.parametrize(("remaining", "reset"), [("14399", "6s"), ("14370", "2m59.56s")])
def test_a_limit_per_day_is_not_taken_for_one_per_minute(remaining: str, reset: str) -> None:
    budget = RateBudget()
    budget.observe(told(limit_requests="14400", remaining_requests=remaining, reset_requests=reset), 0.0)
    assert budget.statistics(0.0).requests_per_minute is None


def test_little_remaining_takes_the_burst() -> None:
    budget = RateBudget(6000)
    assert budget.wait_s(0.0) == 0.0
    budget.observe(told(remaining_requests="2"), 0.0)
    reserve(budget, 1, 0.0)
    reserve(budget, 1, 0.0)
    assert wait(budget, 1, 0.0) == pytest.approx(1 / 99)


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e400", "9" * 400, "60, 60", "", "sixty", "\x00"])
def test_senseless_limits_are_ignored(value: str) -> None:
    budget = RateBudget(600, 60_000)
    budget.observe(told(limit_requests=value, limit_tokens=value), 0.0)
    assert budget.statistics(0.0).requests_per_minute == 600
    assert budget.statistics(0.0).tokens_per_minute == 60_000


HEADER = st.sampled_from(
    [f"x-ratelimit-{a}-{b}" for a in ("limit", "remaining", "reset") for b in ("requests", "tokens")]
)
NUMBER = st.integers(0, 10**15).map(str) | st.floats(0, 1e9).map(str)
VALUE = st.text(max_size=12) | st.tuples(NUMBER, st.sampled_from(["", "ms", "s", "m", "h", "d"])).map("".join)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.dictionaries(HEADER, VALUE), st.floats(0, 100)), max_size=8), st.booleans())
def test_no_headers_raise_or_stop_a_run_for_ever(replies: list[tuple[dict[str, str], float]], configured: bool) -> None:
    budget = RateBudget(600, 60_000) if configured else RateBudget()
    now = 0.0
    for headers, later_s in replies:
        now += later_s
        budget.observe(headers, now)
        if budget.wait_s(now) == 0.0:
            reserve(budget, 1000, now)
    assert budget.wait_s(now) <= 720.0  # ten minutes' debt, and a reset
    reserve(budget, 1, now + budget.wait_s(now))


def test_a_429_drains_known_budgets_until_its_hint_and_for_two_minutes_at_most() -> None:
    budget = RateBudget(600, 60_000)
    budget.drain_until(17.5, 10.0)
    assert wait(budget, 1, 10.0) == pytest.approx(7.5)
    budget.drain_until(12.0, 10.0)
    assert wait(budget, 1, 10.0) == pytest.approx(7.5)
    reserve(budget, 1, 17.5)
    budget.drain_until(math.inf, 20.0)
    budget.drain_until(math.inf, 20.0)
    assert wait(budget, 1, 20.0) == pytest.approx(120.0)


def test_a_429_does_not_stop_everything_where_no_limit_is_known() -> None:
    budget = RateBudget()
    budget.drain_until(60.0, 0.0)
    assert budget.wait_s(0.0) == 0.0


# --------------------------------------------------------------------------------------------- no minute holds too much

STEPS = st.lists(
    st.tuples(st.integers(1, 5000), st.floats(0, 2), st.sampled_from(["settle", "over", "refund", "leave"])),
    min_size=1,
    max_size=300,
)


@settings(max_examples=60)
@given(STEPS, st.integers(1, 3000), st.integers(5000, 10**6))
def test_no_sixty_seconds_exceed_a_limit_by_more_than_one_request(
    steps: list[tuple[int, float, str]], requests_per_minute: int, tokens_per_minute: int
) -> None:
    """With honest estimates, whatever is asked when; `over` settles less than was charged."""
    budget = RateBudget(requests_per_minute, tokens_per_minute)
    now = 0.0
    sent: list[tuple[float, float]] = []
    for num_tokens, pause_s, end in steps:
        now += budget.wait_s(now)
        lease = reserve(budget, num_tokens, now)
        used = num_tokens
        if end == "refund":
            lease.refund(now + pause_s)
            now += pause_s
            continue
        if end == "over":
            used = num_tokens // 2
        sent.append((now, used))
        now += pause_s
        if end != "leave":
            lease.settle(used, now)
    if sent:
        assert fullest_window((time, 1) for time, _ in sent) <= requests_per_minute
        assert fullest_window(sent) <= tokens_per_minute + max(tokens for _, tokens in sent)


@pytest.mark.parametrize("requests_per_minute", [5, 60, 500, 3000])
def test_g16_requests_use_the_limit_and_never_exceed_it(requests_per_minute: int) -> None:
    sent = send_until(RateBudget(requests_per_minute), 600.0, lambda: 1)
    assert fullest_window((time, 1) for time in sent) <= requests_per_minute
    assert len(sent) >= 0.97 * 10 * requests_per_minute


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("tokens_per_minute", "median_s"),
    [(100_000, 2.0), (300_000, 5.0), (1_000_000, 5.0), (1_000_000, 20.0)],
)
def test_g16_tokens_use_the_limit_and_exceed_it_by_two_percent_at_most(
    tokens_per_minute: int, median_s: float, seed: int
) -> None:
    """The server counts a request's real tokens, prompt and completion, in the moment it arrives: the strictest way.

    The client learns them one latency (log-normal) later; prompts and completions vary, and max_tokens is far off.
    """
    rng = random.Random(seed)

    def draw() -> Job:
        prompt_tokens = max(20, round(rng.gauss(700, 200)))
        completion_tokens = min(2048, max(1, round(300 * rng.lognormvariate(-0.18, 0.6))))
        usage = Usage(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)
        return Job(rng.choice("ab"), round(4.2 * prompt_tokens), 2048, usage)

    timeline = Timeline()
    server = MeteredServer(log_normal(median_s, 0.5, rng))
    Client(timeline, server, Fixed(5000), rng, draw, RateBudget(None, tokens_per_minute))
    timeline.run(420.0)
    assert fullest_window(server.arrivals) <= 1.02 * tokens_per_minute
    used = sum(tokens for time, tokens in server.arrivals if time >= 180.0)
    assert used >= 0.97 * 4 * tokens_per_minute
