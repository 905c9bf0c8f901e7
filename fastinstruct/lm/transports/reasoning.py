"""What a model thought, told from what it answered: the wrappers that model families put around their reasoning.

Knows nothing of HTTP, JSON or stages: a text in, its answer out. Guarantees: only what a reply begins with is taken for
reasoning (a wrapper in the middle of an answer is content), nothing of a thought that never ends is an answer, a reply
that cannot be told apart stays whole, whatever the text the time is linear in its length, and nothing raises.

Three shapes are known. Tags enclose the thought (`<think>` and its kin, in any case, with attributes, several, nested,
without the opening one where it stood in the prompt). Channels introduce thought and answer each with a heading of its
own (gpt-oss). And the answer after a thought may be wrapped, too.

Source: the model families' chat templates; the reasoning parsers of vLLM, SGLang and llama.cpp, by their documentation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

__all__ = ["FAMILIES", "Answer", "Family", "without_reasoning"]


class Family(NamedTuple):
    """What models of a family write around a thought, and around the answer that follows it."""

    models: str
    opening: str
    closing: str
    answer_opening: str = ""
    answer_closing: str = ""


FAMILIES: Final = (
    Family("DeepSeek-R1 and V3.1, Qwen3, GLM 4.5, MiniMax-M2, Phi-4-reasoning, OLMo 3", "<think>\n", "\n</think>\n\n"),
    Family("QwQ, Qwen3-Thinking, Nemotron (the opening tag is in the prompt)", "", "\n</think>\n\n"),
    Family("Hunyuan A13B, GLM-4.1V-Thinking", "<think>\n", "\n</think>\n", "<answer>\n", "\n</answer>"),
    Family("Ernie 4.5", "", "\n</think>\n\n", "<response>\n", "\n</response>\n"),
    Family("Granite 3.3", "<think>", "</think>", "<response>", "</response>"),
    Family("Granite 3.2", "Here is my thought process:\n", "\n\n", "Here is my response:\n"),
    Family("EXAONE Deep", "<thought>\n", "\n</thought>\n\n"),
    Family("Claude, when asked to think in its text", "<thinking>\n", "\n</thinking>\n\n"),
    Family("Reflection 70B", "<thinking>\n", "\n</thinking>\n", "<output>\n", "\n</output>"),
    Family("Marco-o1", "<Thought>\n", "\n</Thought>\n", "<Output>\n", "\n</Output>"),
    Family("Grok and many fine-tuned models", "<reasoning>\n", "\n</reasoning>\n"),
    Family("Seed-OSS", "<seed:think>", "</seed:think>"),
    Family("LongCat-Flash-Thinking", "<longcat_think>\n", "\n</longcat_think>\n"),
    Family("Magistral", "[THINK]", "[/THINK]"),
    Family("Kimi-VL-Thinking, Kimi K2 Thinking", "◁think▷", "◁/think▷"),
    Family(
        "Sky-T1, OpenThinker",
        "<|begin_of_thought|>\n\n",
        "\n\n<|end_of_thought|>\n\n",
        "<|begin_of_solution|>\n\n",
        "\n\n<|end_of_solution|>",
    ),
    Family(
        "Command A Reasoning",
        "<|START_THINKING|>",
        "<|END_THINKING|>",
        "<|START_RESPONSE|>",
        "<|END_RESPONSE|>",
    ),
    Family("Command A, newer", "<|START_THINKING|>", "<|END_THINKING|>", "<|START_TEXT|>", "<|END_TEXT|>"),
    Family("Apertus", "<|inner_prefix|>", "<|inner_suffix|>"),
    Family("MedGemma", "<unused94>thought\n", "<unused95>"),
    Family("Gemma 4", "<|channel>thought\n", "<channel|>"),
    Family("Solar Open", "<|think|>", "<|end|>", "<|begin|>assistant<|content|>", "<|end|>"),
    Family(
        "gpt-oss",
        "<|channel|>analysis<|message|>",
        "<|end|>",
        "<|start|>assistant<|channel|>final<|message|>",
        "<|return|>",
    ),
    Family(
        "gpt-oss, JSON asked for",
        "<|start|>assistant<|channel|>analysis<|message|>",
        "<|end|>",
        "<|start|>assistant<|channel|>final <|constrain|>json<|message|>",
        "<|return|>",
    ),
    Family("gpt-oss, its special tokens dropped by the server", "analysis", "", "assistantfinal"),
)
"""Who writes what; each row is tested."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A reply without its reasoning.

    `had_reasoning` says that some was removed; `is_unfinished` that the thought never ended, so that `text` is empty.
    """

    text: str
    had_reasoning: bool = False
    is_unfinished: bool = False


_UNFINISHED: Final = Answer(text="", had_reasoning=True, is_unfinished=True)

_NAMES: Final = (
    r"(?:think|thinking|thoughts?|reason|reasoning|reflection|analysis|scratchpad|cot|inner_monologue|seed:think"
    r"|longcat_think|ant_?thinking|mm:think|think:\w{1,20})"
)
_BRACKETED: Final = r"(?-i:THINK|THINKING|REASONING)\]"  # in lower case they are holes to fill in
_THOUGHT: Final = r"(?:think|thinking|thought|reasoning)"
# It begins with a set of characters, which the search looks for quickly; a group tells closing tags.
_TAG: Final = re.compile(
    rf"[<\[◁](?:(?<=<)(?=[a-z/|])(?:{_NAMES}(?:\s[^<>]{{0,200}})?/?>|unused94>|\|channel>|\|inner_prefix\|>"
    rf"|\|(?:(?:begin|start)_(?:of_)?{_THOUGHT}|{_THOUGHT}_(?:begin|start))\|>"
    rf"|(?P<closing>/{_NAMES}\s?>|unused95>|channel\|>|\|inner_suffix\|>"
    rf"|\|(?:end_(?:of_)?{_THOUGHT}|{_THOUGHT}_end)\|>))"
    rf"|(?<=\[)(?:{_BRACKETED}|(?P<closing_in_brackets>/{_BRACKETED}))"
    r"|(?<=◁)(?:think▷|(?P<closing_in_triangles>/think▷)))",
    re.IGNORECASE,
)
_LEAD: Final = re.compile(r"(?:[\s\ufeff\u200b]++|<\|(?:im_start|assistant|begin|start)\|>(?:assistant)?)*+")

_QUOTES: Final = frozenset("`'\"“”‘’«»「」()[]*_")
_BLANKS: Final = frozenset(" \t")
_AFTER_A_WORD: Final = frozenset(" \t,.;:!?)")

# How a thought begins, and what then introduces the answer.
_CHANNELS: Final = (
    (
        re.compile(r"(?:<\|start\|>)?(?:assistant)?<\|channel\|>"),
        re.compile(r"<\|channel\|>\s?final\b[^<]{0,80}(?:<\|constrain\|>[^<]{0,40})?<\|message\|>"),
        re.compile(r"<\|channel\|>|<\|start\|>assistant"),
    ),
    (
        re.compile(r"<\|think\|>"),
        re.compile(r"<\|begin\|>assistant\s?<\|content\|>"),
        re.compile(r"<\|begin\|>assistant|<\|think\|>"),
    ),
    (
        re.compile(r"\*{0,2}Here(?: is|[’']s) my thought process:", re.IGNORECASE),
        re.compile(r"\*{0,2}Here(?: is|[’']s) my response:\*{0,2}", re.IGNORECASE),
        re.compile(r"Here(?: is|[’']s) my (?:thought process|response):", re.IGNORECASE),
    ),
    (
        re.compile(r"(?:assistant)?(?:analysis|commentary)(?=[^\W_a-z])"),
        re.compile(r"assistantfinal"),
        re.compile(r"assistant(?:final|analysis|commentary)"),
    ),
)
# Without the certainty of a capital letter, the answer's heading has to be there.
_LOWER_CASE_CHANNEL: Final = re.compile(r"(?:assistant)?(?:analysis|commentary)[^\s:.,;!?()\-]")
_FINAL: Final = "assistantfinal"
_LABEL_ALONE: Final = re.compile(
    r"(?:analysis|thought)\r?\n"
)  # the tokens around it were dropped: where it ends is lost
_END_TOKENS: Final = ("<|return|>", "<|end|>", "<|call|>")
_LONGEST_WRAPPER: Final = 24  # characters
_MAX_TAGS: Final = 500  # a thought about such tags names some dozens

# Around a whole answer, where a thought came before it.
_WRAPPERS: Final = tuple(
    (f"<{name}>", f"</{name}>") for name in ("answer", "response", "output", "solution", "final", "final_answer")
)
# And these, which are no words, in any case.
_TOKEN_WRAPPERS: Final = (
    ("<|begin_of_solution|>", "<|end_of_solution|>"),
    ("<|start_response|>", "<|end_response|>"),
    ("<|start_text|>", "<|end_text|>"),
)


def without_reasoning(text: str) -> Answer:
    """Tell the answer in a reply's text from the reasoning that it begins with; as it is where it holds none."""
    found = _of_channels(text)
    if found is None and ("<" in text or "[" in text or "◁" in text):
        found = _of_tags(text)
    if found is None:
        return Answer(text=_unwrapped(text, _TOKEN_WRAPPERS))
    if found.is_unfinished or not found.had_reasoning:
        return found
    return Answer(text=_unwrapped(found.text, _TOKEN_WRAPPERS + _WRAPPERS), had_reasoning=True)


def _of_channels(text: str) -> Answer | None:
    """The answer of a reply whose parts have headings; None for any other, and where several could be the answer."""
    start = _LEAD.match(text)
    begin = start.end() if start is not None else 0
    for opening, heading, another in _CHANNELS:
        if opening.match(text, begin):
            return _after_heading(text, heading, another) or _UNFINISHED
    if _LABEL_ALONE.match(text, begin):
        return _UNFINISHED
    return _of_dropped_tokens(text, begin)


def _after_heading(text: str, heading: re.Pattern[str], another: re.Pattern[str]) -> Answer | None:
    """What follows the answer's heading; the whole text where there is another after it, None where there is none."""
    found = heading.search(text)
    if found is None:
        return None
    if another.search(text, found.end()):
        return Answer(text=text)
    return Answer(text=_without_end_token(text[found.end() :].strip()), had_reasoning=True)


def _of_dropped_tokens(text: str, begin: int) -> Answer | None:
    """The answer after `assistantfinal`, which is all that is left of a heading; its thought may lack its own."""
    at = text.find(_FINAL)
    if at < 0:
        return None
    end = at + len(_FINAL)
    if not _LOWER_CASE_CHANNEL.match(text, begin) and not _is_glued(text, at, end):
        return None
    heading = re.compile(_FINAL)
    return _after_heading(text, heading, re.compile(r"assistant(?:final|analysis|commentary)"))


def _is_glued(text: str, at: int, end: int) -> bool:
    """Whether it stands between two characters as no word of a sentence does."""
    before, after = text[at - 1 : at], text[end : end + 1]
    return all(side and not side.isspace() and side not in _QUOTES for side in (before, after))


def _without_end_token(text: str) -> str:
    """The text without the token that ends a message; one that stands as a word of its own is a word."""
    if not text.endswith(_END_TOKENS):
        return text
    rest = text[: text.rindex("<|")]
    return text if rest[-1:] in _BLANKS else rest.rstrip()


def _of_tags(text: str) -> Answer | None:
    """The answer after the thoughts that the text begins with; None where it begins with none."""
    tags = list(islice(_TAG.finditer(text), _MAX_TAGS))
    if not tags:
        return None
    if len(tags) == _MAX_TAGS:  # noise; nothing tells where in it a thought ends
        return _UNFINISHED if _begins(text, 0, tags[0]) else Answer(text=text)
    end = number = 0
    while number < len(tags):
        if _begins(text, end, tags[number]):
            closing = _closing(text, tags, number)
        else:
            closing = _closing_without_opening(text, tags, number, end)
            if closing is None:
                break
        if closing is None:
            return _UNFINISHED
        end, number = tags[closing].end(), closing + 1
    return Answer(text=text[end:].lstrip(), had_reasoning=True) if end else None


def _begins(text: str, begin: int, tag: re.Match[str]) -> bool:
    """Whether the text from `begin` on begins with this tag, and it is one that opens a thought."""
    lead = _LEAD.match(text, begin)
    return lead is not None and tag.start() == lead.end() and _opens(tag)


def _opens(tag: re.Match[str]) -> bool:
    return tag.lastgroup is None


def _closing(text: str, tags: list[re.Match[str]], number: int) -> int | None:
    """The number of the tag that ends the thought which tag `number` begins; None where none does.

    That is where tags are balanced, those left out that a thought only mentions; where they never are, the last one.
    """
    if tags[number][0].endswith("/>"):
        return number
    depth, last = 0, None
    for at in range(number, len(tags)):
        tag = tags[at]
        if not _opens(tag):
            last = at
        if at == number or not _is_mentioned(text, tag):
            depth += 1 if _opens(tag) else -1
            if depth == 0:
                return at
    return last


def _closing_without_opening(text: str, tags: list[re.Match[str]], number: int, begin: int) -> int | None:
    """The number of a tag that ends a thought whose beginning was in the prompt; None where that is not certain.

    An answer in JSON, a block of code and a sentence about such tags hold them as content, and so does what has an
    opening tag further on.
    """
    if text[begin : begin + 64].lstrip()[:1] in ("{", "["):
        return None
    num_fences = 0
    for at in range(number, len(tags)):
        tag = tags[at]
        if _opens(tag):
            return None
        num_fences += text.count("```", begin, tag.start())
        begin = tag.end()
        if num_fences % 2 == 0 and not _is_mentioned(text, tag):
            return at
    return None


def _is_mentioned(text: str, tag: re.Match[str]) -> bool:
    """Whether a tag stands in quotes, brackets or emphasis, or as a word of its own inside a line."""
    before, after = text[tag.start() - 1 : tag.start()], text[tag.end() : tag.end() + 1]
    if before == "`" or (before in _QUOTES and after in _QUOTES):
        return bool(before)
    if before not in _BLANKS:
        return False
    ends_line = after in ("\r", "\n")
    return after in _AFTER_A_WORD or (ends_line and not text[tag.end() : tag.end() + 2].isspace())


def _unwrapped(text: str, wrappers: tuple[tuple[str, str], ...]) -> str:
    """The answer without what is wrapped around all of it; as it is where more follows the wrapper's end."""
    begin = text[:_LONGEST_WRAPPER].lower()
    for opening, closing in wrappers:
        if begin.startswith(opening):
            body = text[len(opening) :].rstrip()
            if body[-len(closing) :].lower() == closing:
                return body[: -len(closing)].strip()
            return text if closing in body.lower() else body.lstrip()  # cut off before its end
    return text
