"""How hard a sitting works its slots, its endpoints and its machine: a frozen snapshot, and the same as JSON.

Knows nothing of timers or stores. Guarantees: neither holds a prompt, a reply or a key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fastinstruct.lm.scheduling.channel import ChannelStatistics

__all__ = ["Telemetry", "dumped", "figures", "loaded"]

_MAX_DIGITS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """One moment of a sitting.

    Attributes:
        slot_use: the share of slots x seconds in which a request was in flight, since the first; None before it. While
            a sitting drains, no slots are offered but those that are still taken.
        num_slots: how many requests may be in flight, by `max_in_flight` and by the endpoints' limits; an endpoint that
            its breaker pauses counts, one that is asked no more does not.
        num_in_flight: requests that wait for an endpoint.
        oldest_s: how long the oldest of them has been; None where there is none.
        num_waiting: requests that wait for another attempt.
        num_delivering: answers that wait for judge and store; they hold their slots, too.
        tokens_per_s: completion tokens that came in a second of the last half minute; None before the first second.
        loop_lag_p99_ms: how late the event loop is, but for 1% of the last minute; None before it is known.
        cpu_share: of one core, by this process, over the sitting.
        memory_mib: resident memory of this process; None where the system does not tell it.
        held_back: why limits don't grow or nothing is sent, if that is this machine's doing; else empty.
        channels: the endpoints.
    """

    slot_use: float | None
    num_slots: int
    num_in_flight: int
    oldest_s: float | None
    num_waiting: int
    num_delivering: int
    tokens_per_s: float | None
    loop_lag_p99_ms: float | None
    cpu_share: float | None
    memory_mib: float | None
    held_back: str
    channels: tuple[ChannelStatistics, ...]


def figures(telemetry: Telemetry | None) -> Mapping[str, Any] | None:
    """Return a snapshot as JSON-able values, without digits that mean nothing."""
    if telemetry is None:
        return None
    plain = asdict(telemetry)
    channels = [_rounded(channel) for channel in plain.pop("channels")]
    return {**_rounded(plain), "channels": channels}


def dumped(telemetry: Telemetry, at: str) -> str:
    """Write a snapshot, with the time that it is of, as the store keeps it."""
    return json.dumps({"at": at, **(figures(telemetry) or {})}, ensure_ascii=False)


def loaded(text: str | None) -> Mapping[str, Any] | None:
    """Read what `dumped` wrote; None where a run has none yet, or another version's that is no JSON object."""
    try:
        told = json.loads(text or "null")
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: round(value, _MAX_DIGITS) if isinstance(value, float) else value for name, value in values.items()}
