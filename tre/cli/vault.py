"""`tre vault`: the local vault."""

import typer

from tre.cli.connect import Json, client
from tre.cli.exits import Exit
from tre.cli.output import fields, stop

app = typer.Typer(help="The local vault.", no_args_is_help=True)


@app.command()
def start(*, json: Json = False) -> None:
    """Start and unseal it."""
    fields(client().vault("start"), as_json_too=json)


@app.command("stop")
def stop_(*, json: Json = False) -> None:
    """Stop it: nothing is granted while it is down, lock-outs go on."""
    fields(client().vault("stop"), as_json_too=json)


@app.command()
def status(*, json: Json = False) -> None:
    """Whether it runs, and is sealed. Exit status 7 when it does not serve."""
    view = client().vault("status")
    fields(view, as_json_too=json)
    if not view["running"] or view["sealed"]:
        stop(Exit.UNAVAILABLE)
