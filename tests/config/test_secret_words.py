"""A key belongs into the environment: what of a configuration is one is known by its name, its look, or its value."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from built_run import BuiltRun
from fastinstruct.cli.app import main
from fastinstruct.config import EndpointConfig, ModelConfig, RunConfig, load_config
from fastinstruct.config.secret_words import is_secret_name, looks_like_a_key, secret_in, secret_in_url
from fastinstruct.errors import ConfigError, RunFolderError
from fastinstruct.pipeline.preparation import prepare
from fastinstruct.store import RunFolder

VALUE = "Zq7-hidden-value"
ENDPOINT = {"model.base_url": "http://127.0.0.1:9/v1", "model.name": "m"}

SECRETS = """
    api_key apikey apiKey APIKEY API-KEY Api.Key x-api-key X_API_KEY openai_api_key OPENAI_API_KEY key Key KEY
    access_key secret_key private_key subscription-key Ocp-Apim-Subscription-Key x-functions-key openai_key license_key
    token Token access_token accessToken AccessToken auth_token hf_token github-token bearer_token refreshToken id_token
    session_token aws_session_token secret client_secret clientSecret CLIENT-SECRET secrets password Password
    db_password passwd passphrase pwd authorization Authorization Proxy-Authorization auth basic_auth credential
    credentials aws_access_key_id api_keys access_tokens api_key_value authorization_header password2 token_1
    sas_key ApiKey_1 cookie jwt user:pass
"""
INNOCENTS = """
    max_tokens min_tokens maxTokens token_ids stop_token_ids bos_token eos_token bos_token_id pad_token stop_token
    image_token thinking_token first_token tokens num_tokens tokenizer tokenize keyword keywords key_words required_keys
    top_k topk prompt_cache_key cache_key primary_key public_key sort_key keys secretary passage bypass
    compass first_pass author authority authored_by keyboard monkey turkey temperature api_key_env
    secret_mode auth_mode token_budget password_policy tokens_per_minute max_completion_tokens logit_bias
    skip_special_tokens guided_json user seed n model cookies_policy response_format
    truncate_prompt_tokens ignore_eos return_token_ids
"""

KEYS = [
    "sk-abcdefghijkl", "sk-proj-0123456789abcdef", "sk_live_0123456789abcdef", "Bearer abcdef", "bearer  x1y2z3",
    "Basic am9lOnBhNTU=", "Authorization: Bearer abcdef", "hf_AbCdEfGhIjKlMnOpQr", "gsk_0123456789abcdefgh",
    "xai-0123456789abcdefgh", "AIzaSyA0123456789abcdefghijk", "AKIAIOSFODNN7EXAMPLE", "ghp_0123456789abcdefghij",
    "github_pat_0123456789abcdef", "xoxb-0123456789-abc", "eyJhbGciOiJI.eyJzdWIiOiIx.c2ln",
    "-----BEGIN RSA PRIVATE KEY-----", "the key is sk-abcdefghijkl, keep it",
]  # fmt: skip
WORDS = [
    "risk-averse-answers", "desk-lamp-repairing", "sk-SK", "hf_transfer", "skywork-o1-open-preview",
    "The bearer of bad news",
    "basic instructions only, please", "task-oriented-dialogue", "json_object", "</s>", "<|im_end|>", "xai", "pplx-7b",
    "2024-10-21", "0f8fad5b-d9cb-469f-a165-70867728950e", "Return the token and the key.", "",
]  # fmt: skip


@pytest.mark.parametrize("name", SECRETS.split())
def test_a_text_of_such_a_name_is_a_secret(name: str) -> None:
    assert is_secret_name(name)
    assert secret_in({name: VALUE}) is not None


@pytest.mark.parametrize("name", INNOCENTS.split())
def test_a_text_of_such_a_name_is_none(name: str) -> None:
    assert not is_secret_name(name)
    assert secret_in({name: VALUE}) is None


@pytest.mark.parametrize("text", KEYS)
def test_what_looks_like_a_key_is_one_whatever_its_name(text: str) -> None:
    assert looks_like_a_key(text)
    assert secret_in({"user": text}) == "user"
    assert secret_in({"a": [{"b": text}]}) == "a.0.b"
    assert secret_in({"a": {text: 1}}) == "a.one of its names"


@pytest.mark.parametrize("text", WORDS)
def test_ordinary_words_are_no_keys(text: str) -> None:
    assert not looks_like_a_key(text)
    assert secret_in({"user": text}) is None


BODIES: list[tuple[Mapping[str, Any], str | None]] = [
    ({"a": {"b": [{"c": {"apiKey": VALUE}}]}}, "a.b.0.c.apiKey"),
    ({"headers": {"Authorization": VALUE}}, "headers.Authorization"),
    ({"api_key": [VALUE]}, "api_key.0"),
    ({"api_key": {"value": VALUE}}, "api_key.value"),
    ({"credentials": {"user": "", "openai": VALUE}}, "credentials.openai"),
    ({"secrets": {"a": {"b": VALUE}}}, "secrets.a.b"),
    ({"auth": {"type": "bearer", "token": VALUE}}, "auth.token"),
    ({"auth": {"type": "bearer", "value": VALUE}}, "auth.value"),
    ({"auth": "none", "password": "required", "authorization": {"type": "none"}}, None),
    ({"headers": [{"name": "x-api-key", "value": VALUE}]}, "headers.0.value"),
    ({"set": [{"key": "API_TOKEN", "value": VALUE}]}, "set.0.value"),
    ({"password": 12345678}, "password"),
    ({"hook": f"https://h/x?token={VALUE}"}, "hook"),
    ({"hook": f"https://joe:{VALUE}@h/x"}, "hook"),
    ({"key": VALUE}, "key"),
    ({"token": "</s>", "eos_token": "</s>", "mask": {"token": "[MASK]"}}, None),
    ({"token": 50256, "max_tokens": 100, "secret": False, "password": None, "api_key": ""}, None),
    ({"filter": [{"key": "city", "match": {"value": "Oslo"}}]}, None),
    ({"guided_json": {"properties": {"password": {"type": "string"}, "key": {"type": "string"}}}}, None),
    ({"response_format": {"required": ["token", "api_key"]}}, None),
    (
        {"chat_template_kwargs": {"enable_thinking": False}, "stop": ["Key:", "</s>"], "logit_bias": {"50256": -100}},
        None,
    ),
    ({"cb": "https://h/v1?page=2", "text": "a key: see http://h/x"}, None),
    ({"top_k": 40, "stop_token_ids": [1, 2], "prompt_cache_key": "run-7", "user": "me", "keyword": "tokens"}, None),
]


@pytest.mark.parametrize(("body", "at"), BODIES)
def test_a_secret_is_found_at_any_depth_and_nothing_else_is(body: Mapping[str, Any], at: str | None) -> None:
    assert secret_in(body) == at


def test_a_known_key_is_found_under_any_name_and_a_short_one_is_none() -> None:
    assert secret_in({"user": "hunter2hunter2"}, ["hunter2hunter2"]) == "user"
    assert secret_in({"a": {"hunter2hunter2": 1}}, ["hunter2hunter2"]) == "a.one of its names"
    assert secret_in({"user": "me:a-long-key-of-mine!"}, ["a-long-key-of-mine"]) == "user"
    assert secret_in({"reasoning_effort": "none"}, ["none", "", "EMPTY"]) is None


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner) | st.lists(inner)
    )
)
def test_no_tree_is_too_odd(tree: object) -> None:
    found = secret_in({"a": tree})
    assert found is None or found.lstrip("'\"").startswith("a")  # quoted where a name is unprintable


def test_no_tree_is_too_deep_or_too_long() -> None:
    deep: Any = VALUE
    for _ in range(50_000):
        deep = [deep]
    assert secret_in({"a": deep}) is None
    for text in ("sk-" * 100_000, "eyJ" * 100_000, "Bearer " * 50_000, "_key" * 50_000, "<" * 300_000):
        began = time.monotonic()
        secret_in({"token": text, text: 1})
        assert time.monotonic() - began < 20


URLS = [
    ("http://h/v1?api-version=2024-10-21", None),
    ("https://h/v1?tenant=t&deployment=gpt-4o-mini-2024-07-18&page=2", None),
    ("https://h/v1?keyword=x&max_tokens=5", None),
    ("http://h/v1?key=", None),
    (f"http://h/v1?key={VALUE}", "key in its query"),
    (f"http://h/v1?a=1&code={VALUE}", "code in its query"),
    (f"http://h/v1?subscription-key={VALUE}", "subscription-key in its query"),
    (f"http://h/v1?%61pi_key={VALUE}", "api_key in its query"),
    (f"http://h/v1?a=1;token={VALUE}", "token in its query"),
    (f"http://h/v1;token={VALUE}", "token in its query"),
    (f"http://h/v1#access_token={VALUE}", "access_token in its query"),
    ("http://h/v1?a=sk-abcdefghijkl", "a in its query"),
    ("http://h/v1?sk-abcdefghijkl", "its query"),
    (f"http://joe:{VALUE}@h/v1", "its user-info"),
]


@pytest.mark.parametrize(("url", "what"), URLS)
def test_a_secret_in_a_url_is_found_and_a_harmless_query_is_none(url: str, what: str | None) -> None:
    assert secret_in_url(url) == what


# --- how it is refused


@pytest.fixture(params=["file", "--set", "python", "stage", "copy"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def refusal(way: str, tmp_path: Path, model: Mapping[str, Any], capsys: pytest.CaptureFixture[str]) -> str:
    """What is said where a model's settings come in this way."""
    tree: dict[str, Any] = {"base_url": "http://127.0.0.1:9/v1", "name": "m", **model}
    match way:
        case "file" | "stage":
            whole = {"model": tree} if way == "file" else {"instances": {"model": tree}}
            (tmp_path / "run.json").write_text(json.dumps(whole))
            return exit_2(["run", "-c", str(tmp_path / "run.json"), "--out", str(tmp_path / "out")], tmp_path, capsys)
        case "--set":
            words = [word for key, value in tree.items() for word in ("--set", f"model.{key}={json.dumps(value)}")]
            return exit_2(["run", *words, "--out", str(tmp_path / "out")], tmp_path, capsys)
        case "python":
            with pytest.raises(ValidationError) as caught:
                RunConfig.model_validate({"model": tree})
            return str(caught.value)
        case _:  # a copy is not checked by pydantic
            config = RunConfig(model=ModelConfig(base_url="http://h/v1", name="m"))
            changed = config.model_copy(update={"model": config.model.model_copy(update=dict(model))})
            with pytest.raises(ConfigError) as refused:
                prepare(changed, {})
            return str(refused.value)


def exit_2(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["fastinstruct", *words])
        with pytest.raises(SystemExit) as ended:
            main()
    shown = capsys.readouterr()
    assert ended.value.code == 2
    assert shown.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
    return shown.err


def test_a_secret_in_extra_body_is_refused_whichever_way_it_comes(
    way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refusal(way, tmp_path, {"extra_body": {"nested": [{"api_key": VALUE}]}}, capsys)
    assert VALUE not in told
    assert "extra_body" in told
    assert "nested.0.api_key looks like a secret" in told
    assert "headers or query" in told
    assert "environment" in told


def test_a_secret_in_the_query_of_a_base_url_is_refused_whichever_way_it_comes(
    way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refusal(way, tmp_path, {"base_url": f"http://127.0.0.1:9/v1?code={VALUE}"}, capsys)
    assert VALUE not in told
    assert "base_url" in told
    assert "code in its query" in told
    assert "query" in told
    assert "environment" in told


def test_a_secret_in_an_endpoints_base_url_is_refused_with_its_own_query_as_the_way() -> None:
    with pytest.raises(
        ConfigError, match=r"endpoints\.0\.base_url: must not hold a secret \(key in its query\)"
    ) as caught:
        load_config(flags={**ENDPOINT, "model.endpoints": [{"base_url": f"http://h/v1?key={VALUE}"}]})
    assert VALUE not in str(caught.value)
    assert "query beside it" in str(caught.value)
    assert EndpointConfig(base_url="http://h/v1?api-version=1").base_url == "http://h/v1?api-version=1"


def test_the_message_names_the_key_and_the_way() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(flags={**ENDPOINT, "model.extra_body": {"access_token": VALUE}})
    assert str(caught.value) == (
        "command line: model.extra_body: access_token looks like a secret, and extra_body is stored with the run; "
        "give it in headers or query of the same model, from the environment as ${VARIABLE}"
    )
    with pytest.raises(ConfigError) as caught:
        load_config(flags={**ENDPOINT, "model.base_url": f"http://h/v1?key={VALUE}"})
    assert str(caught.value) == (
        "command line: model.base_url: must not hold a secret (key in its query), which is stored with the run; "
        "give it in query beside it (model.query), from the environment as ${VARIABLE}"
    )


@pytest.mark.parametrize(
    ("variable", "more"),
    [
        ("OPENAI_API_KEY", {}),
        ("FASTINSTRUCT_API_KEY", {}),
        ("MY_KEY", {"model.api_key_env": "MY_KEY"}),
        ("MY_KEY", {"model.endpoints": [{"base_url": "http://h/v1", "api_key_env": "MY_KEY"}]}),
    ],
)
def test_the_key_itself_is_refused_under_any_name(variable: str, more: dict[str, Any]) -> None:
    flags = {**ENDPOINT, **more, "model.extra_body": {"user": VALUE}}
    assert load_config(flags=flags).model.extra_body == {"user": VALUE}
    with pytest.raises(ConfigError, match=r"model\.extra_body: user looks like a secret") as caught:
        load_config(flags=flags, env={variable: VALUE})
    assert VALUE not in str(caught.value)
    with pytest.raises(ConfigError, match=r"^model\.extra_body: user looks like a secret"):
        prepare(load_config(flags=flags), {variable: VALUE})
    flags |= {"model.extra_body": {}, "model.base_url": f"http://h/v1?user={VALUE}"}
    with pytest.raises(ConfigError, match=r"model\.base_url: must not hold a secret \(user in its query\)"):
        load_config(flags=flags, env={variable: VALUE})


@pytest.mark.parametrize(
    "flags",
    [
        {"model.base_url": VALUE},
        {"instructions.model": {"base_url": VALUE, "name": "m"}},
        {"model.endpoints": [{"base_url": VALUE}]},
        {"model.query": {"code": [VALUE]}},
        {"model.query": VALUE},
        {"instances.model": {"base_url": "http://h/v1", "name": "m", "query": {"code": [VALUE]}}},
        {"model.endpoints": [{"base_url": "http://h/v1", "headers": {"A": [VALUE]}}]},
        {"classification.model": {"headers": VALUE}},
        {"classification.model": {"api_key_env": [VALUE]}},
        {"model.endpoints": [{"base_url": f"http://joe:{VALUE}@h/v1"}]},
        {"model.endpoints": [{"base_url": "http://h/v1", "query": VALUE}]},
    ],
)
def test_no_message_repeats_what_stands_in_a_secrets_place_of_any_model(flags: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(flags={**ENDPOINT, **flags})
    assert VALUE not in str(caught.value)


def test_an_older_runs_secret_is_not_repeated_where_its_folder_is_refused(tmp_path: Path) -> None:
    """Before such keys were refused, identities could hold them."""
    with BuiltRun(tmp_path / "run") as built:
        built.admit("Name a colour.", ("", "Red."))
    path = tmp_path / "run" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["identity"]["model"]["extra_body"] = {"api_key": VALUE, "users": ["me", f"Bearer {VALUE}"], "top_k": 5}
    path.write_text(json.dumps(manifest))
    manifest["identity"]["model"]["extra_body"] = {"top_k": 6}
    with RunFolder(tmp_path / "run") as folder, pytest.raises(RunFolderError) as caught:
        folder.claim(manifest["identity"], {})
    assert VALUE not in str(caught.value)
    assert "(model.extra_body.api_key differs; model.extra_body.top_k is 5 there and 6 here; " in str(caught.value)
    assert "model.extra_body.users differs)" in str(caught.value)
