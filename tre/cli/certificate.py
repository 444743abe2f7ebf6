"""`tre certificate`: proof of a deletion."""

from pathlib import Path
from typing import Annotated

import typer

from tre.cli.connect import Json, client, read
from tre.cli.exits import Exit
from tre.cli.output import fields, refuse, stop

app = typer.Typer(help="Deletion certificates.", no_args_is_help=True)


@app.command()
def show(name: Annotated[str, typer.Argument(help="A workspace.")]) -> None:
    """The certificate of a purged workspace, as signed."""
    import sys

    sys.stdout.write(client().certificate(name).decode() + "\n")


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="The certificate; - for standard input.")],
    *,
    key: Annotated[Path, typer.Option(help="The public key (PEM); tre audit keys gives it.")],
    json: Json = False,
) -> None:
    """Verify a certificate with the file and the public key alone. Exit status 8 when it does not verify."""
    from tre.audit.certificate import CertificateInvalid
    from tre.audit.certificate import verify as verify_certificate

    try:
        body = verify_certificate(read(file).strip(), read(key).decode())
    except CertificateInvalid as error:
        refuse(str(error))
        stop(Exit.UNVERIFIED)
    else:
        fields({"verified": True, **body}, as_json_too=json)
