"""What the rest of a run will take: written out for small runs, in calls, tokens, dollars and seconds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fastinstruct.cli.figures import approximate, duration, money, projection_line
from fastinstruct.pipeline.budget.ledger import Ledger, Limits, Price, Use
from fastinstruct.pipeline.monitoring.forecast import WINDOW, Forecast, Projection, Remaining
from fastinstruct.store import Finished
from run_stages import STAGES

PRICE = Price(input=1_000_000, cached_input=100_000, output=4_000_000)  # 1, 0.1 and 4 dollars per million
MICRO = 1e-6


def finished(
    stage: str,
    *,
    candidates: tuple[int, int] = (0, 0),
    tokens: tuple[int, int] = (0, 0),
    latency_s: float = 1.0,
    at: float = 0.0,
    is_ok: bool = True,
) -> Finished:
    """A request with candidates (seen, admitted) and tokens (prompt, completion)."""
    return Finished(
        stage=stage,
        is_ok=is_ok,
        prompt_tokens=tokens[0],
        completion_tokens=tokens[1],
        latency_s=latency_s,
        finished_at=at,
        num_candidates=candidates[0],
        num_admitted=candidates[1],
    )


def books(price: Price | None = PRICE, used: Use | None = None) -> Ledger:
    return Ledger(Limits(), dict.fromkeys(STAGES, price), stored=dict.fromkeys(STAGES, used or Use()))


def to_do(num_to_admit: int, num_to_classify: int, num_to_work_up: int) -> Remaining:
    num_to_ask = {"classification": num_to_classify, "instances": num_to_work_up}
    return Remaining(num_to_admit=num_to_admit, num_to_ask=num_to_ask)


FIRST = finished("instructions", candidates=(8, 3), tokens=(100, 200), latency_s=10)
SECOND = finished("classification", tokens=(300, 1), latency_s=2)
THIRD = finished("instances", tokens=(400, 50), latency_s=4)


def test_what_is_missing_divided_by_what_a_call_gives_and_one_call_each_for_the_later_stages() -> None:
    forecast = Forecast(STAGES, [FIRST, FIRST, SECOND, THIRD])
    remaining = to_do(10, 2, 5)
    found = forecast.project(remaining, books(), num_slots=4)
    assert found is not None
    assert found.cost == pytest.approx((4 * 900 + 12 * 304 + 15 * 600) * MICRO)
    assert found == Projection(
        acceptance_rate=3 / 8,
        num_requests={"instructions": 4, "classification": 12, "instances": 15},
        num_tokens=4 * 300 + 12 * 301 + 15 * 450,
        cost=found.cost,
        time_s=None,
    )
    assert found.num_calls == 31


def test_a_call_that_failed_gave_nothing_and_is_a_call() -> None:
    failed = finished("instructions", is_ok=False)
    found = Forecast(STAGES, [FIRST, failed, SECOND, THIRD]).project(to_do(3, 0, 0), books(), num_slots=1)
    assert found is not None
    assert found.num_requests["instructions"] == 2


def test_nothing_is_told_before_every_stage_that_is_needed_was_answered() -> None:
    all_of_it = to_do(1, 1, 1)
    last_step = to_do(0, 0, 1)
    assert Forecast(STAGES, [FIRST, SECOND]).project(all_of_it, books(), num_slots=1) is None
    assert Forecast(STAGES, [THIRD]).project(last_step, books(), num_slots=1) is not None
    barren = finished("instructions", candidates=(8, 0))
    assert Forecast(STAGES, [barren, SECOND, THIRD]).project(all_of_it, books(), num_slots=1) is None


def test_a_finished_run_needs_nothing() -> None:
    done = to_do(-3, 0, 0)
    found = Forecast(STAGES, [FIRST, SECOND, THIRD]).project(done, books(), num_slots=1)
    assert found is not None
    assert (found.num_calls, found.num_tokens, found.cost, found.time_s) == (0, 0, 0.0, 0.0)
    assert not done.is_any


def test_only_the_last_requests_of_a_stage_count() -> None:
    rich = finished("instructions", candidates=(8, 8))
    poor = finished("instructions", candidates=(8, 1))
    found = Forecast(STAGES, [rich] * 50 + [poor] * WINDOW + [SECOND, THIRD]).project(
        to_do(10, 0, 0), books(), num_slots=1
    )
    assert found is not None
    assert (found.acceptance_rate, found.num_requests["instructions"]) == (1 / 8, 10)


def test_without_usage_or_a_price_tokens_or_dollars_are_not_told() -> None:
    left = to_do(0, 0, 2)
    silent = Forecast(STAGES, [finished("instances")]).project(left, books(), num_slots=1)
    unpriced = Forecast(STAGES, [THIRD]).project(left, books(None), num_slots=1)
    assert silent is not None
    assert unpriced is not None
    assert (silent.num_tokens, silent.cost) == (None, None)
    assert (unpriced.num_tokens, unpriced.cost) == (900, None)


def test_the_share_of_prompts_that_came_from_the_cache_goes_on() -> None:
    left = to_do(0, 0, 1)
    ledger = books(used=Use(num_requests=9, prompt_tokens=1000, cached_tokens=750))
    found = Forecast(STAGES, [THIRD]).project(left, ledger, num_slots=1)
    assert found is not None
    assert found.cost == pytest.approx((100 + 300 * 0.1 + 50 * 4) * MICRO)


# ----------------------------------------------------------------------------------------------------------------- time


def paced(at_a_time: int, num_rounds: int = 10, *, latency_s: float = 2.0, begin: float = 100.0) -> list[Finished]:
    """Rounds of requests, so many at a time."""
    return [
        finished("instances", latency_s=latency_s, at=begin + latency_s * (n + 1))
        for n in range(num_rounds)
        for _ in range(at_a_time)
    ]


def counted(requests: list[Finished], earlier: list[Finished] | None = None) -> Forecast:
    forecast = Forecast(STAGES, earlier or [])
    for request in requests:
        forecast.count(request)
    return forecast


def left(num_calls: int) -> Remaining:
    return to_do(0, 0, num_calls)


def times_of(
    forecast: Forecast,
    *,
    num_calls: int = 80,
    num_slots: int | None = 64,
    now: float | None = None,
    is_sample: bool = False,
) -> tuple[float | None, float | None]:
    """The least time, and the time."""
    found = forecast.project(left(num_calls), books(), num_slots=num_slots, now=now, is_sample=is_sample)
    assert found is not None
    return found.least_time_s, found.time_s


def time_of(forecast: Forecast, **given: Any) -> float | None:
    least_s, time_s = times_of(forecast, **given)
    assert least_s is None
    return time_s


def test_time_is_told_by_how_many_finish_in_a_second_however_many_slots_there_are() -> None:
    assert time_of(counted(paced(4)), num_slots=64) == pytest.approx(80 / (40 / 20))
    assert time_of(counted(paced(4)), num_slots=None) == pytest.approx(80 / (40 / 20))
    # A model that serves 8 at a time, 16 calls before the end.
    assert time_of(counted(paced(8, 3, latency_s=17.8)), num_calls=16) == pytest.approx(2 * 17.8)


def test_what_waits_in_the_servers_own_queue_is_not_taken_for_speed() -> None:
    """64 are in flight and served 8 at a time, 2 s each: the later ones take longer, the pace stays."""
    queued = [
        finished("instances", latency_s=min(16.0, 2.0 * (n + 1)), at=100 + 2.0 * (n + 1))
        for n in range(16)
        for _ in range(8)
    ]
    assert time_of(counted(queued), num_calls=400) == pytest.approx(400 / (128 / 32))


def test_the_last_calls_take_a_latency_of_each_stage_that_is_needed_however_many_slots_are_free() -> None:
    requests = [
        finished(stage, candidates=(1, 1), latency_s=latency_s, at=100 + latency_s * (n + 1))
        for stage, latency_s in (("instructions", 10.0), ("classification", 2.0), ("instances", 4.0))
        for n in range(10)
        for _ in range(4)
    ]
    forecast = counted(sorted(requests, key=lambda request: request.finished_at))
    last = to_do(1, 0, 0)
    found = forecast.project(last, books(), num_slots=64)
    assert found is not None
    assert found.time_s == pytest.approx(10 + 2 + 4)


def test_before_two_latencies_have_passed_the_pace_is_unknown() -> None:
    """The quick ones of 64 that began together say little of the slow ones."""
    quick = [finished("instances", latency_s=1.0 + n / 100, at=101.0 + n / 100) for n in range(30)]
    assert time_of(counted(quick), now=101.3) is None
    assert time_of(counted(quick), now=103.0) == pytest.approx(80 / (30 / 3))
    assert time_of(Forecast(STAGES, paced(4)), num_slots=16) is None  # an earlier sitting's pace may be another


@pytest.mark.parametrize(("latency_s", "silent_s"), [(2.0, 10.0), (0.1, 10.0), (20.0, 100.0)])
def test_while_no_answer_comes_for_several_latencies_no_time_is_told(latency_s: float, silent_s: float) -> None:
    forecast = counted(paced(4, latency_s=latency_s))
    last = 100 + 10 * latency_s
    assert time_of(forecast, now=last + silent_s) is not None
    assert time_of(forecast, now=last + silent_s + 0.1) is None
    assert time_of(forecast, now=None) is not None  # of a sitting that is over, no answer is missed


def test_an_outage_is_told_however_many_requests_fail_at_once() -> None:
    failed = [finished("instances", latency_s=0.01, at=120 + n / 10, is_ok=False) for n in range(300)]
    requests = [*paced(4), *failed]
    assert time_of(counted([*requests, finished("instances", latency_s=2.0, at=150.0)]), now=150.0) is not None
    assert time_of(counted(requests), now=150.0) is None


def test_the_pauses_of_a_rate_limit_are_part_of_the_pace() -> None:
    bursts = [finished("instances", latency_s=1.0, at=101.0 + 8 * n) for n in range(5) for _ in range(6)]
    assert time_of(counted(bursts), now=140.0) == pytest.approx(80 / (30 / 40))


def test_a_burst_is_no_faster_than_the_slots_allow() -> None:
    """2,000 answers in a second, of which the window holds no more: they were 256 at a time, at 18 s each."""
    burst = [finished("instances", latency_s=18.0, at=100.0 + n / 2000) for n in range(2100)]
    assert time_of(counted(burst), num_calls=25_600, num_slots=256, now=120.0) == pytest.approx(25_600 * 18 / 256)


def test_what_was_slow_or_fast_more_than_a_minute_ago_is_forgotten() -> None:
    slow_then_fast = [*paced(1, 100), *paced(8, 60, begin=300.0)]
    assert time_of(counted(slow_then_fast)) == pytest.approx(80 / 4, rel=0.05)


def test_an_earlier_sittings_latencies_weigh_stages_and_set_no_pace() -> None:
    slow = paced(64, 3, latency_s=600.0, begin=0.0)
    assert time_of(counted(paced(4, begin=5000.0), slow)) == pytest.approx(80 / (40 / 20))


def test_a_sample_tells_its_own_pace_and_what_all_slots_would_make_of_it() -> None:
    """30 requests in three rounds of ten: nobody knows yet whether the server bears 64 at a time."""
    forecast = counted(paced(10, 3))
    assert times_of(forecast, num_calls=620, is_sample=True) == pytest.approx((620 * 2 / 64, 620 * 2 / 10))
    assert times_of(forecast, num_calls=20, is_sample=True) == pytest.approx((2, 4))
    assert times_of(forecast, num_calls=620, num_slots=4, is_sample=True) == pytest.approx((310, 310))
    least_s, time_s = times_of(forecast, num_calls=620, num_slots=None, is_sample=True)
    assert least_s is None
    assert time_s == pytest.approx(124)


def test_a_reader_tells_the_pace_from_the_latest_sitting_alone() -> None:
    earlier = [finished("instances", latency_s=2.0, at=1.0)]
    assert time_of(Forecast(STAGES, [*earlier, *paced(4)], since=50.0)) == time_of(counted(paced(4)))
    assert time_of(Forecast(STAGES, [*earlier, *paced(4)], since=500.0)) is None


def test_a_reader_tells_the_pace_from_when_it_knows_all_stages() -> None:
    """Of the last stage, the latest 200 reach back 50 s; of the first, a few reach back 1,000 s."""
    rare = [finished("instructions", candidates=(1, 1), latency_s=2.0, at=100.0 + 100 * n) for n in range(10)]
    frequent = [finished("instances", latency_s=2.0, at=950.0 + n / 4) for n in range(201)]
    assert time_of(Forecast(STAGES, [*rare, *frequent], since=0.0)) == pytest.approx(80 / 4, rel=0.02)


def test_a_clock_that_was_set_back_tells_no_pace() -> None:
    backwards = [finished("instances", latency_s=0.0, at=100.0 - n) for n in range(30)]
    assert time_of(counted(backwards), num_slots=8) is None
    assert time_of(counted(paced(4)), now=1.0) is not None


# ---------------------------------------------------------------------------------------------------------------- words


def test_the_projection_in_words() -> None:
    told = Projection(
        acceptance_rate=0.41,
        num_requests={"instructions": 20_412, "classification": 52_000, "instances": 54_390},
        num_tokens=210_345_678,
        cost=18.4,
        time_s=11_520,
    )
    needs = "127,000 more calls, 210,000,000 tokens, 18.40 dollars, 3 h 12 min"
    assert projection_line(told, 52_000) == f"at 41% acceptance of late, 52,000 instructions need {needs}"
    bare = Projection(acceptance_rate=None, num_requests={"instances": 7}, num_tokens=None, cost=None, time_s=None)
    assert projection_line(bare, 10) == "10 instructions need 7 more calls"
    assert projection_line(None, 10) == ""
    assert projection_line(replace(bare, time_s=124.2, least_time_s=19.4), 10) == (
        "10 instructions need 7 more calls, 19 s to 2 min 04 s"
    )
    assert projection_line(replace(bare, time_s=2.1, least_time_s=1.9), 10) == "10 instructions need 7 more calls, 2 s"


@pytest.mark.parametrize(
    ("dollars", "expected"),
    [(1234.5, "1,234.50 dollars"), (0.1, "0.10 dollars"), (0.00044, "0.00044 dollars"), (0.0, "0.00 dollars")],
)
def test_money_shows_small_amounts_too(dollars: float, expected: str) -> None:
    assert money(dollars) == expected


@pytest.mark.parametrize(("number", "expected"), [(0, "0"), (999, "999"), (1234, "1,230"), (126_802, "127,000")])
def test_large_numbers_are_rounded_to_three_digits(number: int, expected: str) -> None:
    assert approximate(number) == expected


def test_durations() -> None:
    assert [duration(s) for s in (None, 8, 200, 11_520)] == ["-", "8 s", "3 min 20 s", "3 h 12 min"]
