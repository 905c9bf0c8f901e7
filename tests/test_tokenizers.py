"""Tokenizer `rouge` is rouge_score's; tokenizer `unicode` covers every script and agrees with it on ASCII."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import tokenize as reference

import naive
from fastinstruct.errors import InputError
from fastinstruct.similarity import tokenize

claim = settings(deadline=None, max_examples=400, derandomize=True, database=None)

# Any code point, lone surrogates included, with those more often that have tripped tokenizers before.
any_text = st.text(
    st.one_of(
        st.characters(exclude_categories=()),
        st.sampled_from(
            "aZ09 _-\u0130\u212a\u00df\u0345\u1fb4\u00ad\u200b\u200d\ufe0f\u3005\u3007\ud800\uff21\u0e33\u0301"
        ),
    )
)


@given(any_text)
@claim
def test_rouge_gives_the_tokens_of_rouge_score(text: str) -> None:
    assert tokenize(text, "rouge") == reference.tokenize(text, None)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Don't stop_now: 3.14", ["don", "t", "stop", "now", "3", "14"]),
        ("300 \u212a", ["300", "k"]),  # the Kelvin sign lowers to k
        ("\u0130stanbul", ["i", "stanbul"]),  # a dotted capital I lowers to i and a combining dot
        ("caf\u00e9", ["caf"]),
        ("写一首诗", []),
        ("", []),
        ("a\ud800b", ["a", "b"]),
    ],
)
def test_rouge_tokens_of_known_texts(text: str, tokens: list[str]) -> None:
    assert tokenize(text, "rouge") == tokens


@given(st.text(st.characters(max_codepoint=127)))
@claim
def test_both_tokenizers_agree_on_ascii(text: str) -> None:
    assert tokenize(text, "unicode") == tokenize(text, "rouge") == reference.tokenize(text, None)


def test_every_ascii_character_between_letters_is_treated_as_by_rouge_score() -> None:
    text = "".join(f"x{character}Y " for character in map(chr, range(128)))
    assert tokenize(text) == reference.tokenize(text, None)
    assert tokenize(string.printable) == ["0123456789abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"]


@given(any_text)
@claim
def test_unicode_agrees_with_its_plain_twin(text: str) -> None:
    assert tokenize(text) == naive.unicode_tokens(text)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("写一首关于春天的诗。", ["写", "一", "首", "关", "于", "春", "天", "的", "诗"]),
        ("用Python写3个函数", ["用", "python", "写", "3", "个", "函", "数"]),
        ("东京\U00020000二〇二四", ["东", "京", "\U00020000", "二", "〇", "二", "四"]),
        ("東京の天気を教えてください。", ["東", "京", "の", "天", "気", "を", "教", "えてください"]),
        ("コンピュータとは？", ["コンピュータとは"]),
        ("ｶﾀｶﾅ", ["カタカナ"]),  # half width
        ("오늘 날씨가 어때요?", ["오늘", "날씨가", "어때요"]),
        ("Напиши стихи о ВЕСНЕ!", ["напиши", "стихи", "о", "весне"]),
        ("เขียนบทกวี เกี่ยวกับฤดูใบไม้ผลิ", ["เขียนบทกวี", "เกี่ยวกับฤดูใบไม้ผลิ"]),
        ("اكتب قصيدةً عن الربيع؟", ["اكتب", "قصيدةً", "عن", "الربيع"]),
        ("वसंत पर एक कविता लिखो।", ["वसंत", "पर", "एक", "कविता", "लिखो"]),
        ("Γράψε ΣΟΦΟΣ σοφος", ["γράψε", "σοφοσ", "σοφοσ"]),  # a final sigma folds to the ordinary one
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("ＡＢＣ　１２３", ["abc", "123"]),  # full width
        ("ﬁnd x² №5", ["find", "x2", "no5"]),
        ("I ❤️ 1️⃣ it", ["i", "1\u20e3", "it"]),  # the selector of the red heart is no token
    ],
)
def test_unicode_tokens_of_known_texts(text: str, tokens: list[str]) -> None:
    assert tokenize(text) == tokens


def test_a_combining_mark_is_the_same_letter_as_the_composed_one() -> None:
    assert tokenize("cafe\u0301 noir") == tokenize("caf\u00e9 noir") == ["caf\u00e9", "noir"]


def test_folding_leaves_letters_composed() -> None:
    assert tokenize("\u0390 \u1e96") == ["\u0390", "\u1e96"]  # full case folding takes both apart


def test_invisible_characters_do_not_split_words_but_the_zero_width_space_does() -> None:
    assert tokenize("co\u00adop\u200der\u2060a\ufe0fte") == ["cooperate"]
    assert tokenize("می\u200cخواهم") == ["میخواهم"]
    assert tokenize("ab\u200bcd") == ["ab", "cd"]


def test_a_lone_surrogate_separates_tokens() -> None:
    assert tokenize("é\ud83dé \udc00") == ["é", "é"]


def test_unicode_is_the_default() -> None:
    assert tokenize("где") == tokenize("где", "unicode") == ["где"]


def test_an_unknown_tokenizer_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"^tokenizer must be one of rouge, unicode; got 'bpe'$"):
        tokenize("text", "bpe")


def test_a_text_that_is_no_str_is_refused() -> None:
    with pytest.raises(InputError, match=r"^text must be a str; got bytes$"):
        tokenize(b"text")  # type: ignore[arg-type]  # what is refused at run time
