"""What became of the texts that were judged.

Knows nothing of how they were judged.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

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


# Most verdicts are this one, and making one takes a microsecond.
_ADMITTED = Verdict(admitted=True, nearest=None, score=math.nan)


class Verdicts(Sequence[Verdict]):
    """The verdicts on a batch of texts, in the order of the texts, backed by arrays.

    An index gives a `Verdict`, a slice `Verdicts` over the same arrays.
    """

    __slots__ = ("_admitted", "_nearest", "_scores")

    def __init__(self, admitted: NDArray[np.bool_], nearest: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
        self._admitted = admitted
        self._nearest = nearest
        self._scores = scores

    @property
    def admitted(self) -> NDArray[np.bool_]:
        """bool[n]: which are in the pool now, or could be if they were queried."""
        return self._admitted

    @property
    def nearest(self) -> NDArray[np.int64]:
        """int64[n]: see `Verdict`; -1 for none."""
        return self._nearest

    @property
    def scores(self) -> NDArray[np.float64]:
        """float64[n]: F with the nearest, NaN for none."""
        return self._scores

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
            return _ADMITTED
        return Verdict(admitted=False, nearest=int(self.nearest[index]), score=float(self.scores[index]))

    def __iter__(self) -> Iterator[Verdict]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return f"<Verdicts: {int(self.admitted.sum())} of {len(self)} admitted>"


class OneVerdict(Verdicts):
    """The verdict on one text: `nearest` is -1 and `score` NaN for none.

    Its arrays are made when somebody looks at them: each takes half as long as to judge a text.
    """

    __slots__ = ("_position", "_score")

    def __init__(self, nearest: int, score: float) -> None:
        self._position = nearest
        self._score = score

    @property
    def admitted(self) -> NDArray[np.bool_]:
        return self._made("_admitted", self._position < 0)

    @property
    def nearest(self) -> NDArray[np.int64]:
        return self._made("_nearest", self._position)

    @property
    def scores(self) -> NDArray[np.float64]:
        return self._made("_scores", self._score)

    def _made(self, name: str, value: float) -> NDArray[Any]:
        """The array of that name, the same one each time."""
        if not hasattr(self, name):
            setattr(self, name, np.array([value]))
        array: NDArray[Any] = getattr(self, name)
        return array

    def __len__(self) -> int:
        return 1
