"""Characters and markup that models put around what they say, and how to take them off.

Knows nothing of instructions or instances. Every function takes any `str`, never raises, and takes time linear in
its length.
"""

import re

__all__ = ["cleaned", "closed", "collapsed", "ends_alike", "inner", "unwrapped", "without_rules"]

_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")
# What a server's template forgot to stop at. In the middle of a text they are content, or a reason to reject it.
_END_OF_REPLY = re.compile(
    r"(?:<\|(?:endoftext|im_end|eot_id|end_of_text|end|return|eom_id|endofturn|end_of_turn)\|>|"
    r"<end_of_turn>|<｜end▁of▁sentence｜>|"
    r"</s>|\[/s\]|<eos>)\Z"
)
_TAIL_CHARS = 80
_RULE = re.compile(r"[-*_=]{3,}")
_LEADING_BOLD = re.compile(r"\A(\*\*|__)(?P<bold>[^*_]+)\1")
_WRAPPERS = (
    ("```", "```"),
    ("**", "**"),
    ("__", "__"),
    ("*", "*"),
    ("_", "_"),
    ("`", "`"),
    ('"', '"'),
    ("'", "'"),
    ("“", "”"),
    ("„", "“"),
    ("„", "”"),
    ("‘", "’"),
    ("‚", "‘"),
    ("＂", "＂"),
    ("«", "»"),
    ("»", "«"),
    ("‹", "›"),
    ("「", "」"),
    ("『", "』"),
)
_NAME = re.compile(r"[a-z][a-z0-9]*")  # __init__ and _private_ are names of Python, and their lines are no italics
_BEFORE_OPENING = " \n\t([{=,:"
_DOUBLE_QUOTES = frozenset(['""', "“”", "„“", "„”", "«»", "»«", "「」", "『』", "＂＂"])
_OPENINGS = tuple(opening for opening, _ in _WRAPPERS)


def cleaned(text: str) -> str:
    """A reply fit for line-wise reading and for storing.

    Line ends become newlines; other control characters go (those that separate words become spaces); lone surrogates
    become U+FFFD; tokens that end a reply are taken off its very end.
    """
    text = _UNWANTED.sub(_replacement, text.replace("\r\n", "\n").replace("\r", "\n"))
    for _ in range(3):  # such as <|im_end|><|endoftext|>
        bare = text.rstrip()
        end = _END_OF_REPLY.search(bare, max(0, len(bare) - _TAIL_CHARS))
        if end is None:
            break
        text = bare[: end.start()].rstrip()
    return text


def _replacement(match: re.Match[str]) -> str:
    character = match[0]
    if "\ud800" <= character <= "\udfff":
        return "\ufffd"
    if character in "\x85\u2028\u2029":
        return "\n"
    return " " if character.isspace() else ""


def collapsed(text: str) -> str:
    """The text with every run of white space as one space, none at its ends."""
    return " ".join(text.split())


def unwrapped(text: str) -> str:
    """The text without bold, italics, code marks or quotes around all of it, nor bold around its first words."""
    text = text.strip()
    for _ in range(3):  # such as **"text"**; more is content
        bare = inner(text)
        if bare is None:
            break
        text = bare
    return _LEADING_BOLD.sub(r"\g<bold>", text, count=1) if text.startswith(("**", "__")) else text


def inner(text: str) -> str | None:
    """What stands inside bold, italics, code marks or quotes around all of a text; None if nothing encloses it."""
    if not text.startswith(_OPENINGS):  # as mostly
        return None
    for opening, closing in _WRAPPERS:
        if len(text) > len(opening) + len(closing) and text.startswith(opening) and text.endswith(closing):
            inside = text[len(opening) : -len(closing)]
            # '"Yes" or "no"' begins and ends with a quote, but nothing encloses it.
            if opening not in inside and closing not in inside and inside.strip():
                return None if opening[0] == "_" and _NAME.fullmatch(inside) else inside.strip()
    return None


def ends_alike(text: str) -> str:
    """The double quotes around all of a text, whatever quotes it holds; "" without them, as around '"Yes" or "no"'."""
    ends = text[:1] + text[-1:]
    if len(text) < 3 or ends not in _DOUBLE_QUOTES:
        return ""
    closes_at = text.find(ends[1], 1)
    if closes_at == len(text) - 1:
        return ends
    # Two that are one sign tell by what stands before the second whether it opens or closes.
    opens_again = text[closes_at - 1] in _BEFORE_OPENING if ends[0] == ends[1] else ends[0] in text[1:closes_at]
    return ends if opens_again else ""


def closed(text: str, opened: str | None) -> str:
    """What follows a marker inside bold or italics that `opened` before it, without the mark that closes them."""
    return text.replace(opened, "", 1) if opened and text.count(opened) % 2 else text


def without_rules(text: str) -> str:
    """The text without white space and horizontal rules (`---`) at its ends."""
    lines = text.split("\n")
    first, last = 0, len(lines)
    while first < last and _is_blank_or_rule(lines[first]):
        first += 1
    while last > first and _is_blank_or_rule(lines[last - 1]):
        last -= 1
    return "\n".join(lines[first:last]).strip()


def _is_blank_or_rule(line: str) -> bool:
    line = line.strip()
    return not line or _RULE.fullmatch(line) is not None
