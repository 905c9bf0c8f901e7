"""What a person types: the only place that reads argv and prints.

Each verb has a file of its own. Heavy imports wait until a verb runs, so that `--help` answers in under 0.2 s.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line (`app`) and exit with its code."""
    from fastinstruct.cli.app import main as run_app

    run_app()
