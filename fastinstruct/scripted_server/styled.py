"""Replies in a style, as text or as JSON, and the truth about each.

Knows nothing of HTTP, faults or time. Guarantees that a reply is a function of (server seed, style, prompt, request),
and that its truth holds the whole rows of its answer and nothing of what stands around them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar, cast

from fastinstruct.records import FinishReason, Instance
from fastinstruct.scripted_server import contents
from fastinstruct.scripted_server.documents import document, dumped, torn, value
from fastinstruct.scripted_server.draws import draw_64
from fastinstruct.scripted_server.languages import ENGLISH, Words
from fastinstruct.scripted_server.numerals import numerals
from fastinstruct.scripted_server.replies import Kind, asked_number
from fastinstruct.scripted_server.shapes import Ask, Reply
from fastinstruct.scripted_server.styles import MIXED, STYLES, Style
from fastinstruct.scripted_server.truths import Row, Truth

__all__ = ["styled_reply"]

_T = TypeVar("_T")
_LEVELS: Final = ("easy", "medium", "hard")
_KINDS: Final = ("creative", "practical", "technical", "analytical")
_TITLES: Final = (
    "Sizing Up",
    "A Quiet Start",
    "Field Notes",
    "Second Opinion",
    "Loose Ends",
    "Market Day",
    "Old Habits",
)
_OPENINGS: Final = (
    "Okay, I need something that differs from the others. Perhaps:",
    "We need to answer in the format. Let me try a few first.",
    "The user wants new ones. First thoughts:",
)


class _Body(NamedTuple):
    """What a reply says, before anything stands around it; `never` is what it says and no row may hold."""

    text: str
    never: tuple[str, ...] = ()


def styled_reply(ask: Ask, kind: Kind, prompt_sha256: str, *, seed: int, style: str) -> Reply:
    """The reply to a prompt of this kind in a style of `STYLES`, or in any of them; as JSON where that is asked for."""
    rng = random.Random(draw_64("styled", seed, style, ask.seed, prompt_sha256))
    name = _pick(rng, tuple(STYLES)) if style == MIXED else style
    return _Writer(ask, kind, name, rng).reply()


class _Writer:
    """Writes one reply."""

    def __init__(self, ask: Ask, kind: Kind, name: str, rng: random.Random) -> None:
        self._ask, self._kind, self._rng = ask, kind, rng
        self._name, self._style = name, STYLES[name]
        self._words = _pick(rng, self._style.words)
        self._first = asked_number(ask.prompt) if not ask.chat or rng.random() < 0.5 else None

    def reply(self) -> Reply:
        rows, marked = self._rows(self._words)
        is_torn = self._style.is_torn and self._kind is not Kind.CLASSIFICATION
        if self._ask.json is not None:
            body = self._json(rows, is_torn=is_torn)
            wraps = self._style.json_whole
        else:
            body = self._json_in_text(rows) if self._style.is_json else self._text(rows, is_torn=is_torn)
            wraps = self._style.whole
        text, never = self._wrapped(_pick(self._rng, wraps), body.text)
        whole = rows[:-1] if is_torn else rows
        truth = self._truth(whole, [n for n in marked if n < len(whole)], body.never + never)
        finish_reason, told = self._end(is_torn=is_torn)
        return Reply(text=text, finish_reason=finish_reason, told_tokens=told, truth=truth)

    # ----------------------------------------------------------------------------------------------------- what is said

    def _rows(self, words: Words) -> tuple[Sequence[Row], list[int]]:
        rng = self._rng
        if self._kind is Kind.CLASSIFICATION:
            return [rng.random() < 0.25], []
        if self._kind is Kind.INSTRUCTIONS:
            return contents.instructions(rng, rng.randrange(5, 9))
        if self._kind is Kind.OUTPUT_FIRST:
            return contents.labelled(rng, rng.randrange(2, 4), words)
        is_alone = rng.random() < 0.3
        return contents.instances(rng, 1 if is_alone else rng.randrange(1, 4), words, has_input=not is_alone)

    def _truth(self, rows: Sequence[Row], marked: list[int], never: tuple[str, ...]) -> Truth:
        return Truth(
            style=self._name if self._ask.json is None else f"json {self._name}",
            instructions=tuple(row for row in rows if isinstance(row, str)),
            answers=tuple(row for row in rows if isinstance(row, bool)),
            instances=tuple(row for row in rows if isinstance(row, Instance)),
            marker_like=tuple(marked),
            never=never,
        )

    def _end(self, *, is_torn: bool) -> tuple[FinishReason, int | None]:
        """How a reply ends; half of the servers say "stop" of a torn one, though all the tokens were used."""
        if not is_torn:
            return FinishReason.STOP, None
        limit = self._ask.max_tokens
        return (FinishReason.STOP, limit) if limit and self._rng.random() < 0.5 else (FinishReason.LENGTH, limit)

    # --------------------------------------------------------------------------------------------------------- as JSON

    def _json(self, rows: Sequence[Row], *, is_torn: bool) -> _Body:
        text = dumped(document(self._kind, rows), _pick(self._rng, self._style.layouts))
        return _Body(torn(text, self._kind, rows[-1]) if is_torn else text, _texts(rows[-1:]) if is_torn else ())

    def _json_in_text(self, rows: Sequence[Row]) -> _Body:
        """As models write JSON unasked: the object, its list alone, or a list of numbered strings."""
        layout = _pick(self._rng, self._style.layouts)
        values = [value(self._kind, row) for row in rows]
        numbered = [f"{n}. {text}" for n, text in enumerate(values, self._first or 1)]
        shapes: list[object] = [document(self._kind, rows)]
        shapes += [values] if self._kind is not Kind.CLASSIFICATION else []
        shapes += [numbered] if self._kind is Kind.INSTRUCTIONS else []
        return _Body(dumped(_pick(self._rng, shapes), layout))

    # --------------------------------------------------------------------------------------------------------- as text

    def _text(self, rows: Sequence[Row], *, is_torn: bool) -> _Body:
        if self._kind is Kind.CLASSIFICATION:
            words = self._words
            return _Body(_pick(self._rng, self._style.answers).format(answer=words.yes if rows[0] else words.no))
        pieces, joined, whole = self._pieces(self._style, rows, self._words)
        never: tuple[str, ...] = ()
        if is_torn:
            last = rows[-1]
            end = last if isinstance(last, str) else cast(Instance, last).output
            end = cast(Instance, last).input if self._kind is Kind.OUTPUT_FIRST else end
            pieces[-1] = pieces[-1][: -max(1, len(end) // 2)].rstrip()
            never = (_texts([last])[-1],)
        text, others = self._wrapped(whole, joined.join(pieces))
        if not self._ask.chat and self._first is not None and text.startswith(start := f"{self._first}. "):
            text = " " + text.removeprefix(start)
        return _Body(text, never + others)

    def _pieces(self, style: Style, rows: Sequence[Row], words: Words) -> tuple[list[str], str, str]:
        """The rows, dressed; what stands between them, and around all of them."""
        said = _said(words)
        if self._kind is Kind.INSTRUCTIONS:
            listing = _pick(self._rng, style.listings)
            items = [
                listing.item.format(task=row, **self._extras(n), **said) for n, row in enumerate(rows, self._first or 1)
            ]
            return items, listing.joined, listing.whole
        pairing = _pick(self._rng, style.pairings)
        is_labelled = self._kind is Kind.OUTPUT_FIRST
        pieces = []
        for n, row in enumerate(cast(Sequence[Instance], rows), 1):
            template = pairing.labelled if is_labelled else pairing.pair if row.input else pairing.alone
            heading = "" if is_labelled or not row.input else pairing.heading.format(**self._extras(n), **said)
            pieces.append(heading + template.format(input=row.input, output=row.output, **said))
        return pieces, "\n\n", pairing.whole

    def _extras(self, n: int) -> dict[str, str]:
        rng = self._rng
        return numerals(n) | {"title": _pick(rng, _TITLES), "level": _pick(rng, _LEVELS), "kind": _pick(rng, _KINDS)}

    # ------------------------------------------------------------------------------------------------ what is around it

    def _wrapped(self, whole: str, body: str) -> tuple[str, tuple[str, ...]]:
        """The body in its surroundings, and what these say that no row may hold."""
        if whole == "{body}":
            return body, ()
        rng, style = self._rng, self._style
        around = {"body": body}
        around |= {key: _pick(rng, said) for key, said in (("before", style.before), ("after", style.after)) if said}
        never = [around[key] for key in ("before", "after") if f"{{{key}}}" in whole]
        if "{draft}" in whole:
            around["draft"], drafted = self._draft()
            never += drafted
        if "{other}" in whole:
            (other,), _ = contents.instructions(rng, 1)
            (instance,), _ = contents.instances(rng, 1, ENGLISH, has_input=False)
            around |= {"other": other, "advice": instance.output}
            never += [other, instance.output]
        return whole.format(**around), tuple(never)

    def _draft(self) -> tuple[str, list[str]]:
        """What a model thinks before it answers: an opening and rows that look like its answer's."""
        opening = _pick(self._rng, _OPENINGS)
        if self._kind is Kind.CLASSIFICATION:
            return f"{opening} Yes? No? A free text, or one of a few options?", [opening]
        rows, _ = self._rows(ENGLISH)
        pieces, joined, _ = self._pieces(STYLES["plain"], rows, ENGLISH)
        return f"{opening}\n\n{joined.join(pieces)}\n\nThese are too close to the others.", [opening, *_texts(rows)]


def _said(words: Words) -> dict[str, str]:
    """The words of a language under the names that templates use."""
    return {
        "Task": words.task,
        "Example": words.example,
        "Input": words.input,
        "Output": words.output,
        "Label": words.label,
        "colon": words.colon,
        "tight": words.colon.rstrip(),
    }


def _texts(rows: Sequence[Row]) -> tuple[str, ...]:
    """The fields of rows that are long enough to be told from others: labels are not."""
    fields = [field for row in rows for field in ((row.input, row.output) if isinstance(row, Instance) else (row,))]
    return tuple(field for field in fields if isinstance(field, str) and len(field.split()) > 2)


def _pick(rng: random.Random, options: Sequence[_T]) -> _T:
    return options[rng.randrange(len(options))]
