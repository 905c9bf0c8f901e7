"""Write the tables of figures in the README and in docs/ from benchmark results.

Reads the JSON document that each benchmark prints as its last line (`make bench` keeps them in benchmarks/results/)
and replaces what stands between `<!-- NAME: ... -->` and `<!-- /NAME -->`, in whichever page that is.

    python -m benchmarks.readme benchmarks/results/*.json
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent

BRIEF = (
    "FastInstruct, batches of 1,000",
    "Rensa deduplicator, threshold 0.7",
    "Rensa RMinHashLSH, tuned: 0.54, 32 bands",
    "datasketch MinHashLSH, threshold 0.7",
    "RapidFuzz cdist, tokens as characters",
    "rouge_score, score",
)
"""The rows of peers.py that the README shows; docs/benchmarks.md has them all."""


def slot_use(found: dict[str, Any]) -> str:
    """Lay out the result of slot_use.py as a table."""
    rows = [
        ("requests in flight allowed", f"{found['num_slots']}"),
        ("slots busy while work waits", f"**{found['busy_share']:.1%}**"),
        ("requests", f"{found['num_requests']:,}"),
        ("instructions admitted, examples kept", f"{found['num_admitted']:,}, {found['num_examples']:,}"),
    ]
    return "\n".join(["| what | measured |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)])


def runtime(found: dict[str, Any]) -> str:
    """Lay out the result of runtime.py: what it ran on, and a line for each goal."""
    stated = ", ".join(f"{package} {number}" for package, number in found["versions"].items())
    capacities = [f"{row['requests_per_cpu_s']:,} ({row['replies']})" for row in found["server"]]
    server = f"What the server can answer for a second of its core: {', '.join(capacities)} requests. {stated}."
    marks = {True: "yes", False: "**no**", None: "not measured"}
    rows = [
        f"| {goal['what']} | {goal['bar']} | {goal['measured']} | {marks[goal['is_met']]} |" for goal in found["goals"]
    ]
    return "\n".join([server, "", "| goal | bar | measured | met |", "|---|---|---|---|", *rows])


def table(headings: list[str], rows: list[list[str]]) -> str:
    """Lay out a table whose first column is text and whose others are numbers."""
    marks = ["---", *["---:"] * (len(headings) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [headings, marks, *rows])


def peers(found: dict[str, Any], only: Collection[str] | None = None) -> str:
    """Lay out the result of peers.py: verdicts on the stream with edits, and what is kept of the plain one."""
    edited, plain = found["streams"].values()
    headings = ["tool", "us a text", "times ours", "recall", "precision", f"kept of {plain['texts']:,}"]
    pairs = zip(edited["rows"], plain["rows"], strict=True)
    return table(headings, [peers_row(*pair) for pair in pairs if only is None or tool(pair[0]) in only])


def peers_brief(found: dict[str, Any]) -> str:
    """Lay out the few rows of peers.py that tell most."""
    return peers(found, BRIEF)


def tool(row: dict[str, Any]) -> str:
    """Name a tool and how it was set."""
    return f"{row['name']}, {row['settings']}"


def peers_row(edited: dict[str, Any], plain: dict[str, Any]) -> list[str]:
    """Lay out one tool; what was extrapolated from a sample says so."""
    sampled = plain["kept"] is None
    about = "~" if sampled else ""
    return [
        tool(edited) + (f" (sample of {edited['asked']:,})" if sampled else ""),
        about + significant(edited["cpu_us"]),
        about + significant(edited["times_ours"]),
        *(f"{edited[what]:.3f}" if edited[what] is not None else "" for what in ("recall", "precision")),
        "" if sampled else f"{plain['kept']:,}",
    ]


def peers_long(found: dict[str, Any]) -> str:
    """Lay out the result of peers_long.py: a table for each kind of text."""
    return "\n\n".join(peers_long_stream(stream) for stream in found["streams"].values())


def peers_long_stream(found: dict[str, Any]) -> str:
    """Lay out the verdicts on one stream of long texts, under a line that says what it is."""
    texts = f"{found['source']}: {found['texts']:,} texts of {found['mean_words']:.0f} words on average"
    title = f"{texts}, {found['near_duplicates']:,} of them near-duplicates"
    headings = [title, "us a text", "times RougeIndex", "recall", "precision", "kept"]
    return table(headings, [peers_row(row, row) for row in found["rows"]])


def significant(number: float) -> str:
    """Round to three digits from 100 on, to two decimal places below 1, else to one."""
    if number < 1:
        return f"{number:.2f}"
    return f"{number:.1f}" if number < 100 else f"{float(f'{number:.3g}'):,.0f}"


def growth(found: dict[str, Any]) -> str:
    """Lay out the result of growth.py: time and memory as the pool grows."""
    rows = [
        [
            f"{row['texts']:,.0f}",
            f"{row['pool']:,.0f}",
            f"{row['mean_us']:.1f}",
            f"{row['last_tenth_us']:.1f}",
            f"{row['bytes_per_pool_text']:.0f}",
        ]
        for row in found["rows"]
    ]
    return table(["texts", "of them admitted", "us a text", "us a text, last tenth", "bytes an admitted text"], rows)


def shapes(found: dict[str, Any]) -> str:
    """Lay out the result of shapes.py: the same questions to index, scan and `LSHIndex`."""
    headings = ["texts", "pool", "words", "batch, us", "single, us", "scan, us", "LSHIndex, us", "batch / scan"]
    rows = [
        [
            row["shape"],
            f"{row['pool']:,}",
            f"{row['words']:.0f}",
            *(significant(row["us"][arm]) for arm in ("batch", "single", "scan", "lsh")),
            f"{row['ratios']['batch / scan']['median']:.2f}",
        ]
        for row in found["rows"]
    ]
    return table(headings, rows)


TABLES: dict[str, dict[str, Callable[[dict[str, Any]], str]]] = {
    "runtime": {"runtime": runtime},
    "slot_use": {"slot_use": slot_use},
    "peers": {"peers": peers, "peers_brief": peers_brief},
    "peers_long": {"peers_long": peers_long},
    "growth": {"growth": growth},
    "shapes": {"shapes": shapes},
}
"""Benchmark -> place in a page -> what lays its table out."""


def pages(repository: Path) -> list[Path]:
    """Return the pages that may hold a table."""
    return [repository / "README.md", *sorted((repository / "docs").glob("*.md"))]


def replaced(texts: dict[Path, str], name: str, table: str) -> dict[Path, str]:
    """Return the pages with one table replaced, in each that has a place for it.

    Raises:
        SystemExit: none has.
    """
    pattern = re.compile(rf"(<!-- {name}:[^>]*-->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not any(map(pattern.search, texts.values())):
        raise SystemExit(f"{', '.join(path.name for path in texts)}: there is no place for the table {name}")
    return {path: pattern.sub(lambda match: f"{match[1]}{table}\n{match[2]}", text) for path, text in texts.items()}


def main(results: Iterable[Path], repository: Path = REPOSITORY) -> None:
    """Bring the pages of a repository up to these results."""
    before = {path: path.read_text(encoding="utf-8") for path in pages(repository)}
    texts = before
    for result in results:
        found = json.loads(result.read_text(encoding="utf-8").splitlines()[-1])
        for name, laid_out in TABLES[found["benchmark"]].items():
            texts = replaced(texts, name, laid_out(found))
    for path, text in texts.items():
        if text != before[path]:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(map(Path, sys.argv[1:]))
