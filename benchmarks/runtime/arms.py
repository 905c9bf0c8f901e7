"""The clients that benchmarks/runtime.py compares: ours, raw aiohttp with orjson, and the openai SDK in two settings.

Each asks for chat completions with the same prompts and sampling, makes a request when it sends it, and reads the
reply's text. Knows nothing of what is measured. Guarantees that every request was answered with a text when `ask_all`
returns, but for clients that are told what else to do with a delivery.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from importlib import import_module
from itertools import islice
from typing import Any, Protocol, Self, TypeAlias, TypeVar

import aiohttp
import orjson

from fastinstruct.lm import Endpoint, HttpTransport, Ok, Request, RetryPolicy
from fastinstruct.lm.limits.breaker import CircuitBreaker
from fastinstruct.lm.limits.concurrency import Controller, Fixed, QueueAware
from fastinstruct.lm.limits.rate_budget import RateBudget
from fastinstruct.lm.scheduling.channel import Channel
from fastinstruct.lm.scheduling.fleet import Fleet
from fastinstruct.lm.scheduling.job import Delivery, Job, Source
from fastinstruct.lm.scheduling.scheduler import Scheduler
from fastinstruct.lm.transports.queue_metrics import watch_queue
from fastinstruct.records import Sampling

T = TypeVar("T")

Prompts: TypeAlias = Callable[[int], str]
"""The prompt of a request by its number."""

MODEL = "scripted"
SAMPLING = Sampling(temperature=0.7, max_tokens=1024)
_NO_LIMIT = 100_000


class Client(Protocol):
    """An open client; `numbers` are drawn one by one, when a request may be sent."""

    async def ask_all(self, numbers: Iterable[int], in_flight: int) -> None:
        """Ask so many at a time, until all are answered."""
        ...

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *_: object) -> None: ...


class Drawn(Source[T]):
    """Makes a job when the scheduler draws it."""

    def __init__(self, make: Callable[[int], Job[T]], numbers: Iterable[int]) -> None:
        self._make = make
        self._numbers = iter(numbers)
        self._taken_back: list[Job[T]] = []

    def next(self, is_open: Callable[[str], bool]) -> Job[T] | None:
        if not is_open(""):
            return None
        if self._taken_back:
            return self._taken_back.pop()
        number = next(self._numbers, None)
        return None if number is None else self._make(number)

    def take_back(self, job: Job[T]) -> None:
        self._taken_back.append(job)


class Ours:
    """FastInstruct's transport, channel and scheduler, put together as a run has them."""

    name = "FastInstruct"

    def __init__(
        self,
        url: str,
        prompts: Prompts,
        *,
        total_timeout_s: float = 600.0,
        deliver: Callable[[Delivery[int]], Awaitable[None]] | None = None,
        controller: Controller | None = None,
        budget: RateBudget | None = None,
    ) -> None:
        self._prompts = prompts
        self._deliver = deliver or _read_text
        self._controller = controller
        self._budget = budget
        self._transport = HttpTransport(Endpoint(base_url=url, model=MODEL, total_timeout_s=total_timeout_s))

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._transport.__aexit__()

    async def ask_all(self, numbers: Iterable[int], in_flight: int) -> None:
        await self.run(Drawn(self._job, numbers), self._deliver, in_flight)

    async def run(self, source: Source[T], deliver: Callable[[Delivery[T]], Awaitable[None]], in_flight: int) -> None:
        """Work until the source is empty."""
        controller = self._controller or Fixed(in_flight)
        breaker = CircuitBreaker(random.Random(0))
        channel = Channel(self._transport, controller=controller, budget=self._budget, breaker=breaker)
        self._transport.on_headers = channel.observe
        fleet = Fleet.of(channel)
        scheduler: Scheduler[T] = Scheduler(fleet, max_in_flight=in_flight, policy=RetryPolicy(), rng=random.Random(0))
        async with self._watched(fleet, controller):
            await scheduler.run(source, deliver)

    def _job(self, number: int) -> Job[int]:
        request = Request(key=str(number), prompt=self._prompts(number), sampling=SAMPLING)
        return Job(request=request, about=number)

    @asynccontextmanager
    async def _watched(self, fleet: Fleet, controller: Controller) -> AsyncIterator[None]:
        """Tell the controller of the server's queue, if it wants to know."""
        if not isinstance(controller, QueueAware):
            yield
            return
        watching = asyncio.create_task(watch_queue(self._transport, controller, fleet.wake))
        try:
            yield
        finally:
            watching.cancel()


async def _read_text(delivery: Delivery[int]) -> None:
    assert isinstance(delivery.outcome, Ok), delivery.outcome
    assert delivery.outcome.completion.text


class RawAiohttp:
    """As little as can be done with aiohttp and orjson: one session, a worker for each request in flight."""

    name = "raw aiohttp + orjson"

    def __init__(self, url: str, prompts: Prompts) -> None:
        self._url = f"{url}/chat/completions"
        self._prompts = prompts

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0)
        headers = {"Content-Type": "application/json"}
        timeout = aiohttp.ClientTimeout(total=None)
        self._session = aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ask(self, number: int) -> None:
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": self._prompts(number)}],
            "temperature": SAMPLING.temperature,
            "max_tokens": SAMPLING.max_tokens,
        }
        async with self._session.post(self._url, data=orjson.dumps(body)) as response:
            reply = orjson.loads(await response.read())
        assert reply["choices"][0]["message"]["content"]

    async def ask_all(self, numbers: Iterable[int], in_flight: int) -> None:
        await _with_workers(self.ask, numbers, in_flight)


class Batches(RawAiohttp):
    """The same client, used in batches: the next one begins when the slowest of this one is answered."""

    name = "batches on raw aiohttp"

    async def ask_all(self, numbers: Iterable[int], in_flight: int) -> None:
        upcoming = iter(numbers)
        while batch := list(islice(upcoming, in_flight)):
            await asyncio.gather(*map(self.ask, batch))


class SdkDefault:
    """The openai SDK as it comes."""

    name = "openai SDK, default"

    def __init__(self, url: str, prompts: Prompts) -> None:
        self._url = url
        self._prompts = prompts

    async def __aenter__(self) -> Self:
        sdk = import_module("openai")
        self._client: Any = sdk.AsyncOpenAI(base_url=self._url, api_key="none", http_client=self._http_client(sdk))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def ask(self, number: int) -> None:
        reply = await self._client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": self._prompts(number)}],
            temperature=SAMPLING.temperature,
            max_tokens=SAMPLING.max_tokens,
        )
        assert reply.choices[0].message.content

    async def ask_all(self, numbers: Iterable[int], in_flight: int) -> None:
        await _with_workers(self.ask, numbers, in_flight)

    def _http_client(self, _sdk: Any) -> Any:  # noqa: ANN401 - the SDK is an extra that may be missing
        return None


class SdkAiohttp(SdkDefault):
    """The openai SDK on its aiohttp backend, without limits on connections."""

    name = "openai SDK on aiohttp"

    def _http_client(self, sdk: Any) -> Any:  # noqa: ANN401 - as above
        # Its backend takes None for aiohttp's limit of 100.
        limits = import_module("httpx2").Limits(max_connections=_NO_LIMIT, max_keepalive_connections=_NO_LIMIT)
        return sdk.DefaultAioHttpClient(limits=limits)


async def _with_workers(ask: Callable[[int], Awaitable[None]], numbers: Iterable[int], in_flight: int) -> None:
    """Let so many workers share the numbers."""

    async def work(upcoming: Iterator[int]) -> None:
        for number in upcoming:
            await ask(number)

    shared = iter(numbers)
    await asyncio.gather(*(work(shared) for _ in range(in_flight)))


def missing(arm: type[Client]) -> str:
    """Why this client cannot be measured here; empty where it can."""
    if not issubclass(arm, SdkDefault):
        return ""
    advice = "left out: pip install 'fastinstruct[bench]'"
    try:
        sdk = import_module("openai")
        if arm is SdkAiohttp:
            import_module("httpx2")
            sdk.DefaultAioHttpClient()
    except (ImportError, RuntimeError) as error:
        return f"{advice} ({error})"
    return ""
