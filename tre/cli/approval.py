"""`tre approval`: acts that need two people."""

from pathlib import Path
from typing import Annotated

import typer

from tre.cli.connect import Json, client, read
from tre.cli.output import fields, table

app = typer.Typer(help="Acts that need two people.", no_args_is_help=True)
Request = Annotated[str, typer.Argument(help="The request's id.")]
Key = Annotated[Path, typer.Option(help="The approver's private key (PEM).")]


@app.command("list")
def list_(*, json: Json = False) -> None:
    """Every request."""
    columns = {"request": "request", "act": "act", "state": "state", "requested_by": "by", "expires_at": "expires"}
    table(client().approval_list(), columns, as_json_too=json)


@app.command()
def approve(request: Request, *, key: Key, json: Json = False) -> None:
    """Say yes, signed over the request's content; the second yes carries it out."""
    fields(client().approval_state(request, read(key), approves=True), as_json_too=json)


@app.command()
def deny(request: Request, *, key: Key, json: Json = False) -> None:
    """Say no: the request is settled."""
    fields(client().approval_state(request, read(key), approves=False), as_json_too=json)
