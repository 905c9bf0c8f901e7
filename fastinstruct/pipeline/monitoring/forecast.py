"""What it still takes to reach the target, told from what the last requests of each stage used and gave.

Pure; knows nothing of stores or clocks but the times that requests carry.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fastinstruct.pipeline.budget.ledger import Ledger, Use, dollars
from fastinstruct.store import Finished

__all__ = ["WINDOW", "Forecast", "Pace", "Projection", "Recent", "Remaining"]

WINDOW = 200
"""How many of the last requests of a stage are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """What a run has left to do.

    Attributes:
        num_to_admit: instructions.
        num_to_ask: of each stage after the first, the admitted instructions that it has not answered.
    """

    num_to_admit: int
    num_to_ask: Mapping[str, int]

    @property
    def is_any(self) -> bool:
        """Whether anything is left."""
        return max(self.num_to_admit, *self.num_to_ask.values()) > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """What reaching the target will probably still take.

    Attributes:
        acceptance_rate: of the last candidates; None where there were none.
        num_requests: stage -> calls; `num_calls` is their sum.
        num_tokens: of prompts and completions; None where the server does not count them.
        cost: in dollars; None where a price, or the tokens, are unknown.
        time_s: at the pace of the last requests; None where they tell none.
        least_time_s: after a sample, what it would be with all slots busy, which a sample does not try: the truth lies
            between. None where `time_s` is told by a sitting that had them all.
    """

    acceptance_rate: float | None
    num_requests: Mapping[str, int]
    num_tokens: int | None
    cost: float | None
    time_s: float | None
    least_time_s: float | None = None

    @property
    def num_calls(self) -> int:
        """Return the calls of all stages together."""
        return sum(self.num_requests.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mean:
    """What one request of a stage uses and gives."""

    num_tokens: float
    picodollars: float | None


class Forecast:
    """The last requests of each stage.

    Args:
        stages: the run's, in order, of which the first makes candidates.
        recent: what earlier sittings left, oldest first; it tells yields and usage, but not this sitting's pace.
        since: when this sitting began, in seconds since the epoch, if some of `recent` is of it.
    """

    def __init__(self, stages: Sequence[str], recent: Iterable[Finished] = (), *, since: float = math.inf) -> None:
        self._generating = stages[0]
        self._last: dict[str, deque[Finished]] = {stage: deque(maxlen=WINDOW) for stage in stages}
        self._here = Recent()
        for finished in recent:
            self._last[finished.stage].append(finished)
        last = [finished for of_stage in self._last.values() for finished in of_stage]
        for finished in sorted(last, key=lambda finished: finished.finished_at):
            if finished.finished_at >= since:
                self._here.count(finished)
        full = (of_stage for of_stage in self._last.values() if len(of_stage) == WINDOW)
        self._here.forget_before(max((of_stage[0].finished_at for of_stage in full), default=-math.inf))

    def count(self, finished: Finished) -> None:
        """Take in one more request of this sitting."""
        self._last[finished.stage].append(finished)
        self._here.count(finished)

    def project(
        self,
        remaining: Remaining,
        ledger: Ledger,
        *,
        num_slots: int | None,
        now: float | None = None,
        is_sample: bool = False,
    ) -> Projection | None:
        """Return what is still needed, or None while a stage that is needed has answered nothing.

        The time, with L the mean latency of a stage's calls, at the pace (see `Pace`) of this sitting:

            busy   = sum over stages of calls x L, scaled to the latencies that this sitting has now
            time_s = max(busy / min(answered at a time, num_slots), sum over the needed stages of L)

        If all stages took equally long, the first would be the calls divided by the requests that finished in a second.
        The second: the last instruction goes through the stages one after the other, however many slots are free.
        A sample has few requests in flight. `time_s` is told at its pace all the same, as if the server bore no more;
        `least_time_s` is the same with `num_slots` at a time, as if it bore them all.

        Args:
            remaining: what is left to do.
            ledger: tells prices, and which share of the prompts comes from a cache.
            num_slots: how many requests may be in flight while a run goes on; None where that is unknown.
            now: in seconds since the epoch; None where the sitting is over.
            is_sample: whether this sitting sends a few requests only.
        """
        needed = self._needed(remaining)
        if needed is None or any(not self._last[stage] for stage in needed):
            return None
        means = {stage: self._mean(stage, ledger) for stage in needed}
        time_s, least_time_s = self._times(needed, self._here.pace(now, is_sample=is_sample), num_slots)
        prices = [mean.picodollars for mean in means.values()]
        has_usage = all(mean.num_tokens for mean in means.values())
        cost = sum(count * (means[stage].picodollars or 0.0) for stage, count in needed.items())
        return Projection(
            acceptance_rate=self._acceptance_rate(),
            num_requests=dict(needed),
            num_tokens=round(sum(n * means[stage].num_tokens for stage, n in needed.items())) if has_usage else None,
            cost=dollars(round(cost)) if has_usage and None not in prices else None,
            time_s=time_s,
            least_time_s=least_time_s if is_sample else None,
        )

    def _times(
        self, needed: Mapping[str, int], pace: Pace | None, num_slots: int | None
    ) -> tuple[float | None, float | None]:
        """Return how long it takes at this pace, and with all slots busy; see `project`."""
        if not needed:
            return 0.0, None
        if pace is None:
            return None, None
        latencies = {stage: _mean_latency_s(last) for stage, last in self._last.items() if last}
        usual_s = sum(count * latencies[stage] for stage, count in pace.num_of_stage.items() if count)
        if usual_s <= 0:
            return None, None
        scale = pace.latency_s * sum(pace.num_of_stage.values()) / usual_s
        busy_s = scale * sum(count * latencies[stage] for stage, count in needed.items())
        one_by_one_s = scale * sum(latencies[stage] for stage in needed)
        at_a_time = pace.num_in_flight if num_slots is None else min(pace.num_in_flight, num_slots)
        least_s = None if num_slots is None else max(busy_s / num_slots, one_by_one_s)
        return max(busy_s / at_a_time, one_by_one_s), least_s

    def _needed(self, remaining: Remaining) -> dict[str, int] | None:
        """Return the requests of each stage that has any left; None while it cannot be told."""
        num_to_admit = max(0, remaining.num_to_admit)
        first = self._last[self._generating]
        num_admitted = sum(finished.num_admitted for finished in first)
        if num_to_admit and not num_admitted:
            return None
        needed = {self._generating: math.ceil(num_to_admit * len(first) / num_admitted) if num_to_admit else 0}
        needed |= {stage: num_to_admit + count for stage, count in remaining.num_to_ask.items()}
        return {stage: count for stage, count in needed.items() if count > 0}

    def _mean(self, stage: str, ledger: Ledger) -> _Mean:
        last = self._last[stage]
        prompt_tokens = sum(finished.prompt_tokens for finished in last)
        used = ledger.used[stage]
        use = Use(
            num_requests=len(last),
            prompt_tokens=prompt_tokens,
            cached_tokens=prompt_tokens * used.cached_tokens // used.prompt_tokens if used.prompt_tokens else 0,
            completion_tokens=sum(finished.completion_tokens for finished in last),
        )
        price = ledger.price(stage)
        return _Mean(
            num_tokens=use.num_tokens / len(last),
            picodollars=None if price is None else price.cost(use) / len(last),
        )

    def _acceptance_rate(self) -> float | None:
        first = self._last[self._generating]
        num_candidates = sum(finished.num_candidates for finished in first)
        return sum(finished.num_admitted for finished in first) / num_candidates if num_candidates else None


def _mean_latency_s(finished: Sequence[Finished]) -> float:
    return sum(request.latency_s for request in finished) / len(finished)


_WINDOW_S = 60.0  # what finished in the last minute tells the pace, and
_FEWEST = 200  # so many requests at least, if there are as many
_MOST = 2000
_FIRST_LATENCIES = 2.0  # until then only the fastest of those that began together may have finished
_SILENT_LATENCIES = 5.0
_SILENT_S = 10.0  # an answer may be late; after this and that many latencies, none comes


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What the last requests of a sitting did.

    Attributes:
        num_in_flight: requests that are answered, on average, at a time: by Little's law, those that finished in a
            second times their mean latency.
        latency_s: that mean latency, in seconds.
        num_of_stage: how many of each stage they were.
    """

    num_in_flight: float
    latency_s: float
    num_of_stage: Mapping[str, int]


class Recent:
    """The last requests of one sitting that were answered, in the order they finished."""

    def __init__(self) -> None:
        self._last: deque[Finished] = deque(maxlen=_MOST)
        self._began_at = math.inf
        self._counted_from = -math.inf

    def count(self, finished: Finished) -> None:
        """Take in one more; one that failed brings nothing forward."""
        if finished.is_ok:
            self._last.append(finished)
            self._began_at = min(self._began_at, finished.finished_at - finished.latency_s)

    def forget_before(self, at: float) -> None:
        """Tell no pace from what finished before: of some stages that is not known."""
        self._counted_from = at

    def pace(self, now: float | None = None, *, is_sample: bool = False) -> Pace | None:
        """Return the pace of the last minute, or of the last 200 requests where that is longer.

        Counted are the requests that finished after the window began, over the seconds since: from the first request's
        start where the window holds the whole sitting, else from a finish. Pauses count: a rate limit's are part of the
        pace.

        Args:
            now: in seconds since the epoch; None for when the last request finished, of a sitting that is over.
            is_sample: whether there are only a few requests, so that they are all there is to tell from.

        Returns:
            The pace; None before two latencies have passed, as the slow ones of the first requests are still out, and
            where no answer came for five latencies and 10 s.
        """
        if not self._last:
            return None
        ends_at = max(self._last[-1].finished_at, now or 0.0)
        begins_at, counted = self._window(ends_at)
        latency_s = sum(finished.latency_s for finished in counted) / len(counted) if counted else 0.0
        silent_s = ends_at - self._last[-1].finished_at
        is_early = not is_sample and ends_at - self._began_at < _FIRST_LATENCIES * latency_s
        is_silent = silent_s > max(_SILENT_S, _SILENT_LATENCIES * latency_s)
        if ends_at <= begins_at or latency_s <= 0 or is_early or is_silent:
            return None
        num_of_stage = Counter(finished.stage for finished in counted)
        num_a_second = len(counted) / (ends_at - begins_at)
        return Pace(num_in_flight=num_a_second * latency_s, latency_s=latency_s, num_of_stage=num_of_stage)

    def _window(self, ends_at: float) -> tuple[float, list[Finished]]:
        """Return when the window began, and what finished in it since."""
        found: list[Finished] = []
        for finished in reversed(self._last):
            is_old = finished.finished_at < ends_at - _WINDOW_S and len(found) >= _FEWEST
            if is_old or finished.finished_at <= self._counted_from:
                return finished.finished_at, found
            found.append(finished)
        if len(found) < _MOST:
            return self._began_at, found
        return found[-1].finished_at, found[:-1]
