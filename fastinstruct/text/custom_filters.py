"""A filter of the user's own, in Python: called with each example that everything else lets through.

Knows nothing of runs. What the user's function raises, or returns against its promise, is a `FilterFailed` that names
it: a filter that fails in silence would let everything through, or nothing.
"""

from __future__ import annotations

from typing import Protocol

from fastinstruct.errors import FilterFailed
from fastinstruct.records import MAX_RULE_NAME, Example, Rejection, RejectReason, is_rule_name, rule_reason

__all__ = ["CustomFilter", "ExampleFilter"]

_MAX_SHOWN = 80  # characters of the function's name


class ExampleFilter(Protocol):
    """What a user's filter is: a function of an example that says why it is rejected, in a few words, or None.

    The words are what it is counted under, so they name a kind ("too rude"), not the example. The same example should
    always get the same answer: what a run has decided is not asked again when it goes on.
    """

    def __call__(self, example: Example, /) -> str | None:
        """Return None to keep the example, or a short reason."""


class CustomFilter:
    """Judges by a user's function."""

    def __init__(self, function: ExampleFilter) -> None:
        self._function = function
        self.name = _name_of(function)

    def judge(self, example: Example) -> Rejection | None:
        """Return why the function rejects an example; None if it does not.

        Raises:
            FilterFailed: the function raised, or returned neither None nor a short printable text.
        """
        try:
            reason = self._function(example)
        except Exception as error:  # what it says may hold the example's text, so it is told by its cause only
            raise FilterFailed(f"the filter {self.name} raised {type(error).__name__} at {example.id}") from error
        if reason is None:
            return None
        if not isinstance(reason, str):
            raise FilterFailed(f"the filter {self.name} returned {_kind_of(reason)}; return None or a short text")
        if not is_rule_name(reason):
            promise = f"printable, without white space around it, and at most {MAX_RULE_NAME} characters long"
            raise FilterFailed(f"the filter {self.name} returned a reason that is not {promise}")
        return Rejection(reason=rule_reason(RejectReason.CUSTOM, reason))


def _name_of(function: object) -> str:
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return str(name)[:_MAX_SHOWN]


def _kind_of(value: object) -> str:
    return f"a {type(value).__name__}"
