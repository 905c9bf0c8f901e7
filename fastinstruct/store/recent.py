"""What a run's last requests used and gave: what its end can be told from.

Knows nothing of how that is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastinstruct.store.reader import RunReader
from fastinstruct.store.rows import READ, Commit
from fastinstruct.store.schema import bounded

__all__ = ["Finished", "finished", "recent"]

# The sign keeps SQLite from the index by stage, which it would have to sort: the newest are at the table's end.
_RECENT = f"""
SELECT id, stage, outcome, {bounded("prompt_tokens")}, {bounded("completion_tokens")}, latency_ms, finished_at
FROM request WHERE +stage = ? ORDER BY id DESC LIMIT ?
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """One finished request, as a forecast needs it: what it used and what came of it.

    `finished_at` is in seconds since the epoch, `latency_s` the last attempt's; candidates are those of stage 1.
    """

    stage: str
    is_ok: bool
    prompt_tokens: int
    completion_tokens: int
    latency_s: float
    finished_at: float
    num_candidates: int = 0
    num_admitted: int = 0


def finished(commit: Commit) -> Finished:
    """Return what a commit tells of its request."""
    request = commit.request
    return Finished(
        stage=request.stage,
        is_ok=request.outcome in READ,
        prompt_tokens=request.prompt_tokens,
        completion_tokens=request.completion_tokens,
        latency_s=request.latency_ms / 1000,
        finished_at=request.finished_at,
        num_candidates=len(commit.candidates),
        num_admitted=len(commit.instructions),
    )


def recent(reader: RunReader, most: Mapping[str, int]) -> list[Finished]:
    """Return the last requests of each stage, at most so many, in the order they were stored.

    The first stage of `most` is the one that makes candidates.

    Raises:
        RunFolderError: the database cannot be read.
    """
    with reader.snapshot(), reader.guarded():
        return _recent(reader, most)


def _recent(reader: RunReader, most: Mapping[str, int]) -> list[Finished]:
    generating = next(iter(most), None)
    rows = [row for stage, count in most.items() for row in reader.rows(_RECENT, (stage, count))]
    rows.sort(key=lambda row: int(row[0]))
    oldest = min((row[0] for row in rows if row[1] == generating), default=None)
    candidates = {} if oldest is None else _candidates_since(reader, oldest)
    return [
        Finished(
            stage=stage,
            is_ok=outcome in READ,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            latency_s=latency_ms / 1000,
            finished_at=finished_at,
            num_candidates=sum(candidates.get(id_, ())),
            num_admitted=candidates.get(id_, (0, 0))[1],
        )
        for id_, stage, outcome, prompt_tokens, completion_tokens, latency_ms, finished_at in rows
    ]


def _candidates_since(reader: RunReader, request_id: int) -> dict[int, tuple[int, int]]:
    """Count the candidates of this request and later ones: request id -> rejected, admitted."""
    found: dict[int, tuple[int, int]] = {}
    for id_, is_admitted in reader.rows("SELECT request_id, reason IS NULL FROM candidate ORDER BY id DESC"):
        if id_ < request_id:  # candidates are numbered in the order of their requests
            break
        rejected, admitted = found.get(id_, (0, 0))
        found[id_] = (rejected + 1 - is_admitted, admitted + is_admitted)
    return found
