"""Many texts at once of which most have an edited copy, so that scores crowd around every threshold.

Knows nothing of scores. Everything follows from the seed. For streams too long for Hypothesis to make.
"""

from __future__ import annotations

import random

__all__ = ["edited_words", "related_texts"]

_VOCABULARY = 60
_COPIES = 0.7


def related_texts(count: int, longest: int, seed: int) -> list[str]:
    """Texts of up to so many words before they are edited, seven in ten of them edits of an earlier one."""
    draw = random.Random(seed)
    texts: list[list[str]] = []
    for _ in range(count):
        if texts and draw.random() < _COPIES:
            original = draw.choice(texts)
            texts.append(edited_words(original, draw.randrange(len(original) // 2 + 2), draw))
        else:
            texts.append([f"w{int(_VOCABULARY * draw.random() ** 2)}" for _ in range(draw.randint(1, longest))])
    return [" ".join(text) for text in texts]


def edited_words(text: list[str], edits: int, draw: random.Random) -> list[str]:
    """The text with so many words replaced, dropped, doubled or moved."""
    words = list(text)
    for _ in range(edits):
        place = draw.randrange(len(words))
        kind = draw.randrange(4)
        if kind == 0:
            words[place] = f"w{draw.randrange(_VOCABULARY)}"
        elif kind == 1 and len(words) > 1:
            del words[place]
        elif kind == 2:
            words.insert(place, words[place])
        else:
            words.insert(draw.randrange(len(words)), words.pop(place))
    return words
