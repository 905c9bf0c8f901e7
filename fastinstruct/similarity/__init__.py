"""Near-duplicates by ROUGE-L, exactly: an ever-growing pool of texts that finds those too similar to yours.

Knows nothing of prompts, models or runs; this package alone uses the compiled kernels. Importing it compiles nothing:
the first text does, or `warm_up`.
"""

from fastinstruct.similarity.exact import IndexStatistics
from fastinstruct.similarity.index import RougeIndex, warm_up
from fastinstruct.similarity.interruptible import Interruption
from fastinstruct.similarity.lsh import LSHIndex
from fastinstruct.similarity.lsh_pool import LSHStatistics
from fastinstruct.similarity.recall import Recall
from fastinstruct.similarity.tokenizers import tokenize
from fastinstruct.similarity.verdicts import Verdict, Verdicts

__all__ = [
    "IndexStatistics",
    "Interruption",
    "LSHIndex",
    "LSHStatistics",
    "Recall",
    "RougeIndex",
    "Verdict",
    "Verdicts",
    "tokenize",
    "warm_up",
]
