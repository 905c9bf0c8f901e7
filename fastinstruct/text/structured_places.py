"""Where the JSON of a structured reply stands, what it is, and what is said around it.

Knows nothing of filters. Every function takes any text, never raises, and takes time linear in its length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from fastinstruct.text.phrases import is_preamble, is_remark
from fastinstruct.text.torn_json import JsonKind, JsonValue, read_json

__all__ = [
    "INPUT_KEYS",
    "OUTPUT_KEYS",
    "Found",
    "by_the_letter",
    "classification_member",
    "example_items",
    "find",
    "folded",
    "is_json_like",
    "place",
    "storable",
    "task_items",
    "text_of",
]

_NOT_LETTERS = re.compile(r"[\W_]+")


def folded(key: str) -> str:
    """A key in lower case, without what joins its words: "Expected_Output" is "expectedoutput"."""
    return _NOT_LETTERS.sub("", key).casefold()


TASK_KEYS = frozenset({"instruction", "task", "text", "prompt", "question", "description"})
_INPUT_WORDS = (
    "input text context question source passage sentence input_text example_input "
    "输入 輸入 入力 입력 eingabe entrée entrada ввод входные_данные इनपुट المدخل المدخلات"
)
_OUTPUT_WORDS = (
    "output answer response label class class_label expected_output expected_answer result completion target "
    "output_text example_output "
    "输出 輸出 出力 출력 答案 回答 标签 ausgabe antwort sortie réponse salida respuesta saída resposta risposta uscita "
    "вывод ответ выходные_данные आउटपुट उत्तर المخرج المخرجات الإجابة"
)
INPUT_KEYS = frozenset(map(folded, _INPUT_WORDS.split()))
OUTPUT_KEYS = frozenset(map(folded, _OUTPUT_WORDS.split()))
_TASKS_KEY = re.compile(
    r"(?:new|numbered|generated)?(?:tasks?|instructions?|prompts?|items|questions?|tasklist|instructionlist|list)"
    r"|任务|任務|指令|タスク|작업|tareas|instrucciones|aufgaben|anweisungen|tâches|consignes|tarefas|"
    r"instruções|compiti|задания|задачи"
)
_EXAMPLES_KEY = re.compile(
    r"examples?|instances?|pairs?|cases?|items|data|results?|示例|例|例子|예시|beispiele|exemples|ejemplos|"
    r"exemplos|esempi|примеры"
)
_CLASSIFICATION_KEYS = frozenset(
    {"isclassification", "classification", "isclassificationtask", "islabeltask", "labeltask", "islabel", "answer"}
)
_NUMBERED_KEY = re.compile(r"(?:tasks?|instructions?|examples?|items?|instances?)?\d{1,4}")
_MAX_WRAPPERS = 3  # {"response": {"data": {"examples": ...}}}

# Lines around JSON that say nothing: fences, leftover brackets, "Example 2", "2.", a heading.
_EMPTY_LINE = re.compile(
    r"[\s\ufeff\u200b,;:.()\[\]{}*_=#>\"'`~-]*+(?:json[lc]?|JSON[LC]?|python|javascript|js)?[\s:*`]*+"
)
_NUMBERED_LINE = re.compile(
    r"\W{0,8}(?:(?:example|instance|case|sample|item|task|pair|no|beispiel|aufgabe|exemple|ejemplo|exemplo|"
    r"esempio|пример|"
    r"示例|例|예시|예|उदाहरण|مثال)\W{0,3})?\d{1,4}\W{0,8}",
    re.IGNORECASE,
)
_MARKER_LINE = re.compile(
    r"\W{0,8}(?:(?:input|output|class label|label|answer|response|task)\b|\d{1,4}[.)] +\w)", re.IGNORECASE
)
_LINE_START = re.compile(r"[\s\ufeff>`*]*+(?:json[lc]?|JSON[LC]?)?[\s`]*+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The values of a reply that are what was asked for, and what else it says.

    Attributes:
        values: in order.
        rest: the lines around them that nothing explains.
        between: the first such line that stands between two of the values; "" if none does.
    """

    values: tuple[JsonValue, ...]
    rest: str
    between: str


def find(text: str, is_wanted: Callable[[JsonValue], bool]) -> Found:
    """Find the wanted values among those that stand in a text."""
    values = tuple(value for value in read_json(text) if is_wanted(value))
    if not values:
        return Found(values=(), rest=text.strip(), between="")
    starts, ends = [value.start for value in values], [value.end for value in values]
    before = [*_unexplained(text[: starts[0]], is_outside=True)]
    after = [*_unexplained(text[ends[-1] :], is_outside=True)]
    gaps = zip(ends[:-1], starts[1:], strict=True)
    between = [line for end, start in gaps for line in _unexplained(text[end:start], is_outside=False)]
    rest = "\n".join([*before, *between, *after])
    return Found(values=values, rest=rest, between=between[0] if between else "")


def _unexplained(text: str, *, is_outside: bool) -> Iterator[str]:
    """The lines that are neither empty nor "Example 2", nor, before and after all values, said to the reader."""
    for line in text.split("\n"):
        line = line.strip()
        if _EMPTY_LINE.fullmatch(line) or _NUMBERED_LINE.fullmatch(line):
            continue
        if is_outside and (line.endswith((":", "：")) or is_preamble(line) or is_remark(line)):
            continue
        yield line


def place(text: str, start: int) -> str:
    """The beginning of a place in a reply, in quotes, on one line."""
    return repr(" ".join(text[start : start + 80].split()))


def text_of(value: JsonValue) -> str:
    """A string's text fit for storing: line ends are newlines, other control characters are gone."""
    return storable(value.content)


def storable(content: str) -> str:
    """A string of JSON fit for storing: line ends are newlines, other control characters are gone."""
    return _CONTROL.sub(_replacement, content.replace("\r\n", "\n").replace("\r", "\n"))


def by_the_letter(text: str, key: str) -> list[Any] | None:
    """The list under the only key of a reply that is JSON as a whole, as from servers that hold a model to a schema.

    None if it is not, or if the key stands in it twice. `orjson` is quick and forgives nothing, so that this only
    spares the sound replies, which are most, the reader for all others.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(value, dict) or list(value) != [key] or not isinstance(value[key], list):
        return None
    return value[key] if text.count(f'"{key}"') == 1 else None


_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]")


def _replacement(match: re.Match[str]) -> str:
    return "\n" if match[0] in "\x85\u2028\u2029" else ""


def _unwrapped(value: JsonValue) -> JsonValue:
    """What stands in objects of one member that is an object: {"response": {"tasks": ...}}, {"example 1": {...}}."""
    for _ in range(_MAX_WRAPPERS):
        if len(value.members) != 1 or value.members[0][1].kind is not JsonKind.OBJECT:
            break
        value = value.members[0][1]
    return value


def _listed(value: JsonValue, key: re.Pattern[str]) -> Sequence[JsonValue] | None:
    """The items of a list, of the one list under such a key, or of an object whose keys are numbers."""
    if value.kind is JsonKind.LIST:
        return value.items
    lists = [one for name, one in value.members if one.kind is JsonKind.LIST and key.fullmatch(folded(name))]
    if len(lists) == 1:
        return lists[0].items
    if value.members and all(_NUMBERED_KEY.fullmatch(folded(name)) for name, _ in value.members):
        return [one for _, one in value.members]
    return None


def _has_key(value: JsonValue, keys: Iterable[str]) -> bool:
    return value.kind is JsonKind.OBJECT and any(folded(name) in keys for name, _ in value.members)


def task_items(value: JsonValue) -> Sequence[JsonValue] | None:
    """The tasks in a value, be they sound or not; None if it is nothing of that kind."""
    value = _unwrapped(value)
    items = _listed(value, _TASKS_KEY)
    if items is None:
        items = [value] if _has_key(value, TASK_KEYS) else None
    is_some = items and any(one.kind is JsonKind.STRING or _has_key(one, TASK_KEYS) for one in items)
    return items if is_some else None


def example_items(value: JsonValue) -> Sequence[JsonValue] | None:
    """The examples in a value, be they sound or not; None if it is nothing of that kind."""
    value = _unwrapped(value)
    if _has_key(value, INPUT_KEYS | OUTPUT_KEYS) and not _listed(value, _EXAMPLES_KEY):
        return [value]
    items = [_unwrapped(item) for item in _listed(value, _EXAMPLES_KEY) or ()]
    return items if any(_has_key(one, INPUT_KEYS | OUTPUT_KEYS) for one in items) else None


def classification_member(value: JsonValue) -> JsonValue | None:
    """What an object says under the one key that answers whether a task is a classification."""
    value = _unwrapped(value)
    found = [one for name, one in value.members if folded(name) in _CLASSIFICATION_KEYS]
    return found[0] if len(found) == 1 else None


def is_json_like(text: str) -> bool:
    """Whether a reply that was asked for as text is JSON of ours, whole or not, in a fence or after a preamble.

    The value has to begin a line, below no line that is a marker of the text format; a bare list of strings, which an
    answer may be as well, below nothing but a preamble.
    """
    value = next((one for one in read_json(text) if _is_ours(one)), None)
    if value is None:
        return False
    before = text[: value.start]
    lines = before.split("\n")
    if not _LINE_START.fullmatch(lines[-1]) or any(map(_is_marker, lines)):
        return False
    return value.kind is JsonKind.OBJECT or not any(_unexplained(before, is_outside=True))


def _is_ours(value: JsonValue) -> bool:
    return (
        example_items(value) is not None
        or task_items(value) is not None
        or (classification_member(value) is not None and len(value.members) == 1)
    )


def _is_marker(line: str) -> bool:
    return _MARKER_LINE.match(line) is not None or folded(line[:40]) in INPUT_KEYS | OUTPUT_KEYS
