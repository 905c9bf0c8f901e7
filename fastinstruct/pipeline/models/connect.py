"""From a run's models to a fleet: servers started, connections opened and tried, limits put in place.

Knows nothing of stages but that each has a model. What is opened is closed with the context that `connected` returns.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from fastinstruct.config import EndpointConfig, ModelConfig, RunConfig
from fastinstruct.errors import EndpointError
from fastinstruct.escaping import package_logger
from fastinstruct.lm import Fatal, fatal_error, unreachable_error
from fastinstruct.lm.limits.breaker import CircuitBreaker
from fastinstruct.lm.limits.concurrency import Aimd, Controller, Fixed, QueueAware
from fastinstruct.lm.limits.rate_budget import RateBudget
from fastinstruct.lm.scheduling.channel import Channel
from fastinstruct.lm.scheduling.fleet import Fleet
from fastinstruct.lm.transports import open_transport
from fastinstruct.lm.transports.base import Transport
from fastinstruct.lm.transports.queue_watch import watch_queue
from fastinstruct.pipeline.models.capacity import bearable, warn_of_slow_parser
from fastinstruct.pipeline.models.resolve import ServedModel, max_in_flight, served
from fastinstruct.pipeline.preparation import Preparation

__all__ = ["connected", "described", "probe_all"]

_LOG = package_logger("fastinstruct.pipeline")


@asynccontextmanager
async def connected(preparation: Preparation, env: Mapping[str, str]) -> AsyncIterator[Fleet]:
    """Yield the fleet that serves a run, its stages being the lanes.

    Raises:
        ConfigError: a variable that should hold a key is not set.
        EmbeddedModelError: llama.cpp cannot load the model.
    """
    config = preparation.config
    warn_of_slow_parser()
    async with AsyncExitStack() as stack:
        opened: list[tuple[ModelConfig, list[Channel]]] = []
        lanes: dict[str, list[Channel]] = {}
        for stage in preparation.recipe.names:
            model = config.model_of(stage)
            known = next((channels for other, channels in opened if other == model), None)
            lanes[stage] = known or await _opened(stack, config, model, preparation.models[stage], env)
            opened.append((model, lanes[stage]))
        num_endpoints = len({channel for channels in lanes.values() for channel in channels})
        wanted = max_in_flight(config, preparation.model, num_endpoints)
        fleet = Fleet(lanes, bearable(config, preparation.recipe.names, wanted))
        for channel in fleet.channels:
            if isinstance(channel.controller, QueueAware):
                watching = watch_queue(channel.transport, channel.controller, fleet.wake)
                stack.push_async_callback(_cancel, asyncio.create_task(watching))
        yield fleet


async def probe_all(fleet: Fleet) -> None:
    """Ask every endpoint one cheap question. One that fails is left out, or left for later, while others serve.

    Raises:
        EndpointError: what is wrong with an endpoint that a lane cannot do without.
    """
    results = await asyncio.gather(*(_probed(channel) for channel in fleet.channels))
    for channel, error in zip(fleet.channels, results, strict=True):
        if error is None:
            continue
        if fleet.is_last(channel):
            raise error
        channel.closed_because = str(error)
        _LOG.warning("%s; it is left out of this sitting", error)


def described(fleet: Fleet) -> str:
    """Name every endpoint with its model: fit for a terminal, a log or the store."""
    return ", ".join(channel.transport.endpoint.describe() for channel in fleet.channels)


async def _probed(channel: Channel) -> EndpointError | None:
    try:
        await _listed(channel.transport)
    except EndpointError as error:
        return error
    return None


async def _listed(transport: Transport) -> list[str]:
    """Return the models that the endpoint lists; empty where it lists none.

    A model that is not listed is only worth a warning: aliases often are not, and the first request will tell.

    Raises:
        EndpointError: no connection, a refused key, or an answer that is no OpenAI-compatible endpoint's.
    """
    endpoint = transport.endpoint
    found = await transport.probe()
    if isinstance(found, Fatal):
        raise fatal_error(found)
    if not isinstance(found, list):
        raise unreachable_error(found, endpoint.address)
    if found and endpoint.model not in found:
        listed = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
        _LOG.warning("%s does not list the model %s; it lists %s", endpoint.address, endpoint.model, listed)
    return found


async def _opened(
    stack: AsyncExitStack, config: RunConfig, model: ModelConfig, served_model: ServedModel, env: Mapping[str, str]
) -> list[Channel]:
    endpoints = await stack.enter_async_context(served(model, served_model, env))
    settings: list[ModelConfig | EndpointConfig] = [model, *model.endpoints]
    total = max_in_flight(config, served_model, len(endpoints))
    channels = []
    for endpoint, limits in zip(endpoints, settings, strict=True):
        transport = await asyncio.to_thread(open_transport, endpoint, model)
        await stack.enter_async_context(transport)
        own = limits.max_in_flight if isinstance(limits, EndpointConfig) else None
        channel = Channel(
            transport,
            controller=_controller(config, own or total),
            budget=RateBudget(limits.requests_per_minute, limits.tokens_per_minute),
            breaker=CircuitBreaker(random.Random()),
            weight=limits.weight if isinstance(limits, EndpointConfig) else 1.0,
        )
        transport.on_headers = channel.observe
        channels.append(channel)
    return channels


def _controller(config: RunConfig, num_slots: int) -> Controller:
    match config.runtime.concurrency:
        case "aimd":
            return Aimd(maximum=num_slots)
        case "queue":
            return QueueAware(maximum=num_slots)
        case "fixed":
            return Fixed(num_slots)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
