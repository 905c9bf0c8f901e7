"""Slots, endpoints and machine of a sitting for people, from the figures of `pipeline.monitoring.telemetry`.

Knows nothing of runs. The figures may be another process's, or another version's: what they lack is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastinstruct.cli.figures import duration
from fastinstruct.cli.terminal import printable, shortened

__all__ = ["MAX_WHY", "age", "endpoint_lines", "latency", "machine_line", "slots_line"]

MAX_WHY = 80
"""The characters that are shown of why an endpoint is not asked."""

_OLD_S = 30.0  # a request in flight for longer may hang, and nothing else would tell of it

Figures = Mapping[str, Any]


def slots_line(told: Figures) -> str:
    """Say how busy the slots were, and what is in them."""
    use = told.get("slot_use")
    parts = [] if use is None else [f"{use:.0%} busy over the sitting"]
    parts.append(f"{told.get('num_in_flight', 0):,} of {told.get('num_slots', 0):,} in flight")
    parts += age(told.get("oldest_s"))
    for name, what in (("num_waiting", "waiting for another attempt"), ("num_delivering", "being stored")):
        if told.get(name):
            parts.append(f"{told[name]:,} {what}")
    return ", ".join(parts)


def age(oldest_s: float | None) -> list[str]:
    """Say how long the oldest request has been in flight, where that is worth a word: it may hang."""
    return [] if oldest_s is None or oldest_s < _OLD_S else [f"the oldest for {duration(oldest_s)}"]


def machine_line(told: Figures) -> str:
    """Say how the process fares; empty where nothing is known."""
    lag_ms, cpu, memory = told.get("loop_lag_p99_ms"), told.get("cpu_share"), told.get("memory_mib")
    parts = [] if lag_ms is None else [f"loop lag {lag_ms:.0f} ms (p99)"]
    parts += [] if cpu is None else [f"{cpu:.0%} of a core"]
    parts += [] if memory is None else [f"{memory:,.0f} MiB"]
    return ", ".join([*parts, *([told["held_back"]] if told.get("held_back") else [])])


def latency(seconds: float) -> str:
    """Write a latency with the digits that mean something: 850 ms or 2.1 s."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def endpoint_lines(told: Figures, *, is_long: bool = False) -> list[str]:
    """Say for each endpoint in one line what it has, what came of it, and why it is not asked.

    Args:
        told: a snapshot's figures.
        is_long: whether to say tokens and outcomes in full, too.
    """
    channels: Sequence[Figures] = told.get("channels", ())
    addresses = [str(channel.get("address", "")) for channel in channels]
    # Two models at one address are told apart by their names.
    names = [
        str(channel.get("endpoint", "")) if addresses.count(address) > 1 else address
        for channel, address in zip(channels, addresses, strict=True)
    ]
    width = max(map(len, names), default=0)
    return [
        printable(f"{name:<{width}}  {_endpoint(channel, is_long=is_long)}")
        for name, channel in zip(names, channels, strict=True)
    ]


def _endpoint(channel: Figures, *, is_long: bool) -> str:
    outcomes: Mapping[str, int] = channel.get("outcomes", {})
    num_ok = outcomes.get("ok", 0)
    num_failed = sum(outcomes.values()) - num_ok
    limit = channel.get("limit")
    in_flight = f"{channel.get('num_in_flight', 0):,}" + ("" if limit is None else f"/{limit:,.0f}")
    parts = [f"{in_flight} in flight", *age(channel.get("oldest_s")), f"{num_ok:,} ok"]
    if num_failed:
        parts.append(f"{num_failed:,} failed" + (f" ({_failures(outcomes)})" if is_long else ""))
    parts.append(_percentiles(channel, ("p50", "p90", "p99") if is_long else ("p50",)))
    if is_long and num_ok:
        parts.append(f"{channel.get('prompt_tokens', 0):,} tokens in, {channel.get('completion_tokens', 0):,} out")
    if not channel.get("is_asked", True):
        parts.append(f"not asked: {shortened(str(channel.get('why', '')), MAX_WHY)}")
    return ", ".join(part for part in parts if part)


def _failures(outcomes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in outcomes.items() if name != "ok")


def _percentiles(channel: Figures, names: Sequence[str]) -> str:
    found = [(name, channel.get(f"latency_{name}_s")) for name in names]
    return ", ".join(f"{name} {latency(seconds)}" for name, seconds in found if seconds is not None)
