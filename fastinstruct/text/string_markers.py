"""Markers before the strings of a list that needs none: numbers of any style, bullets, heading and quote signs.

Knows nothing of JSON or of tasks. A marker is taken off only where all strings have one of the same style and their
numbers count on: else it is content, or a fault for who judges the strings. Takes any texts, never raises, and takes
time linear in them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from fastinstruct.text.markup import collapsed
from fastinstruct.text.numbering import BULLET, DECIMAL, LABEL, Marker, markers_of, trimmed
from fastinstruct.text.task_words import begins_a_task

__all__ = ["without_markers"]

_MAX_STEP = 3  # a string between two others may have been rejected
_MAX_NUMBER = 999  # "2016. ..." is content
_SIGNS = re.compile(r"(?:#{1,6} |> ?){1,3}(?=\S)")
_ONE_SERIES = {"sign": DECIMAL}  # "9\N{COMBINING ENCLOSING KEYCAP}" goes on as "11."


def without_markers(texts: Sequence[str]) -> list[str]:
    """The texts, each without the marker at its beginning if all have one and these belong together."""
    told = [trimmed(text) for text in texts]
    for _ in range(2):  # such as "> - Write"
        if told and all(map(_SIGNS.match, told)):
            told = [_SIGNS.sub("", text, count=1) for text in told]
        told = _without_one(told)
    return [collapsed(text) for text in told]


def _without_one(texts: Sequence[str]) -> list[str]:
    if not texts or not markers_of(texts[0]):  # as mostly
        return list(texts)
    by_text = [{_series(marker): marker for marker in reversed(markers_of(text))} for text in texts]
    for series in by_text[0]:
        markers = [readings.get(series) for readings in by_text]
        whole = [marker for marker in markers if marker is not None and marker.rest]
        if len(whole) == len(texts) and _belong_together(series, whole):
            return [marker.rest for marker in whole]
    return list(texts)


def _series(marker: Marker) -> str:
    return _ONE_SERIES.get(marker.style, marker.style)


def _belong_together(series: str, markers: Sequence[Marker]) -> bool:
    numbers = [marker.number for marker in markers]
    if series.startswith(BULLET) or series == LABEL:
        return len(numbers) > 1
    if max(numbers) > _MAX_NUMBER or (len(numbers) == 1 and series != DECIMAL):
        return False
    if series not in (DECIMAL, "ideographic") and not any(begins_a_task(marker.rest) for marker in markers):
        return False  # "A. Smith" and "B. Jones" are people
    return all(0 < after - before <= _MAX_STEP for before, after in pairwise(numbers)) or len(set(numbers)) == 1
