"""Tokenizer `rouge` is rouge_score's; those of every script agree with it on ASCII; a stored name keeps its meaning."""

import re
import string
import time
import unicodedata
from collections.abc import Callable
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import tokenize as reference

from fastinstruct.errors import InputError
from fastinstruct.similarity import tokenize
from fastinstruct.testing import texts as any_texts
from fastinstruct.testing import unicode_1_tokens, unicode_2_tokens
from fastinstruct.testing.writing import INVISIBLE
from fastinstruct.tokenizer_names import TOKENIZERS, exact_tokenizer, stored_tokenizer

claim = settings(deadline=None, max_examples=400, derandomize=True, database=None)

any_text = any_texts()


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
def test_all_tokenizers_agree_on_ascii(text: str) -> None:
    expected = reference.tokenize(text, None)
    assert [tokenize(text, name) for name in TOKENIZERS] == [expected] * len(TOKENIZERS)


def test_every_ascii_character_between_letters_is_treated_as_by_rouge_score() -> None:
    text = "".join(f"x{character}Y " for character in map(chr, range(128)))
    assert tokenize(text) == reference.tokenize(text, None)
    assert tokenize(string.printable) == ["0123456789abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"]


@given(any_text)
@claim
def test_unicode_agrees_with_its_plain_twin(text: str) -> None:
    assert tokenize(text, "unicode-1") == unicode_1_tokens(text)
    assert tokenize(text, "unicode-2") == unicode_2_tokens(text)


def test_every_character_is_read_as_by_the_plain_twin() -> None:
    ideographs_and_hangul = range(0x4E10, 0xD7A0)
    texts = (
        f"б{chr(code)}б" for code in [*range(0x20000), *range(0xE0000, 0xE0200)] if code not in ideographs_and_hangul
    )
    assert [text for text in texts if tokenize(text, "unicode-2") != unicode_2_tokens(text)] == []


@pytest.mark.parametrize("tokenizer", ["unicode-1", "unicode-2"])
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
        ("وقرأ أحمد؟", ["وقرأ", "أحمد"]),
        ("वसंत पर एक कविता लिखो।", ["वसंत", "पर", "एक", "कविता", "लिखो"]),
        ("Γράψε ΣΟΦΟΣ σοφος", ["γράψε", "σοφοσ", "σοφοσ"]),  # a final sigma folds to the ordinary one
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("ＡＢＣ　１２３", ["abc", "123"]),  # full width
        ("ﬁnd x² №5", ["find", "x2", "no5"]),
        ("I ❤️ it", ["i", "it"]),  # the selector of the red heart is no token
        ("cafe\u0301 noir", ["caf\u00e9", "noir"]),
        ("\u0390 \u1e96", ["\u0390", "\u1e96"]),  # full case folding takes both apart
        ("co\u00adop\u200der\u2060a\ufe0fte", ["cooperate"]),
        ("می\u200cخواهم", ["میخواهم"]),
    ],
)
def test_unicode_tokens_of_known_texts(text: str, tokens: list[str], tokenizer: str) -> None:
    assert tokenize(text, tokenizer) == tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("ab\u200bcd", ["ab", "cd"]),
        ("ab\u2066cd", ["ab", "cd"]),
        ("قصيدةً", ["قصيدةً"]),
        ("don\u02bct", ["don\u02bct"]),
        ("don\u00b4t", ["don", "\u0301t"]),
        ("1️⃣ \u0130", ["1\u20e3", "i\u0307"]),
    ],
)
def test_the_first_version_stays_as_indexes_and_runs_have_it(text: str, tokens: list[str]) -> None:
    assert tokenize(text, "unicode-1") == tokens


# What the second version is for: copies that read alike


@pytest.mark.parametrize(
    ("copy", "text"),
    [
        ("Re\u0301sume\u0301 du cafe\u0301", "Résumé du café"),
        ("\u1112\u1161\u11ab\u1100\u1173\u11af \u1109\u1175", "한글 시"),  # jamo
        ("ＡＢＣ ｔｅｓｔ，１２", "abc test 12"),
        ("ｶﾞﾗｽ", "ガラス"),
        ("か\u3099", "が"),
        ("Explain\u200b how\u200b ocean ti\u00addes", "explain how ocean tides"),
        ("\u2068Explain\u2069 \u202btides\u202c\u200f", "explain tides"),
        ("\ufeffti\u200bdes e\u200d\u0301", "tides é"),
        ("ខ្ញុំ\u200bស្រឡាញ់\u200bភាសា", "ខ្ញុំស្រឡាញ់ភាសា"),
        ("葛\U000e0100飾", "葛飾"),
        ("⼤⼈", "大人"),  # radicals as letters
        ("اُكْتُبْ قَصِيدَةً عَنِ البَحْرِ الجَمِيلِ", "اكتب قصيدة عن البحر الجميل"),
        ("عَنِ ٱلْبَحْرِ هٰذَا لَهُۥ", "عن البحر هذا له"),
        ("البـــحر", "البحر"),
        ("ﺍﻟﺒﺤﺮ ﻻ", "البحر لا"),  # presentation forms
        ("ﻋﹷﻦ", "عن"),  # one with a vowel on a stroke
        ("بَّ ﷲ", "ب الله"),
        ("بְּרֵאשִׁית".replace("ب", "ב"), "בראשית"),
        ("אֱלֹהִ֑ים שׁלום", "אלהים שלום"),
        ("ܫܠܳܡܳܐ", "ܫܠܡܐ"),
        ("Напиши\u0301 стихи\u0301", "напиши стихи"),
        ("don’t don´t donʼt don＇t don`t don\u2032t", "don't don't don't don't don't don't"),
        ("п’ять пʼять", "п'ять п'ять"),
        ("well\u2011known well–known well−known", "well-known well-known well-known"),
        ("a\u00a0b\u202fc\u3000d\u2009e\u2028f", "a b c d e f"),
        ("1️⃣ ① ⓐ", "1 1 a"),
        ("İSTANBUL İ\u0301", "istanbul i\u0301"),
        ("𝐁𝐨𝐥𝐝 ﬁnd x²", "bold find x2"),
        ("Straße", "STRASSE"),
    ],
)
def test_a_copy_that_reads_alike_has_the_same_tokens(copy: str, text: str) -> None:
    assert tokenize(copy) == tokenize(text)
    assert tokenize(copy)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("résumé", "resume"),
        ("ä", "a"),
        ("कि", "की"),
        ("कम", "कमी"),
        ("मां", "मा"),
        ("মন", "মান"),
        ("கல", "கால"),
        ("ป่า", "ปา"),
        ("ນ້ຳ", "ນຳ"),
        ("ក", "កា"),
        ("က", "ကာ"),
        ("ދި", "ދު"),
        ("བོད", "བད"),
        ("か", "が"),
        ("ｶ", "ガ"),
        ("آب", "اب"),
        ("أحمد", "احمد"),
        ("سؤال", "سوال"),
        ("שלום", "שלומ"),
        ("й", "и"),
        ("ї", "і"),
        ("ѓ", "г"),
        ("kız", "kiz"),
        ("١٢", "12"),
        ("대", "데"),
    ],
)
def test_signs_that_a_word_is_not_written_without_tell_words_apart(one: str, other: str) -> None:
    assert tokenize(one) != tokenize(other)
    assert tokenize(unicodedata.normalize("NFD", one)) != tokenize(unicodedata.normalize("NFD", other))


def test_vowel_signs_of_indic_scripts_tell_words_apart() -> None:
    for first in range(0x0900, 0x0E00, 0x80):  # Devanagari to Sinhala
        signs = [chr(code) for code in range(first, first + 0x80) if unicodedata.category(chr(code)) in ("Mn", "Mc")]
        words = {f"x{sign}y" for sign in signs}
        assert {token for word in words for token in tokenize(word)} == {
            unicodedata.normalize("NFC", word) for word in words
        }


@given(any_text, st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
@claim
def test_the_normal_form_makes_no_difference(text: str, form: Literal["NFC", "NFD", "NFKC", "NFKD"]) -> None:
    assert tokenize(unicodedata.normalize(form, text)) == tokenize(text)


@given(any_text, st.lists(st.tuples(st.integers(0, 20), st.sampled_from(INVISIBLE)), min_size=1, max_size=6))
@claim
def test_format_characters_make_no_difference_anywhere(text: str, added: list[tuple[int, str]]) -> None:
    copy = text
    for place, character in added:
        copy = copy[:place] + character + copy[place:]
    assert tokenize(copy) == tokenize(text)


@given(any_text)
@claim
def test_tokens_are_their_own_tokens(text: str) -> None:
    tokens = tokenize(text)
    assert tokenize(" ".join(tokens)) == tokens


@pytest.mark.parametrize("tokenizer", ["unicode-1", "unicode-2"])
@pytest.mark.parametrize(
    "piece",
    [
        "\u0301",
        "\u0301\u0323",
        "\uff9e\u0301",
        "\u0f73",
        "\u200b\u0301\u064e",
        " \u0301",
        "i\u0307",
        "и\u0301",
        "写",
        "\ud800",
    ],
)
def test_a_megabyte_of_marks_is_read_in_linear_time(piece: str, tokenizer: str) -> None:
    began = time.process_time()
    tokenize("é" + piece * (500_000 // len(piece)), tokenizer)
    assert time.process_time() - began < 3  # half an hour if the time were quadratic


@given(st.lists(st.sampled_from("\u0301\u0323\u0345\u0344\u3099\uff9e\u0f73!=é"), max_size=30), st.integers(2, 40))
@claim
def test_many_marks_are_ordered_as_few_are(marks: list[str], times: int) -> None:
    text = "a" + "".join(marks) * times
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastinstruct.similarity.tokenizers._MARKS_AT_EASE", 0)
        patch.setattr("fastinstruct.similarity.tokenizers._MANY_MARKS", re.compile(r"(?:[^\w\s]|[\uff9e\uff9f])+"))
        assert tokenize(text, "unicode-1") == unicode_1_tokens(text)
        assert tokenize(text, "unicode-2") == unicode_2_tokens(text)


def test_a_lone_surrogate_separates_tokens() -> None:
    assert tokenize("é\ud83dé \udc00") == ["é", "é"]


def test_unicode_is_the_default_and_means_the_newest_version() -> None:
    assert (
        tokenize("ab\u200bcd") == tokenize("ab\u200bcd", "unicode") == tokenize("ab\u200bcd", "unicode-2") == ["abcd"]
    )
    assert [exact_tokenizer(name) for name in ("unicode", "unicode-1", "rouge")] == ["unicode-2", "unicode-1", "rouge"]


def test_a_file_that_says_unicode_means_the_first_version() -> None:
    assert stored_tokenizer("unicode") == "unicode-1"
    assert [stored_tokenizer(name) for name in TOKENIZERS] == list(TOKENIZERS) == ["rouge", "unicode-1", "unicode-2"]


@pytest.mark.parametrize("of", [exact_tokenizer, stored_tokenizer, lambda name: tokenize("text", name)])
def test_an_unknown_tokenizer_is_refused_by_name(of: Callable[[str], object]) -> None:
    with pytest.raises(InputError, match=r"^tokenizer must be one of rouge, unicode, unicode-1, unicode-2; got 'bpe'$"):
        of("bpe")


def test_a_text_that_is_no_str_is_refused() -> None:
    with pytest.raises(InputError, match=r"^text must be a str; got bytes$"):
        tokenize(b"text")  # type: ignore[arg-type]  # what is refused at run time
