"""What would keep a run from working, found before it starts: the machine, the files, the models.

Knows nothing of argv or terminals. Guarantees that a check never raises what a user has to mend: it becomes a finding.

    finding   Finding and Level
    machine   Python, kernels, HTTP parser, event loop, descriptors, folders
    inputs    configuration, prices, seeds, prompts, evaluation texts
    asking    one endpoint: the models it lists, and one completion
    trial     the models of all stages with their endpoints, and how well stage 2 would decide
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from fastinstruct.config import RunConfig
from fastinstruct.doctor import inputs, machine, trial
from fastinstruct.doctor.finding import Finding, Level
from fastinstruct.errors import ConfigError
from fastinstruct.pipeline.recipes import recipe_of

__all__ = ["Finding", "Level", "diagnose"]


async def diagnose(
    config: RunConfig,
    env: Mapping[str, str],
    *,
    source: str,
    offline: bool,
    report: Callable[[Finding], None],
    note: Callable[[str], None],
) -> None:
    """Check everything, cheapest first, and report each finding as it comes.

    Args:
        config: the run to check for.
        env: where the key and the cache folder are looked up.
        source: the configuration's file, or what stands for it, for messages.
        offline: load no model and send nothing.
        report: takes the findings.
        note: takes a line before something that lasts.
    """
    report(machine.check_python())
    report(machine.check_http_parser())
    report(machine.check_event_loop())
    try:
        recipe = recipe_of(config)
    except ConfigError as error:
        report(Finding(name="configuration", level=Level.PROBLEM, found=str(error)))
        return
    report(machine.check_descriptors(config, recipe.names))
    report(machine.check_run_folder(config, env))
    report(machine.check_cache(env))
    note("loading the kernels, or compiling them the first time …")
    kernels = await asyncio.to_thread(machine.check_kernels)
    report(kernels)
    report(inputs.check_configuration(config, source))
    if config.budget.max_cost is not None:
        report(await asyncio.to_thread(inputs.check_prices, config, recipe.names))
    checks: list[Callable[[RunConfig], Finding]] = [inputs.check_seeds, partial(inputs.check_prompts, recipe=recipe)]
    if config.similarity.against and kernels.level is not Level.PROBLEM:
        checks.append(inputs.check_against)
    readable = [await asyncio.to_thread(check, config) for check in checks]
    for finding in readable:
        report(finding)
    if offline:
        for model, _ in config.models(recipe.names):
            if model.base_url is None:
                report(await asyncio.to_thread(trial.check_embedded_offline, model, env))
        return
    can_ask = all(finding.level is not Level.PROBLEM for finding in readable)
    await trial.try_models(config, recipe, env, can_ask=can_ask, report=report, note=note)
