"""The gate: nothing is sent that might break a budget, whatever comes back, and nothing fits no more is sent either."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastinstruct.lm import (
    Aborted,
    BadRequest,
    Deadline,
    Endpoint,
    Fatal,
    Ok,
    Outcome,
    Overloaded,
    RateLimited,
    Request,
    RetryPolicy,
    Transient,
    Truncated,
)
from fastinstruct.lm.channel import Channel
from fastinstruct.lm.fleet import Fleet
from fastinstruct.lm.jobs import ListSource
from fastinstruct.lm.scheduler import Delivery, Job, Scheduler
from fastinstruct.pipeline.ledger import Ledger, Limits, Price, Use
from fastinstruct.pipeline.spending import Gate, Refusal, Spending
from fastinstruct.pipeline.worst_case import WorstCase
from fastinstruct.records import MOST_TOKENS, Completion, FinishReason, Sampling, Usage
from virtual_time import VirtualTimeLoop

PROMPT = "x" * 36
MOST = Use(num_requests=1, prompt_tokens=100, completion_tokens=50)  # of each request below: 36 bytes, and 64 around
FILTERED = Use(num_requests=1, prompt_tokens=70, completion_tokens=9)
LANES = ("first", "second")


def request(key: str) -> Request:
    return Request(key=key, prompt=PROMPT, sampling=Sampling(max_tokens=50))


def job(name: str, lane: str = "first") -> Job[str]:
    return Job(request=request(name), about=name, lane=lane)


def ok(prompt_tokens: int = 0, completion_tokens: int = 0, cached_tokens: int = 0) -> Ok:
    usage = Usage(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, cached_tokens=cached_tokens)
    return Ok(Completion(text="x", finish_reason=FinishReason.STOP, usage=usage, model="m"))


def untold(prompt_tokens: int = 0) -> Ok:
    """A reply whose usage does not say, or not as a number, how long the completion was."""
    usage = Usage(prompt_tokens=prompt_tokens, completion_is_told=False)
    return Ok(Completion(text="x", finish_reason=FinishReason.STOP, usage=usage, model="m"))


def new_spending(limits: Limits | None = None, price: Price | None = None) -> Spending:
    ledger = Ledger(limits or Limits(), dict.fromkeys(LANES, price))
    return Spending(ledger, WorstCase({lane: {} for lane in LANES}))


def always(_: str) -> bool:
    return True


def drawn(gate: Gate[str]) -> list[str]:
    found = []
    while (each := gate.next(always)) is not None:
        found.append(each.about)
    return found


# ------------------------------------------------------------------------------------------------ what an attempt costs


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (ok(70, 20, 30), Use(num_requests=1, prompt_tokens=70, completion_tokens=20, cached_tokens=30)),
        (ok(70), Use(num_requests=1, prompt_tokens=70)),
        (ok(), MOST),
        (ok(completion_tokens=20), Use(num_requests=1, prompt_tokens=100, completion_tokens=20)),
        (BadRequest("content_filter", None, "cut", Usage(prompt_tokens=70, completion_tokens=9)), FILTERED),
        (BadRequest("other", None, "no content", Usage()), MOST),
        (untold(prompt_tokens=70), Use(num_requests=1, prompt_tokens=70, completion_tokens=MOST.completion_tokens)),
        (untold(), MOST),
        (Truncated("broke off"), MOST),
        (Deadline(), MOST),
        (Aborted(), MOST),
        (Transient("server", "500"), MOST),
        (Transient("disconnected", "reset"), MOST),
        (Transient("connect", "refused"), Use()),
        (Transient("dns", "unknown"), Use()),
        (Transient("fd_limit", "24"), Use()),
        (RateLimited(), Use()),
        (Overloaded(), Use()),
        (BadRequest("context_overflow", None, "400: too long"), Use()),
        (Fatal("auth", "401", 401), Use()),
    ],
    ids=repr,
)  # fmt: skip
def test_what_an_attempt_counts_as(outcome: Outcome, expected: Use) -> None:
    spending = new_spending()
    assert spending.reserve("first", request("k")) is None
    spending.settle("first", request("k"), outcome)
    assert spending.ledger.used["first"] == expected
    assert not spending.ledger.holds("k")


def test_counts_that_cannot_be_right_are_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    spending = new_spending()
    for key in ("a", "b"):
        spending.reserve("first", request(key))
        spending.settle("first", request(key), ok(prompt_tokens=5, completion_tokens=MOST_TOKENS))
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        "the server of first says that one reply took 1,099,511,627,776 tokens or more"
    ]
    assert spending.ledger.used["first"].completion_tokens == 2 * MOST_TOKENS


def test_an_attempt_is_reserved_once_however_often_it_is_asked_about_and_settled_once() -> None:
    spending = new_spending(Limits(max_requests=1))
    assert [spending.reserve("first", request("k")) for _ in range(3)] == [None, None, None]
    for _ in range(2):
        spending.settle("first", request("k"), Truncated("x"))
    assert spending.ledger.num_requests == 1


def test_a_server_that_bills_more_than_it_was_asked_for_makes_later_requests_look_dearer() -> None:
    spending = new_spending()
    spending.reserve("first", request("k"))
    spending.settle("first", request("k"), ok(100, 80))
    assert spending.most("first", [request("l")]).completion_tokens == 120
    assert spending.most("second", [request("l")]) == MOST


# ------------------------------------------------------------------------------------------------------------ the gate


def test_what_does_not_fit_stays_in_its_source_and_comes_once_something_has_settled() -> None:
    gate = Gate(ListSource([job("a"), job("b"), job("c")]), new_spending(Limits(max_tokens=300)))
    assert drawn(gate) == ["a", "b"]
    assert gate.refused == Refusal(limit="max_tokens", lane="first", most=MOST)
    gate.attempted(job("a"), ok(10, 5))
    assert drawn(gate) == []
    gate.attempted(job("b"), ok(10, 5))
    assert drawn(gate) == ["c"]
    assert gate.refused is None


def test_another_lane_goes_on_where_one_does_not_fit() -> None:
    class Both(ListSource[str]):
        """Gives the first job whose lane is open."""

        def __init__(self, jobs: Sequence[Job[str]]) -> None:
            super().__init__(jobs)
            self.held = list(jobs)

        def next(self, is_open: Callable[[str], bool]) -> Job[str] | None:
            found = next((each for each in self.held if is_open(each.lane)), None)
            if found is not None:
                self.held.remove(found)
            return found

        def take_back(self, job: Job[str]) -> None:
            self.held.insert(0, job)

    small = Job(request=Request(key="small", prompt="", sampling=Sampling(max_tokens=1)), about="small", lane="second")
    gate = Gate(Both([job("a"), job("b"), small]), new_spending(Limits(max_tokens=250)))
    assert drawn(gate) == ["a", "small"]
    assert gate.refused is not None
    assert gate.refused.lane == "first"


def test_a_repetition_has_to_fit_too_and_says_so_if_it_does_not() -> None:
    gate = Gate(ListSource([job("a"), job("b")]), new_spending(Limits(max_tokens=300)))
    assert drawn(gate) == ["a", "b"]
    assert gate.may_send(job("a"))
    gate.attempted(job("a"), Truncated("x"))
    assert not gate.may_send(job("a"))
    assert gate.refused is not None
    gate.attempted(job("b"), ok(10, 5))
    assert not gate.may_send(job("a"))
    gate = Gate(ListSource([job("a"), job("b")]), new_spending(Limits(max_tokens=300)))
    drawn(gate)
    gate.attempted(job("a"), RateLimited())
    assert gate.may_send(job("a"))
    assert gate.refused is None


def test_a_job_that_is_given_back_costs_nothing() -> None:
    spending = new_spending(Limits(max_requests=1))
    gate = Gate(ListSource([job("a")]), spending)
    assert drawn(gate) == ["a"]
    gate.take_back(job("a"))
    assert drawn(gate) == ["a"]
    assert spending.ledger.num_requests == 0


def test_a_sample_lets_so_many_of_each_lane_through_and_no_limit_refuses_the_rest() -> None:
    jobs = [job(name, lane) for lane in LANES for name in (f"{lane}-1", f"{lane}-2", f"{lane}-3")]
    source = ListSource(jobs[:3])
    gate = Gate(source, new_spending(), most_of_each=2)
    assert drawn(gate) == ["first-1", "first-2"]
    assert gate.refused is None
    assert gate.may_send(job("first-1"))


# ------------------------------------------------------------------------------------------ with retries, in their time


@dataclass
class Server:
    """Answers by a script and bills what it likes: a whole worst case for whatever it had begun, nothing it refused."""

    outcomes: deque[tuple[float, Outcome]]
    limits: Limits
    price: Price
    billed: list[Use] = field(default_factory=list)
    endpoint: Endpoint = field(default_factory=lambda: Endpoint(base_url="http://127.0.0.1:9/v1", model="m"))

    async def send(self, _: Request) -> Outcome:
        latency_s, outcome = self.outcomes.popleft() if self.outcomes else (1.0, ok(60, 20))
        try:
            await asyncio.sleep(latency_s)
        finally:
            self.bill(outcome)
        return outcome

    def bill(self, outcome: Outcome) -> None:
        match outcome:
            case RateLimited() | Overloaded() | Transient(kind="connect"):
                return
            case Ok(completion=completion) if completion.usage != Usage():
                told = completion.usage
                self.billed.append(
                    Use(num_requests=1, prompt_tokens=told.prompt_tokens, completion_tokens=told.completion_tokens)
                )
            case _:
                self.billed.append(MOST)
        total = sum(self.billed, Use())
        assert total.num_requests <= (self.limits.max_requests or 10**9)
        assert total.num_tokens <= (self.limits.max_tokens or 10**9)
        assert self.price.cost(total) <= (self.limits.max_cost or 10**12)


def run(server: Server, gate: Gate[str], num_slots: int) -> list[Delivery[str]]:
    delivered: list[Delivery[str]] = []

    async def deliver(delivery: Delivery[str]) -> None:
        await asyncio.sleep(0.05)
        delivered.append(delivery)

    scheduler: Scheduler[str] = Scheduler(
        Fleet.of(Channel.unlimited(server)),
        max_in_flight=num_slots,
        policy=RetryPolicy(max_attempts=3),
        rng=random.Random(0),
    )
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(scheduler.run(gate, deliver))
    return delivered


OUTCOMES = st.one_of(
    st.builds(ok, st.integers(0, 100), st.integers(0, 50)),
    st.sampled_from(
        [
            RateLimited(1.0),
            Overloaded(),
            Transient("connect", "x"),
            Transient("server", "500"),
            Truncated("x"),
            Deadline(),
        ]
    ),
)


@settings(max_examples=150)
@given(
    outcomes=st.lists(st.tuples(st.floats(0.1, 20), OUTCOMES), max_size=60),
    limits=st.builds(
        Limits,
        max_requests=st.none() | st.integers(1, 30),
        max_tokens=st.none() | st.integers(1, 3000),
        max_cost=st.none() | st.integers(1, 60_000),
    ),
    num_slots=st.integers(1, 64),
)
def test_no_reply_no_failure_and_no_repetition_ever_breaks_a_budget(
    outcomes: list[tuple[float, Outcome]], limits: Limits, num_slots: int
) -> None:
    price = Price(input=10, cached_input=1, output=40)
    spending = new_spending(limits, price)
    server = Server(deque(outcomes), limits, price)
    gate = Gate(ListSource([job(f"j{n}") for n in range(40)]), spending)
    delivered = run(server, gate, num_slots)
    assert sum(server.billed, Use()).num_tokens <= spending.ledger.num_tokens
    # All was done, or what is left would not have fitted on top of what was used, with nothing in flight.
    if len(delivered) < 40:
        assert gate.refused is not None
        assert spending.ledger.broken_by("first", MOST) is not None
    else:
        assert gate.refused is None


def test_a_budget_for_many_is_used_up_to_less_than_one_more_request() -> None:
    limits = Limits(max_tokens=10_000)
    spending = new_spending(limits)
    server = Server(deque(), limits, Price())
    delivered = run(server, Gate(ListSource([job(f"j{n}") for n in range(500)]), spending), 64)
    assert len(delivered) == (10_000 - 150) // 80 + 1
    assert 10_000 - 150 < spending.ledger.num_tokens <= 10_000


def test_a_run_whose_repetitions_do_not_fit_ends_instead_of_waiting_for_ever() -> None:
    limits = Limits(max_tokens=160)
    server = Server(deque([(1.0, Truncated("x"))]), limits, Price())
    gate = Gate(ListSource([job("a")]), new_spending(limits))
    assert run(server, gate, 4) == []
    assert gate.refused == Refusal(limit="max_tokens", lane="first", most=MOST)


def test_a_delivery_that_waits_for_a_job_that_never_fits_again_does_not_hold_up_the_end() -> None:
    """Where deliveries are acted upon in order, the second waits for the first, whose repetition does not fit."""
    limits = Limits(max_tokens=300)
    server = Server(deque([(1.0, Truncated("x")), (2.0, ok(100, 50))]), limits, Price())
    spending = new_spending(limits)
    first = asyncio.Event()

    async def deliver(delivery: Delivery[str]) -> None:
        if delivery.job.about != "first":
            await first.wait()

    async def run_in_order() -> Gate[str]:
        scheduler: Scheduler[str] = Scheduler(
            Fleet.of(Channel.unlimited(server)), max_in_flight=2, policy=RetryPolicy(), rng=random.Random(0)
        )
        loop = asyncio.get_running_loop()
        gate = Gate(
            ListSource([job("first"), job("second")]),
            spending,
            on_room=scheduler.wake,
            on_exhausted=lambda: loop.call_soon(scheduler.stop),
        )
        await scheduler.run(gate, deliver)
        return gate

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        gate = runner.run(run_in_order())
    assert gate.refused is not None
    assert gate.refused.limit == "max_tokens"
