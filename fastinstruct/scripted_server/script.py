"""All that decides the scripted server's answers, checked when it is made; and the draws that follow from it.

Knows nothing of HTTP, sockets or the time of day. Guarantees that latencies and faults are functions of the script, the
prompt and how often it came before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import NormalDist
from typing import Final

from fastinstruct.errors import ConfigError
from fastinstruct.scripted_server.draws import unit_draw
from fastinstruct.scripted_server.faults import Fault
from fastinstruct.scripted_server.hints import RetryHint
from fastinstruct.scripted_server.json_asks import JsonReplies
from fastinstruct.scripted_server.metrics import Metrics
from fastinstruct.scripted_server.replies import Replies, ReplyRates
from fastinstruct.scripted_server.styles import MIXED, STYLES

__all__ = ["Episode", "Latency", "Outage", "Overflow", "Script", "UntilReady"]

_NORMAL: Final = NormalDist()


@dataclass(frozen=True, slots=True)
class Latency:
    """How long answers take: `base_s`, fixed; plus up to `width_s`, uniform; times a log-normal factor with `sigma`.

    So `Latency(1.0, sigma=0.8)` is log-normal with a median of one second, and `Latency(0.1, width_s=0.4)` is uniform.
    `per_token_s` comes on top, for each token of the reply.
    """

    base_s: float = 0.0
    width_s: float = 0.0
    sigma: float = 0.0
    per_token_s: float = 0.0

    @property
    def is_none(self) -> bool:
        return self.base_s == self.width_s == self.per_token_s == 0

    def quantile(self, share: float) -> float:
        """Seconds below which this share, within (0, 1), of the latencies lie, but for their tokens."""
        return (self.base_s + self.width_s * share) * math.exp(self.sigma * _NORMAL.inv_cdf(share))


@dataclass(frozen=True, slots=True)
class Episode:
    """Trouble that comes in spells: the share `rate` of requests begins one, of `length` requests in a row."""

    fault: str
    rate: float
    length: int


@dataclass(frozen=True, slots=True)
class Outage:
    """Trouble on time: every request from number `first` to `last` (None: to the end) meets it; they count from 1."""

    fault: str
    first: int
    last: int | None = None


class Overflow(StrEnum):
    """Whose words refuse a prompt that is too long."""

    OPENAI = "openai"
    VLLM = "vllm"
    LLAMACPP = "llamacpp"


class UntilReady(StrEnum):
    """What a client meets before the server is ready.

    `503`: an answer that the model is loading. `refused`: no connection. `unaccepted`: a connection, and no answer.
    `unconnectable`: connecting takes until the client gives up (on Linux).
    """

    LOADING = "503"
    REFUSED = "refused"
    UNACCEPTED = "unaccepted"
    UNCONNECTABLE = "unconnectable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script(ReplyRates):
    """All that decides the server's answers.

    Args:
        seed: of all draws.
        model: the model's name; another one is refused.
        new_model, new_model_after: the name that answers tell after so many replies; `model` is still taken.
        api_key: where it is set, requests without it are refused.
        replies: how they come about; of canned ones' requests nothing is read or checked.
        style: a way of writing, one of `STYLES` or "mixed", with the truth about each reply in the log; the shares of
            duplicates, junk and cut-off replies are then its own. None writes as `replies` says.
        json_replies: what becomes of requests that ask for JSON.
        latency: how long answers take.
        max_model_len: tokens, four characters each, that prompt and `max_tokens` may have together.
        overflow: whose words refuse what is longer.
        refused_parameters: requests with one of these fields are refused.
        faults: the share, in 0..1, of answers that meet each `Fault`; together 1 at most.
        max_faults_per_prompt: so many `faults` in a row, and the prompt is answered, so that runs end.
        episodes, outages: faults that come in spells, or on time; these are not bounded per prompt.
        drip_every_s: between the blank lines of the drips.
        num_drips: blank lines before a dripping reply.
        retry_after_s: told with each 429 of `faults`, where it is set.
        retry_hint: how a 429 tells when to come back; with "none", nor do replies tell budgets (x-ratelimit-*).
        requests_per_minute, tokens_per_minute: budgets; what is beyond them is refused with 429. A token counts when
            its request is accepted, its prompt's and its reply's alike.
        rate_schedule: (seconds after the first request, requests per second from then on), in place of
            `requests_per_minute`.
        burst_s: so many seconds' worth of the budgets may be used at once.
        slots: served at once, while the others wait in their order; None serves all at once.
        max_queue: so many may wait, others are refused with 503; None lets all wait, as vLLM does.
        metrics: whose names /metrics uses.
        idle_close_s: connections without a request for so long are closed.
        ready_after_s, until_ready: when the server is ready after its start, and what it is before.

    Raises:
        ConfigError: a value out of bounds.
    """

    seed: int = 0
    model: str = "scripted"
    new_model: str | None = None
    new_model_after: int = 0
    api_key: str | None = None
    replies: Replies = Replies.WRITTEN
    style: str | None = None
    json_replies: JsonReplies = JsonReplies.GIVEN
    latency: Latency = Latency()
    max_model_len: int | None = None
    overflow: Overflow = Overflow.OPENAI
    refused_parameters: tuple[str, ...] = ()
    faults: Mapping[str, float] = field(default_factory=dict)
    max_faults_per_prompt: int = 2
    episodes: tuple[Episode, ...] = ()
    outages: tuple[Outage, ...] = ()
    drip_every_s: float = 1.0
    num_drips: int = 3
    retry_after_s: float | None = None
    retry_hint: RetryHint = RetryHint.SECONDS
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    rate_schedule: tuple[tuple[float, float], ...] = ()
    burst_s: float = 1.0
    slots: int | None = None
    max_queue: int | None = None
    metrics: Metrics = Metrics.VLLM
    idle_close_s: float | None = None
    ready_after_s: float = 0.0
    until_ready: UntilReady = UntilReady.LOADING

    def __post_init__(self) -> None:
        for name in ("duplicate_rate", "junk_rate", "length_rate"):
            _check_share(name, getattr(self, name))
        for name, choices in _CHOICES.items():
            _check_choice(name, getattr(self, name), choices)
        for name, least in _LEAST.items():
            _check_least(name, getattr(self, name), least)
        for name in ("requests_per_minute", "tokens_per_minute", "burst_s", "drip_every_s", "idle_close_s"):
            _check_positive(name, getattr(self, name))
        for name in ("base_s", "width_s", "sigma", "per_token_s"):
            _check_least(f"latency: {name}", getattr(self.latency, name), 0)
        self._check_faults()
        self._check_schedule()
        self._check_replies()
        if self.max_queue is not None and self.slots is None:
            raise ConfigError("max_queue: needs slots; without them nothing waits")

    def _check_replies(self) -> None:
        if self.style is not None and self.style not in {*STYLES, MIXED}:
            raise ConfigError(f"style: there is no {self.style!r}; there are {', '.join((*STYLES, MIXED))}")
        if self.replies == Replies.CANNED and self.style is not None:
            raise ConfigError("replies: canned ones are the same for every prompt, so they have no style")
        if self.replies == Replies.CANNED and (self.max_model_len is not None or self.refused_parameters):
            raise ConfigError(
                "replies: canned ones read nothing of a request, so max_model_len and refused_parameters "
                "need written or quick ones"
            )

    def _check_faults(self) -> None:
        for fault, rate in self.faults.items():
            _check_choice("faults", fault, Fault)
            _check_share(f"faults: {fault}", rate)
        if sum(self.faults.values()) > 1 + 1e-9:
            raise ConfigError("faults: their rates must add up to 1 at most")
        for episode in self.episodes:
            _check_choice("episodes", episode.fault, Fault)
            _check_share(f"episodes: {episode.fault}", episode.rate)
            _check_least(f"episodes: {episode.fault}: length", episode.length, 1)
        for outage in self.outages:
            _check_choice("outages", outage.fault, Fault)
            _check_least(f"outages: {outage.fault}: first", outage.first, 1)
            _check_least(f"outages: {outage.fault}: last", outage.last, outage.first)

    def _check_schedule(self) -> None:
        if self.rate_schedule and self.requests_per_minute is not None:
            raise ConfigError("rate_schedule: takes the place of requests_per_minute; set one of them")
        starts_s = [start_s for start_s, _ in self.rate_schedule]
        if starts_s and (starts_s[0] != 0 or starts_s != sorted(set(starts_s))):
            raise ConfigError("rate_schedule: must begin at 0 s, and its times must increase")
        for _, rate_per_s in self.rate_schedule:
            _check_positive("rate_schedule", rate_per_s)

    @property
    def has_budgets(self) -> bool:
        """Whether requests or tokens per minute are limited."""
        return bool(self.rate_schedule) or self.requests_per_minute is not None or self.tokens_per_minute is not None

    @property
    def has_troubles(self) -> bool:
        """Whether requests may meet faults."""
        return bool(self.faults or self.episodes or self.outages)

    @property
    def is_plain(self) -> bool:
        """Whether every request is answered at once, and by a reply of one and the same model."""
        calm = self.latency.is_none and self.slots is None and self.new_model is None and self.ready_after_s == 0
        return calm and not self.has_troubles and not self.has_budgets

    def drawn_fault(self, prompt_sha256: str, attempt: int) -> Fault | None:
        """The fault that this attempt (from 1) at a prompt would meet, before the cap on faults in a row."""
        if not self.faults:
            return None
        draw = unit_draw("fault", self.seed, prompt_sha256, attempt)
        for fault, rate in self.faults.items():
            draw -= rate
            if draw < 0:
                return Fault(fault)
        return None

    def latency_s(self, prompt_sha256: str, num_tokens: int = 0) -> float:
        """How long an answer to this prompt takes, of which the reply has so many tokens."""
        share = max(unit_draw("latency", self.seed, prompt_sha256), 1e-9)
        return self.latency.quantile(share) + self.latency.per_token_s * num_tokens


_CHOICES: Final[Mapping[str, type[StrEnum]]] = {
    "json_replies": JsonReplies,
    "metrics": Metrics,
    "overflow": Overflow,
    "replies": Replies,
    "retry_hint": RetryHint,
    "until_ready": UntilReady,
}
_LEAST: Final = {
    "max_faults_per_prompt": 0,
    "max_model_len": 1,
    "max_queue": 0,
    "new_model_after": 0,
    "num_drips": 1,
    "ready_after_s": 0,
    "retry_after_s": 0,
    "slots": 1,
}


def _check_least(name: str, value: float | None, least: float) -> None:
    if value is not None and not least <= value < math.inf:
        raise ConfigError(f"{name}: must be at least {least:g}, got {value:g}")


def _check_positive(name: str, value: float | None) -> None:
    if value is not None and not 0 < value < math.inf:
        raise ConfigError(f"{name}: must be above 0, got {value:g}")


def _check_choice(name: str, value: str, choices: type[StrEnum]) -> None:
    if value not in set(choices):
        raise ConfigError(f"{name}: there is no {value!r}; there are {', '.join(choices)}")


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ConfigError(f"{name}: must be within 0..1, got {value}")
