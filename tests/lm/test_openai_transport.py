"""The openai SDK's transport: Azure, and that neither the SDK nor its environment sends, repeats or tells anything.

That it sends and gives what `HttpTransport` does is in `test_transport`, whose tests run over both.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("openai", reason="needs the extra `openai`")

from fastinstruct.config import ModelConfig, load_config
from fastinstruct.errors import ConfigError
from fastinstruct.lm.endpoints import Endpoint
from fastinstruct.lm.outcomes.outcomes import Fatal, Ok, Overloaded, RateLimited, Transient
from fastinstruct.lm.transports import open_transport
from fastinstruct.lm.transports.http import HttpTransport
from fastinstruct.lm.transports.openai_sdk import AzureAccess, OpenAITransport
from fastinstruct.pipeline import Run
from fastinstruct.records import Api, Message
from fastinstruct.scripted_server import Latency, Script, ScriptedServer
from listening import KEY, MODELS, REQUEST, VERSION, listening

# ---------------------------------------------------------------------------------------------------------------- Azure


async def test_azure_is_asked_at_the_deployment_with_its_version_and_key() -> None:
    async with listening() as listener:
        endpoint = listener.endpoint("", model="my deployment")
        async with OpenAITransport(endpoint, AzureAccess(api_version=VERSION)) as transport:
            assert isinstance(await transport.send(REQUEST), Ok)
    (line, headers, body) = listener.seen[0]
    assert line == f"POST /openai/deployments/my%20deployment/chat/completions?api-version={VERSION} HTTP/1.1"
    assert headers["api-key"] == KEY
    assert "authorization" not in headers
    asked = {"messages": [{"role": "user", "content": "Why?"}], "model": "my deployment", "seed": 7, "temperature": 0.5}
    assert json.loads(body) == asked


async def test_a_gateway_in_front_of_azure_keeps_its_path_query_and_headers() -> None:
    async with listening() as listener:
        endpoint = listener.endpoint("/gate/way?tenant=t", api=Api.COMPLETIONS, headers={"api-key": "theirs"})
        async with OpenAITransport(endpoint, AzureAccess(api_version=VERSION)) as transport:
            await transport.send(replace(REQUEST, prompt="Why"))
    (line, headers, _) = listener.seen[0]
    path = "/gate/way/openai/deployments/m/completions"
    assert line == f"POST {path}?api-version={VERSION}&tenant=t HTTP/1.1"
    assert headers["api-key"] == "theirs"


async def test_a_token_of_entra_id_is_a_bearer() -> None:
    async with listening() as listener:
        azure = AzureAccess(api_version=VERSION, is_token=True)
        async with OpenAITransport(listener.endpoint(""), azure) as transport:
            assert isinstance(await transport.send(REQUEST), Ok)
    headers = listener.seen[0][1]
    assert headers["authorization"] == f"Bearer {KEY}"
    assert "api-key" not in headers


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_provider_is_asked_for_a_token_before_each_request(*, is_async: bool) -> None:
    tokens = iter(["first", "second"])

    async def later() -> str:
        return next(tokens)

    azure = AzureAccess(api_version=VERSION, token_provider=later if is_async else lambda: next(tokens))
    async with listening() as listener, OpenAITransport(listener.endpoint(""), azure) as transport:
        await transport.send(REQUEST)
        await transport.send(REQUEST)
    assert [headers["authorization"] for _, headers, _ in listener.seen] == ["Bearer first", "Bearer second"]
    assert all("api-key" not in headers for _, headers, _ in listener.seen)


@pytest.mark.parametrize("answer", [RuntimeError("AADSTS70043: s3cr3t"), ""])
async def test_a_provider_without_a_token_is_a_matter_of_signing_in(answer: Exception | str) -> None:
    def provide() -> str:
        if isinstance(answer, Exception):
            raise answer
        return answer

    azure = AzureAccess(api_version=VERSION, token_provider=provide)
    async with listening() as listener, OpenAITransport(listener.endpoint(""), azure) as transport:
        for outcome in (await transport.send(REQUEST), await transport.probe()):
            assert isinstance(outcome, Fatal)
            assert outcome.kind == "auth"
            assert "sign in, for example with `az login`" in outcome.message
            assert "s3cr3t" not in outcome.message
    assert listener.seen == []


async def test_a_probe_of_azure_tells_a_wrong_key_and_lists_nothing() -> None:
    """A resource lists its models, not its deployments: to compare these with a deployment's name says nothing."""
    async with (
        listening("200 OK", MODELS) as listener,
        OpenAITransport(listener.endpoint(""), AzureAccess(api_version=VERSION)) as transport,
    ):
        assert await transport.probe() == []
    assert listener.seen[0][0] == f"GET /openai/models?api-version={VERSION} HTTP/1.1"
    async with (
        listening("401 Unauthorized", b"{}") as listener,
        OpenAITransport(listener.endpoint(""), AzureAccess(api_version=VERSION)) as transport,
    ):
        outcome = await transport.probe()
    assert isinstance(outcome, Fatal)
    assert outcome.kind == "auth"


async def test_an_unknown_deployment_is_an_unknown_model() -> None:
    error = {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}
    async with (
        listening("404 Not Found", json.dumps({"error": error}).encode()) as listener,
        OpenAITransport(listener.endpoint(""), AzureAccess(api_version=VERSION)) as transport,
    ):
        outcome = await transport.send(REQUEST)
    assert isinstance(outcome, Fatal)
    assert outcome.kind == "model"


# ------------------------------------------------------------------------------------------------------ the environment

POISON = {
    "OPENAI_API_KEY": "poison-key",
    "OPENAI_ADMIN_KEY": "poison-admin",
    "OPENAI_BASE_URL": "http://127.0.0.1:9/poison",
    "OPENAI_ORG_ID": "poison-org",
    "OPENAI_PROJECT_ID": "poison-project",
    "OPENAI_WEBHOOK_SECRET": "poison-webhook",
    "OPENAI_CUSTOM_HEADERS": "Authorization: Bearer poison\nX-Poison: poison\napi-key: poison\nUser-Agent: poison",
    "OPENAI_API_VERSION": "poison-version",
    "AZURE_OPENAI_API_KEY": "poison-azure",
    "AZURE_OPENAI_AD_TOKEN": "poison-token",
    "AZURE_OPENAI_ENDPOINT": "http://127.0.0.1:9/poison",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "SSL_CERT_FILE": "/poison.pem",
}


@pytest.mark.parametrize("api_key", [KEY, None])
@pytest.mark.parametrize(
    "azure",
    [
        None,
        AzureAccess(api_version=VERSION),
        AzureAccess(api_version=VERSION, is_token=True),
        AzureAccess(api_version=VERSION, token_provider=lambda: "fresh"),
    ],
)
async def test_no_variable_redirects_signs_or_adds_to_a_request(
    monkeypatch: pytest.MonkeyPatch, azure: AzureAccess | None, api_key: str | None
) -> None:
    for name, value in POISON.items():
        monkeypatch.setenv(name, value)
    async with (
        listening() as listener,
        OpenAITransport(listener.endpoint("", api_key=api_key), azure) as transport,
    ):
        assert isinstance(await transport.send(REQUEST), Ok)
        await transport.probe()
    assert len(listener.seen) == 2
    assert "poison" not in repr(listener.seen)
    signed = {"authorization", "api-key"} & listener.seen[0][1].keys()
    provided = azure is not None and azure.token_provider is not None
    assert len(signed) == (api_key is not None or provided)


async def test_what_the_sdk_would_tell_of_the_machine_is_not_sent() -> None:
    async with listening() as listener, OpenAITransport(listener.endpoint()) as transport:
        await transport.send(REQUEST)
    names = {"host", "accept", "accept-encoding", "user-agent", "content-type", "content-length", "authorization"}
    assert listener.seen[0][1].keys() == names
    assert listener.seen[0][1]["user-agent"] == "fastinstruct"


async def test_both_transports_send_the_same() -> None:
    request = replace(REQUEST, prompt=(Message(role="user", content="half a pair: \ud83d, 中文"),))
    async with listening() as listener:
        endpoint = listener.endpoint("/v1?k=v", extra_body={"top_k": 40, "huge": 2**70}, headers={"X-Title": "t"})
        for transport in (HttpTransport(endpoint), OpenAITransport(endpoint)):
            async with transport:
                assert isinstance(await transport.send(request), Ok)
    first, second = listener.seen
    assert first == second


# ----------------------------------------------------------------------------------------------------- keys and secrets


async def test_no_key_query_or_password_is_in_a_repr_a_message_or_a_log(caplog: pytest.LogCaptureFixture) -> None:
    for name in ("openai", "httpx2", "httpcore2", "aiohttp", "asyncio", ""):
        caplog.set_level(logging.DEBUG, logger=name)
    echo = json.dumps({"error": {"message": f"bad key {KEY}"}}).encode()
    texts: list[str] = []
    async with listening("401 Unauthorized", echo) as listener:
        path = f"/v1?secret={KEY}"
        for azure in (None, AzureAccess(api_version=VERSION), AzureAccess(api_version=VERSION, is_token=True)):
            async with OpenAITransport(listener.endpoint(path), azure) as transport:
                texts += [
                    repr(transport),
                    repr(azure),
                    repr(await transport.send(REQUEST)),
                    repr(await transport.probe()),
                ]
        url = f"http://joe:{KEY}@127.0.0.1:{listener.port}{path}"
        async with OpenAITransport(replace(listener.endpoint(), base_url=url, api_key=None)) as transport:
            texts.append(repr(await transport.send(REQUEST)))
    assert listener.seen[-1][1]["authorization"].startswith("Basic ")
    assert len(listener.seen) == 7
    texts += [record.getMessage() for record in caplog.records]
    assert any("HTTP Request: POST" in text for text in texts)  # the SDK's client did log
    assert [text for text in texts if KEY in text] == []


# ------------------------------------------------------------------------------------------ no retries, limits or waits


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("429 Too Many Requests", RateLimited(3.0)),
        ("503 Service Unavailable", Overloaded(3.0)),
        ("500 Internal Server Error", Transient("server", "500: no message")),
        ("408 Request Timeout", Transient("server", "408: no message")),
        ("409 Conflict", Transient("server", "409: no message")),
    ],
)
async def test_the_sdk_repeats_nothing_whatever_a_server_wants(status: str, expected: object) -> None:
    async with (
        listening(status, b"{}", "Retry-After: 3", "x-should-retry: true") as listener,
        OpenAITransport(listener.endpoint()) as transport,
    ):
        assert await transport.send(REQUEST) == expected
    assert len(listener.seen) == 1


async def test_a_failed_handshake_is_the_same_over_both_transports() -> None:
    async def speak_plainly(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(speak_plainly, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        endpoint = Endpoint(base_url=f"https://127.0.0.1:{port}/v1", model="m", api_key=KEY)
        outcomes = []
        for transport in (HttpTransport(endpoint), OpenAITransport(endpoint)):
            async with transport:
                outcomes.append(await transport.send(REQUEST))
    assert outcomes[0] == outcomes[1]
    assert isinstance(outcomes[0], Transient)
    assert outcomes[0].kind == "tls"


async def test_five_hundred_are_in_flight_at_once() -> None:
    async with ScriptedServer(Script(latency=Latency(1.0))) as server:
        endpoint = Endpoint(base_url=server.base_url, model="scripted")
        async with OpenAITransport(endpoint) as transport:
            prompts = [(Message(role="user", content=f"Number {number}."),) for number in range(500)]
            sending = [asyncio.create_task(transport.send(replace(REQUEST, prompt=prompt))) for prompt in prompts]
            outcomes = await asyncio.gather(*sending)
    assert server.stats.max_in_flight == 500
    assert all(isinstance(outcome, Ok) for outcome in outcomes)


# -------------------------------------------------------------------------------------------------------- as configured


def model_config(**fields: Any) -> ModelConfig:
    return ModelConfig(**{"base_url": "http://127.0.0.1:1", "name": "m", "transport": "openai", **fields})


ENDPOINT = Endpoint(base_url="http://127.0.0.1:1/v1", model="m")


def test_the_configuration_chooses_the_transport() -> None:
    assert type(open_transport(ENDPOINT, ModelConfig())) is HttpTransport
    assert type(open_transport(ENDPOINT, model_config())) is OpenAITransport


@pytest.mark.parametrize(
    ("absent", "fields", "message"),
    [
        ("openai", {}, r"model\.transport: openai needs .* pip install 'fastinstruct\[openai\]'"),
        (
            "azure.identity.aio",
            {"azure_api_version": VERSION, "azure_auth": "identity"},
            r"model\.azure_auth: identity needs .* pip install 'fastinstruct\[azure\]'",
        ),
    ],
)
def test_a_missing_extra_is_one_line(
    monkeypatch: pytest.MonkeyPatch, absent: str, fields: dict[str, Any], message: str
) -> None:
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(ConfigError, match=message) as caught:
        open_transport(ENDPOINT, model_config(**fields))
    assert "\n" not in str(caught.value)


async def test_the_identity_of_the_machine_signs_in_and_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    async def close() -> None:
        events.append("closed")

    def provider(credential: object, scope: str) -> Callable[[], Awaitable[str]]:
        async def token() -> str:
            events.append(scope)
            return "of-the-machine"

        return token

    fake = ModuleType("azure.identity.aio")
    fake.__dict__["DefaultAzureCredential"] = lambda: SimpleNamespace(close=close)
    fake.__dict__["get_bearer_token_provider"] = provider
    for name in ("azure", "azure.identity"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "azure.identity.aio", fake)
    async with listening() as listener:
        model = model_config(azure_api_version=VERSION, azure_auth="identity")
        async with open_transport(listener.endpoint("", api_key=None), model) as transport:
            assert isinstance(await transport.send(REQUEST), Ok)
    assert listener.seen[0][1]["authorization"] == "Bearer of-the-machine"
    assert events == ["https://cognitiveservices.azure.com/.default", "closed"]


async def test_a_run_may_change_its_transport_between_sittings(tmp_path: Path) -> None:
    async with ScriptedServer(Script(api_key=KEY, faults={"429": 0.05, "500": 0.05, "truncated": 0.05})) as server:
        for transport, target in (("openai", 20), ("http", 30), ("openai", 40)):
            flags: dict[str, Any] = {
                "model.base_url": server.base_url,
                "model.name": "scripted",
                "model.transport": transport,
                "target": target,
                "out": tmp_path / "run",
            }
            result = await Run(load_config(flags=flags), env={"OPENAI_API_KEY": KEY}).execute()
            assert result.ended_by == "target"
            assert result.progress.num_failed == 0
    assert result.progress.num_admitted >= 40
