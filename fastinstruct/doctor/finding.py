"""What a check found: a value, printed by whoever asked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "Level"]


class Level(StrEnum):
    """How bad it is: a run works, it works badly or may fail, it cannot work."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check's result, in one line each: what was found, and what to do about it (empty where nothing is).

    Neither holds a key or a prompt; what a model answered may be shown by its beginning.
    """

    name: str
    level: Level
    found: str
    advice: str = ""
