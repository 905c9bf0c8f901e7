"""Progress on stderr: a live panel on a terminal, one line now and then elsewhere. stdout stays clean."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from fastinstruct.cli.figures import duration, money, projection_line
from fastinstruct.cli.logs import logged_to
from fastinstruct.cli.terminal import printable, shortened
from fastinstruct.cli.vitals import MAX_WHY, age, endpoint_lines, latency
from fastinstruct.pipeline.monitoring.telemetry import figures

if TYPE_CHECKING:
    from fastinstruct.pipeline import Progress

__all__ = ["Display", "display", "endpoints", "not_understood", "progress_line", "prospect", "rejects"]

_MAX_REASONS = 4
_MAX_WIDTH = 100  # of a line in a log


class Display(Protocol):
    """Where progress goes."""

    interval_s: float

    def update(self, progress: Progress) -> None:
        """Show how the run is doing."""

    def note(self, text: str) -> None:
        """Show a line that stays."""


@contextmanager
def display() -> Iterator[Display]:
    """Yield the display that suits stderr, and send log messages through it meanwhile."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        view: Display = _Lines(console)
        with logged_to(view.note):
            yield view
        return
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        view = _Panel(live)
        with logged_to(view.note):
            yield view


def progress_line(progress: Progress) -> str:
    """Say how the run is doing in one line."""
    rate = progress.acceptance_rate
    parts = [
        f"{progress.num_admitted}/{progress.target} instructions",
        f"{progress.num_examples} examples",
        f"accepted {rate:.0%}" if rate is not None else "accepted -",
        f"in flight {progress.num_in_flight}{_of_slots(progress)}",
        f"{progress.tokens_per_s:.0f} tokens/s",
    ]
    if progress.cost:
        parts.append(f"{money(progress.cost)} spent")
    if progress.phase == "generating" and progress.num_admitted >= progress.target:
        parts.append("working up the last ones")
    if progress.num_waiting or progress.num_failed_attempts:
        parts.append(f"retrying {progress.num_waiting}, {progress.num_failed_attempts} attempts failed")
    if progress.num_failed:
        parts.append(f"{progress.num_failed} requests given up")
    if told := not_understood(progress):
        parts.append(told)
    return ", ".join(parts)


def rejects(progress: Progress) -> str:
    """Say what was rejected, instructions and instances apart, most frequent reasons first."""
    kinds = {"instructions": progress.rejected, "instances": progress.rejected_instances}
    texts = [f"{kind} rejected: {_reasons(reasons)}" for kind, reasons in kinds.items() if reasons]
    return "; ".join(texts) or "nothing rejected"


def not_understood(progress: Progress) -> str:
    """Say how many replies gave nothing, by stage, and how many were understood in part only; nothing if none."""
    parts = []
    if unreadable := progress.num_unreadable:
        stages = ", ".join(f"{stage} {count}" for stage, count in unreadable.items())
        parts.append(f"{_replies(sum(unreadable.values()))} unreadable ({stages})")
    if progress.num_unexplained:
        parts.append(f"{_replies(progress.num_unexplained)} understood in part")
    return ", ".join(parts)


def _replies(count: int) -> str:
    return f"{count:,} {'reply' if count == 1 else 'replies'}"


def _reasons(reasons: Mapping[str, int]) -> str:
    ranked = sorted(reasons.items(), key=lambda item: -item[1])
    shown = [f"{reason} {count}" for reason, count in ranked[:_MAX_REASONS]]
    more = sum(count for _, count in ranked[_MAX_REASONS:])
    return ", ".join([*shown, *([f"others {more}"] if more else [])])


def prospect(progress: Progress) -> str:
    """Say what reaching the target will still take, while that is the question."""
    return projection_line(progress.projection, progress.target) if progress.phase == "generating" else ""


def endpoints(progress: Progress) -> list[str]:
    """Say how each endpoint does where there are several, in a line each."""
    told = figures(progress.telemetry)
    return endpoint_lines(told) if told is not None and len(told["channels"]) > 1 else []


def _of_slots(progress: Progress) -> str:
    """Say how many may be in flight, and for a sole endpoint how long an answer takes or why none is asked for.

    With all endpoints: how long the oldest request has been in flight, if that is long.
    """
    told = progress.telemetry
    if told is None or not told.num_slots:
        return ""
    notes = []
    if len(told.channels) == 1:
        (channel,) = told.channels
        seconds = channel.latency_p50_s
        notes = [f"p50 {latency(seconds)}"] if seconds is not None else []
        notes += [] if channel.is_asked else [printable(shortened(channel.why, MAX_WHY))]
    notes += age(told.oldest_s)
    notes += [told.held_back] if told.held_back else []
    return f" of {told.num_slots}" + (f" ({', '.join(notes)})" if notes else "")


def _nonempty(text: str) -> list[str]:
    return [text] if text else []


class _Panel:
    """A few lines that are drawn anew on a terminal."""

    interval_s = 0.25

    def __init__(self, live: Live) -> None:
        self._live = live

    def update(self, progress: Progress) -> None:
        share = min(1.0, progress.num_admitted / progress.target)
        width = 30
        filled = round(width * share)
        bar = "█" * filled + "░" * (width - filled)
        head = f"{bar} {progress.phase} {duration(progress.elapsed_s)}"
        lines = [head, progress_line(progress), *_nonempty(prospect(progress)), rejects(progress)]
        lines += endpoints(progress)
        self._live.update(Text(printable("\n".join(lines))))

    def note(self, text: str) -> None:
        self._live.console.print(Text(printable(text)))


class _Lines:
    """A line of a hundred columns, and what does not fit indented below it, every ten seconds and at a new phase."""

    interval_s = 0.5
    _every_s = 10.0

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phase = ""
        self._last = 0.0

    def update(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.phase == self._phase and now - self._last < self._every_s:
            return
        self._phase, self._last = progress.phase, now
        parts = [progress_line(progress), *_nonempty(prospect(progress)), rejects(progress)]
        for line in textwrap.wrap(f"{progress.phase}: {'; '.join(parts)}", _MAX_WIDTH, subsequent_indent="    "):
            self.note(line)

    def note(self, text: str) -> None:
        self._console.print(Text(printable(text)), soft_wrap=True)
