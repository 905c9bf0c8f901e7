"""`model.query` is added to the address of every request, whichever transport sends it, and is never stored or told."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from fastinstruct.config import ModelConfig, load_config
from fastinstruct.config.recording import recorded, refuse_masked
from fastinstruct.errors import ConfigError, EndpointError, FastInstructError
from fastinstruct.lm import HttpTransport, Ok
from fastinstruct.lm.endpoints import Endpoint
from fastinstruct.lm.masking import secrets_of
from fastinstruct.lm.openai_transport import AzureAccess, OpenAITransport
from fastinstruct.pipeline import Run
from fastinstruct.pipeline.diagnosis import diagnose
from fastinstruct.pipeline.serving import resolve, served
from test_openai_transport import REQUEST, VERSION, listening

VALUE = "Zq7/hidden+value =&%41"
TRANSPORTS = [HttpTransport, OpenAITransport]


def asked(line: str) -> tuple[str, list[tuple[str, str]]]:
    """The path and the query of a request's first line."""
    parts = urlsplit(line.split(" ")[1])
    return parts.path, parse_qsl(parts.query, keep_blank_values=True)


@pytest.mark.parametrize("transport_class", TRANSPORTS)
@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1?api-version=1", "/v1/?api-version=1&code=theirs"])
async def test_every_request_is_sent_with_it(transport_class: type[HttpTransport], path: str) -> None:
    async with listening() as listener:
        endpoint = listener.endpoint(path, query={"code": VALUE, "empty": ""})
        async with transport_class(endpoint) as transport:
            assert isinstance(await transport.send(REQUEST), Ok)
            await transport.probe()
    ours = [("code", VALUE), ("empty", "")]
    expected = [("api-version", "1"), *ours] if "?" in path else ours
    assert [asked(line) for line, _, _ in listener.seen] == [
        ("/v1/chat/completions", expected),
        ("/v1/models", expected),
    ]


async def test_the_metrics_are_asked_for_with_it() -> None:
    async with listening("200 OK", b"a 1\n") as listener:
        endpoint = listener.endpoint("/gate/v1?api-version=1", query={"code": VALUE})
        async with HttpTransport(endpoint) as transport:
            assert await transport.metrics() == "a 1\n"
    assert asked(listener.seen[0][0]) == ("/gate/metrics", [("api-version", "1"), ("code", VALUE)])


async def test_azure_gets_it_besides_its_version() -> None:
    async with listening() as listener:
        endpoint = listener.endpoint("", query={"code": VALUE})
        async with OpenAITransport(endpoint, AzureAccess(api_version=VERSION)) as transport:
            assert isinstance(await transport.send(REQUEST), Ok)
    path = "/openai/deployments/m/chat/completions"
    assert asked(listener.seen[0][0]) == (path, [("api-version", VERSION), ("code", VALUE)])


def test_an_address_is_shown_without_it_and_it_outranks_the_base_urls() -> None:
    endpoint = Endpoint(base_url="http://h/v1?code=theirs&a=1", model="m", query={"code": VALUE})
    assert endpoint.url("models") == f"http://h/v1/models?a=1&code={quote(VALUE, safe='')}"
    assert "theirs" not in repr(endpoint)
    assert "Zq7" not in repr(endpoint) + endpoint.address + endpoint.describe()


@pytest.mark.parametrize(("name", "value"), [("a\n", "b"), ("a", "b\r\nX: 1"), ("", "b"), ("a", "\ud800")])
def test_a_name_or_value_that_no_url_holds_is_refused_without_it(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=r"^query: ") as caught:
        Endpoint(base_url="http://h/v1", model="m", query={name: value})
    assert value not in str(caught.value) or value == "b"


# --- from the configuration


def test_it_comes_from_the_environment_and_is_text_whatever_yaml_takes_it_for(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        "model:\n  base_url: http://h/v1\n  name: m\n"
        "  query: {code: '${CODE}', api-version: 2024-10-21, page: 1}\n"
        "  endpoints: [{base_url: http://g/v1, query: {sig: '${SIG}', day: 2024-10-21}}]\n"
    )
    model = load_config(path, env={"CODE": VALUE, "SIG": "s"}, flags={"model.query.more": "x"}).model
    assert model.query == {"code": VALUE, "api-version": "2024-10-21", "page": "1", "more": "x"}
    assert model.endpoints[0].query == {"sig": "s", "day": "2024-10-21"}
    with pytest.raises(ConfigError, match=r"\$\{CODE\} is not set"):
        load_config(path)


def test_it_is_no_part_of_a_runs_identity() -> None:
    flags = {"model.base_url": "http://h/v1", "model.name": "m"}
    changed = load_config(flags={**flags, "model.query.code": VALUE})
    assert changed.identity_fields() == load_config(flags=flags).identity_fields()


MODEL = {"base_url": "http://h/v1", "name": "m"}


def test_its_values_are_recorded_masked_and_the_mask_is_never_sent(tmp_path: Path) -> None:
    further = {"base_url": "http://g/v1", "query": {"sig": VALUE}}
    flags: dict[str, Any] = {
        "model": {**MODEL, "query": {"code": VALUE}},
        "instances.model": {**MODEL, "query": {"code": VALUE}, "endpoints": [further]},
    }
    text = recorded(load_config(flags=flags), tmp_path)
    assert "Zq7" not in text
    (tmp_path / "config.yaml").write_text(text)
    config = load_config(tmp_path / "config.yaml")
    assert config.model.query == {"code": "***"}
    with pytest.raises(
        ConfigError, match=r"^model\.query\.code: a run's config\.yaml does not hold its value; give it"
    ):
        refuse_masked(config.model)
    own = config.instances.model
    assert own is not None
    with pytest.raises(
        ConfigError, match=r"^model\.endpoints: query\.sig: a run's config\.yaml does not hold its value"
    ):
        refuse_masked(own.endpoints[0])
    refuse_masked(load_config(tmp_path / "config.yaml", flags={"model.query.code": VALUE}).model)


async def test_a_further_endpoint_gets_its_own_and_not_the_models() -> None:
    further = {"base_url": "http://g/v1", "query": {"sig": "s"}}
    model = ModelConfig.model_validate(
        {**MODEL, "query": {"code": VALUE}, "endpoints": [further, {"base_url": "http://f/v1"}]}
    )
    async with served(model, resolve(model, {}), {}) as endpoints:
        assert [dict(endpoint.query) for endpoint in endpoints] == [{"code": VALUE}, {"sig": "s"}, {}]


def test_its_values_are_secrets_to_whoever_masks() -> None:
    endpoint = Endpoint(base_url="http://h/v1", model="m", query={"code": VALUE})
    assert VALUE in secrets_of(endpoint)[0]


def contents(folder: Path) -> Iterator[bytes]:
    return (path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("transport", ["http", "openai"])
async def test_it_is_in_no_file_log_or_error_of_a_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, transport: str
) -> None:
    for name in ("openai", "httpx2", "httpcore2", "aiohttp", "asyncio", "fastinstruct", ""):
        caplog.set_level(logging.DEBUG, logger=name)
    echo = b'{"error": {"message": "no such model at /v1/chat/completions?code=%b"}}' % quote(VALUE, safe="").encode()
    told: list[str] = []
    async with listening("404 Not Found", echo) as listener:
        flags = {
            "model": {"base_url": listener.endpoint().base_url, "name": "m", "query": {"code": VALUE}},
            "model.transport": transport,
            "out": tmp_path / "run",
        }
        config = load_config(flags=flags)
        with pytest.raises(EndpointError) as caught:
            await Run(config, env={}).execute()
        env = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
        await diagnose(
            config, env, source="t", offline=False, report=lambda one: told.append(repr(one)), note=told.append
        )
        assert all(("code", VALUE) in asked(line)[1] for line, _, _ in listener.seen)
        assert len(listener.seen) >= 3
    told += [str(caught.value), *(record.getMessage() for record in caplog.records)]
    stored = [*contents(tmp_path)]
    assert stored
    for secret in (VALUE, quote(VALUE), quote(VALUE, safe=""), "Zq7/hidd", "Zq7%2Fhidd"):
        assert not [text for text in told if secret in text]
        assert not [content for content in stored if secret.encode() in content]


async def test_a_masked_one_is_not_sent(tmp_path: Path) -> None:
    async with listening() as listener:
        endpoint = replace(listener.endpoint(), query={})
        model = {"base_url": endpoint.base_url, "name": "m", "query": {"code": "***"}}
        config = load_config(flags={"model": model, "out": tmp_path / "run"})
        with pytest.raises(
            FastInstructError, match=r"model\.query\.code: a run's config\.yaml does not hold its value"
        ):
            await Run(config, env={}).execute()
    assert listener.seen == []
