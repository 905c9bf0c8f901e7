"""Tell a controller what its server's queue looks like, as long as the server says it.

Knows nothing of what the controller does with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fastinstruct.escaping import package_logger
from fastinstruct.lm.limits.concurrency import QueueAware, parse_queue_metrics
from fastinstruct.lm.process.off_loop import read_in_thread_if_large
from fastinstruct.lm.transports.base import Transport

__all__ = ["watch_queue"]

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
