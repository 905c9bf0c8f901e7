"""How a run stands, also while it goes on: every figure of it."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from shlex import quote
from typing import Any

import yaml

from fastinstruct.files.against import loaded
from fastinstruct.pipeline.budget.ledger import Ledger, dollars
from fastinstruct.pipeline.budget.persistence import read_ledger
from fastinstruct.pipeline.monitoring.forecast import WINDOW, Forecast, Projection, Remaining
from fastinstruct.pipeline.monitoring.telemetry import loaded as loaded_telemetry
from fastinstruct.reading import whole_text
from fastinstruct.store import MetaKey, RunReader, Totals, recent, without_examples
from fastinstruct.store.queries.whole_run import Session, num_unknown_kinds, sessions

__all__ = ["status_of"]

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


def status_of(reader: RunReader, program: str) -> dict[str, Any]:
    """Return how a run stands, as one consistent state.

    Args:
        reader: the run.
        program: what a person calls to resume it.

    Raises:
        RunFolderError: the database is damaged.
    """
    target = _target(reader.folder)
    with reader.snapshot():
        totals = reader.totals()
        ledger = read_ledger(reader, totals)
        against = loaded(reader.meta(MetaKey.AGAINST))
        telemetry = loaded_telemetry(reader.meta(MetaKey.TELEMETRY))
        num_unknown = num_unknown_kinds(reader)
        held = sessions(reader)
        reasons = Counter(row.reason for row in without_examples(reader))
        projection = _projection(reader, totals, ledger, target, telemetry)
    is_being_written = reader.is_being_written()
    cost = None if ledger.cost is None else dollars(ledger.cost)
    num_known = totals.num_classified - num_unknown
    return {
        "run": str(reader.folder),
        "is_being_written": is_being_written,
        "state": _state(held, reader.folder, program, is_being_written=is_being_written),
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
        "sittings": [session._asdict() for session in held],
    }


def _state(held: Sequence[Session], folder: Path, program: str, *, is_being_written: bool) -> str:
    """Say whether it goes on, is finished, or was stopped by what, and how to go on."""
    if is_being_written:
        return "a process is writing to it"
    if not held:
        return "nothing was begun"
    ended_by = held[-1].ended_by
    if ended_by == "target":
        return "finished: target reached"
    why = "killed" if ended_by is None else _ENDED_BY.get(ended_by, str(ended_by))
    call = f"{program} run --config {quote(str(folder / 'config.yaml'))} --out {quote(str(folder))}"
    return f"stopped: {why}; resume with {call}"


def _target(folder: Path) -> int | None:
    """The target of the latest sitting; None where the folder does not say."""
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
    began = [datetime.fromisoformat(session.started_at).timestamp() for session in sessions(reader)]
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
