"""A run at one moment, for the views to show."""

from __future__ import annotations

from fastinstruct.pipeline.monitoring.progress import Progress

PROGRESS = Progress(
    phase="generating",
    target=100,
    num_admitted=40,
    num_candidates=80,
    num_examples=30,
    num_with_examples=25,
    num_unreadable={},
    num_unexplained=0,
    rejected={},
    rejected_instances={},
    num_in_flight=61,
    num_waiting=0,
    num_failed_attempts=0,
    num_failed=0,
    num_dropped=0,
    prompt_tokens=0,
    completion_tokens=0,
    num_requests_used=0,
    num_tokens_used=0,
    cost=None,
    projection=None,
    elapsed_s=10.0,
    num_admitted_here=40,
    completion_tokens_here=1000,
)
