"""`tre session`: who is inside."""

from typing import Annotated

import typer

from tre.cli.connect import Json, client
from tre.cli.output import fields, table

app = typer.Typer(help="Live sessions.", no_args_is_help=True)


@app.command("list")
def list_(workspace: Annotated[str | None, typer.Argument()] = None, *, json: Json = False) -> None:
    """Live sessions, as the far side knows them."""
    columns = {"session": "session", "workspace": "workspace", "person": "person", "ends_at": "ends"}
    table(client().session_list(workspace), columns, as_json_too=json)


@app.command()
def end(session: Annotated[str, typer.Argument(help="The session's id.")], *, json: Json = False) -> None:
    """End one session."""
    fields(client().session_end(session), as_json_too=json)
