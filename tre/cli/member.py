"""`tre member`: the people of a workspace."""

from typing import Annotated

import typer

from tre.cli.connect import Json, Reason, client
from tre.cli.output import fields, table

app = typer.Typer(help="Members of a workspace.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="A workspace or a permit.")]
Person = Annotated[str, typer.Argument(help="A person of the permit, by person_id.")]


@app.command("list")
def list_(workspace: Annotated[str, typer.Argument()], *, json: Json = False) -> None:
    """The members, their slots and ends."""
    columns = {"person": "person", "slot": "slot", "ends_at": "ends", "epoch": "credential epoch"}
    table(client().members(workspace), columns, as_json_too=json)  # type: ignore[arg-type]  # rows of a view


@app.command()
def remove(name: Name, person: Person, *, reason: Reason, json: Json = False) -> None:
    """End a person's access for good; the others are untouched."""
    fields(client().remove_member(name, person, reason), as_json_too=json)


@app.command()
def restart(name: Name, person: Person, *, reason: Reason, json: Json = False) -> None:
    """End a person's sessions and renew the credentials."""
    fields(client().restart_member(name, person, reason), as_json_too=json)
