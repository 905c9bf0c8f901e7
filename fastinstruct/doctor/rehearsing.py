"""Going the whole way once: each stage asked with its real prompt, its reply read as a run would read it.

Sends a request a stage (stage 3: one of either kind) after the questions that settle in what form replies are asked
for. Knows nothing of how findings are shown.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence

from fastinstruct.doctor.finding import Finding, Level
from fastinstruct.errors import FastInstructError
from fastinstruct.lm import Ok, Outcome, RetryPolicy
from fastinstruct.lm.process import read_in_thread_if_large
from fastinstruct.lm.scheduling.channel import Channel
from fastinstruct.lm.scheduling.fleet import Fleet
from fastinstruct.lm.scheduling.job import Job
from fastinstruct.lm.scheduling.scheduler import Scheduler, complete_all, detail_of
from fastinstruct.lm.transports.base import Transport
from fastinstruct.pipeline.models.reply_forms import FormProbes, described_forms
from fastinstruct.pipeline.preparation import Preparation
from fastinstruct.pipeline.stages.base import Item, Read, Stage, Task
from fastinstruct.pipeline.stages.bound import Stages
from fastinstruct.pipeline.stages.classify import IS_CLASSIFICATION
from fastinstruct.records import Rejection, ReplyForm

__all__ = ["Forms", "rehearse", "settle"]

Forms = Mapping[str, ReplyForm]

_MAX_ATTEMPTS = 3
_MAX_OUTAGE_S = 10.0  # whoever asks a doctor sits and waits
_MAX_SHOWN = 70
_ADVICE = "look at the reply above; try model.replies, prompts of your own (--prompts) or another model"


async def settle(
    preparation: Preparation, transports: Sequence[Transport], stages: Sequence[str]
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


async def rehearse(preparation: Preparation, transport: Transport, forms: Forms) -> list[Finding]:
    """Ask each of these stages once and say what was read out of its reply, and what was not."""
    findings = []
    stages = preparation.stages(forms)
    for title, job in _jobs(preparation, stages, forms):
        try:
            scheduler = _scheduler(Fleet.of(Channel.unlimited(transport)))
            [outcome] = await complete_all(scheduler, [job.request], job.about.stage)
        except FastInstructError as error:
            findings.append(Finding(name=title, level=Level.PROBLEM, found=str(error)))
            continue
        size = len(outcome.completion.text) if isinstance(outcome, Ok) else 0
        findings.append(await read_in_thread_if_large(size, _finding, title, stages, job.about, outcome))
    return findings


def _scheduler(fleet: Fleet) -> Scheduler[int]:
    policy = RetryPolicy(max_attempts=_MAX_ATTEMPTS)
    return Scheduler(fleet, max_in_flight=4, policy=policy, rng=random.Random(), max_outage_s=_MAX_OUTAGE_S)


def _jobs(preparation: Preparation, stages: Stages, forms: Forms) -> Iterator[tuple[str, Job[Task]]]:
    """What a run may begin with, and a label task, if the seeds hold one."""
    for number, (stage, item) in enumerate(preparation.first_items().items(), 1):
        if stage in forms:
            yield f"stage {number} reply", stages[stage].build(item)
    label = next((seed for seed in preparation.seeds if seed.is_classification), None)
    if label is not None:
        for stage in forms:
            if IS_CLASSIFICATION in preparation.recipe[stage].needs:
                item = Item(0, label.instruction, {IS_CLASSIFICATION: True})
                yield "label task reply", stages[stage].build(item)


def _finding(title: str, stages: Stages, task: Task, outcome: Outcome) -> Finding:
    if not isinstance(outcome, Ok):
        return Finding(name=title, level=Level.PROBLEM, found=detail_of(outcome))
    stage = stages[task.stage]
    read = stage.parse(outcome.completion, task)
    told = _in_words(stage, read, task)
    if read.is_unreadable:
        reply = _shortened(outcome.completion.text)
        found = f"nothing was read out of the reply {reply} ({read.stumbled_over})"
        return Finding(name=title, level=Level.WARNING, found=found, advice=_ADVICE)
    left = [f"not understood: {_shortened(read.rest)}"] if read.rest else []
    left += [f"stumbled over {read.stumbled_over}"] if read.stumbled_over else []
    if not left:
        return Finding(name=title, level=Level.OK, found=told)
    return Finding(name=title, level=Level.WARNING, found="; ".join([told, *left]), advice=_ADVICE)


def _in_words(stage: Stage, read: Read, task: Task) -> str:
    """What a run would make of a reply."""
    match stage.makes:
        case "candidates":
            good = [candidate.text for candidate in read.candidates if candidate.rejection is None]
            why = [candidate.rejection for candidate in read.candidates if candidate.rejection is not None]
            return _told("tasks", good, why)
        case "annotations":
            found = ", ".join(_annotation(name, one.value) for name, one in read.annotations.items())
            return f"read {found} for {_shortened(task.instruction)}"
        case "examples":
            pairs = [f"{one.input} -> {one.output}" if one.input else one.output for one in read.kept]
            return _told("examples", pairs, [why for _, why in read.rejected])


def _annotation(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{name} {json.dumps(value, ensure_ascii=False)}"


def _told(what: str, good: Sequence[str], why: Iterable[Rejection]) -> str:
    told = f"read {len(good)} {what if len(good) != 1 else what.removesuffix('s')}" + (
        f", such as {_shortened(good[0])}" if good else ""
    )
    reasons = [str(rejection.reason) for rejection in why]
    return f"{told}; rejected {len(reasons)}: {', '.join(dict.fromkeys(reasons))}" if reasons else told


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return f'"{line[:_MAX_SHOWN]}…"' if len(line) > _MAX_SHOWN else f'"{line}"'
