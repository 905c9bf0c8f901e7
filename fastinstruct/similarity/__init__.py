"""Near-duplicates by ROUGE-L, exactly: an ever-growing pool of texts that finds those too similar to yours.

Knows nothing of prompts, models or runs; this package alone uses the compiled kernels. Importing it compiles nothing:
the first text does, or `warm_up`; where that takes long, the logger `fastinstruct.similarity` says so, once.
"""

from fastinstruct.similarity.exact import IndexStatistics
from fastinstruct.similarity.index import RougeIndex
from fastinstruct.similarity.interruptible import Interruption
from fastinstruct.similarity.lsh import LSHIndex
from fastinstruct.similarity.lsh_pool import LSHStatistics
from fastinstruct.similarity.recall import Recall
from fastinstruct.similarity.tokenizers import tokenize
from fastinstruct.similarity.verdicts import Verdict, Verdicts
from fastinstruct.similarity.warming import compile_all, warm_up

__all__ = [
    "IndexStatistics",
    "Interruption",
    "LSHIndex",
    "LSHStatistics",
    "Recall",
    "RougeIndex",
    "Verdict",
    "Verdicts",
    "compile_all",
    "tokenize",
    "warm_up",
]
