"""What models say around an answer, and pieces of a prompt that they repeat.

Knows nothing of how replies are read. Every pattern matches in time linear in the text: no repetition stands inside
another.
"""

import re

__all__ = ["is_preamble", "is_remark", "leaks_into_instance", "leaks_into_instruction"]

_PREAMBLE = re.compile(
    r"[\s*_>#]*+(?:sure|certainly|of course|absolutely|okay|ok|alright|great|happy to help|got it|no problem|"
    r"claro|por supuesto|bien sûr|certo|natürlich|gerne|конечно|好的|当然|當然|はい|もちろん)(?:[,.!:，。！：、]|$)",
    re.IGNORECASE,
)
_REMARK = re.compile(
    r"[\s*_(>]*+(?:please )?(?:let me know|i hope|hope (?:this|these|that)|feel free|would you like (?:me|more|to)|"
    r"do you want me|(?:these|this|the above|all) (?:\w+ )?(?:tasks|instructions|list|examples)\b|"
    r"if you(?:['’]d like| want| need|['’]re looking)|is there anything|note:? (?:that )?these|end of (?:list|tasks)|"
    r"\[end)",
    re.IGNORECASE,
)

_TOKENS = (
    r"<\|[a-z_▁]{2,30}\|>|<(?:start|end)_of_turn>|<｜[^｜\n]{1,40}｜>|\[/?INST\]|<</?SYS>>|</?s>|<(?:bos|eos|pad|"
    r"unk)>|"
    r"### ?(?:Instruction|Response|Input)\b"
)
_PLACEHOLDERS = r"\{(?:instruction|input|output|tasks?)\}"
# After a word it's content: "Classification Task: ...".
_MARKERS = (
    r"(?<![\w,;] )\b(?:Task|Input|Output|Class [Ll]abel|Label task) ?\d{0,3} ?[:：]|"
    r"\bExample \d{1,3}(?= ?(?:[:.：]|$))"
)
_INSTRUCTION_LEAK = re.compile(
    rf"{_TOKENS}|{_PLACEHOLDERS}|{_MARKERS}"
    r"|\[(?:[Yy]our|[Ii]nsert|INSERT|YOUR)\b|<(?:[Yy]our|[Ii]nsert|input|output|instruction|task)\b[^<>\n]{0,40}>"
)
_NO_WORD = re.compile(r"[\W_]+")
# Every match of the one above and the one below holds one of these: looking for them first costs a fraction.
_SIGNS_IN_INSTRUCTION = ("<", "[", "{", "#", ":", "：", "Example ")
_SIGNS_IN_INSTANCE = ("<", "[", "{", "#", ":")
_INSTANCE_LEAK = re.compile(
    rf"{_TOKENS}|\{{instruction\}}|^ {{0,3}}(?:Class label|Label task) ?:", re.IGNORECASE | re.MULTILINE
)


def is_preamble(line: str) -> bool:
    """Whether the line begins as an answer to the user does ("Sure!", "好的，")."""
    return _PREAMBLE.match(line) is not None


def is_remark(line: str) -> bool:
    """Whether the line begins as a closing remark does ("Let me know if", "These tasks")."""
    return _REMARK.match(line) is not None


def leaks_into_instruction(text: str) -> bool:
    """Whether an instruction holds a piece of a prompt (a marker, a special token, a hole to fill in) or no word."""
    if _NO_WORD.fullmatch(text):
        return True
    return any(map(text.__contains__, _SIGNS_IN_INSTRUCTION)) and _INSTRUCTION_LEAK.search(text) is not None


def leaks_into_instance(text: str) -> bool:
    """Whether an input or output holds a special token or a line of the prompt.

    Milder than for instructions: a program may well hold "Input:". Holes to fill in are for `holes`.
    """
    return any(map(text.__contains__, _SIGNS_IN_INSTANCE)) and _INSTANCE_LEAK.search(text) is not None
