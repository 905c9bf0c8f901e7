"""Which model answers, and how it is reached and asked.

Every part is frozen, refuses unknown keys, and names units in its field names.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, field_validator, model_validator

from fastinstruct.config.part import Part
from fastinstruct.config.requests import as_text, checked_body, checked_url
from fastinstruct.records import Api

__all__ = ["EndpointConfig", "ModelConfig", "SamplingConfig"]


class SamplingConfig(Part):
    """Decoding parameters of one stage; null takes what suits stage and route (`pipeline.stages`)."""

    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    max_tokens: int | None = Field(None, ge=1, le=1_000_000)


class EndpointConfig(Part):
    """One more server of a model: its address, its key, and what it bears.

    Nothing of the model's own `headers` or `query` goes there.
    """

    base_url: str = Field(description="the server's address with its version, as in `model`")
    name: str | None = Field(None, description="the model's name there; null takes that of `model`")
    api_key_env: str | None = Field(None, description="the NAME of the variable that holds its key; null sends none")
    headers: dict[str, str] = Field(default_factory=dict, repr=False, description="its own HTTP headers, never stored")
    query: dict[str, str] = Field(
        default_factory=dict, repr=False, description="its own parameters of the address, never stored"
    )
    weight: float = Field(1, gt=0, le=1000, description="the load it takes beside the others; 2: twice as much")
    max_in_flight: int | None = Field(
        None, ge=1, le=100_000, description="requests at once there; null takes `runtime.max_in_flight`"
    )
    requests_per_minute: float | None = Field(None, ge=0.001, description="its limit, where its headers don't tell it")
    tokens_per_minute: float | None = Field(None, ge=1, description="the same for tokens, prompt and reply together")

    @field_validator("base_url")
    @classmethod
    def _is_http_url(cls, value: str) -> str:
        return checked_url(value)

    @field_validator("query", mode="before")
    @classmethod
    def _is_written_as_text(cls, value: object) -> object:
        return as_text(value)


class ModelConfig(Part):
    """Which model answers, and how it is reached. Without `base_url` and `gguf` the embedded model serves.

    `headers` and `query`, which is added to every request's address, may hold keys and never reach a run folder;
    `extra_body` decides what a model answers, so it does, and what looks like a secret in it is refused.

    `replies` says how replies are asked for: `auto` as JSON by schema where route and server bear it (chat), else as
    JSON, else as text; `json` refuses what would be text; `text` asks for the plain format of the prompts.

    `transport` is what sends requests: `http`, or the `openai` SDK. With `azure_api_version` the endpoint is an Azure
    OpenAI resource: `base_url` is its address and `name` a deployment; `azure_auth` says what signs in: the resource's
    `key`, a `token` of Entra ID from a variable, or the `identity` of this machine (azure-identity), which renews it.
    """

    base_url: str | None = None
    name: str | None = None
    api: Api | None = None
    gguf: Path | None = None
    api_key_env: str | None = None
    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    query: dict[str, str] = Field(default_factory=dict, repr=False)
    extra_body: dict[str, JsonValue] = Field(default_factory=dict, repr=False)
    send_seed: bool = True
    replies: Literal["auto", "json", "text"] = "auto"
    requests_per_minute: float | None = Field(None, ge=0.001)
    tokens_per_minute: float | None = Field(None, ge=1)
    endpoints: tuple[EndpointConfig, ...] = ()
    transport: Literal["http", "openai"] = "http"
    azure_api_version: str | None = Field(None, pattern=r"^[0-9A-Za-z.-]{1,40}$")
    azure_auth: Literal["key", "token", "identity"] = "key"
    total_timeout_s: float = Field(600, gt=0)
    connect_timeout_s: float = Field(10, gt=0)
    idle_timeout_s: float = Field(120, gt=0)

    @field_validator("base_url")
    @classmethod
    def _is_http_url(cls, value: str | None) -> str | None:
        return None if value is None else checked_url(value)

    @field_validator("query", mode="before")
    @classmethod
    def _is_written_as_text(cls, value: object) -> object:
        return as_text(value)

    @field_validator("extra_body")
    @classmethod
    def _holds_no_secret(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return checked_body(value)

    def identity_fields(self) -> dict[str, Any]:
        """Return what of it decides the data of a run."""
        return self.model_dump(mode="json", include={"name", "api", "extra_body", "send_seed"})

    @model_validator(mode="after")
    def _is_one_model(self) -> ModelConfig:
        if self.base_url and self.gguf:
            msg = "base_url and gguf name two different models: give one of them"
            raise ValueError(msg)
        if self.endpoints and not self.base_url:
            msg = "endpoints are further servers of the model at base_url: give that one, too"
            raise ValueError(msg)
        if self.base_url and not self.name:
            msg = "name is missing: a base_url needs the model's name as the server knows it (--model)"
            raise ValueError(msg)
        if self.name and not self.base_url:
            msg = "name is set but base_url is not: say where the model is served (--base-url URL)"
            raise ValueError(msg)
        return self

    @field_validator("azure_api_version", mode="before")
    @classmethod
    def _is_written_as_a_date(cls, value: object) -> object:
        """Take 2024-10-21 for the text that it is; YAML takes it for a date."""
        return value.isoformat() if isinstance(value, date) else value

    @model_validator(mode="after")
    def _azure_is_whole(self) -> ModelConfig:
        if self.azure_api_version is None:
            if self.azure_auth != "key":
                msg = "azure_auth is set but azure_api_version is not: set it, such as 2024-10-21"
                raise ValueError(msg)
            return self
        if self.transport != "openai":
            msg = "azure_api_version needs transport: openai"
            raise ValueError(msg)
        if self.base_url is None or {"openai", "v1"} & {*urlsplit(self.base_url).path.split("/")}:
            msg = "azure_api_version needs the resource's address as base_url, such as https://NAME.openai.azure.com"
            raise ValueError(msg)
        return self
