"""How stage 2 will decide: the threshold on log-odds, asked for once per model and prompt and then remembered.

Also how well a model decides without one, by the text of its replies; `doctor` tells.

Sends requests through the scheduler it is given, reads and writes one small cache file; pure mathematics is in
`calibration`.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from fastinstruct.lm import Ok, Request
from fastinstruct.lm.off_loop import read_in_thread_if_large
from fastinstruct.lm.scheduler import Scheduler, Source, complete_all
from fastinstruct.pipeline.calibration import answer_accuracy, best_threshold, cross_validated_accuracy, log_odds
from fastinstruct.pipeline.preparation import Preparation
from fastinstruct.pipeline.reading import reading_of
from fastinstruct.reading import whole_text
from fastinstruct.records import ReplyForm, Stage

__all__ = [
    "Calibration",
    "TextAccuracy",
    "cached_calibration",
    "calibrate",
    "calibration_requests",
    "text_accuracy",
]

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
    stages = preparation.stages(with_logprobs=True)
    return [stages.classify(i, seed.instruction).request for i, seed in enumerate(preparation.held_out)]


async def calibrate(
    preparation: Preparation,
    scheduler: Scheduler[int],
    cache: Path,
    gate: Callable[[Source[int]], Source[int]] | None = None,
) -> Calibration:
    """Ask about the held-out seeds, through a gate if there is one, and fit the threshold.

    Raises:
        EndpointError: the server cannot be used.
        FastInstructError: the scheduler was stopped, or the gate closed, before all were answered.
    """
    seeds = preparation.held_out
    outcomes = await complete_all(scheduler, calibration_requests(preparation), Stage.CLASSIFICATION, gate)
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
    preparation: Preparation, scheduler: Scheduler[int], forms: Mapping[Stage, ReplyForm] | None = None
) -> TextAccuracy:
    """Ask about the held-out seeds and read the replies, asked for in these forms, as a run would.

    Raises:
        EndpointError: the server cannot be used.
    """
    stages = preparation.stages(forms, with_logprobs=False)
    reading = reading_of(preparation.config, preparation.api)
    jobs = [stages.classify(i, seed.instruction) for i, seed in enumerate(preparation.held_out)]
    outcomes = await complete_all(scheduler, [job.request for job in jobs], Stage.CLASSIFICATION)
    answers: dict[bool, list[bool | None]] = {True: [], False: []}
    for seed, job, outcome in zip(preparation.held_out, jobs, outcomes, strict=True):
        if isinstance(outcome, Ok):
            size = len(outcome.completion.text)
            read = await read_in_thread_if_large(size, reading.classification, outcome.completion, job.about)
            answers[seed.is_classification is True].append(read.found)
    yes, no = answers[True], answers[False]
    return TextAccuracy(
        balanced_accuracy=answer_accuracy(yes, no) if yes and no else None,
        num_seeds=len(yes) + len(no),
        num_unread=[*yes, *no].count(None),
    )


def _path(preparation: Preparation, cache: Path) -> Path:
    """Name the cache file after all that the answer depends on."""
    parts = [
        json.dumps(preparation.models[Stage.CLASSIFICATION].identity(), sort_keys=True),
        str(preparation.config.model_of(Stage.CLASSIFICATION).base_url),
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
