"""`fastinstruct inspect`: a run's examples, what was rejected and why, and where one of them came from."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from fastinstruct.cli.terminal import tell

__all__ = ["inspect"]

Row = dict[str, Any]

_WIDTH = 16
_MAX_CHARS = 1200  # of one text in a list; --id and --json show all of it
_ANSWERS = {True: "yes", False: "no", None: "unknown"}


def inspect(
    run: Annotated[Path | None, typer.Argument(help="The run's folder. Default: the newest under runs/.")] = None,
    rejected: Annotated[
        bool, typer.Option("--rejected", help="Show what was rejected, why, and its nearest neighbour.")
    ] = False,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Show what was rejected for this reason, such as near_duplicate.")
    ] = None,
    without_examples: Annotated[
        bool, typer.Option("--without-examples", help="Show the instructions that have no example, and why.")
    ] = False,
    not_read: Annotated[
        bool,
        typer.Option("--unreadable", help="Show replies that gave nothing, and what was not understood of others."),
    ] = False,
    one: Annotated[
        str | None,
        typer.Option("--id", help="Show all about one: m12 (instruction), m12-0 (example), c37 (candidate) or a seed."),
    ] = None,
    search: Annotated[str | None, typer.Option("--search", help="Only those that hold this text, in any case.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Show at most so many.")] = 5,
    offset: Annotated[int, typer.Option("--offset", min=0, help="Skip so many first.")] = 0,
    at_random: Annotated[bool, typer.Option("--random", help="Draw them at random.")] = False,
    rng_seed: Annotated[
        int | None, typer.Option("--rng-seed", help="Seed of --random, to draw the same again.")
    ] = None,
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Leave out what is damaged on disk, and say what.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines, texts in full.")] = False,
) -> None:
    """Look at a run's examples or rejects, or all about one."""
    from fastinstruct.cli.chosen_run import chosen_run
    from fastinstruct.cli.terminal import say_json
    from fastinstruct.store import RunReader
    from fastinstruct.store.queries.inspection import TABLES
    from fastinstruct.views.inspect import about, bare, examples, rejects, threshold_of, unreadable

    _check_together(one=one, at_random=at_random, offset=offset, rng_seed=rng_seed)
    is_rejects = rejected or reason is not None
    _check_one_list(without_examples, not_read, is_rejects)
    with RunReader(chosen_run(run)) as reader, reader.snapshot(), reader.guarded():
        view = _view(one, is_rejects=is_rejects, without_examples=without_examples, not_read=not_read)
        for damaged in reader.check(skip_damaged=skip_damaged, needed=(), tables=TABLES[view]):
            tell(f"left out, damaged: {damaged}, and what follows from it")
        if one is not None:
            found = about(reader, one)
            emit_one = say_json if as_json else _show_one
            emit_one(found)
            return
        lists = {"bare": bare, "unreadable": unreadable, "examples": examples}
        rows = _matching(rejects(reader, reason) if view == "rejects" else lists[view](reader), search)
        page, has_more = _drawn(rows, limit, rng_seed) if at_random else _page(rows, limit, offset)
        emit = say_json if as_json else partial(_show, threshold=threshold_of(reader))
        for row in page:
            emit(row)
    listed = "instructions without an example" if without_examples else "unreadable replies" if not_read else ""
    _say_where(
        page,
        listed or ("rejects" if is_rejects else "examples"),
        narrowed=_narrowed(search, reason, offset),
        has_more=has_more,
        next_offset=offset + limit,
    )


def _view(one: str | None, *, is_rejects: bool, without_examples: bool, not_read: bool) -> str:
    """Return what is to be shown, by the name of the function that finds it."""
    if one is not None:
        return "about"
    if without_examples:
        return "bare"
    return "unreadable" if not_read else "rejects" if is_rejects else "examples"


def _check_together(*, one: str | None, at_random: bool, offset: int, rng_seed: int | None) -> None:
    """Refuse options that mean nothing together.

    Raises:
        InputError: which.
    """
    from fastinstruct.errors import InputError

    if one is not None and at_random:
        raise InputError("--id shows one and --random draws several; leave one out")
    if at_random and offset:
        raise InputError("--random and --offset exclude each other; leave one out")
    if rng_seed is not None and not at_random:
        raise InputError("--rng-seed is the seed of --random; give both")


def _matching(rows: Iterable[Row], search: str | None) -> Iterator[Row]:
    """The rows one of whose texts holds `search`."""
    if search is None:
        return iter(rows)
    wanted = search.casefold()
    names = ("instruction", "input", "output", "nearest", "reply", "detail")
    return (row for row in rows if any(wanted in row.get(name, "").casefold() for name in names))


def _page(rows: Iterable[Row], limit: int, offset: int) -> tuple[list[Row], bool]:
    """The rows from `offset` on, and whether there are more after them."""
    found = list(islice(rows, offset, offset + limit + 1))
    return found[:limit], len(found) > limit


def _drawn(rows: Iterable[Row], limit: int, rng_seed: int | None) -> tuple[list[Row], bool]:
    """`limit` rows at random, each equally likely, in their order; only so many are held at a time."""
    rng = random.Random(rng_seed)
    kept: list[tuple[int, Row]] = []
    for place, row in enumerate(rows):
        if place < limit:
            kept.append((place, row))
        elif (slot := rng.randrange(place + 1)) < limit:
            kept[slot] = (place, row)
    return [row for _, row in sorted(kept, key=lambda pair: pair[0])], False


def _check_one_list(*is_asked_for: bool) -> None:
    """Refuse to show two lists at once.

    Raises:
        InputError: more than one is asked for.
    """
    from fastinstruct.errors import InputError

    if sum(is_asked_for) > 1:
        raise InputError("--rejected, --without-examples and --unreadable each show a list of their own; give one")


def _narrowed(search: str | None, reason: str | None, offset: int) -> str:
    """Say what kept everything out of an empty list, if that was asked for."""
    parts = [] if reason is None else [f"none was rejected as {reason[:40]}"]
    parts += [] if search is None else [f"none holds {search[:40]!r}"]
    parts += [f"--offset {offset} skips them"] if offset else []
    return ", ".join(parts)


def _say_where(page: list[Row], listed: str, *, narrowed: str, has_more: bool, next_offset: int) -> None:
    """Say on stderr that there is nothing, or how to see more."""
    if not page:
        tell(f"no {listed} to show" + (f": {narrowed}" if narrowed else ""))
    elif has_more:
        tell(f"more: --offset {next_offset}")


def _show(row: Mapping[str, Any], threshold: float) -> None:
    """Print an example or a reject for people."""
    from fastinstruct.cli.terminal import labelled, say, shortened
    from fastinstruct.records import score_above

    is_reject = "reason" in row
    facts = {"id": f"{row['id']}  (rejected {row['kind']})" if is_reject else row["id"]}
    if is_reject:
        facts["reason"] = row["reason"]
    elif "why" in row:
        facts["why"] = f"{row['why']}: {row['detail']}" if row.get("detail") else row["why"]
    else:
        facts["classification"] = _ANSWERS[row["is_classification"]]
    if "nearest_id" in row:
        score = "" if row["score"] is None else f"{score_above(row['score'], threshold)} to "
        facts["ROUGE-L"] = f"{score}{_neighbour(row, _MAX_CHARS)}"
    for name in ("instruction", "input", "output", "reply"):
        if row.get(name):
            facts[name] = shortened(row[name], _MAX_CHARS)
    say("\n".join([labelled(label, text, _WIDTH) for label, text in facts.items()] + [""]))


def _neighbour(row: Mapping[str, Any], max_chars: int | None) -> str:
    """What a rejected instruction is near: which text, and what it says, if that is known."""
    from fastinstruct.cli.terminal import shortened

    text = row.get("nearest")
    if text is None:
        return f"{row['nearest_id']} (the file is gone, or has changed since)"
    return f"{row['nearest_id']}: {text if max_chars is None else shortened(text, max_chars)}"


def _show_one(found: Mapping[str, Any]) -> None:
    """Print everything about one, texts in full."""
    from fastinstruct.cli.terminal import labelled, say

    facts = [("id", found["id"]), ("verdict", found["verdict"]), ("instruction", found["instruction"])]
    facts += [(name, found[name]) for name in ("name", "candidate", "admitted_as") if found.get(name)]
    if "nearest_id" in found:
        facts.append(("ROUGE-L", f"{found['score']} to {_neighbour(found, None)}"))
    if (classification := found.get("classification")) is not None:
        margin = "" if classification["margin"] is None else f" (log-odds {classification['margin']:.3f})"
        facts.append(("classification", f"{_ANSWERS[classification['is_classification']]}{margin}"))
    say("\n".join(labelled(label, text, _WIDTH) for label, text in facts))
    for case in found.get("instances", []):
        _show_instance(case)
    if found.get("in_context"):
        tasks = ((task["id"] or "not in the pool", task["instruction"].split()) for task in found["in_context"])
        shown = "\n".join(f"{name}: {' '.join(words)}" for name, words in tasks)
        say("\n" + labelled("prompt showed", shown, _WIDTH))
    for request in found.get("requests", []):
        _show_request(request)


def _show_instance(case: Mapping[str, Any]) -> None:
    from fastinstruct.cli.terminal import labelled, say

    facts = [("example", case["id"]) if case["reason"] is None else ("rejected", case["reason"])]
    facts += [(name, case[name]) for name in ("input", "output") if case[name]]
    say("\n" + "\n".join(labelled(label, text, _WIDTH) for label, text in facts))


def _show_request(request: Mapping[str, Any]) -> None:
    from fastinstruct.cli.terminal import labelled, say

    facts = [
        ("stage", f"{request['stage']}: {request['outcome']}, {request['num_attempts']} attempt(s)"),
        ("model", f"{request['model'] or 'unknown'}, template {request['template']}"),
        ("tokens", f"{request['prompt_tokens']:,} in, {request['completion_tokens']:,} out"),
        ("finish reason", request["finish_reason"] or "none"),
    ]
    facts += [(name, request[key]) for name, key in (("detail", "detail"), ("reply", "text")) if request[key]]
    say("\n" + "\n".join(labelled(label, text, _WIDTH) for label, text in facts))
