"""Decontamination while generating: the evaluation texts that no admitted instruction may be near.

Reads files, sends nothing. They are read twice, as streams: for what the run's identity is to hold, and to be indexed.
They are in an index of their own: no prompt is drawn from it, and the pool's positions know nothing of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import numpy as np

from fastinstruct.config import SimilarityConfig
from fastinstruct.errors import InputError
from fastinstruct.escaping import package_logger
from fastinstruct.files.against import AgainstFile, fingerprint, places, surveyed, texts_of
from fastinstruct.files.rows import Row, field_or_line
from fastinstruct.records import SeedTask, score_above
from fastinstruct.similarity import Interruption, RougeIndex, tokenize
from fastinstruct.similarity.memory import Sizes, available_bytes, exact_bytes, refuse_too_large, sizes_of

__all__ = [
    "DEFAULT_FIELD",
    "Against",
    "NearSeeds",
    "index_of",
    "indexed",
    "near_seeds",
    "survey",
    "survey_again",
]

_LOG = package_logger("fastinstruct.pipeline")

DEFAULT_FIELD = "instruction"
"""Where the text stands in a row of JSON; the same as in `dedup`."""

_GIVE_ANEW = "put it back, or say with --set similarity.against=[...] what to keep away from"
_SURELY_HAS_TOKENS = re.compile("[0-9A-Za-z]")
_TEXTS_AT_A_TIME = 4096
_SAMPLED_FIRST, _SAMPLED_EVERY = 500, 64  # the texts of a file that are tokenized to estimate the tokens of all


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
        InputError: what is wrong with which file or line, or that their index would not fit into memory.
    """
    looks = [_Look(similarity.tokenizer) for _ in similarity.against]
    files = tuple(
        surveyed(each.path, field_or_line(each.path, each.field, DEFAULT_FIELD), look.at)
        for each, look in zip(similarity.against, looks, strict=True)
    )
    found = Against(
        files=files,
        num_tokenless=sum(look.num_tokenless for look in looks),
        first_tokenless=next((look.first_tokenless for look in looks if look.num_tokenless), ""),
    )
    if files:
        needed = exact_bytes(sum((look.sizes(similarity.threshold) for look in looks), Sizes()))
        texts = f"similarity.against: {found.num_texts:,} texts"
        refuse_too_large(texts, needed, available_bytes(), "name fewer, or make room for them")
    return found


def survey_again(similarity: SimilarityConfig, sha256: str | None, known: Sequence[AgainstFile]) -> Against:
    """Read the files that a stored run was kept away from, which must hold what they held then.

    Args:
        similarity: the run's settings.
        sha256: of the run's identity; None where it was kept away from nothing.
        known: the files as they were then, to name the one that has changed.

    Raises:
        InputError: a file cannot be read, or holds other texts.
    """
    try:
        found = survey(similarity)
    except InputError as error:
        raise InputError(f"similarity.against: {error}; {_GIVE_ANEW}") from error
    if found.sha256 != sha256:
        pairs = zip(found.files, known, strict=False)
        what = next((f"{new.path} does" for new, old in pairs if new.sha256 != old.sha256), "the files do")
        raise InputError(f"similarity.against: {what} not hold what the run was kept away from; {_GIVE_ANEW}")
    return found


def indexed(
    against: Against,
    similarity: SimilarityConfig,
    seeds: Sequence[SeedTask],
    interruption: Interruption | None = None,
) -> RougeIndex | None:
    """Index the evaluation texts by their positions, and warn of what a run cannot mend; None where there are none.

    Raises:
        Aborted: `interruption` was set.
        InputError: a file is gone, or no longer what it was.
    """
    if not against.files:
        return None
    index = index_of(against, similarity, interruption)
    if complaint := against.complaint():
        _LOG.warning("similarity.against: %s", complaint)
    if (near := near_seeds(index, against, seeds)) is not None:
        _LOG.warning("%s; %s", near, near.advice)
    return index


def index_of(against: Against, similarity: SimilarityConfig, interruption: Interruption | None = None) -> RougeIndex:
    """Index the texts by their positions. Compiles the kernels unless that is done.

    Raises:
        Aborted: `interruption` was set.
        InputError: a file is gone, or no longer what it was.
    """
    index = RougeIndex(similarity.threshold, similarity.tokenizer, interruption=interruption)
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
    first = f"first {seeds[near[0]].id}, {score_above(float(verdicts.scores[near[0]]), index.threshold)} to {place}"
    return NearSeeds(count=len(near), num_seeds=len(seeds), first=first)


class _Look:
    """What one reading of a file learns of its texts."""

    def __init__(self, tokenizer: str) -> None:
        self._tokenizer = tokenizer
        self._num_rows = self._num_chars = self._num_sampled_chars = 0
        self._sample: list[list[str]] = []
        self.num_tokenless = 0
        self.first_tokenless = ""

    def sizes(self, threshold: float) -> Sizes:
        """Return an estimate of what the texts have together."""
        return sizes_of(self._sample, threshold).times(self._num_chars / max(1, self._num_sampled_chars))

    def at(self, row: Row) -> None:
        if self._num_rows < _SAMPLED_FIRST or self._num_rows % _SAMPLED_EVERY == 0:
            self._num_sampled_chars += len(row.text)
            self._sample.append(tokenize(row.text, self._tokenizer))
        self._num_rows += 1
        self._num_chars += len(row.text)
        if not _SURELY_HAS_TOKENS.search(row.text) and not tokenize(row.text, self._tokenizer):
            self.num_tokenless += 1
            self.first_tokenless = self.first_tokenless or f"{row.path}:{row.number}"


def _batches(texts: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(texts, _TEXTS_AT_A_TIME)):
        yield batch
