"""`fastinstruct refilter`: read a run's answers anew with other filters, into a new run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastinstruct.cli.options import AgainstFieldOption, against_files

if TYPE_CHECKING:
    from fastinstruct.pipeline import Refiltered
    from fastinstruct.store import Totals

__all__ = ["refilter"]


def refilter(
    out: Annotated[Path, typer.Option("--out", "-o", help="The new run's folder, which must be new or empty.")],
    run: Annotated[Path | None, typer.Argument(help="The run's folder. Default: the newest under runs/.")] = None,
    threshold: Annotated[float | None, typer.Option("--threshold", help="The new similarity.threshold.")] = None,
    tokenizer: Annotated[str | None, typer.Option("--tokenizer", help="The new similarity.tokenizer.")] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            "--against",
            metavar="FILE",
            help="The new similarity.against: reject what is near this evaluation set. Repeatable.",
        ),
    ] = None,
    against_field: AgainstFieldOption = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change any key of similarity or filters, or instances.max_instances, such as filters.min_words=3.",
        ),
    ] = None,
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Make anew what is damaged on disk, where the answers are whole.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what came of it as one JSON object.")] = False,
) -> None:
    """Judge a run's candidates anew, without asking the model.

    The run itself is only read, also while it goes on. The new folder is a run like any other: `run` asks the model
    about what is admitted now and was not before, and goes on to the target.
    """
    from fastinstruct.cli.chosen_run import chosen_run
    from fastinstruct.cli.logs import logged_to
    from fastinstruct.cli.signals import ended_by_sigterm
    from fastinstruct.cli.terminal import say, say_json, tell
    from fastinstruct.config import parse_assignment
    from fastinstruct.pipeline import refilter as refilter_run

    changes: dict[str, Any] = {
        "similarity.threshold": threshold,
        "similarity.tokenizer": tokenizer,
        "similarity.against": against_files(against, against_field),
    }
    changes.update(dict(parse_assignment(text) for text in assignments or []))
    try:
        with ended_by_sigterm(), logged_to(_note):
            found = refilter_run(chosen_run(run), out, changes, on_progress=_show_progress, skip_damaged=skip_damaged)
    finally:
        _clear_progress()
    if as_json:
        say_json(_as_json(found))
        return
    say("\n".join(_lines(found)))
    tell(_next_steps(found))


def _show_progress(num_read: int, num_requests: int) -> None:
    """Draw one line on stderr anew, if that is a terminal."""
    from fastinstruct.cli.terminal import redraw

    redraw(f"{num_read:,} of {num_requests:,} answers")


def _clear_progress() -> None:
    from fastinstruct.cli.terminal import redraw

    redraw("")


def _note(text: str) -> None:
    from fastinstruct.cli.terminal import tell

    _clear_progress()
    tell(text)


def _as_json(found: Refiltered) -> dict[str, Any]:
    return {
        "run": str(found.run),
        "out": str(found.out),
        "changes": {key: {"before": old, "after": new} for key, (old, new) in found.changes.items()},
        "before": _counts(found.before),
        "after": _counts(found.after),
        "num_kept": found.num_kept,
        "num_gained": found.num_gained,
        "num_lost": found.num_lost,
        "num_left_out": found.num_left_out,
        "num_to_classify": found.num_to_classify,
        "num_to_instantiate": found.num_to_instantiate,
    }


def _counts(totals: Totals) -> dict[str, Any]:
    return {
        "num_candidates": totals.num_candidates,
        "num_admitted": totals.num_admitted,
        "num_examples": totals.num_examples,
        "rejected": totals.rejected,
        "rejected_instances": totals.rejected_instances,
    }


def _lines(found: Refiltered) -> Iterator[str]:
    """Say the same for people: a table, and what became of the instructions."""
    before, after = found.before, found.after
    for key, (old, new) in found.changes.items():
        yield f"{key}: {_shown(old)} -> {'other texts' if new == old else _shown(new)}"
    if not found.changes:
        yield "nothing is changed"
    yield f"\n{'':<28}{'before':>9}  {'after':>9}"
    yield _row("candidates", before.num_candidates, after.num_candidates)
    yield _row("admitted", before.num_admitted, after.num_admitted)
    yield from _section("rejected instructions", before.rejected, after.rejected)
    yield _row("examples", before.num_examples, after.num_examples)
    yield from _section("rejected instances", before.rejected_instances, after.rejected_instances)
    yield f"\ninstructions: {found.num_kept:,} in both, {found.num_gained:,} new, {found.num_lost:,} gone"
    if num_own := _num_of_an_own_filter(found):
        yield (
            f"a filter of your own rejected {num_own:,} instances of the old run and was not asked here: refilter from "
            "Python, with example_filter=..., to ask it"
        )
    if found.num_left_out:
        yield f"left out: {found.num_left_out:,} answers about candidates that this version does not find any more"


def _num_of_an_own_filter(found: Refiltered) -> int:
    """Count the instances that a filter in Python rejected in the old run, where none is left in the new one."""

    def counted(totals: Totals) -> int:
        reasons = totals.rejected_instances.items()
        return sum(count for reason, count in reasons if reason.partition(":")[0] == "custom")

    return 0 if counted(found.after) else counted(found.before)


def _section(title: str, before: Mapping[str, int], after: Mapping[str, int]) -> Iterator[str]:
    if before or after:
        yield f"{title}:"
    for reason in dict.fromkeys([*before, *after]):
        yield _row(f"  {reason}", before.get(reason, 0), after.get(reason, 0))


def _row(label: str, before: int, after: int) -> str:
    return f"{label:<28}{before:>9,}  {after:>9,}"


def _shown(value: object) -> str:
    from fastinstruct.cli.terminal import printable, shortened

    if not isinstance(value, list):
        return printable(shortened(str(value), 60))
    if not value:
        return "none"
    if isinstance(value[0], dict):  # evaluation files and rules, whose names are worth more room
        return printable(shortened(", ".join(map(_named, value)), 400))
    return printable(shortened(", ".join(map(str, value)), 60))


def _named(item: Mapping[str, Any]) -> str:
    """An evaluation file by its path; a rule by its name or, without one, by what it looks for."""
    name = item.get("path") or item.get("name") or item.get("pattern")
    return str(name or " or ".join(item.get("words", ())))


def _next_steps(found: Refiltered) -> str:
    from shlex import quote

    from fastinstruct.cli.terminal import program

    folder, config = quote(str(found.out)), quote(str(found.out / "config.yaml"))
    waiting = found.num_to_classify + found.num_to_instantiate
    asks = f"ask about {waiting:,} that lack instances, and go on" if waiting else "go on"
    steps = {
        f"{program()} run --config {config} --out {folder}": f"{asks} to the target",
        f"{program()} inspect {folder} --rejected": "see what is rejected, and why",
    }
    width = max(map(len, steps)) + 3
    return "\n".join(["Next:", *(f"  {step:<{width}}{what}" for step, what in steps.items())])
