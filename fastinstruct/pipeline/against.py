"""Decontamination while generating: the evaluation texts that no admitted instruction may be near.

Reads files, sends nothing. They are read twice, as streams: for what the run's identity is to hold, and to be indexed.
They are in an index of their own: no prompt is drawn from it, and the pool's positions know nothing of it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import numpy as np

from fastinstruct.config import SimilarityConfig
from fastinstruct.files.against import AgainstFile, fingerprint, places, surveyed, texts_of
from fastinstruct.files.rows import Row, field_or_line
from fastinstruct.records import SeedTask
from fastinstruct.similarity import RougeIndex, tokenize

__all__ = ["DEFAULT_FIELD", "Against", "NearSeeds", "index_of", "indexed", "near_seeds", "survey"]

_LOG = logging.getLogger("fastinstruct.pipeline")

DEFAULT_FIELD = "instruction"
"""Where the text stands in a row of JSON; the same as in `dedup`."""

_SURELY_HAS_TOKENS = re.compile("[0-9A-Za-z]")
_TEXTS_AT_A_TIME = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """What a run keeps away from. `first_tokenless` is the FILE:LINE of the first text without a token."""

    files: tuple[AgainstFile, ...] = ()
    num_tokenless: int = 0
    first_tokenless: str = ""

    @property
    def num_texts(self) -> int:
        """Return how many texts the files hold."""
        return sum(file.num_texts for file in self.files)

    @property
    def sha256(self) -> str | None:
        """Return a hash of what the files hold; None where there are none."""
        return fingerprint(self.files) if self.files else None

    def summary(self) -> str:
        """Say what the run keeps away from."""
        return f"{self.num_texts:,} texts of {', '.join(str(file.path) for file in self.files)}"

    def complaint(self) -> str:
        """Say what in the files nothing can be near; empty where there is no such thing."""
        num_blank = sum(file.num_blank for file in self.files)
        parts = []
        if self.num_tokenless:
            parts.append(f"texts without a word: {self.num_tokenless:,} (first {self.first_tokenless})")
        if num_blank:
            parts.append(f"blank lines: {num_blank:,}")
        return f"{', '.join(parts)}; nothing is ever near these" if parts else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NearSeeds:
    """How many seed tasks are near an evaluation text, and the first of them."""

    count: int
    num_seeds: int
    first: str
    advice: ClassVar[str] = "they stay, and prompts show them, so the model may echo them; take them out of the seeds"

    def __str__(self) -> str:
        return f"seed tasks near a text of similarity.against: {self.count:,} of {self.num_seeds:,} ({self.first})"


def survey(similarity: SimilarityConfig) -> Against:
    """Read the files for what they hold.

    Raises:
        InputError: what is wrong with which file or line.
    """
    tokenless = _Tokenless(similarity.tokenizer)
    files = tuple(
        surveyed(each.path, field_or_line(each.path, each.field, DEFAULT_FIELD), tokenless.look)
        for each in similarity.against
    )
    return Against(files=files, num_tokenless=tokenless.count, first_tokenless=tokenless.first)


def indexed(against: Against, similarity: SimilarityConfig, seeds: Sequence[SeedTask]) -> RougeIndex | None:
    """Index the evaluation texts by their positions, and warn of what a run cannot mend; None where there are none.

    Raises:
        InputError: a file is gone, or no longer what it was.
    """
    if not against.files:
        return None
    index = index_of(against, similarity)
    if complaint := against.complaint():
        _LOG.warning("similarity.against: %s", complaint)
    if (near := near_seeds(index, against, seeds)) is not None:
        _LOG.warning("%s; %s", near, near.advice)
    return index


def index_of(against: Against, similarity: SimilarityConfig) -> RougeIndex:
    """Index the texts by their positions. Compiles the kernels unless that is done.

    Raises:
        InputError: a file is gone, or no longer what it was.
    """
    index = RougeIndex(threshold=similarity.threshold, tokenizer=similarity.tokenizer)
    for batch in _batches(texts_of(against.files)):
        index.add(batch)
    return index


def near_seeds(index: RougeIndex, against: Against, seeds: Sequence[SeedTask]) -> NearSeeds | None:
    """Find the seeds that are near an evaluation text; None if there are none. May read a file once more."""
    verdicts = index.query([seed.instruction for seed in seeds])
    near = np.flatnonzero(~verdicts.admitted).tolist()
    if not near:
        return None
    position = int(verdicts.nearest[near[0]])
    place = places(against.files, [position])[position]
    first = f"first {seeds[near[0]].id}, {verdicts.scores[near[0]]:.3f} to {place}"
    return NearSeeds(count=len(near), num_seeds=len(seeds), first=first)


class _Tokenless:
    """Counts rows whose text has no token."""

    def __init__(self, tokenizer: str) -> None:
        self._tokenizer = tokenizer
        self.count = 0
        self.first = ""

    def look(self, row: Row) -> None:
        if _SURELY_HAS_TOKENS.search(row.text) or tokenize(row.text, self._tokenizer):
            return
        self.count += 1
        self.first = self.first or f"{row.path}:{row.number}"


def _batches(texts: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(texts, _TEXTS_AT_A_TIME)):
        yield batch
