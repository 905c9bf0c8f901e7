"""What a run is made of before a single request: recipe, seeds, templates, evaluation texts, models, identity.

Reads files, sends nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from fastinstruct.config import OF_THE_PAPER, InstructionsConfig, ModelConfig, RunConfig, settings_of
from fastinstruct.config.environment import refuse_secrets
from fastinstruct.errors import ConfigError
from fastinstruct.pipeline.decontamination import Against, survey
from fastinstruct.pipeline.models.resolve import ServedModel, resolve
from fastinstruct.pipeline.pool.task_pool import TaskPool, random_stream
from fastinstruct.pipeline.recipes import Recipe, recipe_of
from fastinstruct.pipeline.stages.base import Context, Item, Stage, kind_of
from fastinstruct.pipeline.stages.bound import Stages
from fastinstruct.pipeline.stages.classify import Classify, held_out_seeds
from fastinstruct.records import Api, Prompt, ReplyForm, SeedTask
from fastinstruct.text.marker_names import packaged_marker_names
from fastinstruct.text.prompting import JSON_SUFFIX, PromptSet, Template, load_templates
from fastinstruct.text.seeds import load_seeds, packaged_seeds

__all__ = ["Preparation", "dry_run", "prepare", "seeds_sha256"]

_TOLD_BY_PROFILE = frozenset({"self_instruct", "paper"})  # as runs of older versions have it
# What a person's own extra_body may say of a reply's form: it outranks ours.
_FORM_KEYS = frozenset({"response_format", "json_schema", "grammar", "structured_outputs", "format"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """Everything a run needs that does not change while it runs.

    `models` and `settings` are by stage; `held_out` are seeds that stage 2 does not show; `against` says what
    evaluation texts the run keeps away from.
    """

    config: RunConfig
    recipe: Recipe
    seeds: tuple[SeedTask, ...]
    models: Mapping[str, ServedModel]
    settings: Mapping[str, Any]
    prompts: PromptSet
    held_out: tuple[SeedTask, ...]
    against: Against

    @property
    def model(self) -> ServedModel:
        """Return the model that generates instructions."""
        return self.models[self.recipe.generating]

    @property
    def generating(self) -> InstructionsConfig:
        """Return the settings of the stage that makes candidates."""
        found: InstructionsConfig = self.settings[self.recipe.generating]
        return found

    @property
    def uses_logprobs(self) -> bool:
        """Whether stage 2 is to be decided by log-probabilities, if the endpoint gives them."""
        if Classify.name not in self.recipe.names:
            return False
        method = self.config.classification.method
        return method == "logprobs" or (method == "auto" and self.models[Classify.name].api is Api.COMPLETIONS)

    def identity(self) -> dict[str, Any]:
        """Return what makes this run the run it is: a folder holds one identity."""
        identity = self.config.identity_fields()
        for name in OF_THE_PAPER:
            if name not in self.recipe.names:
                del identity[name]
        if self.recipe.name not in _TOLD_BY_PROFILE:
            identity["recipe"] = self.recipe.name
        parts = {stage.name: self._part(identity, stage) for stage in self.recipe.stages}
        shared = [model for name, model in self.models.items() if "model" not in parts[name]]
        # Where every stage has a model of its own, nothing depends on the run's.
        identity["model"] = {**identity["model"], **shared[0].identity()} if shared else {}
        for name, model in self.models.items():
            if "model" in parts[name]:
                parts[name]["model"] |= model.identity()
        identity["seeds"] = seeds_sha256(self.seeds)
        if self.against.sha256 is not None:
            identity["similarity"]["against"] = self.against.sha256
        as_json = [name for name in self.recipe.names if self.wanted_forms(name) != (ReplyForm.TEXT,)]
        for name in as_json:  # as older versions had it, where replies can only be text
            parts[name]["replies"] = self.config.model_of(name).replies
        fingerprints = self.prompts.fingerprints()
        wanted = {name for name in fingerprints if not name.endswith(JSON_SUFFIX)} | {
            *self.recipe.placeholders(as_json)
        }
        identity["prompts"] = {name: fingerprints[name] for name in fingerprints if name in wanted}
        return identity

    def _part(self, identity: dict[str, Any], stage: type[Stage]) -> dict[str, Any]:
        """The part of an identity that is about one stage, with its decoding parameters as they are for its route."""
        settings = self.settings[stage.name]
        if stage.name not in identity:
            part: dict[str, Any] = settings.model_dump(mode="json", exclude={"model"})
            if settings.model is not None:
                part["model"] = settings.model.identity_fields()
            identity.setdefault("stages", {})[stage.name] = part
        else:
            part = identity[stage.name]
        api = self.models[stage.name].api
        part["sampling"] = stage.effective_sampling(settings, api).model_dump(mode="json")
        return part

    def wanted_forms(self, stage: str) -> tuple[ReplyForm, ...]:
        """Return the forms in which a stage's replies may be asked for, the most certain to read first."""
        model = self.config.model_of(stage)
        is_by_logprobs = stage == Classify.name and self.uses_logprobs
        if self.recipe[stage].is_text_only or model.replies == "text" or is_by_logprobs:
            return (ReplyForm.TEXT,)
        if model.replies == "json":
            return (ReplyForm.JSON_SCHEMA, ReplyForm.JSON_OBJECT)
        is_chat = self.models[stage].api is Api.CHAT
        if not is_chat or _FORM_KEYS & model.extra_body.keys() or self._text_only(stage):
            return (ReplyForm.TEXT,)
        return (ReplyForm.JSON_SCHEMA, ReplyForm.JSON_OBJECT, ReplyForm.TEXT)

    def stages(
        self,
        forms: Mapping[str, ReplyForm] | None = None,
        *,
        with_logprobs: bool = False,
        threshold: float | None = None,
    ) -> Stages:
        """Return what makes this run's requests and reads its replies.

        Args:
            forms: stage -> how its replies are asked for; as text where it is not named.
            with_logprobs: whether stage 2 asks for log-probabilities.
            threshold: the log-odds above which stage 2 says yes; None where it reads the reply's text.
        """
        return Stages(
            {
                stage.name: stage(
                    Context(
                        config=self.config,
                        settings=self.settings[stage.name],
                        api=self.models[stage.name].api,
                        prompts=self.prompts,
                        form=(forms or {}).get(stage.name, ReplyForm.TEXT),
                        with_logprobs=with_logprobs,
                        threshold=threshold,
                    )
                )
                for stage in self.recipe.stages
            }
        )

    def first_items(self) -> dict[str, Item]:
        """Return, by stage, something to ask about that needs seeds only: what a run may begin with."""
        pool = TaskPool([seed.instruction for seed in self.seeds])
        settings = self.generating
        rng = random_stream(self.config.rng_seed, self.recipe.generating, 0)
        positions = pool.sample(rng, settings.num_in_context, settings.num_machine_in_context)
        shown = tuple(pool[position] for position in positions)
        asked = Item(0, self.seeds[0].instruction)
        return dict.fromkeys(self.recipe.names, asked) | {
            self.recipe.generating: Item(0, in_context=positions, shown=shown)
        }

    def _text_only(self, stage: str) -> str:
        """The name of a stage's template that asks for text alone; "" if there is none."""
        names = self.recipe[stage].templates
        return next((name for name in names if name + JSON_SUFFIX not in self.prompts.templates), "")

    def refuse_text_only(self) -> None:
        """Check that every stage that is to be answered in JSON has templates that ask for it.

        Raises:
            ConfigError: which has not.
        """
        for stage in self.recipe.names:
            if self.wanted_forms(stage) == (ReplyForm.TEXT,) or not (name := self._text_only(stage)):
                continue
            where = f"{self.config.prompts}/{name}.txt" if self.config.prompts else f"{name}.txt"
            raise ConfigError(
                f"prompts: {where} asks for text and model.replies is json; "
                f"add {name}{JSON_SUFFIX}.txt, or set model.replies to text"
            )


def prepare(
    config: RunConfig,
    env: Mapping[str, str],
    begun: Mapping[str, Any] | None = None,
    *,
    recipe: Recipe | None = None,
) -> Preparation:
    """Read seeds, prompts and evaluation texts and find the model. May read a few hundred MB: call it off the loop.

    Args:
        config: the run's.
        env: where keys and the cache folder are looked up.
        begun: the identity of the run that is to go on, if one is.
        recipe: the caller's own; by default the one that the configuration names.

    Raises:
        InputError, EmbeddedModelError: what is wrong with which file or key.
    """
    refuse_secrets(config, env)
    packaged_marker_names()  # a fault in their file is told before anything is asked
    if recipe is None:
        recipe = recipe_of(config)
    else:
        recipe.refuse_strangers(config)
    packaged = packaged_seeds()
    seeds = packaged if config.seeds is None else _as_begun(load_seeds(config.seeds), begun)
    against = survey(config.similarity)
    models = _resolved(config, env, recipe)
    settings = {stage.name: settings_of(config, stage.name, stage.settings) for stage in recipe.stages}
    shown = [stage.demonstrations(seeds, packaged, settings[stage.name]) for stage in recipe.stages]
    prompts = PromptSet(
        _templates(config, models, recipe), {name: written for of_stage in shown for name, written in of_stage.items()}
    )
    preparation = Preparation(
        config=config,
        recipe=recipe,
        seeds=seeds,
        models=models,
        settings=settings,
        prompts=prompts,
        held_out=held_out_seeds(seeds, packaged, config.classification) if Classify.name in recipe.names else (),
        against=against,
    )
    preparation.refuse_text_only()
    return preparation


def _resolved(config: RunConfig, env: Mapping[str, str], recipe: Recipe) -> dict[str, ServedModel]:
    """Find each model once: a local one is hundreds of MB to read."""
    found: list[tuple[ModelConfig, ServedModel]] = []
    models: dict[str, ServedModel] = {}
    for stage in recipe.names:
        wanted = config.model_of(stage)
        known = next((model for other, model in found if other == wanted), None)
        models[stage] = known or resolve(wanted, env)
        found.append((wanted, models[stage]))
    return models


def _templates(config: RunConfig, models: Mapping[str, ServedModel], recipe: Recipe) -> dict[str, Template]:
    """Return each stage's templates, written for the route of its model."""
    folders = {name: stage.prompts for stage in recipe.stages if stage.prompts for name in stage.placeholders()}
    by_api = {
        api: load_templates(api, recipe.placeholders(), config.prompts, packaged=folders)
        for api in {model.api for model in models.values()}
    }
    found = (
        (name, by_api[models[recipe.stage_of_template(kind_of(name))].api].get(name)) for name in recipe.placeholders()
    )
    return {name: template for name, template in found if template is not None}


def _as_begun(seeds: tuple[SeedTask, ...], begun: Mapping[str, Any] | None) -> tuple[SeedTask, ...]:
    """The seeds as the run took them: older versions took a kind that a file does not say for No."""
    taken = tuple(replace(seed, is_classification=bool(seed.is_classification)) for seed in seeds)
    is_older = begun is not None and begun.get("seeds") == seeds_sha256(taken)
    return taken if is_older else seeds


def seeds_sha256(seeds: Sequence[SeedTask]) -> str:
    """Return a hash of what the seed tasks say, not of how their file is laid out."""
    return hashlib.sha256(orjson.dumps(seeds)).hexdigest()


def dry_run(preparation: Preparation) -> list[tuple[str, str, Prompt]]:
    """Return filled prompts, each with a title and its stage: what the first requests of this run would say.

    Replies are asked for in the most certain form that is wanted: what an endpoint bears is not known before it is
    asked.
    """
    stages = preparation.stages({stage: preparation.wanted_forms(stage)[0] for stage in preparation.recipe.names})
    return [
        (title, name, job.request.prompt)
        for name, item in preparation.first_items().items()
        for title, job in stages[name].examples_of(item)
    ]
