"""A stream in which there are near-duplicates to find: texts, some of them followed later by an edited copy.

Knows nothing of similarity. Guarantees the same stream for the same texts and seed, on every machine and NumPy.
An edited copy has one word dropped, replaced or added (one in three each), or two of these (one copy in two); the words
put in come from the texts. Of short texts, such a copy may differ enough to be no near-duplicate.
"""

from collections.abc import Sequence

import numpy as np

SHARE = 0.1


def with_edits(texts: Sequence[str], share: float = SHARE, seed: int = 0) -> list[str]:
    """The texts in their order, and an edited copy of `share` of them somewhere behind the original."""
    random = np.random.PCG64(seed)
    chosen = np.flatnonzero(random.random_raw(len(texts)) / 2.0**64 < share).tolist()
    placed = list(enumerate(texts))
    for original, draw in zip(chosen, random.random_raw(len(chosen)).tolist(), strict=True):
        place = original + draw % (len(texts) - original)
        placed.append((place, _edited(texts, original, random)))
    # Sorting is stable, so a copy comes behind the text at its place.
    return [text for _, text in sorted(placed, key=lambda each: each[0])]


def _edited(texts: Sequence[str], original: int, random: np.random.PCG64) -> str:
    words = texts[original].split()
    for draw in random.random_raw(1 + int(random.random_raw()) % 2).tolist():
        place = (draw >> 8) % (len(words) + 1)
        donor = texts[(draw >> 24) % len(texts)].split()
        taken = donor[(draw >> 3) % len(donor) :][:1] if donor else []
        dropped = draw % 3 > 0
        words[place : place + dropped] = taken if draw % 3 != 1 else []
    return " ".join(words)
