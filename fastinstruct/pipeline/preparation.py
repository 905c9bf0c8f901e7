"""What a run is made of before a single request: seeds, templates, demonstrations, evaluation texts, model, identity.

Reads files, sends nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from fastinstruct.config import ModelConfig, RunConfig
from fastinstruct.config.environment import refuse_secrets
from fastinstruct.errors import ConfigError
from fastinstruct.lm.jobs import Job
from fastinstruct.pipeline.against import Against, survey
from fastinstruct.pipeline.pool import TaskPool, random_stream
from fastinstruct.pipeline.sampling import effective_sampling
from fastinstruct.pipeline.serving import ServedModel, resolve
from fastinstruct.pipeline.stages import JSON_SUFFIX, STAGE_OF_TEMPLATE, Stages, Task
from fastinstruct.records import Api, Prompt, ReplyForm, SeedTask, Stage
from fastinstruct.text.demonstrations import (
    classification_demonstrations,
    held_out,
    input_first_demonstrations,
    output_first_demonstrations,
)
from fastinstruct.text.marker_names import packaged_marker_names
from fastinstruct.text.prompting import PromptSet, Template, load_templates
from fastinstruct.text.seeds import load_seeds, packaged_seeds

__all__ = ["Preparation", "dry_run", "first_jobs", "prepare"]

# What a person's own extra_body may say of a reply's form: it outranks ours.
_FORM_KEYS = frozenset({"response_format", "json_schema", "grammar", "structured_outputs", "format"})


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
        # As older versions had it, where replies can only be text.
        for stage in self._json_stages():
            identity[stage]["replies"] = self.config.model_of(stage).replies
        wanted = {name for name in self.prompts.templates if not name.endswith(JSON_SUFFIX)}
        wanted |= {name + JSON_SUFFIX for name, stage in STAGE_OF_TEMPLATE.items() if stage in self._json_stages()}
        fingerprints = self.prompts.fingerprints()
        identity["prompts"] = {name: fingerprints[name] for name in fingerprints if name in wanted}
        return identity

    def wanted_forms(self, stage: Stage) -> tuple[ReplyForm, ...]:
        """Return the forms in which a stage's replies may be asked for, the most certain to read first."""
        model = self.config.model_of(stage)
        is_by_logprobs = stage is Stage.CLASSIFICATION and self.uses_logprobs
        if self.config.profile == "paper" or model.replies == "text" or is_by_logprobs:
            return (ReplyForm.TEXT,)
        if model.replies == "json":
            return (ReplyForm.JSON_SCHEMA, ReplyForm.JSON_OBJECT)
        is_chat = self.apis[stage] is Api.CHAT
        if not is_chat or _FORM_KEYS & model.extra_body.keys() or self._text_only(stage):
            return (ReplyForm.TEXT,)
        return (ReplyForm.JSON_SCHEMA, ReplyForm.JSON_OBJECT, ReplyForm.TEXT)

    def stages(self, forms: Mapping[Stage, ReplyForm] | None = None, *, with_logprobs: bool) -> Stages:
        """Return what makes this run's requests, asking for replies in these forms, by default as text."""
        return Stages(self.config, self.apis, self.prompts, forms or {}, with_logprobs=with_logprobs)

    def _json_stages(self) -> tuple[Stage, ...]:
        return tuple(stage for stage in Stage if self.wanted_forms(stage) != (ReplyForm.TEXT,))

    def _text_only(self, stage: Stage) -> str:
        """The name of a stage's template that a person has written as text only; "" if there is none."""
        names = (name for name, of in STAGE_OF_TEMPLATE.items() if of is stage)
        return next((name for name in names if name + JSON_SUFFIX not in self.prompts.templates), "")

    def refuse_text_only(self) -> None:
        """Check that every stage that is to be answered in JSON has templates that ask for it.

        Raises:
            ConfigError: which has not.
        """
        for stage in self._json_stages():
            if name := self._text_only(stage):
                raise ConfigError(
                    f"prompts: {self.config.prompts}/{name}.txt asks for text and model.replies is json; "
                    f"add {name}{JSON_SUFFIX}.txt, or set model.replies to text"
                )


def prepare(config: RunConfig, env: Mapping[str, str], begun: Mapping[str, Any] | None = None) -> Preparation:
    """Read seeds, prompts and evaluation texts and find the model. May read a few hundred MB: call it off the loop.

    Args:
        config: the run's.
        env: where keys and the cache folder are looked up.
        begun: the identity of the run that is to go on, if one is.

    Raises:
        InputError, EmbeddedModelError: what is wrong with which file or key.
    """
    refuse_secrets(config, env)
    packaged_marker_names()  # a fault in their file is told before anything is asked
    packaged = packaged_seeds()
    seeds = packaged if config.seeds is None else _as_begun(load_seeds(config.seeds), begun)
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
    preparation = Preparation(
        config=config, seeds=seeds, models=models, prompts=prompts, held_out=tuple(calibration_seeds), against=against
    )
    preparation.refuse_text_only()
    return preparation


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
    names = [(kind + suffix, stage) for kind, stage in STAGE_OF_TEMPLATE.items() for suffix in ("", JSON_SUFFIX)]
    found = ((name, by_api[models[stage].api].get(name)) for name, stage in names)
    return {name: template for name, template in found if template is not None}


def _as_begun(seeds: tuple[SeedTask, ...], begun: Mapping[str, Any] | None) -> tuple[SeedTask, ...]:
    """The seeds as the run took them: older versions took a kind that a file does not say for No."""
    taken = tuple(replace(seed, is_classification=bool(seed.is_classification)) for seed in seeds)
    is_older = begun is not None and begun.get("seeds") == seeds_sha256(taken)
    return taken if is_older else seeds


def seeds_sha256(seeds: Sequence[SeedTask]) -> str:
    """Return a hash of what the seed tasks say, not of how their file is laid out."""
    return hashlib.sha256(orjson.dumps(seeds)).hexdigest()


def dry_run(preparation: Preparation) -> list[tuple[str, Stage, Prompt]]:
    """Return filled prompts, each with a title and its stage: what the first requests of this run would say.

    Replies are asked for in the most certain form that is wanted: what an endpoint bears is not known before it is
    asked.
    """
    forms = {stage: preparation.wanted_forms(stage)[0] for stage in Stage}
    stages = preparation.stages(forms, with_logprobs=False)
    asked = preparation.seeds[0].instruction
    jobs = first_jobs(preparation, forms)
    return [
        (title, job.about.stage, job.request.prompt)
        for title, job in (
            ("1 generate instructions", jobs[Stage.INSTRUCTIONS]),
            ("2 identify classification", jobs[Stage.CLASSIFICATION]),
            ("3 generate instances, input-first", jobs[Stage.INSTANCES]),
            ("3 generate instances, output-first", stages.instantiate(0, asked, is_classification=True)),
        )
    ]


def first_jobs(preparation: Preparation, forms: Mapping[Stage, ReplyForm]) -> dict[Stage, Job[Task]]:
    """Return one job of each stage that needs seeds only: those that a run may begin with, replies in these forms."""
    config = preparation.config
    stages = preparation.stages(forms, with_logprobs=False)
    pool = TaskPool([seed.instruction for seed in preparation.seeds])
    rng = random_stream(config.rng_seed, Stage.INSTRUCTIONS, 0)
    positions = pool.sample(rng, config.instructions.num_in_context, config.instructions.num_machine_in_context)
    asked = preparation.seeds[0].instruction
    return {
        Stage.INSTRUCTIONS: stages.generate(0, positions, tuple(pool[position] for position in positions)),
        Stage.CLASSIFICATION: stages.classify(0, asked),
        Stage.INSTANCES: stages.instantiate(0, asked, is_classification=False),
    }
