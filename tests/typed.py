"""The verb dedup, typed in this process."""

import typer
from typer.testing import CliRunner, Result

from fastinstruct.cli.dedup import dedup as verb


def invoke(*arguments: object, stdin: bytes | None = None) -> Result:
    app = typer.Typer()
    app.command()(verb)
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
