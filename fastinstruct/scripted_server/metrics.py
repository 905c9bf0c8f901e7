"""The load as a model server's /metrics tells it, in Prometheus' text format.

Source: vLLM, "Production Metrics"; SGLang, "Production Metrics"; llama.cpp, tools/server/README.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = ["CONTENT_TYPE", "Metrics", "metrics_text"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Metrics(StrEnum):
    """Whose names /metrics uses; `none`: there is no such route."""

    VLLM = "vllm"
    SGLANG = "sglang"
    LLAMACPP = "llamacpp"
    NONE = "none"


_NAMES: Final = {
    Metrics.VLLM: ("vllm:num_requests_running", "vllm:num_requests_waiting"),
    Metrics.SGLANG: ("sglang:num_running_reqs", "sglang:num_queue_reqs"),
    Metrics.LLAMACPP: ("llamacpp:requests_processing", "llamacpp:requests_deferred"),
}
_HELP: Final = ("Number of requests being served.", "Number of requests waiting for a slot.")


def metrics_text(kind: Metrics, model: str, *, num_serving: int, num_waiting: int) -> str:
    """The gauges of running and waiting requests, as this server (not `none`) names them."""
    lines = []
    for name, about, value in zip(_NAMES[kind], _HELP, (num_serving, num_waiting), strict=True):
        lines += [f"# HELP {name} {about}", f"# TYPE {name} gauge"]
        lines.append(f"{name}{_labels(kind, model)} {_number(kind, value)}")
    return "\n".join(lines) + "\n"


def _labels(kind: Metrics, model: str) -> str:
    if kind == Metrics.LLAMACPP:
        return ""
    escaped = model.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    engine = 'engine="0",' if kind == Metrics.VLLM else ""
    return f'{{{engine}model_name="{escaped}"}}'


def _number(kind: Metrics, value: int) -> str:
    """Python's clients write floats, llama.cpp integers."""
    return str(value) if kind == Metrics.LLAMACPP else f"{value}.0"
