"""How late a loop runs, in virtual time: what counts, what does not, and that memory is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from fastinstruct.lm.process import LagWindow, LoopLag
from virtual_time import VirtualTimeLoop, in_virtual_time


def window_of(lags_s: Sequence[float]) -> LagWindow:
    window = LagWindow()
    for lag_s in lags_s:
        window.add(lag_s)
    return window


def block(seconds: float) -> None:
    """Let the loop stand still, as a callback that computes would."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.stand_still(seconds)


def test_before_the_first_tick_nothing_is_known() -> None:
    assert LagWindow().p99_s is None
    assert not LagWindow().is_late


@pytest.mark.parametrize(("num_late", "p99_s"), [(1, 0.0), (2, 0.04)])
def test_the_percentile_is_that_of_the_nearest_rank(num_late: int, p99_s: float) -> None:
    assert window_of([0.0] * (100 - num_late) + [0.04] * num_late).p99_s == p99_s


def test_a_tick_stands_for_those_that_it_swallowed() -> None:
    # Due at 0.05, run at 0.14: the tick of 0.10 was missed.
    assert [round(lag_s, 9) for lag_s in window_of([0.09])._lags] == [0.09, 0.04]
    assert [round(lag_s, 9) for lag_s in window_of([0.22])._lags] == [0.22, 0.17, 0.12]


def test_four_stalls_a_minute_are_no_overload_however_long_and_five_are() -> None:
    window = window_of([0.0, 3600.0, 1.0, 1.0, 1.0, 0.0])
    was_late = window.is_late
    window.add(1.0)
    assert (was_late, window.is_late) == (False, True)


def test_a_loop_that_is_late_all_the_time_is_overloaded_at_once() -> None:
    assert window_of([0.4] * 5).is_late
    assert not window_of([0.25] * 2000).is_late


def test_overload_is_over_once_it_has_left_the_window_and_memory_is_bounded() -> None:
    window = window_of([10.0] * 1000)
    for _ in range(1187):
        window.add(0.0)
    was_late = window.is_late
    window.add(0.0)
    assert (was_late, window.is_late) == (True, False)
    assert len(window._lags) == 1200


@in_virtual_time
async def test_the_probe_measures_what_stands_still_and_costs_one_timer() -> None:
    probe, loop = LoopLag(), asyncio.get_running_loop()
    probe.start()
    await asyncio.sleep(2.025)
    assert probe.window.p99_s == pytest.approx(0.0)
    block(0.325)  # the tick of 2.05 runs at 2.35
    await asyncio.sleep(0.02)
    assert probe.window.p99_s == pytest.approx(0.3)
    assert isinstance(loop, VirtualTimeLoop)
    assert loop.num_timers == 1
    probe.stop()
    assert loop.num_timers == 0
