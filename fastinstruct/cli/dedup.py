"""`fastinstruct dedup`: take near-duplicates out of JSON Lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fastinstruct.deduplication import DedupPlan, DedupSummary

__all__ = ["dedup"]

_STDOUT = Path("-")
_TERMINAL_EVERY_S = 0.25
_LOG_EVERY_S = 10.0


def dedup(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="JSON Lines, plain, .gz or .zst; - for stdin.")],
    field: Annotated[
        str, typer.Option("--field", help="The text to compare; dots lead inwards, as in messages.0.content.")
    ] = "instruction",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where kept rows go (.gz, .zst compress). Default: stdout.")
    ] = None,
    rejected: Annotated[
        Path | None, typer.Option("--rejected", help="Where rejected rows go, with _nearest and _score.")
    ] = None,
    threshold: Annotated[float, typer.Option("--threshold", help="Reject above this ROUGE-L F-measure.")] = 0.7,
    tokenizer: Annotated[
        str,
        typer.Option(
            "--tokenizer", help="unicode (every script; unicode-1 is its older version), or rouge (a-z and 0-9)."
        ),
    ] = "unicode",
    method: Annotated[
        str, typer.Option("--method", help="exact, or lsh: for long texts; may miss some, and says how many.")
    ] = "exact",
    against: Annotated[
        list[Path] | None,
        typer.Option("--against", metavar="FILE", help="Also reject what is near this evaluation set. Repeatable."),
    ] = None,
    against_field: Annotated[
        str | None, typer.Option("--against-field", help="The text in --against files. Default: as --field.")
    ] = None,
    index: Annotated[
        Path | None, typer.Option("--index", help="A file that remembers what is kept, for the next call.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out and --rejected.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Start even if memory seems too small.")] = False,
    max_text_bytes: Annotated[
        int | None,
        typer.Option(
            "--max-text-bytes", min=1, help="Refuse longer texts; time grows with their square. Default: 2 MiB."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a summary as one JSON object: on stdout with --out, else on stderr.")
    ] = False,
) -> None:
    """Keep the rows that are no near-duplicate, in order.

    Files appear when they are whole; if something fails, the rows so far are in NAME.partial.
    """
    from fastinstruct.deduplication import DedupPlan
    from fastinstruct.files.json_rows import refuse_other_format
    from fastinstruct.files.rows import MAX_TEXT_BYTES

    for path in (out, rejected):
        if path is not None:
            refuse_other_format(path, compressions=(".gz", ".zst"))
    plan = DedupPlan(
        files=tuple(files),
        field=field,
        threshold=threshold,
        tokenizer=tokenizer,
        method=method,  # type: ignore[arg-type]  # checked with the other settings
        against=tuple(against or ()),
        against_field=against_field,
        index=index,
        out=None if out == _STDOUT else out,
        rejected=rejected,
        overwrite=overwrite,
        force=force,
        max_text_bytes=max_text_bytes or MAX_TEXT_BYTES,
    )
    summary, elapsed_s = _carried_out(plan)
    _report(plan, summary, elapsed_s, as_json=as_json)


def _carried_out(plan: DedupPlan) -> tuple[DedupSummary, float]:
    import sys
    import time

    from fastinstruct.cli.logs import logged_to
    from fastinstruct.cli.signals import ended_by_sigterm
    from fastinstruct.deduplication import dedup_files

    started_s = time.monotonic()
    progress = _Progress(started_s)
    try:
        with ended_by_sigterm(), logged_to(progress.note):
            summary = dedup_files(plan, sys.stdout.buffer, on_progress=progress.update, note=progress.note)
    except KeyboardInterrupt as stop:
        progress.note(_stopped("interrupted", stop))
        raise
    except SystemExit as stop:
        progress.note(_stopped("terminated", stop))
        raise
    finally:
        progress.end()
    return summary, time.monotonic() - started_s


def _stopped(how: str, stop: BaseException) -> str:
    partial = getattr(stop, "__notes__", ())  # of deduplication/outputs.py
    return f"fastinstruct: {how}" + (f"; what was not finished is in {' and '.join(partial)}" if partial else "")


def _report(plan: DedupPlan, summary: DedupSummary, elapsed_s: float, *, as_json: bool) -> None:
    from fastinstruct.cli.terminal import say_json, tell

    if as_json:
        say_json(_as_json(plan, summary, elapsed_s), err=plan.out is None)
        return
    tell(f"{_counts(summary)}; {elapsed_s:.1f} s")
    if summary.recall is not None:
        tell(f"recall of lsh, measured on edited rows: {summary.recall}")


def _as_json(plan: DedupPlan, summary: DedupSummary, elapsed_s: float) -> dict[str, Any]:
    recall = summary.recall
    measured = recall is not None and recall.num_pairs > 0
    return {
        "num_rows": summary.num_rows,
        "num_kept": summary.num_kept,
        "num_rejected": summary.num_rejected,
        "num_against": summary.num_against,
        "num_tokenless": summary.num_tokenless,
        "num_blank": summary.num_blank,
        "threshold": plan.threshold,
        "tokenizer": summary.tokenizer,
        "method": plan.method,
        "recall": {"value": recall.value, "low": recall.low, "high": recall.high, "num_pairs": recall.num_pairs}
        if recall is not None and measured
        else None,
        "out": str(plan.out) if plan.out else None,
        "rejected": str(plan.rejected) if plan.rejected else None,
        "index": str(plan.index) if plan.index else None,
        "elapsed_s": round(elapsed_s, 3),
    }


def _counts(summary: DedupSummary) -> str:
    parts = [f"{summary.num_rows:,} rows", f"kept {summary.num_kept:,}", f"near-duplicates {summary.num_rejected:,}"]
    if summary.num_against:
        parts.append(f"near --against {summary.num_against:,}")
    if summary.num_blank:
        parts.append(f"blank lines {summary.num_blank:,}")
    if summary.num_tokenless:
        parts.append(f"without words {summary.num_tokenless:,} (kept)")
    return ", ".join(parts)


class _Progress:
    """How far it is, on stderr: one line drawn anew on a terminal, now and then a line elsewhere."""

    def __init__(self, started_s: float) -> None:
        import sys

        self._started_s = self._last_s = started_s
        self._is_terminal = sys.stderr.isatty()

    def update(self, summary: DedupSummary) -> None:
        import time

        from fastinstruct.cli.terminal import redraw, tell

        now_s = time.monotonic()
        if now_s - self._last_s < (_TERMINAL_EVERY_S if self._is_terminal else _LOG_EVERY_S):
            return
        self._last_s = now_s
        line = f"{_counts(summary)}; {summary.num_rows / (now_s - self._started_s):,.0f} rows/s"
        (redraw if self._is_terminal else tell)(line)

    def note(self, text: str) -> None:
        from fastinstruct.cli.terminal import tell

        self.end()
        tell(text)

    def end(self) -> None:
        """Clear the line that is drawn anew."""
        from fastinstruct.cli.terminal import redraw

        redraw("")
