"""A reader of JSON as models write it: torn, slightly broken, in a fence, with text around it.

Knows nothing of tasks or examples. `read_json` takes any text, never raises, takes time linear in its length, does not
recurse, and reads no deeper than `MAX_DEPTH`. It never guesses: every value says whether it is whole, torn (the text
ended inside it) or uncertain. What is beyond doubt is read although it is no JSON: commas before a closing bracket or
missing between objects, comments, single and typographic quotes, keys without quotes, Python's literals, line breaks
inside strings.

A quote ends a string only where what follows can follow a string there. Any other quote, as in "He said "hi" to me",
leaves it open where the string ends: uncertain are all values that such places lie in or between. At a place that
cannot be read, what is open is uncertain, and what comes after it is not read, but for the lines after a value that
broke off on its first one (JSON Lines).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto

from fastinstruct.text.json_escapes import decoded

__all__ = ["MAX_DEPTH", "JsonKind", "JsonState", "JsonValue", "read_json"]

MAX_DEPTH = 32
"""Values nested deeper than that are not read."""

_MAX_VALUES = 5_000  # no reply has more; 1 MB of "[],[],[]," would
_MAX_STRAY_QUOTES = 100  # each costs a look ahead; who writes more does not write JSON


class JsonKind(Enum):
    """What a value is."""

    OBJECT = auto()
    LIST = auto()
    STRING = auto()
    NUMBER = auto()
    BOOLEAN = auto()
    NULL = auto()


class JsonState(IntEnum):
    """How far a value is to be believed, the best first; that of an object or list is the worst in it."""

    WHOLE = auto()  # it and all in it is certain
    TORN = auto()  # the text ended inside it
    UNCERTAIN = auto()  # its borders, its content, or something in it


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonValue:
    """A value and where it stands: `text[start:end]` of what was read.

    Attributes:
        content: a string decoded (half a surrogate pair is U+FFFD); a number as written; "true", "false", "null".
        items: what a list holds.
        members: what an object holds, by key; a key may come twice, which makes the object uncertain.
    """

    kind: JsonKind
    state: JsonState
    start: int
    end: int
    content: str = ""
    items: tuple[JsonValue, ...] = ()
    members: tuple[tuple[str, JsonValue], ...] = ()

    @property
    def is_whole(self) -> bool:
        return self.state is JsonState.WHOLE


def read_json(text: str) -> tuple[JsonValue, ...]:
    """The objects and lists that stand in a text, in order; what is between them is for the caller to explain."""
    return _Reader(text).documents()


class _Expects(Enum):
    FIRST = auto()  # an item, or the end
    COLON = auto()  # what follows a key
    VALUE = auto()  # what follows a colon
    AFTER = auto()  # a comma, or the end


class _Place(Enum):
    """Where a string stands, which says what may follow it."""

    KEY = auto()
    MEMBER = auto()
    ITEM = auto()


@dataclass(slots=True)
class _Node:
    """A value while it is read; `names` are the keys of an object's children, `key` the one read last."""

    kind: JsonKind
    start: int
    end: int = -1
    state: JsonState = JsonState.WHOLE
    content: str = ""
    children: list[_Node] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    key: str = ""
    expects: _Expects = _Expects.FIRST
    built: JsonValue | None = None


_CLOSERS = {JsonKind.OBJECT: "}", JsonKind.LIST: "]"}
_OPENERS = {"{": JsonKind.OBJECT, "[": JsonKind.LIST}
# What ends a string, by what opened it.
_QUOTES = {'"': '"', "'": "'", "“": "”", "„": "“”", "‘": "’"}
_ANY_QUOTE = "".join(_QUOTES)
_UP_TO_QUOTE = {opening: re.compile(rf"(?:[^{closing}\\]++|\\.)*+", re.DOTALL) for opening, closing in _QUOTES.items()}
_LITERALS = {
    **dict.fromkeys(("true", "True", "TRUE"), (JsonKind.BOOLEAN, "true")),
    **dict.fromkeys(("false", "False", "FALSE"), (JsonKind.BOOLEAN, "false")),
    **dict.fromkeys(("null", "None", "NULL", "undefined"), (JsonKind.NULL, "null")),
    **dict.fromkeys(("NaN", "nan", "Infinity", "-Infinity"), (JsonKind.NUMBER, "NaN")),
}
_LONGEST_LITERAL = max(map(len, _LITERALS))
_WORD = rf"(?:{'|'.join(_LITERALS)})(?!\w)"
_LITERAL = re.compile(_WORD)
_NUMBER = re.compile(r"[-+]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d*+)?(?![\w.])")
_TORN_NUMBER = re.compile(r"[-+.\deE]++\Z")
_WHITE_SPACE = re.compile(r"[\s\ufeff\u200b]*+")
_BLANK = re.compile(r"(?:[\s\ufeff\u200b]++|//[^\n]*+|\#[^\n]*+)*+")
_MAX_BLOCK_COMMENTS = 20  # between two values; each costs a search
_COMMENT = r"//|/\*|\#"
_KEY = r"[A-Za-z_]\w{0,60}+"
_BARE_KEY = re.compile(rf"{_KEY}(?=\s{{0,9}}(?::|\Z))")
_QUOTED_KEY = "|".join(
    rf"{opening}(?:[^{closing}\\]|\\.){{0,80}}+(?:\Z|[{closing}]\s{{0,9}}(?::|\Z))"
    for opening, closing in _QUOTES.items()
)
_VALUE_START = rf"[{{\[{_ANY_QUOTE}]|{_WORD}|[-+.]?\d"
_DOCUMENT = re.compile(
    rf"\{{(?=\s*+(?:[{_ANY_QUOTE}}}]|{_COMMENT}|{_KEY}\s{{0,9}}:|\Z))"
    rf"|\[(?=\s*+(?:{_VALUE_START}|\]|{_COMMENT}|[-+.\w]{{0,{_LONGEST_LITERAL}}}\Z))"
)
# What may follow a string and its comma, in an object and in a list.
_NEXT_MEMBER = re.compile(rf"\}}|\.\.\.|…|{_COMMENT}|\Z|{_KEY}\s{{0,9}}(?::|\Z)|{_QUOTED_KEY}", re.DOTALL)
_NEXT_ITEM = re.compile(
    rf"[\]{{\[{_ANY_QUOTE}]|\.\.\.|…|{_COMMENT}|\Z|(?:{_WORD}|[-+]?\d[\d.eE+-]{{0,30}}+)\s{{0,9}}(?:[,\]]|\Z)"
)


class _Reader:
    """One pass over a text; `_at` only grows."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._open: list[_Node] = []
        self._nodes: list[_Node] = []  # a parent before its children
        self._doubts: list[int] = []  # where quotes stand that end no string, and what could not be read after them
        self._found: dict[str, tuple[int, int]] = {}
        self._blank = (0, 0)
        self._is_spent = False

    def documents(self) -> tuple[JsonValue, ...]:
        roots = [*self._roots()]
        doubtful = (self._doubts[0], self._doubts[-1]) if self._doubts else None
        for node in reversed(self._nodes):
            node.built = _built(node, doubtful)
        return tuple(root.built for root in roots if root.built is not None)

    def _roots(self) -> Iterator[_Node]:
        while not self._is_spent:
            start = _DOCUMENT.search(self._text, self._at)
            if start is None:
                return
            self._at = start.start()
            root = self._opened()
            self._nodes.append(root)
            is_read = self._read()
            yield root
            if not is_read:
                line_end = self._find("\n", root.start)
                if self._at > line_end:
                    return  # what follows may be inside of something
                self._at = line_end

    def _read(self) -> bool:
        """Read what was opened to its end, or to that of the text; False if a place cannot be read."""
        while self._open:
            self._at = self._skipped(self._at)
            is_torn = self._at >= len(self._text)
            if is_torn or not self._step(self._open[-1], self._text[self._at]):
                for node in self._open:
                    node.state = max(node.state, JsonState.TORN if is_torn else JsonState.UNCERTAIN)
                    node.end = self._at
                self._open.clear()
                if self._doubts:  # a wrong border shows in an end that closes nothing, too
                    self._doubts.append(self._at)
                return is_torn
        return True

    def _step(self, node: _Node, character: str) -> bool:
        if node.expects is _Expects.COLON:
            node.expects = _Expects.VALUE
            self._at += 1
            return character == ":"
        if node.expects is _Expects.VALUE:
            return self._value(node, character)
        if character == _CLOSERS[node.kind]:
            self._at += 1
            self._open.pop().end = self._at
            return True
        if node.expects is _Expects.AFTER:
            if character == ",":
                self._at += 1
                node.expects = _Expects.FIRST
                return True
            if not (character == "{" and node.kind is JsonKind.LIST and node.children[-1].kind is JsonKind.OBJECT):
                return False  # between two objects a comma may be missing: their borders are certain
        return self._key(node, character) if node.kind is JsonKind.OBJECT else self._value(node, character)

    def _key(self, node: _Node, character: str) -> bool:
        node.expects = _Expects.COLON
        if character in _QUOTES:
            key = self._string(character, _Place.KEY)
            node.state = max(node.state, key.state)
            node.key = key.content
        else:
            bare = _BARE_KEY.match(self._text, self._at)
            if bare is None:
                return False
            node.key, self._at = bare[0], bare.end()
        if node.key in node.names:
            node.state = JsonState.UNCERTAIN
        return not self._is_spent

    def _value(self, parent: _Node, character: str) -> bool:
        self._is_spent |= len(self._nodes) >= _MAX_VALUES
        if self._is_spent or (character in _OPENERS and len(self._open) >= MAX_DEPTH):
            return False
        place = _Place.MEMBER if parent.kind is JsonKind.OBJECT else _Place.ITEM
        if character in _OPENERS:
            child: _Node | None = self._opened()
        else:
            child = self._string(character, place) if character in _QUOTES else self._scalar()
        if child is None:
            return False
        self._nodes.append(child)
        parent.expects = _Expects.AFTER
        parent.children.append(child)
        parent.names.append(parent.key)
        return not self._is_spent

    def _opened(self) -> _Node:
        node = _Node(kind=_OPENERS[self._text[self._at]], start=self._at)
        self._at += 1
        self._open.append(node)
        return node

    def _scalar(self) -> _Node | None:
        start = self._at
        word = _LITERAL.match(self._text, start)
        if word:
            self._at = word.end()
            kind, content = _LITERALS[word[0]]
            return _Node(kind=kind, start=start, end=self._at, content=content)
        number = _NUMBER.match(self._text, start)
        if number and number.end() < len(self._text):
            self._at = number.end()
            return _Node(kind=JsonKind.NUMBER, start=start, end=self._at, content=number[0])
        rest = self._text[start : start + _LONGEST_LITERAL]
        is_torn_word = start + len(rest) == len(self._text) and any(known.startswith(rest) for known in _LITERALS)
        if not is_torn_word and not _TORN_NUMBER.match(self._text, start):
            return None
        self._at = len(self._text)
        return _Node(kind=JsonKind.NULL, start=start, end=self._at, state=JsonState.TORN)

    def _string(self, opening: str, place: _Place) -> _Node:
        node = _Node(kind=JsonKind.STRING, start=self._at)
        up_to_quote = _UP_TO_QUOTE[opening]
        text, at = self._text, self._at + 1
        while True:
            at = _end(up_to_quote, text, at)
            if at >= len(text) or text[at] not in _QUOTES[opening]:  # or a backslash that is the last character
                node.state, self._at, end = JsonState.TORN, len(text), at
                break
            if self._ends_string(at + 1, place):
                self._at, end = at + 1, at
                break
            self._doubts.append(at)
            self._is_spent = len(self._doubts) > _MAX_STRAY_QUOTES
            if self._is_spent:
                node.state, self._at, end = JsonState.UNCERTAIN, at + 1, at
                break
            at += 1
        node.end = self._at
        node.content, is_certain = decoded(text[node.start + 1 : end])
        if not is_certain and node.state is JsonState.WHOLE:
            node.state = JsonState.UNCERTAIN
        return node

    def _ends_string(self, at: int, place: _Place) -> bool:
        """Whether a quote that stands before `at` is followed by what can follow a string."""
        at = self._skipped(at)
        character = self._text[at : at + 1]
        if not character or place is _Place.KEY:
            return character in {"", ":"}
        if character == ",":
            follower = _NEXT_MEMBER if place is _Place.MEMBER else _NEXT_ITEM
            return follower.match(self._text, self._skipped(at + 1)) is not None
        if character != ("}" if place is _Place.MEMBER else "]"):
            return False
        at = self._skipped(at + 1)
        after = self._text[at : at + 1]
        return after not in _QUOTES if len(self._open) == 1 else after in {"", ",", "]", "}", "{"}

    def _skipped(self, at: int) -> int:
        """The first place from `at` on that is neither blank nor in a comment."""
        for _ in range(_MAX_BLOCK_COMMENTS):
            at = self._past_blank(at)
            if not self._text.startswith("/*", at):
                break
            at = min(self._find("*/", at + 2) + 2, len(self._text))
        return at

    def _past_blank(self, at: int) -> int:
        """Past white space and comments up to a line's end; many quotes on one line may look ahead over the same."""
        at = _end(_WHITE_SPACE, self._text, at)
        if not self._text.startswith(("//", "#"), at):
            return at
        start, end = self._blank
        if not start <= at < end:
            start, end = self._blank = (at, _end(_BLANK, self._text, at))
        return end

    def _find(self, what: str, at: int) -> int:
        """Where `what` is next, or the end; what was found last is kept, so that no stretch is searched twice."""
        start, place = self._found.get(what, (0, -1))
        if not start <= at <= place:
            place = self._text.find(what, at)
            place = len(self._text) if place < 0 else place
            self._found[what] = (at, place)
        return place


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _built(node: _Node, doubtful: tuple[int, int] | None) -> JsonValue:
    children = [child.built for child in node.children if child.built is not None]
    state = max([node.state, *(child.state for child in children)])
    if doubtful and node.start <= doubtful[1] and node.end > doubtful[0]:
        state = JsonState.UNCERTAIN
    is_object = node.kind is JsonKind.OBJECT
    return JsonValue(
        kind=node.kind,
        state=state,
        start=node.start,
        end=node.end,
        content=node.content,
        items=() if is_object else tuple(children),
        members=tuple(zip(node.names, children, strict=True)) if is_object else (),
    )
