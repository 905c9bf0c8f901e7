"""Values of a `Script` from the short texts that a command line takes them in.

Knows nothing of options. Guarantees that a text of another form is a ConfigError with an example.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from fastinstruct.errors import ConfigError
from fastinstruct.scripted_server.script import Episode, Outage

__all__ = ["parse_episode", "parse_new_model", "parse_outage", "parse_rates", "parse_schedule"]

_EPISODE: Final = re.compile(r"(?P<fault>.+)=(?P<rate>[\d.eE+-]+)x(?P<length>\d+)")
_OUTAGE: Final = re.compile(r"(?P<first>\d+)-(?P<last>\d*):(?P<fault>.+)")


def parse_rates(texts: Iterable[str]) -> dict[str, float]:
    """`Script.faults` from texts like `500=0.02`."""
    rates = {}
    for text in texts:
        name, _, rate = text.partition("=")
        try:
            rates[name] = float(rate)
        except ValueError:
            raise ConfigError(f"faults: {text!r} should be a name and a share, such as 500=0.02") from None
    return rates


def parse_episode(text: str) -> Episode:
    """One of `Script.episodes` from a text like `429=0.01x20`."""
    found = _EPISODE.fullmatch(text)
    try:
        if found is not None:
            return Episode(found["fault"], rate=float(found["rate"]), length=int(found["length"]))
    except ValueError:
        pass
    raise ConfigError(f"episodes: {text!r} should be name=share x requests in a row, such as 429=0.01x20")


def parse_outage(text: str) -> Outage:
    """One of `Script.outages` from a text like `500-520:503`, or `500-:401` for one that does not end."""
    found = _OUTAGE.fullmatch(text)
    if found is None:
        raise ConfigError(f"outages: {text!r} should be first-last:name, such as 500-520:503 or 500-:401")
    return Outage(found["fault"], first=int(found["first"]), last=int(found["last"]) if found["last"] else None)


def parse_new_model(text: str) -> tuple[str, int]:
    """`Script.new_model` and `Script.new_model_after` from a text like `other@500`."""
    name, _, after = text.rpartition("@")
    if not name or not (after.isascii() and after.isdecimal()):
        raise ConfigError(f"new_model: {text!r} should be a name and a number of replies, such as other@500")
    return name, int(after)


def parse_schedule(text: str) -> tuple[tuple[float, float], ...]:
    """`Script.rate_schedule` from a text like `0:100,60:200`."""
    try:
        steps = [step.split(":") for step in text.split(",")]
        return tuple((float(start_s), float(rate_per_s)) for start_s, rate_per_s in steps)
    except ValueError:
        raise ConfigError(f"rate_schedule: {text!r} should be seconds:rate pairs, such as 0:100,60:200") from None
