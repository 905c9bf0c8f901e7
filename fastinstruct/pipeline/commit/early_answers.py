"""An answer that came before its turn, as JSON: what of a delivery its job does not tell.

Pure. Knows nothing of where it is kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace

from fastinstruct.lm import Ok
from fastinstruct.lm.scheduling.job import Delivery, FailedAttempt, Job
from fastinstruct.pipeline.stages.base import Task
from fastinstruct.records import Completion, FinishReason, Usage
from fastinstruct.store import DrawRow, PendingDraw

__all__ = ["dumped_answer", "loaded_answer"]


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
    """Return the delivery that an answer was kept of; `job_of` writes its draw out."""
    assert pending.answer is not None
    kept = json.loads(pending.answer)
    told = kept["completion"]
    completion = Completion(
        text=told["text"],
        finish_reason=FinishReason(told["finish_reason"]),
        usage=Usage(**told["usage"]),
        model=told["model"],
        top_logprobs=told["top_logprobs"],
    )
    return Delivery(
        job=job_of(replace(pending.row, in_context=tuple(kept["in_context"]))),
        outcome=Ok(completion),
        failed=tuple(FailedAttempt(**attempt) for attempt in kept["failed"]),
        latency_s=kept["latency_s"],
    )
