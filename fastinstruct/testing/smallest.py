"""The smallest case in which something is wrong: found by Hypothesis, then cut down item by item.

Knows nothing of what is tested. Guarantees the same case for the same seed and the same Hypothesis, wherever it runs:
no database of earlier failures is read, and no clock.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.errors import Flaky, NoSuchExample
from hypothesis.strategies import SearchStrategy

__all__ = ["fewest", "shorter_pairs", "shorter_streams", "smallest"]

Case = TypeVar("Case")
Fault = TypeVar("Fault")
Items = TypeVar("Items", str, list[str])

_LONGEST_BOTH = 24  # of pairs that are cut on both sides at once: as many ways as one length times the other
_MOST_TRIES = 5_000


def smallest(
    cases: SearchStrategy[Case],
    fault_of: Callable[[Case], Fault | None],
    *,
    examples: int,
    seed: int,
    shorter: Callable[[Case], Iterator[Case]] = lambda case: iter(()),
) -> tuple[Case, Fault] | None:
    """The smallest case with a fault, and the fault; None if none of so many examples has one.

    `shorter` gives what a case can be cut down to where Hypothesis is at its end: its way leads over cases that the
    strategy makes. Of an implementation that answers differently when it is asked again, the last case that failed.
    """
    failed: list[tuple[Case, Fault]] = []

    def has_fault(case: Case) -> bool:
        fault = fault_of(case)
        if fault is not None:
            failed[:] = [(case, fault)]
        return fault is not None

    try:
        found = find(
            cases,
            has_fault,
            settings=settings(
                max_examples=examples,
                database=None,
                deadline=None,
                phases=(Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck),
            ),
            random=random.Random(seed),
        )
    except (Flaky, NoSuchExample):
        return failed[0] if failed else None
    fault = fault_of(found)
    return failed[0] if fault is None else _cut_down((found, fault), fault_of, shorter)


def _cut_down(
    failed: tuple[Case, Fault], fault_of: Callable[[Case], Fault | None], shorter: Callable[[Case], Iterator[Case]]
) -> tuple[Case, Fault]:
    variants = shorter(failed[0])
    for _ in range(_MOST_TRIES):
        case = next(variants, None)
        if case is None:
            break
        fault = fault_of(case)
        if fault is not None:
            failed, variants = (case, fault), shorter(case)
    return failed


def shorter_pairs(pair: tuple[Items, Items]) -> Iterator[tuple[Items, Items]]:
    """The pair without an item of the left, of the right, or of both."""
    left, right = pair
    yield from ((one, right) for one in _without_one(left))
    yield from ((left, other) for other in _without_one(right))
    if max(len(left), len(right)) <= _LONGEST_BOTH:
        yield from ((one, other) for one in _without_one(left) for other in _without_one(right))


def shorter_streams(stream: list[str]) -> Iterator[list[str]]:
    """The stream without a text, or without a word of one."""
    yield from _without_one(stream)
    for place, text in enumerate(stream):
        for words in _without_one(text.split()):
            yield [*stream[:place], " ".join(words), *stream[place + 1 :]]


def _without_one(items: Items) -> Iterator[Items]:
    return (items[:place] + items[place + 1 :] for place in range(len(items)))


def fewest(items: Sequence[Case], fault_of: Callable[[list[Case]], Fault | None]) -> tuple[list[Case], Fault] | None:
    """As few of the items as still have a fault: leaving out any one of them leaves none. None if there is no fault."""
    left, fault = list(items), fault_of(list(items))
    if fault is None:
        return None
    size = max(len(left) // 2, 1)
    while True:
        place, cut = 0, False
        while place < len(left):
            fewer = left[:place] + left[place + size :]
            found = fault_of(fewer)
            if found is None:
                place += size
            else:
                left, fault, cut = fewer, found, True
        if size == 1 and not cut:
            return left, fault
        size = max(size // 2, 1)
