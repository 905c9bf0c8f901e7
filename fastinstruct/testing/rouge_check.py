"""`check_rouge`: whether an implementation of ROUGE-L says what the reference says, bit for bit or by its decisions.

Knows nothing of the kernels. What is expected comes from the oracles alone: a plain tokenizer, the textbook table, and
the reference's arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Any, Literal, NamedTuple

from hypothesis.strategies import SearchStrategy

from fastinstruct.errors import InputError, Mismatch
from fastinstruct.escaping import on_one_line
from fastinstruct.testing.oracles import lcs_length, rouge_l
from fastinstruct.testing.smallest import shorter_pairs, smallest
from fastinstruct.testing.strategies import text_pairs, token_pairs
from fastinstruct.testing.tokens import tokens_of

__all__ = ["check_rouge", "name_of"]

_USUAL_THRESHOLD = 0.7


class _Fault(NamedTuple):
    expected: float
    said: object
    what: str


def check_rouge(
    implementation: Callable[[Any, Any], float],
    *,
    takes: Literal["texts", "tokens"] = "texts",
    tokenizer: str = "rouge",
    threshold: float | None = None,
    tolerance: float = 0.0,
    pairs: SearchStrategy[tuple[Any, Any]] | None = None,
    examples: int = 500,
    seed: int = 0,
) -> None:
    """Hold an implementation of the ROUGE-L F-measure against the oracles, and show the smallest case it gets wrong.

        check_rouge(lambda left, right: scorer.score(left, right)["rougeL"].fmeasure)

    Args:
        implementation: gives the F of two texts, or of two lists of tokens.
        takes: which of the two.
        tokenizer: what the tokens of texts are: `rouge`, `unicode` (its newest version), `unicode-1`, `unicode-2`.
        threshold: if given, only decisions count: whether F is strictly above it. Pairs lie around it, else around 0.7.
        tolerance: how far F may be off where no threshold is given; 0: not by a bit.
        pairs: what to ask, instead of `text_pairs` or `token_pairs`.
        examples: how many pairs to ask.
        seed: of the examples; the same seed asks the same.

    Raises:
        Mismatch: a pair got a wrong F, no number, or an exception.
        InputError: an argument is none of those above.
    """
    if takes not in ("texts", "tokens"):
        raise InputError(f"takes must be texts or tokens; got {takes!r}")
    tokens_of("", tokenizer)  # refuse an unknown name now

    def fault_of(pair: tuple[Any, Any]) -> _Fault | None:
        expected = rouge_l(*_tokens(pair, takes, tokenizer))
        try:
            said = implementation(*pair)
        except Exception as error:  # noqa: BLE001  whatever the implementation raises is what it says
            return _Fault(expected, error, on_one_line(f"raised {type(error).__name__}: {error}"))
        score = _number(said)
        if score is None:
            return _Fault(expected, said, f"{said!r}, which is no number")
        if threshold is None:
            return None if abs(score - expected) <= tolerance else _Fault(expected, said, repr(said))
        if (score > threshold) == (expected > threshold):
            return None
        return _Fault(expected, said, f"{said!r}, {_side(score, threshold)}")

    around = _USUAL_THRESHOLD if threshold is None else threshold
    if pairs is not None:
        found = smallest(pairs, fault_of, examples=examples, seed=seed)  # and nothing that the caller did not ask for
    else:
        asked: SearchStrategy[Any] = text_pairs(around) if takes == "texts" else token_pairs(around)
        found = smallest(asked, fault_of, examples=examples, seed=seed, shorter=shorter_pairs)
    if found is not None:
        pair, fault = found
        raise _mismatch(name_of(implementation), pair, _tokens(pair, takes, tokenizer), fault, threshold)


def name_of(implementation: object) -> str:
    """What a person calls an implementation: nothing better than that where it has no name."""
    name = getattr(implementation, "__name__", None) or type(implementation).__name__
    return "the implementation" if name == "<lambda>" else str(name)


def _number(said: object) -> float | None:
    """What was said as a float, None if it is no number."""
    if isinstance(said, bool) or not isinstance(said, Real):
        return None
    number = float(said)
    return None if math.isnan(number) else number


def _tokens(pair: tuple[Any, Any], takes: str, tokenizer: str) -> tuple[list[str], list[str]]:
    return pair if takes == "tokens" else (tokens_of(pair[0], tokenizer), tokens_of(pair[1], tokenizer))


def _side(score: float, threshold: float) -> str:
    return f"which is {'' if score > threshold else 'not '}above {threshold!r}"


def _mismatch(
    name: str, pair: tuple[Any, Any], tokens: tuple[list[str], list[str]], fault: _Fault, threshold: float | None
) -> Mismatch:
    left, right = tokens
    side = "" if threshold is None else f", {_side(fault.expected, threshold)}"
    lengths = f"{len(left)} and {len(right)} tokens, {lcs_length(left, right)} of them in common and in order"
    lines = [
        f"{name} has another ROUGE-L F-measure than the reference",
        f"  left      {pair[0]!r}",
        f"  right     {pair[1]!r}",
        f"  that is   {lengths}",
        f"  expected  {fault.expected!r}{side}",
        f"  said      {fault.what}",
    ]
    return Mismatch("\n".join(lines), case=pair, expected=fault.expected, said=fault.said)
