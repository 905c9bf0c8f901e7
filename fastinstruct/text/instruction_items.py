"""One item of a list becomes an instruction: without its title, without what is said about it, or with a doubt.

Knows nothing of how items are found. `settle` looks at all items of a reply together, since only many alike make it
certain that "Poem: Write ..." has a title or that "(short)" is a remark. Takes any items, never raises, and takes time
linear in them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from unicodedata import category

from fastinstruct.records import RejectReason
from fastinstruct.text.annotations import (
    annotation_label,
    has_trailing_brackets,
    is_annotation,
    is_commentary,
    is_part_of_a_task,
    without_trailing_annotation,
)
from fastinstruct.text.inline_lists import is_divided
from fastinstruct.text.instruction_lists import Item, is_title
from fastinstruct.text.instruction_noise import is_closing_remark, is_worked_example
from fastinstruct.text.markup import collapsed, unwrapped
from fastinstruct.text.numbering import LABEL, trimmed, without_label
from fastinstruct.text.reply_lines import Line
from fastinstruct.text.string_markers import without_markers
from fastinstruct.text.task_words import begins_a_task, opens_a_task

__all__ = ["Settled", "settle"]

_COLONS = (":", "：")
_SENTENCE_ENDS = (".", "!", "?", "。", "！", "？", "…", "।", "؟")
_SEPARATORS = tuple(",;|，；、｜")
_WRAPPED_LINE = 60
_SHORT_LINE = 40  # characters: models that wrap their lines do so further right
_BOLD_TITLE = re.compile(
    r"(?P<mark>\*\*|__|\*|_)(?P<title>[^*_]{1,80}?)(?:[:：.] ?(?P=mark)|(?P=mark) ?(?:[:：]| [-–—]|[–—])|"
    r"(?P=mark)(?P<bare>)) ?(?=\S)"
)
_PLAIN_TITLE = re.compile(
    r"[\"“«`]?(?P<title>[^\s:：.!?。！？\"“”«»(（\[`*]{1,30}(?: [^\s:：.!?。！？\"“”«»(（\[`*]{1,30}){0,4})"
    r"[\"”»`]? ?(?:[:：]| [–—-]) ?(?=\S)"
)
_ENCLOSED = re.compile(
    r"(?:„(?=.*[“”]\Z)|‚(?=.*[‘’]\Z)|‹(?=.*›\Z)|»(?=.*«\Z)|›(?=.*‹\Z)|＂(?=.*＂\Z)|《(?=.*》\Z)|"
    r"<(?P<tag>b|strong|i|em|p|u|span|code|q)>(?=.*</(?P=tag)>\Z)) ?(?P<inner>.+?) ?(?:[^<>\w\s]|</\w{1,6}>)",
    re.IGNORECASE,
)
_LEADING_BRACKETS = re.compile(
    r"[*_]{0,2}[(（\[【][*_]{0,2}(?P<inner>[^()（）\[\]【】]{1,40})[*_]{0,2}[)）\]】][*_]{0,2} ?[:：–-]? ?(?=\S)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """An item's text, why it is not certain (None: it is), and the lines after it that nothing explains."""

    text: str
    doubt: RejectReason | None = None
    rest: tuple[str, ...] = ()


@dataclass(slots=True)
class _Draft:
    """An item on its way: what is left of its lines, in paragraphs."""

    item: Item
    paragraphs: list[list[Line]]
    doubt: RejectReason | None
    rest: list[str]
    text: str = ""


def settle(items: Sequence[Item], *, takes_paragraphs: bool) -> list[Settled]:
    """The items' texts, in order; items without a word have the text "".

    Args:
        items: all items of a reply.
        takes_paragraphs: whether a paragraph after an empty line may belong to an item, as it may in a chat's reply.
    """
    recurring = _recurring_labels(items)
    drafts = [_draft(item, recurring, is_last=item is items[-1]) for item in items]
    titled = _titles_stand_apart(drafts)
    for place, draft in enumerate(drafts):
        _choose_paragraphs(draft, titled=titled, takes=takes_paragraphs, is_last=place == len(drafts) - 1)
        draft.text = _joined(draft)
    _drop_separators(drafts)
    _drop_bullets(drafts)
    _drop_inline_titles(drafts)
    _drop_brackets(drafts)
    return [Settled(text=draft.text, doubt=draft.doubt, rest=tuple(draft.rest)) for draft in drafts]


def _recurring_labels(items: Sequence[Item]) -> frozenset[str]:
    """Labels of lines under most items that say something about the task, and do not belong to it."""
    if len(items) < 2:
        return frozenset()
    counts: Counter[str] = Counter()
    for item in items:
        counts.update({annotation_label(line.text) for line in item.lines[1:] if not _is_label(line)} - {""})
    common = (label for label, count in counts.items() if count > 1 and count * 3 >= len(items) * 2)
    return frozenset(label for label in common if not is_part_of_a_task(label))


def _draft(item: Item, recurring: frozenset[str], *, is_last: bool) -> _Draft:
    doubt = RejectReason.UNCERTAIN if item.is_doubtful else None
    paragraphs: list[list[Line]] = []
    is_first = bool(item.marker.rest)
    for lines in _without_remarks(item.paragraphs) if is_last else item.paragraphs:
        kept: list[Line] = []
        follows_annotation = False
        for line in lines:
            if is_first:
                kept.append(line)
                is_first = False
            elif is_worked_example(line.text):
                doubt = RejectReason.MARKER
            elif _is_label(line) and all(is_title(above.text) for above in (*chain(*paragraphs), *kept)):
                paragraphs, kept, follows_annotation = [], [line], False  # "Task: Write ..." below its title
            elif _is_about_the_task(line, recurring):
                follows_annotation = True
                continue
            else:
                if follows_annotation:  # a second line of the annotation, or of the task?
                    doubt = doubt or RejectReason.UNCERTAIN
                kept.append(line)
        if kept:
            paragraphs.append(kept)
    return _Draft(item=item, paragraphs=paragraphs, doubt=doubt, rest=[])


def _is_label(line: Line) -> bool:
    return bool(line.markers) and line.markers[0].style == LABEL


def _is_about_the_task(line: Line, recurring: frozenset[str]) -> bool:
    return is_annotation(line.text) or is_commentary(line.text) or annotation_label(line.text) in recurring


def _without_remarks(paragraphs: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """The last item's lines before a closing remark; its first line stays."""
    kept: list[list[Line]] = []
    is_first = True
    for lines in paragraphs:
        kept.append([])
        for line in lines:
            if not is_first and is_closing_remark(line.text):
                return kept
            is_first = False
            kept[-1].append(line)
    return kept


def _titles_stand_apart(drafts: Sequence[_Draft]) -> bool:
    """Whether the items' first lines are titles: all have more lines, and no first line is a sentence."""
    if len(drafts) < 2:
        return False
    with_more = [draft for draft in drafts if sum(map(len, draft.paragraphs)) > 1]
    return len(with_more) == len(drafts) and all(_has_title_line(draft) for draft in drafts)


def _has_title_line(draft: _Draft) -> bool:
    return is_title(_without_marks(draft.paragraphs[0][0].text))


def _choose_paragraphs(draft: _Draft, *, titled: bool, takes: bool, is_last: bool) -> None:
    """Drop a title that stands on its own line, and decide on paragraphs after the first."""
    if not draft.paragraphs:
        return
    first = draft.paragraphs[0][0]
    if sum(map(len, draft.paragraphs)) > 1:
        if takes and (titled or _is_title_of_its_own(draft)):
            del draft.paragraphs[0][0]
            draft.paragraphs = [lines for lines in draft.paragraphs if lines]
        elif first.is_heading and not titled:
            draft.doubt = draft.doubt or RejectReason.UNCERTAIN
    if len(draft.paragraphs) < 2:
        return
    later = [line for lines in draft.paragraphs[1:] for line in lines]
    if takes and all(line.indent > first.indent + 1 or line.markers for line in later):
        return  # indented under the item, or a list that it goes on with
    ended = draft.paragraphs[0][-1].text.endswith((*_SENTENCE_ENDS, ")", '"', "”", "*", "`"))
    if (takes and not (is_last and ended)) or draft.paragraphs[0][-1].text.endswith(_COLONS):
        draft.doubt = draft.doubt or RejectReason.UNCERTAIN
    draft.rest.extend(line.text for line in later)
    del draft.paragraphs[1:]


def _is_title_of_its_own(draft: _Draft) -> bool:
    """Whether an item's first line is set off as a title and a sentence follows it."""
    first = draft.paragraphs[0][0]
    second = [line for lines in draft.paragraphs for line in lines][1]
    is_set_off = first.is_heading or first.text.startswith(("**", "__"))
    return is_set_off and is_title(_without_marks(first.text)) and not second.markers and not second.text[0].islower()


def _without_marks(text: str) -> str:
    return text.strip("*_# ")


def _joined(draft: _Draft) -> str:
    """The lines as one; a doubt is left where two of them may not belong together."""
    lines = [line for paragraph in draft.paragraphs for line in paragraph]
    if not lines:
        return ""
    if draft.doubt is None and not _hang_together(lines):
        draft.doubt = RejectReason.UNCERTAIN
    return _tidied(" ".join(line.text for line in lines))


def _hang_together(lines: Sequence[Line]) -> bool:
    inner = [line for line in lines[1:] if line.markers]
    tasks = sum(begins_a_task(line.markers[0].rest) for line in inner)
    flush = [line for line in inner if line.indent <= lines[0].indent]
    if (
        flush
        and not any(line.text.endswith(_COLONS) for line in lines)
        and any(begins_a_task(line.markers[-1].rest) for line in flush)
    ):
        return False  # "- Write a song." below "9. Write a poem.", and no deeper
    if len(inner) > 1 and tasks == len(inner) and is_title(_without_marks(lines[0].text)):
        return False  # a heading with tasks under it
    for before, line in pairwise(lines):
        if line.is_doubtful or (before.is_heading and not before.text.endswith(_SENTENCE_ENDS)):
            return False
        is_labelled = annotation_label(line.text) and (not line.markers or _is_label(line))
        if is_labelled and not before.text.endswith(_COLONS):
            return False  # "Label: text" on a line of its own, whatever it is
        if line.markers or before.markers:
            continue
        is_flush = line.indent <= lines[0].indent
        if _breaks(before.text, line.text) and (is_flush or begins_a_task(line.text)):
            return False
        if is_flush and _begins_apart(before.text, line.text):
            return False
    return True


def _breaks(before: str, text: str) -> bool:
    """Whether a line seems to begin something new after one that is no sentence and was not wrapped for its length."""
    if not text[0].isalpha() or text[0].islower() or len(before) >= _SHORT_LINE:
        return False
    return not before.endswith((*_SENTENCE_ENDS, *_COLONS, ",", ";", "、", "，"))


def _begins_apart(before: str, text: str) -> bool:
    """Whether a line begins a sentence of its own after a line that ended one, and was not wrapped for its length."""
    return (
        before.endswith(_SENTENCE_ENDS)
        and len(before) < _WRAPPED_LINE
        and not text[0].islower()
        and not text[0].isdigit()
    )


def _tidied(text: str) -> str:
    """One line, without what encloses it and without a label that follows its number."""
    text = trimmed(collapsed(text))
    return _unenclosed(without_label(_unenclosed(text)))


def _unenclosed(text: str) -> str:
    if text[:1].isalnum():  # as mostly; marks, quotes and tags are none
        return collapsed(text)
    if _BOLD_TITLE.match(text):
        return text
    found = _ENCLOSED.fullmatch(text)
    if found and not any(sign in found["inner"] for sign in (text[0], text[-1], f"</{found['tag']}>")):
        text = found["inner"]
    return collapsed(unwrapped(text))


def _drop_separators(drafts: Sequence[_Draft]) -> None:
    """Take a comma or semicolon off the items' ends where all but the last have it: it stands between items."""
    texts = [draft.text for draft in drafts if draft.text]
    sign = texts[0][-1] if len(texts) > 1 else ""
    if sign and (sign in _SEPARATORS or category(sign) == "So") and all(text.endswith(sign) for text in texts[:-1]):
        for draft in drafts:
            draft.text = draft.text.rstrip(f"{sign} ")


def _drop_bullets(drafts: Sequence[_Draft]) -> None:
    """Take a second marker ("9. - Write", "9. \N{WATER WAVE} Write") off where all items have one."""
    told = [draft for draft in drafts if draft.text]
    for draft, text in zip(told, without_markers([draft.text for draft in told]), strict=True):
        draft.text = text


# -------------------------------------------------------------------------------------------------------- inline titles


def _drop_inline_titles(drafts: Sequence[_Draft]) -> None:
    """Take "**Haiku:**" and, where most items have one, "Poem:" off the items' beginnings."""
    bold = [_BOLD_TITLE.match(draft.text) for draft in drafts]
    are_common = _are_most([found is not None and found["bare"] is None for found in bold])
    plain = [_PLAIN_TITLE.match(draft.text) for draft in drafts]
    for place, (draft, found) in enumerate(zip(drafts, plain, strict=True)):
        if found and not _may_be_title(found["title"], draft.text[found.end() :]):
            plain[place] = None
    have_plain = _are_most([found is not None for found in plain])
    for draft, bold_one, plain_one in zip(drafts, bold, plain, strict=True):
        if bold_one is not None:
            _drop_bold_title(draft, bold_one, are_common=are_common)
        elif plain_one is not None and have_plain:
            draft.text = _tidied(draft.text[plain_one.end() :])


def _are_most(flags: Sequence[bool]) -> bool:
    """Whether two thirds of the items have something, and it is more than one."""
    return len(flags) > 1 and sum(flags) * 3 >= len(flags) * 2


def _may_be_title(title: str, rest: str) -> bool:
    """Whether words before a colon name the task that follows: "Haiku: Write ...", not "Translate: The cat sleeps."."""
    if rest[0].islower() or (rest.isascii() and " " not in rest):
        return False
    if not opens_a_task(title):
        return True
    return " " not in title and opens_a_task(rest) and not rest.endswith(("?", "？"))


def _drop_bold_title(draft: _Draft, found: re.Match[str], *, are_common: bool) -> None:
    rest = draft.text[found.end() :]
    is_sentence = found[0].rstrip().rstrip("*_").endswith(".") and opens_a_task(found["title"])
    if found["bare"] is None and not is_sentence and _may_be_title(found["title"], rest):
        draft.text = _tidied(rest)
        return
    # What is bold may begin the task itself, as in "**Write a poem** about the sea" or "**Translate:** The cat sleeps."
    draft.text = _tidied(unwrapped(draft.text))
    if found["bare"] is None and not is_sentence and are_common:
        draft.doubt = draft.doubt or RejectReason.UNCERTAIN


def _drop_brackets(drafts: Sequence[_Draft]) -> None:
    """Take remarks in brackets off the items' ends and beginnings."""
    are_common = _are_most([has_trailing_brackets(draft.text) for draft in drafts])
    leading = [_LEADING_BRACKETS.match(draft.text) for draft in drafts]
    many_lead = _are_most([found is not None for found in leading])
    for draft, found in zip(drafts, leading, strict=True):
        draft.text = without_trailing_annotation(draft.text, is_common=are_common)
        if found and (many_lead or is_annotation(found["inner"])):
            draft.text = _tidied(draft.text[found.end() :])
        if draft.doubt is None and is_divided(draft.text):
            draft.doubt = RejectReason.UNCERTAIN
