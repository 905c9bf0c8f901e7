"""When a run ends before its target, told from one durable commit after another.

Knows nothing of budgets, clocks or queues. A rule that is met is a value; what makes going on pointless is an
exception: requests that all fail, replies that cannot be parsed.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from fastinstruct.config import InstructionsConfig, RunConfig
from fastinstruct.errors import EndpointError, ParserFailed
from fastinstruct.escaping import package_logger
from fastinstruct.store import READ, Commit, Finished, finished

__all__ = ["Saturation", "Stop", "StopRules", "Unreadable"]

_LOG = package_logger("fastinstruct.pipeline")

# So many requests given up in a row: whatever it is, it concerns them all. Fewer will do while none has succeeded.
_MAX_FAILED, _MAX_FAILED_FIRST = 50, 5
# Of the requests of a sitting, once there are so many: one odd reply is stored and left, one in a hundred is a bug.
_MAX_UNPARSED_SHARE, _MIN_REQUESTS = 0.01, 100
# Of a stage's last replies: above the first share it is told, above the configured one the sitting ends.
_TOLD_SHARE, _MIN_TOLD, _MIN_STOPPED = 0.05, 20, 40
_MAX_SAMPLE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Why a run ended early.

    Attributes:
        rule: max_cost, max_tokens, max_requests, max_time, max_memory, error_rate, saturation, unreadable or
            no_examples.
        used: how much of it was reached: dollars, tokens, requests, seconds, MiB, or a share.
        limit: what was allowed, in the same unit.
        next_use: what the next request might have used on top, where that kept it from being sent.
        stage: whose replies it is about, if it is about one stage's.
        sample: how a reply of these begins, in quotes.
    """

    rule: str
    used: float
    limit: float
    next_use: float | None = None
    stage: str | None = None
    sample: str = ""


class Saturation:
    """Whether the model has run dry: how many of the last candidates were new.

    Args:
        config: the limit.
        settings: of the stage that makes candidates.
        generating: that stage's name.
        recent: the last stage-1 requests of earlier sittings, oldest first: what had run dry has not filled again.
    """

    def __init__(
        self, config: RunConfig, settings: InstructionsConfig, generating: str, recent: Iterable[Finished] = ()
    ) -> None:
        self._limit = config.saturation
        self._num_items = settings.num_items
        self._generating = generating
        self._yields: deque[tuple[int, int]] = deque()
        self._num_candidates = 0
        self._num_admitted = 0
        for request in recent:
            self._add(request)

    def count(self, commit: Commit) -> None:
        """Take in one more request."""
        if commit.request.stage == self._generating:
            self._add(finished(commit))

    def stop(self) -> Stop | None:
        """Return the rule, if it is met."""
        window, floor = self._limit.window, self._limit.floor
        if floor is None or self._num_candidates < window:
            return None
        rate = self._num_admitted / self._num_candidates
        return Stop(rule="saturation", used=rate, limit=floor) if rate <= floor else None

    def _add(self, request: Finished) -> None:
        """Keep the replies that hold the last `window` candidates."""
        if request.stage != self._generating or not request.is_ok:
            return
        self._yields.append((request.num_candidates or self._num_items, request.num_admitted))
        self._num_candidates += self._yields[-1][0]
        self._num_admitted += request.num_admitted
        while self._num_candidates - self._yields[0][0] >= self._limit.window:
            num_candidates, num_admitted = self._yields.popleft()
            self._num_candidates -= num_candidates
            self._num_admitted -= num_admitted


class Unreadable:
    """Whether too many of a stage's last replies give nothing, kept or rejected; tells it before it is a reason to end.

    Args:
        most: the share above which a sitting ends; None lets it go on.
    """

    def __init__(self, most: float | None) -> None:
        self._most = most
        self._last: defaultdict[str, deque[bool]] = defaultdict(lambda: deque(maxlen=_MIN_STOPPED))
        self._told: set[str] = set()

    def watch(self, commit: Commit) -> Stop | None:
        """Take in one more request; return the rule, if it is met by this reply."""
        request = commit.request
        if request.outcome not in READ:
            return None
        last = self._last[request.stage]
        last.append(request.outcome == "unreadable")
        share = sum(last) / len(last)
        if not last[-1]:
            if share <= _TOLD_SHARE:
                self._told.discard(request.stage)
            return None
        sample = _beginning(request.text or "")
        if len(last) >= _MIN_STOPPED and self._most is not None and share > self._most:
            return Stop(rule="unreadable", used=share, limit=self._most, stage=request.stage, sample=sample)
        if len(last) >= _MIN_TOLD and share > _TOLD_SHARE and request.stage not in self._told:
            self._told.add(request.stage)
            told = "%.0f%% of the last %d replies of stage %s give nothing, such as %s (%s); `inspect --unreadable`"
            _LOG.warning(told, 100 * share, len(last), request.stage, sample, request.detail)
        return None


def _beginning(text: str) -> str:
    words = " ".join(text.split())
    return f'"{words[:_MAX_SAMPLE]}…"' if len(words) > _MAX_SAMPLE else f'"{words}"'


class StopRules:
    """Watches a run's requests.

    Args:
        config: the limits.
        settings, generating, recent: as for `Saturation`.
    """

    def __init__(
        self, config: RunConfig, settings: InstructionsConfig, generating: str, recent: Iterable[Finished] = ()
    ) -> None:
        self._config = config
        self._settings = settings
        self._generating = generating
        self._recent = tuple(recent)
        self._budget = config.budget
        self._saturation = self.new_saturation()
        self._failed_in_row = 0
        self._num_requests = 0
        self._num_ok = 0
        self._num_unparsed = 0
        self._is_failed: deque[bool] = deque(maxlen=config.budget.error_window)
        self._unreadable = Unreadable(config.filters.max_unreadable)

    def watch(self, commit: Commit) -> Stop | None:
        """Take in one more request; return the rule that it meets, if it meets one.

        Raises:
            EndpointError: the last requests all failed, each after several attempts.
            ParserFailed: too many replies could not be parsed.
        """
        self._watch_failures(commit)
        self._watch_parser(commit)
        self._saturation.count(commit)
        return self._unreadable.watch(commit) or self._error_rate() or self.saturation()

    def new_saturation(self) -> Saturation:
        """Return the rule of saturation as it is at the start, for whoever has to apply it at a certain commit."""
        return Saturation(self._config, self._settings, self._generating, self._recent)

    def saturation(self) -> Stop | None:
        """Return the rule of saturation, if it is met."""
        return self._saturation.stop()

    def _error_rate(self) -> Stop | None:
        most, failed = self._budget.max_error_rate, self._is_failed
        if most is None or len(failed) < self._budget.error_window:
            return None
        rate = sum(failed) / len(failed)
        return Stop(rule="error_rate", used=rate, limit=most) if rate > most else None

    def _watch_failures(self, commit: Commit) -> None:
        request = commit.request
        is_ok = request.outcome in READ
        self._num_requests += 1
        self._num_ok += is_ok
        self._is_failed.append(not is_ok)
        self._failed_in_row = 0 if is_ok else self._failed_in_row + 1
        if self._failed_in_row >= (_MAX_FAILED if self._num_ok else _MAX_FAILED_FIRST):
            raise EndpointError(
                f"the last {self._failed_in_row} requests failed ({request.outcome}: {request.detail}); "
                "what was answered is stored: run the same command to go on"
            )

    def _watch_parser(self, commit: Commit) -> None:
        self._num_unparsed += commit.request.outcome == "parser_failed"
        if self._num_requests >= _MIN_REQUESTS and self._num_unparsed > _MAX_UNPARSED_SHARE * self._num_requests:
            raise ParserFailed(
                f"{self._num_unparsed} of {self._num_requests} replies could not be parsed; they are stored, and the "
                "log says what went wrong: report it, or look at what the server answers"
            )
