"""One output under many instructions, counted over a run: a model that says the same whatever it is asked.

Knows nothing of runs or stores. Two outputs are the same if they differ in case, white space and closing punctuation
at most. Counted are the instructions that have an output, not how often one has it.

What repeats by nature is not counted: outputs of fewer than four words ("Yes", "42", "Positive sentiment."), and those
of classification tasks, whose labels are few. Measured on the 52,002 rows of Alpaca, the most frequent output of four
words or more stands under 6 instructions ("This is a declarative sentence.", "Hello, how are you?"), of two words
under 12, of one word under 49: the default, 10, rejects nothing there, while a model that is stuck is stopped after
ten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b

from fastinstruct.records import Rejection, RejectReason
from fastinstruct.text.filters import num_words

__all__ = ["RepeatedOutputs"]

_MIN_WORDS = 4
_CLOSING = ".:!?。：！？… \"'”’»"
_DIGEST_BYTES = 8  # a run of a million outputs has two with the same digest once in 37 million runs


class RepeatedOutputs:
    """How many instructions have which output, of what was kept.

    The verdicts depend on what was kept, not on who counted: one that was told the kept outputs of earlier sittings
    (`count`) judges as one that judged them itself.

    Args:
        most: at most so many instructions may have one output; None: any number, and nothing is counted.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._num_instructions: Counter[int] = Counter()

    def judge(self, outputs: Sequence[str]) -> list[Rejection | None]:
        """Judge the sound outputs of one instruction, which is no classification task, and count those that pass."""
        if self._most is None:
            return [None] * len(outputs)
        keys = [_key(output) for output in outputs]
        full = {key for key in keys if key is not None and self._num_instructions[key] >= self._most}
        self._num_instructions.update({key for key in keys if key is not None} - full)
        return [Rejection(reason=RejectReason.REPEATED_OUTPUT) if key in full else None for key in keys]

    def count(self, outputs: Iterable[str]) -> None:
        """Count the kept outputs of one more instruction, which is no classification task, without judging them."""
        if self._most is not None:
            self._num_instructions.update({key for output in outputs if (key := _key(output)) is not None})


def _key(output: str) -> int | None:
    """What two outputs that are the same have in common; None for one that is not counted."""
    folded = " ".join(output.casefold().split()).rstrip(_CLOSING)
    if num_words(folded) < _MIN_WORDS:
        return None
    # A number takes less memory than the text: about 90 MB for a million outputs.
    return int.from_bytes(blake2b(folded.encode("utf-8", "replace"), digest_size=_DIGEST_BYTES).digest())
