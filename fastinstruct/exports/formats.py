"""What every export format offers, and what it returns.

Knows no format and no file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fastinstruct.store import RunReader

__all__ = ["Exported", "Format"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an export wrote: `num_examples` counts instances, those of seeds too where they were asked for."""

    files: tuple[Path, ...]
    num_examples: int


class Format(Protocol):
    """One way to take a run out. `default_name` is a file's or, for a format of several files, a folder's."""

    @property
    def name(self) -> str:
        """What it is called on the command line."""

    @property
    def description(self) -> str:
        """What it holds and who reads it, in one line."""

    @property
    def default_name(self) -> str:
        """What to call it inside a run's `exports/`."""

    @property
    def needed(self) -> tuple[str, ...]:
        """The tables of which no damaged row can be left out (see `RunReader.check`)."""

    def existing(self, reader: RunReader, path: Path) -> list[Path]:
        """The files at `path` that `write` would replace, or leave lying beside newer ones of their kind."""

    def write(self, reader: RunReader, path: Path, *, include_seeds: bool = False) -> Exported:
        """Write the run's examples to `path`, replacing what is there; with `include_seeds` the seeds' come first.

        Raises:
            InputError: nothing can be created at `path`.
            RunFolderError: the run is damaged; `RunReader.check` leaves damaged rows out, if that is wanted.
            StoreError: the disk is full or fails; what was there before is still there.
        """
