"""Which endpoint takes a request: the least loaded of those that serve its lane and may be asked now.

A lane is a kind of work that some endpoints serve: a stage, where each has a model of its own. Knows nothing of queues
or retries. Guarantees: what has failed on one endpoint goes to another while there is one; an endpoint that refuses
everybody (a wrong key, a spent quota, an unknown model) is asked no more while others serve its lane.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from fastinstruct.lm.channel import Channel

__all__ = ["Fleet"]

_ANY = ""


class Fleet:
    """Channels by lane; lane "" serves whatever has none of its own.

    Args:
        lanes: one channel or more for each; a channel may stand in several.

    Raises:
        ValueError: a lane without a channel.
    """

    def __init__(self, lanes: Mapping[str, Sequence[Channel]]) -> None:
        self._lanes = {lane: tuple(channels) for lane, channels in lanes.items()}
        if not self._lanes or not all(self._lanes.values()):
            raise ValueError("every lane needs a channel")
        self.changed: Callable[[], None] = _nothing
        """Called when a channel may have opened; the scheduler listens."""
        self.channels = tuple(dict.fromkeys(channel for channels in self._lanes.values() for channel in channels))

    @classmethod
    def of(cls, *channels: Channel) -> Fleet:
        """Channels that serve every lane."""
        return cls({_ANY: channels})

    def serving(self, lane: str) -> tuple[Channel, ...]:
        """Return the channels of a lane that are still asked."""
        channels = self._lanes.get(lane) or self._lanes[_ANY]
        return tuple(channel for channel in channels if not channel.closed_because)

    def is_open(self, lane: str, now: float) -> bool:
        """Whether some channel of the lane may be asked now."""
        return any(channel.is_open(now) for channel in self.serving(lane))

    def choose(self, lane: str, now: float, *, not_again: Channel | None = None) -> Channel | None:
        """Return the least loaded open channel, another than the one that failed if possible; None if none is open."""
        channels = [channel for channel in self.serving(lane) if channel.is_open(now)]
        others = [channel for channel in channels if channel is not not_again]
        return min(others or channels, key=lambda channel: channel.load, default=None)

    def wait_s(self, now: float) -> float:
        """Return in how many seconds a channel that is closed now may open by itself; infinity where none will."""
        waits = (channel.wait_s(now) for channel in self.channels if not channel.closed_because)
        return min((wait_s for wait_s in waits if wait_s > 0), default=math.inf)

    def outage_s(self, now: float) -> tuple[float, Channel] | None:
        """Return how long no endpoint of some lane could be reached, and one of these; None while all lanes are up."""
        longest: tuple[float, Channel] | None = None
        for lane in self._lanes:
            serving = self.serving(lane)
            began = [channel.unreachable_since for channel in serving]
            if not began or None in began:
                continue
            last = max(serving, key=lambda channel: channel.unreachable_since or 0.0)
            outage_s = now - (last.unreachable_since or 0.0)
            if longest is None or outage_s > longest[0]:
                longest = (outage_s, last)
        return longest

    def wake(self) -> None:
        """Tell whoever listens that a channel may have opened."""
        self.changed()

    def is_last(self, channel: Channel) -> bool:
        """Whether some lane has no other channel to turn to."""
        return any(self.serving(lane) == (channel,) for lane in self._lanes)


def _nothing() -> None:
    """Nobody listens yet."""
