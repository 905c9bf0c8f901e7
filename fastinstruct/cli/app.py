"""The command line's verbs and its exit codes.

0 done, 1 failure, 2 bad input or usage, 3 stopped early and resumable, 130 interrupted, 143 terminated. Every failure
is one line on stderr.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fastinstruct import __version__
from fastinstruct.cli.dedup import dedup
from fastinstruct.cli.doctor import doctor
from fastinstruct.cli.export import export
from fastinstruct.cli.init import init
from fastinstruct.cli.inspect import inspect
from fastinstruct.cli.refilter import refilter
from fastinstruct.cli.run import run
from fastinstruct.cli.scripted_server import scripted_server
from fastinstruct.cli.status import status
from fastinstruct.errors import FastInstructError

__all__ = ["app", "main"]

app = typer.Typer(
    name="fastinstruct",
    help="Seed tasks and any language model in; diverse, de-duplicated instruction-tuning data out.",
    rich_markup_mode=None,  # loading rich would double the time of --help
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (run, status, inspect, export, refilter, dedup, init, doctor, scripted_server):
    app.command()(verb)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fastinstruct {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Hold the options of the program itself."""


def main() -> None:
    """Run the command line and exit with its code; typer itself deals with usage errors and closed pipes."""
    try:
        app()
    except FastInstructError as error:
        typer.echo(f"fastinstruct: {error}", err=True)
        sys.exit(error.exit_code)
