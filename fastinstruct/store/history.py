"""What a run was answered and made of it, request by request in commit order: a stored run read back as rows.

Knows nothing of what is done with it. Holds one request at a time in memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fastinstruct.records import reason_in
from fastinstruct.store.reader import RunReader
from fastinstruct.store.rows import AttemptRow, CandidateRow, RequestRow
from fastinstruct.store.schema import bounded

__all__ = ["history"]

_REQUESTS = f"""
SELECT id, stage, number, template, in_context, outcome, detail, text, finish_reason, model, top_logprobs,
       {bounded("prompt_tokens")}, {bounded("completion_tokens")}, latency_ms, finished_at
FROM request ORDER BY id
"""  # noqa: S608 - constants
_ATTEMPTS = "SELECT request_id, attempt, outcome, detail, latency_ms FROM attempt ORDER BY request_id, attempt"
# Candidates are numbered in commit order, so this is the order of their requests; an index on these would cost a run.
_CANDIDATES = "SELECT request_id, id, text, reason, nearest, score FROM candidate ORDER BY id"


def history(reader: RunReader) -> Iterator[tuple[RequestRow, tuple[CandidateRow, ...]]]:
    """Yield every request, its attempts included, with the candidates of its answer; read it inside a snapshot.

    Raises:
        RunFolderError: the database cannot be read, or is damaged.
    """
    with reader.guarded():
        attempts, candidates = _Groups(reader.rows(_ATTEMPTS)), _Groups(reader.rows(_CANDIDATES))
        for row in reader.rows(_REQUESTS):
            yield (
                _request(row, tuple(_attempt(values) for values in attempts.of(row[0]))),
                tuple(_candidate(values) for values in candidates.of(row[0])),
            )


class _Groups:
    """Rows that begin with a request's id, ascending, taken request by request."""

    def __init__(self, rows: Iterator[Any]) -> None:
        self._rows = rows
        self._ahead = next(rows, None)

    def of(self, request_id: int) -> Iterator[Any]:
        while self._ahead is not None and self._ahead[0] <= request_id:
            row, self._ahead = self._ahead, next(self._rows, None)
            if row[0] == request_id:
                yield row[1:]


def _request(row: Any, attempts: tuple[AttemptRow, ...]) -> RequestRow:  # noqa: ANN401 - a row of the database
    in_context, top_logprobs = row[4], row[10]
    return RequestRow(
        id=row[0],
        stage=row[1],
        number=row[2],
        template=row[3],
        in_context=None if in_context is None else tuple(json.loads(in_context)),
        outcome=row[5],
        attempts=attempts,
        detail=row[6],
        text=row[7],
        finish_reason=row[8],
        model=row[9],
        top_logprobs=None if top_logprobs is None else json.loads(top_logprobs),
        prompt_tokens=row[11],
        completion_tokens=row[12],
        latency_ms=row[13],
        finished_at=row[14],
    )


def _attempt(row: Any) -> AttemptRow:  # noqa: ANN401 - as above
    return AttemptRow(attempt=row[0], outcome=row[1], detail=row[2] or "", latency_ms=row[3])


def _candidate(row: Any) -> CandidateRow:  # noqa: ANN401 - as above
    reason = None if row[2] is None else reason_in(row[2])
    return CandidateRow(id=row[0], text=row[1], reason=reason, nearest=row[3], score=row[4])
