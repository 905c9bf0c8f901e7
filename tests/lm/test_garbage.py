"""The collector of cycles: rarer inside, as before afterwards."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from fastinstruct.lm.process import seldom_collected


def thresholds() -> tuple[int, int]:
    """The first two: the third means nothing to newer interpreters."""
    return gc.get_threshold()[:2]


class Ring:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def usual_collector() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_inside_it_comes_less_often_and_leaves_alone_what_was_there() -> None:
    with seldom_collected():
        assert thresholds() == (50_000, 20)
        assert gc.get_freeze_count() > 1000


def test_afterwards_it_is_as_it_was() -> None:
    with seldom_collected():
        pass
    assert thresholds() == (700, 10)
    assert gc.get_freeze_count() == 0


def test_a_failure_inside_puts_it_back_too() -> None:
    with pytest.raises(ZeroDivisionError), seldom_collected():
        raise ZeroDivisionError
    assert (thresholds(), gc.get_freeze_count()) == ((700, 10), 0)


def test_of_several_at_once_the_last_puts_it_back() -> None:
    first, second = seldom_collected(), seldom_collected()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert thresholds() == (50_000, 20)
    assert gc.get_freeze_count() > 1000
    second.__exit__(None, None, None)
    assert (thresholds(), gc.get_freeze_count()) == ((700, 10), 0)


def test_what_somebody_else_froze_stays_frozen() -> None:
    gc.freeze()
    with seldom_collected():
        pass
    assert gc.get_freeze_count() > 1000


def test_higher_thresholds_of_others_and_a_collector_turned_off_stay() -> None:
    gc.set_threshold(50_000, 5, 5)
    with seldom_collected():
        assert thresholds() == (50_000, 20)
    gc.set_threshold(0, 10, 10)
    with seldom_collected():
        assert thresholds() == (0, 10)


def test_cycles_made_inside_are_still_found() -> None:
    with seldom_collected():
        ring = weakref.ref(Ring())
        gc.collect()
        assert ring() is None
