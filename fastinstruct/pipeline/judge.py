"""The one admission authority: an answer in, verdicts and rows out.

Owned by the similarity thread, so answers are judged one after another in the order they are handed over, and of two
twins in flight one is always judged against the other. Knows nothing of HTTP or SQLite. A bug in a parser costs one
answer, which stays in the store with what went wrong; any other ends the run.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from fastinstruct.errors import Aborted, FilterFailed
from fastinstruct.escaping import package_logger
from fastinstruct.lm import Ok
from fastinstruct.lm.scheduler import Delivery, detail_of
from fastinstruct.pipeline.calibration import is_yes, log_odds
from fastinstruct.pipeline.pool import random_stream
from fastinstruct.pipeline.reading import Read, Reading
from fastinstruct.pipeline.stages import Task
from fastinstruct.records import Candidate, Completion, Example, Instance, Rejection, RejectReason, Stage
from fastinstruct.similarity import RougeIndex, Verdict, Verdicts
from fastinstruct.store import (
    FINAL,
    AttemptRow,
    CandidateRow,
    ClassificationRow,
    Commit,
    InstanceRow,
    InstructionRow,
    RequestRow,
)
from fastinstruct.text.custom_filters import CustomFilter
from fastinstruct.text.repeated_outputs import RepeatedOutputs
from fastinstruct.text.sifting import Sifted

__all__ = ["Judge", "examples_of"]

_LOG = package_logger("fastinstruct.pipeline")
_MAX_DETAIL = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class _Derived:
    """What one answer came to."""

    candidates: tuple[CandidateRow, ...] = ()
    instructions: tuple[InstructionRow, ...] = ()
    classification: ClassificationRow | None = None
    instances: tuple[InstanceRow, ...] = ()
    is_unreadable: bool = False
    rest: str = ""
    stumbled_over: str = ""


class Judge:
    """Turns deliveries into commits. One thread at a time may use it.

    Args:
        reading: the profile's parsers and filters.
        index: holds the seeds and every admitted instruction, in pool order.
        num_seeds: how many of the index's texts are seeds.
        rng_seed: the run's seed.
        threshold: the log-odds above which stage 2 says yes; None where it reads the reply's text.
        next_request_id, next_candidate_id: where numbering goes on.
        against: holds the evaluation texts that no admitted instruction may be near; None where there are none.
        example_filter: the caller's own filter, asked last; None where there is none.
        repeated: counts outputs over the run; None where any may be repeated.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        reading: Reading,
        index: RougeIndex,
        *,
        num_seeds: int,
        rng_seed: int,
        threshold: float | None,
        next_request_id: int = 1,
        next_candidate_id: int = 1,
        against: RougeIndex | None = None,
        example_filter: CustomFilter | None = None,
        repeated: RepeatedOutputs | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._reading = reading
        self._index = index
        self._num_seeds = num_seeds
        self._rng_seed = rng_seed
        self._threshold = threshold
        self._request_ids = itertools.count(next_request_id)
        self._candidate_ids = itertools.count(next_candidate_id)
        self._example_filter = example_filter
        self._repeated = repeated
        self._now = now
        # Asked in this order. Evaluation texts have an index of their own: what is shown and numbered is the pool.
        self._sieves: list[tuple[Callable[[list[str]], Verdicts], RejectReason]] = []
        if against is not None:
            self._sieves.append((against.query, RejectReason.CONTAMINATED))
        self._sieves.append((index.admit, RejectReason.NEAR_DUPLICATE))

    def settle(self, deliveries: Sequence[Delivery[Task]]) -> list[Commit]:
        """Judge answers in this order; the commits have to be stored in the same order."""
        return [self._settle(delivery) for delivery in deliveries]

    def _settle(self, delivery: Delivery[Task]) -> Commit:
        task, outcome = delivery.job.about, delivery.outcome
        num_indexed = len(self._index)
        if not isinstance(outcome, Ok):
            return self._unanswered(delivery, outcome.name, _storable(detail_of(outcome)))
        try:
            derived = self._derive(task, outcome.completion)
        except Aborted:
            raise  # a comparison was ended, so nothing is known of the answer; the next sitting asks again
        except FilterFailed:
            raise  # it is the caller's to mend, and to keep everything, or nothing, would be the wrong guess
        except Exception as error:
            if len(self._index) != num_indexed:
                raise  # the index is ahead of the store: whatever is admitted from now on would get a wrong id
            # A bug of ours must not cost what was paid for, nor its siblings.
            _LOG.exception(
                "request %s: its answer could not be parsed; it is kept in the store", delivery.job.request.key
            )
            return self._unanswered(delivery, "parser_failed", type(error).__name__)
        request = self._request(delivery, outcome.name, None)
        if derived.is_unreadable:
            request = replace(request, outcome="unreadable", detail=_storable(derived.stumbled_over))
        else:
            request = replace(request, rest=derived.rest, stumbled_over=_storable(derived.stumbled_over))
        return Commit(
            request=request,
            candidates=derived.candidates,
            instructions=derived.instructions,
            classification=derived.classification,
            instances=derived.instances,
        )

    def _unanswered(self, delivery: Delivery[Task], outcome: str, detail: str) -> Commit:
        """Record a request without a usable answer; an instruction that cannot be classified goes on as unknown."""
        task = delivery.job.about
        unknown = None
        if task.stage is Stage.CLASSIFICATION and outcome in FINAL:
            unknown = ClassificationRow(instruction_id=task.number, is_classification=None)
        return Commit(request=self._request(delivery, outcome, detail), classification=unknown)

    def _derive(self, task: Task, completion: Completion) -> _Derived:
        match task.stage:
            case Stage.INSTRUCTIONS:
                return self._derive_instructions(task, completion)
            case Stage.CLASSIFICATION:
                return self._derive_classification(task, completion)
            case Stage.INSTANCES:
                return self._derive_instances(task, completion)

    def _derive_instructions(self, task: Task, completion: Completion) -> _Derived:
        """Filter the candidates of one reply; those that pass are judged, in order, and the admitted join the pool."""
        read = self._reading.instructions(completion, task)
        candidates = read.found
        next_id = len(self._index) - self._num_seeds
        rejections = self._rejections(candidates)
        rows = tuple(self._candidate(c, why) for c, why in zip(candidates, rejections, strict=True))
        admitted = [row for row in rows if row.reason is None]
        instructions = tuple(
            InstructionRow(id=next_id + i, candidate_id=row.id, text=row.text) for i, row in enumerate(admitted)
        )
        return _derived(read, candidates=rows, instructions=instructions)

    def _rejections(self, candidates: Sequence[Candidate]) -> list[Rejection | None]:
        """What the heuristics said, then whether an evaluation text is near, then whether one of the pool is."""
        rejections = [candidate.rejection for candidate in candidates]
        for sieve, reason in self._sieves:
            free = [place for place, rejection in enumerate(rejections) if rejection is None]
            verdicts = sieve([candidates[place].text for place in free])
            for place, verdict in zip(free, verdicts, strict=True):
                rejections[place] = _rejection(verdict, reason)
        return rejections

    def _candidate(self, candidate: Candidate, rejection: Rejection | None) -> CandidateRow:
        return CandidateRow(
            id=next(self._candidate_ids),
            text=candidate.text,
            reason=rejection.reason if rejection else None,
            nearest=rejection.nearest if rejection else None,
            score=rejection.score if rejection else None,
        )

    def _derive_classification(self, task: Task, completion: Completion) -> _Derived:
        margin = None if self._threshold is None else log_odds(completion.top_logprobs)
        if margin is None or self._threshold is None:
            read = self._reading.classification(completion, task)
        else:
            read = Read(found=is_yes(margin, self._threshold))
        row = ClassificationRow(instruction_id=task.number, is_classification=read.found, margin=margin)
        return _derived(read, classification=row)

    def _derive_instances(self, task: Task, completion: Completion) -> _Derived:
        new_rng = partial(random_stream, self._rng_seed, Stage.INSTANCES, task.number)
        read = self._reading.instances(completion, task, new_rng)
        kept, rejected = self._last_filters(task, read.found)
        kept_rows = [
            InstanceRow(instruction_id=task.number, item=item, input=instance.input, output=instance.output)
            for item, instance in enumerate(kept)
        ]
        dropped = [
            InstanceRow(
                instruction_id=task.number, item=-1, input=instance.input, output=instance.output, reason=why.reason
            )
            for instance, why in rejected
        ]
        return _derived(read, instances=(*kept_rows, *dropped))

    def _last_filters(self, task: Task, sifted: Sifted) -> tuple[list[Instance], list[tuple[Instance, Rejection]]]:
        """What the caller's own filter keeps, and what the run has not too often, of an instruction's instances."""
        verdicts: list[tuple[Instance, Rejection | None]] = [(one, self._asked(task, one)) for one in sifted.kept]
        sound = [one for one, why in verdicts if why is None]
        rejected = [*sifted.rejected, *((one, why) for one, why in verdicts if why is not None)]
        if self._repeated is None or task.is_classification:
            return sound, rejected
        repeats = self._repeated.judge([one.output for one in sound])
        kept = [one for one, why in zip(sound, repeats, strict=True) if why is None]
        return kept, rejected + [(one, why) for one, why in zip(sound, repeats, strict=True) if why is not None]

    def _asked(self, task: Task, instance: Instance) -> Rejection | None:
        """What the caller's own filter says of an instance."""
        if self._example_filter is None:
            return None
        example = Example(
            id=f"m{task.number}",
            instruction=task.instruction,
            input=instance.input,
            output=instance.output,
            is_classification=task.is_classification,
        )
        return self._example_filter.judge(example)

    def _request(self, delivery: Delivery[Task], outcome: str, detail: str | None) -> RequestRow:
        task = delivery.job.about
        completion = delivery.outcome.completion if isinstance(delivery.outcome, Ok) else None
        top_logprobs = completion.top_logprobs if completion else None
        return RequestRow(
            id=next(self._request_ids),
            stage=task.stage,
            number=task.number,
            template=task.template,
            in_context=task.in_context if task.stage is Stage.INSTRUCTIONS else None,
            outcome=outcome,
            attempts=_attempts(delivery) if delivery.failed else (),
            detail=detail,
            text=completion.text if completion else None,
            finish_reason=completion.finish_reason if completion else None,
            model=completion.model if completion else None,
            top_logprobs=dict(top_logprobs) if top_logprobs else None,
            prompt_tokens=completion.usage.prompt_tokens if completion else 0,
            completion_tokens=completion.usage.completion_tokens if completion else 0,
            latency_ms=_ms(delivery.latency_s),
            finished_at=self._now(),
        )


def _derived(
    read: Read[Any],
    *,
    candidates: tuple[CandidateRow, ...] = (),
    instructions: tuple[InstructionRow, ...] = (),
    classification: ClassificationRow | None = None,
    instances: tuple[InstanceRow, ...] = (),
) -> _Derived:
    return _Derived(
        candidates=candidates,
        instructions=instructions,
        classification=classification,
        instances=instances,
        is_unreadable=read.is_unreadable,
        rest=read.rest,
        stumbled_over=read.stumbled_over,
    )


def _attempts(delivery: Delivery[Task]) -> tuple[AttemptRow, ...]:
    return tuple(
        AttemptRow(attempt=f.attempt, outcome=f.outcome, detail=_storable(f.detail), latency_ms=_ms(f.latency_s))
        for f in delivery.failed
    )


def _rejection(verdict: Verdict, reason: RejectReason) -> Rejection | None:
    if verdict.admitted:
        return None
    return Rejection(reason=reason, nearest=verdict.nearest, score=verdict.score)


def _storable(detail: str) -> str:
    """Shorten a server's words and replace what is no text, half of a surrogate pair, so that they can be stored."""
    return detail[:_MAX_DETAIL].encode("utf-8", "replace").decode()


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def examples_of(task: Task, commit: Commit) -> list[Example]:
    """Return the examples that a commit of stage 3 has kept."""
    return [
        Example(
            id=f"m{row.instruction_id}-{row.item}",
            instruction=task.instruction,
            input=row.input,
            output=row.output,
            is_classification=task.is_classification,
        )
        for row in commit.instances
        if row.reason is None
    ]
