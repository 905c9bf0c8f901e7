"""In what form each stage's replies are asked for: settled before the first draw, for all sittings of a run.

Prompts are written before an endpoint is chosen, and a change in mid-run would let the data depend on which server
answered. So each endpoint of a stage is asked once what it bears, with the stage's own prompt, and the lowest form that
all of them bear is taken: JSON by schema, else any JSON object, else text. A reply that is no JSON counts as ignoring
what was asked.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from fastinstruct.errors import EndpointError, FastInstructError, ProtocolMismatch, ReplyFormRefused
from fastinstruct.lm import BadRequest, Ok, Outcome, Request, Transient, unreachable_error
from fastinstruct.lm.process import read_in_thread_if_large
from fastinstruct.lm.scheduling.channel import Channel
from fastinstruct.lm.scheduling.fleet import Fleet
from fastinstruct.lm.scheduling.scheduler import Scheduler, complete_all, detail_of
from fastinstruct.lm.scheduling.statistics import SchedulerStatistics
from fastinstruct.pipeline.budget.budget import Budget
from fastinstruct.pipeline.budget.stop_rules import Stop
from fastinstruct.pipeline.preparation import Preparation
from fastinstruct.pipeline.stages.base import Stage
from fastinstruct.records import ReplyForm
from fastinstruct.store import MetaKey, RunStore, damaged_meta
from fastinstruct.text.structured import satisfies

__all__ = ["FormProbes", "described_forms", "settled_forms", "stored_forms"]

_MAX_EMPTY = 2  # a model that thinks may have thought too long once
_BROKEN_OFF = "its reply began as JSON and broke off"
_LOWEST_FIRST = (ReplyForm.TEXT, ReplyForm.JSON_OBJECT, ReplyForm.JSON_SCHEMA)
_WORDS = {
    ReplyForm.JSON_SCHEMA: "JSON by schema",
    ReplyForm.JSON_OBJECT: "JSON",
    ReplyForm.TEXT: "text",
}

Forms = Mapping[str, ReplyForm]


def described_forms(forms: Forms) -> str:
    """Say in a line how replies are asked for."""
    if len(set(forms.values())) == 1:
        return f"replies are asked for as {_WORDS[next(iter(forms.values()))]}"
    return "replies are asked for as " + ", ".join(f"{_WORDS[form]} ({stage})" for stage, form in forms.items())


def stored_forms(told: str | None, stages: Sequence[str]) -> Forms | None:
    """Return what a run of these stages has settled, from its store's value; None where it has not yet.

    Raises:
        ValueError: it is damaged.
    """
    if told is None:
        return None
    try:
        stored = json.loads(told)
        return {stage: ReplyForm(stored.get(stage, ReplyForm.TEXT)) for stage in stages}
    except (AttributeError, TypeError, RecursionError) as error:
        raise ValueError("no forms") from error


async def settled_forms(
    preparation: Preparation, store: RunStore, fleet: Fleet, budget: Budget, probes: FormProbes
) -> Forms | Stop:
    """Return the form of each stage's replies: the run's own, or what its endpoints bear, which is stored then.

    Returns:
        The forms, or the limit that asking would break.

    Raises:
        EndpointError: a server cannot be used, or answers in no JSON where `model.replies` is `json`.
        RunFolderError: what is stored is damaged.
        FastInstructError: it was stopped before all was answered.
    """
    told = await asyncio.to_thread(store.get_meta, MetaKey.REPLY_FORMS)
    try:
        known = stored_forms(told, preparation.recipe.names)
    except ValueError as error:
        raise damaged_meta(store.path, MetaKey.REPLY_FORMS) from error
    if known is not None:
        return known
    try:
        found = await probes.ask(preparation, fleet, budget)
    finally:
        await asyncio.to_thread(budget.write_off)
    if not isinstance(found, Stop):
        await asyncio.to_thread(store.set_meta, MetaKey.REPLY_FORMS, json.dumps(found))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Probe:
    """One question to one endpoint: the stage's own, in each form that is wanted, the most certain first."""

    stage: Stage
    channel: Channel
    requests: tuple[tuple[ReplyForm, Request], ...]
    must_be_json: bool


class FormProbes:
    """Asks endpoints what they bear; may be stopped meanwhile, as a scheduler may.

    Args:
        new_scheduler: makes what sends one question.
    """

    def __init__(self, new_scheduler: Callable[[Fleet], Scheduler[int]]) -> None:
        self._new_scheduler = new_scheduler
        self._running: set[Scheduler[int]] = set()
        self._is_stopping = False

    def stop(self) -> None:
        """Ask nothing more; finish what is in flight."""
        self._is_stopping = True
        for scheduler in tuple(self._running):
            scheduler.stop()

    def abort(self) -> None:
        """Drop what is in flight."""
        self._is_stopping = True
        for scheduler in tuple(self._running):
            scheduler.abort()

    def statistics(self) -> SchedulerStatistics:
        """Return the counters of what is being asked now."""
        all_ = [scheduler.statistics() for scheduler in self._running]
        return SchedulerStatistics(
            num_in_flight=sum(one.num_in_flight for one in all_),
            num_waiting=sum(one.num_waiting for one in all_),
            num_attempts=sum(one.num_attempts for one in all_),
            num_failed_attempts=sum(one.num_failed_attempts for one in all_),
        )

    async def ask(
        self,
        preparation: Preparation,
        fleet: Fleet,
        budget: Budget | None,
        stages: Iterable[str] | None = None,
    ) -> Forms | Stop:
        """Return the lowest form that all endpoints of each stage bear, or the limit that asking would break.

        Args:
            preparation: says which forms are wanted, and what each stage's prompts are.
            fleet: the endpoints.
            budget: the one that asking has to fit; None sets none.
            stages: those to ask about, by default all; the others are taken for text.

        Raises:
            EndpointError, FastInstructError: as `settled_forms` says.
        """
        names = preparation.recipe.names
        forms = dict.fromkeys(names, ReplyForm.TEXT)
        probes = list(_probes(preparation, fleet, names if stages is None else stages))
        channels = dict.fromkeys(probe.channel for probe in probes)
        asking = [self._all_borne([p for p in probes if p.channel is channel], budget) for channel in channels]
        answers = await asyncio.gather(*asking, return_exceptions=True)
        borne: dict[str, list[ReplyForm]] = {}
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            if isinstance(answer, Stop):
                return answer
            for stage, form in answer:
                borne.setdefault(stage, []).append(form)
        return forms | {stage: min(found, key=_LOWEST_FIRST.index) for stage, found in borne.items()}

    async def _all_borne(self, probes: Iterable[_Probe], budget: Budget | None) -> list[tuple[str, ReplyForm]] | Stop:
        """Ask one endpoint about one stage after another: it may have one slot."""
        borne = []
        for probe in probes:
            found = await self._borne(probe, budget)
            if isinstance(found, Stop):
                return found
            borne.append((probe.stage.name, found))
        return borne

    async def _borne(self, probe: _Probe, budget: Budget | None) -> ReplyForm | Stop:
        """Step down until a form is borne.

        Where it must be JSON, a form is good enough that a reply kept to until it broke off: a small model may do so
        now and then.
        """
        why, broken_off = "", None
        for form, request in probe.requests:
            told = await self._tried(probe, form, request, budget)
            if isinstance(told, Stop):
                return told
            if not told:
                return form
            if told == _BROKEN_OFF and broken_off is None:
                broken_off = form
            why = told
        if probe.must_be_json:
            if broken_off is not None:
                return broken_off
            raise ProtocolMismatch(
                f"{probe.channel.address}: model.replies is json, and stage {probe.stage.name} is not answered in JSON "
                f"({why}); set model.replies to auto or text"
            )
        return ReplyForm.TEXT

    async def _tried(self, probe: _Probe, form: ReplyForm, request: Request, budget: Budget | None) -> str | Stop:
        """Ask in one form; return why it is not borne, "" if it is, or the limit that asking would break."""
        outcome: Outcome | Stop | str = ""
        for number in range(_MAX_EMPTY):
            asked = replace(request, key=f"form:{probe.stage.name}:{form}:{id(probe.channel)}:{number}")
            outcome = await self._sent(probe, asked, budget)
            if not (isinstance(outcome, BadRequest) and outcome.kind == "empty_reply"):
                break
        if isinstance(outcome, Stop | str):
            return outcome
        if isinstance(outcome, Ok):
            text = outcome.completion.text
            return await read_in_thread_if_large(len(text), _not_borne, probe.stage, form, request, text)
        if isinstance(outcome, BadRequest):
            if outcome.kind == "empty_reply":
                raise ProtocolMismatch(f"{probe.channel.address}: stage {probe.stage.name}: {detail_of(outcome)}")
            return detail_of(outcome)  # the form may be why: if it is not, the first request in the next one tells
        if isinstance(outcome, Transient) and outcome.kind == "malformed":
            return detail_of(outcome)  # such as Groq's failed constrained decoding
        raise unreachable_error(outcome, probe.channel.address)

    async def _sent(self, probe: _Probe, request: Request, budget: Budget | None) -> Outcome | Stop | str:
        """Send one question within the budget: its outcome, the limit that it breaks, or the server's refusal."""
        if self._is_stopping:
            raise FastInstructError("stopped before every request was answered")
        scheduler = self._new_scheduler(Fleet.of(probe.channel))
        self._running.add(scheduler)
        try:
            return (await complete_all(scheduler, [request], probe.stage.name))[0]
        except ReplyFormRefused as error:
            return str(error)
        except EndpointError:
            raise
        except FastInstructError:
            refused = scheduler.refused
            if budget is not None and refused is not None and (stop := budget.refusal(refused.lane, [request])):
                return stop
            raise
        finally:
            self._running.discard(scheduler)
            probe.channel.forget_refusals()


def _probes(preparation: Preparation, fleet: Fleet, stages: Iterable[str]) -> Iterator[_Probe]:
    """What to ask: each stage whose form is open, at each endpoint that serves it."""
    for stage in stages:
        wanted = preparation.wanted_forms(stage)
        asked = [form for form in wanted if form is not ReplyForm.TEXT]
        if not asked:
            continue
        item = preparation.first_items()[stage]
        bound = {form: preparation.stages({stage: form})[stage] for form in asked}
        requests = tuple((form, bound[form].build(item).request) for form in asked)
        must_be_json = ReplyForm.TEXT not in wanted
        for channel in fleet.serving(stage):
            yield _Probe(stage=bound[asked[0]], channel=channel, requests=requests, must_be_json=must_be_json)


def _not_borne(stage: Stage, form: ReplyForm, request: Request, text: str) -> str:
    """Why a reply shows that the form is not borne; "" if it is."""
    assert request.reply_format is not None  # text is not probed
    if form is ReplyForm.JSON_OBJECT:
        return "" if stage.gives_something(text) else "its reply is not the JSON that was asked for"
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _BROKEN_OFF if text.lstrip().startswith("{") else "its reply is no JSON"
    return "" if satisfies(request.reply_format.schema, value) else "its reply does not keep to the schema"
