"""Asking one endpoint what a run needs of it: its list of models, and one short completion.

Knows nothing of the other endpoints. Sends two requests; what is wrong with the endpoint becomes a finding.
"""

from __future__ import annotations

import time
from dataclasses import replace

from fastinstruct.config import RunConfig
from fastinstruct.doctor.finding import Finding, Level
from fastinstruct.errors import FastInstructError
from fastinstruct.lm import (
    Endpoint,
    Fatal,
    Ok,
    Outcome,
    Overloaded,
    RateLimited,
    Request,
    fatal_error,
    unreachable_error,
)
from fastinstruct.lm.scheduling.scheduler import detail_of
from fastinstruct.lm.transports.base import Transport
from fastinstruct.pipeline.recipes import Recipe
from fastinstruct.records import Api, Message, Prompt, Sampling

__all__ = ["ask", "of_one_among_several"]

_QUESTIONS: dict[Api, Prompt] = {
    Api.CHAT: (Message(role="user", content="Reply with the word: ready"),),
    Api.COMPLETIONS: "The capital of France is",
}
# A chat model that thinks first needs room; a base model goes on until it is stopped.
_MAX_TOKENS = {Api.CHAT: 512, Api.COMPLETIONS: 16}


async def ask(
    config: RunConfig, recipe: Recipe, stage: str, transport: Transport, *, is_listing_told: bool
) -> list[Finding]:
    """Return what the endpoint lists, where that is to be told, and what it answers.

    Args:
        config: the run to ask for.
        recipe: the run's.
        stage: one that the endpoint serves.
        transport: the open connection.
        is_listing_told: whether the list is a finding by itself; one that cannot be read is in any case.
    """
    try:
        listing = _listing(await transport.probe(), transport.endpoint)
    except FastInstructError as error:
        return [Finding(name="endpoint", level=Level.PROBLEM, found=str(error))]
    answered = await _check_completion(config, recipe, stage, transport)
    return [listing, answered] if is_listing_told else [answered]


def of_one_among_several(
    finding: Finding, address: str, stages: tuple[str, ...], recipe: Recipe, *, is_needed: bool
) -> Finding:
    """Return the finding with the endpoint that it is about.

    Args:
        finding: of `ask`.
        address: the endpoint's.
        stages: those that it serves.
        recipe: the run's.
        is_needed: whether no other endpoint works that serves them: what is wrong with one of many is no problem.
    """
    served = "all stages" if stages == recipe.names else " and ".join(stages)
    if address in finding.found:
        found = f"{finding.found}; it serves {served}"
    else:
        found = f"{address} for {served}: {finding.found}"
    if is_needed or finding.level is not Level.PROBLEM:
        return replace(finding, found=found)
    advice = "; ".join(part for part in (finding.advice, "a run does without it while another serves") if part)
    return replace(finding, found=found, level=Level.WARNING, advice=advice)


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


async def _check_completion(config: RunConfig, recipe: Recipe, stage: str, transport: Transport) -> Finding:
    """Ask one short question with the decoding parameters of a stage."""
    api = transport.endpoint.api
    settings = recipe[stage].effective_sampling(config.stage(stage), api).model_dump() | {
        "max_tokens": _MAX_TOKENS[api]
    }
    sends_seed = config.model_of(stage).send_seed
    sampling = Sampling(**settings, seed=config.rng_seed & 0x7FFFFFFF if sends_seed else None)
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
