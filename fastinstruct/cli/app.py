"""The command line's verbs and its exit codes.

0 done, 1 failure, 2 bad input or usage, 3 stopped early and resumable, 130 interrupted, 143 terminated. Every failure
is one line on stderr.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from fastinstruct._version import __version__
from fastinstruct.cli.bench import bench
from fastinstruct.cli.dedup import dedup
from fastinstruct.cli.doctor import doctor
from fastinstruct.cli.export import export
from fastinstruct.cli.init import init
from fastinstruct.cli.inspect import inspect
from fastinstruct.cli.refilter import refilter
from fastinstruct.cli.run import run
from fastinstruct.cli.scripted_server import scripted_server
from fastinstruct.cli.status import status
from fastinstruct.cli.terminal import flushed, open_closed_streams, say, tell
from fastinstruct.cli.warm_up import warm_up
from fastinstruct.errors import FastInstructError
from fastinstruct.escaping import on_one_line

__all__ = ["app", "main"]

_USAGE, _INTERRUPTED = 2, 130
_UsageError: Any = typer.BadParameter.__base__  # typer has a copy of click of its own by now, and does not name it

app = typer.Typer(
    name="fastinstruct",
    help="Seed tasks and any language model in; diverse, de-duplicated instruction-tuning data out.",
    rich_markup_mode=None,  # loading rich would double the time of --help
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (run, status, inspect, export, refilter, dedup, bench, init, doctor, warm_up, scripted_server):
    app.command()(verb)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"fastinstruct {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Hold the options of the program itself; without a verb, say what there is."""
    if context.invoked_subcommand is None:
        tell(context.get_help())
        raise typer.Exit(_USAGE)


def main() -> None:
    """Run the command line and exit with its code; every failure is told on stderr, whatever words are in it."""
    is_told = False
    open_closed_streams()
    try:
        code = app(standalone_mode=False)
    except FastInstructError as error:
        tell(f"fastinstruct: {error}")
        code, is_told = error.exit_code, str(error).startswith("stdout: ")
    except _UsageError as error:
        if error.ctx is not None:
            tell(f"{error.ctx.get_usage()}\nTry '{error.ctx.command_path} --help' for help.\n")
        tell(f"Error: {on_one_line(error.format_message())}")
        code = error.exit_code
    except typer.Abort:
        code = _INTERRUPTED
    except OSError as error:  # a disk, a pipe or a file that no verb expected to fail
        tell(f"fastinstruct: {error.filename or 'stdout'}: {error.strerror or error}")
        code, is_told = 1, error.filename is None
    sys.exit(max(code if isinstance(code, int) else 0, flushed(is_told=is_told)))
