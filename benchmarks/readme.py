"""Write the README's tables from benchmark results.

Reads the JSON document that each benchmark prints as its last line (`make bench` keeps them in benchmarks/results/)
and replaces what stands between `<!-- NAME: ... -->` and `<!-- /NAME -->`.

    python benchmarks/readme.py benchmarks/results/*.json
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

README = Path(__file__).parent.parent / "README.md"


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


def peers(found: dict[str, Any]) -> str:
    """Lay out the result of peers.py: verdicts on the stream with edits, and what is kept of the plain one."""
    edited, plain = found["streams"].values()
    headings = ["tool", "us a text", "times ours", "recall", "precision", f"kept of {plain['texts']:,}"]
    rows = [peers_row(*each) for each in zip(edited["rows"], plain["rows"], strict=True)]
    return table(headings, rows)


def peers_row(edited: dict[str, Any], plain: dict[str, Any]) -> list[str]:
    """Lay out one tool; what was extrapolated from a sample says so."""
    sampled = plain["kept"] is None
    about = "~" if sampled else ""
    return [
        f"{edited['name']}, {edited['settings']}" + (f" (sample of {edited['asked']:,})" if sampled else ""),
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


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "runtime": runtime,
    "slot_use": slot_use,
    "peers": peers,
    "peers_long": peers_long,
    "growth": growth,
}


def replaced(readme: str, name: str, table: str) -> str:
    """Return the README with one table replaced."""
    pattern = re.compile(rf"(<!-- {name}:[^>]*-->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(readme):
        raise SystemExit(f"README.md: there is no place for the table {name}")
    return pattern.sub(lambda match: f"{match[1]}{table}\n{match[2]}", readme)


def main() -> None:
    readme = README.read_text(encoding="utf-8")
    for path in map(Path, sys.argv[1:]):
        found = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
        readme = replaced(readme, found["benchmark"], TABLES[found["benchmark"]](found))
    README.write_text(readme, encoding="utf-8")


if __name__ == "__main__":
    main()
