"""What callers pass to an index, checked: every complaint names the argument, the bound and what it got.

Knows nothing of what the values are for.
"""

import os
from collections.abc import Sequence

import numpy as np

from fastinstruct.errors import InputError

__all__ = ["checked_count", "checked_number", "checked_texts", "checked_threshold", "num_cores"]


def checked_texts(texts: Sequence[str]) -> Sequence[str]:
    """The texts, which are a list or a tuple then.

    Raises:
        InputError: they are a single str, or hold something that is no str.
    """
    if type(texts) is list and len(texts) == 1 and type(texts[0]) is str:
        return texts  # what a loop asks with, in a tenth of the time
    if isinstance(texts, str):
        raise InputError("texts must be a sequence of str; got one str")
    checked = texts if isinstance(texts, list | tuple) else list(texts)
    if set(map(type, checked)) <= {str}:
        return checked
    for text in checked:
        if not isinstance(text, str):
            raise InputError(f"every text must be a str; got {type(text).__name__}")
    return checked


def checked_count(name: str, value: object, least: int, most: int | None = None) -> int:
    """A whole number from `least` to `most`.

    Raises:
        InputError: it is not.
    """
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        number = int(value)
        if number >= least and (most is None or number <= most):
            return number
    bound = f"of at least {least}" if most is None else f"from {least} to {most}"
    raise InputError(f"{name} must be an int {bound}; got {value!r}")


def checked_threshold(threshold: object) -> float:
    """A threshold.

    Raises:
        InputError: it is not a number from 0 to 1.
    """
    number = checked_number(threshold)
    if number is None or not 0 <= number <= 1:
        raise InputError(f"threshold must be a number from 0 to 1; got {threshold!r}")
    return number


def checked_number(value: object) -> float | None:
    """The value as a float, None if it is no number."""
    if isinstance(value, int | float | np.floating) and not isinstance(value, bool):
        return float(value)
    return None


def num_cores() -> int:
    """How many cores this process may use: more threads than these are only a burden."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
