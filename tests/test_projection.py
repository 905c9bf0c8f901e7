"""What the rest of a run will take: written out for small runs, in calls, tokens, dollars and seconds."""

from __future__ import annotations

import pytest

from fastinstruct.cli.figures import approximate, duration, money, projection_line
from fastinstruct.pipeline.ledger import Ledger, Limits, Price, Use
from fastinstruct.pipeline.projection import WINDOW, Outlook, Projection, Remaining
from fastinstruct.records import Stage
from fastinstruct.store import Finished

PRICE = Price(input=1_000_000, cached_input=100_000, output=4_000_000)  # 1, 0.1 and 4 dollars per million
MICRO = 1e-6


def finished(
    stage: Stage,
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
    return Ledger(Limits(), dict.fromkeys(Stage, price), stored=dict.fromkeys(Stage, used or Use()))


FIRST = finished(Stage.INSTRUCTIONS, candidates=(8, 3), tokens=(100, 200), latency_s=10)
SECOND = finished(Stage.CLASSIFICATION, tokens=(300, 1), latency_s=2)
THIRD = finished(Stage.INSTANCES, tokens=(400, 50), latency_s=4)


def test_what_is_missing_divided_by_what_a_call_gives_and_one_call_each_for_the_later_stages() -> None:
    outlook = Outlook([FIRST, FIRST, SECOND, THIRD])
    remaining = Remaining(num_to_admit=10, num_to_classify=2, num_to_work_up=5)
    found = outlook.project(remaining, books(), num_slots=4)
    assert found is not None
    assert found.cost == pytest.approx((4 * 900 + 12 * 304 + 15 * 600) * MICRO)
    assert found == Projection(
        acceptance_rate=3 / 8,
        num_requests={"instructions": 4, "classification": 12, "instances": 15},
        num_tokens=4 * 300 + 12 * 301 + 15 * 450,
        cost=found.cost,
        time_s=(4 * 10 + 12 * 2 + 15 * 4) / 4,
    )
    assert found.num_calls == 31


def test_a_call_that_failed_gave_nothing_and_is_a_call() -> None:
    failed = finished(Stage.INSTRUCTIONS, is_ok=False)
    found = Outlook([FIRST, failed, SECOND, THIRD]).project(
        Remaining(num_to_admit=3, num_to_classify=0, num_to_work_up=0), books(), num_slots=1
    )
    assert found is not None
    assert found.num_requests["instructions"] == 2


def test_nothing_is_told_before_every_stage_that_is_needed_was_answered() -> None:
    all_of_it = Remaining(num_to_admit=1, num_to_classify=1, num_to_work_up=1)
    last_step = Remaining(num_to_admit=0, num_to_classify=0, num_to_work_up=1)
    assert Outlook([FIRST, SECOND]).project(all_of_it, books(), num_slots=1) is None
    assert Outlook([THIRD]).project(last_step, books(), num_slots=1) is not None
    barren = finished(Stage.INSTRUCTIONS, candidates=(8, 0))
    assert Outlook([barren, SECOND, THIRD]).project(all_of_it, books(), num_slots=1) is None


def test_a_finished_run_needs_nothing() -> None:
    done = Remaining(num_to_admit=-3, num_to_classify=0, num_to_work_up=0)
    found = Outlook([FIRST, SECOND, THIRD]).project(done, books(), num_slots=1)
    assert found is not None
    assert (found.num_calls, found.num_tokens, found.cost, found.time_s) == (0, 0, 0.0, 0.0)
    assert not done.is_any


def test_only_the_last_requests_of_a_stage_count() -> None:
    rich = finished(Stage.INSTRUCTIONS, candidates=(8, 8))
    poor = finished(Stage.INSTRUCTIONS, candidates=(8, 1))
    found = Outlook([rich] * 50 + [poor] * WINDOW + [SECOND, THIRD]).project(
        Remaining(num_to_admit=10, num_to_classify=0, num_to_work_up=0), books(), num_slots=1
    )
    assert found is not None
    assert (found.acceptance_rate, found.num_requests["instructions"]) == (1 / 8, 10)


def test_without_usage_or_a_price_tokens_or_dollars_are_not_told() -> None:
    left = Remaining(num_to_admit=0, num_to_classify=0, num_to_work_up=2)
    silent = Outlook([finished(Stage.INSTANCES)]).project(left, books(), num_slots=1)
    unpriced = Outlook([THIRD]).project(left, books(None), num_slots=1)
    assert silent is not None
    assert unpriced is not None
    assert (silent.num_tokens, silent.cost) == (None, None)
    assert (unpriced.num_tokens, unpriced.cost) == (900, None)


def test_the_share_of_prompts_that_came_from_the_cache_goes_on() -> None:
    left = Remaining(num_to_admit=0, num_to_classify=0, num_to_work_up=1)
    ledger = books(used=Use(num_requests=9, prompt_tokens=1000, cached_tokens=750))
    found = Outlook([THIRD]).project(left, ledger, num_slots=1)
    assert found is not None
    assert found.cost == pytest.approx((100 + 300 * 0.1 + 50 * 4) * MICRO)


# ----------------------------------------------------------------------------------------------------------------- time


def paced(num_slots_used: int, num_rounds: int = 10) -> list[Finished]:
    """Rounds of requests of 2 s each, so many at a time."""
    return [
        finished(Stage.INSTANCES, latency_s=2.0, at=100 + 2.0 * (n + 1))
        for n in range(num_rounds)
        for _ in range(num_slots_used)
    ]


LEFT = Remaining(num_to_admit=0, num_to_classify=0, num_to_work_up=80)


def time_of(outlook: Outlook, *, num_slots: int | None, is_sample: bool = False) -> float | None:
    found = outlook.project(LEFT, books(), num_slots=num_slots, is_sample=is_sample)
    assert found is not None
    return found.time_s


def test_time_follows_how_many_requests_were_really_in_flight() -> None:
    outlook = Outlook()
    for request in paced(4):
        outlook.count(request)
    assert time_of(outlook, num_slots=64) == pytest.approx(80 * 2 / 4)


def test_a_sample_says_nothing_of_the_pace_and_too_few_requests_neither() -> None:
    outlook = Outlook()
    for request in paced(4):
        outlook.count(request)
    assert time_of(outlook, num_slots=16, is_sample=True) == pytest.approx(80 * 2 / 16)
    assert time_of(Outlook(paced(4)), num_slots=16) == pytest.approx(80 * 2 / 16)
    assert time_of(Outlook(paced(4)), num_slots=None) is None


def test_a_reader_tells_the_pace_from_the_latest_sitting_alone() -> None:
    earlier = [finished(Stage.INSTANCES, latency_s=2.0, at=1.0)]
    assert time_of(Outlook([*earlier, *paced(4)], since=50.0), num_slots=None) == pytest.approx(80 * 2 / 4, rel=0.05)
    assert time_of(Outlook([*earlier, *paced(4)], since=500.0), num_slots=None) is None


def test_a_clock_that_was_set_back_tells_no_pace() -> None:
    outlook = Outlook()
    for n in range(30):
        outlook.count(finished(Stage.INSTANCES, latency_s=0.0, at=100.0 - n))
    assert time_of(outlook, num_slots=8) == 0.0


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
    assert projection_line(told, 52_000) == f"at 41% acceptance, 52,000 instructions need {needs}"
    bare = Projection(acceptance_rate=None, num_requests={"instances": 7}, num_tokens=None, cost=None, time_s=None)
    assert projection_line(bare, 10) == "10 instructions need 7 more calls"
    assert projection_line(None, 10) == ""


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
