"""Places that were left to be filled in, and text that says one thing over and over.

Knows nothing of instances. Every function takes any text, never raises, and takes time linear in its length.

A hole is what a person would have to replace before the text is one: `<web page with a layout>`, `[link]`, `Dear
[Customer Name]`. HTML, lists, links, code and stage directions stand in brackets, too, and are none.
"""

import re
from functools import lru_cache

__all__ = ["asks_for_holes", "asks_for_repetition", "has_hole", "is_hole_in_words", "repeats_itself"]

_NOUNS = (
    r"names?|dates?|address(?:es)?|numbers?|titles?|products?|company|companies|customers?|clients?|recipients?|"
    r"sender|employers?|employees?|"
    r"manager|position|role|job|phone|e-?mail|city|state|country|department|business|store|shop|brand|"
    r"university|school|college|"
    r"organi[sz]ation|location|place|event|topic|subject|link|url|website|signature|amount|price|time|day|month|"
    r"year|reason|"
    r"details?|description|image|picture|photo|video|text|content|article|paragraph|sentence|passage|document|"
    r"file|code|snippet|"
    r"answer|response|reply|output|input|word|quote|author|friend|person|project|industry|field|skills?|service|"
    r"item|feature|benefit"
)
_VERBS = (
    r"your|insert|enter|add|put|write|fill in|replace|describe|specify|mention|attach|paste|name of|list of|"
    r"provide|include|customer|recipient|company|client|hiring"
)
_WORDS = r"[A-Za-z][A-Za-z'’/ -]{0,60}"
# Found first, so that what is looked at closely is short.
_BRACKETED = re.compile(
    r"(?<![\w\])}>])\[(?P<square>[^\[\]\n]{2,80})\](?![(\[:\w])|(?<![\w<])<(?P<angle>[^<>\n=\"]{3,80})>"
)
_NAMED = re.compile(
    r"\{\{\s?[\w.-]{1,40}\s?\}\}|"  # of template languages
    r"^[*_]{0,2}(?:dear|liebe[rs]?|cher|chère|estimad[oa]|caro|cara|уважаем\w{1,4}|尊敬的) ?"
    r"[<{][^<>{}\n]{1,40}[>}]|"
    r"\[(?:姓名|名字|客户姓名|氏名|vorname|nachname|お名前|名前|이름|고객명|nom|prénom|nombre|apellido|nome|"
    r"cognome|имя|الاسم|नाम)\]",
    re.IGNORECASE | re.MULTILINE,
)
_FULL_WIDTH = str.maketrans("＜＞［］", "<>[]")
_CLOSING_TAG = re.compile(r"</([^<>\n]{1,80})>")
_SQUARE = re.compile(rf"(?:{_VERBS})\b.*|(?:{_WORDS} )?(?:{_NOUNS})(?: \w{{1,12}})?", re.IGNORECASE)
_ANGLE = re.compile(
    rf"(?:{_VERBS})\b.*|{_WORDS} here|{_WORDS} (?:{_NOUNS})|(?:company|customer|recipient|first|last)[_ ]name",
    re.IGNORECASE,
)
_WHOLE_ANGLE = re.compile(r"<(?P<words>[^<>=\n\"]{1,300})>[.。]?")
_WHOLE_SQUARE = re.compile(r"\[(?P<words>[^\[\]\n\"{}]{2,300})\][.。]?")
_WHOLE_ROUND = re.compile(
    r"[({（](?:your|insert|an? (?:image|picture|photo|link|video)|image|picture|photo|video|link|audio|url|file|"
    r"text|the (?:text|image|article))"
    r"\b[^(){}\n]{0,300}[)}）]|\.{2,}|…+",
    re.IGNORECASE,
)
# Of other scripts and markup: 【图片】, ![photo](image.png), {poem}, {}, XXXX; and the printers' Latin.
_WHOLE_OTHER = re.compile(
    r"【[^【】\n]{1,80}】|!\[[^\[\]\n]{0,80}\]\([^()\n]{0,200}\)|\{[a-z][a-z _-]{0,40}\}|\{\s?\}|x{3,}|"
    r"lorem ipsum dolor\b[^\n]{0,400}",
    re.IGNORECASE,
)
_WHOLE_WORDS = re.compile(
    r"(?:your|insert|enter|add|write|paste|type|place) (?:[\w'’]{1,20} ){1,5}here[.!]?|"
    r"(?:[\w'’]{1,20} ){1,4}goes here[.!]?|"
    r"(?:paste|insert|enter|provide|write|see) (?:the|your|an?) (?:[\w'’]{1,20} ){1,3}(?:below|above)[.!]?",
    re.IGNORECASE,
)
_TAG = re.compile(r"[/!?]|[a-z][a-z0-9]{0,10}\s*/?\Z", re.IGNORECASE)
_NO_TAG = re.compile(
    r"(?:label|class|category|sentiment|name|example|instruction|task|review|article|poem|story|essay|email|"
    r"letter|text|image|word|sentence|paragraph|answer|response|output|input|url|insert|placeholder)\Z",
    re.IGNORECASE,
)
_ASKED_FOR = re.compile(rf"(?:{_VERBS}|link|image|picture)\b|(?:an?|the) ", re.IGNORECASE)
_VALUES = re.compile(r"[\d\s.,;:+*/'-]+|true|false|none|null|nan|sic|x|yes|no", re.IGNORECASE)
_ASKED = re.compile(
    r"templat|placeholder|fill[- ]?in|blank|form letter|boilerplate|mad libs?|html|xml|markup|\btags?\b|regex|"
    r"syntax|variables?|"
    r"brackets?|braces|\bcode\b|json|yaml|python|javascript|\bdict(?:ionar(?:y|ies))?\b|empty (?:object|set)|"
    r"vorlage|platzhalter|lücke|modèle|gabarit|plantilla|marcador|modelo|segnaposto|шаблон|"
    r"заполн|模板|占位|填空|"
    r"テンプレート|空欄|서식|템플릿|빈칸|قالب|نموذج|टेम्पलेट|रिक्त",
    re.IGNORECASE,
)
_REPEAT = re.compile(
    r"repeat|\btimes\b|wiederhol|répét|répèt|repit|repet|ripet|повтор|重复|重複|繰り返|반복|كرر|दोहरा", re.IGNORECASE
)
_SAME_WORD = re.compile(r"\b(?P<word>[^\W\d]\w{0,29})(?:[\s,.!]{1,3}(?P=word)){3,}\b", re.IGNORECASE)
_SAME_LETTER = re.compile(r"(?P<letter>[^\W_])(?P=letter){39,}")
_SOUNDS = frozenset(
    [
        "ha",
        "hah",
        "haha",
        "he",
        "hehe",
        "ho",
        "la",
        "na",
        "no",
        "yes",
        "tick",
        "knock",
        "row",
        "beep",
        "buzz",
        "very",
        "so",
        "blah",
        "nom",
        "bang",
        "go",
        "on",
        "ho",
        "ja",
        "oh",
        "ring",
        "哈",
        "呵",
        "ㅋ",
    ]
)
_MANY_LINES = 5
_AROUND = " \t\n\"'“”*_`"
_MAX_HOLE = 400
_BETWEEN_WORDS = str.maketrans(",.!", "   ")


def has_hole(text: str) -> bool:
    """Whether a field is a hole, or holds one."""
    if len(text) < _MAX_HOLE and _is_hole(text.strip(_AROUND).translate(_FULL_WIDTH)):
        return True
    if ("[" in text or "{" in text or "<" in text) and _NAMED.search(text):
        return True
    if "[" not in text and "<" not in text:
        return False
    closed = set(_CLOSING_TAG.findall(text)) if "</" in text else set()  # XML, not holes
    return any(
        _is_square_hole(found["square"])
        if found["square"]
        else found["angle"] not in closed and _is_angle_hole(found["angle"])
        for found in _BRACKETED.finditer(text)
    )


@lru_cache(maxsize=1024)  # a text that holds one hole holds it often
def _is_square_hole(words: str) -> bool:
    return _SQUARE.fullmatch(words) is not None


@lru_cache(maxsize=1024)
def _is_angle_hole(words: str) -> bool:
    return _ANGLE.fullmatch(words) is not None


def _is_hole(bare: str) -> bool:
    if bare[:1].isalnum() and bare[:1] not in "xXlL":  # no sign of a hole, so it must say in words that it is one
        return is_hole_in_words(bare)
    if _WHOLE_ROUND.fullmatch(bare):
        return True
    if _WHOLE_OTHER.fullmatch(bare) or is_hole_in_words(bare):
        return True
    angle = _WHOLE_ANGLE.fullmatch(bare)
    if angle is not None:
        return _TAG.match(angle["words"]) is None or _NO_TAG.match(angle["words"]) is not None
    square = _WHOLE_SQUARE.fullmatch(bare)
    if square is None or _VALUES.fullmatch(square["words"]):
        return False
    words = square["words"]
    return "," not in words or _ASKED_FOR.match(words) is not None


def is_hole_in_words(text: str) -> bool:
    """Whether a text only says that a text belongs here ("Your summary here", "Task 12 goes here.")."""
    is_one = text[-7:].rstrip(".!").casefold().endswith(("here", "below", "above"))
    return is_one and _WHOLE_WORDS.fullmatch(text) is not None


def asks_for_holes(instruction: str) -> bool:
    """Whether a task may well be answered with holes: a template, a form, code."""
    return _ASKED.search(instruction) is not None


def asks_for_repetition(instruction: str) -> bool:
    """Whether a task asks for one thing over and over."""
    return _REPEAT.search(instruction) is not None


def repeats_itself(text: str) -> bool:
    """Whether a text says one word, letter or line over and over."""
    words = text.casefold().translate(_BETWEEN_WORDS).split()
    num_again = len(words) - len(set(words))
    if num_again < 3 and len(text) < 40:  # neither four words alike nor forty letters
        return False
    if any(len(word) >= 40 for word in words) and _SAME_LETTER.search(text):
        return True
    if num_again < 3:
        return False
    if any(found["word"].casefold() not in _SOUNDS or len(found[0]) > 200 for found in _SAME_WORD.finditer(text)):
        return True
    return _has_same_lines(text)


def _has_same_lines(text: str) -> bool:
    last, run = "", 0
    for line in text.split("\n"):
        line = line.strip()
        if not line:
            continue
        run = run + 1 if line == last else 1
        last = line
        if run >= _MANY_LINES and len(line) > 3 and any(map(str.isalnum, line)):
            return True
    return False
