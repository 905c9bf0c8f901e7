"""Texts in which tokenizers, encoders and comparisons trip: many scripts, marks, what is not seen, nothing at all.

Knows nothing of scores. A text that is written from tokens has just these tokens by every tokenizer of the package.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

__all__ = ["INVISIBLE", "SCRIPTS", "TRIPPING", "texts", "written"]

SCRIPTS = (
    "Name three red fruits.",
    "Don't stop_now: 3.14",
    "写一首关于春天的诗。",
    "東京の天気を教えてください。",
    "ｶﾀｶﾅ ＡＢＣ　１２３",
    "오늘 날씨가 어때요?",
    "Напиши стихи о ВЕСНЕ!",
    "Γράψε ΣΟΦΟΣ σοφος",
    "Straße ﬁnd x² №5",
    "İstanbul ISPARTA ışık",
    "اكتب قصيدة عن الرَّبيع؟",
    "שָׁלוֹם עולם",
    "वसंत पर एक कविता लिखो।",
    "เขียนบทกวี เกี่ยวกับฤดูใบไม้ผลิ",
    "Viết một bài thơ về mùa xuân.",
    "I ❤️ 🇫🇷 👩‍👩‍👧",
    "?!… — ¡",
)
"""Texts of many scripts, one without a letter, in which a tokenizer for one language finds little."""

TRIPPING = (
    "aZ09 _-\u0130\u212a\u00df\u0345\u1fb4\u00ad\u200b\u200d\ufe0f\u3005\u3007\uff21\u0e33\u0301"
    "'iI\u0131\u0307\u0323\u00b4\u02bc\u0438\u0457\u0627\u0671\u0640\u064e\u0654\u0653\u06e5\ufe71\ufcf3\ufefb\u05e9\u05c1\ufb2a"
    "\u0935\u093e\u094d\u200c\u3164\u1100\u1161\u11a8\uac01\uff76\uff9e\u3099\u5199\ufe00\u20e3\u0661\u2460\u00b2"
)
"""Characters that have tripped tokenizers: they lower or fold into others, compose, or have no look of their own."""

INVISIBLE = (
    "\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2064"
    "\u2066\u2067\u2068\u2069\u206a\u3164\ufe00\ufe0f\ufeff\uffa0\U000e0020\U000e007f\U000e0100"
)
"""Characters without a look of their own: what a copy can hold anywhere, and reads as before."""

_LONE_SURROGATES = "\ud800\udbff\udc00\udfff"
_SEPARATORS = (" ", "  ", ", ", "-", "\n", "_", " — ", "\u3000", "\t", ". ")


def texts(*, surrogates: bool = True, longest: int = 40) -> SearchStrategy[str]:
    """Texts of any characters, of any script, and mixtures; the empty one, and such without a letter.

    Args:
        surrogates: whether they hold halves of surrogate pairs, which a `str` may and UTF-8 may not.
        longest: how many characters are drawn one by one, at most.
    """
    odd = TRIPPING + INVISIBLE + (_LONE_SURROGATES * 8 if surrogates else "")  # or one is drawn in hundreds
    anything = st.characters() if surrogates else st.characters(exclude_categories=["Cs"])
    return st.one_of(
        st.lists(st.sampled_from("ab c" * 8 + odd), max_size=longest).map("".join),
        st.text(anything, max_size=longest),
        st.lists(st.sampled_from(SCRIPTS), max_size=3).map(" ".join),
        st.sampled_from(SCRIPTS).flatmap(lambda text: _with_one_of(odd, text)),
    )


@st.composite
def _with_one_of(draw: DrawFn, characters: str, text: str) -> str:
    place = draw(st.integers(0, len(text)))
    return text[:place] + draw(st.sampled_from(characters)) + text[place:]


@st.composite
def written(draw: DrawFn, tokens: Sequence[str]) -> str:
    """A text with just these tokens, which are of a-z and 0-9: in some case, with some separator, perhaps a full stop.

    Args:
        draw: given by Hypothesis.
        tokens: the tokens.
    """
    text = draw(st.sampled_from(_SEPARATORS)).join(tokens)
    kind = draw(st.integers(0, 5))
    return f" {text.upper()}." if kind == 5 else text
