"""`tre key`: signing keys for issuers, approvers and auditors."""

from pathlib import Path
from typing import Annotated

import typer

from tre.cli.connect import Json
from tre.cli.output import fields

app = typer.Typer(help="Make signing keys.", no_args_is_help=True)


@app.command()
def new(
    file: Annotated[Path, typer.Argument(help="Where the private key goes (0600); the public one beside it as .pub.")],
    *,
    algorithm: Annotated[str, typer.Option(help="EdDSA or ES256.")] = "EdDSA",
    json: Json = False,
) -> None:
    """Make a key pair. Needs no installation."""
    import os

    from tre.policy.jws import ALGORITHMS, new_key

    if algorithm not in ALGORITHMS:
        raise typer.BadParameter(f"one of {', '.join(ALGORITHMS)}")
    pair = new_key(algorithm)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as private:
        private.write(pair.private_pem)
    public = file.with_name(f"{file.name}.pub")
    public.write_bytes(pair.public_pem)
    view = {"kid": pair.kid, "algorithm": algorithm, "private": str(file), "public": str(public)}
    fields(view, as_json_too=json)


@app.callback()
def _group() -> None:
    """Signing keys."""
