"""MinHash signatures of texts: computed here, or exchanged with datasketch.

Knows nothing of pools or verdicts. Guarantees that a text's signature is the one `datasketch.MinHash(num_perm, seed)`
(2.0 or newer, scheme `affine32`) has after `update(token.encode())` for each of its tokens. datasketch itself is only
needed to make its objects.
"""

from collections.abc import Sequence
from functools import cache
from hashlib import sha1
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastinstruct.errors import InputError
from fastinstruct.similarity.lexicon import Lexicon
from fastinstruct.similarity.tokenizers import tokenizer_named
from fastinstruct_kernels.growth import grown
from fastinstruct_kernels.words import UNKNOWN, Words

if TYPE_CHECKING:
    from datasketch import MinHash

__all__ = ["HashedLexicon", "NumberedTokens", "from_datasketch", "hash32", "to_datasketch"]

_SCHEME = "affine32"


class NumberedTokens(NamedTuple):
    """Texts as numbers, one text after another."""

    numbers: NDArray[np.int32]  # int32[tokens]: 0 is a token that the lexicon does not have
    hashes: NDArray[np.uint32]  # uint32[tokens]
    starts: NDArray[np.int64]  # int64[n + 1]: text i is numbers[starts[i]:starts[i + 1]]


def hash32(token: str) -> int:
    """The first four bytes of the SHA-1 of the token's UTF-8, low byte first."""
    return int.from_bytes(sha1(token.encode(), usedforsecurity=False).digest()[:4], "little")


class HashedLexicon:
    """A lexicon that has a hash for each of its tokens; SHA-1 runs once per token.

    Raises:
        InputError: there is no such tokenizer.
    """

    def __init__(self, tokenizer: str) -> None:
        self.lexicon = Lexicon(tokenizer)
        self._tokenize = tokenizer_named(tokenizer)
        self._hashes = np.zeros(1 << 9, dtype=np.uint32)
        self._num_hashed = 0

    def __len__(self) -> int:
        return len(self.lexicon)

    @property
    def hashes(self) -> NDArray[np.uint32]:
        """The hash of each token, at its number: uint32[len(self) + 1]."""
        return self._hashes[: len(self) + 1]

    def numbered(self, texts: Sequence[str], *, learn: bool) -> NumberedTokens:
        """The texts' tokens; without `learn` a new one has number 0, its own hash, and leaves no trace."""
        numbers, starts = self.lexicon.number(texts, adding=learn)
        self._hash_new_tokens()
        hashes = self._hashes[numbers]
        unknown = np.flatnonzero(numbers == UNKNOWN)
        if len(unknown):
            self._hash_unknown_tokens(texts, unknown, starts, hashes)
        return NumberedTokens(numbers, hashes, starts)

    def joined(self, texts: Sequence[NDArray[np.int32]]) -> NumberedTokens:
        """Texts that are numbers of this lexicon already, put one after another."""
        numbers = np.concatenate([np.empty(0, dtype=np.int32), *texts])
        starts = np.zeros(len(texts) + 1, dtype=np.int64)
        np.cumsum([len(text) for text in texts], out=starts[1:])
        return NumberedTokens(numbers, self._hashes[numbers], starts)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that makes up the lexicon, without what it has room for."""
        return {**self.lexicon.arrays(), "hashes": self.hashes}

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Become the lexicon that `arrays` are of."""
        words = dict(arrays)
        self._hashes = words.pop("hashes")
        self.lexicon.words = Words(**words)
        self._num_hashed = len(self)

    def _hash_new_tokens(self) -> None:
        self._hashes = grown(self._hashes, len(self) + 1)
        words, known = self.lexicon.words, self._num_hashed
        ends = words.ends[known : len(self) + 1]
        written, places = words.bytes[ends[0] : ends[-1]].tobytes(), (ends - ends[0]).tolist()
        # All at once and without a str for each: 0.9 us a word, not 1.5. SHA-1 in a kernel takes 0.3 us, and 0.8 s to
        # compile, which a million new words would pay for.
        digests = [sha1(written[at:end], usedforsecurity=False).digest()[:4] for at, end in pairwise(places)]
        self._hashes[known + 1 : len(self) + 1] = np.frombuffer(b"".join(digests), dtype="<u4")
        self._num_hashed = len(self)

    def _hash_unknown_tokens(
        self, texts: Sequence[str], unknown: NDArray[np.int64], starts: NDArray[np.int64], hashes: NDArray[np.uint32]
    ) -> None:
        places = np.searchsorted(starts, unknown, side="right") - 1
        hash_of, tokens, tokenized = cache(hash32), list[str](), -1
        for position, place in zip(unknown.tolist(), places.tolist(), strict=True):
            if place != tokenized:
                tokens, tokenized = self._tokenize(texts[place]), place
            hashes[position] = hash_of(tokens[position - int(starts[place])])


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
