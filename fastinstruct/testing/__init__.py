"""For whoever tests a ROUGE-L or a near-duplicate filter, their own or somebody else's: what it is held against.

    from fastinstruct.testing import check_filter, check_rouge

    check_rouge(lambda left, right: my_score(left, right))      # raises Mismatch, with the smallest failing case
    check_filter(lambda texts: my_filter(texts, threshold=0.7))

Knows nothing of the kernels: what is expected comes from oracles in plain Python. Needs Hypothesis, the extra
`testing`; nothing else of the package imports this.

    rouge_check    `check_rouge`: an F-measure held against the reference's, bit for bit or by its decisions
    filter_check   `check_filter`: verdicts held against a comparison with all that was kept
    strategies     token lists, pairs around a threshold, streams for a filter
    writing        texts in which tokenizers trip, and texts from tokens
    related        long streams of texts near one another, from a seed
    oracles        ROUGE-L and a pool, plainly
    tokens         the tokenizers, plainly
    smallest       the smallest case in which something is wrong
"""

from importlib.util import find_spec

if find_spec("hypothesis") is None:
    raise ModuleNotFoundError(
        "fastinstruct.testing needs Hypothesis; pip install 'fastinstruct[testing]'", name="hypothesis"
    )

from fastinstruct.errors import Mismatch
from fastinstruct.testing.filter_check import admitting, check_filter
from fastinstruct.testing.oracles import Pool, f_measure, lcs_length, min_rejecting_lcs, rouge_l
from fastinstruct.testing.related import related_texts
from fastinstruct.testing.rouge_check import check_rouge
from fastinstruct.testing.strategies import streams, text_pairs, thresholds, token_lists, token_pairs
from fastinstruct.testing.tokens import rouge_tokens, tokens_of, unicode_1_tokens, unicode_2_tokens
from fastinstruct.testing.writing import texts, written

__all__ = [
    "Mismatch",
    "Pool",
    "admitting",
    "check_filter",
    "check_rouge",
    "f_measure",
    "lcs_length",
    "min_rejecting_lcs",
    "related_texts",
    "rouge_l",
    "rouge_tokens",
    "streams",
    "text_pairs",
    "texts",
    "thresholds",
    "token_lists",
    "token_pairs",
    "tokens_of",
    "unicode_1_tokens",
    "unicode_2_tokens",
    "written",
]
