"""What `run` says at its end: what was made, a few examples, and what to do next."""

from __future__ import annotations

import shlex
from itertools import islice
from pathlib import Path
from typing import Any

import typer

from fastinstruct.cli.display import duration, rejects
from fastinstruct.cli.terminal import labelled, program, say, shortened
from fastinstruct.pipeline import RunResult
from fastinstruct.records import Example
from fastinstruct.store import RunReader

__all__ = ["print_summary", "summary"]

_ENDINGS = {
    "target": "The target is reached.",
    "interrupt": "Interrupted; the same command goes on.",
    "terminate": "Terminated; the same command goes on.",
    "saturation": "Stopped early: the model gives nothing new. Other seeds, another model, a higher temperature or "
    "--threshold may help; the same command goes on.",
}
_MAX_SHOWN = 400
_LABEL_WIDTH = 13


def summary(result: RunResult) -> dict[str, Any]:
    """Return the end of a sitting as JSON-able values."""
    progress = result.progress
    return {
        "run": str(result.folder),
        "ended_by": result.ended_by,
        "num_admitted": progress.num_admitted,
        "num_admitted_in_this_sitting": progress.num_admitted_here,
        "target": progress.target,
        "num_candidates": progress.num_candidates,
        "acceptance_rate": progress.acceptance_rate,
        "num_examples": progress.num_examples,
        "rejected": dict(progress.rejected),
        "rejected_instances": dict(progress.rejected_instances),
        "prompt_tokens": progress.prompt_tokens,
        "completion_tokens": progress.completion_tokens,
        "elapsed_s": round(progress.elapsed_s, 3),
    }


def print_summary(result: RunResult, num_shown: int) -> None:
    """Print examples of different instructions on stdout, everything else on stderr."""
    progress = result.progress
    if num_shown:
        with RunReader(result.folder) as reader:
            firsts = (example for example in reader.examples() if example.id.endswith("-0"))
            for example in islice(firsts, num_shown):
                say(_shown(example))
    rate = progress.acceptance_rate
    accepted = f" ({rate:.0%} of the candidates)" if rate is not None else ""
    made = f"{progress.num_admitted} instructions{accepted}, {progress.num_examples} examples; {rejects(progress)}."
    here = f"This sitting: {progress.num_admitted_here} instructions in {duration(progress.elapsed_s)}."
    typer.echo(f"{_ENDINGS[result.ended_by]} {made} {here}", err=True)
    if progress.num_failed:
        typer.echo(f"{progress.num_failed} requests were given up; the same command asks again.", err=True)
    if progress.num_dropped:
        typer.echo(f"{progress.num_dropped} requests took too long to drain and were dropped.", err=True)
    if progress.num_examples:
        typer.echo(_next_steps(result.folder), err=True)


def _next_steps(folder: Path) -> str:
    call, name = f"{program()} ", shlex.quote(str(folder))
    steps = {
        f"{call}inspect {name}": "look at the examples",
        f"{call}inspect {name} --rejected": "see what was rejected, and why",
        f"{call}export {name}": "write alpaca.json to train on",
    }
    width = max(map(len, steps)) + 3
    return "\n".join(["Next:", *(f"  {step:<{width}}{what}" for step, what in steps.items())])


def _shown(example: Example) -> str:
    parts = [("instruction", example.instruction), ("input", example.input), ("output", example.output)]
    lines = [labelled(name, shortened(text, _MAX_SHOWN), _LABEL_WIDTH) for name, text in parts if text]
    return "\n".join([*lines, ""])
