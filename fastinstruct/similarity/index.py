"""A pool of texts that knows its near-duplicates.

Knows nothing of where texts come from. Guarantees exact decisions: a text is rejected if, and only if, the ROUGE-L
F-measure between it and some pool text exceeds the threshold; with tokenizer `rouge`, both are bit for bit those of
rouge_score 0.1.2.

One thread at a time may use an index, and others are refused. Its kernels release the interpreter lock, so other
threads run on meanwhile. Of its own threads, the verdicts know nothing.
"""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastinstruct.similarity.arguments import checked_count, checked_threshold, num_cores
from fastinstruct.similarity.exact import ExactPool, IndexStatistics
from fastinstruct.similarity.interruptible import Interruption
from fastinstruct.similarity.lexicon import Lexicon
from fastinstruct.similarity.one_at_a_time import one_at_a_time
from fastinstruct.similarity.one_text import OneText
from fastinstruct.similarity.snapshot import NewSnapshot, part_of, read_snapshot, tokenizer_in
from fastinstruct.similarity.text_index import TextIndex
from fastinstruct.similarity.verdicts import Verdicts
from fastinstruct_kernels.probe import ADD, QUERY
from fastinstruct_kernels.words import Words


class RougeIndex(TextIndex):
    """A pool of texts, judged by ROUGE-L F-measure.

    Args:
        threshold: a text is rejected if its F with any pool text is strictly above this; 0 to 1. At 1 nothing is
            rejected, at 0 whatever has a token in common with the pool.
        tokenizer: `unicode` (every script, its newest version), `unicode-1`, `unicode-2`, or `rouge` (a-z and 0-9, as
            the reference); see `tokenize`. An index keeps the version it was made with.
        interruption: ends a call from another thread, or before it begins; see `Interruption`.
        threads: how many may judge and score at once, and no more than the process may use cores; verdicts and scores
            are the same with any number.

    A text without tokens scores 0 with everything: it is always admitted and never a neighbour. Texts may have any
    length. The words of every text given to `admit` or `add` are remembered, those of rejected texts too.

    One thread at a time may use an index: a call while another runs raises `ConcurrentUse`, also where the other was
    running when the process was forked. A call that takes long is ended by Ctrl-C, or whatever else a signal's handler
    raises; of texts to admit, some may have joined then. An index at rest may be used on in a forked process, `threads`
    and all.

    Raises:
        InputError: the threshold is not a number from 0 to 1, or there is no such tokenizer.
    """

    def __init__(
        self,
        threshold: float = 0.7,
        tokenizer: str = "unicode",
        *,
        threads: int = 1,
        interruption: Interruption | None = None,
    ) -> None:
        super().__init__()
        self._lexicon = Lexicon(tokenizer)
        num_threads = min(checked_count("threads", threads, 1), num_cores())
        self._exact = ExactPool(checked_threshold(threshold), num_threads, interruption)
        self._one = OneText(self._lexicon, self._exact)

    @property
    def threshold(self) -> float:
        """The F above which a text is rejected."""
        return self._exact.threshold

    @property
    def tokenizer(self) -> str:
        """The tokenizer's exact name."""
        return self._lexicon.tokenizer

    def __len__(self) -> int:
        return len(self._exact)

    def __repr__(self) -> str:
        return f"<RougeIndex: {len(self)} texts, threshold {self.threshold}, tokenizer {self.tokenizer}>"

    @one_at_a_time
    def statistics(self) -> IndexStatistics:
        """How the verdicts were come to since the index was made or loaded."""
        return self._exact.statistics()

    @one_at_a_time
    def saved_beside(self, path: str | PathLike[str]) -> NewSnapshot:
        settings = {
            "tokenizer": self.tokenizer,
            "threshold": self.threshold.hex(),
            "rebuild_at": self._exact.rebuild_at,
        }
        arrays = {f"words.{name}": array for name, array in self._lexicon.arrays().items()}
        arrays |= {f"pool.{name}": array for name, array in self._exact.arrays().items()}
        return NewSnapshot(Path(path), settings, arrays)

    @classmethod
    def load(cls, path: str | PathLike[str], *, threads: int = 1) -> "RougeIndex":
        """The index that `save` wrote, mapped into memory; the file stays as it is, whatever is admitted.

        Raises:
            InputError: there is no such file, or it is no index, of another version, or damaged.
        """
        settings, arrays = read_snapshot(Path(path))
        tokenizer = tokenizer_in(settings, Path(path))
        index = cls(float.fromhex(settings["threshold"]), tokenizer, threads=threads)
        index._lexicon.words = Words(**part_of(arrays, "words."))
        index._exact.restore(part_of(arrays, "pool."), settings["rebuild_at"])
        return index

    def _scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        tokens, starts = self._lexicon.number(texts, adding=False)
        return self._exact.scores(tokens, starts, len(self._lexicon) + 1)

    def _settle_part(self, texts: Sequence[str], mode: int) -> Verdicts:
        if len(texts) == 1 and mode != ADD and (verdict := self._one.settle(texts[0], mode)) is not None:
            return verdict
        tokens, starts = self._lexicon.number(texts, adding=mode != QUERY)
        return Verdicts(*self._exact.judge(tokens, starts, len(self._lexicon) + 1, mode))
