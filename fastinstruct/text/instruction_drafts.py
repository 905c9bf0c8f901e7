"""What of a reply to stage 1 comes before its answer: thinking whose marks are still there, and lists thrown away.

Knows nothing of items. Takes any text or lines, never raises, and takes time linear in them. It never tears a line:
what comes before the answer are whole lines, or all up to a mark that ends the thinking.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from fastinstruct.text.numbering import BULLET, DECIMAL, LABEL, markers_of
from fastinstruct.text.reply_lines import Line

__all__ = ["answer_lines", "begins_as_an_idea", "without_thinking"]

_NAMES = r"(?:seed:)?(?:think(?:ing)?|thought|reason(?:ing)?|analysis|reflection|scratchpad|draft)"
# A mark ends the thinking where it stands at a line's beginning or end; inside a sentence it is what the text is about.
_ENDED = re.compile(
    rf"(?:^[ \t]*)(?:</{_NAMES}>|\[/THINK\]|◁/think▷)|(?:</{_NAMES}>|\[/THINK\]|◁/think▷)(?=[ \t]*$)|"
    r"<\|channel\|> ?final\b[^\n<]{0,40}(?:<\|message\|>)?|assistant ?final(?=[^a-z]|\Z)|"
    r"^[ \t]*\.{0,3} ?done thinking\.?[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_BEGUN = re.compile(
    rf"^[ \t]*(?:<{_NAMES}>|\[THINK\]|◁think▷|(?:<\|start\|>assistant)?<\|channel\|> ?(?:analysis|commentary)\b|"
    r"thinking\.\.\.[ \t]*$)|\A\s*analysis(?=[A-Z])",
    re.IGNORECASE | re.MULTILINE,
)
# Without one of these neither matches, and to look for them takes a hundredth of the time.
_NEEDED = ("think", "thought", "reason", "analysis", "reflection", "scratchpad", "draft", "<|channel|>", "assistant")
_OTHER_CASES = frozenset("\u017f\u0131\u0130")  # are s and i where case does not count, and not in lower case

_FINAL_WORDS = (
    r"final(?:ly)?|finali[sz]ed|revised|refined|improved|polished|corrected|updated|actual|"
    r"endgültige?[nrs]?|finale?[nrs]?|überarbeitete?[nrs]?|définiti(?:f|ve)s?|finale?s?|révisée?s?|"
    r"definitiv[ao]s?|finales|"
    r"revisad[ao]s?|finais|final[ei]|rivist[aio]|окончательн\w{2,3}|итогов\w{2,3}|итог|النهائية?|نهائية?|अंतिम|"
    r"最终|最終|最后|最後|修改后|修订后|최종"
)
_LISTS = (
    r"lists?|tasks?|answers?|versions?|instructions?|set|outputs?|response|prompts?|eight|liste[n]?|aufgaben?|antwort|"
    r"version|tâches?|consignes?|réponse|listas?|tareas?|respuesta|versión|tarefas?|resposta|versão|elenco|"
    r"compiti|risposta|"
    r"versione|список|задани[ея]|задачи|ответ|вариант|القائمة|المهام|الإجابة|सूची|कार्य|उत्तर|"
    r"列表|任务|答案|版本|清单|版|回答|リスト|タスク|목록|작업|답변|답"
)
_FINAL = re.compile(
    rf"[\s*_#>=(-]*(?:(?:so|ok|okay|now|and|then|here (?:is|are)|here's|this is|der|die|das|la|le|les|"
    rf"el|il|l['’]|los|las|a|"
    rf"o|the|my|your)[,:]? ?){{0,4}}(?:(?:{_LISTS}) ?){{0,1}}(?:{_FINAL_WORDS})(?: ?(?:{_LISTS})){{0,2}}"
    r"[\s*_)]*(?:[:：]|\Z)[\s*_=)-]*",
    re.IGNORECASE,
)
_SECOND_THOUGHT = re.compile(
    r"[\s*_(]*(?:(?:but|so|ok|okay|no|well|oh)[,.]? )?(?:actually|hmm+|wait|on second thought|scratch that|"
    r"let me (?:refine|revise|try|think|redo|rewrite|improve|do|reconsider|start over|replace|change|rephrase|adjust|"
    r"pick|"
    r"finali[sz]e)|let['’]s (?:refine|revise|try|redo|rewrite|improve|reconsider|finali[sz]e)|"
    r"i(?:['’]ll| will| should| need to) (?:refine|revise|redo|rewrite|improve|replace|finali[sz]e)|"
    r"moment|warte|doch besser|attends|en fait|espera|en realidad|pensándolo|na verdade|in realtà|aspetta|"
    r"подожди|нет, лучше|"
    r"不过|等等|让我(?:重新|修改|再)|やはり|いや|待って|잠깐|다시 (?:생각|써))(?![\w-])",
    re.IGNORECASE,
)
_IDEA = re.compile(
    r"(?:maybe|perhaps|possibly|something (?:about|like|on|with)|an idea:|idea:|vielleicht|peut-être|quizás?|tal vez|"
    r"talvez|forse|возможно|может быть|ربما|शायद)(?![\w-])|(?:也许|或许|可能是|もしかしたら|たぶん|아마)",
    re.IGNORECASE,
)


def without_thinking(text: str) -> tuple[str, str]:
    """What a reply says after its thinking, and the thinking; all of it is thinking if that never ends.

    Args:
        text: a reply, from which the wrappers that are certain were taken off.
    """
    if not _may_hold_thinking(text):
        return text, ""
    end = max((found.end() for found in _ENDED.finditer(text)), default=0)
    begun = _BEGUN.search(text, end)
    if begun:
        return text[end : begun.start()], f"{text[:end]}{text[begun.start() :]}"
    return text[end:], text[:end]


def _may_hold_thinking(text: str) -> bool:
    lower = text.lower()
    return any(word in lower for word in _NEEDED) or not (text.isascii() or _OTHER_CASES.isdisjoint(text))


def answer_lines(lines: Sequence[Line], first_number: int) -> tuple[list[Line], list[str]]:
    """The lines after a list that was but a draft, and what the lines up to there say.

    A list is a draft if a line such as "Final list:" or "Wait, let me revise these." takes it back and the numbers
    begin anew below that line.

    Args:
        lines: all lines of the reply.
        first_number: the number after the last in-context instruction.
    """
    lines = [part for line in lines for part in _opened(line, first_number)]
    following = _following(lines)
    highest = 0
    start = 0
    for place, line in enumerate(lines):
        if line.markers and line.markers[0].style != LABEL:
            number = line.markers[0].number
            highest = max(highest, number or 1)
        elif highest and line.text and _begins_anew(following[place], highest) and _is_turn(line.text):
            start, highest = place + 1, 0
    return lines[start:], [line.text for line in lines[:start] if line.text]


def begins_as_an_idea(text: str) -> bool:
    """Whether a text weighs something instead of asking for it ("Maybe write ...")."""
    return _IDEA.match(text) is not None


def _opened(line: Line, first_number: int) -> list[Line]:
    """A line such as "Final: 9. Write ..." in its two parts; any other line as it is."""
    found = None if line.markers or not line.text else _FINAL.match(line.text)
    if found is None or found.end() == len(line.text):
        return [line]
    rest = line.text[found.end() :]
    markers = markers_of(rest)
    if not any(marker.style == DECIMAL and marker.number in (1, first_number) for marker in markers):
        return [line]
    return [replace(line, text=line.text[: found.end()].strip()), replace(line, text=rest, markers=markers)]


def _following(lines: Sequence[Line]) -> list[Line | None]:
    """For every line, the next one with text, if it has a marker."""
    after: list[Line | None] = []
    following: Line | None = None
    for line in reversed(lines):
        after.append(following)
        if line.text:
            following = line if line.markers else None
    return after[::-1]


def _begins_anew(line: Line | None, highest: int) -> bool:
    if line is None:
        return False
    marker = line.markers[0]
    return marker.style.startswith(BULLET) or marker.number <= highest


def _is_turn(text: str) -> bool:
    """Whether a line between two lists takes the first one back."""
    found = _FINAL.match(text)
    return (found is not None and found.end() == len(text)) or _SECOND_THOUGHT.match(text) is not None
