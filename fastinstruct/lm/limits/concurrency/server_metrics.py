"""What a server says of its queue in Prometheus' text format: a pure function over hostile text.

Knows nothing of HTTP or controllers. Guarantees: any text gives an answer or None, in time linear in its length; counts
are finite and not negative.

Source: Prometheus text exposition format 0.0.4; the gauges' names from the metrics documentation of vLLM, SGLang and
llama.cpp. SGLang's newer exporters write an underscore where the colon stood.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

__all__ = ["QueueMetrics", "parse_queue_metrics"]

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
