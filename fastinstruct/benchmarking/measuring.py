"""Every tool on one stream of texts: time, recall, precision, and how the time grows with the pool.

Tools that stream decide every text, in rounds that run them one after another, every other round in reverse; a ratio is
taken within a round, to our exact index in batches, and the median is given. Tools that compare a text with the whole
pool are asked about a sample: their time a text is extrapolated (time a pair x mean size of the pool over the stream).
Ratios are of CPU time, which other work on the machine disturbs less. Compiling is done before: see `prepared`.

A tool that raises, or gives no verdicts, has a row that says so; the others are measured all the same.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise, zip_longest
from typing import Any, TypeAlias, TypeVar

import numpy as np

from fastinstruct.benchmarking.arms import Arm, Contest, Matrix, Question, Scan, approximate
from fastinstruct.benchmarking.truth import Truth, spread
from fastinstruct.errors import Mismatch
from fastinstruct.escaping import on_one_line
from fastinstruct.similarity import warm_up

__all__ = ["Row", "measure", "prepared"]

Result = TypeVar("Result")
Row: TypeAlias = dict[str, Any]

_WARM_UP = 500
_MATRICES, _MATRIX = 10, 100  # so many batches, of so many texts
_FEWEST_FOR_GROWTH = 64
_MOST_CHARACTERS = 300


def prepared() -> float:
    """Compile every kernel, or load it; the wall time that took, in seconds."""
    begin = time.perf_counter()
    warm_up()
    approximate(Question()).start()(["compile every kernel", "compile every kernel"])
    return time.perf_counter() - begin


def measure(
    texts: list[str],
    question: Question,
    contest: Contest,
    rounds: int,
    *,
    slow_rounds: int | None = None,
    checked_pairs: int = 0,
    most_s: float = float("inf"),
    note: Callable[[str], None] = lambda text: None,
) -> Row:
    """Measure every tool on one stream; ratios are to the first of the arms.

    Args:
        texts: in the order in which they come; at least one.
        question: what is asked of each.
        contest: who is asked; our exact index is the first arm.
        rounds: how often each arm decides the stream.
        slow_rounds: the same for slow arms; None: as often as the others.
        checked_pairs: how many of the exact scores are held against rouge_score, which has to be installed then.
        most_s: how long a tool that is asked about a sample may take; at least one text is asked.
        note: gets what is measured now.

    Raises:
        Mismatch: rouge_score says another score than our exact index.
    """
    note("the exact verdicts")
    truth = Truth(texts, question)
    checked = truth.checked_pairs(checked_pairs) if checked_pairs else 0
    gc.collect()
    gc.freeze()  # or each look for garbage, which comes before each measurement, goes through all that was there before
    try:
        rows = _measured(truth, contest, (rounds, slow_rounds or rounds), most_s, note)
    finally:
        gc.unfreeze()
    return {
        "texts": len(texts),
        "mean_words": float(np.mean([len(text.split()) for text in texts])),
        "near_duplicates": int(truth.rejected.sum()),
        "mean_pool": truth.mean_pool,
        "growth_at": [{"texts": last, "pool": truth.pool_size(last)} for _, last in _parts(len(texts))],
        "scores_checked_by_rouge_score": checked,
        "rows": rows,
    }


def _measured(
    truth: Truth, contest: Contest, rounds: tuple[int, int], most_s: float, note: Callable[[str], None]
) -> list[Row]:
    rows = _streamed(truth, contest.arms, *rounds, note)
    ours_us = rows[0]["cpu_us"]
    for scan in contest.scans:
        note(scan.name)
        rows.append(_told(scan, lambda scan=scan: _scanned(truth, scan, ours_us, most_s)))  # type: ignore[misc]  # mypy can't infer a lambda with a default
    for matrix in contest.matrices:
        note(matrix.name)
        rows.append(_told(matrix, lambda matrix=matrix: _multiplied(truth, matrix, ours_us)))  # type: ignore[misc]  # the same
    return rows


# ------------------------------------------------------------------------------------------------------------- streams


@dataclass(slots=True)
class _Runs:
    """What an arm took in each round: wall and CPU seconds, CPU in proportion to ours, CPU of each part; its verdicts.

    `error`: what it raised, after which it is not asked again.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    parts: list[list[float]] = field(default_factory=list)
    verdicts: list[bool] = field(default_factory=list)
    error: str | None = None


def _streamed(
    truth: Truth, arms: Sequence[Arm], rounds: int, slow_rounds: int, note: Callable[[str], None]
) -> list[Row]:
    """All texts, in rounds; every other round in reverse order."""
    runs = [_Runs(error=_warmed_up(arm, truth, note)) for arm in arms]
    for number in range(rounds):
        asked = [place for place, arm in enumerate(arms) if number < (slow_rounds if arm.is_slow else rounds)]
        for place in asked if number % 2 == 0 else reversed(asked):
            note(f"round {number + 1} of {rounds}: {arms[place].name}, {arms[place].settings}")
            _run(arms[place], runs[place], truth.texts, truth.question.batch)
        for place in asked:
            if runs[place].error is None:
                runs[place].ratios.append(runs[place].cpu[-1] / runs[0].cpu[-1])
    return [_row_of(arm, run, truth) for arm, run in zip(arms, runs, strict=True)]


def _warmed_up(arm: Arm, truth: Truth, note: Callable[[str], None]) -> str | None:
    """Let an arm decide a few texts, which pays for imports, tables made once and first pages; its error, if any."""
    note(f"warming up {arm.name}, {arm.settings}")
    run = _Runs()
    _run(arm, run, truth.texts[:_WARM_UP], truth.question.batch)
    return run.error


def _run(arm: Arm, run: _Runs, texts: list[str], batch: int) -> None:
    """Let an arm decide the stream once, batch by batch, with a look at the clock after each."""
    if run.error is not None:
        return
    borders = [0, len(texts)] if arm.is_whole else _borders(len(texts), batch)
    gc.collect()
    verdicts, clocks = list[bool](), [time.process_time()]
    begin = time.perf_counter()
    try:
        decide = arm.start()
        for first, last in pairwise(borders):
            verdicts += _counted(list(decide(texts[first:last])), last - first)
            clocks.append(time.process_time())
    except Exception as error:  # noqa: BLE001  another tool's, of any kind
        run.error = _shown(error)
        return
    run.wall.append(time.perf_counter() - begin)
    run.cpu.append(clocks[-1] - clocks[0])
    run.verdicts = verdicts
    parts = [] if arm.is_whole else _parts(len(texts))
    if parts:
        at = dict(zip(borders, clocks, strict=True))
        run.parts.append([(at[last] - at[first]) / (last - first) for first, last in parts])


def _counted(verdicts: list[bool], count: int) -> list[bool]:
    if len(verdicts) != count:
        raise Mismatch(f"{len(verdicts):,} verdicts on {count:,} texts", case=count, expected=count, said=len(verdicts))
    return verdicts


def _borders(count: int, batch: int) -> list[int]:
    """Where batches begin and end: every so many texts, and around the parts by which growth is seen."""
    return sorted({*range(0, count, batch), count, *chain.from_iterable(_parts(count))})


def _parts(count: int) -> list[tuple[int, int]]:
    """The last eighth of the stream's texts before a quarter, a half and all of them have come; none of a short one."""
    if count < _FEWEST_FOR_GROWTH:
        return []
    return [(last - count // 8, last) for last in (count // 4, count // 2, count)]


def _row_of(arm: Arm, run: _Runs, truth: Truth) -> Row:
    if run.error is not None:
        return _failed(arm.name, arm.settings, run.error)
    each = 1e6 / len(truth.texts)
    return {
        "name": arm.name,
        "settings": arm.settings,
        "asked": len(truth.texts),
        "rounds": len(run.cpu),
        "us": each * float(np.median(run.wall)),
        "cpu_us": each * float(np.median(run.cpu)),
        "times_ours": float(np.median(run.ratios)),
        **truth.judged(run.verdicts),
        "growth_cpu_us": [1e6 * float(part) for part in np.median(run.parts, axis=0)] if run.parts else None,
        "error": None,
    }


# ------------------------------------------------------------------------------------------------------------- samples


def _told(tool: Scan | Matrix, measured: Callable[[], Row]) -> Row:
    """What was measured, or the row of a tool that failed."""
    try:
        return measured()
    except Exception as error:  # noqa: BLE001  another tool's, of any kind
        return _failed(tool.name, tool.settings, _shown(error))


def _scanned(truth: Truth, scan: Scan, ours_us: float, most_s: float) -> Row:
    """A sample, half of it rejected by the truth if so many are."""
    rejects = scan.make()
    places, verdicts, wall, cpu, pairs = list[int](), list[bool](), 0.0, 0.0, 0
    for place in _sample(truth, scan.samples):
        pool, text = truth.pool(place), truth.texts[place]
        verdict, wall_one, cpu_one = _timed(lambda pool=pool, text=text: rejects(pool, text))  # type: ignore[misc]  # mypy can't infer a lambda with a default
        places.append(place)
        verdicts.append(verdict)
        wall, cpu, pairs = wall + wall_one, cpu + cpu_one, pairs + len(pool)
        if wall > most_s:
            break
    if not pairs:
        return _failed(scan.name, scan.settings, "too few texts to ask about")
    scale = 1e6 * truth.mean_pool / pairs
    row = _sampled(scan, len(places), wall * scale, cpu * scale, ours_us)
    return row | truth.judged(verdicts, places)


def _sample(truth: Truth, count: int) -> Iterator[int]:
    """Places of texts that are rejected and that are kept, in turns, so that one that is cut short has both."""
    rejected = spread(np.flatnonzero(truth.rejected), count // 2)
    kept = spread(truth.kept[1:], count - len(rejected))
    turns = chain.from_iterable(zip_longest(rejected, kept))
    return (place for place in turns if place is not None)


def _multiplied(truth: Truth, matrix: Matrix, ours_us: float) -> Row:
    """Whole batches at places spread over the stream; the texts are prepared once, as a caller would."""
    texts = truth.texts
    prepared_texts, wall, cpu = _timed(lambda: matrix.prepare(texts))
    wall, cpu = wall / len(texts), cpu / len(texts)
    places, verdicts, pairs, spent, cpu_spent = list[int](), list[bool](), 0, 0.0, 0.0
    starts = np.arange(_MATRIX, len(texts) - _MATRIX, dtype=np.int64)
    for first in spread(starts, min(_MATRICES, max(len(starts) // _MATRIX, 1))):  # none twice in a short stream
        pool = [prepared_texts[kept] for kept in truth.kept[: truth.pool_size(first)].tolist()]
        batch = prepared_texts[first : first + _MATRIX]
        said, wall_one, cpu_one = _timed(lambda pool=pool, batch=batch: matrix.rejected(pool, batch))  # type: ignore[misc]  # mypy can't infer a lambda with a default
        verdicts += said
        places += range(first, first + _MATRIX)
        spent, cpu_spent, pairs = spent + wall_one, cpu_spent + cpu_one, pairs + len(batch) * len(pool)
    if not pairs:
        return _failed(matrix.name, matrix.settings, f"too few texts to ask about; {3 * _MATRIX} will do")
    wall, cpu = wall + spent * truth.mean_pool / pairs, cpu + cpu_spent * truth.mean_pool / pairs
    return _sampled(matrix, len(places), 1e6 * wall, 1e6 * cpu, ours_us) | truth.judged(verdicts, places)


def _timed(work: Callable[[], Result]) -> tuple[Result, float, float]:
    """What `work` gave, and its wall and CPU time in seconds."""
    gc.collect()
    begin, cpu_begin = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - begin, time.process_time() - cpu_begin


def _sampled(tool: Scan | Matrix, asked: int, us: float, cpu_us: float, ours_us: float) -> Row:
    return {
        "name": tool.name,
        "settings": tool.settings,
        "asked": asked,
        "rounds": 1,
        "us": us,
        "cpu_us": cpu_us,
        "times_ours": cpu_us / ours_us,
        "growth_cpu_us": None,
        "error": None,
    }


def _failed(name: str, settings: str, error: str) -> Row:
    nothing = dict.fromkeys(("us", "cpu_us", "times_ours", "recall", "precision", "kept", "growth_cpu_us"))
    return {"name": name, "settings": settings, "asked": 0, "rounds": 0, **nothing, "error": error}


def _shown(error: Exception) -> str:
    """What another tool raised, on one line of bounded length: it may have a whole text in it."""
    return on_one_line(f"{type(error).__name__}: {error}")[:_MOST_CHARACTERS]
