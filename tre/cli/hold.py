"""`tre hold`: what stops a purge, and gives nobody access."""

from typing import Annotated

import typer

from tre.cli.connect import Json, Reason, client
from tre.cli.output import fields, table

app = typer.Typer(help="Holds on purges.", no_args_is_help=True)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="A workspace or a permit.")],
    *,
    reason: Reason,
    review_days: Annotated[int, typer.Option(help="Days until the hold is looked at again.")] = 30,
    json: Json = False,
) -> None:
    """Stop the purge of what is named."""
    fields(client().hold_add(name, reason, review_days), as_json_too=json)


@app.command()
def release(hold: Annotated[str, typer.Argument(help="The hold's id.")], *, reason: Reason) -> None:
    """Ask two approvers to release a hold."""
    client().hold_release(hold, reason)


@app.command("list")
def list_(*, json: Json = False) -> None:
    """Every hold."""
    columns = {"order": "hold", "scope": "scope", "author": "by", "reason": "reason", "open": "open"}
    table(client().hold_list(), columns, as_json_too=json)
