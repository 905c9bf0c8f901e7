"""Candidates out of replies, as the profile `default` reads them; `paper` reads them as the reference does.

Knows nothing of filters, prompts or models. Every function takes any text, never raises, and takes time linear in
its length.
"""

import re

from fastinstruct.text.parsing_instances import parse_instances
from fastinstruct.text.parsing_instructions import parse_instructions

__all__ = ["parse_classification", "parse_instances", "parse_instructions"]

_ANSWER = re.compile(
    r"[\s\"'“”‘*_`#>(\[-]*(?:[A-Za-z][A-Za-z _]{0,60}(?:\?|\??[*_]{0,3}[:：])[\s\"'“*_`(\[-]*)?"
    r"(?:(?P<yes>yes|true)|no|false)(?!_*[^\W_])(?!\s*(?:/|or\b)\s*(?:no|false|yes|true)\b)",
    re.IGNORECASE,
)


def parse_classification(text: str) -> bool | None:
    """What a reply to the prompt of stage 2 says at its beginning: True for yes, False for no, None for neither.

    Markup, quotes and a label ("Answer:") before it don't matter, nor does case.

    Source: arXiv:2212.10560, section 2.2; the reference takes anything but "Yes", "yes" and "YES" for a no.
    """
    answer = _ANSWER.match(text)
    return None if answer is None else answer["yes"] is not None
