"""What a server reports of its queue at /metrics: how it is read, and how a controller is told of it again and again.

Knows nothing of what the controller does with it.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fastinstruct.escaping import package_logger
from fastinstruct.lm.limits.concurrency.queue_aware import QueueAware
from fastinstruct.lm.process import read_in_thread_if_large
from fastinstruct.lm.transports.base import Transport

__all__ = ["QueueMetrics", "parse_queue_metrics", "watch_queue"]

_LOG = package_logger("fastinstruct.lm")
_INTERVAL_S = 0.5
_LONGEST_INTERVAL_S = 30.0


async def watch_queue(
    transport: Transport, controller: QueueAware, changed: Callable[[], None], interval_s: float = _INTERVAL_S
) -> None:
    """Read the server's metrics every `interval_s` seconds until cancelled; rarely where there are none.

    `changed` is called when the controller's limit has risen: the next request need not wait for an answer.
    """
    loop = asyncio.get_running_loop()
    wait_s, has_warned = interval_s, False
    while True:
        text = await transport.metrics()
        metrics = None if text is None else await read_in_thread_if_large(len(text), parse_queue_metrics, text)
        if metrics is not None:
            before = controller.limit(loop.time())
            controller.on_metrics(metrics.running, metrics.waiting, loop.time())
            if controller.limit(loop.time()) > before:
                changed()
            wait_s = interval_s
        else:
            wait_s = min(2 * wait_s, _LONGEST_INTERVAL_S)
            if not has_warned:
                has_warned = True
                _LOG.warning("%s tells no queue at /metrics; its limit stays as it is", transport.endpoint.address)
        await asyncio.sleep(wait_s)


_MAX_CHARACTERS: Final = 4 * 2**20

_GAUGES: Final = {
    "vllm": ("vllm:num_requests_running", "vllm:num_requests_waiting"),
    "sglang": ("sglang:num_running_reqs", "sglang:num_queue_reqs"),
    "llama.cpp": ("llamacpp:requests_processing", "llamacpp:requests_deferred"),
}
_NAMES: Final = "|".join(name.replace(":", "[:_]") for pair in _GAUGES.values() for name in pair)
# Possessive: a line that does not fit is given up at its first odd character, not tried in every way.
_SAMPLE: Final = re.compile(
    rf'^[ \t]*+({_NAMES})[ \t]*+(?:\{{(?:[^"{{}}\n]|"(?:[^"\\\n]|\\.)*+")*+\}})?[ \t]*+'
    r"([+-]?[0-9.]{1,40}(?:[eE][+-]?[0-9]{1,4})?)(?:[ \t]++-?[0-9]{1,20})?[ \t\r]*+$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueMetrics:
    """Requests that a server works on and that wait for it, all label sets (engines, models, ranks) together."""

    server: str
    running: float
    waiting: float


def parse_queue_metrics(text: str) -> QueueMetrics | None:
    """Return the queue of the first server known in `text`; None unless both of its gauges are there."""
    sums: dict[str, float] = {}
    for sample in _SAMPLE.finditer(text, 0, _MAX_CHARACTERS):
        value = _count(sample[2])
        if value is not None:
            name = sample[1].replace("_", ":", 1) if ":" not in sample[1] else sample[1]
            sums[name] = sums.get(name, 0.0) + value
    for server, (running, waiting) in _GAUGES.items():
        if running in sums and waiting in sums:
            return QueueMetrics(server=server, running=sums[running], waiting=sums[waiting])
    return None


def _count(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:  # 1.2.3
        return None
    return value if 0 <= value < math.inf else None
