"""Controllers, call by call: when a limit rises, when it falls, and what it never does."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastinstruct.errors import ConfigError
from fastinstruct.lm.limits.concurrency import FREEZE_S, STALE_S, Aimd, Controller, Fixed, QueueAware
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

FAILURES: list[Outcome] = [Transient("server", "500"), Transient("connect", "refused"), Truncated("cut"), Deadline()]
REFUSALS: list[Outcome] = [RateLimited(), Overloaded(), RateLimited(3.0), Overloaded(3.0)]
NEUTRAL: list[Outcome] = [BadRequest("other", None, "400"), Aborted()]


def round_trip(controller: Controller, outcome: Outcome, now: float, latency_s: float = 1.0) -> float:
    """Fill the slots, let a latency pass, and end all of them; return when."""
    num_slots = controller.limit(now)
    for _ in range(num_slots):
        controller.on_start(now)
    for _ in range(num_slots):
        controller.on_outcome(outcome, now, now + latency_s)
    return now + latency_s


def limit_of(controller: Controller) -> float:
    return controller.statistics(0.0).limit


def reason_of(controller: Controller, now: float = 0.0) -> str:
    return controller.statistics(now).reason


def fill(controller: Controller, now: float) -> int:
    """Start as many as the limit is, whatever the pace; return how many are in flight."""
    while controller.statistics(now).num_in_flight < round(limit_of(controller)):
        controller.on_start(now)
    return controller.statistics(now).num_in_flight


def end_all(controller: Controller, outcome: Outcome, now: float) -> None:
    for _ in range(controller.statistics(now).num_in_flight):
        controller.on_outcome(outcome, now, now)


def keep_busy(controller: Controller, start: float, seconds: float, latency_s: float = 0.1) -> float:
    """Answer everything for a while, with all slots full, and drop what is in flight then; return when."""
    now = start
    for _ in range(round(seconds / latency_s)):
        num_in_flight = fill(controller, now)
        now += latency_s
        for _ in range(num_in_flight):
            controller.on_outcome(OK, now - latency_s, now)
            fill(controller, now)
    end_all(controller, Aborted(), now)
    return now


def refuse(controller: Controller, outcome: Outcome, now: float) -> float:
    """Let one of the requests that fill the slots be refused; drop the others; return when."""
    fill(controller, now)
    controller.on_outcome(outcome, now, now + 0.02)
    end_all(controller, Aborted(), now + 0.02)
    return now + 0.02


# ---------------------------------------------------------------------------------------------------------------- fixed


def test_a_fixed_limit_stays_whatever_happens() -> None:
    controller = Fixed(3)
    now = 0.0
    for outcome in [OK, *FAILURES, *REFUSALS, *NEUTRAL]:
        now = round_trip(controller, outcome, now)
        assert controller.limit(now) == 3
    assert controller.wait_s(now) == math.inf
    assert reason_of(controller) == "fixed"


def test_a_hard_cap_takes_a_fixed_limit_down_and_stays_the_lowest() -> None:
    controller = Fixed(100)
    controller.hard_cap(40)
    controller.hard_cap(60)
    assert controller.limit(0.0) == 40
    assert reason_of(controller) == "at the hard cap"
    controller.hard_cap(0)
    assert controller.limit(0.0) == 1


# ----------------------------------------------------------------------------------------------------------------- aimd


def test_the_limit_doubles_each_latency_until_the_first_refusal() -> None:
    controller = Aimd(maximum=1000, initial=8)
    now = 0.0
    for expected in (8, 16, 32, 64):
        assert limit_of(controller) == expected
        now = keep_busy(controller, now, 0.1)
    assert reason_of(controller) == "doubling"


def test_a_refusal_takes_a_fifth_and_is_remembered_as_the_ceiling() -> None:
    controller = Aimd(maximum=1000, initial=8)
    now = keep_busy(controller, 0.0, 0.4)
    assert limit_of(controller) == 128
    now = refuse(controller, RateLimited(), now)
    assert limit_of(controller) == pytest.approx(0.8 * 128)
    assert controller.statistics(now).ceiling == 128
    assert controller.statistics(now).num_cuts == 1
    assert reason_of(controller) == "cut"


def test_an_episode_cuts_once_however_many_are_refused() -> None:
    controller = Aimd(maximum=100, initial=100)
    for _ in range(100):
        controller.on_start(0.0)
    controller.on_outcome(OK, 0.0, 1.0)
    for number in range(99):
        controller.on_outcome(Overloaded(), 0.0, 1.0 + number / 10)
    assert limit_of(controller) == pytest.approx(80)
    assert controller.statistics(11.0).num_cuts == 1


def test_a_refusal_of_a_request_sent_after_the_cut_cuts_again() -> None:
    controller = Aimd(maximum=100, initial=100)
    for _ in range(100):
        controller.on_start(0.0)
    controller.on_outcome(OK, 0.0, 1.0)
    controller.on_outcome(RateLimited(), 0.0, 1.0)
    controller.on_start(1.5)
    controller.on_outcome(RateLimited(), 1.5, 1.6)
    assert limit_of(controller) == pytest.approx(64)


@pytest.mark.parametrize("failure", FAILURES)
def test_failures_never_cut_and_freeze_growth(failure: Outcome) -> None:
    controller = Aimd(maximum=1000, initial=40)
    now = 0.0
    for _ in range(50):
        for _ in range(40):
            controller.on_start(now)
        now += 1.0
        for number in range(40):
            controller.on_outcome(failure if number % 5 == 0 else OK, now - 1.0, now)
    assert limit_of(controller) == 40
    assert reason_of(controller) == "frozen: the server fails"


def test_a_few_failures_do_not_keep_the_limit_from_growing() -> None:
    controller = Aimd(maximum=1000, initial=100)
    for number in range(200):
        while controller.statistics(0.0).num_in_flight < limit_of(controller):
            controller.on_start(0.0)
        controller.on_outcome(FAILURES[0] if number % 50 == 0 else OK, 0.0, 1.0)
    assert limit_of(controller) == 100 + 196 - 4 * 10


@pytest.mark.parametrize("outcome", NEUTRAL)
def test_what_says_nothing_of_capacity_changes_nothing(outcome: Outcome) -> None:
    controller = Aimd(maximum=1000, initial=40)
    round_trip(controller, outcome, 0.0)
    assert limit_of(controller) == 40
    assert controller.statistics(0.0).num_in_flight == 0


def test_the_limit_does_not_grow_while_slots_are_left_empty() -> None:
    controller = Aimd(maximum=1000, initial=100)
    for number in range(500):
        for _ in range(20):
            controller.on_start(number)
        for _ in range(20):
            controller.on_outcome(OK, number, number + 0.5)
    assert limit_of(controller) == 100
    assert reason_of(controller) == "not saturated"


def test_a_slow_client_freezes_growth_for_a_while() -> None:
    controller = Aimd(maximum=1000, initial=8)
    controller.freeze(0.0)
    now = keep_busy(controller, 0.0, FREEZE_S - 0.2)
    assert limit_of(controller) == 8
    assert reason_of(controller) == "frozen: the client is slow"
    keep_busy(controller, now, 0.6)
    assert limit_of(controller) > 8


def test_the_limit_returns_to_the_ceiling_slowly_and_leaves_it_behind_when_that_is_clean() -> None:
    controller = Aimd(maximum=100_000, initial=100)
    now = keep_busy(controller, 0.0, 0.1)
    now = refuse(controller, RateLimited(), now)
    assert controller.statistics(now).ceiling == 200
    limits = []
    for _ in range(24):
        now = keep_busy(controller, now, 1.0, 0.25)
        limits.append(limit_of(controller))
    assert limits[4] == pytest.approx(200 * (1 - 0.2 * (2 / 3) ** 3), rel=0.01)  # 5 s of 15
    assert max(limits[:15]) == pytest.approx(200)
    assert limits[9] > 197  # near the ceiling for the second half of the way
    assert limits[22] > 400  # and twice the ceiling within 23 s


def test_the_ceiling_is_not_passed_before_a_round_of_requests_sent_after_the_cut_came_back() -> None:
    controller = Aimd(maximum=1000, initial=100)
    for _ in range(101):
        controller.on_start(0.0)
    controller.on_outcome(OK, 0.0, 30.0)
    controller.on_outcome(RateLimited(), 0.0, 30.0)
    ceiling = controller.statistics(30.0).ceiling
    assert ceiling is not None
    for second in range(31, 91):  # all sent before the cut
        controller.on_outcome(OK, 29.0, float(second))
    assert limit_of(controller) <= ceiling


@pytest.mark.parametrize("make", [lambda: Aimd(maximum=50, initial=8), lambda: Aimd(maximum=50, initial=900)])
def test_the_maximum_is_never_exceeded(make: Callable[[], Aimd]) -> None:
    controller = make()
    keep_busy(controller, 0.0, 2.0)
    assert limit_of(controller) == 50
    assert reason_of(controller) == "at the maximum"


def test_a_hard_cap_holds_and_grows_no_more() -> None:
    controller = Aimd(maximum=5000, initial=512)
    controller.hard_cap(100)
    assert controller.limit(0.0) == 100
    keep_busy(controller, 0.0, 1.0)
    assert controller.limit(2.0) == 100
    assert reason_of(controller) == "at the hard cap"


def test_starts_are_parted_so_that_a_wave_does_not_come_back_as_one() -> None:
    controller = Aimd(maximum=100, initial=100)
    now = round_trip(controller, OK, 0.0)
    starts: list[float] = []
    while len(starts) < 100:
        if controller.limit(now) > len(starts):
            controller.on_start(now)
            starts.append(now)
        else:
            assert controller.wait_s(now) < 0.02
            now += controller.wait_s(now)
    assert starts[-1] == pytest.approx(1.0 + 0.8, abs=0.03)  # of a latency: 1.25 limits a latency


def test_less_than_one_request_in_flight_is_possible() -> None:
    controller = Aimd(maximum=8, initial=1)
    controller.on_start(0.0)
    controller.on_outcome(OK, 0.0, 2.0)
    now = 2.0
    while limit_of(controller) > 0.4:
        now += max(0.0, controller.wait_s(now)) if controller.limit(now) == 0 else 0.0
        controller.on_start(now)
        controller.on_outcome(RateLimited(), now, now + 0.1)
        now += 0.1
    assert controller.limit(now) == 0
    assert 4.0 < controller.wait_s(now) < 10.0  # a latency of 2 s over 0.2 to 0.4 slots
    assert controller.limit(now + controller.wait_s(now)) >= 1


# ---------------------------------------------------------------------------------------------------------- queue aware


def sampled(running: float, waiting: float, *, in_flight: int, initial: int) -> QueueAware:
    controller = QueueAware(maximum=1000, initial=initial)
    for _ in range(in_flight):
        controller.on_start(0.0)
    controller.on_metrics(running, waiting, 1.0)
    return controller


def test_while_nothing_waits_the_limit_grows_by_half_a_sample() -> None:
    controller = sampled(8, 0, in_flight=8, initial=8)
    assert controller.limit(1.0) == 12
    assert reason_of(controller, 1.0) == "filling the server"


def test_a_long_queue_takes_the_limit_to_what_runs_and_a_few_more() -> None:
    assert limit_of(sampled(256, 144, in_flight=400, initial=400)) == pytest.approx(256 + 0.04 * 256)


def test_a_queue_that_is_too_short_is_filled_up() -> None:
    assert limit_of(sampled(256, 4, in_flight=260, initial=260)) == pytest.approx(260 + 0.04 * 256 - 4)


def test_what_drains_by_itself_is_not_taken_off_twice() -> None:
    controller = sampled(256, 144, in_flight=400, initial=400)
    before = limit_of(controller)
    controller.on_metrics(256, 144, 1.5)  # nothing has ended yet
    assert limit_of(controller) == pytest.approx(before)


def test_at_least_one_request_waits_however_small_the_server() -> None:
    assert limit_of(sampled(8, 4, in_flight=12, initial=12)) == 9


def test_a_server_shared_with_others_is_left_our_share_of_the_queue() -> None:
    # 100 of the 400 are ours, so a quarter of what is too much.
    assert limit_of(sampled(200, 200, in_flight=100, initial=100)) == pytest.approx(100 - (200 - 8) / 4)


def test_an_empty_server_of_known_size_is_filled_gently_first_and_then_faster() -> None:
    controller = sampled(100, 20, in_flight=120, initial=120)
    for _ in range(16):
        controller.on_outcome(OK, 0.0, 1.5)
    limits = []
    for number in range(4):
        while controller.statistics(0.0).num_in_flight < controller.limit(0.0):
            controller.on_start(0.0)
        controller.on_metrics(100, 0, 2.0 + number)
        limits.append(limit_of(controller))
    assert limits == [104 + 4, 108 + 8, 116 + 16, 132 + 32]


def test_it_does_not_grow_while_slots_are_left_empty_or_the_client_or_server_fails() -> None:
    idle = sampled(10, 0, in_flight=10, initial=100)
    assert (limit_of(idle), reason_of(idle, 1.0)) == (100, "not saturated")
    slow = sampled(8, 0, in_flight=8, initial=8)
    slow.freeze(1.0)
    slow.on_metrics(12, 0, 2.0)
    assert limit_of(slow) == 12
    failing = QueueAware(maximum=100, initial=8)
    for _ in range(9):
        failing.on_start(0.0)
    failing.on_outcome(Transient("server", "500"), 0.0, 1.0)
    failing.on_metrics(8, 0, 1.0)
    assert (limit_of(failing), reason_of(failing, 1.0)) == (8, "frozen: the server fails")


def test_a_refusal_cuts_once_an_episode_and_stops_growth_for_a_while() -> None:
    controller = sampled(100, 20, in_flight=120, initial=120)
    for _ in range(30):
        controller.on_outcome(Overloaded(), 0.0, 2.0)
    assert limit_of(controller) == pytest.approx(0.8 * 104)
    controller.on_metrics(90, 0, 2.5)
    assert limit_of(controller) == pytest.approx(0.8 * 104)
    assert controller.statistics(2.5).num_cuts == 1


@pytest.mark.parametrize("senseless", [(-1, 0), (0, -1), (math.nan, 0), (8, math.nan), (math.inf, 0), (8, math.inf)])
def test_senseless_metrics_are_ignored(senseless: tuple[float, float]) -> None:
    controller = QueueAware(maximum=100, initial=8)
    for _ in range(8):
        controller.on_start(0.0)
    controller.on_metrics(*senseless, 1.0)
    assert limit_of(controller) == 8
    assert reason_of(controller) == "no metrics yet"


def test_without_metrics_the_limit_stays_what_it_was() -> None:
    controller = sampled(256, 10, in_flight=266, initial=266)
    limit = controller.limit(1.0)
    for number in range(1000):
        controller.on_outcome(OK, 0.0, 2.0 + number)
        controller.on_start(2.0 + number)
    assert controller.limit(1002.0) == limit
    assert reason_of(controller, 1002.0) == "held: the metrics are old"
    assert reason_of(controller, 1.0 + STALE_S) == "keeping a short queue"


# ---------------------------------------------------------------------------------------------------------- all of them

EVENT = st.one_of(
    st.tuples(st.just("start"), st.none()),
    st.tuples(st.just("end"), st.sampled_from([OK, *FAILURES, *REFUSALS, *NEUTRAL])),
    st.tuples(st.just("later"), st.floats(0, 20)),
    st.tuples(st.just("freeze"), st.none()),
    st.tuples(st.just("cap"), st.integers(-1, 50)),
    st.tuples(st.just("metrics"), st.tuples(st.floats(), st.floats())),
)


@settings(max_examples=200)
@given(
    st.sampled_from(
        [lambda: Fixed(20), lambda: Aimd(maximum=20, initial=5), lambda: QueueAware(maximum=20, initial=5)]
    ),
    st.lists(EVENT, max_size=150),
)
def test_a_limit_is_bounded_and_an_idle_client_may_sooner_or_later_send(
    make: Callable[[], Controller], events: list[tuple[str, object]]
) -> None:
    controller = make()
    now, most = 0.0, 20
    sent: list[float] = []
    cuts = 0
    for what, value in events:
        before = limit_of(controller)
        match what, value:
            case "start", _ if len(sent) < controller.limit(now):
                controller.on_start(now)
                sent.append(now)
            case "end", outcome if sent:
                controller.on_outcome(outcome, sent.pop(0), now)  # type: ignore[arg-type]  # an Outcome
                if not isinstance(outcome, RateLimited | Overloaded):
                    assert controller.statistics(now).num_cuts == cuts
                    assert limit_of(controller) >= before
            case "later", float(seconds):
                now += seconds
            case "freeze", _:
                controller.freeze(now)
            case "cap", int(num_slots):
                controller.hard_cap(num_slots)
                most = max(1, min(most, num_slots))
            case "metrics", (float(running), float(waiting)) if isinstance(controller, QueueAware):
                controller.on_metrics(running, waiting, now)
        cuts = controller.statistics(now).num_cuts
        assert 0 <= controller.limit(now) <= most
        assert 0 < limit_of(controller) <= most
        assert controller.statistics(now).num_in_flight == len(sent)
        assert controller.wait_s(now) > 0
    for time in sent:
        controller.on_outcome(Aborted(), time, now)
    assert controller.limit(now) >= 1 or controller.limit(now + controller.wait_s(now)) >= 1
    assert controller.limit(now) >= 1 or controller.wait_s(now) <= 60.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fixed(0), "max_in_flight: must be at least 1, got 0"),
        (lambda: Aimd(maximum=0), "max_in_flight: must be at least 1, got 0"),
        (lambda: Aimd(maximum=8, initial=0), "initial: must be at least 1, got 0"),
        (lambda: QueueAware(maximum=0), "max_in_flight: must be at least 1, got 0"),
        (lambda: QueueAware(maximum=8, waiting_share=0), "waiting_share: must be above 0 and at most 1, got 0"),
    ],
)
def test_senseless_settings_are_refused(make: Callable[[], Controller], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
