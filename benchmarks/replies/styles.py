"""How much of what models say is kept, and how much that they did not say, by their way of writing.

For each style of the scripted server, replies of every stage go through the wire and the parsers, once as text and once
as JSON; then whole runs (`plain` and `mixed`, or each style with --all-runs) go against the server on loopback, once
with `model.replies: auto` and once with `text`. What was kept is held against the truth that the server knows. A table
for people, one JSON document as the last line.

    python -m benchmarks.replies.styles --replies 100 --check
    python -m benchmarks.replies.styles --replies 100 --styles bold torn --surprises 3
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import fastinstruct
from benchmarks.replies.style_rows import Figures, measure, wrong_rows
from fastinstruct.config import load_config
from fastinstruct.errors import FastInstructError
from fastinstruct.pipeline import Run
from fastinstruct.records import Instance
from fastinstruct.scripted_server import MIXED, STYLES, Script, ScriptedServer
from fastinstruct.scripted_server.replies import Kind
from fastinstruct.store import RunReader

MIN_KEPT = {"json": 0.99, "text": 0.95}
"""The share of true rows that must be kept over all styles of a form; of wrong rows there must be none in any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFigures:
    """What one whole run kept; `replies` is what its configuration says, `failure` why it broke off, if it did."""

    style: str
    replies: str
    num_replies: int
    num_examples: int
    num_wrong: int
    failure: str = ""


async def run_once(style: str, replies: str, folder: Path, target: int) -> RunFigures:
    """Generate `target` instructions from a server that writes so."""
    async with ScriptedServer(Script(style=style)) as server:
        flags = {
            "model.base_url": server.base_url,
            "model.name": "scripted",
            "model.api": "chat",
            "model.replies": replies,
            "out": folder,
            "target": target,
            "budget.max_requests": 40 * target,
            "runtime.max_in_flight": 8,
        }
        failure = ""
        try:
            await Run(load_config(flags=flags), env={}).execute()
        except FastInstructError as error:
            failure = str(error)
        truths = [entry.truth for entry in server.log if entry.truth is not None]
    with RunReader(folder) as reader:
        examples = [(row.instruction, Instance(input=row.input, output=row.output)) for row in reader.examples()]
    return RunFigures(
        style=style,
        replies=replies,
        num_replies=len(truths),
        num_examples=len(examples),
        num_wrong=sum(1 for _ in wrong_rows(examples, truths)),
        failure=failure,
    )


def whole_runs(styles: Sequence[str], target: int) -> list[RunFigures]:
    """A run for each style that may ask for JSON, and one that asks for text."""
    with tempfile.TemporaryDirectory() as name:
        return [
            asyncio.run(run_once(style, replies, Path(name) / f"{style}-{replies}", target))
            for style in styles
            for replies in ("auto", "text")
        ]


def overall(figures: Sequence[Figures], form: str) -> float:
    """The share of true rows kept over all styles of a form."""
    chosen = [one for one in figures if one.form == form]
    num_true = sum(one.num_true for one in chosen)
    return sum(one.num_kept for one in chosen) / num_true if num_true else 1.0


def missed(figures: Sequence[Figures], runs: Sequence[RunFigures]) -> list[str]:
    """The bars that were not reached, each in a line."""
    lines = [f"{one.style}, {one.form}: {one.num_wrong} wrong rows" for one in figures if one.num_wrong]
    for run in runs:
        told = run.failure or (f"{run.num_wrong} wrong rows" if run.num_wrong else "")
        lines += [f"run {run.style}, {run.replies}: {told}"] if told else []
        lines += [f"run {run.style}, {run.replies}: no example"] if not run.num_examples else []
    for form, least in MIN_KEPT.items():
        if (share := overall(figures, form)) < least:
            lines.append(f"{form}: {share:.2%} of the true rows kept, at least {least:.0%} wanted")
    return lines


def show(figures: Sequence[Figures], runs: Sequence[RunFigures]) -> None:
    """Print the tables."""
    print(
        f"{'style':<22}{'form':<6}{'replies':>8}{'true rows':>11}{'kept':>9}{'marker-like':>13}{'wrong':>16}"
        f"{'unreadable':>12}"
    )
    for one in figures:
        marked = f"{one.num_marker_like_kept}/{one.num_marker_like}"
        wrong = f"{one.num_wrong} ({one.wrong_share:.1%})"
        print(
            f"{one.style:<22}{one.form:<6}{one.num_replies:>8}{one.num_true:>11}{one.kept_share:>9.1%}{marked:>13}"
            f"{wrong:>16}{one.num_unreadable:>12}"
        )
    for form in MIN_KEPT:
        print(f"{'over all styles':<22}{form:<6}{overall(figures, form):>28.2%}")
    for run in runs:
        found = f"{run.num_examples} examples of {run.num_replies} replies, {run.num_wrong} wrong"
        print(f"run: {run.style}, {run.replies}: {found}")


def show_surprises(figures: Sequence[Figures], most: int) -> None:
    """Print the first replies of each style that lost a row or gave a wrong one, the wrong ones first."""
    for one in figures:
        for surprise in sorted(one.surprises, key=lambda surprise: not surprise.wrong)[:most]:
            print(f"\n=== {one.style}, {one.form}, {surprise.kind}")
            print("\n".join(f"wrong: {row!r}" for row in surprise.wrong))
            print("\n".join(f"lost: {row!r}" for row in surprise.lost))
            print(f"rejected: {', '.join(surprise.rejected)}; stumbled over: {surprise.stumbled_over}\n--- reply")
            print(surprise.text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replies", type=int, default=100, help="of each stage, style and form")
    parser.add_argument("--styles", nargs="+", choices=list(STYLES), default=list(STYLES), metavar="STYLE")
    parser.add_argument("--forms", nargs="+", choices=list(MIN_KEPT), default=list(MIN_KEPT))
    parser.add_argument("--kinds", nargs="+", type=Kind, choices=list(Kind), default=list(Kind), metavar="KIND")
    parser.add_argument("--surprises", type=int, default=0, help="show so many misread replies of each style")
    parser.add_argument("--target", type=int, default=30, help="of the whole runs; 0 leaves them out")
    parser.add_argument("--all-runs", action="store_true", help="a whole run for each style, not for two alone")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a bar is missed")
    arguments = parser.parse_args()
    figures = [
        measure(style, num_replies=arguments.replies, as_json=form == "json", kinds=arguments.kinds)
        for form in arguments.forms
        for style in arguments.styles
    ]
    styles = arguments.styles if arguments.all_runs else ["plain", MIXED]
    runs = whole_runs(styles, arguments.target) if arguments.target else []
    show_surprises(figures, arguments.surprises)
    show(figures, runs)
    lines = missed(figures, runs)
    print("\n".join(f"missed: {line}" for line in lines) or "all bars reached")
    document = {
        "benchmark": "styles",
        "fastinstruct": fastinstruct.__version__,
        "kept": {form: overall(figures, form) for form in arguments.forms},
        "styles": [{key: value for key, value in asdict(one).items() if key != "surprises"} for one in figures],
        "runs": [asdict(run) for run in runs],
        "missed": lines,
    }
    print(json.dumps(document))
    if arguments.check and lines:
        sys.exit(1)


if __name__ == "__main__":
    main()
