"""The threshold that stage 2 decides by in one run: the run's own, a cached one, or a fresh calibration in its budget.

A calibration is asked for as a whole or not at all: half of one is paid for and worth nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

from fastinstruct.errors import FastInstructError
from fastinstruct.lm.scheduling.scheduler import Scheduler
from fastinstruct.pipeline.budget.budget import Budget
from fastinstruct.pipeline.budget.stop_rules import Stop
from fastinstruct.pipeline.models.calibrate import Calibration, cached_calibration, calibrate, calibration_requests
from fastinstruct.pipeline.preparation import Preparation
from fastinstruct.pipeline.stages.classify import Classify
from fastinstruct.store import MetaKey, RunStore

__all__ = ["run_threshold"]


async def run_threshold(
    preparation: Preparation,
    store: RunStore,
    cache: Path,
    budget: Budget,
    new_scheduler: Callable[[], Scheduler[int]],
) -> float | Stop | None:
    """Return the log-odds above which stage 2 says yes, for all sittings of a run.

    Returns:
        The threshold; None where the endpoint gives no usable log-probabilities; or the limit that a calibration would
        break.

    Raises:
        EndpointError: the server cannot be used.
        FastInstructError: the scheduler was stopped before all was answered.
    """
    stored = await asyncio.to_thread(store.get_meta, MetaKey.THRESHOLD)
    if stored is not None:
        return cast(float | None, json.loads(stored))
    found = cached_calibration(preparation, cache) or await _calibrate(preparation, cache, budget, new_scheduler)
    if isinstance(found, Stop):
        return found
    await asyncio.to_thread(store.set_meta, MetaKey.THRESHOLD, json.dumps(found.threshold))
    return found.threshold


async def _calibrate(
    preparation: Preparation, cache: Path, budget: Budget, new_scheduler: Callable[[], Scheduler[int]]
) -> Calibration | Stop:
    refusal = budget.refusal(Classify.name, calibration_requests(preparation))
    if refusal is not None:
        return refusal
    scheduler = new_scheduler()
    try:
        return await calibrate(preparation, scheduler, cache)
    except FastInstructError:
        # Attempts failed, and their repetitions no longer fit.
        if scheduler.refused is not None and (stop := budget.refusal(Classify.name, [scheduler.refused.request])):
            return stop
        raise
    finally:
        await asyncio.to_thread(budget.write_off)
