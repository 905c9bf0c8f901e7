"""Which model serves a run, and having it served: an endpoint somewhere, or the embedded model in this process.

Knows nothing of stages. The embedded server lives as long as the context that `served` returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from fastinstruct.config import EndpointConfig, ModelConfig, RunConfig
from fastinstruct.config.environment import api_key, cache_folder
from fastinstruct.config.recording import refuse_masked
from fastinstruct.lm import Endpoint
from fastinstruct.lm.embedded import EmbeddedModel, EmbeddedServer, find_model
from fastinstruct.records import Api

__all__ = ["DEFAULT_IN_FLIGHT", "ServedModel", "resolve", "served"]

DEFAULT_IN_FLIGHT = 64
_EMBEDDED_WAITING = 2  # a few requests more than slots, so that no slot waits for the next prompt
_EMBEDDED_TIMEOUT_S = 3600.0  # two cores and a long queue: slow is not broken


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """The model of a run before it is started: its name, its route, and what identifies its weights, if known."""

    name: str
    api: Api
    fingerprint: str | None
    embedded: EmbeddedModel | None

    def identity(self) -> dict[str, str | None]:
        """Return what a run's identity holds of the model."""
        return {"name": self.name, "api": str(self.api), "fingerprint": self.fingerprint}


def resolve(model: ModelConfig, env: Mapping[str, str]) -> ServedModel:
    """Find out which model serves; may read or write a few hundred MB of weights.

    Chat is the default for endpoints, completions for the embedded model and a --gguf: a base model has no chat.

    Raises:
        EmbeddedModelError: the embedded model is needed but not installed, or the .gguf is unusable.
    """
    if model.base_url is not None:
        return ServedModel(name=model.name or "", api=model.api or Api.CHAT, fingerprint=None, embedded=None)
    found = find_model(model.gguf, cache_folder(env))
    api = model.api or Api.COMPLETIONS
    return ServedModel(name=found.name, api=api, fingerprint=found.fingerprint, embedded=found)


def max_in_flight(config: RunConfig, served_model: ServedModel, num_endpoints: int = 1) -> int:
    """Return how many requests to keep in flight: what is configured, else what suits the model and its endpoints."""
    if config.runtime.max_in_flight is not None:
        return config.runtime.max_in_flight
    from fastinstruct.lm.embedded import NUM_SLOTS

    return NUM_SLOTS + _EMBEDDED_WAITING if served_model.embedded else num_endpoints * DEFAULT_IN_FLIGHT


@asynccontextmanager
async def served(
    model: ModelConfig, served_model: ServedModel, env: Mapping[str, str]
) -> AsyncIterator[list[Endpoint]]:
    """Yield the endpoints to talk to, `model.base_url` first; starts the embedded server if that is what serves.

    Raises:
        ConfigError: the variable that should hold the key is not set, or a header or a query is masked.
        EmbeddedModelError: llama.cpp cannot load the model.
    """
    refuse_masked(model)
    if served_model.embedded is None:
        key, variable = api_key(model, env)
        first = _endpoint(model, served_model, str(model.base_url), key, variable, model.total_timeout_s)
        yield [first, *(_further(first, endpoint, env) for endpoint in model.endpoints)]
        return
    server = EmbeddedServer(served_model.embedded)
    await asyncio.to_thread(server.__enter__)
    try:
        timeout_s = max(model.total_timeout_s, _EMBEDDED_TIMEOUT_S)
        yield [_endpoint(model, served_model, server.base_url, server.api_key, "(embedded)", timeout_s)]
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)


def _further(first: Endpoint, endpoint: EndpointConfig, env: Mapping[str, str]) -> Endpoint:
    """Another server of the same model; a key goes to another host only if it is named for it."""
    refuse_masked(endpoint)
    key, variable = api_key(endpoint, env)
    return replace(
        first,
        base_url=endpoint.base_url,
        model=endpoint.name or first.model,
        api_key=key,
        api_key_env=variable,
        headers=endpoint.headers,
        query=endpoint.query,
    )


def _endpoint(
    model: ModelConfig, served_model: ServedModel, base_url: str, key: str | None, variable: str, timeout_s: float
) -> Endpoint:
    return Endpoint(
        base_url=base_url,
        model=served_model.name,
        api=served_model.api,
        api_key=key,
        api_key_env=variable,
        headers=model.headers,
        query=model.query,
        extra_body=model.extra_body,
        total_timeout_s=timeout_s,
        connect_timeout_s=model.connect_timeout_s,
        idle_timeout_s=model.idle_timeout_s,
    )
