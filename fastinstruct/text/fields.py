"""One field of an instance, freed of what stands around it, or the reason why that is not certain.

Knows nothing of markers between fields. Guarantees that what it returns, but for white space, is a piece of the field;
what it takes off is certain: rules and fences around all of it, a preamble or a closing remark in a paragraph of its
own. Quotes and bold around all of a field are a habit of the whole reply, or content: `unwrapped_alike` looks at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fastinstruct.records import Instance, RejectReason
from fastinstruct.text.layout import fence_sizes
from fastinstruct.text.marker_names import Kind
from fastinstruct.text.markers import read_marker
from fastinstruct.text.markup import ends_alike, inner, without_rules
from fastinstruct.text.remarks import (
    annotates,
    ends_a_reply,
    is_announcement,
    is_closing_remark,
    is_introduction,
    is_letter,
    is_opener,
    is_sure_line,
    may_be_closing_remark,
    thinks_aloud,
)

__all__ = [
    "cleaned_field",
    "said_fault",
    "unwrapped_alike",
    "without_fence",
    "without_lone_inputs",
    "without_preamble",
    "without_tag",
    "without_tail",
]

_LIST_NUMBER = re.compile(r"(?P<number>\d{1,2})(?P<sign>[.)、])[ \t]+\S")
_LONE_NUMBER = re.compile(r"\(?\d{1,3}[.):、]\)?")
_TAGGED = re.compile(
    r"<(?P<tag>input|output|answer|response|result|example|text)>(?P<inside>.+)</(?P=tag)>", re.IGNORECASE | re.DOTALL
)
_ABOUT_TAGS = re.compile(
    r"\b(?:html|xml|markup|tags?|sgml|brackets?)\b|标签|タグ|태그|тег|balise|etiqueta", re.IGNORECASE
)
_THOUGHT = re.compile(
    r"(?:<(?:think|thinking|thought|reasoning|seed:think|scratchpad|analysis|reflection)>|\[THINK\]|◁think▷|"
    r"<\|channel\|>|<\|start\|>assistant)|"
    r"[^<\[◁\n]{0,400}\n?(?:</(?:think|thinking|thought|reasoning|seed:think|scratchpad|analysis|reflection)>|"
    r"\[/THINK\]|◁/think▷)",
    re.IGNORECASE,
)
_THOUGHT_SIGNS = frozenset("<[◁")
_BRACKETED_NUMBER = re.compile(r"[\[【]\d{1,2}[\]】]")
_HEADING = re.compile(r"[ ]{0,3}\#{1,6}[ \t]+\S")
_CODE_END = re.compile(r"[;{}()\[\]=,:]\s*$|^\s*(?:import|from|def|class|print|return|for|if)\b|[=(]")
_SENTENCE_END = re.compile(r"[.!?。！？]['\"”]?\s+")
_QUOTING = re.compile(
    r"quot|\bbold|italic|backtick|markdown|\bstring|\bjson|asterisk|anführung|fett|guillemet|comillas|negrita|"
    r"aspas|negrito|virgolett|"
    r"кавыч|引号|加粗|引用符|かぎ括弧|따옴표|اقتباس|उद्धरण",
    re.IGNORECASE,
)


def cleaned_field(
    text: str, *, is_output: bool, instruction: str, is_labelled: bool = False
) -> tuple[str, RejectReason | None]:
    """A field without what a model puts around it, and what makes its borders uncertain, if anything does.

    `is_labelled` says that it is a text beside a label.
    """
    text, reason = without_tail(without_rules(text), instruction, is_answer=is_output or is_labelled)
    if is_labelled:
        reason = reason or _labelled_fault(text)
    if is_output:
        text = without_preamble(text)
    text = _without_quote_sign(without_tag(text, instruction), instruction)
    if not _is_balanced(text) or (text.startswith(">") and not _QUOTING.search(instruction)):
        return text, reason or RejectReason.UNCERTAIN
    bare = without_fence(text)
    if bare != text:  # what stands inside is certain, whatever it looks like
        return bare, reason
    reason = reason or said_fault(text, instruction, is_output=is_output, is_labelled=is_labelled)
    return text, reason or _border_fault(text, is_output=is_output)


def said_fault(text: str, instruction: str, *, is_output: bool, is_labelled: bool = False) -> RejectReason | None:
    """What a model says in a field beside it: a thought before it, a reason after it."""
    if not _THOUGHT_SIGNS.isdisjoint(text) and _THOUGHT.match(text):
        return RejectReason.UNCERTAIN
    if is_output or is_labelled:
        is_annotated = annotates(f"\n{text}" if is_labelled else text, instruction)
    else:
        is_annotated = thinks_aloud(text, instruction)
    return RejectReason.REMARK if is_annotated else None


def _labelled_fault(text: str) -> RejectReason | None:
    """What is wrong with the first line of a text beside a label."""
    if _is_announced(text):
        return RejectReason.REMARK
    first, newline, _ = text.partition("\n")
    return RejectReason.MARKER if newline and _BRACKETED_NUMBER.fullmatch(first.strip()) else None


def without_tag(text: str, instruction: str) -> str:
    """The text without a tag around all of it that only says what it is ("<output>...</output>")."""
    found = _TAGGED.fullmatch(text) if text.startswith("<") else None
    if found is None or _ABOUT_TAGS.search(instruction) or f"<{found['tag']}>" in found["inside"]:
        return text
    return found["inside"].strip()


def _without_quote_sign(text: str, instruction: str) -> str:
    """A text of one line without the sign of a quotation before it; further lines would be uncertain."""
    is_quoted = text.startswith((">\t", "> ")) and "\n" not in text and not _QUOTING.search(instruction)
    return text[1:].strip() if is_quoted else text


def without_tail(text: str, instruction: str, *, is_answer: bool) -> tuple[str, RejectReason | None]:
    """The text without closing remarks in paragraphs of their own, and whether it seems to end with another one.

    A letter keeps what ends it, for it speaks to somebody as models do to their users.
    """
    for _ in range(3):
        head, last = _split_last(text)
        if not head or not ends_a_reply(last.strip(), text, instruction):
            break
        text = without_rules(head)
    head, last = _split_last(text)
    if is_answer and head and may_be_closing_remark(last) and not is_letter(text, instruction):
        return text, RejectReason.REMARK
    line = last.rpartition("\n")[2].strip()
    sentence = _SENTENCE_END.split(line[-400:])[-1]
    is_remark = any(ends_a_reply(said, text, instruction) for said in {line, sentence})
    return text, RejectReason.REMARK if is_remark else None


def _is_announced(text: str) -> bool:
    """Whether a text begins with a paragraph that announces it."""
    first, _, rest = text.partition("\n")
    is_apart = bool(rest) and (not rest.split("\n", 1)[0].strip() or first.rstrip().endswith((":", "：")))
    return (is_apart and is_introduction(first)) or (bool(rest) and is_closing_remark(first))


def _split_last(text: str) -> tuple[str, str]:
    """The text before its last paragraph, and the last paragraph."""
    end = len(text)
    while True:
        end = text.rfind("\n", 0, end)
        if end < 0:
            return "", text
        before = text.rfind("\n", 0, end)
        if not text[before + 1 : end].strip():
            return text[: max(before, 0)].rstrip(), text[end + 1 :]


def without_preamble(text: str) -> str:
    """An answer without a first line that only announces it ("Sure! Here is a poem:")."""
    first, _, rest = text.partition("\n")
    return rest.strip("\n") if rest.strip() and (is_sure_line(first) or is_announcement(first)) else text


def _is_balanced(text: str) -> bool:
    """Whether every fence in a text is closed."""
    return ("```" not in text and "~~~" not in text) or _closing_lines(text)[1]


def _closing_lines(text: str) -> tuple[list[int], bool]:
    """The numbers of the lines that close a fence, and whether none stays open."""
    opened: tuple[str, int] | None = None
    closing = []
    for number, line in enumerate(text.split("\n")):
        sizes = fence_sizes(line)
        if sizes is None:
            continue
        if opened is None:
            opened = sizes[:2]
        elif sizes[0] == opened[0] and sizes[1] >= opened[1] and not sizes[2]:
            opened = None
            closing.append(number)
    return closing, opened is None


def without_fence(text: str) -> str:
    """The text without a fence around all of it."""
    if not text.startswith(("`", "~", " ")):
        return text
    lines = text.split("\n")
    closing, _ = _closing_lines(text)
    is_whole = len(lines) > 1 and fence_sizes(lines[0]) is not None and closing == [len(lines) - 1]
    return "\n".join(lines[1:-1]).strip("\n").rstrip() if is_whole else text


def _border_fault(text: str, *, is_output: bool) -> RejectReason | None:
    """What the first or last line says against a field's borders."""
    first, last = text.partition("\n")[0].strip(), text.rpartition("\n")[2]
    marker = read_marker(first)
    if marker is not None and _is_foreign(marker.kind, is_alone=not marker.rest):
        return RejectReason.MARKER
    if (is_output and is_sure_line(first)) or ("\n" in text and is_opener(last)):
        return RejectReason.REMARK
    if _LONE_NUMBER.fullmatch(last.strip()) and "\n" in text:
        return RejectReason.MARKER
    if _HEADING.match(last) and not _is_comment(text):
        return RejectReason.MARKER
    return RejectReason.MARKER if _begins_lone_item(text) or _ends_with_lone_item(text) else None


def _is_foreign(kind: Kind, *, is_alone: bool) -> bool:
    if kind is Kind.EXAMPLE:
        return is_alone
    return kind in {Kind.INPUT, Kind.OUTPUT, Kind.ANSWER, Kind.LABEL, Kind.ROLE}


def _is_comment(text: str) -> bool:
    """Whether the last line, which begins with #, comments code above it."""
    before = text.rstrip().rpartition("\n")[0].rstrip().rpartition("\n")[2]
    return bool(before) and not _HEADING.match(before) and _CODE_END.search(before) is not None


def _ends_with_lone_item(text: str) -> bool:
    """Whether the last line is an item of a list that has no item before it: the next task, mostly."""
    before, _, last = text.rpartition("\n")
    item = _LIST_NUMBER.match(last.strip())
    if item is None or not before or int(item["number"]) < 2:
        return False
    return re.search(rf"(?<!\d){int(item['number']) - 1}\**\s?[.)、:]", before) is None


def _begins_lone_item(text: str) -> bool:
    """Whether a text begins with a list's number, and no such list follows."""
    item = _LIST_NUMBER.match(text)
    if item is None:
        return False
    following = re.compile(rf"(?:^|\s)\(?{int(item['number']) + 1}[.)、](?:\s|$)")
    return following.search(text, item.end() - 1) is None


def without_lone_inputs(
    read: Sequence[tuple[Instance, RejectReason | None]], are_doubtful: Sequence[bool]
) -> list[tuple[Instance, RejectReason | None]]:
    """The instances of one reply; where some have an input, those without one are uncertain if `are_doubtful`.

    "None" beside other inputs may be a value, and a label without its text is none.
    """
    has_inputs = any(instance.input for instance, reason in read if reason is None)
    if not has_inputs:
        return list(read)
    return [
        (instance, reason or (RejectReason.UNCERTAIN if is_doubtful and not instance.input else None))
        for (instance, reason), is_doubtful in zip(read, are_doubtful, strict=True)
    ]


def unwrapped_alike(fields: Sequence[str], instruction: str) -> tuple[list[str], list[bool]]:
    """Fields of one kind without the quotes or bold around all of each, and for each whether it is certain.

    Where only some of a reply's are wrapped, nobody knows whether the wrapping is content. A task about quotes keeps
    them.
    """
    filled = [field for field in fields if field]
    bare = [inner(field) for field in filled]
    ends = {ends_alike(field) for field in filled}
    if not (any(bare) or ends - {""}) or _QUOTING.search(instruction):
        return list(fields), [True] * len(fields)
    if all(bare):
        return [inner(field) or field for field in fields], [True] * len(fields)
    if any(bare) and len(ends) == 1 and ends != {""}:  # one of them holds such a quote itself, as code does
        return [field[1:-1].strip() if field else field for field in fields], [True] * len(fields)
    return list(fields), [inner(field) is None and not ends_alike(field) for field in fields]
