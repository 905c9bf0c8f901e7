"""What became of the texts that were judged.

Knows nothing of how they were judged.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one text.

    `nearest` is the pool position of the text with the highest ROUGE-L F above the threshold (the lowest position of
    equals) and `score` that F. An admitted text has no such neighbour: `nearest` is None and `score` NaN.
    """

    admitted: bool
    nearest: int | None
    score: float


class Verdicts(Sequence[Verdict]):
    """The verdicts on a batch of texts, in the order of the texts, backed by arrays.

    `admitted: bool[n]`, `nearest: int64[n]` with -1 for none, `scores: float64[n]` with NaN for none. An index gives
    a `Verdict`, a slice `Verdicts` over the same arrays.
    """

    __slots__ = ("admitted", "nearest", "scores")

    def __init__(self, admitted: NDArray[np.bool_], nearest: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
        self.admitted = admitted
        self.nearest = nearest
        self.scores = scores

    @classmethod
    def joined(cls, parts: Sequence["Verdicts"]) -> "Verdicts":
        """The verdicts on one batch after another, of which there is at least one."""
        return cls(
            np.concatenate([part.admitted for part in parts]),
            np.concatenate([part.nearest for part in parts]),
            np.concatenate([part.scores for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.admitted)

    @overload
    def __getitem__(self, index: int) -> Verdict: ...
    @overload
    def __getitem__(self, index: slice) -> "Verdicts": ...
    def __getitem__(self, index: int | slice) -> "Verdict | Verdicts":
        if isinstance(index, slice):
            return Verdicts(self.admitted[index], self.nearest[index], self.scores[index])
        if self.admitted[index]:
            return Verdict(admitted=True, nearest=None, score=math.nan)
        return Verdict(admitted=False, nearest=int(self.nearest[index]), score=float(self.scores[index]))

    def __iter__(self) -> Iterator[Verdict]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return f"<Verdicts: {int(self.admitted.sum())} of {len(self)} admitted>"
