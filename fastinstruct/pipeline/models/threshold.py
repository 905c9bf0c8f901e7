"""The threshold that stage 2 decides by in one run: the run's own, a cached one, or a fresh calibration in its budget.

A calibration is asked for as a whole or not at all: half of one is paid for and worth nothing. It is asked for once per
model and prompt and then remembered in one small file of the cache; pure mathematics is in `stages.calibration`. Also
how well a model decides without one, by the text of its replies; `doctor` tells.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from fastinstruct.errors import FastInstructError
from fastinstruct.lm import Ok, Request
from fastinstruct.lm.process import read_in_thread_if_large
from fastinstruct.lm.scheduling.scheduler import Scheduler, complete_all
from fastinstruct.pipeline.budget.budget import Budget
from fastinstruct.pipeline.budget.stop_rules import Stop
from fastinstruct.pipeline.preparation import Preparation
from fastinstruct.pipeline.stages.base import Item
from fastinstruct.pipeline.stages.calibration import answer_accuracy, best_threshold, cross_validated_accuracy, log_odds
from fastinstruct.pipeline.stages.classify import IS_CLASSIFICATION, Classify
from fastinstruct.reading import whole_text
from fastinstruct.records import ReplyForm
from fastinstruct.store import MetaKey, RunStore, damaged_meta

__all__ = [
    "Calibration",
    "TextAccuracy",
    "cached_calibration",
    "calibrate",
    "calibration_requests",
    "run_threshold",
    "stored_threshold",
    "text_accuracy",
]


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
        RunFolderError: what is stored is damaged.
        FastInstructError: the scheduler was stopped before all was answered.
    """
    stored = await asyncio.to_thread(store.get_meta, MetaKey.THRESHOLD)
    if stored is not None:
        return stored_threshold(stored, store.path)
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


def stored_threshold(told: str, path: Path) -> float | None:
    """Return the threshold that a run has stored; `path` is its database's.

    Raises:
        RunFolderError: it is damaged.
    """
    try:
        threshold = json.loads(told)
    except (ValueError, RecursionError) as error:
        raise damaged_meta(path, MetaKey.THRESHOLD) from error
    if threshold is None or (type(threshold) in {int, float} and math.isfinite(threshold)):
        return cast(float | None, threshold)
    raise damaged_meta(path, MetaKey.THRESHOLD)


_MOST_BYTES = 1 << 16  # of the cache's file
_MIN_OF_EACH = 3  # with fewer answers of a kind there is nothing to fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What stage 2 found out about a model.

    Attributes:
        threshold: log-odds above which the answer is yes; None where the endpoint gives no usable log-probabilities,
            so that the reply's text decides.
        balanced_accuracy: on held-out seeds that the threshold was not fitted on (two folds).
        num_seeds: how many held-out seeds were asked.
    """

    threshold: float | None
    balanced_accuracy: float | None
    num_seeds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TextAccuracy:
    """How well a model's replies, read as text, tell classification tasks among held-out seeds.

    Attributes:
        balanced_accuracy: None where no reply came.
        num_seeds: how many held-out seeds were answered.
        num_unread: how many of these answers hold neither yes nor no.
    """

    balanced_accuracy: float | None
    num_seeds: int
    num_unread: int


def cached_calibration(preparation: Preparation, cache: Path) -> Calibration | None:
    """Return what an earlier run with the same model, prompt and seeds found, if the cache still has it."""
    try:
        return Calibration(**json.loads(whole_text(_path(preparation, cache), _MOST_BYTES)))
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def calibration_requests(preparation: Preparation) -> list[Request]:
    """Return what `calibrate` asks: one question about each held-out seed, at most 40 by default."""
    stage = preparation.stages(with_logprobs=True)[Classify.name]
    return [stage.build(Item(i, seed.instruction)).request for i, seed in enumerate(preparation.held_out)]


async def calibrate(
    preparation: Preparation,
    scheduler: Scheduler[int],
    cache: Path,
) -> Calibration:
    """Ask about the held-out seeds and fit the threshold.

    Raises:
        EndpointError: the server cannot be used.
        FastInstructError: the scheduler was stopped before all were answered.
    """
    seeds = preparation.held_out
    outcomes = await complete_all(scheduler, calibration_requests(preparation), Classify.name)
    odds = [log_odds(o.completion.top_logprobs) if isinstance(o, Ok) else None for o in outcomes]
    yes = [value for value, seed in zip(odds, seeds, strict=True) if value is not None and seed.is_classification]
    no = [value for value, seed in zip(odds, seeds, strict=True) if value is not None and not seed.is_classification]
    if min(len(yes), len(no)) < _MIN_OF_EACH:
        return Calibration(threshold=None, balanced_accuracy=None, num_seeds=len(seeds))
    found = Calibration(
        threshold=best_threshold(yes, no),
        balanced_accuracy=cross_validated_accuracy(yes, no),
        num_seeds=len(yes) + len(no),
    )
    with suppress(OSError):  # a cache that cannot be written costs forty short requests next time
        _write(_path(preparation, cache), json.dumps(asdict(found)))
    return found


async def text_accuracy(
    preparation: Preparation, scheduler: Scheduler[int], forms: Mapping[str, ReplyForm] | None = None
) -> TextAccuracy:
    """Ask about the held-out seeds and read the replies, asked for in these forms, as a run would.

    Raises:
        EndpointError: the server cannot be used.
    """
    stage = preparation.stages(forms)[Classify.name]
    jobs = [stage.build(Item(i, seed.instruction)) for i, seed in enumerate(preparation.held_out)]
    outcomes = await complete_all(scheduler, [job.request for job in jobs], Classify.name)
    answers: dict[bool, list[bool | None]] = {True: [], False: []}
    for seed, job, outcome in zip(preparation.held_out, jobs, outcomes, strict=True):
        if isinstance(outcome, Ok):
            size = len(outcome.completion.text)
            read = await read_in_thread_if_large(size, stage.parse, outcome.completion, job.about)
            answers[seed.is_classification is True].append(read.annotations[IS_CLASSIFICATION].value)
    yes, no = answers[True], answers[False]
    return TextAccuracy(
        balanced_accuracy=answer_accuracy(yes, no) if yes and no else None,
        num_seeds=len(yes) + len(no),
        num_unread=[*yes, *no].count(None),
    )


def _path(preparation: Preparation, cache: Path) -> Path:
    """Name the cache file after all that the answer depends on."""
    parts = [
        json.dumps(preparation.models[Classify.name].identity(), sort_keys=True),
        str(preparation.config.model_of(Classify.name).base_url),
        preparation.prompts.fingerprints()["classification"],
        *(seed.instruction for seed in preparation.held_out),
    ]
    digest = hashlib.sha256("\x00".join(parts).encode("utf-8", "replace")).hexdigest()
    return cache / "calibration" / f"{digest[:32]}.json"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).replace(path)
