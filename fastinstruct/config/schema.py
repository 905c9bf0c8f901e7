"""What a run can be told: `RunConfig` and its parts.

Knows nothing of files, flags or the environment. Every part is frozen, refuses unknown keys, and names units in its
field names. Fields marked "identity" in `RunConfig.identity_fields` decide what data a run produces: a run folder
holds one identity only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from fastinstruct.config.budgets import BudgetConfig, PriceConfig, SaturationConfig
from fastinstruct.config.filters import PAPER_FILTERS, FilterConfig
from fastinstruct.config.models import ModelConfig, SamplingConfig
from fastinstruct.config.modes import checked_mode
from fastinstruct.config.part import Part
from fastinstruct.tokenizer_names import TokenizerName, exact_tokenizer

__all__ = [
    "OF_THE_PAPER",
    "AgainstConfig",
    "ClassificationConfig",
    "InstancesConfig",
    "InstructionsConfig",
    "ModelConfig",
    "RunConfig",
    "RuntimeConfig",
    "SamplingConfig",
    "SimilarityConfig",
    "StageSettings",
]


OF_THE_PAPER = ("instructions", "classification", "instances")
"""The stages whose settings stand at the top of a configuration."""

_PAPER = "paper"


class StageSettings(Part):
    """What every stage can be told: its decoding parameters, and a model of its own."""

    sampling: SamplingConfig = SamplingConfig()
    model: ModelConfig | None = None


class FurtherStage(StageSettings):
    """The settings of a stage that this package does not know: the stage itself says what they may be."""

    model_config = ConfigDict(extra="allow")


class InstructionsConfig(StageSettings):
    """Stage 1: how many tasks a prompt shows and how many it asks for."""

    num_in_context: int = Field(8, ge=1, le=64)
    num_machine_in_context: int = Field(2, ge=0, le=64)
    num_items: int = Field(8, ge=1, le=64)

    @model_validator(mode="after")
    def _machine_tasks_fit(self) -> InstructionsConfig:
        if self.num_machine_in_context > self.num_in_context:
            msg = f"num_machine_in_context must be at most num_in_context ({self.num_in_context})"
            raise ValueError(msg)
        return self


class ClassificationConfig(StageSettings):
    """Stage 2: is the instruction a classification task?

    `method` is `text` (read the reply), `logprobs` (compare the answers' log-probabilities with a threshold calibrated
    on held-out seeds) or `auto` (log-probabilities for the completions API where the endpoint gives them).
    """

    num_demonstrations: int = Field(31, ge=2, le=100)
    method: Literal["auto", "text", "logprobs"] = "auto"
    num_calibration_seeds: int = Field(40, ge=4, le=200)


class InstancesConfig(StageSettings):
    """Stage 3: instances of an instruction, output-first for classification tasks, input-first for others."""

    num_output_first_demonstrations: int = Field(16, ge=1, le=64)
    num_input_first_demonstrations: int = Field(11, ge=1, le=64)
    max_instances: int = Field(5, ge=1, le=100)


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
    """One run: seeds in, a target, a model, and how each stage works.

    `recipe` names the stages (see `pipeline.recipes`); null is what `profile` stands for: `self_instruct`, or `paper`.
    The settings of stages beyond the paper's three stand in `stages`, by the stage's name.
    """

    recipe: str | None = Field(None, min_length=1, max_length=80)
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
    stages: dict[str, FurtherStage] = Field(default_factory=dict)
    filters: FilterConfig = FilterConfig()
    similarity: SimilarityConfig = SimilarityConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    budget: BudgetConfig = BudgetConfig()
    saturation: SaturationConfig = SaturationConfig()
    prices: dict[str, PriceConfig] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _recipe_and_profile_agree(cls, value: object) -> object:
        """Let `recipe: paper` and `profile: paper` be the same."""
        if not isinstance(value, Mapping) or value.get("recipe") is None:
            return value
        recipe, profile = value["recipe"], value.get("profile", "default")
        if recipe != _PAPER and profile == _PAPER:
            msg = f"recipe: is {str(recipe)[:80]!a} where profile is paper, which is the recipe paper; give one of them"
            raise ValueError(msg)
        return {**value, "recipe": None, "profile": _PAPER} if recipe == _PAPER else value

    @model_validator(mode="after")
    def _paper_filters_are_the_papers(self) -> RunConfig:
        filters = self.filters.model_copy(update={"max_unreadable": FilterConfig().max_unreadable})
        if self.profile == "paper" and filters not in (FilterConfig(), PAPER_FILTERS):
            msg = "filters: profile paper has the reference's own; set them in profile default"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _stages_of_the_paper_have_groups_of_their_own(self) -> RunConfig:
        for name in self.stages:
            if name in OF_THE_PAPER:
                msg = f"stages.{name}: its settings stand in {name}, without stages"
                raise ValueError(msg)
        return self

    @property
    def recipe_name(self) -> str:
        """Return the name of the recipe, whichever key names it."""
        return self.recipe or (_PAPER if self.profile == _PAPER else "self_instruct")

    def stage(self, name: str) -> StageSettings:
        """Return what is set of a stage; of one beyond the paper's, unchecked (see `settings_of`)."""
        if name in OF_THE_PAPER:
            found: StageSettings = getattr(self, name)
            return found
        return self.stages.get(name, _NOTHING_SET)

    def places(self) -> dict[str, StageSettings]:
        """Return every group that holds the settings of a stage, by its dotted key."""
        further = {f"stages.{name}": settings for name, settings in self.stages.items()}
        return {name: self.stage(name) for name in OF_THE_PAPER} | further

    def model_of(self, stage: str) -> ModelConfig:
        """Return the model of a stage: its own, or the run's."""
        return self.stage(stage).model or self.model

    def models(self, stages: Sequence[str]) -> list[tuple[ModelConfig, tuple[str, ...]]]:
        """Return each model of these stages once, with those that it serves."""
        found: list[tuple[ModelConfig, tuple[str, ...]]] = []
        for stage in stages:
            if not any(stage in served for _, served in found):
                model = self.model_of(stage)
                found.append((model, tuple(other for other in stages if self.model_of(other) == model)))
        return found

    def identity_fields(self) -> dict[str, Any]:
        """Return what decides the data of a run, but for the contents of seeds, prompts, model and evaluation files.

        URL, key, headers, time-outs, concurrency, budgets and target may change between two sittings of one run. The
        commit order `arrival` decides nothing: it is left to chance. Of the stages, those of the paper are here; what
        another one is told, and which of them a recipe has, `Preparation.identity` says.
        """
        kept = {"profile", "rng_seed", "similarity", *OF_THE_PAPER}
        fields = self.model_dump(mode="json", include=kept, exclude={"similarity": {"against"}})
        fields["filters"] = self.filters.identity_fields()
        fields["similarity"]["tokenizer"] = exact_tokenizer(self.similarity.tokenizer)
        fields["model"] = self.model.identity_fields()
        for stage in OF_THE_PAPER:
            own = self.stage(stage).model
            fields[stage].pop("model")
            if own is not None:
                fields[stage]["model"] = own.identity_fields()
        if self.runtime.commit_order == "windowed":
            fields["runtime"] = self.runtime.model_dump(mode="json", include={"commit_order", "window"})
        return fields


_NOTHING_SET = StageSettings()
