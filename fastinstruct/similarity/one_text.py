"""The short way of a text that comes alone.

Knows nothing of what a text is near to. Most calls of a loop over texts cost more than the judgement they ask for: here
a call makes no array, and one kernel does all. A text that it can't be done for takes the way of all others, with the
same verdict.
"""

from __future__ import annotations

import math

from fastinstruct.similarity.exact import ExactPool
from fastinstruct.similarity.lexicon import Lexicon
from fastinstruct.similarity.verdicts import OneVerdict
from fastinstruct_kernels.handles import handle_of
from fastinstruct_kernels.one_text import MOST_BYTES, NOT_JUDGED, judge_one, new_text

__all__ = ["OneText"]


class OneText:
    """Room for one text at a time, to be judged against one pool."""

    def __init__(self, lexicon: Lexicon, exact: ExactPool) -> None:
        self._lexicon, self._exact = lexicon, exact
        self._arrays = new_text()
        self._handle = handle_of(self._arrays)
        self._bytes = memoryview(self._arrays.text)  # type: ignore[arg-type]  # a NumPy array is a buffer
        self._scores = self._arrays.batch.scores

    def settle(self, text: str, mode: int) -> OneVerdict | None:
        """The verdict on a text to ADMIT or QUERY; None, with nothing changed, where this is no way for it."""
        num_bytes = len(text)
        if num_bytes > MOST_BYTES or not text.isascii():
            return None
        self._bytes[:num_bytes] = text.encode()
        exact = self._exact
        nearest = judge_one(
            self._lexicon.handle,
            exact.handle,
            exact.scratch_handle,
            self._handle,
            num_bytes,
            mode,
            exact.threshold,
            exact.rebuild_at,
        )
        if nearest == NOT_JUDGED:
            return None
        return OneVerdict(nearest, self._scores.item() if nearest >= 0 else math.nan)
