"""From a run's models to a fleet: servers started, connections opened and tried, limits put in place.

Knows nothing of stages but that each has a model. What is opened is closed with the context that `connected` returns.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from fastinstruct.config import EndpointConfig, ModelConfig, RunConfig
from fastinstruct.errors import Aborted, EndpointError
from fastinstruct.escaping import package_logger
from fastinstruct.lm import Fatal, fatal_error, has_c_parser, unreachable_error
from fastinstruct.lm.limits.breaker import CircuitBreaker
from fastinstruct.lm.limits.concurrency import Aimd, Controller, Fixed, QueueAware
from fastinstruct.lm.limits.rate_budget import RateBudget
from fastinstruct.lm.process import DESCRIPTORS_BESIDE, raise_descriptors_to
from fastinstruct.lm.scheduling.channel import Channel
from fastinstruct.lm.scheduling.fleet import Fleet
from fastinstruct.lm.scheduling.statistics import SchedulerStatistics
from fastinstruct.lm.transports import open_transport
from fastinstruct.lm.transports.base import Transport
from fastinstruct.lm.transports.queue_metrics import watch_queue
from fastinstruct.pipeline.models.resolve import ServedModel, max_in_flight, served
from fastinstruct.pipeline.preparation import Preparation

__all__ = ["Probing", "bearable", "connected", "described", "descriptors_for", "num_endpoints", "warn_of_slow_parser"]

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


class Probing:
    """Asks every endpoint one cheap question; may be stopped meanwhile, as a scheduler may, and ends at once then."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._asking: asyncio.Future[list[EndpointError | None]] | None = None
        self._is_stopped = False

    def stop(self) -> None:
        """Drop what is in flight: an answer would tell nothing any more."""
        self._is_stopped = True
        if self._asking is not None:
            self._asking.cancel()

    abort = stop

    def statistics(self) -> SchedulerStatistics:
        """Return the counters of what is being asked now."""
        is_asking = self._asking is not None and not self._asking.done()
        num_in_flight = len(self._fleet.channels) if is_asking else 0
        return SchedulerStatistics(num_in_flight=num_in_flight, num_waiting=0, num_attempts=0, num_failed_attempts=0)

    async def ask(self) -> None:
        """Ask. An endpoint that fails is left out, or left for later, while others serve.

        Raises:
            EndpointError: what is wrong with an endpoint that a lane cannot do without.
            Aborted: it was stopped before all had answered.
        """
        channels = self._fleet.channels
        self._asking = asyncio.gather(*(_probed(channel) for channel in channels))
        try:
            results = await self._asking
        except asyncio.CancelledError:
            if not self._is_stopped:
                raise
            raise Aborted("stopped before the endpoints had answered") from None
        for channel, error in zip(channels, results, strict=True):
            if error is None:
                continue
            if self._fleet.is_last(channel):
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


def num_endpoints(config: RunConfig, stages: Sequence[str]) -> int:
    """Return how many endpoints serve these stages; those with the same model share its endpoints."""
    return sum(1 + len(model.endpoints) for model, _ in config.models(stages))


def descriptors_for(config: RunConfig, stages: Sequence[str], num_in_flight: int) -> int:
    """Return how many descriptors suffice for so many requests in flight."""
    is_embedded = any(model.base_url is None for model, _ in config.models(stages))
    # The embedded server is in this process: both ends of each connection count.
    return num_in_flight * (2 if is_embedded else 1) + DESCRIPTORS_BESIDE


def bearable(
    config: RunConfig,
    stages: Sequence[str],
    num_in_flight: int,
    raise_to: Callable[[int], int | None] = raise_descriptors_to,
) -> int:
    """Return how many requests may be in flight at once: as many as are wanted, or as have descriptors.

    Raises the soft limit where that helps; `raise_to` stands in for the system. Warns where it does not suffice.
    """
    needed = descriptors_for(config, stages, num_in_flight)
    # Idle connections are kept while others open: where the system gives more than is needed, take some for them.
    limit = raise_to(2 * needed)
    if limit is None or limit >= needed:
        return num_in_flight
    each = descriptors_for(config, stages, 1) - DESCRIPTORS_BESIDE
    # Where the limit is below the reserve, some of that is left for requests, too.
    fewer = max(1, max(limit - DESCRIPTORS_BESIDE, limit // 2) // each)
    _LOG.warning(
        "%d file descriptors are allowed: %d requests in flight instead of %d; `ulimit -n %d` allows them all",
        limit,
        fewer,
        num_in_flight,
        needed,
    )
    return min(fewer, num_in_flight)


def warn_of_slow_parser(is_fast: Callable[[], bool] = has_c_parser) -> None:
    """Warn where aiohttp parses HTTP in pure Python."""
    if not is_fast():
        _LOG.warning(
            "aiohttp runs without its compiled HTTP parser, which makes every request 2.6 times as dear in CPU time; "
            "install aiohttp from a wheel, and unset AIOHTTP_NO_EXTENSIONS"
        )
