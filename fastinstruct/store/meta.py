"""The keys of a run's `meta` table. The values are stored, and so are these names: add to them, never rename."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["STAGES_OF_OLDER_RUNS", "MetaKey"]


class MetaKey(StrEnum):
    """What is kept of a run beside its rows, each as a text."""

    STAGES = "stages"
    """JSON list of the names of its stages, in order."""
    REPLY_FORMS = "reply_forms"
    """JSON of how each stage's replies are asked for, settled once."""
    THRESHOLD = "stage2_threshold"
    """JSON of the log-odds above which stage 2 says yes; null where the reply's text decides."""
    AGAINST = "against"
    """The evaluation files that it keeps away from (see `files.against`)."""
    PRICES = "prices"
    """JSON of what the models cost in the latest session, in picodollars."""
    USED_BESIDES = "used_besides"
    """JSON of what was used besides what the rows of requests tell."""
    TELEMETRY = "telemetry"
    """The latest snapshot of how hard it works (see `pipeline.monitoring.telemetry`)."""


STAGES_OF_OLDER_RUNS = ("instructions", "classification", "instances")
"""The stages of a run that does not say which it has."""
