"""Going the whole way once: each stage asked with its real prompt, its reply read as a run would read it.

Sends a request a stage (stage 3: one of either kind) after the questions that settle in what form replies are asked
for. Knows nothing of how findings are shown.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fastinstruct.doctor.finding import Finding, Level
from fastinstruct.errors import FastInstructError
from fastinstruct.lm import HttpTransport, Ok, Outcome, RetryPolicy
from fastinstruct.lm.process.off_loop import read_in_thread_if_large
from fastinstruct.lm.scheduling.channel import Channel
from fastinstruct.lm.scheduling.fleet import Fleet
from fastinstruct.lm.scheduling.job import Job
from fastinstruct.lm.scheduling.scheduler import Scheduler, complete_all, detail_of
from fastinstruct.pipeline.models.reply_forms import FormProbes, described_forms
from fastinstruct.pipeline.preparation import Preparation, first_jobs
from fastinstruct.pipeline.stages.reading import Read, reading_of
from fastinstruct.pipeline.stages.requests import Task
from fastinstruct.records import Completion, Rejection, ReplyForm, Stage

__all__ = ["Forms", "rehearse", "settle"]

Forms = Mapping[Stage, ReplyForm]

_MAX_ATTEMPTS = 3
_MAX_OUTAGE_S = 10.0  # whoever asks a doctor sits and waits
_MAX_SHOWN = 70
_ADVICE = "look at the reply above; try model.replies, prompts of your own (--prompts) or another model"


async def settle(
    preparation: Preparation, transports: Sequence[HttpTransport], stages: Sequence[Stage]
) -> tuple[Forms, Finding]:
    """Return in what form these endpoints bear each stage's replies to be asked for, and the same as a finding.

    Raises:
        EndpointError: a server cannot be used, or answers in no JSON where `model.replies` is `json`.
    """
    fleet = Fleet.of(*(Channel.unlimited(transport) for transport in transports))
    found = await FormProbes(_scheduler).ask(preparation, fleet, None, stages)
    assert isinstance(found, Mapping)  # without accounts there is no limit to break
    forms = {stage: found[stage] for stage in stages}
    return forms, Finding(name="replies", level=Level.OK, found=described_forms(forms))


async def rehearse(preparation: Preparation, transport: HttpTransport, forms: Forms) -> list[Finding]:
    """Ask each of these stages once and say what was read out of its reply, and what was not."""
    findings = []
    for title, job in _jobs(preparation, forms):
        try:
            scheduler = _scheduler(Fleet.of(Channel.unlimited(transport)))
            [outcome] = await complete_all(scheduler, [job.request], job.about.stage)
        except FastInstructError as error:
            findings.append(Finding(name=title, level=Level.PROBLEM, found=str(error)))
            continue
        size = len(outcome.completion.text) if isinstance(outcome, Ok) else 0
        findings.append(await read_in_thread_if_large(size, _finding, title, preparation, job.about, outcome))
    return findings


def _scheduler(fleet: Fleet) -> Scheduler[int]:
    policy = RetryPolicy(max_attempts=_MAX_ATTEMPTS)
    return Scheduler(fleet, max_in_flight=4, policy=policy, rng=random.Random(), max_outage_s=_MAX_OUTAGE_S)


def _jobs(preparation: Preparation, forms: Forms) -> Iterator[tuple[str, Job[Task]]]:
    """What a run may begin with, and a label task, if the seeds hold one."""
    for stage, job in first_jobs(preparation, forms).items():
        if stage in forms:
            yield f"stage {list(Stage).index(stage) + 1} reply", job
    label = next((seed for seed in preparation.seeds if seed.is_classification), None)
    if label is not None and Stage.INSTANCES in forms:
        stages = preparation.stages(forms, with_logprobs=False)
        yield "label task reply", stages.instantiate(0, label.instruction, is_classification=True)


def _finding(title: str, preparation: Preparation, task: Task, outcome: Outcome) -> Finding:
    if not isinstance(outcome, Ok):
        return Finding(name=title, level=Level.PROBLEM, found=detail_of(outcome))
    read, told = _read(preparation, task, outcome.completion)
    if read.is_unreadable:
        reply = _shortened(outcome.completion.text)
        found = f"nothing was read out of the reply {reply} ({read.stumbled_over})"
        return Finding(name=title, level=Level.WARNING, found=found, advice=_ADVICE)
    left = [f"not understood: {_shortened(read.rest)}"] if read.rest else []
    left += [f"stumbled over {read.stumbled_over}"] if read.stumbled_over else []
    if not left:
        return Finding(name=title, level=Level.OK, found=told)
    return Finding(name=title, level=Level.WARNING, found="; ".join([told, *left]), advice=_ADVICE)


def _read(preparation: Preparation, task: Task, completion: Completion) -> tuple[Read[Any], str]:
    """What a run would make of a reply, and that in words."""
    reading = reading_of(preparation.config, preparation.api, preparation.prompts.phrases())
    match task.stage:
        case Stage.INSTRUCTIONS:
            candidates = reading.instructions(completion, task)
            good = [candidate.text for candidate in candidates.found if candidate.rejection is None]
            why = [candidate.rejection for candidate in candidates.found if candidate.rejection is not None]
            return candidates, _told("tasks", good, why)
        case Stage.CLASSIFICATION:
            answer = reading.classification(completion, task)
            return answer, f"read {'yes' if answer.found else 'no'} for {_shortened(task.instruction)}"
        case Stage.INSTANCES:
            sifted = reading.instances(completion, task, random.Random)
            pairs = [f"{one.input} -> {one.output}" if one.input else one.output for one in sifted.found.kept]
            return sifted, _told("examples", pairs, [why for _, why in sifted.found.rejected])


def _told(what: str, good: Sequence[str], why: Iterable[Rejection]) -> str:
    told = f"read {len(good)} {what if len(good) != 1 else what.removesuffix('s')}" + (
        f", such as {_shortened(good[0])}" if good else ""
    )
    reasons = [str(rejection.reason) for rejection in why]
    return f"{told}; rejected {len(reasons)}: {', '.join(dict.fromkeys(reasons))}" if reasons else told


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return f'"{line[:_MAX_SHOWN]}…"' if len(line) > _MAX_SHOWN else f'"{line}"'
