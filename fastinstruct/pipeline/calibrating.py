"""The threshold that stage 2 decides by in one run: the run's own, a cached one, or a fresh calibration in its budget.

A calibration is asked for as a whole or not at all: half of one is paid for and worth nothing.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import cast

from fastinstruct.errors import FastInstructError
from fastinstruct.lm.scheduler import Scheduler, Source
from fastinstruct.pipeline.accounts import Accounts
from fastinstruct.pipeline.deciding import Calibration, cached_calibration, calibrate, calibration_requests
from fastinstruct.pipeline.preparation import Preparation
from fastinstruct.pipeline.spending import Gate
from fastinstruct.pipeline.stop_rules import Stop
from fastinstruct.records import Stage
from fastinstruct.store import RunStore, damaged_meta

__all__ = ["run_threshold"]

_KEY = "stage2_threshold"


async def run_threshold(
    preparation: Preparation,
    store: RunStore,
    cache: Path,
    accounts: Accounts,
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
    stored = await asyncio.to_thread(store.get_meta, _KEY)
    if stored is not None:
        return stored_threshold(stored, store.path)
    found = cached_calibration(preparation, cache) or await _calibrate(preparation, cache, accounts, new_scheduler)
    if isinstance(found, Stop):
        return found
    await asyncio.to_thread(store.set_meta, _KEY, json.dumps(found.threshold))
    return found.threshold


def stored_threshold(told: str, path: Path) -> float | None:
    """Return the threshold that a run has stored; `path` is its database's.

    Raises:
        RunFolderError: it is damaged.
    """
    try:
        threshold = json.loads(told)
    except (ValueError, RecursionError) as error:
        raise damaged_meta(path, _KEY) from error
    if threshold is None or (type(threshold) in {int, float} and math.isfinite(threshold)):
        return cast(float | None, threshold)
    raise damaged_meta(path, _KEY)


async def _calibrate(
    preparation: Preparation, cache: Path, accounts: Accounts, new_scheduler: Callable[[], Scheduler[int]]
) -> Calibration | Stop:
    refusal = accounts.refusal(Stage.CLASSIFICATION, calibration_requests(preparation))
    if refusal is not None:
        return refusal
    scheduler, gates = new_scheduler(), list[Gate[int]]()

    def gated(source: Source[int]) -> Gate[int]:
        gates.append(accounts.gate(source, scheduler, is_sampled=False))
        return gates[-1]

    try:
        return await calibrate(preparation, scheduler, cache, gated)
    except FastInstructError:
        if gates and gates[-1].refused is not None:  # attempts failed, and their repetitions no longer fit
            return accounts.stop(gates[-1].refused)
        raise
    finally:
        await asyncio.to_thread(accounts.settle)
