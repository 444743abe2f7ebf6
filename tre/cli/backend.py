"""`tre backend`: where workspaces are made."""

from typing import Annotated

import typer

from tre.cli.connect import Json, client
from tre.cli.exits import Exit
from tre.cli.output import fields, stop, table

app = typer.Typer(help="Backends.", no_args_is_help=True)


@app.command("list")
def list_(*, json: Json = False) -> None:
    """Every backend, as configured."""
    columns = {"backend": "backend", "driver": "driver", "profile": "profile", "describes": "describes"}
    table(client().backend_list(), columns, as_json_too=json)


@app.command()
def check(name: Annotated[str, typer.Argument()], *, json: Json = False) -> None:
    """Try what a backend can do now. Exit status 3 when something is missing."""
    view = client().backend_check(name)
    fields(view, as_json_too=json)
    if view["problems"]:
        stop(Exit.MISSING)
