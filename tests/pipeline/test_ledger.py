"""The books: exact sums, no limit ever exceeded, and nothing counted twice or lost between two sittings."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinstruct.pipeline.budget.ledger import Ledger, Limits, Price, Use, dollars, picodollars

MILLION = 1_000_000
CHEAP = Price(input=2, cached_input=1, output=10)
FREE = Price()


def use(prompt: int = 0, completion: int = 0, cached: int = 0, requests: int = 1) -> Use:
    return Use(num_requests=requests, prompt_tokens=prompt, cached_tokens=cached, completion_tokens=completion)


def books(limits: Limits | None = None, prices: dict[str, Price | None] | None = None) -> Ledger:
    return Ledger(limits or Limits(), prices or {"a": CHEAP, "b": FREE})


def used(ledger: Ledger) -> tuple[int, int, int | None]:
    return ledger.num_requests, ledger.num_tokens, ledger.cost


# --------------------------------------------------------------------------------------------------------------- money


@pytest.mark.parametrize(
    ("price", "expected"), [(0.25, 250_000), (0.07, 70_000), (0.29, 290_000), (1e-7, 1), (0, 0), (1e6, 10**12)]
)
def test_a_price_per_million_tokens_is_picodollars_a_token_to_the_last_digit(price: float, expected: int) -> None:
    assert picodollars(price, MILLION) == expected


def test_dollars_and_picodollars_are_each_others_inverse() -> None:
    assert dollars(picodollars(18.40)) == 18.40


def test_tokens_from_the_cache_cost_their_own_price() -> None:
    price = Price(input=100, cached_input=10, output=1000, request=7)
    assert price.cost(use(50, 3, cached=20)) == 30 * 100 + 20 * 10 + 3 * 1000 + 7


# -------------------------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("limits", "broken"),
    [
        (Limits(max_requests=1, max_tokens=6, max_cost=42), None),
        (Limits(max_requests=0), "max_requests"),
        (Limits(max_tokens=5), "max_tokens"),
        (Limits(max_cost=41), "max_cost"),
        (Limits(max_tokens=5, max_cost=41), "max_cost"),
    ],
)
def test_a_request_is_reserved_only_if_its_worst_case_fits_every_limit(limits: Limits, broken: str | None) -> None:
    ledger = books(limits)
    assert ledger.reserve("k", "a", use(2, 4, cached=2) if broken is None else use(1, 5)) == broken
    assert ledger.holds("k") is (broken is None)


def test_a_free_model_never_breaks_a_limit_in_dollars() -> None:
    assert books(Limits(max_cost=1)).reserve("k", "b", use(10**9, 10**9)) is None


def test_what_is_in_flight_counts_until_it_is_settled() -> None:
    ledger = books(Limits(max_tokens=100))
    assert ledger.reserve("one", "a", use(50, 10)) is None
    assert ledger.reserve("two", "a", use(40, 1)) == "max_tokens"
    ledger.answer("one", use(20, 5), use(20, 5))
    assert ledger.reserve("two", "a", use(40, 1)) is None
    assert used(ledger) == (1, 25, 2 * 20 + 10 * 5)


def test_a_refused_request_counts_as_nothing_and_a_failed_one_as_what_it_may_have_used() -> None:
    ledger = books()
    ledger.reserve("refused", "a", use(50, 10))
    ledger.release("refused")
    ledger.release("refused")
    ledger.reserve("failed", "a", use(50, 10))
    ledger.fail("failed", use(50, 10))
    assert used(ledger) == (1, 60, 200)


def test_an_unknown_price_makes_the_cost_unknown() -> None:
    ledger = books(prices={"a": CHEAP, "b": None})
    ledger.reserve("k", "a", use(1))
    assert ledger.cost is None
    with pytest.raises(ValueError, match="max_cost needs a price for every lane"):
        books(Limits(max_cost=1), {"a": CHEAP, "b": None})


# ----------------------------------------------------------------------------------------------------- between sittings


def test_a_stored_reply_is_left_to_its_row_but_for_what_the_row_does_not_tell() -> None:
    ledger = books()
    ledger.reserve("k", "a", use(50, 10))
    ledger.answer("k", use(40, 7, cached=30), use(40, 7))
    assert ledger.awaits_rows is True
    for _ in range(2):
        ledger.stored("k")
        assert ledger.awaits_rows is False
    assert ledger.besides["a"] == Use(cached_tokens=30)


def test_a_reply_that_says_nothing_of_its_cost_is_told_besides() -> None:
    ledger = books()
    ledger.reserve("k", "a", use(50, 10))
    ledger.answer("k", use(50, 10), use())
    ledger.stored("k")
    assert ledger.besides["a"] == use(50, 10, requests=0)


def test_at_the_end_what_is_still_in_flight_counts_in_full_and_the_rows_are_believed() -> None:
    ledger = books()
    for key, tokens in {"stored": 7, "lost": 5, "flying": 3}.items():
        ledger.reserve(key, "a", use(tokens))
    ledger.answer("stored", use(7), use(7))
    ledger.answer("lost", use(5), use(5))
    ledger.write_off()
    ledger.reconcile({"a": use(7)})
    assert ledger.besides["a"] == use(8, requests=2)
    assert (ledger.num_tokens, ledger.awaits_rows) == (15, False)


def test_a_later_sitting_counts_what_the_rows_and_the_rest_tell() -> None:
    ledger = Ledger(
        Limits(), {"a": CHEAP}, stored={"a": use(40, 7)}, besides={"a": Use(cached_tokens=30), "old": use(9)}
    )
    assert used(ledger) == (1, 47, 2 * 10 + 30 + 70)


# --------------------------------------------------------------------------------------------- against a plain account


@dataclass
class Account:
    """The obvious twin: lists of what was used and what is in flight, summed anew each time."""

    limits: Limits
    used: list[tuple[str, Use]] = field(default_factory=list)
    flying: dict[str, tuple[str, Use]] = field(default_factory=dict)

    def totals(self, *, in_flight: bool) -> tuple[int, int, int]:
        uses = [*self.used, *(self.flying.values() if in_flight else ())]
        prices = {"a": CHEAP, "b": FREE}
        return (
            sum(each.num_requests for _, each in uses),
            sum(each.prompt_tokens + each.completion_tokens for _, each in uses),
            sum(prices[lane].cost(each) for lane, each in uses),
        )


LIMIT = st.none() | st.integers(0, 400)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "answer", "fail", "release", "stored"]), st.integers(0, 5), st.integers(0, 30)
    ),
    max_size=60,
)


@given(limits=st.builds(Limits, max_requests=LIMIT, max_tokens=LIMIT, max_cost=LIMIT), steps=STEPS)
def test_what_is_used_and_what_is_in_flight_never_exceed_a_limit_together(
    limits: Limits, steps: list[tuple[str, int, int]]
) -> None:
    ledger, account = books(limits), Account(limits)
    rows: list[tuple[str, Use]] = []
    for verb, number, tokens in steps:
        key, lane = str(number), "ab"[number % 2]
        if verb == "reserve":
            if ledger.holds(key):
                continue
            most = use(tokens, number)
            if ledger.reserve(key, lane, most) is None:
                account.flying[key] = (lane, most)
        elif verb == "stored":
            ledger.stored(key)
        elif key in account.flying:
            _, most = account.flying.pop(key)
            actual = use(
                min(tokens, most.prompt_tokens), most.completion_tokens, cached=min(tokens, most.prompt_tokens) // 2
            )
            if verb == "release":
                ledger.release(key)
                continue
            account.used.append((lane, actual))
            if verb == "answer":
                ledger.answer(key, actual, use(actual.prompt_tokens, actual.completion_tokens))
                rows.append((lane, use(actual.prompt_tokens, actual.completion_tokens)))
            else:
                ledger.fail(key, actual)
        assert used(ledger) == account.totals(in_flight=False)
        for limit, total in zip(
            (limits.max_requests, limits.max_tokens, limits.max_cost), account.totals(in_flight=True), strict=True
        ):
            assert limit is None or total <= limit
    ledger.write_off()
    told = {lane: sum((each for at, each in rows if at == lane), Use()) for lane in "ab"}
    ledger.reconcile(told)
    assert used(ledger) == account.totals(in_flight=True)
    again = Ledger(limits, {"a": CHEAP, "b": FREE}, stored=told, besides=ledger.besides)
    assert used(again) == used(ledger)
