"""What a run can be told: `RunConfig` and its parts.

Knows nothing of files, flags or the environment. Every part is frozen, refuses unknown keys, and names units in its
field names. Fields marked "identity" in `RunConfig.identity_fields` decide what data a run produces: a run folder
holds one identity only.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, field_validator, model_validator

from fastinstruct.config.budgets import BudgetConfig, PriceConfig, SaturationConfig
from fastinstruct.config.filters import PAPER_FILTERS, FilterConfig
from fastinstruct.config.modes import checked_mode
from fastinstruct.config.part import Part
from fastinstruct.config.requests import as_text, checked_body, checked_url
from fastinstruct.records import Api, Stage
from fastinstruct.tokenizer_names import TokenizerName, exact_tokenizer

__all__ = [
    "AgainstConfig",
    "ClassificationConfig",
    "InstancesConfig",
    "InstructionsConfig",
    "ModelConfig",
    "RunConfig",
    "RuntimeConfig",
    "SamplingConfig",
    "SimilarityConfig",
]


class SamplingConfig(Part):
    """Decoding parameters of one stage; null takes what suits stage and route (`pipeline.sampling`)."""

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
    requests_per_minute: float | None = Field(None, gt=0, description="its limit, where its headers don't tell it")
    tokens_per_minute: float | None = Field(None, gt=0, description="the same for tokens, prompt and reply together")

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
    requests_per_minute: float | None = Field(None, gt=0)
    tokens_per_minute: float | None = Field(None, gt=0)
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


class InstructionsConfig(Part):
    """Stage 1: how many tasks a prompt shows and how many it asks for."""

    num_in_context: int = Field(8, ge=1, le=64)
    num_machine_in_context: int = Field(2, ge=0, le=64)
    num_items: int = Field(8, ge=1, le=64)
    sampling: SamplingConfig = SamplingConfig()
    model: ModelConfig | None = None

    @model_validator(mode="after")
    def _machine_tasks_fit(self) -> InstructionsConfig:
        if self.num_machine_in_context > self.num_in_context:
            msg = f"num_machine_in_context must be at most num_in_context ({self.num_in_context})"
            raise ValueError(msg)
        return self


class ClassificationConfig(Part):
    """Stage 2: is the instruction a classification task?

    `method` is `text` (read the reply), `logprobs` (compare the answers' log-probabilities with a threshold calibrated
    on held-out seeds) or `auto` (log-probabilities for the completions API where the endpoint gives them).
    """

    num_demonstrations: int = Field(31, ge=2, le=100)
    method: Literal["auto", "text", "logprobs"] = "auto"
    num_calibration_seeds: int = Field(40, ge=4, le=200)
    sampling: SamplingConfig = SamplingConfig()
    model: ModelConfig | None = None


class InstancesConfig(Part):
    """Stage 3: instances of an instruction, output-first for classification tasks, input-first for others."""

    num_output_first_demonstrations: int = Field(16, ge=1, le=64)
    num_input_first_demonstrations: int = Field(11, ge=1, le=64)
    max_instances: int = Field(5, ge=1, le=100)
    sampling: SamplingConfig = SamplingConfig()
    model: ModelConfig | None = None


class AgainstConfig(Part):
    """A file of evaluation texts: JSON Lines with the text in `field`, or lines of text; a path alone will do, too."""

    path: Path = Field(description="JSON Lines or a .txt, plain, .gz or .zst")
    field: str | None = Field(
        None, min_length=1, description="where a row has the text; null: `instruction`, or every line of a .txt"
    )

    @model_validator(mode="before")
    @classmethod
    def _may_be_a_path_alone(cls, value: object) -> object:
        if isinstance(value, str | Path):
            return {"path": value}
        if isinstance(value, Mapping | AgainstConfig):
            return value
        msg = "must be a path, or a group of path and field"
        raise ValueError(msg)

    @field_validator("path")
    @classmethod
    def _is_no_stdin(cls, value: Path) -> Path:
        if value == Path("-"):
            msg = "must be a file: stdin cannot be read again when the run goes on"
            raise ValueError(msg)
        return value


class SimilarityConfig(Part):
    """The near-duplicate filter: an instruction is rejected iff its ROUGE-L F-measure with another is above this.

    With another of the pool, that is, or with a text of the files `against`: evaluation sets to keep away from.
    `tokenizer` `unicode` is the newest of its kind for a new run; the run's identity has its exact name.
    """

    threshold: float = Field(0.7, ge=0, le=1)
    tokenizer: TokenizerName = "unicode"
    against: tuple[AgainstConfig, ...] = ()

    @field_validator("against", mode="before")
    @classmethod
    def _may_be_one_file(cls, value: object) -> object:
        if isinstance(value, list | tuple):
            return value
        if isinstance(value, str | Path | Mapping | AgainstConfig):
            return (value,)
        msg = "must be a list of files"
        raise ValueError(msg)


class RuntimeConfig(Part):
    """How hard the endpoint is driven; but for the commit order, nothing here changes what a run is.

    `commit_order` is `arrival`, or `windowed`: the same data whatever the latencies, by drawing at most `window`
    requests ahead of their commit.
    With more resident memory than `max_memory_mib` nothing is sent until it is less.
    `folder_mode` is the run's folder's, as chmod has it, whatever the umask; its files have the same without x. Null
    makes it the owner's alone (0700). A folder that was there keeps its own mode, and its files follow this one, or the
    folder's where this is null.
    """

    max_in_flight: int | None = Field(None, ge=1, le=100_000)
    concurrency: Literal["fixed", "aimd", "queue"] = "fixed"
    strict_model: bool = False
    max_attempts: int = Field(6, ge=1, le=100)
    max_outage_s: float = Field(120, ge=0)
    drain_timeout_s: float = Field(30, ge=0)
    commit_order: Literal["arrival", "windowed"] = "arrival"
    window: int = Field(1024, ge=1, le=1_000_000)
    max_memory_mib: float | None = Field(None, gt=0)
    folder_mode: str | None = None

    @field_validator("folder_mode", mode="before")
    @classmethod
    def _is_a_mode(cls, value: object) -> object:
        return None if value is None else checked_mode(value)

    @property
    def folder_bits(self) -> int | None:
        """Return `folder_mode` as a number."""
        return None if self.folder_mode is None else int(self.folder_mode, 8)

    @model_validator(mode="after")
    def _window_holds_the_slots(self) -> RuntimeConfig:
        if self.commit_order == "windowed" and (self.max_in_flight or 1) > self.window:
            msg = f"window must be at least max_in_flight ({self.max_in_flight}); 16 times as much keeps slots busy"
            raise ValueError(msg)
        return self


class RunConfig(Part):
    """One run: seeds in, a target, a model, and how each stage works."""

    profile: Literal["default", "paper"] = "default"
    target: int = Field(100, ge=1, le=100_000_000)
    seeds: Path | None = None
    prompts: Path | None = None
    out: Path | None = None
    rng_seed: int = Field(0, ge=0, lt=2**63)
    model: ModelConfig = ModelConfig()
    instructions: InstructionsConfig = InstructionsConfig()
    classification: ClassificationConfig = ClassificationConfig()
    instances: InstancesConfig = InstancesConfig()
    filters: FilterConfig = FilterConfig()
    similarity: SimilarityConfig = SimilarityConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    budget: BudgetConfig = BudgetConfig()
    saturation: SaturationConfig = SaturationConfig()
    prices: dict[str, PriceConfig] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _paper_filters_are_the_papers(self) -> RunConfig:
        filters = self.filters.model_copy(update={"max_unreadable": FilterConfig().max_unreadable})
        if self.profile == "paper" and filters not in (FilterConfig(), PAPER_FILTERS):
            msg = "filters: profile paper has the reference's own; set them in profile default"
            raise ValueError(msg)
        return self

    def model_of(self, stage: Stage) -> ModelConfig:
        """Return the model of a stage: its own, or the run's."""
        return self._part_of(stage).model or self.model

    def models(self) -> list[tuple[ModelConfig, tuple[Stage, ...]]]:
        """Return each model once, with the stages that it serves."""
        found: list[tuple[ModelConfig, tuple[Stage, ...]]] = []
        for stage in Stage:
            if not any(stage in stages for _, stages in found):
                model = self.model_of(stage)
                found.append((model, tuple(other for other in Stage if self.model_of(other) == model)))
        return found

    def _part_of(self, stage: Stage) -> InstructionsConfig | ClassificationConfig | InstancesConfig:
        match stage:
            case Stage.INSTRUCTIONS:
                return self.instructions
            case Stage.CLASSIFICATION:
                return self.classification
            case Stage.INSTANCES:
                return self.instances

    def identity_fields(self) -> dict[str, Any]:
        """Return what decides the data of a run, but for the contents of seeds, prompts, model and evaluation files.

        URL, key, headers, time-outs, concurrency, budgets and target may change between two sittings of one run. The
        commit order `arrival` decides nothing: it is left to chance.
        """
        kept = {"profile", "rng_seed", "instructions", "classification", "instances", "similarity"}
        fields = self.model_dump(mode="json", include=kept, exclude={"similarity": {"against"}})
        fields["filters"] = self.filters.identity_fields()
        fields["similarity"]["tokenizer"] = exact_tokenizer(self.similarity.tokenizer)
        fields["model"] = self.model.identity_fields()
        for stage in Stage:
            own = self._part_of(stage).model
            fields[stage].pop("model")
            if own is not None:
                fields[stage]["model"] = own.identity_fields()
        if self.runtime.commit_order == "windowed":
            fields["runtime"] = self.runtime.model_dump(mode="json", include={"commit_order", "window"})
        return fields
