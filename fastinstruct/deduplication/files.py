"""Near-duplicates taken out of files: reading, deciding and writing joined.

Knows nothing of terminals. Guarantees: kept rows are the files' bytes in their order, but for characters inside texts
that end a line elsewhere, which are escaped (files/json_rows.py); outputs and the index file are replaced at the end,
when all of them are durable under hidden names, the outputs first, so that a row never counts as kept before it is; on
any failure the rows so far are in NAME.partial and the index file is as it was. Of a process killed between the two,
the outputs are there and the index is old: the same call again, with --overwrite, decides the same.
"""

from __future__ import annotations

import json
import os
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from fastinstruct.deduplication.decisions import Decision, Index, Method, Neighbour, dedup, new_index
from fastinstruct.deduplication.index_file import IndexFile
from fastinstruct.deduplication.memory import check_fits
from fastinstruct.deduplication.outputs import Output, Stream, check_replaceable, writing_to
from fastinstruct.errors import InputError
from fastinstruct.files.json_rows import on_one_line
from fastinstruct.files.rows import MAX_TEXT_BYTES, STDIN, Row, Source, field_or_line, rows_of
from fastinstruct.replaceable import is_file, is_there, regular_target
from fastinstruct.similarity import LSHIndex, Recall, tokenize
from fastinstruct.similarity.memory import available_bytes
from fastinstruct.similarity.snapshot import NewSnapshot

__all__ = ["DedupPlan", "DedupSummary", "dedup_files"]

_SURELY_HAS_TOKENS = re.compile("[0-9A-Za-z]")
_EVERY = 1000  # rows between two calls of on_progress


@dataclass(frozen=True, slots=True, kw_only=True)
class DedupPlan:
    """What to do: `files` in their order, with the text in `field`, against all that was kept before.

    `against`: files whose texts (in `against_field`; by default `field`, or the lines of a .txt) must not be near what
    is kept. `index`: a file with what earlier calls kept, to be added to. `out` None: the stream given to
    `dedup_files`. `force`: skip the estimate of the memory needed. `max_text_bytes`: longer texts are refused.
    """

    files: tuple[Path, ...]
    field: str = "instruction"
    threshold: float = 0.7
    tokenizer: str = "unicode"
    method: Method = "exact"
    against: tuple[Path, ...] = ()
    against_field: str | None = None
    index: Path | None = None
    out: Path | None = None
    rejected: Path | None = None
    overwrite: bool = False
    force: bool = False
    max_text_bytes: int = MAX_TEXT_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class DedupSummary:
    """How far it is, or what came of it.

    `num_rejected` are near a kept row, `num_against` near a text of `against`; `num_tokenless` are among the kept;
    `num_blank` lines of the files were blank, and are no rows.
    `tokenizer`: the exact name of the one that was used. `recall`: what method `lsh` measured of itself at the end.
    """

    tokenizer: str
    num_rows: int = 0
    num_kept: int = 0
    num_rejected: int = 0
    num_against: int = 0
    num_tokenless: int = 0
    num_blank: int = 0
    recall: Recall | None = None


class _Writable(Protocol):
    def write(self, line: bytes, /) -> object: ...


def dedup_files(
    plan: DedupPlan,
    stream: Stream,
    *,
    on_progress: Callable[[DedupSummary], None] = lambda summary: None,
    note: Callable[[str], None] = lambda text: None,
) -> DedupSummary:
    """Carry out a plan; `note` gets what the user should know meanwhile, in a line each.

    Raises:
        InputError: what has to be changed: a setting, a file, a line (as FILE:LINE).
        StoreError: an output or the index cannot be written.
    """
    _check_paths(plan)
    empty = new_index(plan.threshold, plan.tokenizer, plan.method)
    if not plan.force:
        sampled = _BlankLines(lambda count: on_progress(DedupSummary(tokenizer=empty.tokenizer, num_blank=count)))
        check_fits(_regular_inputs(plan), empty, available_bytes(), plan.index, sampled.add)
    if plan.index is None:
        return _Pass(plan, empty, note, on_progress).run(stream)
    with IndexFile(plan.index, plan.threshold, plan.tokenizer, plan.method) as kept:
        if kept.index.tokenizer != empty.tokenizer:
            made_with = f"was made with tokenizer {kept.index.tokenizer} and goes on with it"
            note(f"{plan.index}: {made_with}; a new index would have {empty.tokenizer}")
        return _Pass(plan, kept.index, note, on_progress, kept.prepared).run(stream)


def _regular_inputs(plan: DedupPlan) -> Iterator[Source]:
    yield from (_input(path, plan) for path in plan.files if path != STDIN)
    yield from _against_sources(plan)


def _against_sources(plan: DedupPlan) -> Iterator[Source]:
    for path in plan.against:
        field = field_or_line(path, plan.against_field, plan.field)
        yield Source(path, field, "--against-field", plan.max_text_bytes)


def _input(path: Path, plan: DedupPlan) -> Source:
    return Source(path, plan.field, max_text_bytes=plan.max_text_bytes)


def _check_paths(plan: DedupPlan) -> None:
    """Refuse a plan that reads and writes one file, or stdin twice."""
    inputs = [*plan.files, *plan.against]
    if not plan.files:
        raise InputError("no file is given; name at least one, or - for stdin")
    if inputs.count(STDIN) > 1 or STDIN in plan.against:
        raise InputError("-: stdin can be read once, as one of the files")
    if plan.rejected == STDIN:
        raise InputError("--rejected -: stdout is for kept rows; name a file")
    if plan.index is not None:
        regular_target(plan.index)
    outputs = [path for path in (plan.out, plan.rejected) if path is not None]
    for path in outputs:
        check_replaceable(path, overwrite=plan.overwrite)
    taken = {os.path.realpath(path) for path in inputs if is_file(path)}
    for path in [*outputs, *([plan.index] if plan.index is not None else [])]:
        if os.path.realpath(path) in taken:
            raise InputError(f"{path}: is already used by this call; give each file a name of its own")
        if not is_there(path) or is_file(path):
            taken.add(os.path.realpath(path))


class _Places:
    """Where the n-th row stands: file and line. Takes memory for each blank line and file, not for each row."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = rows
        self._firsts: list[int] = []
        self._starts: list[tuple[Path, int]] = []

    def __iter__(self) -> Iterator[Row]:
        expected: tuple[Path | None, int] = (None, 0)
        for position, row in enumerate(self._rows):
            if (row.path, row.number) != expected:
                self._firsts.append(position)
                self._starts.append((row.path, row.number))
            expected = row.path, row.number + 1
            yield row

    def __getitem__(self, position: int) -> dict[str, Any]:
        run = bisect_right(self._firsts, position) - 1
        path, number = self._starts[run]
        return {"file": str(path), "line": number + position - self._firsts[run]}


class _BlankLines:
    """Counts blank lines, and tells how many there are: of hundreds of millions, somebody wants to know meanwhile."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self.count = 0

    def add(self, count: int) -> None:
        self.count += count
        if count:
            self._tell(self.count)


class _Pass:
    """One pass over the files."""

    def __init__(
        self,
        plan: DedupPlan,
        index: Index,
        note: Callable[[str], None],
        on_progress: Callable[[DedupSummary], None],
        prepared: Callable[[], NewSnapshot] | None = None,
    ) -> None:
        self._plan = plan
        self._index = index
        self._note = note
        self._on_progress = on_progress
        self._prepared = prepared
        self._blank = _BlankLines(lambda count: on_progress(self._summary()))
        self._input = _Places(row for path in plan.files for row in rows_of(_input(path, plan), self._blank.add))
        self._against = _Places(row for source in _against_sources(plan) for row in rows_of(source))
        self._num_near = {"input": 0, "against": 0, "index": 0}
        self._num_kept = 0
        self._num_tokenless = 0

    def run(self, stream: Stream) -> DedupSummary:
        with ExitStack() as prepared:
            with ExitStack() as opened:
                out = stream if self._plan.out is None else opened.enter_context(Output(self._plan.out))
                rejected = None if self._plan.rejected is None else opened.enter_context(Output(self._plan.rejected))
                self._decide(out, rejected)
                for output in (out, rejected):
                    if isinstance(output, Output):
                        output.finish()
                # The last that a full disk can stop, and before any output has its name.
                snapshot = None if self._prepared is None else self._prepared()
                if snapshot is not None:
                    prepared.callback(snapshot.discard)
            if snapshot is not None:
                snapshot.put()
        self._on_progress(self._summary())
        recall = self._index.measured_recall() if isinstance(self._index, LSHIndex) else None
        return replace(self._summary(), recall=recall)

    def _decide(self, out: Stream | Output, rejected: Output | None) -> None:
        against = (row.text for row in self._against)
        decisions = dedup(self._input, lambda row: row.text, index=self._index, against=against)
        with writing_to("stdout"):  # an Output reports its own failures
            for decision in decisions:
                self._write(decision, out, rejected)
                if (decision.position + 1) % _EVERY == 0:
                    self._on_progress(self._summary())
            if not isinstance(out, Output):
                out.flush()  # before the index is saved: what it remembers has been written

    def _write(self, decision: Decision[Row], out: _Writable, rejected: _Writable | None) -> None:
        row = decision.item
        if decision.nearest is None:
            out.write(on_one_line(row.line) + b"\n")
            self._num_kept += 1
            self._look_for_tokens(row)
            return
        self._num_near[decision.nearest.source] += 1
        if rejected is not None:
            # The name of a file may be no text: what isn't becomes a question mark.
            nearest = json.dumps(self._place(decision.nearest), ensure_ascii=False).encode(errors="replace")
            # The row's own bytes, opened at its end: parsed and written again, numbers might come out as others.
            written = b'%s, "_nearest": %s, "_score": %r}' % (row.line[:-1], nearest, decision.score)
            rejected.write(on_one_line(written) + b"\n")

    def _place(self, neighbour: Neighbour) -> dict[str, Any]:
        if neighbour.source == "index":
            return {"index": str(self._plan.index), "position": neighbour.position}
        return (self._input if neighbour.source == "input" else self._against)[neighbour.position]

    def _look_for_tokens(self, row: Row) -> None:
        if _SURELY_HAS_TOKENS.search(row.text) or tokenize(row.text, self._index.tokenizer):
            return
        self._num_tokenless += 1
        if self._num_tokenless == 1:
            self._note(f"{row.path}:{row.number}: has no word in {self._plan.field}; such rows are kept and counted")

    def _summary(self) -> DedupSummary:
        return DedupSummary(
            tokenizer=self._index.tokenizer,
            num_rows=self._num_kept + sum(self._num_near.values()),
            num_kept=self._num_kept,
            num_rejected=self._num_near["input"] + self._num_near["index"],
            num_against=self._num_near["against"],
            num_tokenless=self._num_tokenless,
            num_blank=self._blank.count,
        )
