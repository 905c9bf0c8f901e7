"""Several endpoints behind one scheduler, in virtual time: who is asked, who is spared, and that nothing is lost."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from fastinstruct.errors import (
    AuthenticationFailed,
    EndpointError,
    EndpointUnreachable,
    FastInstructError,
    ModelUnknown,
    ProtocolMismatch,
    QuotaExhausted,
    ReplyFormRefused,
)
from fastinstruct.lm import (
    Aborted,
    BadRequest,
    Deadline,
    Endpoint,
    Fatal,
    Outcome,
    Overloaded,
    RateLimited,
    RetryPolicy,
    Transient,
    Truncated,
)
from fastinstruct.lm.limits.breaker import BreakerState, CircuitBreaker
from fastinstruct.lm.limits.concurrency import Aimd, Controller, Fixed
from fastinstruct.lm.limits.rate_budget import RateBudget
from fastinstruct.lm.outcomes.outcomes import FatalKind
from fastinstruct.lm.scheduling.channel import Channel
from fastinstruct.lm.scheduling.fleet import Fleet
from fastinstruct.lm.scheduling.job import Allowance, Job
from fastinstruct.lm.scheduling.scheduler import Scheduler
from fastinstruct.lm.scheduling.statistics import LatencyHistogram
from fastinstruct.records import Sampling, Usage
from played import OK, REFUSED, SERVER_ERROR, Inbox, Jobs, Longest, Server, Step, bad, job, jobs, ok
from virtual_time import VirtualTimeLoop, in_virtual_time, now

MANY = 1 << 20
OVERFLOW = BadRequest("context_overflow", None, "too long")
FD_LIMIT = Transient("fd_limit", "Too many open files")
PORTS = Transient("ports", "Cannot assign requested address")


Scripts = dict[str, Sequence[Step]]


def named(name: str, usual: Step = (1.0, OK), scripts: Scripts | None = None, **more: Sequence[Step]) -> Server:
    """A server at http://NAME/v1."""
    given = {**(scripts or {}), **more}
    return Server(given, usual, endpoint=Endpoint(base_url=f"http://{name}/v1", model="m"))


def channel(
    server: Server,
    *,
    slots: int = MANY,
    weight: float = 1.0,
    with_breaker: bool = False,
    per_minute: float | None = None,
    controller: Controller | None = None,
) -> Channel:
    return Channel(
        server,
        controller=controller or Fixed(slots),
        budget=RateBudget(per_minute),
        breaker=CircuitBreaker(Longest()) if with_breaker else None,
        weight=weight,
    )


def scheduler(fleet: Fleet, max_in_flight: int = 8, **settings: Any) -> Scheduler[str]:
    given = {"policy": RetryPolicy(), "rng": Longest(), **settings}
    return Scheduler(fleet, max_in_flight=max_in_flight, **given)


def names(num: int, lane: str = "") -> list[str]:
    return [f"{lane}/{n}" if lane else str(n) for n in range(num)]


def requests(num: int = 1) -> list[Any]:
    return [job(str(n)).request for n in range(num)]


def is_idle(fleet: Fleet) -> bool:
    return all(held_by(c, now()) == (0, 0, 0) for c in fleet.channels)


def held_by(c: Channel, at: float) -> tuple[int, int, int]:
    """What a channel, its controller and its budget hold as not ended."""
    return c.num_in_flight, c.controller.statistics(at).num_in_flight, c.budget.statistics(at).num_unsettled


# ------------------------------------------------------------------------------------------------------ fleet by itself


@in_virtual_time
async def test_a_long_wait_for_a_rate_limit_is_told() -> None:
    one = channel(named("one"), per_minute=1)
    (request,) = requests()
    one.start(request, "", now())
    told = one.statistics(now())
    assert (told.is_asked, told.why) == (False, "its rate limit lets nothing through for 61 s")
    quick = channel(named("two"), per_minute=600)
    quick.start(request, "", now())
    assert quick.statistics(now()).is_asked
    closed = channel(named("three"), per_minute=0.0001)
    closed.start(request, "", now())
    assert closed.statistics(now()).why == "its rate limit lets nothing through for more than a day"


def filled(fleet: Fleet, num: int, lane: str = "") -> list[int]:
    """Send so many requests, and return how many each channel has then."""
    for request in requests(num):
        chosen = fleet.choose(lane, 0.0)
        assert chosen is not None
        chosen.start(request, lane, 0.0)
    return [c.num_in_flight for c in fleet.channels]


def test_the_least_loaded_channel_is_asked_in_proportion_to_its_weight() -> None:
    fleet = Fleet.of(*(channel(named("h"), weight=weight) for weight in (1, 2, 4)))
    assert filled(fleet, 14) == [2, 4, 8]
    assert filled(fleet, 700) == [102, 204, 408]


def test_with_one_request_at_a_time_endpoints_take_turns_by_weight() -> None:
    fleet = Fleet.of(*(channel(named("h"), weight=weight) for weight in (1, 3)))
    counts: Counter[Channel] = Counter()
    for time in range(40):
        chosen = fleet.choose("", time)
        assert chosen is not None
        chosen.end(chosen.start(requests()[0], "", time), OK, time + 0.5)
        counts[chosen] += 1
    assert [counts[c] for c in fleet.channels] == [10, 30]


def test_a_full_channel_leaves_the_rest_to_the_others_and_a_full_lane_is_closed() -> None:
    fleet = Fleet.of(channel(named("a"), slots=2), channel(named("b"), slots=3))
    assert filled(fleet, 5) == [2, 3]
    assert not fleet.is_open("", 0.0)
    assert fleet.choose("", 0.0) is None
    assert fleet.wait_s(0.0) == float("inf")  # only an answer can tell


def test_a_lane_has_its_own_channels_and_any_other_those_of_the_lane_without_a_name() -> None:
    own, others = channel(named("own")), channel(named("others"))
    fleet = Fleet({"stage": [own], "": [others]})
    assert fleet.choose("stage", 0.0) is own
    assert fleet.choose("else", 0.0) is others
    assert fleet.is_last(own)
    with pytest.raises(ValueError, match="needs a channel"):
        Fleet({"stage": [], "": [others]})
    with pytest.raises(ValueError, match="needs a channel"):
        Fleet({})


def test_a_request_counts_once_however_often_it_ends() -> None:
    c = channel(named("a"), per_minute=600)
    ticket = c.start(requests()[0], "", 0.0)
    c.end(ticket, OK, 1.0)
    c.end(ticket, Aborted(), 2.0)
    assert held_by(c, 2.0) == (0, 0, 0)


@pytest.mark.parametrize(
    ("told", "least"),
    [
        (Usage(prompt_tokens=1, completion_tokens=0), 1),
        (Usage(prompt_tokens=1, completion_is_told=False), 501),
        (Usage(completion_tokens=2000), 2001),
        (Usage(completion_is_told=False), 501),
    ],
)
def test_what_a_reply_does_not_tell_is_settled_in_full(told: Usage, least: int) -> None:
    budget = RateBudget(tokens_per_minute=60_000)
    c = Channel(named("a"), controller=Fixed(MANY), budget=budget)
    asked = replace(requests()[0], prompt="a b", sampling=Sampling(max_tokens=500))
    for _ in range(200):  # completions are short, mostly
        c.end(c.start(asked, "", now_s := 1000.0), ok(usage=Usage(prompt_tokens=1, completion_tokens=1)), now_s)
    c.end(c.start(asked, "", 2000.0), ok(usage=told), 2000.0)
    owed_s = budget.wait_s(2000.0)
    assert owed_s == pytest.approx(max(0.0, least - 198) / 990, abs=0.01)  # a burst of 198, then 990 a second


def test_failing_fast_attracts_no_requests() -> None:
    """A failed request counts as load for a second, or as long as the server asked to be left alone."""
    fast, slow = channel(named("fast")), channel(named("slow"))
    fleet = Fleet.of(fast, slow)
    for c, outcome in ((fast, SERVER_ERROR), (fast, RateLimited(60.0)), (slow, OK)):
        c.end(c.start(requests()[0], "", 0.0), outcome, 0.0)
    assert filled(fleet, 4) == [1, 3]
    assert (fast.load(0.5), fast.load(1.5), fast.load(61.0)) == (3, 2, 1)


def test_a_lane_is_out_only_while_none_of_its_endpoints_can_be_reached() -> None:
    a, b, other = channel(named("a")), channel(named("b")), channel(named("other"))
    fleet = Fleet({"x": [a, b], "y": [other]})

    def ended(c: Channel, outcome: Outcome, at: float) -> None:
        c.end(c.start(requests()[0], "", at), outcome, at)

    ended(a, REFUSED, 10)
    assert fleet.outage_s(a, 100) == 0
    ended(b, REFUSED, 40)
    assert fleet.outage_s(b, 100) == 60
    assert fleet.outage_s(other, 100) == 0
    ended(a, RateLimited(None), 110)  # an answer, if not the one that was hoped for
    assert fleet.outage_s(b, 120) == 0
    ended(b, Aborted(), 130)
    assert b.unreachable_since == 40


# --------------------------------------------------------------------------------------------------------- sharing work


@in_virtual_time
async def test_work_is_shared_by_weight() -> None:
    servers = [named("a"), named("b")]
    fleet = Fleet.of(channel(servers[0]), channel(servers[1], weight=3))
    inbox = Inbox()
    await scheduler(fleet, 16).run(jobs(names(160)), inbox.deliver)
    assert [server.most_in_flight for server in servers] == [4, 12]
    assert [len(server.sent) for server in servers] == [40, 120]
    assert now() == 10
    assert len(inbox.names) == 160


@in_virtual_time
async def test_a_slow_endpoint_gets_no_more_than_it_has_slots_for() -> None:
    servers = [named("slow", (10.0, OK)), named("quick", (1.0, OK))]
    fleet = Fleet.of(channel(servers[0], slots=2), channel(servers[1], slots=2))
    await scheduler(fleet).run(jobs(names(22)), Inbox().deliver)
    assert [len(server.sent) for server in servers] == [2, 20]
    assert now() == 10


@in_virtual_time
async def test_lanes_are_served_by_their_own_endpoints() -> None:
    a, b = named("a"), named("b")
    fleet = Fleet({"a": [channel(a)], "b": [channel(b)]})
    await scheduler(fleet).run(jobs([*names(5, "a"), *names(7, "b")]), Inbox().deliver)
    assert {key[0] for _, key in a.sent} == {"a"}
    assert {key[0] for _, key in b.sent} == {"b"}


# ------------------------------------------------------------------------------------------------------------- failover


@pytest.mark.parametrize("outcome", [SERVER_ERROR, REFUSED, Truncated("cut"), RateLimited(3.0), Deadline(), OVERFLOW])
@in_virtual_time
async def test_what_fails_on_one_endpoint_goes_to_another(outcome: Outcome) -> None:
    bad_one, good = named("bad", (0.0, outcome)), named("good")
    inbox = Inbox()
    source = Shrinking(jobs("").waiting)
    source.waiting.extend(names(20))
    await scheduler(Fleet.of(channel(bad_one), channel(good)), 4).run(source, inbox.deliver)
    assert {delivery.outcome for delivery in inbox.deliveries} == {OK}
    assert max(len(delivery.failed) for delivery in inbox.deliveries) == 1


@in_virtual_time
async def test_a_failed_job_waits_for_a_slot_elsewhere_rather_than_fail_again() -> None:
    bad_one, busy = named("bad", (0.0, SERVER_ERROR)), named("busy", (20.0, OK))
    inbox = Inbox()
    fleet = Fleet.of(channel(bad_one), channel(busy, slots=1))
    await scheduler(fleet, 4, policy=RetryPolicy(max_attempts=2)).run(jobs(names(10)), inbox.deliver)
    assert {delivery.outcome for delivery in inbox.deliveries} == {OK}
    assert len(inbox.names) == 10


@in_virtual_time
async def test_where_all_others_pause_the_same_endpoint_is_asked_again() -> None:
    flaky, dead = named("flaky", a=[(1.0, SERVER_ERROR), (1.0, OK)]), named("dead", (0.0, REFUSED))
    broken = channel(dead, with_breaker=True)
    broken.end(broken.start(requests()[0], "", 0.0), RateLimited(200.0), 0.0)
    inbox = Inbox()
    await scheduler(Fleet.of(channel(flaky), broken)).run(jobs("a"), inbox.deliver)
    assert inbox.times == {"a": 2.5}
    assert dead.sent == []


@in_virtual_time
async def test_an_endpoint_that_asks_to_wait_a_minute_does_not_hold_the_others_up() -> None:
    """Its jobs go elsewhere after a moment instead of filling the places of those that wait."""
    limited, good = named("limited", (0.0, RateLimited(60.0))), named("good")
    inbox = Inbox()
    await scheduler(Fleet.of(channel(limited), channel(good)), 10).run(jobs(names(500)), inbox.deliver)
    assert {delivery.outcome for delivery in inbox.deliveries} == {OK}
    assert now() < 60
    assert len(limited.sent) < 50


@in_virtual_time
async def test_where_all_endpoints_ask_to_wait_the_shortest_wait_is_kept() -> None:
    first = named("first", (0.0, OK), a=[(0.0, RateLimited(60.0)), (0.0, OK)])
    second = named("second", (0.0, OK), a=[(0.0, RateLimited(20.0)), (0.0, OK)])
    inbox = Inbox()
    await scheduler(Fleet.of(channel(first), channel(second))).run(jobs("a"), inbox.deliver)
    assert first.times("a") + second.times("a") == [0, pytest.approx(22.5), 0.5]
    assert inbox.deliveries[0].outcome == OK


# ------------------------------------------------------------------------------------------- endpoints that go and come


@in_virtual_time
async def test_an_endpoint_that_is_down_from_the_start_costs_little(caplog: pytest.LogCaptureFixture) -> None:
    down, up = named("down", (0.0, REFUSED)), named("up")
    inbox = Inbox()
    fleet = Fleet.of(*(channel(server, with_breaker=True) for server in (down, up)))
    await scheduler(fleet, 10).run(jobs(names(1000)), inbox.deliver)
    assert {delivery.outcome for delivery in inbox.deliveries} == {OK}
    assert now() < 105
    assert len(down.sent) < 20
    assert caplog.messages == ["http://down/v1: no connection (connect: connection refused); trying again"]


@in_virtual_time
async def test_an_endpoint_that_dies_in_the_middle_and_comes_back_is_asked_again() -> None:
    fickle, steady = named("fickle"), named("steady")
    loop = asyncio.get_running_loop()
    loop.call_later(20, setattr, fickle, "usual", (0.0, REFUSED))
    loop.call_later(60, setattr, fickle, "usual", (1.0, OK))
    inbox = Inbox()
    fleet = Fleet.of(*(channel(server, with_breaker=True) for server in (fickle, steady)))
    await scheduler(fleet, 10).run(jobs(names(1400)), inbox.deliver)
    assert len(inbox.names) == 1400
    sent = Counter(int(time // 20) for time, _ in fickle.sent)
    assert sent[0] == 100
    assert sent[1] + sent[2] < 20
    assert sent[5] == 100


@in_virtual_time
async def test_a_breaker_opens_pauses_and_probes() -> None:
    server, inbox = named("a", (0.0, SERVER_ERROR)), Inbox()
    c = channel(server, with_breaker=True)
    asyncio.get_running_loop().call_later(10, setattr, server, "usual", (0.0, OK))
    await scheduler(Fleet.of(c), 5, policy=RetryPolicy(max_attempts=100)).run(jobs(names(30)), inbox.deliver)
    assert {delivery.outcome for delivery in inbox.deliveries} == {OK}
    assert [time for time, _ in server.sent[:9]] == [0, 0, 0, 0, 0, 1, 3, 7, 15]
    assert c.breaker is not None
    assert c.breaker.state(now()) is BreakerState.CLOSED


@in_virtual_time
async def test_an_endpoint_that_fails_for_too_long_ends_the_run_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    server, inbox = named("a"), Inbox()
    asyncio.get_running_loop().call_later(20, setattr, server, "usual", (0.5, SERVER_ERROR))
    with pytest.raises(EndpointUnreachable) as caught:
        await scheduler(Fleet.of(channel(server, with_breaker=True)), 5).run(jobs(names(1000)), inbox.deliver)
    assert 140 < now() < 175  # two minutes, and a pause of half a minute before it is asked again
    assert len([time for time, _ in server.sent if time > 21]) < 20
    assert "http://a/v1: no usable answer (" in str(caught.value)
    assert "(runtime.max_outage_s: 120). What was answered is stored: the same command goes on" in str(caught.value)
    assert caplog.messages == ["http://a/v1: fails (server: HTTP 500); trying again"]


@in_virtual_time
async def test_an_endpoint_that_refuses_for_long_is_told_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    server, inbox = named("a", (0.5, RateLimited(1.0))), Inbox()
    asyncio.get_running_loop().call_later(70, setattr, server, "usual", (0.5, OK))
    policy = RetryPolicy(max_rate_limit_waits=1000)
    await scheduler(Fleet.of(channel(server)), 1, policy=policy).run(jobs("ab"), inbox.deliver)
    assert [delivery.outcome for delivery in inbox.deliveries] == [OK, OK]
    assert caplog.messages == [
        "http://a/v1: has refused every request for 30 s (rate_limited); waiting as it asks",
        "http://a/v1: has refused every request for 61 s (rate_limited); waiting as it asks",
    ]


@in_virtual_time
async def test_failures_between_answers_are_no_outage_however_long_they_go_on() -> None:
    scripts: Scripts = {name: [(1.0, SERVER_ERROR), (1.0, OK)] for name in names(600)}
    server, inbox = named("a", scripts=scripts), Inbox()
    await scheduler(Fleet.of(channel(server, with_breaker=True)), 2).run(jobs(names(600)), inbox.deliver)
    assert {delivery.outcome for delivery in inbox.deliveries} == {OK}
    assert now() > 300


@in_virtual_time
async def test_all_endpoints_of_a_lane_down_for_too_long_end_the_run(caplog: pytest.LogCaptureFixture) -> None:
    servers = [named("a", (0.0, REFUSED)), named("b"), named("c")]
    fleet = Fleet({"x": [channel(server, with_breaker=True) for server in servers[:2]], "y": [channel(servers[2])]})
    asyncio.get_running_loop().call_later(50, setattr, servers[1], "usual", (0.0, REFUSED))
    inbox = Inbox()
    with pytest.raises(EndpointUnreachable, match=r"^http://[ab]/v1: no connection"):
        await scheduler(fleet, 4).run(jobs([*names(900, "x"), *names(9, "y")]), inbox.deliver)
    assert 50 + 120 < now() < 50 + 120 + 35
    assert sorted(caplog.messages) == [
        f"http://{name}/v1: no connection (connect: connection refused); trying again" for name in "ab"
    ]


@in_virtual_time
async def test_with_one_slot_nothing_overtakes_a_job_that_waits_in_any_lane() -> None:
    a, b = named("a", (1.0, OK), {"a/0": [(1.0, SERVER_ERROR), (1.0, OK)]}), named("b")
    inbox = Inbox()
    fleet = Fleet({"a": [channel(a)], "b": [channel(b)]})
    await scheduler(fleet, 1).run(jobs(["a/0", "b/0"]), inbox.deliver)
    assert inbox.times == {"a/0": 2.5, "b/0": 3.5}


class Alternating(Jobs):
    """Draws from whichever lane is open, as the stages do."""

    def next(self, is_open: Callable[[str], bool]) -> Job[str] | None:
        found = next((name for name in self.waiting if is_open(job(name).lane)), None)
        if found is None:
            return None
        self.waiting.remove(found)
        self.drawn.append(found)
        return job(found)


@in_virtual_time
async def test_one_lanes_outage_does_not_hold_another_lane_up() -> None:
    """Nor do the jobs that wait for it, however many they are."""
    down, up = named("down", (0.0, REFUSED)), named("up")
    fleet = Fleet({"x": [channel(down, with_breaker=True)], "y": [channel(up)]})
    asyncio.get_running_loop().call_later(100, setattr, down, "usual", (0.0, OK))
    inbox = Inbox()
    await scheduler(fleet, 4).run(Alternating(jobs([*names(40, "x"), *names(200, "y")]).waiting), inbox.deliver)
    assert len(inbox.names) == 240
    assert max(time for name, time in inbox.times.items() if name[0] == "y") == 50
    assert min(time for name, time in inbox.times.items() if name[0] == "x") >= 100


@in_virtual_time
async def test_connections_that_fail_now_and_then_are_told_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    script: Scripts = {str(n): [(1.0, REFUSED), (0.0, OK)] for n in range(0, 300, 3)}
    await scheduler(Fleet.of(channel(named("a", scripts=script))), 1).run(jobs(names(300)), Inbox().deliver)
    assert 200 < now() < 400
    assert 6 <= len(caplog.messages) <= 14


# ----------------------------------------------------------------------------------------- endpoints that refuse us all


@pytest.mark.parametrize("kind", ["auth", "quota", "model", "protocol"])
@in_virtual_time
async def test_an_endpoint_that_refuses_everybody_is_left_out_and_nothing_is_lost(
    kind: FatalKind, caplog: pytest.LogCaptureFixture
) -> None:
    refusing, good = named("refusing", (0.5, Fatal(kind, "http://refusing/v1: do this"))), named("good")
    inbox, source = Inbox(), jobs(names(100))
    await scheduler(Fleet.of(channel(refusing), channel(good)), 10).run(source, inbox.deliver)
    assert {delivery.outcome for delivery in inbox.deliveries} == {OK}
    assert sorted(inbox.names) == sorted(names(100))
    assert len(refusing.sent) <= 10
    assert caplog.messages == ["http://refusing/v1: do this; it is asked no more in this run"]


@pytest.mark.parametrize(
    ("kind", "error"), [("auth", AuthenticationFailed), ("quota", QuotaExhausted), ("model", ModelUnknown)]
)
@in_virtual_time
async def test_when_the_last_endpoint_refuses_everybody_the_run_ends_with_its_message(
    kind: FatalKind, error: type[EndpointError]
) -> None:
    servers = [named(name, (1.0, Fatal(kind, f"do this at {name}"))) for name in "ab"]
    source, inbox = jobs(names(100)), Inbox()
    with pytest.raises(error, match=r"^do this at b$"):
        await scheduler(Fleet.of(*map(channel, servers)), 4).run(source, inbox.deliver)
    assert inbox.names == []
    assert now() == 1


@in_virtual_time
async def test_a_refused_form_of_replies_ends_the_run_even_where_others_take_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refused = Fatal("reply_format", "http://refusing/v1: set model.replies to text", 400)
    refusing, good, inbox = named("refusing", (2.5, refused)), named("good"), Inbox()
    with pytest.raises(ReplyFormRefused, match=r"^http://refusing/v1: set model\.replies to text$"):
        await scheduler(Fleet.of(channel(refusing), channel(good)), 2).run(jobs(names(100)), inbox.deliver)
    assert len(refusing.sent) == 1
    assert len(inbox.names) == len(good.sent)
    assert caplog.messages == []


@in_virtual_time
async def test_an_endpoint_that_one_lane_cannot_do_without_ends_the_run() -> None:
    shared, other = channel(named("shared", (1.0, Fatal("quota", "add credit")))), channel(named("other"))
    fleet = Fleet({"x": [shared, other], "y": [shared]})
    with pytest.raises(QuotaExhausted, match="add credit"):
        await scheduler(fleet).run(jobs(names(4, "x")), Inbox().deliver)


@in_virtual_time
async def test_a_wrong_key_is_not_excused_by_another_endpoints_success(caplog: pytest.LogCaptureFixture) -> None:
    wrong, good = named("wrong", (2.0, Fatal("auth", "http://wrong/v1: check the key", 401))), named("good")
    inbox = Inbox()
    await scheduler(Fleet.of(channel(wrong), channel(good)), 4).run(jobs(names(200)), inbox.deliver)
    assert {delivery.outcome for delivery in inbox.deliveries} == {OK}
    assert len(wrong.sent) == 2
    assert caplog.messages == ["http://wrong/v1: check the key; it is asked no more in this run"]


@in_virtual_time
async def test_a_key_that_is_revoked_in_the_middle_is_asked_once_more_and_then_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    revoked, good = named("revoked"), named("good")
    asyncio.get_running_loop().call_later(
        9.5, setattr, revoked, "usual", (0.1, Fatal("auth", "http://revoked/v1: check the key", 401))
    )
    inbox = Inbox()
    await scheduler(Fleet.of(channel(revoked), channel(good)), 10).run(jobs(names(500)), inbox.deliver)
    assert {delivery.outcome for delivery in inbox.deliveries} == {OK}
    assert len(inbox.names) == 500
    assert caplog.messages == ["http://revoked/v1: check the key; it is asked no more in this run"]
    assert 11 <= max(time for time, _ in revoked.sent) < 13  # for a second after the first refusal


@in_virtual_time
async def test_a_blip_of_refused_keys_closes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    blip = (1.0, Fatal("auth", "check the key", 401))
    a, b = named("a"), named("b")
    loop = asyncio.get_running_loop()
    for server in (a, b):
        loop.call_later(9.5, setattr, server, "usual", blip)
        loop.call_later(10.5, setattr, server, "usual", (1.0, OK))
    inbox = Inbox()
    await scheduler(Fleet.of(channel(a), channel(b)), 10).run(jobs(names(500)), inbox.deliver)
    assert len(inbox.names) == 500
    assert caplog.messages == []


@in_virtual_time
async def test_an_endpoint_that_refuses_every_request_as_it_is_loses_none(caplog: pytest.LogCaptureFixture) -> None:
    """What an endpoint without one success refuses is shown to another."""
    odd, good = named("odd", (0.5, bad("n must be 1"))), named("good")
    inbox = Inbox()
    await scheduler(Fleet.of(channel(odd), channel(good)), 4).run(jobs(names(100)), inbox.deliver)
    assert {delivery.outcome for delivery in inbox.deliveries} == {OK}
    assert len(odd.sent) <= 8
    told = "http://odd/v1: refuses every request: n must be 1; it is asked no more in this run"
    assert caplog.messages == [told]


@in_virtual_time
async def test_when_all_endpoints_refuse_every_request_the_run_ends() -> None:
    fleet = Fleet.of(*(channel(named(name, (0.5, bad("n must be 1")))) for name in "ab"))
    inbox = Inbox()
    with pytest.raises(ProtocolMismatch, match=r"^http://[ab]/v1: refuses every request: n must be 1$"):
        await scheduler(fleet, 2).run(jobs(names(100)), inbox.deliver)
    assert len(inbox.names) < 10


@in_virtual_time
async def test_a_refusal_by_an_endpoint_that_answers_others_is_final() -> None:
    a, b = named("a", x=[(1.0, bad("no"))]), named("b", x=[(1.0, OK)])
    fleet, inbox = Fleet.of(channel(a), channel(b, weight=0.01)), Inbox()
    await scheduler(fleet, 1).run(jobs(["w", "v", "x"]), inbox.deliver)
    assert inbox.deliveries[-1].outcome == bad("no")


# ---------------------------------------------------------------------------------------------- lanes that open by time


class Counted(Scheduler[str]):
    """Counts how often it looks for work."""

    num_looks = 0

    def _dispatch(self, *given: Any) -> bool:
        self.num_looks += 1
        return super()._dispatch(*given)


def counted(fleet: Fleet, **settings: Any) -> Counted:
    return Counted(fleet, max_in_flight=8, policy=RetryPolicy(), rng=Longest(), **settings)


@in_virtual_time
async def test_a_rate_budget_is_waited_for_without_a_request_in_flight_and_without_spinning() -> None:
    server, inbox = named("a", (0.0, OK)), Inbox()
    scheduled = counted(Fleet.of(channel(server, per_minute=6)))
    await scheduled.run(jobs(names(5)), inbox.deliver)
    assert [time for time, _ in server.sent] == pytest.approx([n * 60 / 6 / 0.99 for n in range(5)])
    assert scheduled.num_looks < 20


@in_virtual_time
async def test_a_retry_waits_for_its_lane_without_a_request_in_flight() -> None:
    server, inbox = named("a", (0.0, SERVER_ERROR)), Inbox()
    c = channel(server, with_breaker=True)
    for _ in range(4):
        c.end(c.start(requests()[0], "", 0.0), SERVER_ERROR, 0.0)
    scheduled = counted(Fleet.of(c))
    asyncio.get_running_loop().call_later(0.9, setattr, server, "usual", (0.0, OK))
    await scheduled.run(jobs("a"), inbox.deliver)
    assert server.times("a") == [0, 1]
    assert scheduled.num_looks < 10


@in_virtual_time
async def test_a_controller_that_paces_is_waited_for() -> None:
    controller = Aimd(maximum=4, initial=1)
    refused = RateLimited(None)
    c = channel(named("a", (1.0, OK)), controller=controller)
    for _ in range(20):  # down to a fraction of one request at a time
        ticket = c.start(requests()[0], "", 0.0)
        c.end(ticket, refused, 0.0)
    inbox = Inbox()
    scheduled = counted(Fleet.of(c))
    await scheduled.run(jobs(names(5)), inbox.deliver)
    assert len(inbox.names) == 5
    assert scheduled.num_looks < 40


@in_virtual_time
async def test_a_stop_does_not_wait_for_a_lane_to_open() -> None:
    scheduled = scheduler(Fleet.of(channel(named("a", (0.0, OK)), per_minute=1)))
    asyncio.get_running_loop().call_later(5, scheduled.stop)
    inbox = Inbox()
    await scheduled.run(jobs(names(5)), inbox.deliver)
    assert (inbox.names, now()) == (["0"], 5)


# ------------------------------------------------------------------------------------ what may be spent, what was spent


@dataclass
class Purse(Allowance):
    """So many attempts; knows what was asked and told of each."""

    left: int = MANY
    asked: list[str] = field(default_factory=list)
    told: list[tuple[str, Outcome]] = field(default_factory=list)

    def reserve(self, job: Job[str]) -> bool:
        if self.left <= 0:
            return False
        self.left -= 1
        self.asked.append(job.about)
        return True

    def settle(self, job: Job[str], outcome: Outcome) -> None:
        self.told.append((job.about, outcome))

    @property
    def has_reserved(self) -> bool:
        return len(self.asked) > len(self.told)


@in_virtual_time
async def test_a_retry_that_may_not_be_sent_is_left_and_the_run_ends() -> None:
    purse, inbox = Purse(1), Inbox()
    scheduled = scheduler(Fleet.of(channel(named("a", (1.0, SERVER_ERROR)))), allowance=purse)
    await scheduled.run(jobs(names(1)), inbox.deliver)
    assert (now(), inbox.names, purse.asked) == (1.5, [], ["0"])
    assert scheduled.statistics().num_waiting == 0


@in_virtual_time
async def test_the_first_attempt_needs_leave_too_and_what_has_none_waits_for_what_is_in_flight() -> None:
    server, inbox, purse, source = named("a"), Inbox(), Purse(3), jobs(names(10))
    asyncio.get_running_loop().call_later(0.5, setattr, purse, "left", 2)
    await scheduler(Fleet.of(channel(server)), allowance=purse).run(source, inbox.deliver)
    assert [time for time, _ in server.sent] == [0, 0, 0, 1, 1]
    assert sorted(inbox.names) == ["0", "1", "2", "3", "4"]
    assert list(source.waiting) == ["5", "6", "7", "8", "9"]  # what may not be sent goes back to where it came from


@in_virtual_time
async def test_a_lane_that_opens_later_does_not_keep_a_run_without_allowance() -> None:
    inbox = Inbox()
    fleet = Fleet.of(channel(named("a", (0.0, OK)), per_minute=6))
    await scheduler(fleet, allowance=Purse(1)).run(jobs(names(3)), inbox.deliver)
    assert inbox.names == ["0"]
    assert now() < 15


@in_virtual_time
async def test_each_attempt_is_told_once_also_one_that_is_cancelled() -> None:
    server, purse = named("a", (10.0, OK), {"0": [(0.5, SERVER_ERROR), (1.0, OK)]}), Purse()
    scheduled = scheduler(Fleet.of(channel(server, per_minute=6000)), 3, allowance=purse)
    asyncio.get_running_loop().call_later(4, scheduled.abort)
    await scheduled.run(jobs(names(3)), Inbox().deliver)
    assert sorted(purse.asked) == sorted(name for name, _ in purse.told)
    assert purse.told[:2] == [("0", SERVER_ERROR), ("0", OK)]
    assert {outcome for _, outcome in purse.told[2:]} == {Aborted()}
    assert is_idle(scheduled.fleet)


@in_virtual_time
async def test_an_attempt_that_is_cancelled_before_it_began_is_told_too() -> None:
    purse, server = Purse(), named("a")
    scheduled = scheduler(Fleet.of(channel(server, per_minute=6000)), allowance=purse)
    running = asyncio.create_task(scheduled.run(jobs(names(3)), Inbox().deliver))
    asyncio.get_running_loop().call_soon(scheduled.abort)  # after the dispatch, before the tasks' first step
    await running
    assert server.sent == []
    assert sorted(purse.told, key=lambda told: told[0]) == [(name, Aborted()) for name in ("0", "1", "2")]
    assert is_idle(scheduled.fleet)


@in_virtual_time
async def test_an_allowance_that_fails_when_it_is_asked_ends_the_run_and_what_is_in_flight_is_delivered() -> None:
    class Broken(Purse):
        def reserve(self, job: Job[str]) -> bool:
            if len(self.asked) == 2:
                raise ZeroDivisionError
            return super().reserve(job)

    inbox = Inbox()
    scheduled = scheduler(Fleet.of(channel(named("a", (9.0, OK)))), allowance=Broken())
    with pytest.raises(ZeroDivisionError):
        await scheduled.run(jobs(names(5)), inbox.deliver)
    assert (sorted(inbox.names), now()) == (["0", "1"], 9)


# --------------------------------------------------------------------------------------------- the machine's own limits


@pytest.mark.parametrize("outcome", [FD_LIMIT, PORTS])
@in_virtual_time
async def test_running_out_of_descriptors_or_ports_lowers_the_limit_for_good_and_costs_no_attempts(
    outcome: Transient, caplog: pytest.LogCaptureFixture
) -> None:
    @dataclass
    class Small(Server):
        """Has room for twenty; whoever comes later is refused at once."""

        async def send(self, request: Any) -> Outcome:
            if self.num_in_flight >= 20:
                return outcome
            return await super().send(request)

    server, inbox = Small(endpoint=Endpoint(base_url="http://a/v1", model="m")), Inbox()
    fleet = Fleet.of(channel(server))
    scheduled = scheduler(fleet, 100, policy=RetryPolicy(max_attempts=1))
    await scheduled.run(jobs(names(2000)), inbox.deliver)
    assert {delivery.outcome for delivery in inbox.deliveries} == {OK}
    assert 14 <= server.most_in_flight <= 20
    assert len([d for d in inbox.deliveries if d.failed]) <= 100
    assert now() < 2000 / 14 + 5
    [message] = caplog.messages
    assert ("file descriptors" if outcome is FD_LIMIT else "http://a/v1: out of ports") in message


@in_virtual_time
async def test_descriptors_are_shared_by_all_endpoints_and_ports_are_not() -> None:
    for outcome, limits in ((FD_LIMIT, (MANY, MANY)), (PORTS, (1, MANY))):
        small, other = named("small", (0.0, OK), a=[(1.0, outcome), (1.0, OK)]), named("other")
        fleet = Fleet.of(channel(small), channel(other, weight=0.001))
        scheduled = scheduler(fleet, 10)
        await scheduled.run(jobs("a"), Inbox().deliver)
        assert tuple(c.controller.limit(now()) for c in fleet.channels) == limits
        assert scheduled.max_in_flight == (1 if outcome is FD_LIMIT else 10)


@in_virtual_time
async def test_descriptors_that_never_come_back_do_not_keep_a_job_for_ever() -> None:
    inbox = Inbox()
    await scheduler(Fleet.of(channel(named("a", (0.0, FD_LIMIT))))).run(jobs("a"), inbox.deliver)
    assert inbox.deliveries[0].outcome == FD_LIMIT
    assert len(inbox.deliveries[0].failed) == 20


# ----------------------------------------------------------------------------------------------------- context overflow


class Shrinking(Jobs):
    """Can make a job smaller, again and again."""

    def smaller(self, job: Job[str]) -> Job[str] | None:
        return replace(job, request=replace(job.request, prompt=f"less of {job.request.prompt}"))


@in_virtual_time
async def test_a_prompt_that_overflows_the_context_is_made_smaller_once() -> None:
    server = named("a", a=[(1.0, OVERFLOW), (1.0, OK)], b=[(1.0, OVERFLOW)])
    source, inbox = Shrinking(jobs("ab").waiting), Inbox()
    await scheduler(Fleet.of(channel(server))).run(source, inbox.deliver)
    delivered = {delivery.job.about: delivery for delivery in inbox.deliveries}
    assert delivered["a"].outcome == OK
    assert delivered["a"].job.request.prompt == "less of a"
    assert delivered["b"].outcome == OVERFLOW
    assert len(server.times("b")) == 2


@in_virtual_time
async def test_a_job_that_cannot_be_smaller_is_delivered_as_it_is() -> None:
    server, inbox = named("a", (1.0, OVERFLOW)), Inbox()
    await scheduler(Fleet.of(channel(server))).run(jobs("a"), inbox.deliver)
    assert [delivery.outcome for delivery in inbox.deliveries] == [OVERFLOW]


# ------------------------------------------------------------------------------------------------ another model answers


@in_virtual_time
async def test_another_model_than_before_is_a_warning_for_each_name(caplog: pytest.LogCaptureFixture) -> None:
    a = named("a", scripts={str(n): [(1.0, ok(model=model))] for n, model in enumerate("mmxmxy")})
    await scheduler(Fleet.of(channel(a)), 1).run(jobs(names(6)), Inbox().deliver)
    assert caplog.messages == [
        f"http://a/v1: answers as model '{model}' now; the server was given another model" for model in "xy"
    ]


@in_virtual_time
async def test_two_endpoints_may_name_their_model_differently(caplog: pytest.LogCaptureFixture) -> None:
    servers = [named(name, (1.0, ok(model=name))) for name in "ab"]
    await scheduler(Fleet.of(*map(channel, servers)), strict_model=True).run(jobs(names(20)), Inbox().deliver)
    assert caplog.messages == []


@in_virtual_time
async def test_a_server_that_invents_models_is_told_a_few_times_and_briefly(caplog: pytest.LogCaptureFixture) -> None:
    a = named("a", scripts={str(n): [(1.0, ok(model=f"{n}\x1b" * 100_000))] for n in range(200)})
    await scheduler(Fleet.of(channel(a)), 1).run(jobs(names(200)), Inbox().deliver)
    assert len(caplog.messages) <= 10
    assert all(len(message) < 500 and message.isprintable() for message in caplog.messages)


@in_virtual_time
async def test_another_model_ends_a_strict_run_and_what_is_in_flight_is_delivered() -> None:
    a = named("a", (3.0, OK), {"2": [(1.0, ok(model="other"))]})
    inbox = Inbox()
    with pytest.raises(ProtocolMismatch, match=r"answers as model 'other' now; .* set runtime\.strict_model to false"):
        await scheduler(Fleet.of(channel(a)), 2, strict_model=True).run(jobs(names(9)), inbox.deliver)
    assert inbox.names == ["0", "1", "2", "3"]


# ----------------------------------------------------------------------------------------------------------- statistics


@in_virtual_time
async def test_statistics_of_a_channel_say_what_came_of_its_requests() -> None:
    usage = Usage(prompt_tokens=7, completion_tokens=2)
    server = named("a", (2.0, ok(usage=usage)), {"0": [(4.0, SERVER_ERROR), (2.0, ok(usage=usage))]})
    c = channel(server, slots=3, with_breaker=True)
    await scheduler(Fleet.of(c), 5).run(jobs(names(5)), Inbox().deliver)
    found = c.statistics(now())
    assert found.endpoint == "m at http://a/v1 (chat)"
    assert (found.limit, found.num_in_flight, found.why, found.is_asked) == (3, 0, "fixed", True)
    assert found.outcomes == {"ok": 5, "transient: server": 1}
    assert (found.prompt_tokens, found.completion_tokens) == (35, 10)
    assert found.latency_p50_s == found.latency_p99_s == pytest.approx(2, rel=0.025)
    assert found.busy_s == 5 * 2 + 4


def test_statistics_say_why_a_channel_is_not_asked() -> None:
    paused = channel(named("a"), with_breaker=True)
    paused.end(paused.start(requests()[0], "", 0.0), RateLimited(300.0), 0.0)
    closed = channel(named("b"))
    Fleet.of(paused, closed).close(closed, "the key is wrong")
    found = [c.statistics(1.0) for c in (paused, closed)]
    assert [(told.is_asked, told.is_closed, told.why) for told in found] == [
        (False, False, "told to wait 300 s"),
        (False, True, "the key is wrong"),
    ]
    assert Channel.unlimited(named("c")).statistics(0.0).limit is None
    assert closed.statistics(1.0).latency_p50_s is None


def test_the_oldest_request_in_flight_is_the_one_sent_first_of_those_that_have_not_ended() -> None:
    c = channel(named("a"))
    assert c.statistics(1.0).oldest_s is None
    first, second, third = (c.start(request, "", at) for request, at in zip(requests(3), (2.0, 3.0, 5.0), strict=True))
    assert c.statistics(10.0).oldest_s == 8.0
    c.end(second, OK, 10.0)
    assert c.statistics(10.0).oldest_s == 8.0
    c.end(first, Aborted(), 10.0)
    c.end(first, Aborted(), 11.0)
    assert c.statistics(12.0).oldest_s == 7.0
    c.end(third, OK, 12.0)
    assert c.statistics(12.0).oldest_s is None


@given(st.lists(st.floats(1e-4, 1e5), min_size=1, max_size=300), st.floats(0.001, 1))
def test_a_latency_percentile_is_near_the_true_one(seconds: list[float], share: float) -> None:
    histogram = LatencyHistogram()
    for second in seconds:
        histogram.add(second)
    assert histogram.percentile(share) == pytest.approx(naive.percentile(seconds, share), rel=0.0251)
    halves = [LatencyHistogram(), LatencyHistogram()]
    for place, second in enumerate(seconds):
        halves[place % 2].add(second)
    assert LatencyHistogram(halves).percentile(share) == histogram.percentile(share)


def test_a_latency_histogram_is_bounded_and_takes_anything() -> None:
    histogram = LatencyHistogram()
    for exponent in range(-300, 300):
        histogram.add(10.0**exponent)
    histogram.add(0.0)
    assert len(histogram.counts) < 450


# -------------------------------------------------------------------------------------------------------------- the lot

FATAL = Fatal("auth", "check the key", 401)
outcomes: st.SearchStrategy[Outcome] = st.sampled_from(
    [
        OK, OK, OK, SERVER_ERROR, REFUSED, Truncated("cut"), RateLimited(3.0), RateLimited(None), RateLimited(150.0),
        Overloaded(0.0), Deadline(), OVERFLOW, bad("no"), FD_LIMIT, PORTS, FATAL,
    ]
)  # fmt: skip
steps = st.tuples(st.sampled_from([0.0, 0.25, 1.0, 7.0]), outcomes)


@dataclass(frozen=True)
class Kind:
    """What one random channel is like."""

    slots: int
    weight: float
    with_breaker: bool
    per_minute: float | None
    aimd: bool
    lanes: frozenset[str]


kinds = st.builds(
    Kind,
    st.integers(1, 6),
    st.sampled_from([0.1, 1.0, 3.0]),
    st.booleans(),
    st.sampled_from([None, None, 30.0, 600.0]),
    st.booleans(),
    st.frozensets(st.sampled_from("xyz"), min_size=1),
)


class Watched(Channel):
    """Sees that nothing is sent that it does not allow."""

    def start(self, request: Any, kind: str, now: float) -> Any:
        assert self.is_open(now)
        assert self.controller.limit(now) > self.num_in_flight
        assert kind in self.lanes
        return super().start(request, kind, now)

    lanes: frozenset[str]


def random_fleet(drawn: list[Kind], scripts: list[Scripts]) -> Fleet:
    channels = []
    for place, (kind, script) in enumerate(zip(drawn, scripts, strict=True)):
        controller: Controller = Aimd(maximum=kind.slots, initial=2) if kind.aimd else Fixed(kind.slots)
        breaker = CircuitBreaker(random.Random(place)) if kind.with_breaker else None
        watched = Watched(
            named(f"h{place}", (0.5, OK), script),
            controller=controller,
            budget=RateBudget(kind.per_minute),
            breaker=breaker,
            weight=kind.weight,
        )
        watched.lanes = kind.lanes
        channels.append(watched)
    lanes = {lane: [c for c in channels if lane in c.lanes] for lane in "xyz"}
    return Fleet({lane: serving for lane, serving in lanes.items() if serving})


@settings(max_examples=250)
@given(st.data())
def test_in_any_fleet_every_job_drawn_is_delivered_once_or_left(data: st.DataObject) -> None:
    drawn = data.draw(st.lists(kinds, min_size=1, max_size=4))
    lanes = sorted(frozenset[str]().union(*(kind.lanes for kind in drawn)))
    work = [f"{data.draw(st.sampled_from(lanes))}/{n}" for n in range(data.draw(st.integers(0, 25)))]
    scripts: list[Scripts] = [
        {name: [*data.draw(st.lists(steps, max_size=4)), (0.1, OK)] for name in work} for _ in drawn
    ]
    slots = data.draw(st.integers(1, 8))
    allowance = data.draw(st.sampled_from([MANY, MANY, 7]))
    stop_s = data.draw(st.sampled_from([None, None, 0.0, 1.5, 30.0]))
    how = data.draw(st.sampled_from(["stop", "abort"]))

    @in_virtual_time
    async def run() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        fleet = random_fleet(drawn, scripts)
        source, inbox, purse = Alternating(jobs(work).waiting), Inbox(), Purse(allowance)
        policy = RetryPolicy(max_attempts=3)
        scheduled = Counted(fleet, max_in_flight=slots, policy=policy, rng=random.Random(1), allowance=purse)
        most = 0

        async def deliver(delivery: Any) -> None:
            nonlocal most
            most = max(most, scheduled.statistics().num_in_flight)
            await asyncio.sleep(0.01)
            await inbox.deliver(delivery)

        stopping = None if stop_s is None else loop.call_later(stop_s, getattr(scheduled, how))
        ended_by: FastInstructError | None = None
        try:
            await scheduled.run(source, deliver)
        except EndpointError as error:
            ended_by = error
        if stopping is not None:
            stopping.cancel()
        assert len(set(inbox.names)) == len(inbox.names)
        assert set(inbox.names) <= set(source.drawn)
        assert most <= slots
        if ended_by is None and stop_s is None and allowance == MANY:
            assert sorted(inbox.names) == sorted(work)
        assert sorted(purse.asked) == sorted(name for name, _ in purse.told)
        assert scheduled.statistics().num_attempts <= len(purse.told)
        assert is_idle(fleet)
        assert (scheduled.statistics().num_in_flight, scheduled.statistics().num_waiting) == (0, 0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert loop.num_timers == 0
        # Every look is for something: an end, a wait that is over, a lane that opens.
        assert scheduled.num_looks <= 20 * (1 + len(purse.told)) + now() * 2

    run()
