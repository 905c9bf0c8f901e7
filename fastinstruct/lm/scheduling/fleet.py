"""Which endpoint takes a request: the least loaded of those that serve its lane and may be asked now.

A lane is a kind of work that some endpoints serve: a stage, where each has a model of its own. Knows nothing of queues
or retries. Guarantees: what has failed on one endpoint goes to another while there is one; an endpoint that refuses
everybody (a wrong key, a spent quota, an unknown model) is asked no more while others serve its lane.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from fastinstruct.escaping import package_logger
from fastinstruct.lm.scheduling.channel import Channel

__all__ = ["Fleet"]

_LOG = package_logger("fastinstruct.lm")
_ANY = ""


class Fleet:
    """Channels by lane; lane "" serves whatever has none of its own.

    Args:
        lanes: one channel or more for each; a channel may stand in several.
        max_in_flight: how many requests all of them together are to have in flight.

    Raises:
        ValueError: a lane without a channel.
    """

    def __init__(self, lanes: Mapping[str, Sequence[Channel]], max_in_flight: int = 1) -> None:
        self._lanes = {lane: tuple(channels) for lane, channels in lanes.items()}
        if not self._lanes or not all(self._lanes.values()):
            raise ValueError("every lane needs a channel")
        self.changed: Callable[[], None] = _nothing
        """Called when a channel may have opened; the scheduler listens."""
        # Lanes with the same channels are one group: which one comes first in `lanes`.
        self._groups = {lane: next(o for o, c in self._lanes.items() if c == self._lanes[lane]) for lane in self._lanes}
        self.channels = tuple(dict.fromkeys(channel for channels in self._lanes.values() for channel in channels))
        self.max_in_flight = max_in_flight

    @classmethod
    def of(cls, *channels: Channel) -> Fleet:
        """Channels that serve every lane."""
        return cls({_ANY: channels})

    @property
    def num_in_flight(self) -> int:
        """How many requests are out."""
        return sum(channel.num_in_flight for channel in self.channels)

    def group(self, lane: str) -> str:
        """Return what stands for this lane and for those that the same channels serve."""
        return self._groups.get(lane) or self._groups.get(_ANY, lane)

    def serving(self, lane: str) -> tuple[Channel, ...]:
        """Return the channels of a lane that are still asked."""
        channels = self._lanes.get(lane) or self._lanes[_ANY]
        if len(channels) == 1:  # as mostly; this is asked several times for each request
            return () if channels[0].closed_because else channels
        return tuple(channel for channel in channels if not channel.closed_because)

    def is_open(self, lane: str, now: float) -> bool:
        """Whether some channel of the lane may be asked now."""
        serving = self.serving(lane)
        return serving[0].is_open(now) if len(serving) == 1 else any(channel.is_open(now) for channel in serving)

    def choose(self, lane: str, now: float, *, not_again: Channel | None = None) -> Channel | None:
        """Return the least loaded open channel, among equals the one that served least for its weight.

        The one that failed (`not_again`) is asked again only while all others pause: a full one is waited for.

        Returns:
            The channel; None if none is to be asked now.
        """
        serving = self.serving(lane)
        if len(serving) == 1:
            return serving[0] if serving[0].is_open(now) else None
        if not_again is not None and any(_is_promising(other, now) for other in serving if other is not not_again):
            serving = tuple(channel for channel in serving if channel is not not_again)
        channels = [channel for channel in serving if channel.is_open(now)]
        if len(channels) < 2:
            return channels[0] if channels else None
        return min(channels, key=lambda channel: (channel.load(now), channel.num_started / channel.weight))

    def others(self, lane: str, channel: Channel) -> tuple[Channel, ...]:
        """Return the channels of a lane that are still asked, but for this one."""
        return tuple(other for other in self.serving(lane) if other is not channel)

    def told_to_wait_s(self, channels: Sequence[Channel], now: float) -> float:
        """Return how long all of these ask to be left alone; infinity if none of them can be reached."""
        reached = (channel for channel in channels if channel.unreachable_since is None)
        waits = (max(channel.told_until - now, channel.pause_s(now), 0.0) for channel in reached)
        return min(waits, default=math.inf)

    def wait_s(self, now: float) -> float:
        """Return in how many seconds a channel that is closed now may open by itself; infinity where none will."""
        waits = (channel.wait_s(now) for channel in self.channels if not channel.closed_because)
        return min((wait_s for wait_s in waits if wait_s > 0), default=math.inf)

    def outage_s(self, channel: Channel, now: float) -> float:
        """Return for how long no endpoint of some lane of this channel's was of any use; 0 while each has one."""
        longest_s = 0.0
        for channels in self._lanes.values():
            if channel in channels:
                began = [other.out_since(now) for other in channels if not other.closed_because]
                known = [since for since in began if since is not None]
                if known and len(known) == len(began):
                    longest_s = max(longest_s, now - max(known))
        return longest_s

    def freeze(self, now: float) -> None:
        """Let no channel's limit grow for a while: what is slow is on this side. To be called while that lasts."""
        for channel in self.channels:
            channel.controller.freeze(now)

    def wake(self) -> None:
        """Tell whoever listens that a channel may have opened."""
        self.changed()

    def is_last(self, channel: Channel) -> bool:
        """Whether some lane has no other channel to turn to."""
        return any(self.serving(lane) == (channel,) for lane in self._lanes)

    def close(self, channel: Channel, reason: str) -> bool:
        """Ask a channel no more in this run, with one warning; return False where some lane has no other."""
        if not channel.closed_because:
            if self.is_last(channel):
                return False
            channel.closed_because = reason
            _LOG.warning("%s; it is asked no more in this run", reason)
        return True


def _is_promising(channel: Channel, now: float) -> bool:
    """Whether it takes a request now, or as soon as one of its own ends."""
    return channel.is_open(now) or (channel.num_in_flight > 0 and channel.pause_s(now) <= 0)


def _nothing() -> None:
    """Nobody listens yet."""
