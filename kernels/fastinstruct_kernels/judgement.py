"""What a kernel judges, and what it needs meanwhile.

Knows nothing of lists or scores.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import inlined_kernel
from fastinstruct_kernels.lcs import Pattern, new_pattern
from fastinstruct_kernels.pool import LONGEST_GROUPED
from fastinstruct_kernels.signatures import BLOCK

# Positions in Scratch.counters.
NUM_COMPARED, NUM_FOUND, NUM_VISITED, NUM_SPANS = 0, 1, 2, 3
# Blocks of postings that are read before what is in them is noted; the pool texts noted before they are compared.
MOST_BLOCKS = 256
MOST_FOUND = 2 * MOST_BLOCKS * BLOCK
# A token's lists: one of each length at each place at most, and that for all lengths.
_MOST_SPANS = 1 + LONGEST_GROUPED * (LONGEST_GROUPED + 1) // 2
NUM_SEEN = 1 << 10


class Batch(NamedTuple):
    """Texts to judge, and room for what becomes of them."""

    tokens: NDArray[np.int32]  # int32[tokens]: one text after another
    starts: NDArray[np.int64]  # int64[n + 1]
    keys: NDArray[np.int64]  # int64[tokens]: the same tokens by rarity, see signatures.sign
    signatures: NDArray[np.uint64]  # uint64[tokens]: of the text from each place on
    fresh: NDArray[np.uint64]  # uint64[n + BLOCK]: signatures of those that joined the pool, in order
    admitted: NDArray[np.bool_]  # bool[n]
    nearest: NDArray[np.int64]  # int64[n]: the most similar text above the threshold, -1 for none
    scores: NDArray[np.float64]  # float64[n]: its F, NaN for none


class Scratch(NamedTuple):
    """What one thread needs while it judges; `heads` and `found_heads` are zeros between calls."""

    counters: NDArray[np.int64]  # int64[4]: texts compared; pool texts found, tokens visited and spans in use
    heads: NDArray[np.int32]  # int32[vocabulary]: 1 + the token's last place in the batch, 0 for none
    visited: NDArray[np.int32]  # int32[tokens]: the tokens with a head
    next_places: NDArray[np.int32]  # int32[tokens]: 1 + the place of the same token before, 0 for none
    rows: NDArray[np.int32]  # int32[tokens]: which text of the batch has this place
    spans: NDArray[np.int64]  # int64[529, 4]: first posting, end of the postings, what the text and they can spare
    blocks: NDArray[np.int64]  # int64[256, 2]: first posting of 32, and a one for each that could be near
    found: NDArray[np.int32]  # int32[16384]: pool texts that could be near
    next_found: NDArray[np.int32]  # int32[16384]: 1 + where the one before stands that is near the same text
    found_heads: NDArray[np.int32]  # int32[texts]: 1 + where the text's last one stands, 0 for none
    seen: NDArray[np.int64]  # int64[1024]: text compared << 32 | pool text, for the last of these; never exact
    pattern: Pattern


def new_scratch(longest: int, vocabulary: int, num_tokens: int, num_texts: int, stop: NDArray[np.int64]) -> Scratch:
    """Scratch for batches of so many texts and tokens, texts of up to `longest`, which lie in `[0, vocabulary)`.

    `stop: int64[1]` is the flag that ends what uses the scratch.
    """
    return Scratch(
        counters=np.zeros(4, dtype=np.int64),
        heads=np.zeros(vocabulary, dtype=np.int32),
        visited=np.zeros(num_tokens, dtype=np.int32),
        next_places=np.zeros(num_tokens, dtype=np.int32),
        rows=np.zeros(num_tokens, dtype=np.int32),
        spans=np.zeros((_MOST_SPANS, 4), dtype=np.int64),
        blocks=np.zeros((MOST_BLOCKS, 2), dtype=np.int64),
        found=np.zeros(MOST_FOUND, dtype=np.int32),
        next_found=np.zeros(MOST_FOUND, dtype=np.int32),
        found_heads=np.zeros(num_texts, dtype=np.int32),
        seen=np.zeros(NUM_SEEN, dtype=np.int64),
        pattern=new_pattern(longest, vocabulary, stop),
    )


class Text(NamedTuple):
    """The text that is being judged."""

    row: int
    begin: int
    length: int
    threshold: float


@inlined_kernel
def text_of(batch: Batch, index: int, threshold: float) -> Text:
    """A text of the batch."""
    begin, end = batch.starts[index], batch.starts[index + 1]
    return Text(index, begin, end - begin, threshold)
