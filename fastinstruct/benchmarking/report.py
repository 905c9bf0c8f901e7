"""What was measured, as a table for people and as one JSON document.

Knows nothing of how it was measured. Prints nothing.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastinstruct.benchmarking.arms import Question
from fastinstruct.benchmarking.measuring import Row
from fastinstruct.benchmarking.peers import PEERS

__all__ = ["document", "load", "table"]

_TIMES = f"{'us a text':>12}{'CPU us':>12}{'x ours':>10}"


def load() -> float | None:
    """The machine's load over the last minute; None where it does not tell."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def table(name: str, found: Row) -> Iterator[str]:
    """The lines of the table of one stream, a heading before it and how to read it after."""
    checked = found["scores_checked_by_rouge_score"]
    yield (
        f"{name}: {found['texts']:,} texts of {found['mean_words']:.0f} words, "
        f"{found['near_duplicates']:,} of them near-duplicates by exact ROUGE-L"
        + (f" ({checked:,} of their scores checked by rouge_score)" if checked else "")
    )
    growth = "".join(f"{'at ' + format(at['texts'], ','):>12}" for at in found["growth_at"])
    yield f"{'tool':<25}{'settings':<27}{_TIMES}{'recall':>8}{'precision':>10}{'kept':>9}{growth}"
    for row in found["rows"]:
        yield f"{row['name']:<25}{row['settings']:<27}" + (_figures(row) if row["error"] is None else row["error"])
    if any(row["error"] is None and row["kept"] is None for row in found["rows"]):
        yield "(n): asked about n texts only; time a text = time a pair x mean pool"
    if growth:
        yield "at n: CPU us a text of the last ones before n have come, an eighth of all"


def _figures(row: Row) -> str:
    recall, precision = (f"{row[what]:.3f}" if row[what] is not None else "-" for what in ("recall", "precision"))
    kept = f"{row['kept']:,}" if row["kept"] is not None else f"({row['asked']:,})"
    times = f"{row['us']:>12,.2f}{row['cpu_us']:>12,.2f}{row['times_ours']:>10,.1f}"
    growth = "".join(f"{each:>12,.2f}" for each in row["growth_cpu_us"] or ())
    return f"{times}{recall:>8}{precision:>10}{kept:>9}{growth}"


def document(
    benchmark: str,
    question: Question,
    streams: Mapping[str, Row],
    *,
    compile_s: float,
    load_before: float | None,
    **more: Any,  # noqa: ANN401  whatever JSON has
) -> dict[str, Any]:
    """All that was measured, how, and with which versions."""
    return {
        "benchmark": benchmark,
        "threshold": question.threshold,
        "tokenizer": question.tokenizer,
        "batch": question.batch,
        "compile_s": compile_s,
        "load": [load_before, load()],
        "machine": platform.machine(),
        "versions": _versions(),
        **more,
        "streams": dict(streams),
    }


def _versions() -> dict[str, str | None]:
    """Package -> version, None of one that is not installed."""
    found: dict[str, str | None] = {}
    for package in ("fastinstruct", *PEERS, "numba", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found
