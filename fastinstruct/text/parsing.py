"""Candidates out of replies, as the profile `default` reads them; `paper` reads them as the reference does.

Knows nothing of filters, prompts or models. Every function takes any text, never raises, and takes time linear in
its length.
"""

import re

from fastinstruct.text.parsing_instances import parse_instances
from fastinstruct.text.parsing_instructions import parse_instructions
from fastinstruct.text.remarks import is_introduction, is_opener
from fastinstruct.text.structured import is_json_like, read_is_classification

__all__ = ["parse_classification", "parse_instances", "parse_instructions"]

# Longest first, where one begins another. A Spanish "si" without its accent is an "if", unless nothing follows it.
_YES = (
    r"yes|true|yeah|yep|是的|是|对|對|正确|はい|ええ|네|예|그렇습니다|맞습니다|ja|wahr|oui|vrai|sí|"
    r"si(?=\W*(?:[.,!;\n]|\Z))|"
    r"verdadero|sim|verdadeiro|sì|vero|да|верно|نعم|أجل|صحيح|हाँ|हां|जी हाँ|सही"
)
_NO = (
    r"no|false|nope|不是|不对|不|否|错误|いいえ|いや|아니요|아니오|아닙니다|nein|falsch|non|faux|falso|não|нет|"
    r"неверно|لا|خطأ|नहीं|"
    r"जी नहीं|गलत"
)
_AROUND = r"(?:<(?:answer|label)>)?[✅❌✔✓✗✘☑️\s\"'“”‘’«»「」『』*_`#>(\[【¡–—\u200b-\u200f\u2060\ufeff-]*+"
_BEFORE = (
    r"(?:(?:[^\W\d_][^\n:：?？]{0,60}(?:[?？]|[*_]{0,3}[:：])|(?:the|my) (?:correct |right )?answer is )"
    r"[\s\"'“«「*_`(\[-]*+)?"
)
_OR = r"(?:/|\||\bor\b|或者|或|还是|または|또는|혹은|\boder\b|\bou\b|\bo\b|\bили\b|أو|या)"
_ANSWER = re.compile(
    # No letter follows, but for what is whole without a space: "是的这是", "不是分类任务".
    rf"{_AROUND}{_BEFORE}(?:(?P<yes>{_YES})|(?:{_NO}))(?:(?<=是的)|(?<=不是)|(?!_*[^\W_]|[\u0900-\u0dff]))"
    rf"(?![\s*_`\"'”’」]*{_OR}\s*[*_`\"'“‘「]*(?:{_YES}|{_NO})(?![^\W_]))",
    re.IGNORECASE,
)

_OPENER = re.compile(
    r"(?:sure|certainly|of course|okay|ok|here you go|klar|natürlich|claro|bien sûr|certo|конечно|好的|はい)"
    r"[!,.:！，。、：]\s*",
    re.IGNORECASE,
)
_MAX_OPENED = 60


def parse_classification(text: str) -> bool | None:
    """What a reply to the prompt of stage 2 says at its beginning: True for yes, False for no, None for neither.

    Markup, quotes and a label ("Answer:") before it don't matter, nor does case. Yes and no are understood in English,
    Chinese, Japanese, Korean, German, French, Spanish, Portuguese, Italian, Russian, Arabic and Hindi. What names both
    ("yes or no") is neither.

    Source: arXiv:2212.10560, section 2.2; the reference takes anything but "Yes", "yes" and "YES" for a no.
    """
    if is_json_like(text):
        return read_is_classification(text)
    answer = _ANSWER.match(text) or _ANSWER.match(_without_preamble(text))
    return None if answer is None else answer["yes"] is not None


def _without_preamble(text: str) -> str:
    """What follows a first line that only announces the answer, or an opener before it ("Sure! Yes.")."""
    first, _, rest = text.lstrip().partition("\n")
    if rest.strip() and (is_introduction(first) or is_opener(first) or _OPENER.fullmatch(first.strip())):
        return rest
    opener = _OPENER.match(first)
    return first[opener.end() :] if opener and len(first) < _MAX_OPENED else ""
