"""Instructions out of a reply to the prompt of stage 1.

Knows nothing of runs. `parse_instructions` takes any text, never raises, and takes time linear in its length.

What is kept has certain borders: a marker or the reply's end on either side, and nothing in it that looks like a
marker, a heading, a role, a worked example, a hole or a remark. What is recognised as an item and is not certain is
rejected with its reason; what is no item is the rest. A reply without any marker holds instructions only if each of its
lines reads as a task: an answer, an excuse or a draft does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import dropwhile

from fastinstruct.records import Api, FinishReason, RejectReason
from fastinstruct.text.annotations import begins_like_english
from fastinstruct.text.inline_lists import by_dividers, holds_a_task
from fastinstruct.text.instruction_drafts import answer_lines, begins_as_an_idea, without_thinking
from fastinstruct.text.instruction_items import Settled, settle
from fastinstruct.text.instruction_lists import Item, descended, is_title, list_items, list_style
from fastinstruct.text.instruction_noise import instruction_fault, is_closing_remark, is_introduction
from fastinstruct.text.markup import cleaned, collapsed
from fastinstruct.text.numbering import DECIMAL, Marker, markers_of
from fastinstruct.text.parsed import Parsed
from fastinstruct.text.refusals import is_refusal
from fastinstruct.text.reply_lines import Line, read_lines
from fastinstruct.text.string_markers import without_markers
from fastinstruct.text.structured import is_json_like, read_tasks
from fastinstruct.text.task_words import begins_a_task

__all__ = ["parse_instructions", "refined"]

# What is read of a reply: a list of fifty tasks of 150 words is 50,000 characters. What lies beyond is the rest.
_MAX_CHARACTERS = 100_000
_MAX_LINES = 4_000
_MAX_SHOWN = 60  # characters of a reply that a message shows
_COLONS = (":", "：")
_ENDS = (".", "!", "?", "。", "！", "？", "…", "।", "؟", '"', "”", ")", "」", "`", "*")
# A special token that ends a line ends the turn; in the middle of a line it's content, or a reason to reject the item.
_END_OF_TURN = re.compile(
    r"(?:<\|(?:endoftext|im_end|eot_id|eom_id|end_of_text|end|return)\|>|<end_of_turn>|<｜end▁of▁sentence｜>|"
    r"</s>)[ \t]*(?=\n|<[|s]|\Z)"
)
_QUOTED_REPLY = re.compile(r'\s*"(?P<inner>[^"\n]*)"\s*')  # a string of JSON, its line breaks written as \\n
_TORN_WORD = re.compile(
    r"(?:^| )(?:to|the|of|and|or|an?|und|oder|der|die|das|den|dem|et|ou|de|du|des|la|les?|el|los|las|y|o|e|di|il|и|"
    r"или|в)\Z"
)
_Judged = list[tuple[str, RejectReason | None]]


def parse_instructions(
    text: str, *, api: Api, first_number: int, max_items: int, finish_reason: FinishReason
) -> Parsed[str]:
    """Read the instructions in a reply, in order, as the model wrote them but for white space, markers and markup.

    Args:
        text: the reply; a completion starts inside item `first_number`.
        api: the route the prompt was written for; chat replies may have preambles, remarks and any list format.
        first_number: the number after the last in-context instruction.
        max_items: items beyond that many are surplus (the reference stops before item 16).
        finish_reason: `LENGTH` makes the last item a torn one; the reference drops the whole reply.

    Source: arXiv:2212.10560, section 2.2 and appendix A.1.
    """
    said, thought = without_thinking(cleaned(text))
    told, beyond, is_whole = _divided(said)
    is_torn = not is_whole and (finish_reason is FinishReason.LENGTH or bool(beyond))
    if api is Api.CHAT and is_json_like(told):
        parsed = refined(read_tasks(told, max_items=max_items, is_torn=is_torn))
        return replace(parsed, rest="\n".join(filter(None, [thought.strip(), parsed.rest])))
    judged, rest = _read(told, api, first_number, is_torn=is_torn)
    kept = [item for item, reason in judged[: max(max_items, 0)] if reason is None]
    rejected = [(item, reason) for item, reason in judged[: max(max_items, 0)] if reason is not None]
    rejected += [(item, RejectReason.SURPLUS) for item, _ in judged[max(max_items, 0) :]]
    left = "\n".join(filter(None, [thought.strip(), *rest, beyond]))
    return Parsed(kept=tuple(kept), rejected=tuple(rejected), rest=left, stumbled_over=_stumbled(judged, left, text))


def refined(parsed: Parsed[str]) -> Parsed[str]:
    """The same for tasks read as JSON: titles and remarks taken off, what is no clean instruction rejected."""
    settled = _settled_strings(without_markers(parsed.kept))
    judged = [(item.text, item.doubt or _fault(item.text)) for item in settled]
    return replace(
        parsed,
        kept=tuple(text for text, reason in judged if reason is None),
        rejected=(*((text, reason) for text, reason in judged if reason is not None), *parsed.rejected),
    )


def _settled_strings(texts: Iterable[str]) -> list[Settled]:
    markers = (Marker(style="string", number=0, rest=text) for text in texts)
    return settle([Item(marker, [[Line(text=marker.rest)]]) for marker in markers], takes_paragraphs=True)


def _divided(text: str) -> tuple[str, str, bool]:
    """What is read of a reply, what lies beyond, and whether the first is whole since a token ends the turn there."""
    if "\\n" in text and (whole := _QUOTED_REPLY.fullmatch(text)):
        text = whole["inner"]
    lines = text.split("\n", _MAX_LINES)
    length = min(_MAX_CHARACTERS, len(text) - (len(lines[-1]) if len(lines) > _MAX_LINES else 0))
    ended = _END_OF_TURN.search(text, 0, length)
    if ended:
        return text[: ended.start()], text[ended.end() :], True
    return text[:length], text[length:], False


def _read(text: str, api: Api, first_number: int, *, is_torn: bool) -> tuple[_Judged, list[str]]:
    """The items, each with what speaks against it, and the lines that nothing explains."""
    is_opened = api is Api.COMPLETIONS and not _restates(text, first_number)
    lines = read_lines(text, first_number=first_number, is_opened=is_opened)
    rest: list[str] = []
    if api is Api.CHAT:
        lines, rest = answer_lines(lines, first_number)
    if api is Api.CHAT and _continues_the_prompt(lines, first_number):
        lines = list(dropwhile(_is_preface, lines))
        is_opened = True
    style = DECIMAL if is_opened else list_style(lines, first_number)
    if style is None:
        judged, left = _unmarked(lines, is_torn=is_torn)
        return judged, rest + left
    listed = list_items(lines, style, first_number, is_opened=is_opened)
    if api is Api.CHAT:
        listed = descended(listed, first_number)
    settled = settle(listed.items, takes_paragraphs=api is Api.CHAT)
    rest += listed.rest
    for item in settled:
        rest.extend(item.rest)
    judged = _judged(settled, is_torn=is_torn, is_closed=bool(listed.rest))
    is_doubtful = listed.follows_question or listed.is_inner or listed.is_repeated
    if api is Api.CHAT and (is_doubtful or _are_statements([text for text, _ in judged])):
        judged = [(text, reason or RejectReason.UNCERTAIN) for text, reason in judged]
    return judged, rest


def _are_statements(texts: Sequence[str]) -> bool:
    """Whether the items of a list are no tasks but, say, answers: none begins as a task, and that can be told."""
    return len(texts) > 1 and all(begins_like_english(text) and not begins_a_task(text) for text in texts)


def _judged(settled: Sequence[Settled], *, is_torn: bool, is_closed: bool) -> _Judged:
    judged = [(item.text, item.doubt or _fault(item.text)) for item in settled]
    if judged and judged[-1][0] and (is_torn or (not is_closed and _breaks_off([text for text, _ in judged]))):
        judged[-1] = (judged[-1][0], RejectReason.TRUNCATED)
    return [(text, reason) for text, reason in judged if text]


def _fault(text: str) -> RejectReason | None:
    return RejectReason.UNCERTAIN if begins_as_an_idea(text) else instruction_fault(text)


def _breaks_off(texts: Sequence[str]) -> bool:
    """Whether the last item ends with a word that ends no sentence, or without an end, though all others have one."""
    *others, last = texts
    if _TORN_WORD.search(last[-10:]):
        return True
    return len(others) > 1 and all(text.endswith(_ENDS) for text in others) and last[-1].isalnum()


def _restates(text: str, first_number: int) -> bool:
    """Whether the reply writes the number again that the prompt ended with."""
    first = collapsed(next((line for line in text.split("\n") if line.strip()), ""))
    return any(marker.style == DECIMAL and marker.number == first_number for marker in markers_of(first))


def _continues_the_prompt(lines: Sequence[Line], first_number: int) -> bool:
    """Whether a chat reply goes on as a completion does: item 9 without its number, then "10."."""
    before: list[Line] = []
    for line in lines:
        if line.markers:
            marker = line.of(DECIMAL)
            told = [earlier for earlier in dropwhile(_is_preface, before) if earlier.text]
            follows = marker is not None and marker.number == first_number + 1 and first_number > 1
            return follows and len(told) > 0 and begins_a_task(told[0].text)
        before.append(line)
    return False


def _is_preface(line: Line) -> bool:
    return not line.text or line.text.endswith(_COLONS) or is_introduction(line.text)


# --------------------------------------------------------------------------------------------- replies without a marker


def _unmarked(lines: Sequence[Line], *, is_torn: bool) -> tuple[_Judged, list[str]]:
    """The items of a reply without markers: its lines, if each reads as a task; else all of it is the rest."""
    texts = [line.text for line in lines if any(map(str.isalnum, line.text)) and not line.is_fence]
    if texts and is_refusal(texts[0]):
        return [(" ".join(texts), RejectReason.REFUSAL)], []
    told = _without_what_is_said_around(texts)
    if len(told) == 1:
        told = by_dividers(told[0])
    settled = _settled_strings(text.rstrip(",") if text.startswith('"') else text for text in told)
    if not told or not _are_tasks(told, [item.text for item in settled]):
        return [], texts
    return _judged(settled, is_torn=is_torn, is_closed=False), []


def _are_tasks(lines: Sequence[str], texts: Sequence[str]) -> bool:
    """Whether lines without markers are tasks: each reads as one, or most do and all have a title and an end."""
    num_tasks = sum(map(begins_a_task, texts))
    if num_tasks == len(texts):
        return True
    are_titled = all(line.startswith("**") and line != text for line, text in zip(lines, texts, strict=True))
    return are_titled and num_tasks * 2 > len(texts) > 2 and all(text.endswith(_ENDS) for text in texts)


def _without_what_is_said_around(texts: Sequence[str]) -> list[str]:
    if len(texts) < 2:
        return list(texts)
    start, end = 0, len(texts)
    while start < end and not holds_a_task(texts[start]) and _is_said_before(texts[start]):
        start += 1
    while end > start and is_closing_remark(texts[end - 1]):
        end -= 1
    return [text for text in texts[start:end] if not text.endswith(_COLONS) and not _is_title_line(text)]


def _is_said_before(text: str) -> bool:
    return is_introduction(text) or text.endswith(_COLONS)


def _is_title_line(text: str) -> bool:
    return text.startswith("#") or (text.startswith(("**", "__")) and text.endswith(text[:2]) and is_title(text))


# ----------------------------------------------------------------------------------------------------- what went wrong


def _stumbled(judged: _Judged, rest: str, text: str) -> str:
    """What kept the reply, or a part of it, from being read; "" if nothing did."""
    if not judged:
        shown = rest.strip() or text.strip()
        if not any(map(str.isalnum, shown)):
            return "no words" if not shown else f'no words, only "{shown[:_MAX_SHOWN]}"'
        return f'no list, and lines that do not read as tasks: "{shown[:_MAX_SHOWN]}"'
    return f'lines that belong to no item: "{rest.strip()[:_MAX_SHOWN]}"' if rest.strip() else ""
