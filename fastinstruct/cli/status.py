"""`fastinstruct status`: how a run stands, also while it goes on."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fastinstruct.pipeline.budget.ledger import Ledger
    from fastinstruct.pipeline.monitoring.forecast import Projection
    from fastinstruct.store import RunReader, Totals

__all__ = ["status"]

_WIDTH = 16
_ENDED_BY = {
    "estimate": "only an estimate was asked for",
    "interrupt": "interrupted",
    "terminate": "terminated",
    "failure": "failed",
    "max_cost": "--max-cost is used up",
    "max_tokens": "--max-tokens is used up",
    "max_requests": "--max-requests is used up",
    "max_time": "--max-time is over",
    "max_memory": "too little memory",
    "error_rate": "too many requests failed",
    "saturation": "run dry, the model gives hardly anything new",
    "unreadable": "too many replies were unreadable",
    "no_examples": "no instruction has an example",
    "abort": "aborted",
}
_UNKNOWN = "SELECT count(*) FROM annotation WHERE name = 'is_classification' AND value = 'null'"
_SITTINGS = "SELECT started_at FROM sitting ORDER BY id"


def status(
    run: Annotated[Path | None, typer.Argument(help="The run's folder. Default: the newest under runs/.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show how a run stands.

    What was admitted and rejected, and why; requests, tokens and sittings.
    """
    from fastinstruct.cli.chosen_run import chosen_run
    from fastinstruct.cli.figures import projected
    from fastinstruct.cli.terminal import say, say_json
    from fastinstruct.store import RunReader

    with RunReader(chosen_run(run)) as reader, reader.guarded():
        found = _status(reader)
        if as_json:
            say_json({**found, "projection": projected(found["projection"])})
        else:
            say("\n".join(_lines(found)))


def _status(reader: RunReader) -> dict[str, Any]:
    from fastinstruct.files.against import loaded
    from fastinstruct.pipeline.budget.ledger import dollars
    from fastinstruct.pipeline.budget.persistence import read_ledger
    from fastinstruct.pipeline.monitoring.telemetry import loaded as loaded_telemetry
    from fastinstruct.store import MetaKey, without_examples

    target = _target(reader.folder)
    with reader.snapshot():
        totals = reader.totals()
        ledger = read_ledger(reader, totals)
        against = loaded(reader.meta(MetaKey.AGAINST))
        telemetry = loaded_telemetry(reader.meta(MetaKey.TELEMETRY))
        ((num_unknown,),) = reader.rows(_UNKNOWN)
        sittings = list(
            reader.rows("SELECT started_at, ended_at, ended_by, version, endpoint FROM sitting ORDER BY id")
        )
        reasons = Counter(row.reason for row in without_examples(reader))
        projection = _projection(reader, totals, ledger, target, telemetry)
    is_being_written = reader.is_being_written()
    cost = None if ledger.cost is None else dollars(ledger.cost)
    num_known = totals.num_classified - num_unknown
    names = ("started_at", "ended_at", "ended_by", "version", "endpoint")
    return {
        "run": str(reader.folder),
        "is_being_written": is_being_written,
        "state": _state(sittings, reader.folder, is_being_written=is_being_written),
        "target": target,
        "num_admitted": totals.num_admitted,
        "num_candidates": totals.num_candidates,
        "acceptance_rate": _share(totals.num_admitted, totals.num_candidates),
        "num_examples": totals.num_examples,
        "num_instantiated": totals.num_instantiated,
        "without_examples": dict(reasons.most_common()),
        "num_unreadable": {
            stage: outcomes["unreadable"] for stage, outcomes in totals.requests.items() if "unreadable" in outcomes
        },
        "num_unexplained": totals.num_unexplained,
        "num_classification": totals.num_classification,
        "num_not_classification": num_known - totals.num_classification,
        "num_unknown": num_unknown,
        "classification_share": _share(totals.num_classification, num_known),
        "prompt_tokens": totals.prompt_tokens,
        "completion_tokens": totals.completion_tokens,
        "num_requests_used": ledger.num_requests,
        "num_tokens_used": ledger.num_tokens,
        "cost_dollars": cost,
        "tokens_per_example": _share(ledger.num_tokens, totals.num_examples),
        "cost_per_example_dollars": None if cost is None else _share(cost, totals.num_examples),
        "projection": projection,
        "requests": totals.requests,
        "failed_attempts": totals.failed_attempts,
        "against": [{"file": str(file.path), "num_texts": file.num_texts} for file in against],
        "rejected": totals.rejected,
        "rejected_instances": totals.rejected_instances,
        "telemetry": telemetry,
        "sittings": [dict(zip(names, row, strict=True)) for row in sittings],
    }


def _state(sittings: Sequence[Sequence[Any]], folder: Path, *, is_being_written: bool) -> str:
    """Say whether it goes on, is finished, or was stopped by what, and how to go on."""
    from shlex import quote

    from fastinstruct.cli.terminal import program

    if is_being_written:
        return "a process is writing to it"
    if not sittings:
        return "nothing was begun"
    ended_by = sittings[-1][2]
    if ended_by == "target":
        return "finished: target reached"
    why = "killed" if ended_by is None else _ENDED_BY.get(ended_by, str(ended_by))
    call = f"{program()} run --config {quote(str(folder / 'config.yaml'))} --out {quote(str(folder))}"
    return f"stopped: {why}; resume with {call}"


def _target(folder: Path) -> int | None:
    """The target of the latest sitting; None where the folder does not say."""
    import yaml

    from fastinstruct.reading import whole_text

    try:
        config = yaml.safe_load(whole_text(folder / "config.yaml"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return None
    target = config.get("target") if isinstance(config, dict) else None
    return target if isinstance(target, int) else None


def _projection(
    reader: RunReader, totals: Totals, ledger: Ledger, target: int | None, telemetry: Mapping[str, Any] | None
) -> Projection | None:
    """What reaching the target will still take, from the last requests; the pace is that of the sitting they are of."""
    from fastinstruct.pipeline.monitoring.forecast import WINDOW, Forecast, Remaining
    from fastinstruct.store import recent

    if target is None:
        return None
    stages = reader.stages()
    remaining = Remaining(
        num_to_admit=target - totals.num_admitted,
        num_to_ask={stage: totals.num_admitted - totals.num_answered.get(stage, 0) for stage in stages[1:]},
    )
    last = recent(reader, dict.fromkeys(stages, WINDOW))
    last_at = last[-1].finished_at if last else -math.inf
    # One that was answered nothing has no pace: a spent budget ends each further sitting at once.
    began = [datetime.fromisoformat(row[0]).timestamp() for row in reader.rows(_SITTINGS)]
    forecast = Forecast(stages, last, since=max((at for at in began if at <= last_at), default=math.inf))
    num_slots = (telemetry or {}).get("num_slots")
    return forecast.project(
        remaining,
        ledger,
        num_slots=num_slots if isinstance(num_slots, int) and num_slots > 0 else None,
        now=time.time() if reader.is_being_written() else None,
    )


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None


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
