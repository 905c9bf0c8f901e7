"""All that decides the scripted server's answers, checked when it is made; and the draws that follow from it.

Knows nothing of HTTP, sockets or the time of day. Guarantees that latencies and faults are functions of the script, the
prompt and how often it came before.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import NormalDist
from typing import Final

from fastinstruct.errors import ConfigError
from fastinstruct.scripted_server.draws import unit_draw
from fastinstruct.scripted_server.faults import Fault
from fastinstruct.scripted_server.hints import RetryHint
from fastinstruct.scripted_server.metrics import Metrics
from fastinstruct.scripted_server.replies import Replies, ReplyRates

__all__ = ["Latency", "Script", "parse_rates", "parse_schedule"]

_NORMAL: Final = NormalDist()


@dataclass(frozen=True, slots=True)
class Latency:
    """How long answers take: `base_s`, fixed; plus up to `width_s`, uniform; times a log-normal factor with `sigma`.

    So `Latency(1.0, sigma=0.8)` is log-normal with a median of one second, and `Latency(0.1, width_s=0.4)` is uniform.
    """

    base_s: float = 0.0
    width_s: float = 0.0
    sigma: float = 0.0

    @property
    def is_none(self) -> bool:
        return self.base_s == self.width_s == 0

    def quantile(self, share: float) -> float:
        """Seconds below which this share, within (0, 1), of the latencies lie."""
        return (self.base_s + self.width_s * share) * math.exp(self.sigma * _NORMAL.inv_cdf(share))


@dataclass(frozen=True, slots=True, kw_only=True)
class Script(ReplyRates):
    """All that decides the server's answers.

    Args:
        seed: of all draws.
        model: the model's name; another one is refused.
        api_key: where it is set, requests without it are refused.
        replies: how they come about; where they are canned, the model's name is not checked.
        latency: how long answers take.
        faults: the share, in 0..1, of answers that meet each `Fault`; together 1 at most.
        max_faults_per_prompt: so many `faults` in a row, and the prompt is answered, so that runs end.
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

    Raises:
        ConfigError: a value out of bounds.
    """

    seed: int = 0
    model: str = "scripted"
    api_key: str | None = None
    replies: Replies = Replies.WRITTEN
    latency: Latency = Latency()
    faults: Mapping[str, float] = field(default_factory=dict)
    max_faults_per_prompt: int = 2
    retry_after_s: float | None = None
    retry_hint: RetryHint = RetryHint.SECONDS
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    rate_schedule: tuple[tuple[float, float], ...] = ()
    burst_s: float = 1.0
    slots: int | None = None
    max_queue: int | None = None
    metrics: Metrics = Metrics.VLLM

    def __post_init__(self) -> None:
        for name in ("duplicate_rate", "junk_rate", "length_rate"):
            _check_share(name, getattr(self, name))
        _check_choice("replies", self.replies, Replies)
        _check_choice("metrics", self.metrics, Metrics)
        _check_choice("retry_hint", self.retry_hint, RetryHint)
        _check_least("retry_after_s", self.retry_after_s, 0)
        self._check_budgets()
        _check_least("slots", self.slots, 1)
        _check_least("max_queue", self.max_queue, 0)
        if self.max_queue is not None and self.slots is None:
            raise ConfigError("max_queue: needs slots; without them nothing waits")
        for fault, rate in self.faults.items():
            _check_choice("faults", fault, Fault)
            _check_share(f"faults: {fault}", rate)
        if sum(self.faults.values()) > 1 + 1e-9:
            raise ConfigError("faults: their rates must add up to 1 at most")

    def _check_budgets(self) -> None:
        for name in ("requests_per_minute", "tokens_per_minute", "burst_s"):
            _check_positive(name, getattr(self, name))
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

    def drawn_fault(self, prompt_sha256: str, attempt: int) -> Fault | None:
        """The fault that this attempt (from 1) at a prompt would meet, before the cap on faults in a row."""
        if not self.faults:
            return None
        draw = unit_draw("fault", self.seed, prompt_sha256, attempt)
        _check_choice("replies", self.replies, Replies)
        _check_choice("metrics", self.metrics, Metrics)
        _check_choice("retry_hint", self.retry_hint, RetryHint)
        _check_least("retry_after_s", self.retry_after_s, 0)
        self._check_budgets()
        _check_least("slots", self.slots, 1)
        _check_least("max_queue", self.max_queue, 0)
        if self.max_queue is not None and self.slots is None:
            raise ConfigError("max_queue: needs slots; without them nothing waits")
        for fault, rate in self.faults.items():
            draw -= rate
            if draw < 0:
                return Fault(fault)
        return None

    @property
    def is_plain(self) -> bool:
        """Whether every request is answered at once, and by a reply."""
        return self.latency.is_none and not self.faults and self.slots is None and not self.has_budgets

    def latency_s(self, prompt_sha256: str) -> float:
        """How long an answer to this prompt takes."""
        return self.latency.quantile(max(unit_draw("latency", self.seed, prompt_sha256), 1e-9))


def parse_rates(texts: Iterable[str]) -> dict[str, float]:
    """`Script.faults` from texts like `500=0.02`.

    Raises:
        ConfigError: one is not of this form.
    """
    rates = {}
    for text in texts:
        name, _, rate = text.partition("=")
        try:
            rates[name] = float(rate)
        except ValueError:
            raise ConfigError(f"faults: {text!r} should be a name and a share, such as 500=0.02") from None
    return rates


def _check_least(name: str, value: float | None, least: float) -> None:
    if value is not None and not value >= least:
        raise ConfigError(f"{name}: must be at least {least:g}, got {value}")


def _check_positive(name: str, value: float | None) -> None:
    if value is not None and not 0 < value < math.inf:
        raise ConfigError(f"{name}: must be above 0, got {value:g}")


def _check_choice(name: str, value: str, choices: type[StrEnum]) -> None:
    if value not in set(choices):
        raise ConfigError(f"{name}: there is no {value!r}; there are {', '.join(choices)}")


def parse_schedule(text: str) -> tuple[tuple[float, float], ...]:
    """`Script.rate_schedule` from a text like `0:100,60:200`.

    Raises:
        ConfigError: it is not of this form.
    """
    try:
        steps = [step.split(":") for step in text.split(",")]
        return tuple((float(start_s), float(rate_per_s)) for start_s, rate_per_s in steps)
    except ValueError:
        raise ConfigError(f"rate_schedule: {text!r} should be seconds:rate pairs, such as 0:100,60:200") from None


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ConfigError(f"{name}: must be within 0..1, got {value}")
