"""FastInstruct: a few seed tasks and any language model in; large, diverse, de-duplicated instruction-tuning data out.

    import fastinstruct

    config = fastinstruct.RunConfig(target=100)
    async for example in fastinstruct.stream(config):
        print(example.instruction, example.input, example.output)

Importing the package does nothing: no logging is set up, no environment read, nothing compiled; heavy parts load when
they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from fastinstruct._version import __version__ as __version__

if TYPE_CHECKING:
    from fastinstruct.config import RunConfig, load_config
    from fastinstruct.deduplication import Decision, Neighbour, dedup
    from fastinstruct.errors import FastInstructError
    from fastinstruct.pipeline import Progress, Run, stream
    from fastinstruct.records import Example, Instance, SeedTask
    from fastinstruct.similarity import LSHIndex, Recall, RougeIndex, Verdict, Verdicts
    from fastinstruct.store import RunReader
    from fastinstruct.text.custom_filters import ExampleFilter

__all__ = [
    "Decision",
    "Example",
    "ExampleFilter",
    "FastInstructError",
    "Instance",
    "LSHIndex",
    "Neighbour",
    "Progress",
    "Recall",
    "RougeIndex",
    "Run",
    "RunConfig",
    "RunReader",
    "SeedTask",
    "Verdict",
    "Verdicts",
    "dedup",
    "load_config",
    "stream",
]

_HOMES = {
    "Decision": "deduplication",
    "Example": "records",
    "ExampleFilter": "text.custom_filters",
    "FastInstructError": "errors",
    "Instance": "records",
    "LSHIndex": "similarity",
    "Neighbour": "deduplication",
    "Progress": "pipeline",
    "Recall": "similarity",
    "RougeIndex": "similarity",
    "Run": "pipeline",
    "RunConfig": "config",
    "RunReader": "store",
    "SeedTask": "records",
    "Verdict": "similarity",
    "Verdicts": "similarity",
    "dedup": "deduplication",
    "load_config": "config",
    "stream": "pipeline",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'fastinstruct' has no attribute {name!r}")
    return getattr(import_module(f"fastinstruct.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
