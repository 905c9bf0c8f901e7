"""Figures as people read them: durations, money, and what the rest of a run will take.

Knows nothing of runs but the numbers it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastinstruct.pipeline.monitoring.forecast import Projection

__all__ = ["approximate", "duration", "money", "projected", "projection_line"]


def duration(seconds: float | None) -> str:
    """Write seconds as 2 h 05 min, 3 min 20 s or 8 s."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60:,} h {minutes % 60:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def money(dollars: float) -> str:
    """Write dollars as 1,234.50 dollars, or with as many digits as a small amount needs."""
    return f"{dollars:,.2f} dollars" if dollars >= 0.1 or dollars == 0 else f"{dollars:.2g} dollars"


def approximate(number: float) -> str:
    """Write a number with three digits that mean something: 127,000."""
    whole = round(number)
    return f"{round(whole, 3 - len(str(abs(whole)))):,}" if abs(whole) >= 1000 else str(whole)


def projection_line(projection: Projection | None, target: int) -> str:
    """Say what reaching the target will still take; empty where that cannot be told, or nothing is left."""
    if projection is None or not projection.num_calls:
        return ""
    needs = [f"{approximate(projection.num_calls)} more calls"]
    if projection.num_tokens is not None:
        needs.append(f"{approximate(projection.num_tokens)} tokens")
    if projection.cost:
        needs.append(money(projection.cost))
    if projection.time_s is not None:
        needs.append(_between(projection.least_time_s, projection.time_s))
    rate = projection.acceptance_rate
    at = "" if rate is None else f"at {rate:.0%} acceptance of late, "
    return f"{at}{target:,} instructions need {', '.join(needs)}"


def projected(projection: Projection | None) -> Mapping[str, Any] | None:
    """Return the same as JSON-able values."""
    if projection is None:
        return None
    times = {"time_s": projection.time_s, "least_time_s": projection.least_time_s}
    rounded = {name: None if seconds is None else round(seconds, 1) for name, seconds in times.items()}
    return asdict(projection) | {"num_calls": projection.num_calls, **rounded}


def _between(least_s: float | None, most_s: float) -> str:
    """Write a time as one that is known, or as what it lies between."""
    least, most = duration(most_s if least_s is None else least_s), duration(most_s)
    return most if least == most else f"{least} to {most}"
