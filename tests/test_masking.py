"""No part of a key that could be used leaves in a server's words, however the server echoes it."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinstruct.config import load_config
from fastinstruct.lm.classify import classify_reply
from fastinstruct.lm.endpoints import Endpoint
from fastinstruct.lm.error_replies import shown
from fastinstruct.lm.masking import masked, secrets_of
from fastinstruct.lm.outcomes import Ok
from fastinstruct.lm.transport import _model_ids
from fastinstruct.pipeline import Run
from fastinstruct.records import Completion
from fastinstruct.scripted_server import Script, ScriptedServer

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


# --- what a server says of itself in a good reply


def replied(one: Endpoint, payload: object) -> Completion:
    outcome = classify_reply(200, {}, json.dumps(payload).encode(), one, now_s=0.0)
    assert isinstance(outcome, Ok)
    return outcome.completion


def chat(model: str, text: str = "Fine.", **choice: object) -> dict[str, object]:
    return {"model": model, "choices": [{"message": {"content": text}, "finish_reason": "stop", **choice}]}


@pytest.mark.parametrize("echo", ECHOES)
def test_a_key_that_a_server_echoes_as_its_models_name_is_masked(echo: Echo) -> None:
    name = replied(endpoint(), chat(f"m-{echo(KEY)}")).model
    assert name == "m-***"


def test_what_looks_like_any_key_is_masked_in_a_models_name_and_its_length_is_bounded() -> None:
    assert replied(endpoint(), chat("m sk-proj-0123456789abcdef")).model == "m ***"
    assert len(replied(endpoint(), chat("x" * 10_000)).model) == 200
    assert replied(endpoint(), chat("a\n b\x1b[31m")).model == "a b\x1b[31m"


@pytest.mark.parametrize(
    "name",
    ["gpt-4o-2024-08-06", "skywork-o1-open-preview", "pplx-7b-online", "hf-internal-testing/tiny-llama",
     "accounts/fireworks/models/llama-v3p1-8b-instruct", "fw-function-calling", "/models/Qwen3 8B (Q4_K_M).gguf"],
)  # fmt: skip
def test_a_models_name_stays_as_it_is(name: str) -> None:
    assert replied(endpoint(), chat(name)).model == name


def test_the_name_that_was_asked_for_stays_whatever_it_holds() -> None:
    one = Endpoint(base_url="http://h/v1", model=f"m-{KEY}", api_key=KEY)
    assert replied(one, chat(f"m-{KEY}")).model == f"m-{KEY}"
    assert replied(one, {"choices": chat("")["choices"]}).model == f"m-{KEY}"


def test_a_key_that_stands_in_a_reply_is_not_stored_with_it() -> None:
    one = endpoint({"x-api-key": "HeaderKey123456789", "accept": "application/json-is-long"})
    logprobs = {"content": [{"token": KEY, "logprob": -0.1, "top_logprobs": [{"token": "Yes", "logprob": -0.2}]}]}
    completion = replied(one, chat("m", f"The key {KEY}, HeaderKey123456789, 2024-10-21, accept", logprobs=logprobs))
    assert completion.text == "The key ***, ***, 2024-10-21, accept"
    assert completion.top_logprobs == {"***": -0.1, "Yes": -0.2}


@pytest.mark.parametrize("key", ["EMPTY", "none", "token", "password", "short-key", None])
def test_a_key_that_may_be_a_word_leaves_replies_as_they_are(key: str | None) -> None:
    one = Endpoint(base_url="http://h/v1?tenant=everybody-may-see-it", model="m", api_key=key)
    text = "EMPTY none token password short-key everybody-may-see-it"
    assert replied(one, chat("m", text)).text == text


@given(st.recursive(st.none() | st.text() | st.sampled_from([KEY, f"a {KEY} b", KEY.upper()]), st.lists))
def test_no_word_of_an_outcome_holds_the_key_whatever_the_reply_says(words: object) -> None:
    one = endpoint()
    places = [
        {"error": words}, {"error": {"message": words, "code": words, "type": words, "param": words}},
        {"detail": words}, {"model": words, "choices": [{"message": {"content": "x"}, "finish_reason": words}]},
        {"choices": words, "status": words}, {"choices": [{"message": words}]}, words, {str(words): words},
        {"model": words, "choices": [{"message": {"content": words, "refusal": words}, "finish_reason": "stop"}]},
    ]  # fmt: skip
    for status in (200, 400, 404, 429, 500, 307):
        for place in places:
            headers = {"Location": KEY, "Retry-After": KEY, "x-ratelimit-reset": KEY}
            outcome = classify_reply(status, headers, json.dumps(place).encode(), one, now_s=0.0)
            told = repr(outcome) + (
                repr(outcome.completion) + outcome.completion.text if isinstance(outcome, Ok) else ""
            )
            assert KEY not in told


@pytest.mark.parametrize("bare", [False, True])
def test_keys_among_the_listed_models_are_masked_and_the_list_is_bounded(bare: bool) -> None:
    one = endpoint()
    entries = [
        {"id": f"m-{KEY}"},
        {"id": "gpt-4o"},
        {"id": "x" * 5000},
        *({"id": f"n{n}"} for n in range(5000)),
        {"id": "m"},
    ]
    body = json.dumps(entries if bare else {"data": entries}).encode()
    found = _model_ids(body, one)
    assert isinstance(found, list)
    assert found[:2] == ["m-***", "gpt-4o"]
    assert len(found[2]) == 200
    assert "m" in found, "the one that is asked for is found wherever it stands"
    assert len(found) <= 1001


async def test_no_key_that_a_server_echoes_in_its_good_replies_is_stored_or_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    script = Script(api_key=KEY, model="m", new_model=f"other {KEY}", new_model_after=5)
    async with ScriptedServer(script) as server:
        flags = {"model.base_url": server.base_url, "model.name": "m", "model.api": "completions", "target": 5}
        env = {"OPENAI_API_KEY": KEY, "XDG_CACHE_HOME": str(tmp_path / "cache")}
        await Run(load_config(flags={**flags, "out": tmp_path / "run"}), env=env).execute()
    assert any("answers as model 'other ***' now" in record.getMessage() for record in caplog.records)
    assert not [record for record in caplog.records if KEY in record.getMessage()]
    with closing(sqlite3.connect(tmp_path / "run" / "run.db")) as database:
        assert ("other ***",) in [*database.execute("SELECT DISTINCT model FROM request")]
        assert not any(KEY in line for line in database.iterdump())
