"""The ways to a server, by the names that a configuration gives them. Another is a file beside this, and a line here.

What is heavy, such as the openai SDK, is imported only where it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fastinstruct.errors import ConfigError

if TYPE_CHECKING:
    from fastinstruct.config import ModelConfig
    from fastinstruct.lm.endpoints import Endpoint
    from fastinstruct.lm.transports.base import Transport
    from fastinstruct.lm.transports.openai_sdk import AzureAccess

__all__ = ["TRANSPORTS", "open_transport"]

_AZURE_SCOPE = "https://cognitiveservices.azure.com/.default"


def open_transport(endpoint: Endpoint, model: ModelConfig) -> Transport:
    """Return the transport to `endpoint` that `model.transport` names; an async context manager.

    Raises:
        ConfigError: it needs a package that is not installed.
    """
    return TRANSPORTS[model.transport](endpoint, model)


def _http(endpoint: Endpoint, _: ModelConfig) -> Transport:
    from fastinstruct.lm.transports.http import HttpTransport

    return HttpTransport(endpoint)


def _openai(endpoint: Endpoint, model: ModelConfig) -> Transport:
    _installed("openai", "model.transport: openai", "fastinstruct[openai]")
    from fastinstruct.lm.transports.openai_sdk import OpenAITransport

    return OpenAITransport(endpoint, _azure_access(model))


def _azure_access(model: ModelConfig) -> AzureAccess | None:
    if model.azure_api_version is None:
        return None
    from fastinstruct.lm.transports.openai_sdk import AzureAccess

    if model.azure_auth != "identity":
        return AzureAccess(api_version=model.azure_api_version, is_token=model.azure_auth == "token")
    # It renews its tokens before they expire, one request at a time.
    identity = _installed("azure.identity.aio", "model.azure_auth: identity", "fastinstruct[azure]")
    credential = identity.DefaultAzureCredential()
    return AzureAccess(
        api_version=model.azure_api_version,
        token_provider=identity.get_bearer_token_provider(credential, _AZURE_SCOPE),
        close=credential.close,
    )


def _installed(module: str, setting: str, extra: str) -> Any:  # noqa: ANN401 - a module
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ConfigError(f"{setting} needs a package that is not installed; pip install '{extra}'") from None


TRANSPORTS: Mapping[str, Callable[[Endpoint, ModelConfig], Transport]] = {"http": _http, "openai": _openai}
"""The name of each transport -> what makes one."""
