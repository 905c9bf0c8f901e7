"""Watches the process that carries a sitting, and holds it back where the process, not the server, is the limit.

Once a second, by a timer: nothing is done for each request. Joins the probe of the event loop, the scheduler's and the
endpoints' counters, and what the system says of memory. Knows nothing of stages or HTTP.

    the loop is late      the limits of all endpoints stop growing, and one warning says that the client is the limit
    most slots wait for   the limits stop growing: more requests would only wait longer here. That nothing piles up
    judge and store       without end is the slots' doing: an answer keeps its slot until the store has it
    memory over its limit nothing is sent until it is below again; if it stays above with nothing in flight, the
                          sitting ends, to go on in a new process
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from fastinstruct.escaping import package_logger
from fastinstruct.lm.process import LIMIT_S, LoopLag, cpu_s, memory_bytes
from fastinstruct.lm.scheduling.channel import ChannelStatistics
from fastinstruct.lm.scheduling.fleet import Fleet
from fastinstruct.lm.scheduling.scheduler import Scheduler
from fastinstruct.pipeline.budget.stop_rules import Stop
from fastinstruct.pipeline.monitoring.telemetry import Telemetry, dumped

__all__ = ["Watchdog"]

_LOG = package_logger("fastinstruct.pipeline")
_BEAT_S = 1.0
_BEATS_PER_RECORD = 5
_BEATS_OF_WAITING = 2  # answers come in waves; what one look finds may be over at the next
_BEATS_OF_PACE = 30  # an average over the sitting would hide what happens now
_BEATS_WITHOUT_HOPE = 10  # over the limit with nothing in flight: what could be freed is freed
_MIB = 2**20


class Watchdog:
    """Watches from `with` to its end; `latest` is the newest snapshot.

    Args:
        fleet: whose limits are kept from growing.
        record: keeps a snapshot, as JSON, for other processes; called every few seconds and at the end.
        end: ends the sitting by a rule.
        on_look: told each snapshot.
        max_memory_mib: how much resident memory this process may take; None for any.
        memory: says how much it takes, in bytes.
    """

    def __init__(
        self,
        fleet: Fleet,
        *,
        record: Callable[[str], None],
        end: Callable[[Stop], None],
        on_look: Callable[[Telemetry], None] = lambda _: None,
        max_memory_mib: float | None = None,
        memory: Callable[[], int | None] = memory_bytes,
    ) -> None:
        self.latest: Telemetry | None = None
        self.lag = LoopLag()
        self._fleet = fleet
        self._record = record
        self._end = end
        self._on_look = on_look
        self._max_memory_mib = max_memory_mib
        self._memory = memory
        self._scheduler: Scheduler[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._began_at = self._counted_until = 0.0
        self._cpu_before_s = 0.0
        self._tokens: deque[tuple[float, int]] = deque(maxlen=_BEATS_OF_PACE + 1)  # when, and how many until then
        self._offered_s = 0.0
        self._num_offered = 0
        self._num_beats = self._num_behind = self._num_hopeless = 0
        self._warned: set[str] = set()

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._began_at = self._counted_until = loop.time()
        self._tokens.append((self._began_at, 0))
        self._cpu_before_s = cpu_s()
        self.lag.start()
        self._timer = loop.call_later(_BEAT_S, self._beat, loop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._timer is not None  # `__enter__` has made it
        self._timer.cancel()
        self.lag.stop()
        self._look(asyncio.get_running_loop().time(), "")
        self._keep()

    def watch(self, scheduler: Scheduler[Any]) -> None:
        """Watch this scheduler's slots from now on."""
        self._scheduler = scheduler
        now = asyncio.get_running_loop().time()
        self._offer(now)
        self._num_offered = self._slots(self._statistics(now))
        self._is_out_of_memory()  # before its first request

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(_BEAT_S, self._beat, loop)
        self._num_beats += 1
        now = loop.time()
        held_back = self._hold_back(now)
        if held_back:
            self._fleet.freeze(now)
        self._look(now, held_back)
        if self._num_beats % _BEATS_PER_RECORD == 1:
            self._keep()

    def _hold_back(self, now: float) -> str:
        """Return why this machine should get no more work, having done what that takes; nothing if it may."""
        if self._is_out_of_memory():
            return "over the memory limit: nothing is sent"
        if self.lag.window.is_late:
            self._warn_of_lag()
            return "client-bound: limits don't grow"
        self._num_behind = self._num_behind + 1 if self._waits_for_store() else 0
        return "answers wait for the store: limits don't grow" if self._num_behind >= _BEATS_OF_WAITING else ""

    def _waits_for_store(self) -> bool:
        """Whether most of the slots that are taken wait for judge and store."""
        if self._scheduler is None:
            return False
        num_taken = self._scheduler.statistics().num_in_flight
        return num_taken > 2 * self._fleet.num_in_flight

    def _is_out_of_memory(self) -> bool:
        """Whether memory is over its limit; pauses the scheduler if so, lets it go on if not."""
        if self._max_memory_mib is None or self._scheduler is None:
            return False
        used_mib = (self._memory() or 0) / _MIB
        is_over = used_mib > self._max_memory_mib
        self._scheduler.pause(is_paused=is_over)
        if not is_over:
            self._num_hopeless = 0
            return False
        self._warn(
            "memory",
            f"{used_mib:,.0f} MiB of memory are used, more than runtime.max_memory_mib={self._max_memory_mib:,.10g}: "
            "nothing is sent until it is less",
        )
        self._num_hopeless = 0 if self._scheduler.statistics().num_in_flight else self._num_hopeless + 1
        if self._num_hopeless == _BEATS_WITHOUT_HOPE:
            self._end(Stop(rule="max_memory", used=round(used_mib), limit=self._max_memory_mib))
        return True

    def _warn_of_lag(self) -> None:
        self._warn(
            "lag",
            f"client-bound: this process comes more than {LIMIT_S * 1000:.0f} ms late to its answers, so limits don't "
            "grow while that lasts; fewer requests in flight (--max-in-flight) are as fast, and several processes, "
            "with a folder each, faster",
        )

    def _warn(self, about: str, text: str) -> None:
        """Warn once of each trouble."""
        if about not in self._warned:
            self._warned.add(about)
            _LOG.warning("%s", text)

    def _look(self, now: float, held_back: str) -> None:
        """Take a snapshot."""
        self._offer(now)
        channels = self._statistics(now)
        num_slots = self._slots(channels)
        statistics = self._scheduler.statistics() if self._scheduler is not None else None
        num_out = self._fleet.num_in_flight
        is_draining = self._scheduler is not None and self._scheduler.is_stopping
        self._num_offered = num_out if is_draining else num_slots
        lag_s, memory, lasted_s = self.lag.window.p99_s, self._memory(), now - self._began_at
        busy_s = sum(channel.busy_s for channel in channels)
        self.latest = Telemetry(
            slot_use=min(1.0, busy_s / self._offered_s) if self._offered_s > 0 else None,
            num_slots=num_slots,
            num_in_flight=num_out,
            oldest_s=max((channel.oldest_s for channel in channels if channel.oldest_s is not None), default=None),
            num_waiting=statistics.num_waiting if statistics else 0,
            num_delivering=max(0, statistics.num_in_flight - num_out) if statistics else 0,
            tokens_per_s=self._tokens_per_s(now, channels),
            loop_lag_p99_ms=None if lag_s is None else lag_s * 1000,
            cpu_share=(cpu_s() - self._cpu_before_s) / lasted_s if lasted_s > 0 else None,
            memory_mib=None if memory is None else memory / _MIB,
            held_back=held_back,
            channels=tuple(channels),
        )
        self._on_look(self.latest)

    def _tokens_per_s(self, now: float, channels: Sequence[ChannelStatistics]) -> float | None:
        """Return the completion tokens a second, from the snapshot of half a minute ago to this one."""
        self._tokens.append((now, sum(channel.completion_tokens for channel in channels)))
        (since, before), (_, until_now) = self._tokens[0], self._tokens[-1]
        return (until_now - before) / (now - since) if now > since else None

    def _offer(self, now: float) -> None:
        """Count the slots that could have been busy until now."""
        self._offered_s += self._num_offered * (now - self._counted_until)
        self._counted_until = now

    def _slots(self, channels: Sequence[ChannelStatistics]) -> int:
        """Return how many requests may be in flight; those of an endpoint that pauses count, since it is to come back.

        Otherwise an outage would look like a sitting that has its few slots busy.
        """
        if self._scheduler is None:
            return 0
        most = self._scheduler.max_in_flight
        borne = sum(most if channel.limit is None else channel.limit for channel in channels if not channel.is_closed)
        return min(most, max(1, round(borne)))

    def _statistics(self, now: float) -> list[ChannelStatistics]:
        return [channel.statistics(now) for channel in self._fleet.channels]

    def _keep(self) -> None:
        if self.latest is not None:
            self._record(dumped(self.latest, datetime.now(UTC).isoformat(timespec="seconds")))
