"""An answer that came before its turn, as JSON: what of a delivery its job does not tell.

Pure. Knows nothing of where it is kept. Guarantees: whatever stands there is the answer of a delivery that a server
could have given, counts within their bound, or it is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Final

from fastinstruct.lm import Ok
from fastinstruct.lm.scheduling.job import Delivery, FailedAttempt, Job
from fastinstruct.lm.transports.reported import kept_usage
from fastinstruct.pipeline.stages.base import Task
from fastinstruct.records import Completion, FinishReason
from fastinstruct.store import DrawRow, PendingDraw

__all__ = ["dumped_answer", "loaded_answer"]

_LONGEST_S: Final = 1e9
_LARGEST: Final = 1e300  # as `lm.transports.reported` has it


def dumped_answer(delivery: Delivery[Task]) -> str:
    """Return what to keep of an answered delivery."""
    assert isinstance(delivery.outcome, Ok)
    kept = {
        "completion": asdict(delivery.outcome.completion),
        "failed": [asdict(attempt) for attempt in delivery.failed],
        "latency_s": delivery.latency_s,
        "in_context": delivery.job.about.in_context,  # fewer than were drawn, if the model's context was too small
    }
    return json.dumps(kept)  # in ASCII: a server's words may hold what SQLite does not take for text


def loaded_answer(pending: PendingDraw, job_of: Callable[[DrawRow], Job[Task]]) -> Delivery[Task]:
    """Return the delivery that an answer was kept of; `job_of` writes its draw out.

    Raises:
        ValueError: what was kept is no answer.
    """
    assert pending.answer is not None
    try:
        return _delivery(json.loads(pending.answer), pending.row, job_of)
    except (IndexError, RecursionError) as error:  # a task that the pool does not hold; nested too deeply
        raise ValueError(str(error)) from error


def _delivery(kept: object, row: DrawRow, job_of: Callable[[DrawRow], Job[Task]]) -> Delivery[Task]:
    match kept:
        case {
            "completion": dict(told),
            "failed": list(failed),
            "latency_s": float() | int() as latency_s,
            "in_context": list(positions),
        } if 0 <= latency_s < _LONGEST_S and all(type(position) is int for position in positions):
            return Delivery(
                job=job_of(replace(row, in_context=tuple(positions))),
                outcome=Ok(_completion(told)),
                failed=tuple(map(_failed_attempt, failed)),
                latency_s=latency_s,
            )
    raise ValueError("no answer")


def _completion(told: object) -> Completion:
    match told:
        case {"text": str(text), "finish_reason": str(reason), "usage": usage, "model": str(model), **more}:
            return Completion(
                text=text,
                finish_reason=FinishReason(reason),
                usage=kept_usage(usage),
                model=model,
                top_logprobs=_logprobs(more.get("top_logprobs")),
            )
    raise ValueError("no completion")


def _logprobs(told: object) -> dict[str, float] | None:
    if told is None:
        return None
    if isinstance(told, dict) and all(
        isinstance(value, float | int) and abs(value) < _LARGEST for value in told.values()
    ):
        return told
    raise ValueError("no log-probabilities")


def _failed_attempt(told: object) -> FailedAttempt:
    match told:
        case {
            "attempt": int(attempt),
            "outcome": str(outcome),
            "detail": str(detail),
            "latency_s": float() | int() as latency_s,
        } if 0 <= latency_s < _LONGEST_S:
            return FailedAttempt(attempt=attempt, outcome=outcome, detail=detail, latency_s=latency_s)
    raise ValueError("no attempt")
