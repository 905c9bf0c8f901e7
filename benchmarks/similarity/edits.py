"""A stream in which there are near-duplicates to find: texts, some of them followed later by an edited copy.

Knows nothing of similarity. Guarantees the same stream for the same texts and seed, on every machine and NumPy.
An edit drops, replaces or adds a word (one in three each); the words put in come from the texts. Without a rate, an
edited copy has one edit or two; of short texts, such a copy may differ enough to be no near-duplicate. With a rate, it
has up to so many edits a word, the number drawn evenly for each copy: at 0.5, ROUGE-L lies anywhere from 1 down to
about 0.65.
"""

from collections.abc import Sequence

import numpy as np

SHARE = 0.1


def with_edits(texts: Sequence[str], share: float = SHARE, seed: int = 0, rate: float | None = None) -> list[str]:
    """The texts in their order, and an edited copy of `share` of them somewhere behind the original."""
    random = np.random.PCG64(seed)
    chosen = np.flatnonzero(random.random_raw(len(texts)) / 2.0**64 < share).tolist()
    placed = list(enumerate(texts))
    for original, draw in zip(chosen, random.random_raw(len(chosen)).tolist(), strict=True):
        place = original + draw % (len(texts) - original)
        placed.append((place, _edited(texts, original, random, rate)))
    # Sorting is stable, so a copy comes behind the text at its place.
    return [text for _, text in sorted(placed, key=lambda each: each[0])]


def _edited(texts: Sequence[str], original: int, random: np.random.PCG64, rate: float | None) -> str:
    words = texts[original].split()
    first = int(random.random_raw())
    count = 1 + first % 2 if rate is None else int(first / 2.0**64 * (rate * len(words) + 1))
    for draw in random.random_raw(count).tolist():
        place = (draw >> 8) % (len(words) + 1)
        donor = texts[(draw >> 24) % len(texts)].split()
        taken = donor[(draw >> 3) % len(donor) :][:1] if donor else []
        dropped = draw % 3 > 0
        words[place : place + dropped] = taken if draw % 3 != 1 else []
    return " ".join(words)
