"""Texts to token numbers, many at a time.

Knows nothing of scores or pools. Guarantees the tokens of `tokenize`: texts in ASCII are tokenized in a kernel, all
others by the tokenizer itself and then handed to the same kernel as words apart by spaces. No object is made for a
token, and none for a text in ASCII.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from fastinstruct.similarity.tokenizers import WatchedTokenizer, exact_tokenizer
from fastinstruct_kernels.handles import handle_of
from fastinstruct_kernels.words import NUM_BYTES, NUM_WORDS, Words, new_words, number_words, with_more_words


class Lexicon:
    """The tokens met so far, numbered from 1 in the order in which they were first met.

    `tokenizer` is the exact name of what makes them.

    Raises:
        InputError: there is no such tokenizer.
    """

    def __init__(self, tokenizer: str) -> None:
        self.tokenizer = exact_tokenizer(tokenizer)
        self.words = new_words()
        self._tokenize = WatchedTokenizer(tokenizer)

    @property
    def words(self) -> Words:
        """The tokens' bytes."""
        return self._words

    @words.setter
    def words(self, words: Words) -> None:
        self._words, self.handle = words, handle_of(words)

    def __len__(self) -> int:
        return int(self.words.counters[NUM_WORDS])

    def tokens(self, known: int = 0) -> list[str]:
        """The tokens in the order of their numbers, of which the first is number 1; without the first `known`."""
        ends = self.words.ends[known : len(self) + 1].tolist()
        written = self.words.bytes[ends[0] : self.words.counters[NUM_BYTES]].tobytes()
        return [written[begin - ends[0] : end - ends[0]].decode() for begin, end in pairwise(ends)]

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """All that makes up the lexicon, without what it has room for."""
        counters = self.words.counters
        ends, known = self.words.ends[: len(self) + 1], self.words.bytes[: counters[NUM_BYTES]]
        return {"counters": counters, "table": self.words.table, "ends": ends, "bytes": known}

    def number(self, texts: Sequence[str], *, adding: bool) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Numbers of the texts' tokens: int32[tokens] and int64[n + 1], text i being tokens[starts[i]:starts[i + 1]].

        New tokens are added to the lexicon if `adding`; else all of them are number 0.
        """
        text, ends = self._encoded(texts)
        numbers = np.empty((len(text) + len(texts)) // 2 + 1, dtype=np.int32)
        starts = np.zeros(len(texts) + 1, dtype=np.int64)
        done = number_words(self.words, text, ends, 0, adding, numbers, starts)
        while done < len(texts):
            longest = int(ends[done] - (ends[done - 1] if done else 0))
            self.words = with_more_words(self.words, longest)
            done = number_words(self.words, text, ends, done, adding, numbers, starts)
        return numbers[: starts[-1]], starts

    def _encoded(self, texts: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The texts as bytes, one after another, and where each ends: uint8[bytes], int64[n]."""
        joined = "".join(texts)
        if joined.isascii():
            ends = np.fromiter(accumulate(map(len, texts)), dtype=np.int64, count=len(texts))
            return np.frombuffer(joined.encode("ascii"), dtype=np.uint8), ends
        pieces = [text.encode("ascii") if text.isascii() else " ".join(self._tokenize(text)).encode() for text in texts]
        ends = np.fromiter(accumulate(map(len, pieces)), dtype=np.int64, count=len(texts))
        return np.frombuffer(b"".join(pieces), dtype=np.uint8), ends
