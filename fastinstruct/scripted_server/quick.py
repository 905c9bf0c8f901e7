"""Replies that cost a server little, for benchmarks of whole pipelines: cheap to make, and still no two alike.

Knows nothing of HTTP, time or the order of arrival. Guarantees that a reply is a pure function of (server seed, prompt,
request), and that instructions stay apart as real ones do, so that a pool of a million fills: most of their words are
rare.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from hashlib import sha512
from typing import Final

from fastinstruct.records import FinishReason
from fastinstruct.scripted_server.replies import Kind, ReplyRates, first_number
from fastinstruct.scripted_server.shapes import Ask, Reply
from fastinstruct.scripted_server.words import (
    JUNK,
    LABELS,
    NAME_ENDS,
    NAME_STARTS,
    QUICK_ADJECTIVES,
    QUICK_FORMS,
    QUICK_NOUNS,
    QUICK_PEOPLE,
    QUICK_PLACES,
    QUICK_STEMS,
    QUICK_VERBS,
    REPEATED,
    TOPICS,
)

__all__ = ["answer", "drawn_instruction", "instruction", "name", "quick_reply", "remark", "things"]


def _of_256(words: Sequence[str]) -> tuple[str, ...]:
    """The words, repeated so that any byte picks one."""
    return tuple(words[n % len(words)] for n in range(256))


_VERB, _ADJECTIVE, _NOUN = _of_256(QUICK_VERBS), _of_256(QUICK_ADJECTIVES), _of_256(QUICK_NOUNS)
_FORM, _PLACE, _PEOPLE = _of_256(QUICK_FORMS), _of_256(QUICK_PLACES), _of_256(QUICK_PEOPLE)
_STEM = _of_256(QUICK_STEMS)
_CAPITAL_VERB = tuple(verb.capitalize() for verb in _VERB)
_LABELS: Final = tuple(LABELS[n % len(LABELS)] for n in range(256))
_BYTES_A_TEXT: Final = 16

# What `_answers` may say: the more certain, the higher the number.
_ANSWERS: Final = tuple(
    (answer, {answer: math.log(share), other: math.log(1 - share)})
    for answer, other in (("Yes", "No"), ("No", "Yes"), ("No", "Yes"), ("No", "Yes"))
    for share in (0.55 + 0.006 * step for step in range(64))
)


def quick_reply(ask: Ask, kind: Kind, prompt_sha256: str, *, seed: int, rates: ReplyRates) -> Reply:
    """The reply to a prompt of this kind; a cut-off one ends within its last item, as `replies` has it."""
    digest = sha512(f"{seed}/{ask.seed}/{prompt_sha256}".encode()).digest()
    if kind is Kind.CLASSIFICATION:
        return _classification(ask, digest)
    digest += sha512(digest).digest()
    digest += sha512(digest).digest()
    items = _ITEMS[kind](ask, digest, rates)
    if int.from_bytes(digest[-2:], "big") < rates.length_rate * 65536:
        items[-1] = items[-1][: 1 + len(items[-1]) // 2].rstrip()
        return Reply(text="".join(items), finish_reason=FinishReason.LENGTH)
    return Reply(text="".join(items), finish_reason=FinishReason.STOP)


def _classification(ask: Ask, digest: bytes) -> Reply:
    said, logprobs = _ANSWERS[digest[0]]
    if ask.chat:
        top_logprobs = logprobs
    else:
        said, top_logprobs = f" {said}", {f" {token}": value for token, value in logprobs.items()}
    if ask.num_logprobs is None:
        return Reply(text=said, finish_reason=FinishReason.STOP)
    return Reply(text=said, finish_reason=FinishReason.STOP, top_logprobs=top_logprobs)


def _instructions(ask: Ask, digest: bytes, rates: ReplyRates) -> list[str]:
    """5 to 8 instructions, numbered from where the prompt's list ends."""
    texts = [
        drawn_instruction(digest, at, rates) for at in range(0, (5 + digest[-3] % 4) * _BYTES_A_TEXT, _BYTES_A_TEXT)
    ]
    asked = first_number(ask.prompt)
    items = [f"\n{number}. {text}" for number, text in enumerate(texts, asked or 1)]
    items[0] = f" {texts[0]}" if asked and not ask.chat else items[0][1:]
    return items


def drawn_instruction(d: bytes, at: int, rates: ReplyRates) -> str:
    """An instruction of 16 bytes: a rare one but for the shares of junk and of duplicates."""
    share = (d[at] << 8 | d[at + 1]) / 65536
    if share < rates.junk_rate:
        return JUNK[d[at + 2] % len(JUNK)].format(topic=TOPICS[d[at + 3] % len(TOPICS)])
    if share < rates.junk_rate + rates.duplicate_rate:
        return REPEATED[d[at + 2] % len(REPEATED)] + (".", "!", ", please.")[d[at + 3] % 3]
    return instruction(d, at + 2)


def instruction(d: bytes, at: int) -> str:
    """One of very many instructions, of the 14 bytes from there."""
    return _FRAMES[d[at + 3] & 3](d, at)


def _text_about(d: bytes, at: int) -> str:
    return (
        f"{_CAPITAL_VERB[d[at]]} a {_adjective_form(d, at)} about {things(d, at + 4)} and {things(d, at + 6)} for "
        f"{name(d, at + 8)}, who collects {things(d, at + 10)} in {name(d, at + 12)}."
    )


def _why(d: bytes, at: int) -> str:
    return (
        f"Explain to {name(d, at + 8)} why {things(d, at + 4)} need {things(d, at + 6)}: a {_adjective_form(d, at)} "
        f"with {things(d, at + 10)} from {name(d, at + 12)}."
    )


def _for_somebody(d: bytes, at: int) -> str:
    return (
        f"For {name(d, at + 8)} of {name(d, at + 12)}, {_VERB[d[at]]} a {_adjective_form(d, at)} that sets "
        f"{things(d, at + 4)} against {things(d, at + 6)} and {things(d, at + 10)}."
    )


def _which(d: bytes, at: int) -> str:
    return (
        f"Which {things(d, at + 4)} suit {name(d, at + 8)}: {things(d, at + 6)} in {name(d, at + 12)}, or "
        f"{things(d, at + 10)}? Write a {_adjective_form(d, at)}."
    )


_FRAMES: Final = (_text_about, _why, _for_somebody, _which)


def _adjective_form(d: bytes, at: int) -> str:
    return f"{_ADJECTIVE[d[at + 1]]} {_FORM[d[at + 2]]}"


def things(d: bytes, at: int) -> str:
    """Things of a rare name, of 2 bytes."""
    return _STEM[d[at]] + _NOUN[d[at + 1]]


def name(d: bytes, at: int) -> str:
    """The name of a person or a town, of 2 bytes."""
    return NAME_STARTS[d[at]] + NAME_ENDS[d[at + 1]]


def _input_first(_ask: Ask, d: bytes, _rates: ReplyRates) -> list[str]:
    """An output alone, or one to three examples."""
    if d[-4] < 90:
        return [f"Output: {answer(d, 0)}"]
    items = [
        f"\n\nExample {number}\nInput: {remark(d, 24 * number - 24)}\nOutput: {answer(d, 24 * number - 12)}"
        for number in range(1, 2 + d[-4] % 3)
    ]
    items[0] = items[0][2:]
    return items


def _output_first(_ask: Ask, d: bytes, _rates: ReplyRates) -> list[str]:
    """Two or three labelled texts."""
    labels = _LABELS[d[-5]]
    items = [f"\n\nClass label: {labels[n % 2]}\n{remark(d, 12 * n)}" for n in range(2 + d[-4] % 2)]
    items[0] = items[0][2:]
    return items


def remark(d: bytes, at: int) -> str:
    """A sentence to work on, of 8 bytes."""
    return (
        f"The {_ADJECTIVE[d[at]]} {_PEOPLE[d[at + 1]]} of {name(d, at + 2)} left {things(d, at + 4)} in our "
        f"{_ADJECTIVE[d[at + 6]]} {_PLACE[d[at + 7]]}."
    )


def answer(d: bytes, at: int) -> str:
    """A sentence of advice, of 8 bytes."""
    return (
        f"Count the {things(d, at)}, then ask {_ADJECTIVE[d[at + 2]]} {_PEOPLE[d[at + 3]]} about "
        f"{things(d, at + 4)} and {name(d, at + 6)}."
    )


_ITEMS: Final[dict[Kind, Callable[[Ask, bytes, ReplyRates], list[str]]]] = {
    Kind.INSTRUCTIONS: _instructions,
    Kind.INPUT_FIRST: _input_first,
    Kind.OUTPUT_FIRST: _output_first,
}
