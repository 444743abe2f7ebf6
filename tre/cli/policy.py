"""`tre policy`: the bundle."""

import typer

from tre.cli.connect import Json, client
from tre.cli.output import fields

app = typer.Typer(help="The policy bundle.", no_args_is_help=True)


@app.command()
def show(*, json: Json = False) -> None:
    """The bundle on disk and the one in force."""
    fields(client().policy_show(), as_json_too=json)


@app.command()
def activate() -> None:
    """Ask two approvers to put the bundle on disk in force."""
    client().policy_activate()
