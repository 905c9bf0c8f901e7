"""The configuration: which source wins, what is refused and in which words, and that no message repeats a secret."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastinstruct.config import (
    NULL,
    AgainstConfig,
    ModelConfig,
    RunConfig,
    SamplingConfig,
    SimilarityConfig,
    load_config,
    nearest,
    parse_assignment,
)
from fastinstruct.config.environment import api_key, cache_folder, process_environment
from fastinstruct.config.recording import recorded, refuse_masked
from fastinstruct.errors import ConfigError
from fastinstruct.records import Api

SECRET = "sk-proj-0123456789abcdef"
ENDPOINT = "model: {base_url: 'http://127.0.0.1:8000/v1', name: m}\n"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(text: str, name: str = "run.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def refusal(path: Path | None = None, **sources: Any) -> str:
    """The one line that refuses a configuration, without the folder of its file."""
    with pytest.raises(ConfigError) as caught:
        load_config(path, **sources)
    message = str(caught.value)
    assert "\n" not in message
    return message if path is None else message.replace(f"{path.parent}{os.sep}", "")


# ----------------------------------------------------------------------------------------------------------- precedence


def test_nothing_given_is_the_default_configuration() -> None:
    assert load_config() == RunConfig()
    assert load_config().target == 100
    assert load_config().similarity.threshold == 0.7


def test_flags_outrank_variables_and_variables_outrank_the_file(write: Write) -> None:
    path = write("target: 1\nrng_seed: 1\nruntime: {max_in_flight: 1}\n")
    env = {"FASTINSTRUCT_TARGET": "2", "FASTINSTRUCT_RNG_SEED": "2"}
    config = load_config(path, env=env, flags={"target": 3})
    assert (config.target, config.rng_seed, config.runtime.max_in_flight) == (3, 2, 1)


def test_the_file_outranks_the_profile_and_the_profile_the_defaults(write: Write) -> None:
    config = load_config(write("profile: paper\ninstructions: {sampling: {temperature: 1.1}}\n"))
    assert config.instructions.sampling.temperature == 1.1
    assert config.instructions.sampling.top_p == 0.5
    assert config.instructions.num_items == 8


def test_a_profile_may_come_from_any_source(write: Write) -> None:
    assert load_config(write("profile: paper\n")).similarity.tokenizer == "rouge"
    assert load_config(env={"FASTINSTRUCT_PROFILE": "paper"}).similarity.tokenizer == "rouge"
    assert load_config(flags={"profile": "paper"}).similarity.tokenizer == "rouge"
    assert load_config(write("profile: paper\n"), flags={"profile": "default"}).similarity.tokenizer == "unicode"


def test_a_flag_that_is_none_was_not_given(write: Write) -> None:
    assert load_config(write("target: 5\n"), flags={"target": None}).target == 5


def test_a_flag_can_set_null(write: Write) -> None:
    path = write("runtime: {max_in_flight: 5}\n")
    assert load_config(path, flags={"runtime.max_in_flight": NULL}).runtime.max_in_flight is None


def test_an_empty_variable_says_nothing(write: Write) -> None:
    assert load_config(write("target: 5\n"), env={"FASTINSTRUCT_TARGET": ""}).target == 5


def test_every_variable_sets_its_key() -> None:
    env = {
        "FASTINSTRUCT_PROFILE": "paper",
        "FASTINSTRUCT_TARGET": "7",
        "FASTINSTRUCT_SEEDS": "s.jsonl",
        "FASTINSTRUCT_PROMPTS": "p",
        "FASTINSTRUCT_OUT": "o",
        "FASTINSTRUCT_RNG_SEED": "8",
        "FASTINSTRUCT_BASE_URL": "http://h/v1",
        "FASTINSTRUCT_MODEL": "m",
        "FASTINSTRUCT_API": "completions",
        "FASTINSTRUCT_THRESHOLD": "0.5",
        "FASTINSTRUCT_TOKENIZER": "unicode",
        "FASTINSTRUCT_MAX_IN_FLIGHT": "9",
        "FASTINSTRUCT_API_KEY": SECRET,
    }
    config = load_config(env=env)
    assert (config.profile, config.target, config.rng_seed) == ("paper", 7, 8)
    assert (config.seeds, config.prompts, config.out) == (Path("s.jsonl"), Path("p"), Path("o"))
    assert (config.model.base_url, config.model.name, config.model.api) == ("http://h/v1", "m", Api.COMPLETIONS)
    assert (config.similarity.threshold, config.similarity.tokenizer) == (0.5, "unicode")
    assert config.runtime.max_in_flight == 9
    assert load_config(env={"FASTINSTRUCT_GGUF": "w.gguf"}).model.gguf == Path("w.gguf")


def test_a_group_set_in_part_keeps_the_stages_own_values() -> None:
    config = load_config(flags={"classification.sampling.temperature": 0.5, "instances.sampling.top_p": 0.8})
    assert config.classification.sampling == SamplingConfig(temperature=0.5)
    assert config.instances.sampling == SamplingConfig(top_p=0.8)


def test_headers_and_extra_body_are_merged_key_by_key(write: Write) -> None:
    path = write("model: {extra_body: {top_k: 1, nested: {a: 1}}, headers: {A: x}}\n")
    config = load_config(
        path, flags={"model.extra_body.top_k": 2, "model.extra_body.nested.b": 3, "model.headers.B": "y"}
    )
    assert config.model.extra_body == {"top_k": 2, "nested": {"a": 1, "b": 3}}
    assert config.model.headers == {"A": "x", "B": "y"}


def test_a_null_inside_extra_body_is_kept_whatever_its_name(write: Write) -> None:
    config = load_config(write("model: {extra_body: {filters: null, model: null, a: null}}\n"))
    assert config.model.extra_body == {"filters": None, "model": None, "a": None}


@pytest.mark.parametrize("group", ["model", "instructions", "runtime", "filters"])
def test_a_group_whose_keys_are_all_commented_out_is_empty(write: Write, group: str) -> None:
    assert load_config(write(f"{group}:\n  # nothing: here\n")) == RunConfig()


def test_empty_groups_inside_groups_are_empty_too(write: Write) -> None:
    assert load_config(write("instructions:\n  sampling:\nmodel:\n  headers:\n  extra_body:\n")) == RunConfig()


def test_an_empty_file_says_nothing(write: Write) -> None:
    assert load_config(write("# nothing\n")) == RunConfig()


# --------------------------------------------------------------------------------------------------- where the model is


def test_openai_base_url_fills_in_where_a_model_is_named() -> None:
    env = {"OPENAI_BASE_URL": "http://127.0.0.1:9000/v1"}
    assert load_config(env=env, flags={"model.name": "m"}).model.base_url == "http://127.0.0.1:9000/v1"
    assert load_config(env={**env, "FASTINSTRUCT_MODEL": "m"}).model.base_url == "http://127.0.0.1:9000/v1"


def test_openai_base_url_alone_configures_no_endpoint() -> None:
    assert load_config(env={"OPENAI_BASE_URL": "http://127.0.0.1:9000/v1"}) == RunConfig()


def test_openai_base_url_does_not_outrank_the_file(write: Write) -> None:
    config = load_config(write(ENDPOINT), env={"OPENAI_BASE_URL": "http://elsewhere/v1"})
    assert config.model.base_url == "http://127.0.0.1:8000/v1"


def test_openai_base_url_does_not_replace_a_gguf() -> None:
    config = load_config(env={"OPENAI_BASE_URL": "http://h/v1"}, flags={"model.gguf": "w.gguf"})
    assert config.model.base_url is None


def test_openai_base_url_fills_a_base_url_that_is_null(write: Write) -> None:
    config = load_config(write("model: {base_url: null, name: m}\n"), env={"OPENAI_BASE_URL": "http://h/v1"})
    assert config.model.base_url == "http://h/v1"


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "FASTINSTRUCT_API_KEY"])
def test_a_key_alone_configures_no_endpoint(name: str) -> None:
    assert load_config(env={name: SECRET}) == RunConfig()


def test_a_gguf_of_a_higher_source_displaces_the_files_endpoint(write: Write) -> None:
    model = load_config(write(ENDPOINT), flags={"model.gguf": "w.gguf"}).model
    assert (model.gguf, model.base_url, model.name) == (Path("w.gguf"), None, None)


def test_an_endpoint_of_a_higher_source_displaces_the_files_gguf(write: Write) -> None:
    flags = {"model.base_url": "http://h/v1", "model.name": "m"}
    model = load_config(write("model: {gguf: w.gguf}\n"), flags=flags).model
    assert (model.gguf, model.base_url, model.name) == (None, "http://h/v1", "m")


def test_one_source_cannot_name_two_models() -> None:
    flags = {"model.base_url": "http://h/v1", "model.name": "m", "model.gguf": "w.gguf"}
    assert "model: base_url and gguf name two different models: give one of them" in refusal(flags=flags)


def test_a_base_url_needs_a_name_and_a_name_a_base_url() -> None:
    assert "name is missing: a base_url needs the model's name" in refusal(flags={"model.base_url": "http://h/v1"})
    assert "say where the model is served (--base-url URL)" in refusal(flags={"model.name": "m"})


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        (f"https://user:{SECRET}@h/v1", "must not hold a user name or password"),
        (f"https://{SECRET}@h/v1", "must not hold a user name or password"),
        ("ftp://h/v1", "must be an http(s) URL that includes the version"),
        ("h:8000/v1", "must be an http(s) URL that includes the version"),
        ("", "must be an http(s) URL that includes the version"),
        (f"http://user:{SECRET}/v1", "must be an http(s) URL that includes the version"),
        ("http://[::1/v1", "invalid IPv6 URL"),
        ("http://h/v1/chat/completions", "must end before /chat/completions"),
        ("http://h/v1/completions/", "must end before /chat/completions"),
    ],
)
def test_an_unusable_base_url_is_refused_without_repeating_it(url: str, complaint: str) -> None:
    message = refusal(flags={"model.base_url": url, "model.name": "m"})
    assert message.startswith("command line: model.base_url: ")
    assert complaint in message
    assert SECRET not in message


def test_a_base_url_loses_its_last_slash() -> None:
    config = load_config(flags={"model.base_url": " http://h/v1/ ", "model.name": "m"})
    assert config.model.base_url == "http://h/v1"


# ------------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("targt: 5", "run.yaml: unknown key targt (did you mean target?)"),
        ("threshold: 1", "run.yaml: unknown key threshold (did you mean similarity.threshold?)"),
        (
            "instructions: {sampling: {temprature: 1}}",
            "run.yaml: unknown key instructions.sampling.temprature (did you mean instructions.sampling.temperature?)",
        ),
        ("zzz: 1", "run.yaml: unknown key zzz"),
        (
            "budget: {max_token: 5}",
            "run.yaml: unknown key budget.max_token (did you mean budget.max_tokens?)",
        ),
        ("budget: {max_cost: 0}", "run.yaml: budget.max_cost: input should be greater than 0, got 0"),
        (
            "budget: {max_time_s: 2m3h}",
            "run.yaml: budget.max_time_s: must be seconds, or hours and minutes such as 90m or 2h30m, got '2m3h'",
        ),
        ("prices: {m: {input: 1}}", "run.yaml: prices.m.output: field required"),
        ("prices: {m: 1}", "run.yaml: prices.m: must be a group of keys"),
        ("model.name: m", "run.yaml: unknown key model.name: write it nested, model: {name: …}"),
        (
            "target: many",
            "run.yaml: target: input should be a valid integer, unable to parse string as an integer, got 'many'",
        ),
        ("target: 0", "run.yaml: target: input should be greater than or equal to 1, got 0"),
        (
            "target: 1.5",
            "run.yaml: target: input should be a valid integer, got a number with a fractional part, got 1.5",
        ),
        ("target: true", "run.yaml: target: must not be true or false, got True"),
        ("similarity: {threshold: false}", "run.yaml: similarity.threshold: must not be true or false, got False"),
        (
            "similarity: {threshold: 1.5}",
            "run.yaml: similarity.threshold: input should be less than or equal to 1, got 1.5",
        ),
        ("similarity: {threshold: .nan}", "run.yaml: similarity.threshold: input should be a finite number, got nan"),
        (
            "similarity: {tokenizer: bpe}",
            "run.yaml: similarity.tokenizer: input should be 'unicode', 'unicode-1', 'unicode-2' or 'rouge', got 'bpe'",
        ),
        ("seeds: [a]", "run.yaml: seeds: must be a path"),
        ("instructions: 5", "run.yaml: instructions: must be a group of keys"),
        (
            "instructions: {num_in_context: 2, num_machine_in_context: 3}",
            "run.yaml: instructions: num_machine_in_context must be at most num_in_context (2)",
        ),
        ("filters: {min_words: 9, max_words: 8}", "run.yaml: filters: min_words must be at most max_words (8)"),
        ("target: 0\nrng_seed: -1", "run.yaml: target: input should be greater than or equal to 1, got 0 (and 1 more)"),
        ("1: 2", "run.yaml: 1: keys should be strings, got 1"),
        ("- target", "run.yaml: must hold keys and values at the top level, not a list"),
        ("target", "run.yaml: must hold keys and values at the top level, not a str"),
        ("model: {extra_body: {day: 2026-01-01}}", "run.yaml: model.extra_body.day: input was not a valid JSON value"),
        (
            "model: {transport: httpx}",
            "run.yaml: model.transport: input should be 'http' or 'openai', got 'httpx'",
        ),
        (
            "model: {transport: openai, azure_auth: token}",
            "run.yaml: model: azure_auth is set but azure_api_version is not: set it, such as 2024-10-21",
        ),
        (
            "model: {base_url: 'https://n.invalid', name: m, azure_api_version: 2024-10-21}",
            "run.yaml: model: azure_api_version needs transport: openai",
        ),
        (
            "model: {transport: openai, base_url: 'https://n.invalid/openai/v1', name: m, azure_api_version: preview}",
            (
                "run.yaml: model: azure_api_version needs the resource's address as base_url, "
                "such as https://NAME.openai.azure.com"
            ),
        ),
        ("seeds: ~nobody-of-this-name/s.jsonl", "run.yaml: seeds: ~ stands for a home folder that does not exist"),
        (
            "profile: paper\nfilters: {min_words: 2}",
            "run.yaml: filters: profile paper has the reference's own; set them in profile default",
        ),
    ],
)  # fmt: skip
def test_a_refusal_names_the_source_the_key_the_bound_and_the_value(write: Write, text: str, message: str) -> None:
    assert refusal(write(text)) == message


def test_a_version_that_yaml_takes_for_a_date_is_text(write: Write) -> None:
    text = "model: {transport: openai, base_url: 'https://n.invalid', name: m, azure_api_version: 2024-10-21}"
    assert load_config(write(text)).model.azure_api_version == "2024-10-21"
    key, value = parse_assignment("model.azure_api_version=2025-01-01")
    assert load_config(write(text), flags={key: value}).model.azure_api_version == "2025-01-01"


def test_a_refusal_names_the_variable_or_the_command_line(write: Write) -> None:
    path = write("target: 5\n")
    bound = "target: input should be greater than or equal to 1"
    assert refusal(path, env={"FASTINSTRUCT_TARGET": "0"}) == f"FASTINSTRUCT_TARGET: {bound}, got '0'"
    assert refusal(path, env={"FASTINSTRUCT_TARGET": "0"}, flags={"target": -1}) == f"command line: {bound}, got -1"
    openai = refusal(env={"OPENAI_BASE_URL": "ftp://h", "FASTINSTRUCT_MODEL": "m"})
    assert openai.startswith("OPENAI_BASE_URL: model.base_url: must be an http(s) URL")


def test_a_misspelt_variable_is_refused() -> None:
    message = refusal(env={"FASTINSTRUCT_TARGTE": "5"})
    assert (
        message
        == "FASTINSTRUCT_TARGTE: no such environment variable of FastInstruct (did you mean FASTINSTRUCT_TARGET?)"
    )


def test_other_programs_variables_are_ignored() -> None:
    assert load_config(env={"FAST_TARGET": "5", "TARGET": "6", "HOME": "/nowhere"}) == RunConfig()


def test_a_flag_below_a_value_is_refused() -> None:
    flags = {"model": "m", "model.name": "m"}
    assert refusal(flags=flags) == "model.name: model is a value, not a group of keys"


def test_nearest_says_nothing_where_nothing_is_near() -> None:
    assert nearest("targt", ["target", "seeds"]) == " (did you mean target?)"
    assert nearest("xyz", ["target", "seeds"]) == ""


# ---------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.yaml", "target: 9\nmodel:\n  send_seed: false\nfilters: {keywords: [a, b]}\n"),
        ("run.yml", "\ufefftarget: 9\r\nmodel: {send_seed: no}\r\nfilters: {keywords: [a, b]}\r\n"),
        ("run.json", '{"target": 9, "model": {"send_seed": false}, "filters": {"keywords": ["a", "b"]}}'),
        ("run.TOML", 'target = 9\n[model]\nsend_seed = false\n[filters]\nkeywords = ["a", "b"]\n'),
    ],
)
def test_yaml_json_and_toml_say_the_same(write: Write, name: str, text: str) -> None:
    config = load_config(write(text, name))
    assert (config.target, config.model.send_seed, config.filters.keywords) == (9, False, ("a", "b"))


@pytest.mark.parametrize(
    ("name", "text", "start"),
    [
        ("run.yaml", "target: 5\nmodel: {name: 'x\n", "run.yaml:3: not valid YAML: "),
        ("run.yaml", "target: 5\n\tseeds: x\n", "run.yaml:2: not valid YAML: "),
        ("run.yaml", "target: 5\nseeds: x\ntarget: 6\n", "run.yaml:3: the key target is given twice; remove one"),
        ("run.yaml", "model:\n  send_seed: yes\n  send_seed: no\n", "run.yaml:3: the key send_seed is given twice"),
        ("run.yaml", "seeds: !!python/name:os.system x\n", "run.yaml:1: not valid YAML: "),
        ("run.yaml", "target: 1\n---\ntarget: 2\n", "run.yaml:2: not valid YAML: "),
        ("run.yaml", "target: !!int ''\n", "run.yaml: not valid YAML: "),
        ("run.yaml", "target: 2026-13-45\n", "run.yaml: not valid YAML: "),
        ("run.yaml", "target: \x00\n", "run.yaml: not valid YAML: "),
        ("run.json", '{"target":\n 5,\n}', "run.json:3: not valid JSON: "),
        ("run.json", '{"target": 5, "target": 6}', "run.json: the key target is given twice; remove one"),
        ("run.toml", "target = 5\ntarget = 6\n", "run.toml: not valid TOML: "),
        ("run.toml", "target = \n", "run.toml: not valid TOML: "),
    ],
)
def test_a_broken_file_is_refused_with_its_line(write: Write, name: str, text: str, start: str) -> None:
    assert refusal(write(text, name)).startswith(start)


@pytest.mark.parametrize(
    ("name", "text"),
    [("run.yaml", "[" * 50_000), ("run.json", "[" * 50_000), ("run.toml", f"target = {'[' * 50_000}"),
     ("run.json", '{"model": {"extra_body": ' + '{"a":' * 60 + "1" + "}" * 62),
     ("run.toml", f"model.extra_body.{'a.' * 60}b = 1")],
)  # fmt: skip
def test_a_very_deep_file_is_refused(write: Write, name: str, text: str) -> None:
    assert "nested" in refusal(write(text, name))


def test_aliases_that_stand_for_a_billion_values_are_refused(write: Write) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "stands for more than 20000 values" in refusal(write("\n".join(lines)))


def test_merge_keys_that_stand_for_a_billion_values_are_refused(write: Write) -> None:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 9)]
    assert "stands for more than 20000 values" in refusal(write("\n".join(lines)))


def test_an_alias_inside_its_own_anchor_is_refused(write: Write) -> None:
    assert "run.yaml:1: holds itself" in refusal(write("model: &a {extra_body: {x: *a}}\n"))


def test_ordinary_aliases_work(write: Write) -> None:
    text = "instructions: {sampling: &s {temperature: 0.3}}\ninstances: {sampling: {<<: *s, max_tokens: 9}}\n"
    config = load_config(write(text))
    assert config.instances.sampling == SamplingConfig(temperature=0.3, max_tokens=9)


def test_a_huge_file_is_refused(write: Write) -> None:
    assert refusal(write("#" * 300_000)) == "run.yaml: is larger than 256 KiB; is this the configuration?"


def test_a_huge_number_is_refused(write: Write) -> None:
    assert refusal(write(f"target: 0x{'f' * 9000}\n")).startswith("run.yaml: ")
    assert refusal(write(f"target: {'9' * 9000}\n")).startswith("run.yaml: ")


def test_a_missing_file_tells_of_init(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.yaml") == "no.yaml: no such file; `fastinstruct init` writes one to start from"


def test_a_folder_and_another_encoding_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run.yaml"
    folder.mkdir()
    assert refusal(folder) == "run.yaml: cannot be read: Is a directory"
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"seeds: caf\xe9\n")
    assert refusal(path) == "latin.yaml: is not UTF-8 text"


def test_half_a_surrogate_pair_is_refused(write: Write) -> None:
    assert "half of a surrogate pair" in refusal(write('{"model": {"name": "\\ud800"}}', "run.json"))


# -------------------------------------------------------------------------------------------------- variables and paths


def test_variables_are_put_in_with_their_defaults(write: Write) -> None:
    text = "target: ${TARGET}\nseeds: ${DIR:seeds}/${NAME:mine}.jsonl\nmodel: {headers: {X: 'a ${EMPTY} b'}}\n"
    path = write(text)
    config = load_config(path, env={"TARGET": "12", "EMPTY": ""})
    assert config.target == 12
    assert config.seeds == path.parent / "seeds" / "mine.jsonl"
    assert config.model.headers == {"X": "a  b"}


def test_an_unset_variable_is_refused(write: Write) -> None:
    message = refusal(write("seeds: ${SEEDS}\n"))
    assert message == "run.yaml: ${SEEDS} is not set; export it or write ${SEEDS:default}"


def test_what_is_no_variable_stays(write: Write) -> None:
    config = load_config(write("filters: {keywords: ['$HOME', '${', '${a b}', '{x}']}\n"))
    assert config.filters.keywords == ("$HOME", "${", "${a b}", "{x}")


def test_a_files_relative_paths_are_relative_to_its_folder(write: Write) -> None:
    path = write("seeds: s.jsonl\nprompts: ../p\nout: /absolute/o\nmodel: {gguf: w.gguf}\n")
    config = load_config(path)
    assert config.seeds == path.parent / "s.jsonl"
    assert config.prompts == path.parent / "../p"
    assert config.out == Path("/absolute/o")
    assert config.model.gguf == path.parent / "w.gguf"


def test_a_tilde_in_a_file_is_the_home_folder(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert load_config(write("seeds: ~/s.jsonl\n")).seeds == tmp_path / "home" / "s.jsonl"


def test_paths_of_flags_and_variables_are_relative_to_where_one_is(write: Write) -> None:
    config = load_config(write("target: 5\n"), flags={"seeds": "s.jsonl"}, env={"FASTINSTRUCT_OUT": "o"})
    assert (config.seeds, config.out) == (Path("s.jsonl"), Path("o"))


# ---------------------------------------------------------------------------------------------------------------- --set


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("target=5", "target", 5),
        (" similarity.threshold = 0.5 ", "similarity.threshold", 0.5),
        ("model.send_seed=false", "model.send_seed", False),
        ("filters.keywords=[a, b c]", "filters.keywords", ["a", "b c"]),
        ("model.extra_body={a: 1}", "model.extra_body", {"a": 1}),
        ("model.base_url=http://h/v1?a=b", "model.base_url", "http://h/v1?a=b"),
        ("runtime.max_in_flight=null", "runtime.max_in_flight", NULL),
        ("model.name=", "model.name", NULL),
        ("model.name='null'", "model.name", "null"),
    ],
)
def test_an_assignments_value_is_read_as_yaml(text: str, key: str, value: object) -> None:
    assert parse_assignment(text) == (key, value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("target", "--set target: write it as key=value, such as similarity.threshold=0.6"),
        ("=5", "--set : write it as key=value, such as similarity.threshold=0.6"),
        ("target=[", "--set target:1: not valid YAML: "),
        ("target=2026-13-45", "--set target: not valid YAML: "),
        (f"model.headers.A:{SECRET}", "--set model.headers.A: write it as key=value"),
    ],
)
def test_a_broken_assignment_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_assignment(text)
    assert str(caught.value).startswith(message)
    assert SECRET not in str(caught.value)


# -------------------------------------------------------------------------------------------------------------- secrets


@pytest.mark.parametrize(
    "text",
    [
        f"model: {{headers: {{Authorization: [{SECRET}]}}}}",
        f"model: {{headers: {{Authorization: {{x: {SECRET}}}}}}}",
        f"model: {{headers: {SECRET}}}",
        f"model: {{headers: [{SECRET}]}}",
        f"model: {{extra_body: {SECRET}}}",
        f"model: {{extra_body: {{key: {SECRET}, day: 2026-01-01}}}}",
        f"model: {{api_key: {SECRET}}}",
        f"model: {{apikey: {SECRET}}}",
        f"api_key: {SECRET}",
        f"model: {{auth_token: {SECRET}}}",
        f"model: {SECRET}",
        f"model: {{base_url: '{SECRET}'}}",
        f"model: {{base_url: 'http://{SECRET}:{SECRET}@h/v1', name: m}}",
        f"model: {{api_key_env: [{SECRET}]}}",
        f"model: {{api_key: *{SECRET}}}",
        f"model: {{api_key: !{SECRET} x}}",
        f"model: {{api_key: '{SECRET}",
        f"model: {{headers: {{A: {SECRET}}}, headers: {{A: {SECRET}}}}}",
    ],
)
def test_no_message_repeats_a_secret(write: Write, text: str) -> None:
    message = refusal(write(text))
    assert SECRET not in message


@pytest.mark.parametrize("key", ["model.api_key", "api_key", "model.token", "openai_api_key", "model.password"])
def test_a_key_in_the_configuration_is_refused_with_what_to_do_instead(key: str) -> None:
    message = refusal(flags={key: SECRET})
    assert message == (
        f"command line: unknown key {key}; a key is never part of a configuration: export it as an environment "
        "variable (OPENAI_API_KEY, or one that model.api_key_env names)"
    )


def test_a_representation_shows_neither_headers_nor_query_nor_extra_body() -> None:
    hidden = {"model.headers": {"A": SECRET}, "model.query": {"code": SECRET}, "model.extra_body": {"a": "not-shown"}}
    config = load_config(flags=hidden)
    assert SECRET not in repr(config)
    assert "not-shown" not in repr(config)
    assert config.model.headers == {"A": SECRET}


def test_pydantics_own_error_shows_no_input() -> None:
    with pytest.raises(ValueError, match=r"headers") as caught:
        ModelConfig.model_validate({"headers": {"A": [SECRET]}, "base_url": f"http://u:{SECRET}@h/v1"})
    assert SECRET not in str(caught.value)


# ----------------------------------------------------------------------------------------------------- evaluation files


def test_evaluation_files_are_paths_or_paths_with_a_field(write: Write) -> None:
    path = write("similarity:\n  against:\n    - test.jsonl\n    - {path: /x/math.jsonl.gz, field: question}\n")
    assert load_config(path).similarity.against == (
        AgainstConfig(path=path.parent / "test.jsonl"),
        AgainstConfig(path=Path("/x/math.jsonl.gz"), field="question"),
    )
    assert RunConfig().similarity.against == load_config(flags={"profile": "paper"}).similarity.against == ()


@pytest.mark.parametrize("one", ["test.jsonl", "{path: test.jsonl}", "[test.jsonl]", "[{path: test.jsonl}]"])
def test_one_evaluation_file_needs_no_list(write: Write, one: str) -> None:
    path = write(f"similarity: {{against: {one}}}\n")
    assert load_config(path).similarity.against == (AgainstConfig(path=path.parent / "test.jsonl"),)
    assert load_config(flags=dict([parse_assignment(f"similarity.against={one}")])).similarity.against == (
        AgainstConfig(path=Path("test.jsonl")),
    )


def test_evaluation_files_may_stand_in_the_home_folder(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    config = load_config(write("similarity: {against: [~/a.txt, {path: ~/b.txt}]}\n"))
    assert [each.path for each in config.similarity.against] == [tmp_path / "me" / "a.txt", tmp_path / "me" / "b.txt"]


def test_a_list_of_a_higher_source_replaces_the_files(write: Write) -> None:
    path = write("similarity: {against: [a, b], threshold: 0.5}\n")
    similarity = load_config(path, flags={"similarity.against": ["c"]}).similarity
    assert (similarity.against, similarity.threshold) == ((AgainstConfig(path=Path("c")),), 0.5)
    assert load_config(path, flags={"similarity.against": []}).similarity.against == ()


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("5", "against: must be a list of files, got 5"),
        ("true", "against: must be a list of files, got True"),
        ("null", "against: must be a list of files"),
        ("[5]", "against.0: must be a path, or a group of path and field, got 5"),
        ("[a, [b]]", "against.1: must be a path, or a group of path and field"),
        ("[{field: question}]", "against.0.path: field required"),
        ("[{path: a, field: ''}]", "against.0.field: string should have at least 1 character, got ''"),
        ("[{path: a, field: 7}]", "against.0.field: input should be a valid string, got 7"),
        ("['-']", "against.0.path: must be a file: stdin cannot be read again when the run goes on, got '-'"),
    ],
)
def test_what_is_no_evaluation_file_is_refused_with_its_place(given: str, complaint: str) -> None:
    value = yaml.safe_load(given)
    flags = {"similarity.against": NULL if value is None else value}
    assert refusal(flags=flags) == f"command line: similarity.{complaint}"


def test_a_mistyped_key_of_an_evaluation_file_is_named_with_the_right_one(write: Write) -> None:
    assert refusal(write("similarity: {against: [a, {path: b, feild: q}]}\n")) == (
        "run.yaml: unknown key similarity.against.1.feild (did you mean similarity.against.field?)"
    )


# ------------------------------------------------------------------------------------------------ profiles and identity


def test_the_paper_profile_has_the_papers_values() -> None:
    config = load_config(flags={"profile": "paper"})
    stage_1, stage_2, stage_3 = config.instructions, config.classification, config.instances
    assert stage_1.sampling == SamplingConfig(
        temperature=0.7, top_p=0.5, presence_penalty=2.0, frequency_penalty=0.0, max_tokens=1024
    )
    assert stage_2.sampling == SamplingConfig(
        temperature=0.0, top_p=0.0, presence_penalty=0.0, frequency_penalty=0.0, max_tokens=3
    )
    assert stage_3.sampling == SamplingConfig(
        temperature=0.0, top_p=0.0, presence_penalty=1.5, frequency_penalty=0.0, max_tokens=300
    )
    assert (stage_1.num_in_context, stage_1.num_machine_in_context, stage_1.num_items) == (8, 2, 8)
    assert (stage_2.num_demonstrations, stage_2.method) == (31, "text")
    assert (config.filters.min_words, config.filters.max_words) == (4, 150)
    assert config.filters.keywords == (
        "image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps", "draw", "plot",
        "go to",
    )  # fmt: skip
    assert (config.similarity.threshold, config.similarity.tokenizer) == (0.7, "rouge")


def test_the_identity_is_what_decides_the_data() -> None:
    assert sorted(RunConfig().identity_fields()) == [
        "classification", "filters", "instances", "instructions", "model", "profile", "rng_seed", "similarity",
    ]  # fmt: skip
    assert sorted(RunConfig().identity_fields()["model"]) == ["api", "extra_body", "name", "send_seed"]


@pytest.mark.parametrize(
    "flags",
    [
        {"target": 5},
        {"out": "o"},
        {"model.base_url": "http://elsewhere/v1"},
        {"model.api_key_env": "OTHER_KEY"},
        {"model.headers.A": SECRET},
        {"model.total_timeout_s": 5, "model.connect_timeout_s": 5, "model.idle_timeout_s": 5},
        {"runtime.max_in_flight": 5, "runtime.max_attempts": 5, "runtime.max_outage_s": 5},
        {"runtime.drain_timeout_s": 5},
        {"similarity.against": ["elsewhere.jsonl"]},  # what the files hold is identity, and put in when they are read
        {"model.transport": "openai", "model.azure_api_version": "preview", "model.base_url": "https://n.invalid"},
    ],
)
def test_what_may_change_between_two_sittings_is_no_identity(write: Write, flags: Mapping[str, Any]) -> None:
    path = write(ENDPOINT)
    assert load_config(path, flags=flags).identity_fields() == load_config(path).identity_fields()


@pytest.mark.parametrize(
    "flags",
    [
        {"rng_seed": 5},
        {"profile": "paper"},
        {"model.name": "n"},
        {"model.api": "completions"},
        {"model.extra_body.top_k": 5},
        {"model.send_seed": False},
        {"instructions.num_items": 5},
        {"classification.method": "text"},
        {"instances.sampling.temperature": 0.5},
        {"filters.min_words": 5},
        {"similarity.threshold": 0.5},
    ],
)
def test_what_decides_the_data_is_identity(write: Write, flags: Mapping[str, Any]) -> None:
    path = write(ENDPOINT)
    assert load_config(path, flags=flags).identity_fields() != load_config(path).identity_fields()


def test_an_identity_is_plain_json() -> None:
    fields = load_config(flags={"model.extra_body.a": [1, None], "profile": "paper"}).identity_fields()
    assert json.loads(json.dumps(fields)) == fields


# ---------------------------------------------------------------------------------------------------------- environment


def test_the_variable_that_is_named_outranks_the_usual_ones() -> None:
    env = {"MY_KEY": "a", "FASTINSTRUCT_API_KEY": "b", "OPENAI_API_KEY": "c"}
    assert api_key(ModelConfig(api_key_env="MY_KEY"), env) == ("a", "MY_KEY")
    assert api_key(ModelConfig(), env) == ("b", "FASTINSTRUCT_API_KEY")
    assert api_key(ModelConfig(), {"OPENAI_API_KEY": "c", "FASTINSTRUCT_API_KEY": ""}) == ("c", "OPENAI_API_KEY")
    assert api_key(ModelConfig(), {}) == (None, "OPENAI_API_KEY")


def test_a_key_for_openai_is_never_azures() -> None:
    azure = {"base_url": "https://n.invalid", "name": "m", "transport": "openai", "azure_api_version": "2024-10-21"}
    env = {"OPENAI_API_KEY": "a", "AZURE_OPENAI_API_KEY": "b", "AZURE_OPENAI_AD_TOKEN": "c"}
    assert api_key(ModelConfig(**azure), env) == ("b", "AZURE_OPENAI_API_KEY")
    assert api_key(ModelConfig(**azure, azure_auth="token"), env) == ("c", "AZURE_OPENAI_AD_TOKEN")
    assert api_key(ModelConfig(**azure), {"OPENAI_API_KEY": "a"}) == (None, "AZURE_OPENAI_API_KEY")
    assert api_key(ModelConfig(**azure), {**env, "FASTINSTRUCT_API_KEY": "d"}) == ("d", "FASTINSTRUCT_API_KEY")
    assert api_key(ModelConfig(), env) == ("a", "OPENAI_API_KEY")


@pytest.mark.parametrize("env", [{}, {"MY_KEY": ""}, {"OPENAI_API_KEY": "c"}])
def test_a_named_variable_that_is_not_set_is_refused(env: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"^model\.api_key_env: the variable MY_KEY is not set; export it$"):
        api_key(ModelConfig(api_key_env="MY_KEY"), env)


def test_a_key_in_the_place_of_a_variables_name_is_not_repeated() -> None:
    with pytest.raises(ConfigError, match=r"must be the name of an environment variable") as caught:
        api_key(ModelConfig(api_key_env=SECRET), {})
    assert SECRET not in str(caught.value)


def test_caches_go_where_xdg_cache_home_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder({"XDG_CACHE_HOME": "/var/cache/me"}) == Path("/var/cache/me/fastinstruct")
    assert cache_folder({}) == tmp_path / ".cache" / "fastinstruct"
    assert cache_folder({"XDG_CACHE_HOME": ""}) == tmp_path / ".cache" / "fastinstruct"
    assert cache_folder({"XDG_CACHE_HOME": "relative"}) == tmp_path / ".cache" / "fastinstruct"


def test_without_a_home_folder_the_cache_folder_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(ConfigError, match=r"^XDG_CACHE_HOME: there is no home folder"):
        cache_folder({})


def test_the_process_environment_is_the_processs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTINSTRUCT_TARGET", "77")
    assert process_environment()["FASTINSTRUCT_TARGET"] == "77"


# ------------------------------------------------------------------------------------------------------ anything at all

KEYS = st.one_of(
    st.sampled_from(
        [
            *(
                name
                for part in (RunConfig, ModelConfig, SamplingConfig, SimilarityConfig)
                for name in part.model_fields
            ),
            *("sampling", "path", "field"),
        ]
    ),
    st.text(max_size=5),
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.dates(),
    st.binary(max_size=4),
    st.sampled_from(["paper", "http://h/v1", "~x/y", "${X}", "${Y:1}", "0x", "\ud800", "1e3"]),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(KEYS, st.integers()), inner, max_size=4)
    ),
    max_leaves=12,
)
anything = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def assert_only_config_errors(path: Path | None, **sources: Any) -> None:
    try:
        said = repr(load_config(path, **sources))
    except ConfigError as error:
        said = str(error)
    assert "\n" not in said
    assert said.encode()


@anything
@given(tree=st.one_of(TREES, st.dictionaries(KEYS, TREES, max_size=5)))
def test_any_yaml_tree_is_a_configuration_or_a_config_error(tree: Any, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(tree, allow_unicode=False), encoding="utf-8")
    assert_only_config_errors(path, env={"X": "3"})


@anything
@given(
    text=st.one_of(st.text(), st.text("[]{}:,-&*!|>'\"#%@ \na1", max_size=40)),
    suffix=st.sampled_from(["yaml", "json", "toml"]),
)
def test_any_text_is_a_configuration_or_a_config_error(text: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"run.{suffix}"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert_only_config_errors(path)


@given(flags=st.dictionaries(st.lists(KEYS, min_size=1, max_size=3).map(".".join), TREES, max_size=4))
def test_any_flags_are_a_configuration_or_a_config_error(flags: dict[str, Any]) -> None:
    assert_only_config_errors(None, flags=flags)


@given(st.text(max_size=20))
def test_any_assignment_is_a_pair_or_a_config_error(text: str) -> None:
    try:
        key, _ = parse_assignment(text)
    except ConfigError:
        return
    assert key
    assert "=" not in key


def test_merging_does_not_depend_on_the_order_of_flags() -> None:
    flags = {"target": 5, "model.base_url": "http://h/v1", "model.name": "m", "instances.sampling.top_p": 0.1}
    shuffled = list(flags.items())
    random.Random(0).shuffle(shuffled)
    assert load_config(flags=dict(shuffled)) == load_config(flags=flags)


# ---------------------------------------------------------------------------------------------- what a run folder keeps


def test_a_recorded_configuration_is_read_back_from_another_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given_flags: dict[str, Any] = {
        "profile": "paper",
        "target": 7,
        "seeds": "mine.jsonl",
        "prompts": "templates",
        "model.gguf": "weights/m.gguf",
        "instances.sampling.max_tokens": None,
        "similarity.threshold": 0.6,
        "model.extra_body": {"top_k": 40},
    }
    config = load_config(flags=given_flags)
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(recorded(config, Path("runs/mine")), encoding="utf-8")
    monkeypatch.chdir("/")
    absolute: dict[str, Any] = {
        "seeds": tmp_path / "mine.jsonl",
        "prompts": tmp_path / "templates",
        "out": folder,
        "model": config.model.model_copy(update={"gguf": tmp_path / "weights" / "m.gguf"}),
    }
    assert load_config(folder / "config.yaml") == config.model_copy(update=absolute)


def test_headers_are_recorded_masked_and_the_mask_is_never_sent(tmp_path: Path, write: Write) -> None:
    flags = {"model.base_url": "http://127.0.0.1:8000/v1", "model.name": "m", "model.headers": {"X-Key": SECRET}}
    text = recorded(load_config(flags=flags), tmp_path)
    assert SECRET not in text
    read_back = load_config(write(text))
    with pytest.raises(
        ConfigError, match=r"^model\.headers\.X-Key: a run's config\.yaml does not hold its value; give"
    ):
        refuse_masked(read_back.model)
    refuse_masked(load_config(write(text), flags={"model.headers.X-Key": SECRET}).model)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90m", 5400), ("2h30m", 9000), ("1.5h", 5400), ("2h 5m 3s", 7503), ("45S", 45), ("3600", 3600), (" 60 ", 60)],
)
def test_a_time_may_be_hours_and_minutes(text: str, seconds: float) -> None:
    assert load_config(flags={"budget.max_time_s": text}).budget.max_time_s == seconds


@pytest.mark.parametrize("text", ["", "h", "2h30", "m90", "-5m", "soon", "inf", "0m"])
def test_what_is_no_time_is_refused(text: str) -> None:
    assert "budget.max_time_s: " in refusal(flags={"budget.max_time_s": text})


def test_prices_are_merged_model_by_model(write: Write) -> None:
    path = write("prices: {gpt-4.1: {input: 2, output: 8}, other: {input: 1, output: 1}}")
    prices = load_config(path, flags={"prices": {"gpt-4.1": {"input": 3}}}).prices
    assert {name: (price.input, price.output) for name, price in prices.items()} == {"gpt-4.1": (3, 8), "other": (1, 1)}


def test_budgets_saturation_and_prices_are_no_part_of_a_runs_identity() -> None:
    flags = {"budget.max_cost": 5, "budget.max_time_s": "1h", "saturation.floor": 0.2, "saturation.window": 9}
    changed = load_config(flags={**flags, "prices": {"m": {"input": 1, "output": 1}}})
    assert changed.identity_fields() == RunConfig().identity_fields()
