"""What stands before an item of a list: numbers of every script and style, letters, bullets, and labels.

Knows nothing of lists or instructions: it reads one line at a time and gives every reading that the line bears ("I." is
the first roman number and the ninth letter); which one holds is for who sees the other lines. Takes any text, never
raises, and takes time linear in the line's length: no repetition stands inside another.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from fastinstruct.text.markup import closed

__all__ = [
    "BULLET",
    "DECIMAL",
    "INVISIBLE",
    "LABEL",
    "Marker",
    "inline_markers",
    "is_plain_prose",
    "is_plain_sentence",
    "markers_of",
    "trimmed",
    "without_label",
]

DECIMAL = "decimal"
LABEL = "label"
BULLET = "bullet"

INVISIBLE = "\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe0f\ufeff"
"""Marks that show nothing (zero-width, direction, variation), as a part of a character class."""

_LABELS = (
    r"(?:new |next |additional )?(?:task|instruction|item|prompt|question|exercise)|"
    r"aufgabe|anweisung|frage|übung|tâche|consigne|exercice|tarea|instrucción|pregunta|ejercicio|consigna|"
    r"tarefa|instrução|pergunta|exercício|compito|istruzione|domanda|esercizio|"
    r"задача|задание|инструкция|вопрос|упражнение|المهمة|مهمة|التعليمة|السؤال|سؤال|कार्य|निर्देश|प्रश्न|"
    r"任务|任務|指令|题目|題目|问题|問題|练习|タスク|課題|指示|質問|お題|問|작업|과제|지시|질문|문제"
)
_ROMAN_TENS, _ROMAN_ONES = ("", "X", "XX", "XXX"), ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")
_ROMAN = {tens + ones: 10 * i + k for i, tens in enumerate(_ROMAN_TENS) for k, ones in enumerate(_ROMAN_ONES)}
_DIGITS = "一二三四五六七八九"
_IDEOGRAPHIC = {
    (_DIGITS[tens - 2] if tens > 1 else "") + ("十" if tens else "") + (_DIGITS[ones - 1] if ones else ""): (
        10 * tens + ones
    )
    for tens in range(10)
    for ones in range(10)
    if tens or ones
}
_ALPHABETS = {
    "letter": "abcdefghijklmnopqrstuvwxyz",
    "Letter": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "cyrillic": "абвгдежзиклмно",
    "Cyrillic": "АБВГДЕЖЗИКЛМНО",
    "arabic letter": "أبجدهوزحطي",
    "hangul": "가나다라마바사아자차카타파하",
    "katakana": "アイウエオカキクケコ",
    "devanagari": "कखगघङचछजझञ",
    "stem": "甲乙丙丁戊己庚辛壬癸",
}
_LETTERS = "".join(_ALPHABETS.values())
_SIGNS = (
    "\u2460-\u249b\u24eb-\u24fe\u2776-\u2793\u3220-\u3229\u3251-\u325f\u3280-\u3289\u32b1-\u32bf"
    "\u2160-\u216b\u2170-\u217b"
)
_Z = f"[{INVISIBLE}]{{0,3}}"
_NUMERAL = rf"\d{{1,4}}|[{_DIGITS}十]{{1,3}}|[IVX]{{1,6}}|[ivx]{{1,6}}|[{_LETTERS}]"
_WORDS = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen"
_TYPOGRAPHIC = "•‣◦·●○▪▫■□►▶➤➢❖✦✓✔✅☐☑➡→⁃∙"
_EMOJI = "\U0001f300-\U0001f51e\U0001f520-\U0001faff"
_LEAD = (
    rf"(?:[{_EMOJI}]\ufe0f? ?)?(?P<heading>\#{{1,6}} |\#{{2,6}})?(?P<bullet>(?:[-*+–—] |"
    rf"[{_TYPOGRAPHIC}]\ufe0f? ?)(?:\[[ xX]\] ?)?)?"
    rf"(?P<mark>[*_]{{1,3}}|`)?{_Z}"
)
_COUNTED = (
    rf"(?:(?P<keycap>(?:\d\ufe0f?\u20e3){{1,3}}|\U0001f51f)|"
    rf"(?P<sign>[{_SIGNS}])\ufe0e?)(?P<late0>[*_]{{1,3}})? ?[.、:：)）]?"
    rf"|[(（\[【〔<{{] ?(?:(?P<label1>{_LABELS}) ?)?[#№]? ?(?P<enclosed>{_NUMERAL}){_Z} ?[)）\]】〕>}}]"
    r"(?P<late1>[*_]{1,3})? ?[.:：、]?"
    rf"|(?:(?P<label>{_LABELS})(?: |(?![a-z])))?(?P<hash>[#№] ?|No\. ?|Nr\. ?|N[º°]\.? ?|第 ?)?(?P<plain>{_NUMERAL})"
    rf"(?P<unit>[ºª]| ?(?:个任务|個任務|个|條|条|题|題|项|項|号|번째|번|番目|番|つ目|"
    rf"問))?{_Z}(?(label)(?: ?[(（\[【][^()（）\[\]【】]{{1,40}}[)）\]】])?)"
    rf" ?(?P<late>[*_]{{1,3}})?"
    rf"(?P<delimiter>\\?[.)）:：、．。،।](?:[)）:.]|[-–—]+(?= ))?(?!\d)|[/>·] ?(?=[^\W\d])| ?[-–—]+ (?!\d)|(?=\s|$))"
    rf"|(?P<label2>{_LABELS})(?: (?:[#№]? ?\d{{1,4}}|{_WORDS}|[A-Z]))?(?P<late2>[*_]{{1,3}})? ?[:：]"
)
# These match a line whose runs of white space are single spaces.
_MARKER = re.compile(rf"{_LEAD}(?:{_COUNTED})(?P<after>[*_]{{1,3}}(?=[\s{INVISIBLE}]|$)|`(?= ))?", re.IGNORECASE)
_BULLET = re.compile(rf"(?P<sign>[-*+–—] |[{_TYPOGRAPHIC}]\ufe0f? ?|[{_EMOJI}]\ufe0f? )(?:\[[ xX]\] ?)?(?=\S)")
_LABEL_FIRST = re.compile(
    rf"(?P<mark>[*_]{{1,3}})?(?:{_LABELS}) ?(?:[#№]? ?\d{{1,4}})?(?P<late>[*_]{{1,3}})? ?[:：]"
    r"(?P<after>[*_]{1,3}(?=\s|$))?",
    re.IGNORECASE,
)
# Every line with a marker begins with one of these: it spares most lines the long pattern.
_MAYBE = re.compile(
    rf"[#*_`(（\[【〔<{{\d{_EMOJI}{_DIGITS}十{_SIGNS}№第\U0001f51f{INVISIBLE}]|[-+–—{_TYPOGRAPHIC}]|N[or.º°]|"
    rf"(?:{_NUMERAL})[.)）:：、．]|"
    rf"{_LABELS}",
    re.IGNORECASE,
)
_INVISIBLE_CHARACTERS = "".join(
    character for character in map(chr, range(0x10000)) if re.match(f"[{INVISIBLE}]", character)
)
_SHOWS_NOTHING = " \t\xa0\u3000" + _INVISIBLE_CHARACTERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """One reading of what a line begins with.

    Attributes:
        style: what markers of one list share: "decimal", "roman", a kind of letter, "bullet" with its sign, "label".
        number: the item's number, from 1; 0 for bullets and labels.
        rest: what follows the marker, without the bold or italics that only the marker opened.
        is_title_line: whether the whole line is set off as a heading or in bold, as titles are.
        is_labelled: whether a word such as "Task" stands before the number.
    """

    style: str
    number: int
    rest: str
    is_title_line: bool = False
    is_labelled: bool = False


def markers_of(line: str) -> tuple[Marker, ...]:
    """Every reading of the marker that a line begins with, the likeliest first; none if it begins with none.

    Args:
        line: without white space at its ends, its runs of white space single spaces.
    """
    if not _MAYBE.match(line):
        return ()
    found = _MARKER.match(line)
    readings = _counted(line, found) if found else ()
    if readings and readings[0].style != LABEL:
        return readings
    bullet = _BULLET.match(line)
    if bullet:
        sign = bullet["sign"][0]
        style = f"{BULLET} {sign if sign < _EMOJI[0] else 'emoji'}"
        readings += (Marker(style=style, number=0, rest=trimmed(line[bullet.end() :])),)
    return readings


def without_label(text: str) -> str:
    """The text without a label ("Task:", "**Instruction 9:**") before it."""
    label = _LABEL_FIRST.match(text)
    if label is None:
        return text
    return closed(text[label.end() :].strip(), label["mark"] if not (label["late"] or label["after"]) else None)


def _counted(line: str, found: re.Match[str]) -> tuple[Marker, ...]:
    late = found["late0"] or found["late1"] or found["late"] or found["late2"]
    mark = found["mark"]
    rest = trimmed(line[found.end() :])
    is_bold = bool(mark) and mark[0] in "*_" and rest.rstrip(":：").endswith(mark) and not late and not found["after"]
    if mark == "`" and not found["after"] and rest.endswith("`"):
        rest = rest[:-1]
    elif mark and mark != "`" and not late and not found["after"]:
        rest = trimmed(closed(rest, mark))
    title = bool(found["heading"]) or is_bold
    labelled = bool(found["label"] or found["label1"] or found["hash"])

    def marker(style: str, number: int) -> Marker:
        return Marker(style=style, number=number, rest=rest, is_title_line=title, is_labelled=labelled)

    if found["label2"]:
        return (marker(LABEL, 0),)
    if found["keycap"]:
        digits = re.sub(r"\D", "", found["keycap"])
        return (marker("sign", int(digits) if digits else 10),)
    if found["sign"]:
        return (marker("sign", int(unicodedata.numeric(found["sign"]))),)
    numeral = found["enclosed"] or found["plain"]
    if not found["enclosed"] and not _is_delimited(line, found, numeral):
        return ()
    needs_gap = bool(found["enclosed"]) and not numeral.isdecimal() and numeral not in _IDEOGRAPHIC
    if needs_gap and line[found.end() - 1] != " " and not _gap_after(line, found.end()):
        return ()
    return tuple(marker(style, number) for style, number in _values(numeral))


def _is_delimited(line: str, found: re.Match[str], numeral: str) -> bool:
    """Whether what follows a numeral without brackets ends it: "9 lives" and "I think" are content."""
    delimiter = found["delimiter"]
    is_number = numeral.isdecimal() or numeral in _IDEOGRAPHIC
    if not delimiter:  # only white space, or the end of the line
        ends = found.end() == len(line)
        if found["label"]:
            return (ends or bool(found["heading"]) or bool(found["mark"])) and is_number
        return bool(found["hash"] or found["unit"] in ("º", "ª")) and is_number
    if numeral.isdecimal() or delimiter in "、：．":
        return delimiter.strip() not in ("-", "–", "—") or not found["bullet"]
    if delimiter.strip(" -–—") == "":
        return False  # "A - B" is no item
    return _gap_after(line, found.end())


def _gap_after(line: str, position: int) -> bool:
    return position >= len(line) or line[position] == " "


def _values(numeral: str) -> list[tuple[str, int]]:
    """The styles and numbers that a numeral may be of."""
    if numeral.isdecimal():
        return [(DECIMAL, int(numeral))]
    values = []
    if numeral in _IDEOGRAPHIC:
        values.append(("ideographic", _IDEOGRAPHIC[numeral]))
    roman = _ROMAN.get(numeral.upper())
    if roman and numeral in (numeral.upper(), numeral.lower()):
        values.append(("Roman" if numeral.isupper() else "roman", roman))
    values.extend((style, letters.index(numeral) + 1) for style, letters in _ALPHABETS.items() if numeral in letters)
    return values


def trimmed(text: str) -> str:
    """The text without white space and marks that show nothing at its ends."""
    return text.strip(_SHOWS_NOTHING)


_INLINE = re.compile(
    rf"(?:(?<=[\s.!?。！？;；:：，,…」”।؟])|(?<=\A))(?P<mark>\*\*|"
    rf"__)?(?:(?P<open>[(（\[【])(?P<enclosed>{_NUMERAL})[)）\]】]"
    rf"|(?P<label>(?:{_LABELS}) )?(?P<plain>{_NUMERAL})(?P<delimiter>\\?[.)）:：、．])(?!\d)|(?P<sign>[{_SIGNS}])"
    rf"|(?P<keycap>(?:\d\ufe0f?\u20e3){{1,3}})|(?P<bullet>[•‣◦●▪■►➤])(?= ))(?(mark)(?:\*\*|__)?)",
    re.IGNORECASE,
)


# Every inline marker holds one of these: it spares most texts the long pattern.
_MAYBE_INLINE = re.compile(rf"[(（\[【{_SIGNS}\u20e3•‣◦●▪■►➤]|(?<![^\W_])(?:{_NUMERAL})\\?[.)）:：、．]", re.IGNORECASE)
_PLAIN_SENTENCE = re.compile(rf"[^\W\d_{_SIGNS}](?:[^\W\d_{_SIGNS}]|[ ,'’-])*+[.?!]")


def is_plain_sentence(text: str) -> bool:
    """Whether a text is one sentence of words, as most are: nothing in it can begin an item, and a look spares many."""
    return _PLAIN_SENTENCE.fullmatch(text) is not None


# The dot must end a word of two letters that may be no numeral: "A. Write", "IV. Write" and "e.g. this" are none.
_PLAIN_PROSE = re.compile(r"(?:[A-Za-z][A-Za-z ,;'’-]*+(?:(?<=[A-Za-z][A-HJ-UWYZa-hj-uwyz])\.|[?!])(?: |\Z))+")


def is_plain_prose(text: str) -> bool:
    """Whether a text is nothing but sentences of English words, as most are: no number, sign or label stands in it."""
    return _PLAIN_PROSE.fullmatch(text) is not None


def inline_markers(text: str, start: int = 0) -> list[tuple[int, int, Marker]]:
    """The markers inside a line from `start` on: where each begins and ends, and its readings; `rest` is empty."""
    if is_plain_prose(text) or is_plain_sentence(text) or not _MAYBE_INLINE.search(text, start):
        return []
    markers = []
    for found in _INLINE.finditer(text, start):
        for style, number in _inline_values(found, text):
            markers.append((found.start(), found.end(), Marker(style=style, number=number, rest="")))
    return markers


def _inline_values(found: re.Match[str], text: str) -> list[tuple[str, int]]:
    if found["bullet"]:
        return [(f"{BULLET} {found['bullet']}", 0)]
    if found["sign"]:
        return [("sign", int(unicodedata.numeric(found["sign"])))]
    if found["keycap"]:
        return [("sign", int(re.sub(r"\D", "", found["keycap"])))]
    numeral = found["enclosed"] or found["plain"]
    closes_itself = (found["delimiter"] or "")[-1:] in ("、", "．", "：")
    if not numeral.isdecimal() and not closes_itself and not _gap_after(text, found.end()):
        return []
    return _values(numeral)
