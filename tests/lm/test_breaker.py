"""The circuit breaker: step by step, and as a machine that anything may happen to."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fastinstruct.lm.limits.breaker import BreakerState, CircuitBreaker
from fastinstruct.lm.outcomes.outcomes import (
    Aborted,
    BadRequest,
    Deadline,
    Outcome,
    Overloaded,
    RateLimited,
    Transient,
    Truncated,
)
from simulated_server import OK

SERVER_ERROR = Transient("server", "500")
FAILURES = [
    Deadline(),
    *(
        Transient(kind, "")
        for kind in ("connect", "connect_timeout", "dns", "tls", "proxy", "disconnected", "idle", "server")
    ),
]
ANSWERS = [
    OK,
    RateLimited(),
    RateLimited(120.0),
    Overloaded(1.0),
    BadRequest("other", None, "400"),
    Truncated("cut"),
    Transient("malformed", "200 with no JSON"),
]
SILENT = [Aborted(), Transient("fd_limit", ""), Transient("ports", ""), Transient("client", "")]


def hear(breaker: CircuitBreaker, outcomes: Sequence[Outcome], now: float = 0.0) -> None:
    for outcome in outcomes:
        breaker.on_start(now)
        breaker.on_outcome(outcome, now, now)


def opened(now: float = 0.0) -> CircuitBreaker:
    breaker = CircuitBreaker(random.Random(1))
    hear(breaker, [SERVER_ERROR] * 5, now)
    assert breaker.state(now) is BreakerState.OPEN
    return breaker


def half_opened() -> tuple[CircuitBreaker, float]:
    breaker = opened()
    now = breaker.wait_s(0.0)
    assert breaker.state(now) is BreakerState.HALF_OPEN
    return breaker, now


@pytest.mark.parametrize("failure", FAILURES)
def test_five_failures_in_a_row_open_it(failure: Outcome) -> None:
    breaker = CircuitBreaker(random.Random(1))
    hear(breaker, [OK] * 50 + [failure] * 4)
    assert breaker.wait_s(0.0) == 0.0
    hear(breaker, [failure])
    assert breaker.state(0.0) is BreakerState.OPEN
    assert breaker.statistics(0.0).reason == f"failures: {getattr(failure, 'kind', failure.name)}"


def test_more_than_half_of_the_last_outcomes_open_it_but_no_fewer_than_ten() -> None:
    breaker = CircuitBreaker(random.Random(1))
    hear(breaker, [*[SERVER_ERROR] * 4, OK, SERVER_ERROR, OK, SERVER_ERROR, OK])
    assert breaker.wait_s(0.0) == 0.0  # six of nine
    hear(breaker, [SERVER_ERROR])
    assert breaker.state(0.0) is BreakerState.OPEN


def test_half_failures_are_borne_for_ever() -> None:
    breaker = CircuitBreaker(random.Random(1))
    hear(breaker, [OK, SERVER_ERROR] * 500)
    assert breaker.statistics(0.0).num_opened == 0


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_is_no_failure_whatever_it_says(answer: Outcome) -> None:
    breaker = CircuitBreaker(random.Random(1))
    hear(breaker, [answer] * 100)
    assert breaker.wait_s(0.0) == 0.0
    hear(breaker, [SERVER_ERROR, SERVER_ERROR, answer] * 3)
    assert breaker.wait_s(0.0) == 0.0


@pytest.mark.parametrize("silent", SILENT)
def test_our_own_trouble_says_nothing_of_the_server(silent: Outcome) -> None:
    breaker = CircuitBreaker(random.Random(1))
    hear(breaker, [silent] * 100)
    assert breaker.wait_s(0.0) == 0.0
    hear(breaker, [SERVER_ERROR] * 4 + [silent] * 20 + [SERVER_ERROR])
    assert breaker.state(0.0) is BreakerState.OPEN


def test_after_the_pause_one_request_is_let_through_and_the_others_wait_for_it() -> None:
    breaker, now = half_opened()
    assert 0.5 <= now <= 1.0
    assert breaker.wait_s(now) == 0.0
    breaker.on_start(now)
    assert breaker.wait_s(now + 100.0) == math.inf


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_probe_that_is_answered_closes_it(answer: Outcome) -> None:
    breaker, now = half_opened()
    hear(breaker, [answer], now)
    assert breaker.state(now) is BreakerState.CLOSED


@pytest.mark.parametrize("silent", SILENT)
def test_a_probe_that_told_nothing_makes_room_for_another(silent: Outcome) -> None:
    breaker, now = half_opened()
    hear(breaker, [silent], now)
    assert breaker.state(now) is BreakerState.HALF_OPEN
    assert breaker.wait_s(now) == 0.0


def test_pauses_double_to_half_a_minute_while_probes_fail_and_keep_their_jitter() -> None:
    breaker = opened()
    now, pauses = 0.0, []
    for _ in range(40):
        pauses.append(breaker.wait_s(now))
        now += breaker.wait_s(now)
        hear(breaker, [SERVER_ERROR], now)
    for number, pause_s in enumerate(pauses):
        longest_s = min(30.0, 2.0**number)
        assert longest_s / 2 <= pause_s <= longest_s
    assert max(pauses[5:]) - min(pauses[5:]) > 5.0


def test_twenty_outcomes_without_opening_make_the_next_pause_short_again() -> None:
    breaker = opened()
    now = 0.0
    for _ in range(4):
        now += breaker.wait_s(now)
        hear(breaker, [SERVER_ERROR], now)
    now += breaker.wait_s(now)
    hear(breaker, [OK] + [OK] * 10 + [SERVER_ERROR] * 5, now)
    assert breaker.wait_s(now) >= 15.0  # too soon
    now += breaker.wait_s(now)
    hear(breaker, [OK] + [OK] * 20 + [SERVER_ERROR] * 5, now)
    assert breaker.wait_s(now) <= 1.0


def test_what_was_sent_before_it_opened_or_closed_changes_nothing() -> None:
    breaker = opened()
    for _ in range(100):
        breaker.on_outcome(SERVER_ERROR, 0.0, 0.1)
    breaker.on_outcome(OK, 0.0, 0.2)
    now = breaker.wait_s(0.0)
    assert breaker.state(now) is BreakerState.HALF_OPEN
    breaker.on_start(now)
    breaker.on_outcome(OK, 0.0, now + 0.1)
    assert breaker.wait_s(now + 0.1) == math.inf
    breaker.on_outcome(OK, now, now + 0.2)
    for _ in range(100):  # sent to the server as it was before
        breaker.on_outcome(Deadline(), 0.0, now + 0.3)
    assert breaker.state(now + 0.3) is BreakerState.CLOSED


@pytest.mark.parametrize("refusal", [RateLimited(600.0), Overloaded(600.0)])
def test_a_hint_of_more_than_two_minutes_opens_it_for_so_long(refusal: Outcome) -> None:
    breaker = CircuitBreaker(random.Random(1))
    hear(breaker, [refusal], 10.0)
    assert breaker.wait_s(10.0) == 600.0
    assert breaker.statistics(10.0).reason == "told to wait 600 s"
    assert breaker.state(610.0) is BreakerState.HALF_OPEN
    hear(breaker, [OK], 610.0)
    assert breaker.state(610.0) is BreakerState.CLOSED


def test_the_latest_of_several_hints_counts_and_none_is_longer_than_a_day() -> None:
    breaker = CircuitBreaker(random.Random(1))
    for hint_s in (500.0, 900.0, 300.0):
        breaker.on_outcome(RateLimited(hint_s), 0.0, 1.0)
    assert breaker.wait_s(1.0) == 900.0
    breaker.on_outcome(RateLimited(1e9), 0.0, 1.0)
    assert breaker.wait_s(1.0) == 86_400.0


def test_a_hint_that_comes_while_the_probe_is_under_way_outranks_the_probe() -> None:
    breaker, now = half_opened()
    breaker.on_start(now)
    breaker.on_outcome(RateLimited(600.0), 0.0, now + 0.1)
    breaker.on_outcome(OK, now, now + 0.2)
    assert breaker.wait_s(now + 0.2) == pytest.approx(599.9)


# -------------------------------------------------------------------------------------------------- anything may happen


class AnyTraffic(RuleBasedStateMachine):
    """A caller that sends when it may, over a server that does what it likes."""

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed: int) -> None:
        self.breaker = CircuitBreaker(random.Random(seed))
        self.now = 0.0
        self.in_flight: list[float] = []
        self.probes: list[float] = []

    @precondition(lambda self: self.breaker.wait_s(self.now) == 0.0)
    @rule()
    def send(self) -> None:
        if self.breaker.state(self.now) is BreakerState.HALF_OPEN:
            self.probes.append(self.now)
        self.breaker.on_start(self.now)
        self.in_flight.append(self.now)

    @precondition(lambda self: self.breaker.wait_s(self.now) == 0.0)
    @rule(num=st.integers(1, 12), failure=st.sampled_from(FAILURES))
    def fail_many(self, num: int, failure: Outcome) -> None:
        """Several requests that were sent together fail together."""
        if self.breaker.state(self.now) is BreakerState.CLOSED:
            sent_at, self.now = self.now, self.now + 0.01
            for _ in range(num):
                self.breaker.on_start(sent_at)
            for _ in range(num):
                self.breaker.on_outcome(failure, sent_at, self.now)

    @precondition(lambda self: self.in_flight)
    @rule(outcome=st.sampled_from([*FAILURES, *ANSWERS, *SILENT, RateLimited(500.0)]), data=st.data())
    def end(self, outcome: Outcome, data: st.DataObject) -> None:
        sent_at = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        was_closed = self.breaker.state(self.now) is BreakerState.CLOSED
        is_probe = sent_at in self.probes
        self.breaker.on_outcome(outcome, sent_at, self.now)
        if is_probe:
            self.probes.remove(sent_at)
        elif not was_closed:
            assert self.breaker.state(self.now) is not BreakerState.CLOSED  # nothing but the probe closes it

    @rule(later_s=st.floats(0.001, 2000))
    def let_time_pass(self, later_s: float) -> None:
        self.now += later_s

    @rule()
    def wait_for_it(self) -> None:
        wait_s = self.breaker.wait_s(self.now)
        if wait_s < math.inf:
            self.now += wait_s + 1e-6
            assert self.breaker.wait_s(self.now) in {0.0, math.inf}

    @invariant()
    def there_is_one_probe_at_most(self) -> None:
        assert len(self.probes) <= 1

    @invariant()
    def a_pause_ends_or_a_probe_is_under_way(self) -> None:
        wait_s = self.breaker.wait_s(self.now)
        if wait_s == math.inf:
            assert self.probes
        else:
            assert 0.0 <= wait_s <= 86_400.0

    @invariant()
    def nothing_is_sent_while_it_is_open(self) -> None:
        is_open = self.breaker.state(self.now) is BreakerState.OPEN
        assert not is_open or self.breaker.wait_s(self.now) > 0.0

    def teardown(self) -> None:
        """Whatever happened: once all is answered and time passes, everything may be sent again."""
        if not hasattr(self, "breaker"):
            return
        for sent_at in self.in_flight:
            self.breaker.on_outcome(Aborted(), sent_at, self.now)
        self.now += 86_401.0
        assert self.breaker.wait_s(self.now) == 0.0
        self.breaker.on_start(self.now)
        self.breaker.on_outcome(OK, self.now, self.now + 1.0)
        assert self.breaker.state(self.now + 1.0) is BreakerState.CLOSED


TestAnyTraffic = AnyTraffic.TestCase
TestAnyTraffic.settings = settings(max_examples=150, stateful_step_count=40)
