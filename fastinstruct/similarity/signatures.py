"""MinHash signatures of texts: computed here, or exchanged with datasketch.

Knows nothing of pools or verdicts. Guarantees that a text's signature is the one `datasketch.MinHash(num_perm, seed)`
(2.0 or newer, scheme `affine32`) has after `update(token.encode())` for each of its tokens. datasketch itself is only
needed to make its objects.
"""

import hashlib
from array import array
from collections.abc import Sequence, Sized
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastinstruct.errors import InputError

if TYPE_CHECKING:
    from datasketch import MinHash

__all__ = ["HashedVocabulary", "NumberedTokens", "from_datasketch", "hash32", "to_datasketch"]

_SCHEME = "affine32"


class NumberedTokens(NamedTuple):
    """Texts as numbers, one text after another."""

    numbers: NDArray[np.int32]  # int32[tokens]: 0 is a token that the vocabulary does not have
    hashes: NDArray[np.uint32]  # uint32[tokens]
    starts: NDArray[np.int64]  # int64[n + 1]: text i is numbers[starts[i]:starts[i + 1]]


def hash32(token: str) -> int:
    """The first four bytes of the SHA-1 of the token's UTF-8, low byte first."""
    return int.from_bytes(hashlib.sha1(token.encode(), usedforsecurity=False).digest()[:4], "little")


class HashedVocabulary(dict[str, int]):
    """Numbers for tokens, from 1 up in the order in which they are first met, and the hash of each.

    Asking for a new token's number gives it one; SHA-1 runs once per token.
    """

    def __init__(self) -> None:
        super().__init__()
        self._hashes = array("I", [0])

    def __missing__(self, token: str) -> int:
        self[token] = number = len(self) + 1
        self._hashes.append(hash32(token))
        return number

    def numbered(self, texts: Sequence[Sequence[str]], *, learn: bool) -> NumberedTokens:
        """Tokenized texts as numbers; without `learn` a new token has number 0, its own hash, and leaves no trace."""
        flat = [token for tokens in texts for token in tokens]
        found = map(self.__getitem__, flat) if learn else (self.get(token, 0) for token in flat)
        numbers = np.fromiter(found, dtype=np.int32, count=len(flat))
        hashes = self._hashes_of(numbers)
        if not learn:
            for position in np.flatnonzero(numbers == 0).tolist():
                hashes[position] = hash32(flat[position])
        return NumberedTokens(numbers, hashes, _starts(texts))

    def joined(self, texts: Sequence[NDArray[np.int32]]) -> NumberedTokens:
        """Texts that are numbers of this vocabulary already, put one after another."""
        numbers = np.concatenate([np.empty(0, dtype=np.int32), *texts])
        return NumberedTokens(numbers, self._hashes_of(numbers), _starts(texts))

    def _hashes_of(self, numbers: NDArray[np.int32]) -> NDArray[np.uint32]:
        # The view must not outlive this call: an array with a view on it cannot grow.
        return np.frombuffer(self._hashes, dtype=np.uint32)[numbers]


def _starts(texts: Sequence[Sized]) -> NDArray[np.int64]:
    starts = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum([len(text) for text in texts], out=starts[1:])
    return starts


def to_datasketch(signatures: NDArray[np.uint32], seed: int) -> "list[MinHash]":
    """Objects of datasketch, of `signatures: uint32[n, num_perm]` that were made with `seed`.

    Raises:
        InputError: datasketch 2.0 or newer is not installed.
    """
    min_hash = _datasketch()
    blank = min_hash(num_perm=signatures.shape[1], seed=seed, scheme=_SCHEME)
    return [
        min_hash(seed=seed, hashvalues=row.copy(), permutations=blank.permutations, scheme=_SCHEME)
        for row in signatures
    ]


def from_datasketch(sketches: "Sequence[MinHash]") -> NDArray[np.uint32]:
    """The signatures of datasketch objects: uint32[n, num_perm].

    Raises:
        InputError: they differ in length or seed, or are not of datasketch 2.x's scheme `affine32`.
    """
    kinds = {(len(sketch), sketch.seed, getattr(sketch, "scheme", "legacy")) for sketch in sketches}
    if not sketches:
        return np.empty((0, 0), dtype=np.uint32)
    if len(kinds) > 1:
        raise InputError("the MinHash objects differ in num_perm, seed or scheme; give those of one kind")
    ((_, _, scheme),) = kinds
    if scheme != _SCHEME:
        raise InputError(f"the MinHash objects have scheme {scheme!r}; only {_SCHEME!r} (datasketch 2.x) is supported")
    return np.stack([sketch.hashvalues for sketch in sketches]).astype(np.uint32, copy=False)


def _datasketch() -> Any:  # noqa: ANN401 - a class whose 1.x has other arguments
    try:
        import datasketch
    except ImportError:
        raise InputError("datasketch is not installed; pip install 'datasketch>=2'") from None
    if int(datasketch.__version__.split(".")[0]) < 2:
        raise InputError(f"datasketch {datasketch.__version__} is too old; pip install 'datasketch>=2'")
    return datasketch.MinHash
