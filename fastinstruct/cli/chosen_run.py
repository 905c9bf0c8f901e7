"""Which run a verb is about: the folder that was named, or the one last written to."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from fastinstruct.cli.terminal import tell

__all__ = ["RUNS", "chosen_run"]

RUNS = Path("runs")
"""Where runs are made unless `--out` says otherwise."""


def chosen_run(run: Path | None) -> Path:
    """Return `run` or, without one, the newest run under `runs/`, naming it on stderr.

    Raises:
        InputError: there is none.
    """
    if run is not None:
        return run
    from fastinstruct.errors import InputError

    folders = [database.parent for database in RUNS.glob("*/run.db")]
    if not folders:
        raise InputError(f"no run under {RUNS}/; name a run's folder, or make one with `fastinstruct run`")
    newest = max(sorted(folders), key=_written_at)
    tell(f"run: {newest}")
    return newest


def _written_at(folder: Path) -> float:
    """When the run was last written to: while it goes on, only its write-ahead log changes."""
    times = [0.0]
    for name in ("run.db", "run.db-wal"):
        with suppress(OSError):  # the log goes when its writer ends
            times.append((folder / name).stat().st_mtime)
    return max(times)
