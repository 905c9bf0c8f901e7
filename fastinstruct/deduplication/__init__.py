"""Near-duplicates taken out of any texts: of an iterator in memory, or of files of JSON Lines.

Knows nothing of models or runs. Guarantees: order is kept, memory grows with what is kept and not with what is read,
and what is near an evaluation set, or a text kept before, is found by the same rule as in a run.

    decisions    `dedup`: an iterator of items in, an iterator of decisions out
    files        the same for files, with outputs that appear whole
    outputs      writing
    index_file   the index kept between calls
    memory       whether the index will fit

Rows are read, and compressed files opened, by `fastinstruct.files`.
"""

from fastinstruct.deduplication.decisions import Decision, Neighbour, dedup
from fastinstruct.deduplication.files import DedupPlan, DedupSummary, dedup_files

__all__ = ["Decision", "DedupPlan", "DedupSummary", "Neighbour", "dedup", "dedup_files"]
