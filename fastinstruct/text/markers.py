"""One line of a reply: is it a marker, and of what.

Knows nothing of what stands around the line, so nothing of whether a marker is one or content that looks like it.
Takes time linear in the line's length.

Around a name may stand up to three spaces, a bullet or list number, a heading's signs, bold, italics, code marks or
brackets, a number, words in parentheses and any colon: `- **Input 2 (text):** ...`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from fastinstruct.text.marker_names import FORMAT_CHARACTERS, Kind, MarkerNames, folded_name, packaged_marker_names

__all__ = ["Marker", "read_marker", "read_markers"]

_MAX_HEAD = 80  # characters up to the colon; a longer one is a sentence
_MAX_TITLE_LINE = 160
_PREFIX = re.compile(
    rf"[ {FORMAT_CHARACTERS}]{{0,3}}(?:>[ ]?)?[{FORMAT_CHARACTERS}]{{0,3}}"
    r"(?P<lead>[-*+•–—·▪►➤→✅✔📥📤💬🔹🔸◆■●➡]\ufe0f?[ \t]+|(?:={2,6}|-{2,6}|\*{3,6}|~{2,6})[ \t]+|"
    r"\(?\d{1,2}[.)、][ \t]*)?"
    r"(?P<hashes>\#{1,6}[ \t]*)?"
    rf"(?P<mark>[*_`\[【「]{{0,4}})(?P<number>\d{{1,2}}[.)、][ \t]*)?[{FORMAT_CHARACTERS}]{{0,3}}"
)
_ESCAPED = re.compile(r"\A(?P<number>\W{0,6}[^\W\d]{0,20}\W{0,3}\d{1,3})\\(?P<sign>[.):])")
_COLON = re.compile(r"[:：︰]")
_AFTER_HEAD = re.compile(r"[:：︰.)\-–—|(\[【/]")
_CLOSED_BRACKET = re.compile(r"[\]】」][*_`]{0,3}[:：]?")
_CLOSERS = "*_`]】」"
_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_ROMANS = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x")
_CJK = "一二三四五六七八九十"
_CIRCLED = "①②③④⑤⑥⑦⑧⑨⑩"
_VALUES = {
    **{text: number for texts in (_WORDS, _ORDINALS, _ROMANS, _CJK, _CIRCLED) for number, text in enumerate(texts, 1)},
    **{letter: number for number, letter in enumerate("abcdefgh", 1)},
}
_COUNTED = "|".join(sorted((*_WORDS, *_ORDINALS, *_ROMANS, *"abcdefgh"), key=len, reverse=True))
_NUMBER = (
    r"(?:(?:\#|no\.|nr\.?|n[°º]|№)\s*)?"
    rf"(?P<open>[(\[])?(?P<number>\d{{1,3}}|[{_CJK}{_CIRCLED}]|(?:{_COUNTED})(?![^\W_]))(?(open)[)\]])"
)
_ORDINAL = rf"(?:第?(?P<ordinal>{'|'.join(_ORDINALS)}|[{_CJK}]|\d{{1,2}})(?:\.|st\b|nd\b|rd\b|th\b|個|个|番目の|번째)?)"
_NUMBERED = re.compile(rf"(?P<name>\D*?[^\W\d_])\s*{_NUMBER}")
_PARENTHESIS = re.compile(r"(?<!\s)\s*+[(（][^()（）]*+[)）]\s*+$")
_WORD = re.compile(r"[^\W\d_]+|[①-⑩]|\d(?=\w*\s?[^\W\d_])")
_MAX_NUMBER_LINE = 40
_MAX_KEPT_LINE = 200
_LONE_NUMBER = re.compile(
    rf"[{FORMAT_CHARACTERS} ]{{0,3}}(?P<hashes>\#{{1,6}}[ ]*)?(?P<mark>[*_]{{0,3}})\#?\(?"
    rf"(?P<number>\d{{1,2}})(?P<dot>[.):、]{{0,2}})"
    r"[*_]{0,3}[ ]*"
)

# "### 1. Cats", "**2. Dogs**", "3. **Birds**": a whole line, set off as a title.
_TITLED_NUMBER = re.compile(
    r"(?:(?P<hashes>\#{1,6})[ ]+(?P<bold>\*\*)?|(?P<mark>\*\*)?)(?P<number>\d{1,2})(?P<dot>[.):])"
    r"(?(hashes)[ ]+|(?(mark)[ ]+|[ ]+(?P<late>\*\*)))(?P<title>[^*\n]{1,80})(?(bold)\*\*|(?(mark)\*\*|(?(late)\*\*)))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """What a line says it begins.

    Attributes:
        kind, name: what it is, and its folded name ("" for a number that stands alone, which may begin an example).
        number: the number beside the name; None without one.
        rest: what stands after it on its line: a field's first line, or an example's title.
        dress: what stands around the name, so that markers can be held against one another.
        is_weak: whether it is a bare name, without a colon, bold or a heading's signs.
    """

    kind: Kind
    name: str
    number: int | None
    rest: str
    dress: str
    is_weak: bool = False

    @property
    def full_dress(self) -> tuple[str, str]:
        """The dress with the name."""
        return self.name, self.dress

    def is_plainer_than(self, other: Marker) -> bool:
        """Whether it is written with less than another, or as a comment in code, or in lower case."""
        if self.dress == other.dress:
            return False
        mine, others = (len(dress.strip("Aa:")) for dress in (self.dress, other.dress))
        is_comment = self.dress.startswith("#") and not self.dress.startswith("##")
        is_lower = mine == others and self.dress[-2:] == "a:" and "A" in other.dress
        return mine < others or is_comment or is_lower or self.is_weak


def read_markers(line: str, names: MarkerNames | None = None) -> tuple[Marker, ...]:
    """The markers that a line begins with: none, one, or an example's and a field's ("Example 1: Input: ...")."""
    if len(line) > _MAX_KEPT_LINE:
        return _read_markers(line, names)
    return _read_short(line, names)


@lru_cache(maxsize=4096)  # replies repeat their markers, hostile ones all their lines
def _read_short(line: str, names: MarkerNames | None) -> tuple[Marker, ...]:
    return _read_markers(line, names)


def _read_markers(line: str, names: MarkerNames | None) -> tuple[Marker, ...]:
    first = read_marker(line, names)
    if first is None:
        return ()
    if first.kind is not Kind.EXAMPLE or not first.rest:
        return (first,)
    second = read_marker(first.rest, names)
    if second is None or second.kind in {Kind.EXAMPLE, Kind.ROLE} or second.is_weak:
        return (first,)
    return (first, second)


def read_marker(line: str, names: MarkerNames | None = None) -> Marker | None:
    """What the line begins, or None."""
    if "\\" in line[:_MAX_HEAD]:
        line = _ESCAPED.sub(r"\g<number>\g<sign>", line, count=1)
    if len(line) > _MAX_TITLE_LINE and not _COLON.search(line, 0, _MAX_HEAD + 20):
        return None
    prefix = _PREFIX.match(line)
    if prefix is None or prefix.end() == len(line):
        return _lone_number(line)
    names = names or packaged_marker_names()
    word = _WORD.match(line, prefix.end())
    if word is None:
        return _lone_number(line)
    is_whole = line[word.end() : word.end() + 1] < "\u0300"  # no accent of its own follows
    if is_whole and not _may_be_name(word[0], names):
        return _lone_number(line)
    example = _example(line, prefix, names) if not is_whole or _may_be_example(word[0], names) else None
    return example or _field(line, prefix, names) or _lone_number(line)


def _may_be_name(word: str, names: MarkerNames) -> bool:
    """Whether a name may begin with this word: a look that spares most lines a closer one."""
    if word.isdecimal():  # "1st example"
        return True
    if word.isascii():
        return word.lower() in _first_words(names)
    return folded_name(word[0])[:1] in _first_letters(names)


def _may_be_example(word: str, names: MarkerNames) -> bool:
    return not word.isascii() or word.isdecimal() or word.lower() in _example_words(names)


@cache
def _example_words(names: MarkerNames) -> frozenset[str]:
    return frozenset(name.split()[0] for name in names.of(Kind.EXAMPLE)) | set(_ORDINALS)


@cache
def _first_words(names: MarkerNames) -> frozenset[str]:
    return frozenset(name.split()[0] for name in names.kinds) | set(_ORDINALS)


@cache
def _first_letters(names: MarkerNames) -> frozenset[str]:
    return frozenset(name[0] for name in names.kinds) | {"第", *_CJK}


@cache
def _example_pattern(names: MarkerNames) -> re.Pattern[str]:
    named = "|".join(map(re.escape, names.of(Kind.EXAMPLE)))
    return re.compile(rf"(?:{_ORDINAL}\s*)?(?P<name>{named})(?![^\W\d_])\s*(?:{_NUMBER})?(?P<after>.*)")


@cache
def _cjk_example_pattern(names: MarkerNames) -> re.Pattern[str]:
    # Scripts that put no space before a number: a name's end is not seen by the letter that follows it.
    named = "|".join(re.escape(name) for name in names.of(Kind.EXAMPLE) if not name[-1].isascii())
    return re.compile(rf"{_ORDINAL}?(?P<name>{named})(?:{_NUMBER})(?P<after>.*)")


def _example(line: str, prefix: re.Match[str], names: MarkerNames) -> Marker | None:
    head = folded_name(line[prefix.end() : prefix.end() + _MAX_HEAD].replace("*", "").replace("`", ""))
    found = _example_pattern(names).match(head) or _cjk_example_pattern(names).match(head)
    if found is None:
        return None
    number = _value(found["number"]) or _value(found["ordinal"]) or _value(_list_number(prefix))
    after = found["after"].strip("_ =~")
    is_dressed = bool(prefix["hashes"] or prefix["mark"])
    if after and after[0] not in ":.)-–—|([【]】」/︰":
        inner = _kind_of(after.partition(":")[0], names)
        if inner is None or inner[0] in {Kind.EXAMPLE, Kind.ROLE}:
            return None
        title = line[line.find(" ", prefix.end()) :].lstrip()  # "Example 1 Input: ...": the field's own marker
        title = title[re.match(r"\S*\s*", title).end() :]  # type: ignore[union-attr]  # matches any text
    elif not after.strip("]】」-–—"):
        title = ""
    else:
        title = _after_head(line, prefix, found, names)
    if number is None and not (after or is_dressed):
        return None  # a bare "Example"
    return Marker(
        kind=Kind.EXAMPLE,
        name=found["name"],
        number=number,
        rest=title,
        dress=_dress(line, prefix, has_colon=after.startswith(":")),
    )


def _after_head(line: str, prefix: re.Match[str], found: re.Match[str], names: MarkerNames) -> str:
    """What follows an example's name and number on its line, in the line's own letters."""
    start = prefix.end()
    sign = _AFTER_HEAD.search(line, start + len(found["name"]))
    if sign is None:
        return ""
    after = line[sign.end() :].lstrip(" \t")
    if prefix["mark"] and prefix["mark"] not in line[start : sign.start()]:  # it is closed only now
        after = after.removeprefix(prefix["mark"])
    after = after.lstrip(" \t|-–—:：,")
    inner = _PREFIX.match(after)
    if inner is not None and _field(after, inner, names) is not None:
        return after
    return after.strip(" \t*_`|-–—:：=~")  # a title, whose own marks say nothing


def _field(line: str, prefix: re.Match[str], names: MarkerNames) -> Marker | None:
    start = prefix.end()
    colon = _COLON.search(line, start, start + _MAX_HEAD)
    if _is_bracketed(prefix["mark"]):
        colon = _CLOSED_BRACKET.search(line, start, start + _MAX_HEAD) or colon
    if colon is None and len(line) - start > _MAX_HEAD:
        return None
    head = line[start : colon.start() if colon else len(line)]
    found = _kind_of(folded_name(head.strip("*_`]】」# \t")), names)
    if found is None:
        return None
    kind, name, number = found
    is_dressed = bool(prefix["hashes"] or prefix["mark"])
    if colon is None and not is_dressed and (kind not in {Kind.INPUT, Kind.OUTPUT} or head[:1].islower()):
        return None
    if number is None:
        number = _value(_list_number(prefix))
    rest = _rest(line[colon.end() :], head, prefix["mark"]) if colon else ""
    return Marker(
        kind=kind,
        name=name,
        number=number,
        rest=rest,
        dress=_dress(line, prefix, has_colon=colon is not None),
        is_weak=colon is None and not is_dressed,
    )


def _is_bracketed(mark: str) -> bool:
    return mark[-1:] in {"[", "【", "「"} and bool(mark)


def _rest(rest: str, head: str, mark: str) -> str:
    """A field's first line, without what closes the bold or the brackets of its marker."""
    if mark and not _is_bracketed(mark) and not head.rstrip().endswith(tuple(_CLOSERS)):
        stripped = rest.lstrip(" \t")
        closing = len(stripped) - len(stripped.lstrip(_CLOSERS))
        closed_by = stripped[: min(closing, len(mark))]
        if closed_by and (len(stripped) == len(closed_by) or len(closed_by) == len(mark)):
            rest = stripped[len(closed_by) :]
        elif rest.rstrip().endswith(mark[::-1]) and rest.count(mark[::-1]) % 2:
            rest = rest.rstrip()[: -len(mark)]  # **Input: all of the line**
    return rest.strip(f" \t{_zero_width()}")


@cache
def _zero_width() -> str:
    return "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"


@lru_cache(maxsize=4096)  # replies repeat their heads
def _kind_of(head: str, names: MarkerNames) -> tuple[Kind, str, int | None] | None:
    if head in names.kinds:
        return names.kinds[head], head, None
    bare = _PARENTHESIS.sub("", head)
    if bare in names.kinds:
        return names.kinds[bare], bare, None
    numbered = _NUMBERED.fullmatch(bare)
    if numbered is not None and numbered["name"] in names.kinds:
        return names.kinds[numbered["name"]], numbered["name"], _value(numbered["number"])
    return None


def _list_number(prefix: re.Match[str]) -> str:
    number = (prefix["lead"] or prefix["number"] or "").strip(" \t.)(、")
    return number if number.isdecimal() else ""


def _value(text: str | None) -> int | None:
    if not text:
        return None
    return int(text) if text.isdecimal() else _VALUES.get(text)


def _dress(line: str, prefix: re.Match[str], *, has_colon: bool) -> str:
    lead = (prefix["lead"] or "").strip()
    hashes = (prefix["hashes"] or "").strip()
    letter = line[prefix.end() : prefix.end() + 2]
    case = "a" if letter.islower() else "AA" if letter.isupper() and letter.isascii() else "A"
    sign = "1." if lead[:1].isdigit() or lead[:1] == "(" else lead
    return f"{sign}{hashes}{prefix['mark']}{case}{':' if has_colon else ''}"


def _lone_number(line: str) -> Marker | None:
    """A number that stands alone on its line, or before a title, which may begin an example."""
    found = _LONE_NUMBER.fullmatch(line.rstrip()) if len(line) < _MAX_NUMBER_LINE else None
    if found is None and len(line) < _MAX_TITLE_LINE and line.startswith(("#", "*", *"123456789")):
        found = _TITLED_NUMBER.fullmatch(line.rstrip())
    if found is None or not (found["hashes"] or found["mark"] or found["dot"]):
        return None
    dress = f"{(found['hashes'] or '').strip()}{found['mark']}{found['dot']}"
    title = found.groupdict().get("title") or ""
    return Marker(kind=Kind.EXAMPLE, name="", number=int(found["number"]), rest=title, dress=dress)


def same_dress(markers: Sequence[Marker]) -> bool:
    """Whether all are written alike, their names included."""
    return len({marker.full_dress for marker in markers}) <= 1
