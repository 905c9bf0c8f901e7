"""The stages of a run without its files: what a preparation would hand to a run, for those who test parts of one."""

from __future__ import annotations

from collections.abc import Mapping

from fastinstruct.config import RunConfig, settings_of
from fastinstruct.pipeline.recipes import RECIPES, Recipe
from fastinstruct.pipeline.stages.base import Context
from fastinstruct.pipeline.stages.bound import Stages
from fastinstruct.records import Api, ReplyForm
from fastinstruct.text.prompting import PromptSet, load_templates

__all__ = ["PLACEHOLDERS", "SELF_INSTRUCT", "STAGES", "packaged_prompts", "stages_of"]

SELF_INSTRUCT = RECIPES["self_instruct"]
STAGES = SELF_INSTRUCT.names
PLACEHOLDERS = SELF_INSTRUCT.placeholders()


def packaged_prompts(api: Api, recipe: Recipe = SELF_INSTRUCT) -> PromptSet:
    """The packaged templates, without demonstrations."""
    return PromptSet(load_templates(api, recipe.placeholders()), {})


def stages_of(
    config: RunConfig | None = None,
    api: Api = Api.COMPLETIONS,
    *,
    forms: Mapping[str, ReplyForm] | None = None,
    prompts: PromptSet | None = None,
    threshold: float | None = None,
    recipe: Recipe | None = None,
) -> Stages:
    """The stages of a recipe, by default the one that a configuration names, all on one route."""
    config = config or RunConfig()
    recipe = recipe or RECIPES[config.recipe_name]
    shown = prompts or packaged_prompts(api, recipe)
    return Stages(
        {
            stage.name: stage(
                Context(
                    config=config,
                    settings=settings_of(config, stage.name, stage.settings),
                    api=api,
                    prompts=shown,
                    form=(forms or {}).get(stage.name, ReplyForm.TEXT),
                    with_logprobs=threshold is not None,
                    threshold=threshold,
                )
            )
            for stage in recipe.stages
        }
    )
