"""`fastinstruct status`: how a run stands, also while it goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["status"]

_WIDTH = 16


def status(
    run: Annotated[Path | None, typer.Argument(help="The run's folder. Default: the newest under runs/.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show how a run stands.

    What was admitted and rejected, and why; requests, tokens and sittings.
    """
    from fastinstruct.cli.chosen_run import chosen_run
    from fastinstruct.cli.figures import projected
    from fastinstruct.cli.terminal import program, say, say_json
    from fastinstruct.store import RunReader
    from fastinstruct.views.status import status_of

    with RunReader(chosen_run(run)) as reader, reader.guarded():
        found = status_of(reader, program())
        if as_json:
            say_json({**found, "projection": projected(found["projection"])})
        else:
            say("\n".join(_lines(found)))


def _lines(found: Mapping[str, Any]) -> list[str]:
    """The same for people."""
    from fastinstruct.cli.figures import projection_line
    from fastinstruct.cli.terminal import labelled

    target = "unknown" if found["target"] is None else f"{found['target']:,} instructions"
    rate = "" if found["acceptance_rate"] is None else f" ({found['acceptance_rate']:.0%})"
    share = "" if found["classification_share"] is None else f" ({found['classification_share']:.0%} yes)"
    facts = {
        "run": found["run"],
        "state": found["state"],
        "target": target,
        "admitted": f"{found['num_admitted']:,} of {found['num_candidates']:,} candidates{rate}",
        "examples": f"{found['num_examples']:,} of {found['num_instantiated']:,} instructions",
        "classification": f"{found['num_classification']:,} yes, {found['num_not_classification']:,} no, "
        f"{found['num_unknown']:,} unknown{share}",
        "tokens": f"{found['prompt_tokens']:,} in, {found['completion_tokens']:,} out",
    }
    if found["num_tokens_used"]:
        facts["used"] = _used(found)
    if told := projection_line(found["projection"], found["target"] or 0):
        facts["still to come"] = told
    if found["against"]:
        num_texts = sum(file["num_texts"] for file in found["against"])
        facts["against"] = f"{num_texts:,} texts of {', '.join(file['file'] for file in found['against'])}"
    lines = [labelled(label, text, _WIDTH) for label, text in facts.items()]
    for stage, outcomes in found["requests"].items():
        lines += _section(f"requests, {stage}", outcomes)
    if found["num_unexplained"]:
        lines += ["", f"replies understood in part only: {found['num_unexplained']:,} (`inspect --unreadable`)"]
    lines += _section("instructions without an example", found["without_examples"])
    lines += _section("attempts that failed and were repeated", found["failed_attempts"])
    lines += _section("rejected instructions", found["rejected"])
    lines += _section("rejected instances", found["rejected_instances"])
    return [*lines, *_telemetry_lines(found["telemetry"]), *_sitting_lines(found)]


def _used(found: Mapping[str, Any]) -> str:
    """What counts towards a budget, and what that is for each example."""
    from fastinstruct.cli.figures import money

    used = [f"{found['num_requests_used']:,} requests", f"{found['num_tokens_used']:,} tokens"]
    each = [] if found["tokens_per_example"] is None else [f"{found['tokens_per_example']:,.0f} tokens"]
    if found["cost_dollars"]:
        used.append(money(found["cost_dollars"]))
        each += [] if found["cost_per_example_dollars"] is None else [money(found["cost_per_example_dollars"])]
    return ", ".join(used) + (f" ({', '.join(each)} an example)" if each else "")


def _section(title: str, counts: Mapping[str, int]) -> list[str]:
    from fastinstruct.cli.terminal import printable

    if not counts:
        return []
    return ["", f"{title}:", *(f"  {count:>9,}  {printable(name)}" for name, count in counts.items())]


def _telemetry_lines(told: Mapping[str, Any] | None) -> list[str]:
    """How slots, machine and endpoints of the latest sitting stood when its process last said so."""
    from fastinstruct.cli.terminal import labelled, printable
    from fastinstruct.cli.vitals import endpoint_lines, machine_line, slots_line

    if told is None:
        return []
    facts = {"slots": slots_line(told), "machine": machine_line(told)}
    lines = [labelled(label, text, len("machine: ")) for label, text in facts.items() if text]
    lines += endpoint_lines(told, is_long=True)
    return ["", f"latest sitting, as of {printable(str(told.get('at', 'an unknown time')))}:", *_indented(lines)]


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _sitting_lines(found: Mapping[str, Any]) -> list[str]:
    from fastinstruct.cli.terminal import printable

    if not found["sittings"]:
        return []
    lines = ["", "sittings:"]
    last = found["sittings"][-1]
    for sitting in found["sittings"]:
        if sitting["ended_at"] is not None:
            end = f"{sitting['ended_at']}  {sitting['ended_by']}"
        elif sitting is last and found["is_being_written"]:
            end = "now"
        else:
            end = "killed"
        lines.append(printable(f"  {sitting['started_at']} to {end}  {sitting['endpoint']}"))
    return lines
