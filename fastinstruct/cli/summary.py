"""What `run` says at its end: what was made, a few examples, and what to do next."""

from __future__ import annotations

import random
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastinstruct.cli.display import not_understood, rejects
from fastinstruct.cli.figures import duration, money, projected, projection_line
from fastinstruct.cli.terminal import labelled, printable, program, say, shortened, tell
from fastinstruct.cli.vitals import endpoint_lines, machine_line
from fastinstruct.pipeline import Progress, RunResult
from fastinstruct.pipeline.budget.stop_rules import Stop
from fastinstruct.pipeline.monitoring.telemetry import figures
from fastinstruct.records import Example
from fastinstruct.store import RunReader
from fastinstruct.store.queries.whole_run import ids_with_examples

__all__ = ["print_summary", "summary"]

_ENDINGS = {
    "target": "The target is reached.",
    "estimate": "Estimated from a few requests; what they gave is kept, and the same command without --estimate goes "
    "on.",
    "interrupt": "Interrupted; the same command goes on.",
    "terminate": "Terminated; the same command goes on.",
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
        "num_with_examples": progress.num_with_examples,
        "num_without_examples": progress.num_admitted - progress.num_with_examples,
        "num_unreadable": dict(progress.num_unreadable),
        "num_unexplained": progress.num_unexplained,
        "rejected": dict(progress.rejected),
        "rejected_instances": dict(progress.rejected_instances),
        "prompt_tokens": progress.prompt_tokens,
        "completion_tokens": progress.completion_tokens,
        "num_requests_used": progress.num_requests_used,
        "num_tokens_used": progress.num_tokens_used,
        "cost_dollars": progress.cost,
        "tokens_per_example": progress.tokens_per_example,
        "cost_per_example_dollars": progress.cost_per_example,
        "stop": None if result.stop is None else asdict(result.stop),
        "projection": projected(progress.projection),
        "elapsed_s": round(progress.elapsed_s, 3),
        "telemetry": figures(progress.telemetry),
    }


def print_summary(result: RunResult, num_shown: int) -> None:
    """Print examples of different instructions, drawn at random, on stdout, everything else on stderr."""
    progress = result.progress
    if num_shown:
        with RunReader(result.folder) as reader:
            for example in _drawn(reader, num_shown):
                say(_shown(example))
    rate = progress.acceptance_rate
    accepted = f" ({rate:.0%} of the candidates)" if rate is not None else ""
    examples = f"{progress.num_examples} examples of {progress.num_with_examples} instructions"
    made = f"{progress.num_admitted} instructions{accepted}, {examples}; {rejects(progress)}."
    here = f"This sitting: {progress.num_admitted_here} instructions in {duration(progress.elapsed_s)}."
    ending = _ENDINGS[result.ended_by] if result.stop is None else _stopped(result.stop)
    tell(f"{ending} {made} {here}")
    for line in [*_without(progress), *_effort(progress), *_spending(progress, result.ended_by)]:
        tell(line)
    if progress.num_failed:
        tell(f"{progress.num_failed} requests were given up; the same command asks again.")
    if progress.num_dropped:
        tell(f"{progress.num_dropped} requests took too long to drain and were dropped.")
    if progress.num_examples:
        tell(_next_steps(result.folder))


def _drawn(reader: RunReader, num_shown: int) -> list[Example]:
    """Draw examples of different instructions, others after every sitting, in their order."""
    ids = ids_with_examples(reader)
    chosen = set(random.sample(ids, min(num_shown, len(ids))))
    found: dict[str, Example] = {}
    for example in reader.examples() if chosen else ():
        instruction = example.id.rpartition("-")[0]
        if int(instruction[1:]) in chosen:
            found.setdefault(instruction, example)
    return list(found.values())


def _without(progress: Progress) -> list[str]:
    """Say what has no example, and which replies were not understood."""
    lines = []
    if num_without := progress.num_admitted - progress.num_with_examples:
        have = "1 instruction has" if num_without == 1 else f"{num_without} instructions have"
        lines.append(f"{have} no example; `inspect --without-examples` says why.")
    if told := not_understood(progress):
        lines.append(f"{told[0].upper()}{told[1:]}; `inspect --unreadable` shows them.")
    return lines


def _stopped(stop: Stop) -> str:
    """Say which rule ended the sitting, how much of it was used, and what goes on."""
    match stop.rule:
        case "max_cost":
            used = f"{stop.used:,.4g} of {stop.limit:,.10g} dollars are used, and the next request may cost "
            return (
                f"Stopped at --max-cost: {used}{stop.next_use or 0:,.2g}; the same command with a larger one goes on."
            )
        case "max_tokens" | "max_requests":
            unit = stop.rule.removeprefix("max_")
            used = f"{stop.used:,} of {stop.limit:,} {unit} are used"
            next_use = f", and the next request may take {stop.next_use:,}" if unit == "tokens" else ""
            return f"Stopped at --max-{unit}: {used}{next_use}; the same command with a larger one goes on."
        case "max_time":
            return f"Stopped at --max-time, after {duration(stop.used)}; the same command goes on."
        case "max_memory":
            used = f"{stop.used:,.0f} MiB used with nothing in flight, runtime.max_memory_mib is {stop.limit:,.10g}"
            return f"Stopped for lack of memory: {used}; the same command goes on."
        case "error_rate":
            rate = f"{stop.used:.1%} of the last requests failed for good, more than {stop.limit:.1%}"
            return f"Stopped at --max-error-rate: {rate}; `status` says how, and the same command goes on."
        case "no_examples":
            told = "no instruction has an example, whatever was asked; `inspect --without-examples` says why."
            return f"Stopped with nothing to train on: {told}"
        case "unreadable":
            share = f"{stop.used:.0%} of the last replies of stage {stop.stage} gave nothing, such as {stop.sample}"
            advice = (
                "`inspect --unreadable` shows them; try model.replies, another model or prompts of your own. "
                "--set filters.max_unreadable=null goes on."
            )
            return f"Stopped at filters.max_unreadable ({stop.limit:.0%}): {printable(share)}; {advice}"
        case _:
            rate = f"{stop.used:.1%} of the last candidates were new (saturation.floor is {stop.limit:.1%})"
            advice = "Other seeds, another model or a higher temperature may help; --set saturation.floor=null goes on."
            return f"Stopped early: the model gives hardly anything new, {rate}. {advice}"


def _effort(progress: Progress) -> list[str]:
    """Say how hard slots and machine worked, and where there are several endpoints what each has done."""
    telemetry = progress.telemetry
    told = figures(telemetry)
    if telemetry is None or told is None or telemetry.slot_use is None:
        return []
    machine = machine_line(told)
    effort = [f"slots {telemetry.slot_use:.0%} busy", *([machine] if machine else [])]
    lines = [f"Effort: {', '.join(effort)}."]
    return lines + ([f"  {line}" for line in endpoint_lines(told)] if len(telemetry.channels) > 1 else [])


def _spending(progress: Progress, ended_by: str) -> list[str]:
    """Say what was used for each example, and what the rest will take."""
    lines = []
    if progress.num_tokens_used:
        each = progress.tokens_per_example
        tokens = f"{progress.num_tokens_used:,} tokens" + (f" ({each:,.0f} an example)" if each is not None else "")
        lines.append(f"Used: {progress.num_requests_used:,} requests, {tokens}{_cost(progress)}.")
    told = projection_line(progress.projection, progress.target)
    if told and ended_by != "target":
        lines.append(f"Still to come: {told}.")
    elif ended_by == "estimate":
        lines.append("What is still to come cannot be told: nothing was admitted, or a stage was not answered.")
    return lines


def _cost(progress: Progress) -> str:
    """Say what it cost; nothing where that is nothing, or unknown."""
    if not progress.cost:
        return ""
    each = progress.cost_per_example
    return f", {money(progress.cost)}" + (f" ({money(each)} an example)" if each is not None else "")


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
