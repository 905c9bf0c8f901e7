"""`fastinstruct bench`: measure the filter, and others that are installed, on a person's own texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fastinstruct.benchmarking import BenchPlan

__all__ = ["bench"]


def bench(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON Lines, plain, .gz or .zst; - for stdin.")],
    field: Annotated[
        list[str] | None,
        typer.Option("--field", help="The texts to compare; dots lead inwards. Repeatable. Default: instruction."),
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            "--peer",
            help="rensa, datasketch, rouge-score, rouge-score-rs, rapidrouge, rapidfuzz; or none. Repeatable. "
            "Default: all that are installed.",
        ),
    ] = None,
    threshold: Annotated[float, typer.Option("--threshold", help="Reject above this ROUGE-L F-measure.")] = 0.7,
    tokenizer: Annotated[
        str,
        typer.Option("--tokenizer", help="rouge (a-z and 0-9, what every peer knows), or unicode (every script)."),
    ] = "rouge",
    rows: Annotated[int | None, typer.Option("--rows", min=1, help="Only the first so many rows.")] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="How often each tool decides all of them.")] = 3,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the JSON document alone, without the table before it.")
    ] = False,
) -> None:
    """Measure the near-duplicate filter on your texts.

    Beside it, in turns: every peer that is installed. Prints time a text, recall, precision and growth; last, one line
    of JSON. Compiling is not counted.
    """
    from fastinstruct.benchmarking import BenchPlan

    plan = BenchPlan(
        file=file,
        fields=tuple(field or ("instruction",)),
        peers=tuple(peer) if peer else None,
        threshold=threshold,
        tokenizer=tokenizer,
        rows=rows,
        rounds=rounds,
    )
    _carried_out(plan, as_json=as_json)


def _carried_out(plan: BenchPlan, *, as_json: bool) -> None:
    from fastinstruct.benchmarking import bench as measured
    from fastinstruct.cli.logs import logged_to
    from fastinstruct.cli.signals import ended_by_sigterm
    from fastinstruct.cli.terminal import redraw, say, say_json, tell

    def shown(line: str) -> None:
        redraw("")
        if not as_json:
            say(line)

    def warned(line: str) -> None:
        redraw("")
        tell(line)

    try:
        with ended_by_sigterm(), logged_to(_once(warned)):
            document: dict[str, Any] = measured(plan, say=shown, note=redraw)
    finally:
        redraw("")
    say_json(document)


def _once(tell: Callable[[str], None]) -> Callable[[str], None]:
    """Tell each line once: every index warns anew, and there are many."""
    told: set[str] = set()

    def once(line: str) -> None:
        if line not in told:
            told.add(line)
            tell(line)

    return once
