"""What the product's own readers take from replies in a style, held against the truth about them.

Knows nothing of servers or runs. A row is an instruction, an instance (input and output) or an answer of stage 2; a
kept row is wrong if it is not, with white space collapsed, among the true ones of its reply.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from fastinstruct.lm.transports.decoding import ReplyProblem, decode_reply
from fastinstruct.records import Api, Completion, FinishReason, Instance, ReplyForm
from fastinstruct.scripted_server import Truth
from fastinstruct.scripted_server.draws import text_sha256
from fastinstruct.scripted_server.json_asks import JsonAsk
from fastinstruct.scripted_server.replies import Kind
from fastinstruct.scripted_server.shapes import Ask, reply_body
from fastinstruct.scripted_server.styled import styled_reply
from fastinstruct.scripted_server.truths import Row
from fastinstruct.text.parsed import Parsed
from fastinstruct.text.parsing import parse_classification, parse_instances, parse_instructions
from fastinstruct.text.structured import read_examples, read_is_classification, read_tasks

MAX_TOKENS = 2000
MAX_ITEMS = 20
FIRST_NUMBER = 9
_JSON = JsonAsk("response_format", ReplyForm.JSON_SCHEMA)
_PROMPT = f"Now write tasks {FIRST_NUMBER} to {FIRST_NUMBER + 7}, please ({{}})."


@dataclass(slots=True, kw_only=True)
class Figures:
    """What became of the rows of one style and form; `surprises` are the replies that lost or gave a wrong row."""

    style: str
    form: str
    num_replies: int = 0
    num_unreadable: int = 0
    num_true: int = 0
    num_kept: int = 0
    num_wrong: int = 0
    num_marker_like: int = 0
    num_marker_like_kept: int = 0
    surprises: list[Surprise] = field(default_factory=list)

    @property
    def kept_share(self) -> float:
        """Of the true rows."""
        return self.num_kept / self.num_true if self.num_true else 1.0

    @property
    def wrong_share(self) -> float:
        """Of what was kept, right or wrong."""
        total = self.num_kept + self.num_wrong
        return self.num_wrong / total if total else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surprise:
    """A reply whose kept rows are not its true ones."""

    kind: Kind
    wrong: tuple[Hashable, ...]
    lost: tuple[Hashable, ...]
    rejected: tuple[str, ...]
    stumbled_over: str
    text: str


def measure(style: str, *, num_replies: int, as_json: bool, kinds: Iterable[Kind] = Kind) -> Figures:
    """Read so many replies of each kind in a style."""
    figures = Figures(style=style, form="json" if as_json else "text")
    for kind in kinds:
        for number in range(num_replies):
            _count(figures, kind, *_said(style, kind, number, as_json=as_json), as_json=as_json)
    return figures


def _said(style: str, kind: Kind, number: int, *, as_json: bool) -> tuple[Completion | None, Truth]:
    """A reply as it comes through the wire, None where it holds no text; and the truth about it."""
    prompt = _PROMPT.format(number)
    ask = Ask(chat=True, model="m", prompt=prompt, max_tokens=MAX_TOKENS, json=_JSON if as_json else None)
    reply = styled_reply(ask, kind, text_sha256(prompt), seed=0, style=style)
    assert reply.truth is not None
    found = decode_reply(Api.CHAT, reply_body(ask, reply, reply_id="r", model="m"), limits=[MAX_TOKENS])
    return None if isinstance(found, ReplyProblem) else found, reply.truth


def _count(figures: Figures, kind: Kind, completion: Completion | None, truth: Truth, *, as_json: bool) -> None:
    parsed: Parsed[str] | Parsed[Instance] | Parsed[bool] = Parsed()
    if completion is not None:
        parsed = _parsed(kind, completion, as_json=as_json)
    true, kept = Counter(map(collapsed, truth.rows)), Counter(map(collapsed, parsed.kept))
    right = true & kept
    figures.num_replies += 1
    figures.num_unreadable += parsed.is_unreadable
    figures.num_true += true.total()
    figures.num_kept += right.total()
    figures.num_wrong += (kept - true).total()
    marked = [collapsed(truth.rows[place]) for place in truth.marker_like]
    figures.num_marker_like += len(marked)
    figures.num_marker_like_kept += sum(row in right for row in marked)
    if kept != true:
        figures.surprises.append(
            Surprise(
                kind=kind,
                wrong=tuple((kept - true).elements()),
                lost=tuple((true - kept).elements()),
                rejected=tuple(str(reason) for _, reason in parsed.rejected),
                stumbled_over=parsed.stumbled_over,
                text=completion.text if completion is not None else "",
            )
        )


def _parsed(kind: Kind, completion: Completion, *, as_json: bool) -> Parsed[str] | Parsed[Instance] | Parsed[bool]:
    """A reply of a stage, read as a run reads it."""
    text, finish_reason = completion.text, completion.finish_reason
    is_torn = finish_reason is FinishReason.LENGTH
    if kind is Kind.CLASSIFICATION:
        answer = read_is_classification(text) if as_json else parse_classification(text)
        return Parsed(kept=() if answer is None else (answer,))
    if kind is Kind.INSTRUCTIONS:
        if as_json:
            return read_tasks(text, max_items=MAX_ITEMS, is_torn=is_torn)
        return parse_instructions(
            text, api=Api.CHAT, first_number=FIRST_NUMBER, max_items=MAX_ITEMS, finish_reason=finish_reason
        )
    if as_json:
        return read_examples(text, is_torn=is_torn)
    return parse_instances(text, is_classification=kind is Kind.OUTPUT_FIRST, finish_reason=finish_reason)


def collapsed(row: Row) -> Hashable:
    """A row that equals another one if they differ in white space only."""
    if isinstance(row, Instance):
        return " ".join(row.input.split()), " ".join(row.output.split())
    return " ".join(row.split()) if isinstance(row, str) else row


def wrong_rows(found: Iterable[tuple[str, Instance]], truths: Sequence[Truth]) -> Iterator[tuple[str, Instance]]:
    """The examples of a run whose instruction or whose instance is in no reply's truth."""
    instructions = {collapsed(row) for truth in truths for row in truth.instructions}
    instances = {collapsed(row) for truth in truths for row in truth.instances}
    for instruction, instance in found:
        if collapsed(instruction) not in instructions or collapsed(instance) not in instances:
            yield instruction, instance
