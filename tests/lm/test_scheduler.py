"""The one retry loop, in virtual time: what is sent when, what is delivered, and how a run ends."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import deque
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastinstruct.errors import (
    AuthenticationFailed,
    EndpointError,
    EndpointUnreachable,
    FastInstructError,
    ModelUnknown,
    ProtocolMismatch,
    QuotaExhausted,
)
from fastinstruct.lm import (
    BadRequest,
    Deadline,
    Fatal,
    Outcome,
    Overloaded,
    RateLimited,
    Request,
    RetryPolicy,
    Transient,
    Truncated,
)
from fastinstruct.lm.outcomes.outcomes import FatalKind
from fastinstruct.lm.scheduling.channel import Channel
from fastinstruct.lm.scheduling.fleet import Fleet
from fastinstruct.lm.scheduling.scheduler import Delivery, FailedAttempt, Job, Scheduler, Source, complete_all
from fastinstruct.lm.scheduling.statistics import SchedulerStatistics
from played import (
    OK,
    REFUSED,
    SERVER_ERROR,
    WHERE,
    Inbox,
    Jobs,
    Longest,
    Sender,
    Server,
    Step,
    bad,
    job,
    jobs,
    ok,
)
from virtual_time import VirtualTimeLoop, in_virtual_time, now

UNKNOWN_KEY = Fatal("auth", "401: check the key", 401)
IDLE = (0, 0)


def fleet(send: Callable[[Request], Awaitable[Outcome]]) -> Fleet:
    return Fleet.of(Channel.unlimited(Sender(send)))


def scheduler(
    server: Server, max_in_flight: int = 2, policy: RetryPolicy | None = None, rng: random.Random | None = None
) -> Scheduler[str]:
    return Scheduler(
        fleet(server.send),
        max_in_flight=max_in_flight,
        policy=policy or RetryPolicy(),
        rng=rng or Longest(),
    )


def held(scheduled: Scheduler[str]) -> tuple[int, int]:
    statistics = scheduled.statistics()
    return statistics.num_in_flight, statistics.num_waiting


# --------------------------------------------------------------------------------------------------------------- slots


@in_virtual_time
async def test_there_are_never_more_in_flight_than_slots() -> None:
    rng = random.Random(5)
    names = [str(n) for n in range(200)]
    server, inbox = Server({name: [(rng.expovariate(1), OK)] for name in names}), Inbox()
    await scheduler(server, 7).run(jobs(names), inbox.deliver)
    assert server.most_in_flight == 7
    assert sorted(inbox.names) == sorted(names)


@in_virtual_time
async def test_a_freed_slot_is_filled_at_once_whatever_the_others_do() -> None:
    server, inbox = Server({"slow": [(10.0, OK)]}), Inbox()
    await scheduler(server, 2).run(jobs(["slow", "a", "b", "c", "d"]), inbox.deliver)
    assert server.sent == [(0, "slow"), (0, "a"), (1, "b"), (2, "c"), (3, "d")]
    assert inbox.times == {"a": 1, "b": 2, "c": 3, "d": 4, "slow": 10}


@in_virtual_time
async def test_many_slots_are_filled_by_and_by_and_the_loop_gets_on_meanwhile() -> None:
    server, inbox = Server(), Inbox()
    running = asyncio.create_task(scheduler(server, 500).run(jobs([str(n) for n in range(1000)]), inbox.deliver))
    steps = [0]
    while steps[-1] < 500:
        await asyncio.sleep(0)
        steps.append(len(server.sent))
    assert max(after - before for before, after in itertools.pairwise(steps)) == 32
    assert {moment for moment, _ in server.sent} == {0}
    await running
    assert len(inbox.names) == 1000


@in_virtual_time
async def test_a_slot_is_held_until_delivery_returns() -> None:
    server, inbox = Server(), Inbox()

    async def deliver_slowly(delivery: Delivery[str]) -> None:
        await asyncio.sleep(5)
        await inbox.deliver(delivery)

    scheduled = scheduler(server, 1)
    await scheduled.run(jobs("ab"), deliver_slowly)
    assert server.sent == [(0, "a"), (6, "b")]
    assert inbox.times == {"a": 6, "b": 12}


@in_virtual_time
async def test_while_paused_nothing_is_sent_and_what_is_in_flight_is_delivered() -> None:
    server, inbox, loop = Server(), Inbox(), asyncio.get_running_loop()
    scheduled = scheduler(server, 2)
    loop.call_later(0.5, lambda: scheduled.pause(is_paused=True))
    loop.call_later(7.5, lambda: scheduled.pause(is_paused=False))
    await scheduled.run(jobs("abc"), inbox.deliver)
    assert server.sent == [(0, "a"), (0, "b"), (7.5, "c")]
    assert inbox.times == {"a": 1, "b": 1, "c": 8.5}


@in_virtual_time
async def test_a_paused_run_can_be_stopped() -> None:
    server, inbox, loop = Server(), Inbox(), asyncio.get_running_loop()
    scheduled = scheduler(server, 2)
    scheduled.pause(is_paused=True)
    loop.call_later(3, scheduled.stop)
    await scheduled.run(jobs("abc"), inbox.deliver)
    assert (server.sent, now()) == ([], 3)


@in_virtual_time
async def test_jobs_are_drawn_only_when_a_slot_is_free() -> None:
    source, drawn_at = jobs("abcd"), []
    original = source.next

    def next_(is_open: Callable[[str], bool]) -> Job[str] | None:
        drawn = original(is_open)
        if drawn is not None:
            drawn_at.append(now())
        return drawn

    source.next = next_  # type: ignore[method-assign]  # a spy
    await scheduler(Server(), 2).run(source, Inbox().deliver)
    assert drawn_at == [0, 0, 1, 1]


@in_virtual_time
async def test_a_delivery_may_bring_more_work() -> None:
    source, inbox = jobs("a"), Inbox()

    async def deliver(delivery: Delivery[str]) -> None:
        await inbox.deliver(delivery)
        if len(inbox.names) < 4:
            source.waiting.append(delivery.job.about + "'")

    await scheduler(Server()).run(source, deliver)
    assert inbox.times == {"a": 1, "a'": 2, "a''": 3, "a'''": 4}


@in_virtual_time
async def test_waking_looks_for_work_that_came_from_elsewhere() -> None:
    source, inbox, server = jobs(["slow"]), Inbox(), Server({"slow": [(10.0, OK)]})
    scheduled = scheduler(server)
    asyncio.get_running_loop().call_later(3, source.waiting.append, "late")
    asyncio.get_running_loop().call_later(4, scheduled.wake)
    await scheduled.run(source, inbox.deliver)
    assert inbox.times == {"late": 5, "slow": 10}


@in_virtual_time
async def test_a_source_without_work_ends_the_run_at_once() -> None:
    await scheduler(Server()).run(jobs(""), Inbox().deliver)
    assert now() == 0


# ------------------------------------------------------------------------------------------------------------- retries


@in_virtual_time
async def test_a_job_that_waits_for_its_next_attempt_holds_no_slot() -> None:
    server, inbox = Server({"a": [(1.0, SERVER_ERROR), (1.0, OK)], "slow": [(9.0, OK)]}), Inbox()
    await scheduler(server, 2).run(jobs(["slow", "a", "b", "c"]), inbox.deliver)
    # The wait of half a second is over at 1.5; there is a slot for it at 2.
    assert server.sent == [(0, "slow"), (0, "a"), (1, "b"), (2, "a"), (3, "c")]
    assert inbox.names == ["b", "a", "c", "slow"]


@in_virtual_time
async def test_with_one_slot_nothing_overtakes_a_job_that_waits() -> None:
    server, inbox = Server({"a": [(1.0, SERVER_ERROR), (1.0, OK)]}), Inbox()
    await scheduler(server, 1).run(jobs("abc"), inbox.deliver)
    assert server.sent == [(0, "a"), (1.5, "a"), (2.5, "b"), (3.5, "c")]
    assert inbox.names == ["a", "b", "c"]


@in_virtual_time
async def test_backoff_doubles_and_attempts_end_at_the_limit() -> None:
    server, inbox = Server(usual=(0.0, SERVER_ERROR)), Inbox()
    await scheduler(server, policy=RetryPolicy(max_attempts=4)).run(jobs("a"), inbox.deliver)
    assert server.times("a") == [0, 0.5, 1.5, 3.5]
    [delivery] = inbox.deliveries
    assert delivery.outcome == SERVER_ERROR
    assert delivery.failed == tuple(
        FailedAttempt(attempt=n, outcome="transient", detail="server: HTTP 500", latency_s=0) for n in (1, 2, 3)
    )


@in_virtual_time
async def test_a_delivery_tells_its_failed_attempts_and_the_last_ones_latency() -> None:
    server, inbox = Server({"a": [(2.0, Truncated("cut")), (3.0, RateLimited(10.0)), (4.0, OK)]}), Inbox()
    await scheduler(server).run(jobs("a"), inbox.deliver)
    assert inbox.deliveries == [
        Delivery(
            job=job("a"),
            outcome=OK,
            failed=(
                FailedAttempt(attempt=1, outcome="truncated", detail="cut", latency_s=2),
                FailedAttempt(attempt=2, outcome="rate_limited", detail="rate_limited", latency_s=3),
            ),
            latency_s=4,
        )
    ]


@pytest.mark.parametrize("wait", [RateLimited(7.0), Overloaded(7.0)])
@in_virtual_time
async def test_a_servers_hint_is_waited_for_with_a_tenth_of_jitter(wait: Outcome) -> None:
    server = Server({"a": [(0.0, wait), (0.0, OK)]})
    await scheduler(server).run(jobs("a"), Inbox().deliver)
    assert server.times("a") == [0, pytest.approx(7.7)]


@in_virtual_time
async def test_waits_for_a_rate_limit_cost_no_attempts_but_end_at_their_own_limit() -> None:
    server, inbox = Server({"a": [(0.0, RateLimited(10.0))]}), Inbox()
    policy = RetryPolicy(max_attempts=2, max_rate_limit_waits=3)
    await scheduler(server, policy=policy).run(jobs("a"), inbox.deliver)
    assert server.times("a") == [0, pytest.approx(11), pytest.approx(22), pytest.approx(33)]
    assert inbox.deliveries[0].outcome == RateLimited(10.0)


@in_virtual_time
async def test_a_deadline_is_tried_once_more() -> None:
    server, inbox = Server(usual=(600.0, Deadline())), Inbox()
    await scheduler(server).run(jobs("a"), inbox.deliver)
    assert server.times("a") == [0, 600.5]
    assert inbox.deliveries[0].outcome == Deadline()


@pytest.mark.parametrize(
    "outcome", [BadRequest("content_filter", None, "no"), BadRequest("context_overflow", None, "too long"), bad("no")]
)
@in_virtual_time
async def test_a_refused_request_is_not_sent_again(outcome: Outcome) -> None:
    server, inbox = Server(usual=(1.0, outcome)), Inbox()
    await scheduler(server).run(jobs("a"), inbox.deliver)
    assert len(server.sent) == 1
    assert inbox.deliveries[0].outcome == outcome


@in_virtual_time
async def test_jobs_that_wait_are_bounded() -> None:
    """A server that sends everything back must not collect jobs without end."""
    rng, names = random.Random(3), [str(n) for n in range(5_000)]
    server, source = Server({name: [(rng.uniform(0, 60), RateLimited(20.0))] for name in names}), jobs(names)
    scheduled = scheduler(server, 5, RetryPolicy(max_rate_limit_waits=10**9))
    running = asyncio.create_task(scheduled.run(source, Inbox().deliver))
    most = 0
    for _ in range(5000):
        await asyncio.sleep(1)
        most = max(most, sum(held(scheduled)))
    assert most == len(source.drawn) == 9  # twice the slots, less one
    scheduled.abort()
    await running


# -------------------------------------------------------------------------------------------------------------- outage


@in_virtual_time
async def test_an_unreachable_server_costs_no_attempts() -> None:
    """After nine failed connections a job has as many attempts as before the first."""
    script: list[Step] = [*[(0.0, REFUSED)] * 9, (0.0, SERVER_ERROR), (0.0, OK)]
    server, inbox = Server({"a": script}), Inbox()
    await scheduler(server, policy=RetryPolicy(max_attempts=2)).run(jobs("a"), inbox.deliver)
    assert inbox.deliveries[0].outcome == OK
    assert len(inbox.deliveries[0].failed) == 10


@in_virtual_time
async def test_a_deadline_after_an_outage_is_still_tried_once_more() -> None:
    server, inbox = Server({"a": [(0.0, REFUSED), (0.0, Deadline()), (0.0, OK)]}), Inbox()
    await scheduler(server).run(jobs("a"), inbox.deliver)
    assert inbox.deliveries[0].outcome == OK


@pytest.mark.parametrize("kind", ["connect", "connect_timeout", "dns", "tls", "proxy"])
@in_virtual_time
async def test_an_outage_that_lasts_ends_the_run(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    server, inbox = Server(usual=(0.0, Transient(kind, "nobody there"))), Inbox()
    with pytest.raises(EndpointUnreachable, match=WHERE):
        await scheduler(server, policy=RetryPolicy(cap_s=8.0)).run(jobs("abc"), inbox.deliver)
    assert 120 < now() <= 130
    assert inbox.deliveries == []
    assert caplog.messages == [f"{WHERE}: no connection ({kind}: nobody there); trying again"]


@in_virtual_time
async def test_one_answer_ends_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    server = Server({"a": [(100.0, REFUSED), (5.0, OK)], "b": [(100.0, REFUSED), (50.0, REFUSED), (1.0, OK)]})
    inbox = Inbox()
    await scheduler(server).run(jobs("ab"), inbox.deliver)
    assert [delivery.outcome for delivery in inbox.deliveries] == [OK, OK]
    assert len(caplog.messages) == 2


# --------------------------------------------------------------------------------------------------- ends of their own


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("auth", AuthenticationFailed),
        ("quota", QuotaExhausted),
        ("model", ModelUnknown),
        ("protocol", ProtocolMismatch),
    ],
)
@in_virtual_time
async def test_a_fatal_answer_ends_the_run_and_what_is_in_flight_is_delivered(
    kind: FatalKind, error: type[EndpointError]
) -> None:
    server = Server({"a": [(1.0, Fatal(kind, "do this"))], "b": [(9.0, OK)], "r": [(0.5, SERVER_ERROR)]})
    inbox, source = Inbox(), jobs("abrc")
    with pytest.raises(error, match=r"^do this$"):
        await scheduler(server, 3, rng=random.Random(0)).run(source, inbox.deliver)
    assert now() == 9
    assert set(inbox.names) <= {"b", "c"}
    assert "b" in inbox.names
    assert server.cancelled == []


@in_virtual_time
async def test_a_refused_key_that_worked_before_is_asked_once_more() -> None:
    server, inbox = Server({"b": [(1.0, UNKNOWN_KEY), (1.0, OK)]}), Inbox()
    await scheduler(server, 1).run(jobs("ab"), inbox.deliver)
    assert server.times("b") == [1, 3]
    assert inbox.names == ["a", "b"]


@in_virtual_time
async def test_a_key_refused_twice_ends_the_run() -> None:
    server, inbox = Server({"b": [(1.0, UNKNOWN_KEY)]}), Inbox()
    with pytest.raises(AuthenticationFailed, match="check the key"):
        await scheduler(server, 1).run(jobs("ab"), inbox.deliver)
    assert server.times("b") == [1, 3]


@in_virtual_time
async def test_a_key_that_never_worked_ends_the_run_at_once() -> None:
    server = Server(usual=(1.0, UNKNOWN_KEY))
    with pytest.raises(AuthenticationFailed):
        await scheduler(server, 1).run(jobs("ab"), Inbox().deliver)
    assert server.sent == [(0, "a")]


@in_virtual_time
async def test_asking_a_key_again_is_no_wait_for_a_rate_limit() -> None:
    server, inbox = Server({"b": [(0.0, UNKNOWN_KEY), (0.0, RateLimited(1.0)), (0.0, OK)]}), Inbox()
    await scheduler(server, 1, policy=RetryPolicy(max_rate_limit_waits=1)).run(jobs("ab"), inbox.deliver)
    assert [delivery.outcome for delivery in inbox.deliveries] == [OK, OK]


@in_virtual_time
async def test_five_identical_refusals_without_a_success_end_the_run() -> None:
    server, inbox = Server(usual=(1.0, bad("n must be 1"))), Inbox()
    with pytest.raises(ProtocolMismatch) as caught:
        await scheduler(server, 1).run(jobs("abcdefgh"), inbox.deliver)
    assert str(caught.value) == f"{WHERE}: refuses every request: n must be 1"
    assert len(server.sent) == 5
    assert inbox.names == list("abcde")


EMPTY = BadRequest("empty_reply", None, "the model thought and gave no answer; raise max_tokens")


@in_virtual_time
async def test_replies_that_are_all_empty_end_the_run_after_the_first_few_each_paid_for_once() -> None:
    server, inbox = Server(usual=(1.0, EMPTY)), Inbox()
    with pytest.raises(ProtocolMismatch) as caught:
        await scheduler(server, 1).run(jobs("abcdefgh"), inbox.deliver)
    told = "every request: the model thought and gave no answer; raise max_tokens"
    assert str(caught.value) == f"{WHERE}: {told}"
    assert [name for _, name in server.sent] == list("abcde")
    assert inbox.names == list("abcde")


@in_virtual_time
async def test_a_lane_whose_replies_are_all_empty_ends_the_run_though_others_are_answered() -> None:
    names = [f"{lane}/{n}" for n in range(9) for lane in ("tasks", "labels")]
    server = Server({name: [(1.0, EMPTY)] for name in names if name.startswith("labels")})
    with pytest.raises(ProtocolMismatch, match=r"/v1: labels: the model thought and gave no answer; raise max_tokens$"):
        await scheduler(server, 1).run(jobs(names), Inbox().deliver)
    assert len(server.sent) == 10


@in_virtual_time
async def test_empty_replies_among_others_of_their_lane_end_nothing() -> None:
    names = [str(n) for n in range(30)]
    server, inbox = Server({name: [(1.0, EMPTY)] for name in names[1:]}), Inbox()
    await scheduler(server, 1).run(jobs(names), inbox.deliver)
    assert len(inbox.names) == 30


@in_virtual_time
async def test_refusals_that_differ_or_follow_a_success_end_nothing() -> None:
    names = [str(n) for n in range(30)]
    differing = Server({name: [(1.0, bad(str(int(name) % 4)))] for name in names})
    inbox = Inbox()
    await scheduler(differing, 1).run(jobs(names), inbox.deliver)
    assert inbox.names == names
    after_success = Server({"0": [(1.0, OK)]}, usual=(1.0, bad("same")))
    inbox = Inbox()
    await scheduler(after_success, 1).run(jobs(names), inbox.deliver)
    assert inbox.names == names


# ------------------------------------------------------------------------------------------------- stopping on request


@in_virtual_time
async def test_stopping_finishes_what_is_in_flight_and_draws_nothing_more() -> None:
    server, inbox, source = Server(usual=(10.0, OK)), Inbox(), jobs("abcdef")
    scheduled = scheduler(server, 2)
    asyncio.get_running_loop().call_later(3, scheduled.stop)
    asyncio.get_running_loop().call_later(4, scheduled.stop)
    await scheduled.run(source, inbox.deliver)
    assert (source.drawn, inbox.names, now()) == (["a", "b"], ["a", "b"], 10)
    assert held(scheduled) == IDLE


@in_virtual_time
async def test_stopping_leaves_retries_for_a_later_run() -> None:
    server = Server({"waits": [(1.0, RateLimited(100.0))], "fails": [(5.0, SERVER_ERROR)], "works": [(6.0, OK)]})
    scheduled, inbox = scheduler(server, 3), Inbox()
    asyncio.get_running_loop().call_later(3, scheduled.stop)
    await scheduled.run(jobs(["waits", "fails", "works"]), inbox.deliver)
    assert (inbox.names, now(), len(server.sent)) == (["works"], 6, 3)
    assert held(scheduled) == IDLE


@in_virtual_time
async def test_what_does_not_end_in_time_is_aborted() -> None:
    server, inbox = Server({"a": [(1e6, OK)], "b": [(20.0, OK)]}), Inbox()
    scheduled = scheduler(server)
    asyncio.get_running_loop().call_later(5, scheduled.stop)
    await scheduled.run(jobs("abc"), inbox.deliver)
    assert (inbox.names, server.cancelled, now()) == (["b"], [(35, "a")], 35)


@in_virtual_time
async def test_aborting_drops_what_is_in_flight_at_once() -> None:
    server, inbox = Server(usual=(1e6, OK)), Inbox()
    scheduled = scheduler(server)
    asyncio.get_running_loop().call_later(5, scheduled.stop)
    asyncio.get_running_loop().call_later(7, scheduled.abort)
    await scheduled.run(jobs("abc"), inbox.deliver)
    assert (inbox.names, sorted(server.cancelled), now()) == ([], [(7, "a"), (7, "b")], 7)
    assert held(scheduled) == IDLE


@in_virtual_time
async def test_a_scheduler_stopped_before_it_runs_draws_nothing() -> None:
    scheduled, source = scheduler(Server()), jobs("ab")
    scheduled.stop()
    await scheduled.run(source, Inbox().deliver)
    assert source.drawn == []


@in_virtual_time
async def test_no_timer_outlives_a_run() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    scheduled = scheduler(Server(usual=(1.0, RateLimited(1000.0))))
    running = asyncio.create_task(scheduled.run(jobs("abc"), Inbox().deliver))
    await asyncio.sleep(2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert loop.num_timers == 0
    assert held(scheduled) == IDLE
    stopped = scheduler(Server())
    loop.call_soon(stopped.stop)
    await stopped.run(jobs("abc"), Inbox().deliver)
    assert loop.num_timers == 0


# ------------------------------------------------------------------------------------------------------------ failures


async def assert_fails_after(
    source: Source[str], deliver: Callable[[Delivery[str]], Awaitable[None]], scheduled: Scheduler[str]
) -> BaseException:
    with pytest.raises(ZeroDivisionError) as caught:
        await scheduled.run(source, deliver)
    assert held(scheduled) == IDLE
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return caught.value


@in_virtual_time
async def test_an_exception_in_deliver_ends_the_run_and_what_is_in_flight_is_delivered() -> None:
    inbox, server, source = Inbox(), Server({"b": [(9.0, OK)]}), jobs("abcdef")

    async def deliver(delivery: Delivery[str]) -> None:
        if delivery.job.about == "a":
            raise ZeroDivisionError("first")
        await inbox.deliver(delivery)
        raise ZeroDivisionError("second")

    error = await assert_fails_after(source, deliver, scheduler(server))
    assert str(error) == "first"
    assert inbox.times == {"b": 9}
    assert source.drawn == ["a", "b"]


@in_virtual_time
async def test_an_exception_in_the_source_ends_the_run_and_what_is_in_flight_is_delivered() -> None:
    class Broken(Jobs):
        def next(self, is_open: Callable[[str], bool]) -> Job[str] | None:
            if len(self.drawn) == 2:
                raise ZeroDivisionError
            return super().next(is_open)

    inbox = Inbox()
    await assert_fails_after(Broken(deque("abcd")), inbox.deliver, scheduler(Server({"b": [(9.0, OK)]}), 3))
    assert inbox.times == {"a": 1, "b": 9}


@in_virtual_time
async def test_an_exception_in_send_ends_the_run() -> None:
    async def send(_: Request) -> Outcome:
        raise ZeroDivisionError

    scheduled: Scheduler[str] = Scheduler(fleet(send), max_in_flight=2, policy=RetryPolicy(), rng=random.Random(0))
    await assert_fails_after(jobs("abcd"), Inbox().deliver, scheduled)


@in_virtual_time
async def test_a_job_that_something_else_cancels_is_not_lost_silently() -> None:
    async def deliver(_: Delivery[str]) -> None:
        raise asyncio.CancelledError

    with pytest.raises(FastInstructError, match="cancelled from outside"):
        await scheduler(Server()).run(jobs("abc"), deliver)


@in_virtual_time
async def test_cancelling_a_run_cancels_all_it_has_begun() -> None:
    server, inbox = Server({"w": [(0.0, SERVER_ERROR)]}, usual=(100.0, OK)), Inbox()
    scheduled = scheduler(server, 3)
    running = asyncio.create_task(scheduled.run(jobs("wabcd"), inbox.deliver))
    await asyncio.sleep(0.1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert sorted(key for _, key in server.cancelled) == ["a", "b", "c"]
    assert held(scheduled) == IDLE
    await asyncio.sleep(1000)
    assert len(server.sent) == 4
    assert inbox.deliveries == []


@in_virtual_time
async def test_a_delivery_that_fails_while_it_is_cancelled_leaves_nothing_behind() -> None:
    async def deliver(_: Delivery[str]) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            raise ZeroDivisionError

    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    scheduled = scheduler(Server())
    running = asyncio.create_task(scheduled.run(jobs("ab"), deliver))
    await asyncio.sleep(5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert loop.num_timers == 0
    assert held(scheduled) == IDLE


@in_virtual_time
async def test_statistics_show_the_run_and_return_to_zero() -> None:
    server = Server({"a": [(1.0, SERVER_ERROR), (1.0, OK)]}, usual=(5.0, OK))
    scheduled = scheduler(server, 2)
    running = asyncio.create_task(scheduled.run(jobs("abc"), Inbox().deliver))
    await asyncio.sleep(1.25)
    assert scheduled.statistics() == SchedulerStatistics(
        num_in_flight=2, num_waiting=1, num_attempts=3, num_failed_attempts=1
    )
    await running
    assert scheduled.statistics() == SchedulerStatistics(
        num_in_flight=0, num_waiting=0, num_attempts=4, num_failed_attempts=1
    )


# ------------------------------------------------------------------------------------------------------------ the lot

steps = st.tuples(
    st.sampled_from([0.0, 0.25, 1.0, 7.0]),
    st.sampled_from(
        [OK, SERVER_ERROR, REFUSED, Truncated("cut"), RateLimited(3.0), RateLimited(None), Overloaded(None), Deadline()]
    ),
)
scripts = st.lists(st.lists(steps, min_size=1, max_size=5), min_size=1, max_size=14)


@settings(max_examples=150)
@given(scripts, st.integers(1, 5), st.integers(0, 99))
def test_every_job_drawn_is_delivered_once(drawn: list[list[Step]], slots: int, seed: int) -> None:
    @in_virtual_time
    async def run() -> None:
        # A script that ends in a failed connection would repeat it until the outage is over.
        server = Server({str(n): [*script, (0.0, OK)] for n, script in enumerate(drawn)})
        inbox, source = Inbox(), jobs(str(n) for n in range(len(drawn)))
        scheduled = scheduler(server, slots, RetryPolicy(max_attempts=3), random.Random(seed))
        await scheduled.run(source, inbox.deliver)
        assert sorted(inbox.names) == sorted(source.drawn) == sorted(server.scripts)
        assert server.most_in_flight <= slots
        assert held(scheduled) == IDLE
        statistics = scheduled.statistics()
        assert statistics.num_attempts == len(server.sent)
        assert statistics.num_failed_attempts == len(server.sent) - len(drawn)
        assert all(len(d.failed) == len(server.times(d.job.about)) - 1 for d in inbox.deliveries)

    run()


@settings(max_examples=150)
@given(scripts, st.integers(1, 5), st.integers(0, 99), st.floats(0, 12), st.sampled_from(["stop", "abort"]))
def test_after_a_stop_no_job_is_delivered_twice_or_lost_in_flight(
    drawn: list[list[Step]], slots: int, seed: int, stop_s: float, how: str
) -> None:
    @in_virtual_time
    async def run() -> None:
        server = Server({str(n): [*script, (0.0, OK)] for n, script in enumerate(drawn)})
        inbox, source = Inbox(), jobs(str(n) for n in range(len(drawn)))
        scheduled = scheduler(server, slots, RetryPolicy(max_attempts=3), random.Random(seed))
        asyncio.get_running_loop().call_later(stop_s, getattr(scheduled, how))
        await scheduled.run(source, inbox.deliver)
        assert len(set(inbox.names)) == len(inbox.names)
        assert set(inbox.names) <= set(source.drawn)
        assert held(scheduled) == IDLE
        assert asyncio.all_tasks() == {asyncio.current_task()}
        if how == "stop":
            assert server.cancelled == []  # nothing here takes as long as the drain may
            for name in source.drawn:
                outcomes = [outcome for _, outcome in server.scripts[name][: len(server.times(name))]]
                assert (OK in outcomes) <= (name in inbox.names)

    run()


# ---------------------------------------------------------------------------------------------------------- all at once


def numbered(server: Server) -> Scheduler[int]:
    return Scheduler(fleet(server.send), max_in_flight=3, policy=RetryPolicy(), rng=Longest())


@in_virtual_time
async def test_complete_all_returns_outcomes_in_the_order_of_the_requests() -> None:
    names = [str(n) for n in range(12)]
    server = Server({name: [((7 * int(name)) % 5, ok(name))] for name in names})
    outcomes = await complete_all(numbered(server), [job(name).request for name in names])
    assert outcomes == [ok(name) for name in names]
    assert await complete_all(numbered(server), []) == []


@in_virtual_time
async def test_complete_all_says_so_when_it_is_stopped() -> None:
    scheduled = numbered(Server(usual=(5.0, OK)))
    asyncio.get_running_loop().call_later(7, scheduled.stop)
    with pytest.raises(FastInstructError, match="stopped before every request was answered"):
        await complete_all(scheduled, [job(str(n)).request for n in range(12)])
