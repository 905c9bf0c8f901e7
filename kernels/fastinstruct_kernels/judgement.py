"""What a kernel judges, and what it needs meanwhile.

Knows nothing of lists or scores.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import inlined_part
from fastinstruct_kernels.bags import BAG_ROOM
from fastinstruct_kernels.lcs import Pattern, new_pattern
from fastinstruct_kernels.pool import LONGEST_GROUPED
from fastinstruct_kernels.signatures import BLOCK

# Positions in Scratch.counters.
NUM_COMPARED, NUM_FOUND, NUM_VISITED, NUM_SPANS, NUM_PROMISED = 0, 1, 2, 3, 4
WIDEST, NUM_PAIRS, NUM_ALONE, NUM_SCANNED, NUM_TOGETHER = 5, 6, 7, 8, 9
# Blocks of postings that are read before what is in them is noted.
MOST_BLOCKS = 256
# A text for which so many postings are found is judged alone.
FEW = 64
# Pool texts that are compared in one go: as many as blocks hold, and as a batch has. How many a text that is judged
# alone can have found without the marks of the whole pool being cleared.
MOST_TOGETHER = MOST_BLOCKS * BLOCK
MOST_MARKED = 1 << 14
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
    """What one thread needs; `heads`, `found_heads`, `num_found` and `marks` are zeros between calls.

    `counters: int64[10]`: texts compared; pool texts found, tokens visited and spans in use; postings in the spans
    noted; most words of `bag`, 0 for none; since the index is there: pairs compared in full, texts judged
    alone, those of them for which the pool was scanned; texts in `together`.
    """

    counters: NDArray[np.int64]
    heads: NDArray[np.int32]  # int32[vocabulary]: 1 + the token's last place in the batch, 0 for none
    visited: NDArray[np.int32]  # int32[tokens]: the tokens with a head
    next_places: NDArray[np.int32]  # int32[tokens]: 1 + the place of the same token before, 0 for none
    rows: NDArray[np.int32]  # int32[tokens]: which text of the batch has this place
    spans: NDArray[np.int64]  # int64[529, 4]: first posting, end of the postings, what the text and they can spare
    blocks: NDArray[np.int64]  # int64[256, 2]: first posting of 32, and a one for each that could be near
    num_found: NDArray[np.int32]  # int32[texts]: how many postings were found for the text, up to FEW
    found: NDArray[np.int32]  # int32[64 * texts]: pool texts that could be near
    next_found: NDArray[np.int32]  # int32[64 * texts]: 1 + where the one before stands that is near the same text
    found_heads: NDArray[np.int32]  # int32[texts]: 1 + where the text's last one stands, 0 for none
    seen: NDArray[np.int64]  # int64[1024]: text compared << 32 | pool text, a hash table of those of one text
    marks: NDArray[np.uint64]  # uint64[pool texts / 64 + 1]: a one for each text found of the one judged alone
    marked: NDArray[np.int32]  # int32[16384]: these, if they are not more
    together: NDArray[np.int32]  # int32[8192]: pool texts to be compared next
    bag: NDArray[np.uint64]  # uint64[128]: of the text that is compared, see bags.fill_folded
    pattern: Pattern


def new_scratch(
    longest: int, vocabulary: int, num_tokens: int, num_texts: int, pool_texts: int, stop: NDArray[np.int64]
) -> Scratch:
    """Scratch for batches of so many texts and tokens, texts of up to `longest`, which lie in `[0, vocabulary)`.

    `pool_texts`: how many the pool may have. `stop: int64[1]` is the flag that ends what uses the scratch.
    """
    return Scratch(
        counters=np.zeros(10, dtype=np.int64),
        heads=np.zeros(vocabulary, dtype=np.int32),
        visited=np.zeros(num_tokens, dtype=np.int32),
        next_places=np.zeros(num_tokens, dtype=np.int32),
        rows=np.zeros(num_tokens, dtype=np.int32),
        spans=np.zeros((_MOST_SPANS, 4), dtype=np.int64),
        blocks=np.zeros((MOST_BLOCKS, 2), dtype=np.int64),
        num_found=np.zeros(num_texts, dtype=np.int32),
        found=np.zeros(FEW * num_texts, dtype=np.int32),
        next_found=np.zeros(FEW * num_texts, dtype=np.int32),
        found_heads=np.zeros(num_texts, dtype=np.int32),
        seen=np.zeros(NUM_SEEN, dtype=np.int64),
        marks=np.zeros(pool_texts // 64 + 1, dtype=np.uint64),
        marked=np.zeros(MOST_MARKED, dtype=np.int32),
        together=np.zeros(MOST_TOGETHER, dtype=np.int32),
        bag=np.zeros(BAG_ROOM, dtype=np.uint64),
        pattern=new_pattern(longest, vocabulary, stop),
    )


class Text(NamedTuple):
    """The text that is being judged."""

    row: int
    begin: int
    length: int
    threshold: float


@inlined_part
def text_of(batch: Batch, index: int, threshold: float) -> Text:
    """A text of the batch."""
    begin, end = batch.starts[index], batch.starts[index + 1]
    return Text(index, begin, end - begin, threshold)
