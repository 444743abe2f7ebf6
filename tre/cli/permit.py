"""`tre permit`: permits and status messages."""

from pathlib import Path
from typing import Annotated

import typer

from tre.cli.connect import Json, client, read
from tre.cli.exits import Exit
from tre.cli.output import as_json, fields, stop, table

app = typer.Typer(help="Permits and what issuers say of them.", no_args_is_help=True)
File = Annotated[Path, typer.Argument(help="A signed message (JWS); - for standard input.")]
Name = Annotated[str, typer.Argument(help="A permit: its key, lineage id or permit id.")]


@app.command()
def check(file: File, *, json: Json = False) -> None:
    """Say whether a message would be accepted; nothing is kept. Exit status 4 when it would be refused."""
    view = client().permit_check(read(file))
    fields(view, as_json_too=json)
    if not view["accepted"]:
        stop(Exit.REFUSED)


@app.command()
def receive(file: File, *, json: Json = False) -> None:
    """Receive a permit or a status message, and act on it."""
    view = client().permit_receive(read(file))
    fields(view, as_json_too=json)
    if not view["accepted"]:
        stop(Exit.REFUSED)


@app.command("list")
def list_(*, json: Json = False) -> None:
    """Every permit."""
    columns = {"permit": "permit", "lineage": "lineage", "version": "version", "state": "state", "ends_at": "ends"}
    table(client().permit_list(), columns, as_json_too=json)


@app.command()
def show(name: Name, *, json: Json = False) -> None:
    """One permit."""
    fields(client().permit_show(name), as_json_too=json)


@app.command()
def schema() -> None:
    """The JSON Schema of a permit's payload. Needs no installation."""
    from tre.policy.schema import permit_schema

    as_json(permit_schema())


@app.command("sign-off")
def sign_off(
    name: Name, condition: Annotated[str, typer.Argument(help="The condition's code.")], *, json: Json = False
) -> None:
    """Sign off a condition that no machine rule enforces."""
    fields(client().sign_off(name, condition), as_json_too=json)


@app.command()
def sign(
    file: Annotated[Path, typer.Argument(help="The payload (JSON).")],
    *,
    key: Annotated[Path, typer.Option(help="The private key (PEM).")],
    status: Annotated[bool, typer.Option("--status", help="A status message instead of a permit.")] = False,
) -> None:
    """Sign a payload as a test issuer. Refuses a key that is trusted for a profile other than local."""
    import sys

    from tre.policy import jws, strict_json

    payload = strict_json.parse(read(file))
    raw = client().sign(payload, jws.STATUS if status else jws.PERMIT, read(key))  # type: ignore[arg-type]  # parsed JSON
    sys.stdout.write(raw.decode() + "\n")
