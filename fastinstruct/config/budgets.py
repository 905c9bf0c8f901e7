"""What a run may cost, when it has run dry, and what tokens are paid.

Knows nothing of how that is counted. Nothing here is part of a run's identity: a resumed run may be given more.
"""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from fastinstruct.config.part import Part

__all__ = ["BudgetConfig", "PriceConfig", "SaturationConfig"]

_NUMBER = r"(\d+(?:\.\d+)?)"
_DURATION = re.compile(rf"(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?")


class BudgetConfig(Part):
    """What a run may use up, over all its sittings; null sets no limit.

    `max_cost` is in dollars. `max_time_s` is this sitting's alone; besides seconds it takes 90m or 2h30m.
    `max_error_rate` is the share of the last `error_window` requests of a sitting that were given up.
    """

    max_cost: float | None = Field(None, gt=0, le=1e9)
    max_tokens: int | None = Field(None, ge=1, le=10**15)
    max_requests: int | None = Field(None, ge=1, le=10**12)
    max_time_s: float | None = Field(None, gt=0, le=1e9)
    max_error_rate: float | None = Field(None, ge=0, lt=1)
    error_window: int = Field(100, ge=1, le=10_000)

    @field_validator("max_time_s", mode="before")
    @classmethod
    def _may_be_hours_and_minutes(cls, value: object) -> object:
        if not isinstance(value, str) or re.fullmatch(_NUMBER, value.strip()):
            return value
        found = _DURATION.fullmatch(value.replace(" ", "").lower())
        if found is None or not any(found.groups()):
            msg = "must be seconds, or hours and minutes such as 90m or 2h30m"
            raise ValueError(msg)
        hours, minutes, seconds = (float(part or 0) for part in found.groups())
        return 3600 * hours + 60 * minutes + seconds


class SaturationConfig(Part):
    """When a model has run dry: as soon as no more than `floor` of the last `window` candidates was admitted.

    A reply without candidates counts as all that it was asked for. A floor of 0 waits until none is admitted any more,
    null for ever.
    """

    window: int = Field(400, ge=1, le=100_000)
    floor: float | None = Field(0.01, ge=0, lt=1)


class PriceConfig(Part):
    """What a model costs, in dollars per million tokens."""

    input: float = Field(ge=0, le=1e6, description="dollars per million tokens of prompts")
    output: float = Field(ge=0, le=1e6, description="dollars per million tokens of replies")
    cached_input: float | None = Field(
        None, ge=0, le=1e6, description="of prompts, for tokens from the server's cache; null: as `input`"
    )
