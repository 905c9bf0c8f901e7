"""What a run has used, what is in flight may still use, and what it may use at most: requests, tokens and money.

Pure arithmetic, in whole numbers, so that no sum drifts. Guarantees: as long as no request uses more than it was
reserved for, what is used and what is reserved together never exceed a limit.

What the rows of a run's requests do not tell is kept apart (`besides`), so that both together tell a later sitting
what was used: attempts that failed after the server had begun, replies that did not say what they cost, and tokens
from a cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from typing import NamedTuple

__all__ = ["Ledger", "Limits", "Price", "Use", "dollars", "picodollars"]

_PICO = 10**12


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What requests used, or may use; `cached_tokens` are those of the prompts that came from a server's cache."""

    num_requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0

    @property
    def num_tokens(self) -> int:
        """Return the tokens of prompts and completions together."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Use) -> Use:
        return Use(
            num_requests=self.num_requests + other.num_requests,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
        )

    def __sub__(self, other: Use) -> Use:
        return Use(
            num_requests=self.num_requests - other.num_requests,
            prompt_tokens=self.prompt_tokens - other.prompt_tokens,
            cached_tokens=self.cached_tokens - other.cached_tokens,
            completion_tokens=self.completion_tokens - other.completion_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a model costs, in picodollars a token and a request: a dollar per million tokens is a million of them.

    `source` says who told, for messages.
    """

    input: int = 0
    cached_input: int = 0
    output: int = 0
    request: int = 0
    source: str = field(default="", compare=False)

    def cost(self, use: Use) -> int:
        """Return the price of `use`, in picodollars."""
        fresh = use.prompt_tokens - use.cached_tokens
        return (
            self.input * fresh
            + self.cached_input * use.cached_tokens
            + self.output * use.completion_tokens
            + self.request * use.num_requests
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may be used; None sets no limit. `max_cost` is in picodollars."""

    max_requests: int | None = None
    max_tokens: int | None = None
    max_cost: int | None = None


class _Sum:
    """Requests, tokens and picodollars, as the limits count them."""

    __slots__ = ("cost", "num_requests", "num_tokens")

    def __init__(self) -> None:
        self.num_requests = self.num_tokens = self.cost = 0

    def add(self, use: Use, price: Price | None, sign: int = 1) -> None:
        self.num_requests += sign * use.num_requests
        self.num_tokens += sign * (use.prompt_tokens + use.completion_tokens)
        if price is not None:
            self.cost += sign * price.cost(use)

    def of(self, limit: str) -> int:
        """Return what counts towards a limit, by its name."""
        match limit:
            case "max_requests":
                return self.num_requests
            case "max_tokens":
                return self.num_tokens
            case _:
                return self.cost


class _Answered(NamedTuple):
    """What a reply used whose request is not stored yet, and what its row will tell of that."""

    lane: str
    use: Use
    told: Use


class Ledger:
    """The books of one run.

    Args:
        limits: what may be used.
        prices: lane -> the price of its model; None where it is unknown. Without `max_cost`, none is needed.
        stored: lane -> what the rows of the run's requests tell.
        besides: lane -> what else was used, as an earlier sitting left it.

    Raises:
        ValueError: `max_cost` is set and a lane has no price.
    """

    def __init__(
        self,
        limits: Limits,
        prices: Mapping[str, Price | None],
        *,
        stored: Mapping[str, Use] | None = None,
        besides: Mapping[str, Use] | None = None,
    ) -> None:
        if limits.max_cost is not None and None in prices.values():
            raise ValueError("max_cost needs a price for every lane")
        self.limits = limits
        set_limits = {"max_cost": limits.max_cost, "max_tokens": limits.max_tokens, "max_requests": limits.max_requests}
        self._limits = [(name, limit) for name, limit in set_limits.items() if limit is not None]
        self._prices = dict(prices)
        self._besides = {lane: (besides or {}).get(lane, Use()) for lane in prices}
        self._used = {lane: (stored or {}).get(lane, Use()) + self._besides[lane] for lane in prices}
        self._sum = _Sum()
        for lane, use in self._used.items():
            self._sum.add(use, self._prices[lane])
        self._reserved: dict[str, tuple[str, Use]] = {}
        self._booked = _Sum()  # what is used and what is reserved
        for lane, use in self._used.items():
            self._booked.add(use, self._prices[lane])
        self._answered: dict[str, _Answered] = {}

    @property
    def used(self) -> Mapping[str, Use]:
        """Return, by lane, what was used, as the limits count it."""
        return self._used

    @property
    def besides(self) -> Mapping[str, Use]:
        """Return, by lane, what of it the rows of stored requests do not tell."""
        return self._besides

    @property
    def num_requests(self) -> int:
        """Return how many requests count."""
        return self._sum.num_requests

    @property
    def num_tokens(self) -> int:
        """Return how many tokens count."""
        return self._sum.num_tokens

    @property
    def cost(self) -> int | None:
        """Return what they cost, in picodollars; None where a price is unknown."""
        return None if None in self._prices.values() else self._sum.cost

    def price(self, lane: str) -> Price | None:
        """Return what the model of a lane costs; None where that is unknown."""
        return self._prices[lane]

    def used_of(self, limit: str) -> int:
        """Return what counts towards a limit, by its name: requests, tokens or picodollars."""
        return self._sum.of(limit)

    def limit(self, name: str) -> int:
        """Return a limit that is set, in the unit of `used_of`."""
        limit = getattr(self.limits, name)
        assert isinstance(limit, int)
        return limit

    def worth(self, limit: str, lane: str, use: Use) -> int:
        """Return what `use` counts towards a limit."""
        found = _Sum()
        found.add(use, self._prices[lane])
        return found.of(limit)

    @property
    def awaits_rows(self) -> bool:
        """Whether replies were counted whose requests are not known to be stored."""
        return bool(self._answered)

    @property
    def num_reserved(self) -> int:
        """Return how many requests are reserved and not yet settled."""
        return len(self._reserved)

    def holds(self, key: str) -> bool:
        """Whether a request is reserved and not yet settled."""
        return key in self._reserved

    def broken_by(self, lane: str, most: Use) -> str | None:
        """Return the first limit that `most` would break, on top of what is used and reserved; None if it fits."""
        for name, limit in self._limits:
            if self._booked.of(name) + self.worth(name, lane, most) > limit:
                return name
        return None

    def reserve(self, key: str, lane: str, most: Use) -> str | None:
        """Set `most` aside for a request that is about to be sent.

        Returns:
            None, or the limit that keeps it from being sent.
        """
        assert key not in self._reserved  # two reservations would be released as one
        broken = self.broken_by(lane, most)
        if broken is None:
            self._reserved[key] = (lane, most)
            self._booked.add(most, self._prices[lane])
        return broken

    def reserve_again(self, key: str) -> bool:
        """Count what is set aside as used up, and set aside as much; False, with nothing changed, if it won't fit."""
        lane, most = self._reserved[key]
        if self.broken_by(lane, most) is not None:
            return False
        self.fail(key, most)
        self.reserve(key, lane, most)
        return True

    def reserved(self, key: str) -> Use:
        """Return what is set aside for a request."""
        return self._reserved[key][1]

    def release(self, key: str) -> None:
        """Count a request that was refused, or never sent, as nothing."""
        if (reserved := self._reserved.pop(key, None)) is not None:
            lane, most = reserved
            self._booked.add(most, self._prices[lane], -1)

    def answer(self, key: str, use: Use, told: Use) -> None:
        """Count a reply as `use`; its row, once stored, will tell `told`, mostly the same value."""
        lane, _ = self._reserved[key]
        self.release(key)
        self._count(lane, use)
        self._answered[key] = _Answered(lane=lane, use=use, told=told)

    def fail(self, key: str, use: Use) -> None:
        """Count an attempt without a usable reply as `use`; no row will tell it."""
        lane, _ = self._reserved[key]
        self.release(key)
        self._count(lane, use)
        self._besides[lane] += use

    def stored(self, key: str) -> None:
        """Leave to a reply's row, which is durable now, what it tells."""
        answered = self._answered.pop(key, None)
        if answered is not None and answered.use is not answered.told:  # mostly the row tells all of it
            self._besides[answered.lane] += answered.use - answered.told

    def write_off(self) -> None:
        """Count what is still in flight as all it was reserved for: nobody will say what it used."""
        for key in list(self._reserved):
            self.fail(key, self.reserved(key))

    def reconcile(self, stored: Mapping[str, Use]) -> None:
        """Count whatever the rows of the run's requests, as they are now, do not tell as used besides."""
        for lane, used in self._used.items():
            self._besides[lane] = used - stored.get(lane, Use())
        self._answered.clear()

    def _count(self, lane: str, use: Use) -> None:
        price = self._prices[lane]
        self._used[lane] += use
        self._sum.add(use, price)
        self._booked.add(use, price)


def dollars(picodollars: int) -> float:
    """Return picodollars as dollars."""
    return picodollars / _PICO


def picodollars(price: float | Decimal, num_units: int = 1) -> int:
    """Return dollars for `num_units` as picodollars for one, exactly as they were written, rounded up."""
    exact = Decimal(str(price)) * _PICO / num_units
    return int(exact.to_integral_value(rounding=ROUND_CEILING))
