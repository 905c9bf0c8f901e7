"""`check_filter`: whether a near-duplicate filter rejects what it should, and nothing else.

Knows nothing of how a filter works, nor of the kernels. A filter gets a stream of texts and says of each whether it is
rejected; those that it keeps are its pool. Each verdict is held against a comparison with all that the filter itself
has kept so far, so that one wrong verdict is one fault and not the cause of others.

Streams are short ones around the threshold, made by Hypothesis, and one long one: what a filter forgets or passes over
once it holds many texts shows only there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from hypothesis.strategies import SearchStrategy

from fastinstruct.errors import InputError, Mismatch
from fastinstruct.escaping import on_one_line
from fastinstruct.testing.oracles import Pool
from fastinstruct.testing.related import related_texts
from fastinstruct.testing.rouge_check import name_of
from fastinstruct.testing.smallest import fewest, shorter_streams, smallest
from fastinstruct.testing.strategies import streams
from fastinstruct.testing.tokens import tokens_of

__all__ = ["admitting", "check_filter"]

_LONG_STREAM, _LONGEST_TEXT = 300, 24


class _Index(Protocol):
    def admit(self, texts: list[str], /) -> Any:  # noqa: ANN401  verdicts, or a sequence of bool
        """Judge texts in order; each admitted one is in the pool for the next."""


class _Fault(NamedTuple):
    place: int  # of the text whose verdict is wrong
    expected: bool | None  # whether it should have been rejected; None: the filter gave no verdicts
    said: object
    what: str
    kept: list[int]  # places of the texts in the pool then


def admitting(factory: Callable[[], _Index], batch: int | None = None) -> Callable[[list[str]], list[bool]]:
    """The filter that an index is, one that has a method `admit`: a new index for each stream.

        check_filter(admitting(lambda: RougeIndex(0.7, "rouge")))

    Args:
        factory: makes an empty index. What its `admit` gives is a sequence of bool, True for an admitted text, or has
            one as its attribute `admitted`.
        batch: how many texts are given at a time; None: all of them.
    """

    def decide(texts: list[str]) -> list[bool]:
        index, rejected, size = factory(), list[bool](), batch or max(len(texts), 1)
        for first in range(0, len(texts), size):
            verdicts = index.admit(texts[first : first + size])
            rejected += [not admitted for admitted in getattr(verdicts, "admitted", verdicts)]
        return rejected

    decide.__name__ = name_of(factory)
    return decide


def check_filter(
    decide: Callable[[list[str]], Iterable[Any]],
    threshold: float = 0.7,
    *,
    tokenizer: str = "rouge",
    may_miss: bool = False,
    texts: SearchStrategy[list[str]] | None = None,
    examples: int = 200,
    seed: int = 0,
) -> None:
    """Hold a near-duplicate filter against a plain one, and show the fewest texts on which it goes wrong.

    A text is to be rejected if its ROUGE-L F-measure with a text that the filter has kept is strictly above the
    threshold. A text without tokens is near nothing.

    Args:
        decide: gets a list of texts and says of each, in order, whether it is rejected. It begins with an empty pool
            each time. An object with `admit`: see `admitting`.
        threshold: 0 to 1; the filter has to be set to it already.
        tokenizer: what the tokens of texts are: `rouge`, `unicode` (its newest version), `unicode-1`, `unicode-2`.
        may_miss: for approximate filters. What they keep is right whatever it is; what they reject has to be right.
        texts: the streams to decide, instead of `streams` and the long one.
        examples: how many short streams.
        seed: of the streams; the same seed makes the same.

    Raises:
        Mismatch: a verdict is wrong, there are too few or too many, one is no bool, or the filter raised.
        InputError: there is no tokenizer of that name.
    """
    if not callable(decide):
        raise InputError("decide must be a function from texts to verdicts; for an object with `admit`: `admitting`")
    tokens_of("", tokenizer)  # refuse an unknown name now

    def fault_of(stream: list[str]) -> _Fault | None:
        verdicts = _verdicts(decide, stream)
        if isinstance(verdicts, _Fault):
            return verdicts
        return _first_wrong(verdicts, [tokens_of(text, tokenizer) for text in stream], threshold, may_miss=may_miss)

    if texts is not None:
        found = smallest(texts, fault_of, examples=examples, seed=seed)  # and nothing that the caller did not ask for
    else:
        found = smallest(streams(threshold), fault_of, examples=examples, seed=seed, shorter=shorter_streams)
        found = found or fewest(related_texts(_LONG_STREAM, longest=_LONGEST_TEXT, seed=seed), fault_of)
    if found is not None:
        raise _mismatch(name_of(decide), *found)


def _verdicts(decide: Callable[[list[str]], Iterable[Any]], stream: list[str]) -> list[bool] | _Fault:
    try:
        verdicts = list(decide(list(stream)))  # it may change the list
    except Exception as error:  # noqa: BLE001  whatever the filter raises is what it says
        return _Fault(-1, None, error, on_one_line(f"raised {type(error).__name__}: {error}"), [])
    if len(verdicts) != len(stream):
        return _Fault(-1, None, verdicts, f"gave {len(verdicts)} verdicts on {len(stream)} texts", [])
    for place, verdict in enumerate(verdicts):
        # NumPy's bool is no bool, and both can be told from numbers by what they are called.
        if not type(verdict).__name__.startswith("bool"):
            return _Fault(place, None, verdicts, f"gave {verdict!r} for a verdict, which is no bool", [])
    return [bool(verdict) for verdict in verdicts]


def _first_wrong(
    verdicts: Sequence[bool], token_lists: Sequence[list[str]], threshold: float, *, may_miss: bool
) -> _Fault | None:
    pool, kept = Pool(threshold), list[int]()
    for place, (rejected, tokens) in enumerate(zip(verdicts, token_lists, strict=True)):
        admitted, nearest, score = pool.judge(tokens)
        if rejected and admitted:
            highest = max(pool.scores(tokens), default=0.0)
            what = f"rejected text {place}, whose highest F is {highest!r}, which is not above {threshold!r}"
            return _Fault(place, not admitted, rejected, what, kept)
        if not rejected and not admitted and not may_miss:
            assert nearest is not None
            what = f"kept text {place}, whose F with text {kept[nearest]} is {score!r}, above {threshold!r}"
            return _Fault(place, not admitted, rejected, what, kept)
        if not rejected:
            pool.texts.append(tokens)
            kept.append(place)
    return None


def _mismatch(name: str, stream: list[str], fault: _Fault) -> Mismatch:
    width = len(str(len(stream)))
    lines = [f"{name} {fault.what}"]
    for place, text in enumerate(stream):
        became = "kept" if place in fault.kept else "rejected" if 0 <= place < fault.place else ""
        lines.append(f"  {place:>{width}}  {became or '?':<8}  {text!r}{'  <--' if place == fault.place else ''}")
    return Mismatch("\n".join(lines), case=stream, expected=fault.expected, said=fault.said)
