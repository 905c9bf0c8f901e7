"""Hypothesis strategies for whoever tests a ROUGE-L or a near-duplicate filter.

Knows nothing of the kernels. Token pairs are made so that their longest common subsequence is known without being
counted: some tokens in the same order in both, and between them tokens that only one of the two has. So a pair lies on
the wanted side of a threshold by construction, and the oracles can be wrong about it and be found out.

Everything shrinks to short texts of the first words of the alphabet.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal, TypeAlias

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from fastinstruct.errors import InputError
from fastinstruct.testing.oracles import f_measure
from fastinstruct.testing.writing import texts, written

__all__ = ["Side", "Tokens", "streams", "text_pairs", "thresholds", "token_lists", "token_pairs"]

Tokens: TypeAlias = list[str]
Side: TypeAlias = Literal["below", "at", "above"]
"""Where the F of a pair lies: the next below a threshold, equal to it but for the last bits of a double, next above."""

_SIDES: tuple[Side, ...] = ("below", "at", "above")
_EQUAL = (
    1e-12  # the sums and quotients of F have errors of some 1e-16, and fractions of small numbers lie further apart
)
_COMMON, _LEFT, _RIGHT = "abcdefgh", "pq", "xy"
# Around the words of a processor, which bit-parallel implementations count in.
_EDGES = (31, 32, 33, 63, 64, 65, 127, 128, 129)


def thresholds() -> SearchStrategy[float]:
    """Thresholds from 0 to 1, those that people use more often than others."""
    return st.one_of(st.sampled_from([0.7, 0.5, 0.3, 2 / 3, 0.8, 0.9, 0.0, 1.0]), st.floats(0, 1))


def token_lists(longest: int = 12, words: Sequence[str] = "abcdefg") -> SearchStrategy[Tokens]:
    """Lists of up to so many of a few words, the empty one included: any two of them have something in common."""
    return st.lists(st.sampled_from(words), max_size=longest)


def token_pairs(
    threshold: float = 0.7, side: Side | None = None, longest: int = 20
) -> SearchStrategy[tuple[Tokens, Tokens]]:
    """Pairs of token lists around a threshold.

    Args:
        threshold: of the F-measure, 0 to 1.
        side: where F is to lie. None: on every side that there is, and besides unrelated lists, repetitive ones,
            permutations, and lists of about 32, 64 and 128 tokens.
        longest: tokens of a list that lies on a given side, at most.

    Raises:
        InputError: no lists that short lie on this side, as none has an F of, say, 0.7123 exactly.
    """
    sides = {name: lengths_around(threshold, name, longest) for name in (_SIDES if side is None else (side,))}
    found = [_pairs_of_lengths(lengths) for lengths in sides.values() if lengths]
    if side is not None and not found:
        raise InputError(f"no two lists of up to {longest} tokens lie {side} F = {threshold!r}; take another threshold")
    return st.one_of(*found) if side is not None else st.one_of(*found, _related_pairs(), _pairs_at_the_edges())


@cache
def lengths_around(threshold: float, side: Side, longest: int) -> tuple[tuple[int, int, int], ...]:
    """(LCS, tokens of one list, tokens of the other) of pairs on one side, short ones first."""
    found = []
    for left in range(1, longest + 1):
        for right in range(1, longest + 1):
            scores = [f_measure(lcs, left, right) for lcs in range(min(left, right) + 1)]
            if scores[-1] < threshold - _EQUAL:  # their lengths alone tell them apart
                continue
            below = [lcs for lcs, score in enumerate(scores) if score < threshold - _EQUAL]
            above = [lcs for lcs, score in enumerate(scores) if score > threshold + _EQUAL]
            equal = [lcs for lcs, score in enumerate(scores) if abs(score - threshold) <= _EQUAL]
            chosen = {"below": below[-1:], "at": equal, "above": above[:1]}[side]
            found += [(lcs, left, right) for lcs in chosen]
    return tuple(sorted(found, key=lambda lengths: (lengths[1] + lengths[2], lengths)))


@st.composite
def _pairs_of_lengths(draw: DrawFn, lengths: tuple[tuple[int, int, int], ...]) -> tuple[Tokens, Tokens]:
    lcs, left, right = draw(st.sampled_from(lengths))
    common = draw(st.lists(st.sampled_from(_COMMON), min_size=lcs, max_size=lcs))
    return draw(_filled_up(common, left, _LEFT)), draw(_filled_up(common, right, _RIGHT))


@st.composite
def _filled_up(draw: DrawFn, common: Tokens, length: int, own: str) -> Tokens:
    """Insert words of one's own until the list is so long."""
    tokens = list(common)
    for _ in range(length - len(common)):
        tokens.insert(draw(st.integers(0, len(tokens))), draw(st.sampled_from(own)))
    return tokens


@st.composite
def _related_pairs(draw: DrawFn) -> tuple[Tokens, Tokens]:
    left = draw(token_lists(words=draw(st.sampled_from(["a", "ab", "abc", "abcdefg"]))))
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return left, draw(token_lists())
    if kind == 1:
        return left, draw(st.permutations(left))
    if kind == 2:
        return left, left + left
    return left, draw(edited(left))


@st.composite
def edited(draw: DrawFn, tokens: Tokens) -> Tokens:
    """The tokens with one to three replaced, dropped or put in."""
    changed = list(tokens)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(changed)))
        dropped = draw(st.integers(0, 1))
        changed[place : place + dropped] = draw(st.lists(st.sampled_from(_COMMON + _LEFT), max_size=1))
    return changed


@st.composite
def _pairs_at_the_edges(draw: DrawFn) -> tuple[Tokens, Tokens]:
    pattern = draw(st.lists(st.sampled_from(_COMMON), min_size=1, max_size=7))
    length = draw(st.sampled_from(_EDGES))
    left = (pattern * length)[:length]
    return left, draw(st.one_of(edited(left), st.just(left[::-1]), token_lists(longest=6)))


def text_pairs(threshold: float = 0.7, *, surrogates: bool = True) -> SearchStrategy[tuple[str, str]]:
    """Pairs of texts: token pairs around a threshold written out, and texts of any script.

    Args:
        threshold: of the F-measure, 0 to 1.
        surrogates: whether texts hold halves of surrogate pairs, which no UTF-8 has and JSON escapes can smuggle in.
    """
    around = token_pairs(threshold).flatmap(lambda pair: st.tuples(written(pair[0]), written(pair[1])))
    anything = texts(surrogates=surrogates)
    return st.one_of(around, st.tuples(anything, anything), anything.map(lambda text: (text, text)))


@st.composite
def streams(draw: DrawFn, threshold: float = 0.7, longest: int = 10, *, surrogates: bool = True) -> list[str]:
    """Streams of texts for a filter: near-duplicates around a threshold, edits of what came before, odd texts.

    Args:
        draw: given by Hypothesis.
        threshold: of the F-measure, 0 to 1.
        longest: how many texts a stream is made of, at most; pairs count as one.
        surrogates: as for `text_pairs`.
    """
    made: list[str] = []
    lists: list[Tokens] = []
    for _ in range(draw(st.integers(0, longest))):
        kind = draw(st.integers(0, 3))
        if kind == 0:
            added = [draw(token_lists())]
        elif kind == 1 and lists:
            added = [draw(edited(draw(st.sampled_from(lists))))]
        elif kind == 2:
            made.append(draw(texts(surrogates=surrogates)))
            continue
        else:
            added = list(draw(token_pairs(threshold)))
        lists += added
        made += [draw(written(tokens)) for tokens in added]
    return made
