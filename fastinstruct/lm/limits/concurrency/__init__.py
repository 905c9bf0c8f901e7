"""How many requests may be in flight: controllers that answer in slots, without tasks or timers of their own.

Knows nothing of HTTP, prompts or stores. `Fixed` for who knows the number, `Aimd` for servers that refuse, `QueueAware`
for servers that let requests wait and report their queue.
"""

from __future__ import annotations

from fastinstruct.lm.limits.concurrency.aimd import Aimd
from fastinstruct.lm.limits.concurrency.controller import FREEZE_S, Controller, ControllerStatistics, Fixed
from fastinstruct.lm.limits.concurrency.queue_aware import STALE_S, QueueAware

__all__ = [
    "FREEZE_S",
    "STALE_S",
    "Aimd",
    "Controller",
    "ControllerStatistics",
    "Fixed",
    "QueueAware",
]
