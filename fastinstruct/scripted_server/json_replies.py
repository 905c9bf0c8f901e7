"""Replies as JSON with the contents of the unstyled ones, written or quick, for requests that ask for it.

Knows nothing of HTTP, faults or time. Guarantees that a reply is a pure function of (server seed, prompt, request).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from fastinstruct.records import FinishReason, Instance
from fastinstruct.scripted_server import quick
from fastinstruct.scripted_server.documents import document, dumped, torn
from fastinstruct.scripted_server.draws import draw_64
from fastinstruct.scripted_server.replies import (
    Kind,
    ReplyRates,
    drawn_answer,
    drawn_instruction,
    drawn_remark,
    is_label_task,
)
from fastinstruct.scripted_server.shapes import Ask, Reply
from fastinstruct.scripted_server.truths import Row, Truth
from fastinstruct.scripted_server.words import LABELS

__all__ = ["json_reply"]


def json_reply(ask: Ask, kind: Kind, prompt_sha256: str, *, seed: int, rates: ReplyRates, is_quick: bool) -> Reply:
    """The reply to a prompt of this kind as the JSON that it asks for; a cut-off one ends within its last row."""
    rng = random.Random(draw_64("json", seed, ask.seed, prompt_sha256))
    rows: Sequence[Row]
    if kind is Kind.CLASSIFICATION:
        rows = [is_label_task(ask.prompt, seed)]
    elif kind is Kind.INSTRUCTIONS:
        rows = [_instruction(rng, rates, is_quick=is_quick) for _ in range(rng.randrange(5, 9))]
    else:
        rows = _instances(rng, kind, is_quick=is_quick)
    text = dumped(document(kind, rows))
    is_cut = kind is not Kind.CLASSIFICATION and rng.random() < rates.length_rate
    if is_cut:
        text, rows = torn(text, kind, rows[-1]), rows[:-1]
    truth = Truth(
        style="json",
        instructions=tuple(row for row in rows if isinstance(row, str)),
        answers=tuple(row for row in rows if isinstance(row, bool)),
        instances=tuple(row for row in rows if isinstance(row, Instance)),
    )
    return Reply(text=text, finish_reason=FinishReason.LENGTH if is_cut else FinishReason.STOP, truth=truth)


def _instruction(rng: random.Random, rates: ReplyRates, *, is_quick: bool) -> str:
    return quick.drawn_instruction(rng.randbytes(16), 0, rates) if is_quick else drawn_instruction(rng, rates)


def _instances(rng: random.Random, kind: Kind, *, is_quick: bool) -> list[Instance]:
    def remark() -> str:
        return quick.remark(rng.randbytes(8), 0) if is_quick else drawn_remark(rng)

    def answer() -> str:
        return quick.answer(rng.randbytes(8), 0) if is_quick else drawn_answer(rng)

    if kind is Kind.OUTPUT_FIRST:
        labels = LABELS[rng.randrange(len(LABELS))]
        return [Instance(input=remark(), output=labels[n % 2]) for n in range(rng.randrange(2, 4))]
    if rng.random() < 0.35:
        return [Instance(input="", output=answer())]
    return [Instance(input=remark(), output=answer()) for _ in range(rng.randrange(1, 4))]
