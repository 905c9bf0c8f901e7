"""What a run is made of before a single request: seeds, templates, demonstrations, evaluation texts, model, identity.

Reads files, sends nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from fastinstruct.config import ModelConfig, RunConfig
from fastinstruct.pipeline.against import Against, survey
from fastinstruct.pipeline.pool import TaskPool, random_stream
from fastinstruct.pipeline.sampling import effective_sampling
from fastinstruct.pipeline.serving import ServedModel, resolve
from fastinstruct.pipeline.stages import STAGE_OF_TEMPLATE, Stages
from fastinstruct.records import Api, Prompt, SeedTask, Stage
from fastinstruct.text.demonstrations import (
    classification_demonstrations,
    held_out,
    input_first_demonstrations,
    output_first_demonstrations,
)
from fastinstruct.text.prompting import PromptSet, Template, load_templates
from fastinstruct.text.seeds import load_seeds, packaged_seeds

__all__ = ["Preparation", "dry_run", "prepare"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """Everything a run needs that does not change while it runs.

    `held_out` are seeds that stage 2 does not show; `against` says what evaluation texts the run keeps away from.
    """

    config: RunConfig
    seeds: tuple[SeedTask, ...]
    models: Mapping[Stage, ServedModel]
    prompts: PromptSet
    held_out: tuple[SeedTask, ...]
    against: Against

    @property
    def model(self) -> ServedModel:
        """Return the model that generates instructions."""
        return self.models[Stage.INSTRUCTIONS]

    @property
    def api(self) -> Api:
        """Return the route that the prompts of stage 1 are written for."""
        return self.model.api

    @property
    def apis(self) -> dict[Stage, Api]:
        """Return, by stage, the route its prompts are written for."""
        return {stage: model.api for stage, model in self.models.items()}

    @property
    def uses_logprobs(self) -> bool:
        """Whether stage 2 is to be decided by log-probabilities, if the endpoint gives them."""
        method = self.config.classification.method
        return method == "logprobs" or (method == "auto" and self.apis[Stage.CLASSIFICATION] is Api.COMPLETIONS)

    def identity(self) -> dict[str, Any]:
        """Return what makes this run the run it is: a folder holds one identity."""
        identity = self.config.identity_fields()
        shared = [model for stage, model in self.models.items() if "model" not in identity[stage]]
        # Where every stage has a model of its own, nothing depends on the run's.
        identity["model"] = {**identity["model"], **shared[0].identity()} if shared else {}
        for stage, model in self.models.items():
            identity[stage]["sampling"] = effective_sampling(self.config, model.api, stage).model_dump(mode="json")
            if "model" in identity[stage]:
                identity[stage]["model"] |= model.identity()
        identity["seeds"] = seeds_sha256(self.seeds)
        if self.against.sha256 is not None:
            identity["similarity"]["against"] = self.against.sha256
        identity["prompts"] = self.prompts.fingerprints()
        return identity

    def stages(self, *, with_logprobs: bool) -> Stages:
        """Return what makes this run's requests."""
        return Stages(self.config, self.apis, self.prompts, with_logprobs=with_logprobs)


def prepare(config: RunConfig, env: Mapping[str, str]) -> Preparation:
    """Read seeds, prompts and evaluation texts and find the model. May read a few hundred MB: call it off the loop.

    Raises:
        InputError, EmbeddedModelError: what is wrong with which file or key.
    """
    packaged = packaged_seeds()
    seeds = packaged if config.seeds is None else load_seeds(config.seeds)
    against = survey(config.similarity)
    models = _resolved(config, env)
    shown = classification_demonstrations(seeds, packaged, config.classification.num_demonstrations)
    prompts = PromptSet(
        _templates(config, models),
        classification=shown,
        input_first=input_first_demonstrations(seeds, packaged, config.instances.num_input_first_demonstrations),
        output_first=output_first_demonstrations(seeds, packaged, config.instances.num_output_first_demonstrations),
    )
    calibration_seeds = held_out([*seeds, *packaged], shown, config.classification.num_calibration_seeds)
    return Preparation(
        config=config, seeds=seeds, models=models, prompts=prompts, held_out=tuple(calibration_seeds), against=against
    )


def _resolved(config: RunConfig, env: Mapping[str, str]) -> dict[Stage, ServedModel]:
    """Find each model once: a local one is hundreds of MB to read."""
    found: list[tuple[ModelConfig, ServedModel]] = []
    models: dict[Stage, ServedModel] = {}
    for stage in Stage:
        wanted = config.model_of(stage)
        known = next((model for other, model in found if other == wanted), None)
        models[stage] = known or resolve(wanted, env)
        found.append((wanted, models[stage]))
    return models


def _templates(config: RunConfig, models: Mapping[Stage, ServedModel]) -> dict[str, Template]:
    """Return each stage's templates, written for the route of its model."""
    by_api = {model.api: load_templates(model.api, config.prompts) for model in models.values()}
    return {name: by_api[models[stage].api][name] for name, stage in STAGE_OF_TEMPLATE.items()}


def seeds_sha256(seeds: Sequence[SeedTask]) -> str:
    """Return a hash of what the seed tasks say, not of how their file is laid out."""
    return hashlib.sha256(orjson.dumps(seeds)).hexdigest()


def dry_run(preparation: Preparation) -> list[tuple[str, Stage, Prompt]]:
    """Return filled prompts, each with a title and its stage: what the first requests of this run would say."""
    config = preparation.config
    stages = preparation.stages(with_logprobs=False)
    pool = TaskPool([seed.instruction for seed in preparation.seeds])
    rng = random_stream(config.rng_seed, Stage.INSTRUCTIONS, 0)
    positions = pool.sample(rng, config.instructions.num_in_context, config.instructions.num_machine_in_context)
    shown = tuple(pool[position] for position in positions)
    asked = preparation.seeds[0].instruction
    return [
        (title, job.about.stage, job.request.prompt)
        for title, job in (
            ("1 generate instructions", stages.generate(0, positions, shown)),
            ("2 identify classification", stages.classify(0, asked)),
            ("3 generate instances, input-first", stages.instantiate(0, asked, is_classification=False)),
            ("3 generate instances, output-first", stages.instantiate(0, asked, is_classification=True)),
        )
    ]
