"""What a run is made from: its configuration, seeds, prompts and evaluation texts. Reads files, sends nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from fastinstruct.config import ModelConfig, RunConfig
from fastinstruct.doctor.finding import Finding, Level
from fastinstruct.errors import InputError, SeedError
from fastinstruct.lm import Endpoint
from fastinstruct.pipeline.budget.prices import described, find_prices
from fastinstruct.pipeline.decontamination import index_of, near_seeds, survey
from fastinstruct.pipeline.recipes import Recipe
from fastinstruct.records import Api, SeedTask
from fastinstruct.text.prompting import load_templates
from fastinstruct.text.seeds import kind_notice, load_seeds, num_unknown, packaged_seeds

__all__ = ["check_against", "check_configuration", "check_prices", "check_prompts", "check_seeds", "model_description"]


def check_configuration(config: RunConfig, source: str) -> Finding:
    """Say what is in effect; a configuration that exists is valid."""
    found = f"{source}: profile {config.profile}, target {config.target}, {model_description(config.model)}"
    return Finding(name="configuration", level=Level.OK, found=found)


def check_prices(config: RunConfig, stages: Sequence[str]) -> Finding:
    """Whether a budget in dollars can be kept, and at what prices. May import a package."""
    try:
        prices = described(find_prices(config, stages), config)
    except InputError as error:
        return Finding(name="prices", level=Level.PROBLEM, found=str(error))
    return Finding(name="prices", level=Level.OK, found="; ".join(prices) or "the model costs nothing")


def check_seeds(config: RunConfig) -> Finding:
    """Whether the seed tasks can be read, and what they are."""
    try:
        seeds = _seeds(config)
    except InputError as error:
        return Finding(name="seeds", level=Level.PROBLEM, found=str(error))
    found = _composition(seeds, "the packaged ones" if config.seeds is None else str(config.seeds))
    advice = _seed_advice(seeds, config)
    return Finding(name="seeds", level=Level.WARNING if advice else Level.OK, found=found, advice=advice)


def check_prompts(config: RunConfig, recipe: Recipe) -> Finding:
    """Whether the templates of the route in use can be read."""
    api = config.model.api or (Api.CHAT if config.model.base_url else Api.COMPLETIONS)
    try:
        templates = load_templates(api, recipe.placeholders(), config.prompts)
    except InputError as error:
        return Finding(name="prompts", level=Level.PROBLEM, found=str(error))
    where = "packaged" if config.prompts is None else f"from {config.prompts}, the packaged ones where it has none"
    return Finding(name="prompts", level=Level.OK, found=f"{len(templates)} templates for the {api} API, {where}")


def check_against(config: RunConfig) -> Finding:
    """Whether the evaluation files can be read, and whether the seeds keep away from them. Uses the kernels."""
    try:
        against = survey(config.similarity)
        index = index_of(against, config.similarity)
    except InputError as error:
        return Finding(name="against", level=Level.PROBLEM, found=str(error))
    near = None
    with suppress(SeedError):  # `check_seeds` says what is wrong with them
        near = near_seeds(index, against, _seeds(config))
    found = "; ".join(part for part in (against.summary(), against.complaint(), str(near or "")) if part)
    level = Level.WARNING if against.num_tokenless or near else Level.OK
    return Finding(name="against", level=level, found=found, advice=near.advice if near else "")


def model_description(model: ModelConfig) -> str:
    """Return which model serves and where, without user-info, query or key."""
    if model.base_url is not None:
        return Endpoint(base_url=model.base_url, model=model.name or "", api=model.api or Api.CHAT).describe()
    name = "the packaged model" if model.gguf is None else model.gguf.name
    return f"{name}, embedded ({model.api or Api.COMPLETIONS})"


def _seeds(config: RunConfig) -> tuple[SeedTask, ...]:
    return packaged_seeds() if config.seeds is None else load_seeds(config.seeds)


def _composition(seeds: tuple[SeedTask, ...], source: str) -> str:
    """Say how many there are, and of which kinds."""
    num_yes = sum(seed.is_classification is True for seed in seeds)
    num_instances = sum(len(seed.instances) for seed in seeds)
    unknown = f"{num_unknown(seeds)} of unknown kind, " if num_unknown(seeds) else ""
    num_without_input = sum(not any(case.input.strip() for case in seed.instances) for seed in seeds)
    return (
        f"{len(seeds)} tasks, {source}: {num_yes} classification ({num_yes / len(seeds):.0%}), {unknown}"
        f"{num_without_input} without an input, {num_instances} instances"
    )


def _seed_advice(seeds: tuple[SeedTask, ...], config: RunConfig) -> str:
    """Say what would make the seeds better; nothing if they are fine."""
    num_distinct = len({" ".join(seed.instruction.split()).lower() for seed in seeds})
    if num_distinct < len(seeds):
        return f"{len(seeds) - num_distinct} of them repeat another's instruction; remove them"
    wanted = config.instructions.num_in_context
    if len(seeds) < wanted:
        return f"a prompt shows {wanted} tasks: with fewer seeds the first prompts are all alike; write some more"
    one_label = [
        seed for seed in seeds if seed.is_classification and len({case.output.strip() for case in seed.instances}) < 2
    ]
    if len(one_label) > len(seeds) // 2:
        return f"{len(one_label)} classification tasks show one label only and cannot be demonstrations; add instances"
    return kind_notice(seeds)
