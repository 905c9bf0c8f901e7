"""No part of a key that could be used leaves in a server's words, however the server echoes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinstruct.lm.endpoints import Endpoint
from fastinstruct.lm.outcomes.error_body import shown
from fastinstruct.lm.outcomes.masking import masked, secrets_of

KEY = "Ab9-Secret/Key+Value=7zQx"
KEYS = st.text("abcXYZ019-_+/=.", min_size=8, max_size=40)
WORDS = st.text("the quick brown fox, 42! ", max_size=30)


def percent(text: str) -> str:
    return "".join(f"%{ord(character):02X}" for character in text)


Echo = Callable[[str], str]
ECHOES: list[Echo] = [str, str.upper, str.lower, str.swapcase, quote, lambda key: quote(key, safe=""), percent,
          lambda key: percent(key).replace("%", "%25"), lambda key: quote(percent(key)).lower()]  # fmt: skip


def plain(text: str) -> str:
    for _ in range(3):
        text = unquote(text)
    return text.lower()


@given(KEYS, WORDS, WORDS, st.sampled_from(ECHOES), st.data())
def test_no_eight_characters_of_a_key_are_left_however_it_is_echoed(
    key: str, before: str, after: str, echo: Echo, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(key) - 1))
    end = data.draw(st.integers(start + 1, len(key)))
    left = plain(masked(f"{before}{echo(key[start:end])}{after}", [key]))
    assert not [at for at in range(len(key) - 7) if key[at : at + 8].lower() in left]


@given(WORDS)
def test_words_without_a_key_stay_as_they_are(text: str) -> None:
    assert masked(text, [KEY], ["application/json"]) == text


@pytest.mark.parametrize("echo", ECHOES)
def test_a_short_secret_is_taken_out_as_a_whole(echo: Echo) -> None:
    assert (
        masked(f"the word {echo('s3cr+t')} is wrong, secure is not", ["s3cr+t"])
        == "the word *** is wrong, secure is not"
    )


URL = "http://user:pass-word-1@127.0.0.1:9/v1?api-version=2024-10-21&code=Qu%2FeryKey99"


def endpoint(headers: Mapping[str, str] | None = None) -> Endpoint:
    return Endpoint(base_url=URL, model="m", api_key=KEY, headers=headers or {})


def test_the_key_passwords_query_values_and_secret_headers_are_secret_even_in_part() -> None:
    one = endpoint({"x-api-key": "HeaderKey12345", "accept": "application/json"})
    even_in_part, whole = secrets_of(one)
    assert {KEY, "pass-word-1", "Qu/eryKey99", "Qu%2FeryKey99", "HeaderKey12345"} <= set(even_in_part)
    assert "application/json" in whole
    echoed = f"401 for {KEY[3:14]} and {quote(KEY.lower(), safe='')}, header headerkey1, query qu/erykey"
    assert (
        shown(f"{echoed}, applications differ", one)
        == "401 for *** and ***, header ***, query ***, applications differ"
    )


def test_a_key_that_begins_where_the_shown_part_ends_is_not_shown_in_part() -> None:
    told = shown("x" * 190 + " " + KEY * 50, endpoint())
    assert KEY[:8].lower() not in told.lower()
    assert len(told) <= 200
