"""Methods of an object that one thread at a time may call, which say so when another call comes in between.

Knows nothing of what the methods do. Guarantees that of calls that overlap at most one runs and every other raises
(all do where they begin in the same instant); that none waits; and that a call which ends, by an exception or Ctrl-C
too, leaves the object free.

A lock would make threads wait for one another without a word, and one that Ctrl-C interrupts between taking and
releasing it stays taken. So each call makes the object's list longer by one, runs if it finds it longer by no more, and
makes it shorter again: each a single step of the interpreter.
"""

import os
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from fastinstruct.errors import ConcurrentUse

__all__ = ["ALONE", "OneAtATime", "one_at_a_time"]

_AT_REST = 4  # a list that never gets shorter keeps its memory, and is twice as quick as one that is emptied
ALONE = _AT_REST + 1
"""The length of an object's list of callers as the only one of them sees it."""

Given = ParamSpec("Given")
Result = TypeVar("Result")
Owner = TypeVar("Owner", bound="OneAtATime")


class OneAtATime:
    """An object whose methods marked with `one_at_a_time` never overlap."""

    def __init__(self) -> None:
        self._callers = [None] * _AT_REST
        self._made_in = os.getpid()

    def _refusal(self) -> ConcurrentUse:
        name = type(self).__name__
        if os.getpid() == self._made_in:
            return ConcurrentUse(
                f"{name}: another call is running; one thread at a time may use it: give each its own, or let all call "
                "it under one threading.Lock"
            )
        return ConcurrentUse(
            f"{name}: another call is running, or was when this process was forked, and left it half changed: make or "
            "load one in each process, and let one thread at a time use it"
        )


def one_at_a_time(
    method: Callable[Concatenate[Owner, Given], Result],
) -> Callable[Concatenate[Owner, Given], Result]:
    """Let a method of a `OneAtATime` raise `ConcurrentUse` while another such method of the same object runs."""

    @wraps(method)
    def alone(self: Owner, /, *args: Given.args, **kwargs: Given.kwargs) -> Result:
        callers = self._callers
        try:
            callers.append(None)
            if len(callers) != ALONE:
                raise self._refusal()
            return method(self, *args, **kwargs)
        finally:
            callers.pop()

    return alone
