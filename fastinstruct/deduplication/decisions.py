"""Which items of an iterator to keep, and which are near-duplicates of what.

Knows nothing of files. Guarantees the decisions of judging one item after another, whatever the batch size.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar, cast

import numpy as np

from fastinstruct.errors import InputError
from fastinstruct.similarity import LSHIndex, RougeIndex, Verdicts

__all__ = ["Decision", "Index", "Method", "Neighbour", "dedup", "new_index"]

Item = TypeVar("Item")
Method = Literal["exact", "lsh"]
_METHODS = ("exact", "lsh")


class Index(Protocol):
    """What decides: `RougeIndex` or `LSHIndex`."""

    @property
    def threshold(self) -> float:
        """The F above which a text is rejected."""

    @property
    def tokenizer(self) -> str:
        """The tokenizer's exact name."""

    def __len__(self) -> int: ...

    def admit(self, texts: list[str], /) -> Verdicts:
        """Judge the texts one after another; each admitted one is in the pool for the next."""

    def query(self, texts: list[str], /) -> Verdicts:
        """Judge each text against the pool as it is, and change nothing."""

    def add(self, texts: list[str], /) -> None:
        """Put the texts into the pool without judging them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """The text that a near-duplicate is nearest to: its position, from 0, among `source`.

    `input`: the items of this call; `against`: the texts to stay away from; `index`: those in the index before.
    """

    source: Literal["input", "against", "index"]
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision(Generic[Item]):
    """What became of one item. `position` counts the items from 0; kept: `nearest` is None and `score` NaN."""

    position: int
    item: Item
    kept: bool
    nearest: Neighbour | None
    score: float


def dedup(
    items: Iterable[Item],
    key: Callable[[Item], str] | str | None = None,
    *,
    threshold: float = 0.7,
    tokenizer: str = "unicode",
    method: Method = "exact",
    index: Index | None = None,
    against: Iterable[str] = (),
    batch_size: int = 1000,
) -> Iterator[Decision[Item]]:
    """Decide item by item, in order, which to keep: those that are no near-duplicate of one kept before.

        kept = [decision.item for decision in fastinstruct.dedup(rows, "instruction") if decision.kept]

    Args:
        items: texts, or anything with a text in it; read as the decisions are taken, `batch_size` ahead.
        key: how to get an item's text: a function, or a mapping's key. Default: the item is the text.
        threshold: an item is dropped if its ROUGE-L F with a kept one is strictly above this.
        tokenizer: `unicode` (every script, its newest version), `unicode-1`, `unicode-2`, or `rouge` (a-z and 0-9).
        method: `exact` misses nothing; `lsh` may miss some and is faster for long texts (see `LSHIndex`).
        index: an index to use and to add to, instead of a new one with the three settings above.
        against: texts to stay away from, such as an evaluation set; they may be near each other.
        batch_size: how many items to judge at once; it changes no decision.

    If `items` fails, what came before is decided first.

    Raises:
        InputError: an argument is out of range, or an item's text is no str.
    """
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1; got {batch_size}")
    if index is None:
        index = new_index(threshold, tokenizer, method)
    sieve = _Sieve(index, _against(against, index, batch_size))
    return _decisions(_batches(items, _text_getter(key), batch_size), sieve)


def new_index(threshold: float, tokenizer: str, method: Method) -> RougeIndex | LSHIndex:
    """An empty index.

    Raises:
        InputError: an argument is out of range.
    """
    if method not in _METHODS:
        raise InputError(f"method must be one of {', '.join(_METHODS)}; got {method!r}")
    return RougeIndex(threshold, tokenizer) if method == "exact" else LSHIndex(threshold, tokenizer)


def _against(texts: Iterable[str], index: Index, batch_size: int) -> Index | None:
    # An index of its own: what is to be avoided must not get into an index that the caller keeps.
    if isinstance(texts, str):
        raise InputError("against must be an iterable of str; got one str")
    avoided = new_index(index.threshold, index.tokenizer, "lsh" if isinstance(index, LSHIndex) else "exact")
    for batch in _batches(texts, lambda text: text, batch_size):
        avoided.add([text for text, _ in batch])
    return avoided if len(avoided) else None


def _text_getter(key: Callable[[Item], str] | str | None) -> Callable[[Item], str]:
    if callable(key):
        return key
    if key is None:
        return lambda item: cast(str, item)
    return lambda item: _field(item, key)


def _field(item: object, key: str) -> str:
    try:
        return cast(str, item[key])  # type: ignore[index]  # whatever has such a key
    except (KeyError, TypeError, IndexError):
        raise InputError(f"an item has no {key!r}; give the key of its text") from None


def _batches(
    items: Iterable[Item], text_of: Callable[[Item], str], batch_size: int
) -> Iterator[list[tuple[str, Item]]]:
    batch: list[tuple[str, Item]] = []
    try:
        for item in items:
            text = text_of(item)
            if not isinstance(text, str):
                raise InputError(f"every text must be a str; got {type(text).__name__}")
            batch.append((text, item))
            if len(batch) == batch_size:
                yield batch
                batch = []
    except Exception:
        if batch:
            yield batch  # what came before a bad item is still decided
        raise
    if batch:
        yield batch


def _decisions(batches: Iterator[list[tuple[str, Item]]], sieve: "_Sieve") -> Iterator[Decision[Item]]:
    position = 0
    for batch in batches:
        judged = sieve.judge([text for text, _ in batch])
        for (_, item), (nearest, score) in zip(batch, judged, strict=True):
            yield Decision(position=position, item=item, kept=nearest is None, nearest=nearest, score=score)
            position += 1


class _Sieve:
    """An index and what to stay away from, which knows where in the input its texts came from."""

    def __init__(self, index: Index, against: Index | None) -> None:
        self._index = index
        self._against = against
        self._num_before = len(index)
        self._num_judged = 0
        self._positions = array("q")  # of the kept items among the input

    def judge(self, texts: list[str]) -> list[tuple[Neighbour | None, float]]:
        """Each text's neighbour and F, or None and NaN for one to keep."""
        judged: list[tuple[Neighbour | None, float]] = [(None, float("nan"))] * len(texts)
        free = list(range(len(texts)))
        if self._against is not None:
            avoided = self._against.query(texts)
            for place in np.flatnonzero(~avoided.admitted).tolist():
                position = int(avoided.nearest[place])
                judged[place] = Neighbour(source="against", position=position), float(avoided.scores[place])
            free = np.flatnonzero(avoided.admitted).tolist()
        verdicts = self._index.admit([texts[place] for place in free])
        # Lists, not Verdict objects: these are most of the work when nearly everything is kept.
        for place, nearest, score in zip(free, verdicts.nearest.tolist(), verdicts.scores.tolist(), strict=True):
            if nearest < 0:
                self._positions.append(self._num_judged + place)
            else:
                judged[place] = self._neighbour(nearest), score
        self._num_judged += len(texts)
        return judged

    def _neighbour(self, nearest: int) -> Neighbour:
        if nearest < self._num_before:
            return Neighbour(source="index", position=nearest)
        return Neighbour(source="input", position=self._positions[nearest - self._num_before])
