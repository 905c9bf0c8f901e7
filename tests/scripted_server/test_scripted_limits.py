"""The scripted server's budgets and the hints of its 429s: token buckets against plain sums, headers over real HTTP."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinstruct.errors import ConfigError
from fastinstruct.scripted_server import RetryHint, Script, ScriptedServer, parse_schedule
from fastinstruct.scripted_server.limits import RateLimits, TokenBucket
from scripted_http import stats_of, status_of


def grants(limits: RateLimits, times_s: list[float], num_tokens: int = 1) -> list[float]:
    """The times at which a request was granted."""
    return [now_s for now_s in times_s if limits.wait_s(num_tokens, now_s) == 0]


def most_within(span_s: float, times_s: list[float]) -> int:
    return max((sum(start <= t <= start + span_s for t in times_s) for start in times_s), default=0)


# -------------------------------------------------------------------------------------------------------------- buckets


@given(
    st.floats(0.1, 100), st.floats(0.01, 60), st.lists(st.floats(0, 5), min_size=1, max_size=60), st.floats(0.01, 60)
)
def test_no_span_of_time_is_granted_more_than_its_rate_and_one_burst(
    rate_per_s: float, burst_s: float, gaps_s: list[float], span_s: float
) -> None:
    limits = RateLimits(Script(requests_per_minute=rate_per_s * 60, burst_s=burst_s))
    times_s = [1000.0 + sum(gaps_s[: n + 1]) for n in range(len(gaps_s))]
    granted = grants(limits, times_s)
    assert most_within(span_s, granted) <= rate_per_s * span_s + max(1.0, rate_per_s * burst_s) + 1e-6


@given(st.floats(0.1, 100), st.floats(0.01, 10), st.lists(st.floats(0.1, 50), max_size=20))
def test_after_the_wait_it_tells_a_cost_is_granted_and_not_before(
    rate_per_s: float, burst_s: float, costs: list[float]
) -> None:
    bucket, now_s = TokenBucket(rate_per_s, burst_s, 5.0), 5.0
    for cost in costs:
        wait_s = bucket.wait_s(cost, now_s)
        assert wait_s == 0 or bucket.wait_s(cost, now_s + wait_s * 0.99) > 0
        now_s += wait_s
        assert bucket.wait_s(cost, now_s) == 0
        bucket.take(cost, now_s)


def test_a_bucket_fills_at_its_rate_up_to_its_burst() -> None:
    bucket = TokenBucket(10.0, 0.5, 0.0)
    for _ in range(5):
        bucket.take(1, 0.0)
    assert bucket.wait_s(1, 0.0) == pytest.approx(0.1)
    assert bucket.level(0.3) == pytest.approx(3.0)
    assert bucket.level(9.0) == pytest.approx(5.0)


def test_a_cost_above_the_burst_is_granted_by_a_full_bucket_and_paid_off_later() -> None:
    bucket = TokenBucket(10.0, 1.0, 0.0)
    assert bucket.wait_s(100, 0.0) == 0
    bucket.take(100, 0.0)
    assert bucket.wait_s(1, 0.0) == pytest.approx(9.1)


def test_a_schedule_changes_the_rate_at_its_times_after_the_first_request() -> None:
    limits = RateLimits(Script(rate_schedule=((0.0, 10.0), (60.0, 20.0), (120.0, 5.0)), burst_s=0.1))
    granted = grants(limits, [500.0 + n / 100 for n in range(18_000)])
    per_minute = [sum(start <= t - 500.0 < start + 60 for t in granted) for start in (0, 60, 120)]
    assert per_minute == [pytest.approx(600, abs=2), pytest.approx(1200, abs=2), pytest.approx(300, abs=2)]


def test_tokens_and_requests_are_both_needed_and_a_refusal_takes_nothing() -> None:
    limits = RateLimits(Script(requests_per_minute=600, tokens_per_minute=6000, burst_s=1.0))
    assert limits.wait_s(90, 0.0) == 0
    assert limits.wait_s(20, 0.0) == pytest.approx(0.1)
    assert [limits.wait_s(1, 0.0) for _ in range(10)] == [0.0] * 9 + [pytest.approx(0.1)]


def test_a_schedule_is_read_from_text() -> None:
    assert parse_schedule("0:100,60:12.5") == ((0.0, 100.0), (60.0, 12.5))
    with pytest.raises(ConfigError, match=r"rate_schedule: '0-100' should be seconds:rate pairs, such as 0:100,60:200"):
        parse_schedule("0-100")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"requests_per_minute": 0.0}, "requests_per_minute: must be above 0, got 0"),
        ({"tokens_per_minute": float("nan")}, "tokens_per_minute: must be above 0, got nan"),
        ({"burst_s": -1.0}, "burst_s: must be above 0, got -1"),
        ({"rate_schedule": ((0.0, 0.0),)}, "rate_schedule: must be above 0, got 0"),
        ({"rate_schedule": ((5.0, 1.0),)}, "rate_schedule: must begin at 0 s, and its times must increase"),
        ({"rate_schedule": ((0.0, 1.0), (0.0, 2.0))}, "rate_schedule: must begin at 0 s, and its times must increase"),
        (
            {"rate_schedule": ((0.0, 1.0),), "requests_per_minute": 1.0},
            "rate_schedule: takes the place of requests_per_minute; set one of them",
        ),
        ({"retry_hint": "soon"}, "retry_hint: there is no 'soon'; there are seconds, date, ms, reset, words, none"),
        ({"retry_after_s": -1.0}, "retry_after_s: must be at least 0, got -1"),
    ],
)
def test_budgets_that_make_no_sense_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Script(**fields)
    assert str(raised.value) == message


# ------------------------------------------------------------------------------------------------------------ over HTTP


async def answer_of(
    http: aiohttp.ClientSession, server: ScriptedServer, prompt: str = "x"
) -> tuple[int, dict[str, str], str]:
    """Status, headers by lower-case name, and the error's message."""
    async with http.post(f"{server.base_url}/completions", json={"model": "scripted", "prompt": prompt}) as response:
        body = await response.json()
        headers = {name.lower(): value for name, value in response.headers.items()}
        return response.status, headers, body.get("error", {}).get("message", "")


async def test_beyond_the_requests_per_minute_is_429_and_every_answer_tells_the_budget(
    http: aiohttp.ClientSession,
) -> None:
    async with ScriptedServer(Script(requests_per_minute=1.0, burst_s=120.0)) as server:
        answers = [await answer_of(http, server) for _ in range(3)]
        stats = await stats_of(http, server)
    assert [status for status, _, _ in answers] == [200, 200, 429]
    told = [
        (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) for _, headers, _ in answers
    ]
    assert told == [("1", "1"), ("1", "0"), ("1", "0")]
    assert re.fullmatch(r"1m5\d(\.\d+)?s|2m0s", answers[1][1]["x-ratelimit-reset-requests"])
    assert 50 <= int(answers[2][1]["retry-after"]) <= 60
    assert (stats["num_by_status"], stats["max_requests_in_60_s"]) == ({"200": 2, "429": 1}, 3)


async def test_beyond_the_tokens_per_minute_is_429(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer(Script(tokens_per_minute=1000.0, burst_s=60.0)) as server:
        statuses = [await status_of(http, server, f"{n} " + "word " * 200) for n in range(4)]
        _, headers, _ = await answer_of(http, server)
        stats = await stats_of(http, server)
    assert statuses == [200, 200, 429, 429]
    assert headers["x-ratelimit-limit-tokens"] == "1000"
    assert stats["max_tokens_in_60_s"] == stats["num_prompt_tokens"] + stats["num_completion_tokens"] > 500


@pytest.mark.parametrize(
    ("hint", "told"),
    [
        (RetryHint.SECONDS, {"retry-after": "2.5"}),
        (RetryHint.MS, {"retry-after-ms": "2500"}),
        (RetryHint.RESET, {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2.5s"}),
        (RetryHint.WORDS, {}),
        (RetryHint.NONE, {}),
    ],
)
async def test_a_429_tells_its_wait_in_one_way(
    http: aiohttp.ClientSession, hint: RetryHint, told: dict[str, str]
) -> None:
    async with ScriptedServer(Script(faults={"429": 1.0}, retry_after_s=2.5, retry_hint=hint)) as server:
        status, headers, message = await answer_of(http, server)
    assert status == 429
    assert {name: headers[name] for name in headers if name.startswith(("retry", "x-"))} == told
    assert message == "Rate limit reached." + (" Please try again in 2.5s." if hint is RetryHint.WORDS else "")


async def test_a_date_stands_next_to_the_servers_own(http: aiohttp.ClientSession) -> None:
    script = Script(faults={"429": 1.0}, retry_after_s=90.0, retry_hint=RetryHint.DATE)
    async with ScriptedServer(script) as server:
        _, headers, _ = await answer_of(http, server)
    span = parsedate_to_datetime(headers["retry-after"]) - parsedate_to_datetime(headers["date"])
    assert 90 <= span.total_seconds() <= 91


@pytest.mark.parametrize("hint", [RetryHint.MS, RetryHint.RESET, RetryHint.NONE])
async def test_a_budgets_429_tells_when_it_fills(http: aiohttp.ClientSession, hint: RetryHint) -> None:
    async with ScriptedServer(Script(requests_per_minute=1.0, retry_hint=hint)) as server:
        await status_of(http, server)
        status, headers, _ = await answer_of(http, server)
    assert status == 429
    if hint is RetryHint.MS:
        assert 50_000 < int(headers["retry-after-ms"]) <= 60_000
    elif hint is RetryHint.RESET:
        assert re.fullmatch(r"5\d(\.\d+)?s|1m0s", headers["x-ratelimit-reset-requests"])
    else:
        assert [name for name in headers if name.startswith(("retry", "x-"))] == []


async def test_a_drawn_429_uses_no_budget(http: aiohttp.ClientSession) -> None:
    script = Script(requests_per_minute=1.0, faults={"429": 1.0}, max_faults_per_prompt=1, retry_after_s=0.0)
    async with ScriptedServer(script) as server:
        assert [await status_of(http, server) for _ in range(2)] == [429, 200]
