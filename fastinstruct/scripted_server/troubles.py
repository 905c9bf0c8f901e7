"""Which fault each request meets: an outage's, an episode's, or one drawn for its prompt.

Knows nothing of what faults are. Guarantees that outages and episodes are functions of a request's number among those
that ask the model; that faults drawn for prompts are functions of the prompt and how often it came (and, if stale,
of its connection), and strike no prompt more than `max_faults_per_prompt` times in a row, so that runs end.
"""

from __future__ import annotations

from fastinstruct.scripted_server.draws import unit_draw
from fastinstruct.scripted_server.faults import Fault
from fastinstruct.scripted_server.script import Episode, Script

__all__ = ["Troubles"]


class Troubles:
    """Draws the faults of a script, request by request."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._num_requests = 0
        self._episode: Episode | None = None
        self._num_left = 0  # of the episode
        self._seen: dict[str, tuple[int, int]] = {}  # prompt -> times seen, faults in a row up to now

    def meet(self, prompt_sha256: str, *, is_reused: bool) -> tuple[int, Fault | None]:
        """How often this prompt came, from 1, and the fault that it meets now.

        `is_reused` says that its connection served a request before: a stale one needs that.
        """
        self._num_requests += 1
        num_seen, in_row = self._seen.get(prompt_sha256, (0, 0))
        attempt = num_seen + 1
        fault = self._outage() or self._in_episode()
        if fault is None:
            is_due = in_row < self._script.max_faults_per_prompt
            fault = self._script.drawn_fault(prompt_sha256, attempt) if is_due else None
            in_row = in_row + 1 if fault and (is_reused or fault is not Fault.STALE) else 0
        self._seen[prompt_sha256] = (attempt, in_row)
        return attempt, None if fault is Fault.STALE and not is_reused else fault

    def _outage(self) -> Fault | None:
        for outage in self._script.outages:
            if outage.first <= self._num_requests and (outage.last is None or self._num_requests <= outage.last):
                return Fault(outage.fault)
        return None

    def _in_episode(self) -> Fault | None:
        if not self._num_left:
            self._episode = self._begun_episode()
            self._num_left = self._episode.length if self._episode else 0
        if self._episode is None:
            return None
        self._num_left -= 1
        return Fault(self._episode.fault)

    def _begun_episode(self) -> Episode | None:
        for place, episode in enumerate(self._script.episodes):
            if unit_draw("episode", self._script.seed, place, self._num_requests) < episode.rate:
                return episode
        return None
