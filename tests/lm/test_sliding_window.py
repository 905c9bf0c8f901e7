"""A sum over the last minute, against one that keeps every charge."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinstruct.lm.limits.rate_budget import SlidingWindow

CHARGE = st.tuples(st.just("charge"), st.integers(0, 100), st.floats(0, 3))
CORRECT = st.tuples(st.just("correct"), st.integers(-50, 50), st.floats(0, 0.2))


@given(st.lists(CHARGE | CORRECT, max_size=60), st.integers(0, 300))
def test_it_never_misses_a_unit_and_counts_none_a_tenth_of_a_second_too_long(
    steps: list[tuple[str, int, float]], most: int
) -> None:
    window = SlidingWindow(10.0)
    charges: list[list[float]] = []  # when, units
    bins = []
    now = 0.0
    for what, num_units, later_s in steps:
        now += later_s
        if what == "charge":
            bins.append(window.charge(num_units, now))
            charges.append([now, num_units])
        elif bins and charges[-1][0] > now - 9.9:  # what has left is not corrected
            window.correct(bins[-1], num_units)
            charges[-1][1] += num_units
        wait_s = window.wait_s(most, now)
        held = sum(units for time, units in charges if time > now - 10.0)
        if all(units >= 0 for _, units in charges):
            assert held <= window.num_units <= sum(units for time, units in charges if time > now - 10.11)
            assert (wait_s == 0.0) == (window.num_units <= most)
            assert sum(units for time, units in charges if time > now + wait_s - 10.0) <= most


def test_a_wait_ends_when_enough_has_left() -> None:
    window = SlidingWindow(60.0)
    for second in range(10):
        window.charge(10, float(second))
    assert window.wait_s(100, 10.0) == 0.0
    assert window.wait_s(90, 10.0) == pytest.approx(50.1)
    assert window.wait_s(75, 10.0) == pytest.approx(52.1)
    assert window.wait_s(-5, 10.0) == pytest.approx(59.1)  # nothing is left then


def test_what_has_left_the_window_is_not_corrected() -> None:
    window = SlidingWindow(60.0)
    old = window.charge(10, 0.0)
    window.charge(5, 100.0)
    window.correct(old, 7)
    assert window.num_units == 5


def test_charges_of_one_tenth_of_a_second_share_a_bin() -> None:
    window = SlidingWindow(60.0)
    assert window.charge(1, 0.0) is window.charge(1, 0.09)
    assert window.charge(1, 0.0999) is not window.charge(1, 0.11)
