"""The budget: nothing is sent that might break it, whatever comes back, and what fits is sent."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
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
from fastinstruct.lm.scheduling.channel import Channel
from fastinstruct.lm.scheduling.fleet import Fleet
from fastinstruct.lm.scheduling.job import ListSource, Source
from fastinstruct.lm.scheduling.scheduler import Delivery, Job, Scheduler
from fastinstruct.lm.transports.base import Transport
from fastinstruct.pipeline.budget.budget import Budget
from fastinstruct.pipeline.budget.ledger import Ledger, Limits, Price, Use
from fastinstruct.pipeline.budget.stop_rules import Stop
from fastinstruct.pipeline.budget.worst_case import WorstCase
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


def new_budget(limits: Limits | None = None, price: Price | None = None) -> Budget:
    ledger = Ledger(limits or Limits(), dict.fromkeys(LANES, price))
    return Budget(ledger, WorstCase({lane: {} for lane in LANES}))


# ------------------------------------------------------------------------------------------------ what an attempt costs


def test_what_goes_out_again_is_paid_for_again_or_does_not_go_out() -> None:
    budget = new_budget(Limits(max_requests=3))
    assert budget.resend(request("never reserved"))
    assert budget.reserve(job("a"))
    assert budget.resend(request("a"))
    assert (budget.ledger.num_requests, budget.ledger.num_reserved) == (1, 1)
    assert budget.reserve(job("b"))
    assert not budget.resend(request("a"))  # one used, two out
    assert (budget.ledger.num_requests, budget.ledger.num_reserved) == (1, 2)
    budget.settle(job("a"), ok(7, 5))
    assert budget.ledger.num_requests == 2
    assert budget.ledger.num_tokens == MOST.prompt_tokens + MOST.completion_tokens + 12


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
    budget = new_budget()
    assert budget.reserve(job("k"))
    budget.settle(job("k"), outcome)
    assert budget.ledger.used["first"] == expected
    assert not budget.ledger.holds("k")


def test_counts_that_cannot_be_right_are_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    budget = new_budget()
    for key in ("a", "b"):
        budget.reserve(job(key))
        budget.settle(job(key), ok(prompt_tokens=5, completion_tokens=MOST_TOKENS))
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        "the server of first says that one reply took 1,099,511,627,776 tokens or more"
    ]
    assert budget.ledger.used["first"].completion_tokens == 2 * MOST_TOKENS


def test_an_attempt_is_reserved_once_however_often_it_is_asked_about_and_settled_once() -> None:
    budget = new_budget(Limits(max_requests=1))
    assert [budget.reserve(job("k")) for _ in range(3)] == [True, True, True]
    assert budget.has_reserved
    for _ in range(2):
        budget.settle(job("k"), Truncated("x"))
    assert budget.ledger.num_requests == 1
    assert not budget.has_reserved


def test_a_server_that_bills_more_than_it_was_asked_for_makes_later_requests_look_dearer() -> None:
    budget = new_budget(Limits(max_tokens=400))
    budget.reserve(job("k"))
    budget.settle(job("k"), ok(100, 80))
    assert budget.refusal("second", [request("l")]) is None
    assert budget.refusal("first", [request("l")]) is None
    assert budget.refusal("second", [request("l"), request("m")]) == stop(used=180, next_use=300)
    assert budget.refusal("first", [request("l"), request("m")]) == stop(used=180, next_use=440)


def stop(used: int, next_use: int, limit: int = 400) -> Stop:
    return Stop(rule="max_tokens", used=used, limit=limit, next_use=next_use)


# ------------------------------------------------------------------------------------------ with retries, in their time


@dataclass
class Server(Transport):
    """Answers by a script and bills what it likes: a whole worst case for whatever it had begun, nothing it refused."""

    outcomes: deque[tuple[float, Outcome]]
    limits: Limits
    price: Price
    billed: list[Use] = field(default_factory=list)
    sent: list[tuple[float, str]] = field(default_factory=list)
    endpoint: Endpoint = field(default_factory=lambda: Endpoint(base_url="http://127.0.0.1:9/v1", model="m"))

    async def send(self, asked: Request) -> Outcome:
        self.sent.append((asyncio.get_running_loop().time(), asked.key))
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


@dataclass
class Ran:
    """A scheduler that has worked on jobs within a budget, in virtual time, and what it kept back in half a second."""

    server: Server
    budget: Budget
    delivered: list[Delivery[str]]
    scheduler: Scheduler[str]
    kept_back: Job[str] | None

    @property
    def names(self) -> list[str]:
        return [delivery.job.about for delivery in self.delivered]


def run(
    server: Server,
    source: Source[str],
    budget: Budget,
    num_slots: int = 4,
    *,
    most_of_each: int | None = None,
    deliver: Callable[[Delivery[str]], Awaitable[None]] | None = None,
) -> Ran:
    delivered: list[Delivery[str]] = []
    found: list[Job[str] | None] = []

    async def keep(delivery: Delivery[str]) -> None:
        await asyncio.sleep(0.05)
        delivered.append(delivery)

    async def work() -> Scheduler[str]:
        scheduler: Scheduler[str] = Scheduler(
            Fleet.of(Channel.unlimited(server)),
            max_in_flight=num_slots,
            policy=RetryPolicy(max_attempts=3),
            rng=random.Random(0),
            allowance=budget,
            most_of_each=most_of_each,
        )
        asyncio.get_running_loop().call_later(0.5, lambda: found.append(scheduler.refused))
        await scheduler.run(source, deliver or keep)
        return scheduler

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        scheduler = runner.run(work())
    return Ran(server, budget, delivered, scheduler, found[0] if found else None)


def jobs(*names: str) -> ListSource[str]:
    return ListSource([job(name) for name in names])


def answering(limits: Limits, *outcomes: tuple[float, Outcome]) -> Server:
    return Server(deque(outcomes), limits, Price())


def test_what_does_not_fit_stays_in_its_source_and_comes_once_something_has_settled() -> None:
    limits = Limits(max_tokens=300)
    ran = run(
        answering(limits, (1.0, ok(10, 5)), (2.0, ok(10, 5)), (1.0, ok(10, 5))), jobs("a", "b", "c"), new_budget(limits)
    )
    assert ran.kept_back is not None
    assert ran.kept_back.about == "c"
    assert ran.server.sent == [(0.0, "a"), (0.0, "b"), (2.0, "c")]  # 15 of the first are too many beside b's 150
    assert (ran.names, ran.scheduler.refused) == (["a", "b", "c"], None)


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
    limits = Limits(max_tokens=250)
    ran = run(
        answering(limits, (1.0, ok(10, 5)), (1.0, ok(10, 1))), Both([job("a"), job("b"), small]), new_budget(limits)
    )
    assert ran.kept_back is not None
    assert (ran.kept_back.about, ran.kept_back.lane) == ("b", "first")
    assert ran.server.sent == [(0.0, "a"), (0.0, "small"), (1.0, "b")]


def test_a_repetition_has_to_fit_too_and_says_so_if_it_does_not() -> None:
    limits = Limits(max_tokens=300)
    ran = run(answering(limits, (1.0, Truncated("x")), (2.0, ok(10, 5))), jobs("a", "b"), new_budget(limits))
    assert ran.names == ["b"]
    assert ran.scheduler.refused is not None
    assert ran.scheduler.refused.about == "a"
    assert ran.budget.refusal("first", [request("a")]) == stop(used=165, next_use=150, limit=300)
    ran = run(answering(limits, (1.0, RateLimited()), (9.0, ok(10, 5))), jobs("a", "b"), new_budget(limits))
    assert (ran.names, ran.scheduler.refused) == (["a", "b"], None)


def test_a_sample_begins_so_many_of_each_lane_and_no_limit_refuses_the_rest() -> None:
    source = ListSource([job(f"{lane}-{number}", lane) for lane in LANES for number in range(3)][:5])
    ran = run(answering(Limits(), (1.0, Truncated("x"))), source, new_budget(), most_of_each=2)
    assert (sorted(ran.names), ran.scheduler.refused) == (["first-0", "first-1"], None)
    assert [name for _, name in ran.server.sent].count("first-0") == 2


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
    budget = new_budget(limits, price)
    server = Server(deque(outcomes), limits, price)
    ran = run(server, jobs(*(f"j{n}" for n in range(40))), budget, num_slots)
    assert sum(server.billed, Use()).num_tokens <= budget.ledger.num_tokens
    # All was done, or what is left would not have fitted on top of what was used, with nothing in flight.
    if len(ran.delivered) < 40:
        assert ran.scheduler.refused is not None
        assert budget.ledger.broken_by("first", MOST) is not None
    else:
        assert ran.scheduler.refused is None


def test_a_budget_for_many_is_used_up_to_less_than_one_more_request() -> None:
    limits = Limits(max_tokens=10_000)
    budget = new_budget(limits)
    ran = run(answering(limits), jobs(*(f"j{n}" for n in range(500))), budget, 64)
    assert len(ran.delivered) == (10_000 - 150) // 80 + 1
    assert 10_000 - 150 < budget.ledger.num_tokens <= 10_000


def test_a_run_whose_repetitions_do_not_fit_ends_instead_of_waiting_for_ever() -> None:
    limits = Limits(max_tokens=160)
    ran = run(answering(limits, (1.0, Truncated("x"))), jobs("a"), new_budget(limits))
    assert ran.delivered == []
    assert ran.budget.refusal("first", [request("a")]) == stop(used=150, next_use=150, limit=160)


def test_a_delivery_that_waits_for_a_job_that_never_fits_again_does_not_hold_up_the_end() -> None:
    """Where deliveries are acted upon in order, the second waits for the first, whose repetition does not fit."""
    limits = Limits(max_tokens=300)
    server = answering(limits, (1.0, Truncated("x")), (2.0, ok(100, 50)))
    first = asyncio.Event()

    async def deliver(delivery: Delivery[str]) -> None:
        if delivery.job.about != "first":
            await first.wait()

    ran = run(server, jobs("first", "second"), new_budget(limits), 2, deliver=deliver)
    assert ran.scheduler.refused is not None
    assert ran.scheduler.refused.about == "first"
