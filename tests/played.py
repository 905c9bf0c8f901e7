"""Servers, jobs and inboxes played in virtual time: what the scheduler's tests are made of.

A `Server` plays a script for each job; nothing here knows HTTP.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from fastinstruct.lm import BadRequest, Endpoint, Ok, Outcome, Request, Transient
from fastinstruct.lm.scheduling.job import Delivery, Job, Source
from fastinstruct.lm.transports.base import Transport
from fastinstruct.records import Completion, FinishReason, Sampling, Usage
from virtual_time import now

WHERE = "http://127.0.0.1:9/v1"
SERVER_ERROR = Transient("server", "HTTP 500")
REFUSED = Transient("connect", "connection refused")


def ok(text: str = "x", *, model: str = "m", usage: Usage = Usage()) -> Ok:  # noqa: B008 - frozen
    return Ok(Completion(text=text, finish_reason=FinishReason.STOP, usage=usage, model=model))


def bad(message: str) -> BadRequest:
    return BadRequest("other", None, message)


OK = ok()
Step = tuple[float, Outcome]  # how long an attempt takes, and what it comes to


class Longest(random.Random):
    """Draws the upper end of every interval, so that delays can be written out."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


@dataclass
class Server(Transport):
    """Plays each job's script, attempt by attempt; the last step repeats. A transport, too.

    `usual` may be changed while it plays: a server that dies, or comes back.
    """

    scripts: dict[str, Sequence[Step]] = field(default_factory=dict)
    usual: Step = (1.0, OK)
    sent: list[tuple[float, str]] = field(default_factory=list)
    cancelled: list[tuple[float, str]] = field(default_factory=list)
    num_in_flight: int = 0
    most_in_flight: int = 0
    endpoint: Endpoint = field(default_factory=lambda: Endpoint(base_url=WHERE, model="m"))

    async def send(self, request: Request) -> Outcome:
        script = self.scripts.get(request.key, [self.usual])
        attempt = sum(key == request.key for _, key in self.sent)
        latency_s, outcome = script[min(attempt, len(script) - 1)]
        self.sent.append((now(), request.key))
        self.num_in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.num_in_flight)
        try:
            await asyncio.sleep(latency_s)
        except asyncio.CancelledError:
            self.cancelled.append((now(), request.key))
            raise
        finally:
            self.num_in_flight -= 1
        return outcome

    def times(self, key: str) -> list[float]:
        return [time for time, name in self.sent if name == key]


@dataclass
class Jobs(Source[str]):
    """A source of named jobs that can get more."""

    waiting: deque[str]
    drawn: list[str] = field(default_factory=list)

    def next(self, is_open: Callable[[str], bool]) -> Job[str] | None:
        if not self.waiting or not is_open(job(self.waiting[0]).lane):
            return None
        self.drawn.append(self.waiting.popleft())
        return job(self.drawn[-1])

    def take_back(self, job: Job[str]) -> None:
        self.waiting.appendleft(job.about)


def job(name: str) -> Job[str]:
    """A job; `a/1` is job "a/1" of lane "a"."""
    lane, slash, _ = name.partition("/")
    request = Request(key=name, prompt=name, sampling=Sampling())
    return Job(request=request, about=name, lane=lane if slash else "")


def jobs(names: Iterable[str]) -> Jobs:
    return Jobs(deque(names))


@dataclass
class Inbox:
    """Keeps what is delivered, and when."""

    deliveries: list[Delivery[str]] = field(default_factory=list)
    times: dict[str, float] = field(default_factory=dict)

    async def deliver(self, delivery: Delivery[str]) -> None:
        self.deliveries.append(delivery)
        self.times[delivery.job.about] = now()

    @property
    def names(self) -> list[str]:
        return [delivery.job.about for delivery in self.deliveries]


@dataclass
class Sender(Transport):
    """A transport that a function plays."""

    answer: Callable[[Request], Awaitable[Outcome]]
    endpoint: Endpoint = field(default_factory=lambda: Endpoint(base_url=WHERE, model="m"))

    async def send(self, request: Request) -> Outcome:
        return await self.answer(request)
